//! Signals that stop the program.

use std::future::pending;
use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGTERM or SIGINT and names it. SIGHUP is told to do nothing, rather than end the
/// program as the system would have it.
pub(super) async fn stop() -> &'static str {
    let next = async |kind| match signal(kind) {
        Ok(mut signals) => {
            // The stream ends only with the runtime.
            signals.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "a signal cannot be listened for");
            pending().await
        }
    };
    loop {
        tokio::select! {
            () = next(SignalKind::terminate()) => return "SIGTERM",
            () = next(SignalKind::interrupt()) => return "SIGINT",
            () = next(SignalKind::hangup()) => {
                tracing::warn!("SIGHUP: this version reads its configuration at start only; restart it to apply changes");
            }
        }
    }
}
