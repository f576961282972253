//! Signals that stop the program.

use std::future::pending;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals this program answers. They are listened for from the start: one that comes while
/// another is being answered must not be lost.
pub(super) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hangup: Option<Signal>,
}

impl Signals {
    pub fn new() -> Self {
        let listen = |kind| {
            signal(kind).inspect_err(|error: &io::Error| {
                tracing::warn!(%error, "a signal cannot be listened for");
            })
        };
        Self {
            terminate: listen(SignalKind::terminate()).ok(),
            interrupt: listen(SignalKind::interrupt()).ok(),
            hangup: listen(SignalKind::hangup()).ok(),
        }
    }

    /// Waits for SIGTERM or SIGINT and names it. SIGHUP is told to do nothing, rather than end the
    /// program as the system would have it.
    pub async fn stop(&mut self) -> &'static str {
        loop {
            tokio::select! {
                biased;
                () = next(&mut self.terminate) => return "SIGTERM",
                () = next(&mut self.interrupt) => return "SIGINT",
                () = next(&mut self.hangup) => {
                    tracing::warn!("SIGHUP: this version reads its configuration at start only; restart it to apply changes");
                }
            }
        }
    }
}

async fn next(signals: &mut Option<Signal>) {
    match signals {
        // The stream ends only with the runtime.
        Some(signals) => {
            signals.recv().await;
        }
        None => pending().await,
    }
}
