//! What is left of a request body when its answer has been given already.
//!
//! A client that is still sending learns of an early answer only if nobody slams the door: closing
//! an HTTP/1.1 connection with unread bytes resets it, and the reset may overtake the answer;
//! HTTP/2 clients in the field, curl 7.88 among them, report a stream that is reset after a
//! complete answer as a failure. So the rest is read and dropped for a while.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long. Enough to drain what is under way; whoever sends on is cut off.
const LIMIT: Duration = Duration::from_secs(10);

/// Where to hand in an unread rest. If nobody does, nothing happens.
#[derive(Debug)]
pub(super) struct Linger(oneshot::Sender<Incoming>);

impl Linger {
    /// The task behind it ends with the sender or at the limit.
    #[expect(clippy::disallowed_methods, reason = "it ends with its sender or at the limit, and with its worker")]
    pub(super) fn new() -> Self {
        let (sender, receiver) = oneshot::channel::<Incoming>();
        tokio::task::spawn_local(async move {
            if let Ok(mut rest) = receiver.await {
                let drained = async { while let Some(Ok(_)) = rest.frame().await {} };
                // Drained or not, dropping what is left ends it.
                let _ = tokio::time::timeout(LIMIT, drained).await;
            }
        });
        Self(sender)
    }

    /// Reads and drops `rest`.
    pub(super) fn discard(self, rest: Incoming) {
        // The task is gone only if the worker is ending.
        let _ = self.0.send(rest);
    }
}
