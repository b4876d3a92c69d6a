//! `assets`: what was embedded beside the code of this very component.

use super::imports::assets::Host;
use crate::instance::CallState;
use std::sync::Arc;

impl Host for CallState {
    async fn get(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        let assets = Arc::clone(&self.assets);
        self.enter(async move { assets.get(&name).cloned() }).await
    }
}
