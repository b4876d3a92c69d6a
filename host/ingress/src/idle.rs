//! Which connections have no whole request under way: where there is no place for another one, the one that waited for longest makes room.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::task::AbortHandle;

/// Whether a connection has a whole request under way.
#[derive(Clone, Default)]
pub(crate) struct Turn(Arc<AtomicBool>);

/// It has, until this is dropped.
pub(crate) struct UnderWay<'t>(&'t Turn);

/// All connections, in the order in which they came.
#[derive(Default)]
pub(crate) struct Idle {
    connections: VecDeque<(AbortHandle, Turn)>,
}

impl Turn {
    pub(crate) fn begin(&self) -> UnderWay<'_> {
        self.0.store(true, Ordering::SeqCst);
        UnderWay(self)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::SeqCst);
    }
}

impl Idle {
    pub(crate) fn add(&mut self, connection: AbortHandle, turn: Turn) {
        // Those that are over are looked for now and then, so that there are never more than twice as many as live.
        if self.connections.len() == self.connections.capacity() {
            self.connections.retain(|(connection, _)| !connection.is_finished());
        }
        self.connections.push_back((connection, turn));
    }

    /// False where each one has a request under way.
    pub(crate) fn close_one(&mut self) -> bool {
        self.connections.retain(|(connection, _)| !connection.is_finished());
        let idle = self.connections.iter().position(|(_, turn)| !turn.0.load(Ordering::SeqCst));
        let closed = idle.and_then(|at| self.connections.remove(at));
        closed.is_some_and(|(connection, _)| {
            connection.abort();
            true
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn who_waits_for_longest_makes_room_and_who_is_served_does_not() {
        let (mut idle, mut tasks) = (Idle::default(), JoinSet::new());
        let turns: Vec<_> = (0..4).map(|_| Turn::default()).collect();
        for turn in &turns {
            idle.add(tasks.spawn(std::future::pending::<()>()), turn.clone());
        }
        let _served = turns[0].begin();
        {
            let _over = turns[1].begin();
        }
        for left in [3, 2, 1] {
            assert!(idle.close_one());
            assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
            assert_eq!(tasks.len(), left);
        }
        assert!(!idle.close_one(), "the first one is served");
        assert_eq!(tasks.len(), 1);
    }
}
