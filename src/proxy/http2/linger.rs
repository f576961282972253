//! What is left of a request body when its answer has been given already.
//!
//! A client that is still sending learns of an early answer only if nobody slams the door: clients in
//! the field, curl 7.88 among them, report a stream that is reset after a complete answer as a
//! failure. So the rest is read and dropped for a while.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long. Enough to drain what is under way; whoever sends on is cut off.
const LIMIT: Duration = Duration::from_secs(10);

/// Where a worker's requests hand in an unread rest. Most never do, so a handle is all that each
/// request has of it.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Linger(mpsc::UnboundedSender<Incoming>);

impl Linger {
    /// A handle, and the work behind it, which belongs to the worker.
    pub(in crate::proxy) fn new() -> (Self, impl Future<Output = ()>) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let work = async move {
            let mut rests = JoinSet::new();
            loop {
                tokio::select! {
                    rest = receiver.recv() => match rest {
                        Some(rest) => {
                            rests.spawn_local(drop_slowly(rest));
                        }
                        None => return,
                    },
                    Some(_) = rests.join_next() => {}
                }
            }
        };
        (Self(sender), work)
    }

    /// Reads and drops `rest`.
    pub(in crate::proxy) fn discard(&self, rest: Incoming) {
        // The work is gone only if the worker is ending.
        let _ = self.0.send(rest);
    }
}

async fn drop_slowly(mut rest: Incoming) {
    let drained = async { while let Some(Ok(_)) = rest.frame().await {} };
    // Drained or not, dropping what is left ends it.
    let _ = tokio::time::timeout(LIMIT, drained).await;
}
