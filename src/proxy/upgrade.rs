//! WebSockets: after both sides have switched, bytes are copied until one of them ends.

use crate::drain::Watch;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Joins two connections once both have switched. The task ends with either of them. It holds `alive`,
/// so that a stop gives it the drain limit like everything else.
pub(super) fn join(downstream: OnUpgrade, upstream: OnUpgrade, alive: Watch) {
    #[expect(clippy::disallowed_methods, reason = "owned by the worker's LocalSet; it ends with either side")]
    tokio::task::spawn_local(async move {
        let joined = async {
            let (downstream, upstream) = tokio::try_join!(downstream, upstream)?;
            let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
            Ok::<_, hyper::Error>(tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await)
        };
        let ended = joined.await;
        drop(alive);
        match ended {
            Ok(Ok((up, down))) => tracing::debug!(up, down, "a WebSocket ended"),
            Ok(Err(error)) => tracing::debug!(%error, "a WebSocket broke off"),
            Err(error) => tracing::debug!(%error, "a WebSocket was not established"),
        }
    });
}
