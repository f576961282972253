//! WebSockets: after both sides have switched, bytes are copied until one of them ends.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

/// Joins two connections once both have switched. The task ends with either connection, and with
/// its worker.
pub(super) fn join(downstream: OnUpgrade, upstream: OnUpgrade) {
    #[expect(clippy::disallowed_methods, reason = "owned by the worker's LocalSet; it ends with either side")]
    tokio::task::spawn_local(async move {
        let joined = async {
            let (downstream, upstream) = tokio::try_join!(downstream, upstream)?;
            let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
            Ok::<_, hyper::Error>(tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await)
        };
        match joined.await {
            Ok(Ok((up, down))) => tracing::debug!(up, down, "a WebSocket ended"),
            Ok(Err(error)) => tracing::debug!(%error, "a WebSocket broke off"),
            Err(error) => tracing::debug!(%error, "a WebSocket was not established"),
        }
    });
}
