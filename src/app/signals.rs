//! Signals that stop the program.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that are listened for. One that comes while nobody waits is kept for the next who
/// does, so make this once, before anybody is told that the program is ready.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT and names it. SIGHUP is told to do nothing, rather than end the
    /// program as the system would have it.
    pub(super) async fn stop(&mut self) -> &'static str {
        poll_fn(|cx| {
            while self.hangup.poll_recv(cx).is_ready() {
                tracing::warn!(
                    "SIGHUP: this version reads its configuration at start only; restart it to apply changes"
                );
            }
            if self.terminate.poll_recv(cx).is_ready() {
                return Poll::Ready("SIGTERM");
            }
            self.interrupt.poll_recv(cx).map(|_| "SIGINT")
        })
        .await
    }
}
