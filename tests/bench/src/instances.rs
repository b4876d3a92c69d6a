//! Row 2: instantiate, call and drop through the runtime, against a bare wasmtime embedding.

use crate::{
    bare::Bare,
    measure::{self, Work},
    product::Product,
    report::Report,
};
use anyhow::ensure;
use portcullis_runtime::{Operation, Output};
use std::{sync::Arc, time::Duration};

const WINDOW: Duration = Duration::from_millis(300);
const ROUNDS: usize = 7;

/// Measures and prints.
pub async fn measure(product: &Arc<Product>, component: &[u8], report: &mut Report) -> anyhow::Result<()> {
    let works: [(String, Arc<dyn Work>); 3] = [
        ("bare wasmtime".to_owned(), Arc::new(Bare::new(component, false)?)),
        ("bare wasmtime with epochs and limits".to_owned(), Arc::new(Bare::new(component, true)?)),
        ("portcullis-runtime".to_owned(), Arc::new(Checks(product.clone()))),
    ];
    let cells = measure::rounds(&works, 1, WINDOW, ROUNDS).await?;
    report.instances(&cells, portcullis_runtime::pagemap_scan_available());
    Ok(())
}

struct Checks(Arc<Product>);

#[async_trait::async_trait]
impl Work for Checks {
    async fn once(&self) -> anyhow::Result<()> {
        let output = self.0.call(None, Operation::Check { config: "{}".to_owned() }).await?;
        ensure!(matches!(output, Output::Unit), "{output:?}");
        Ok(())
    }
}
