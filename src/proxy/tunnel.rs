//! WebSockets: after both sides have switched, bytes are copied until both have ended.

use super::downstream::Downstream;
use crate::net::stream::Stream;
use crate::upstream::Lease;
use bytes::BytesMut;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional};
use tokio::time::{Instant, sleep, sleep_until};

/// The upstream's side of a connection that has switched.
pub(super) struct Upgraded {
    pub(super) stream: Stream,
    /// What it has sent already.
    pub(super) early: BytesMut,
    /// Held to the end.
    pub(super) lease: Lease,
}

/// How long a WebSocket goes on after the program was told to stop. Clients connect again, and sooner
/// is better for them than at the drain limit, when all are cut at once.
const GRACE: Duration = Duration::from_secs(2);

/// Joins both sides until they end, nothing moves for `patience` (WebSockets send pings), or the
/// program stops.
pub(super) async fn join(
    mut downstream: Downstream,
    early: BytesMut,
    upgraded: Upgraded,
    patience: Duration,
    drained: impl Future<Output = ()>,
) -> io::Result<()> {
    let Upgraded { stream: mut upstream, early: answer, lease: _lease } = upgraded;
    let moved = Cell::new(Instant::now());
    let joined = async {
        upstream.write_all(&early).await?;
        downstream.write_all(&answer).await?;
        downstream.flush().await?;
        let mut downstream = Noted { stream: &mut downstream, moved: &moved };
        copy_bidirectional(&mut downstream, &mut upstream).await
    };
    let still = async {
        while moved.get() + patience > Instant::now() {
            sleep_until(moved.get() + patience).await;
        }
    };
    tokio::select! {
        ended = joined => {
            let (up, down) = ended?;
            tracing::debug!(up, down, "a WebSocket ended");
        }
        () = async { drained.await; sleep(GRACE).await } => tracing::debug!("a WebSocket was closed by the stop"),
        () = still => tracing::debug!(?patience, "a WebSocket stood still and was closed"),
    }
    Ok(())
}

/// A stream that notes when bytes pass.
struct Noted<'a> {
    stream: &'a mut Downstream,
    moved: &'a Cell<Instant>,
}

impl AsyncRead for Noted<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut *this.stream).poll_read(cx, buf))?;
        this.moved.set(Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noted<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = ready!(Pin::new(&mut *this.stream).poll_write(cx, buf))?;
        this.moved.set(Instant::now());
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.get_mut().stream).poll_shutdown(cx)
    }
}
