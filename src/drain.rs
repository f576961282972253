//! Telling running work to finish, and knowing when it has.
//!
//! One [`Drain`] is held by whoever ends things; every connection and task holds a [`Watch`].
//! The watch says when to start finishing; dropping it says that it is done.

use tokio::sync::watch;

/// The ending side.
#[derive(Debug)]
pub struct Drain {
    signal: watch::Sender<bool>,
}

/// The working side: held as long as the work lasts.
#[derive(Clone, Debug)]
pub struct Watch {
    signal: watch::Receiver<bool>,
}

impl Drain {
    /// A drain that has not begun, and the first watch on it.
    pub fn new() -> (Self, Watch) {
        let (sender, receiver) = watch::channel(false);
        (Self { signal: sender }, Watch { signal: receiver })
    }

    /// Asks all work to finish.
    pub fn start(&self) {
        self.signal.send_replace(true);
    }

    /// Waits until every watch is gone.
    pub async fn finished(&self) {
        self.signal.closed().await;
    }

    /// How many watches are still held.
    pub fn remaining(&self) -> usize {
        self.signal.receiver_count()
    }
}

impl Watch {
    /// Returns once draining has begun, at once if it already has. A vanished [`Drain`] counts as
    /// begun: nobody is left to wait for the work.
    pub async fn started(&mut self) {
        let _ = self.signal.wait_for(|started| *started).await;
    }

    /// Whether draining has begun.
    pub fn has_started(&self) -> bool {
        *self.signal.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn finishes_when_the_last_watch_is_dropped() {
        let (drain, watch) = Drain::new();
        let mut worker = watch.clone();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { worker.started().await });
        assert_eq!(drain.remaining(), 2);
        drain.start();
        tasks.join_next().await.unwrap().unwrap();
        assert!(watch.has_started());
        drop(watch);
        drain.finished().await;
    }
}
