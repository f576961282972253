//! Opening a connection to an upstream.

use crate::config::UpstreamAddress;
use crate::net::stream::Stream;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::sleep;

/// An upstream stands on this machine or beside it: what does not answer in five seconds is down.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How soon a unix socket whose queue was full is asked again: a homeserver takes a hundred connections
/// in that time.
const QUEUE_FULL: Duration = Duration::from_millis(10);

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The system said no.
    #[error(transparent)]
    Refused(#[from] io::Error),
    /// The name has no address, or nobody could be asked for it.
    #[error("cannot look the name up")]
    Lookup(#[source] io::Error),
    /// It did not answer.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Connects. A name's addresses are tried in turn, each for as long: `localhost` is often both `::1`
/// and `127.0.0.1`, and the homeserver listens on one of them. `resolved` remembers the one that
/// answered: while the resolver does not, it is the last word.
pub(super) async fn connect(
    address: &UpstreamAddress,
    resolved: &Cell<Option<SocketAddr>>,
) -> Result<Stream, ConnectError> {
    match address {
        UpstreamAddress::Tcp(address) => bounded(TcpStream::connect(*address)).await.and_then(tcp),
        UpstreamAddress::Unix(path) => Ok(Stream::Right(bounded(connect_unix(path)).await?)),
        UpstreamAddress::Name(name, port) => {
            let mut failed = ConnectError::Lookup(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
            let addresses: Vec<_> = match bounded(lookup_host((name.as_str(), *port))).await {
                Ok(addresses) => addresses.collect(),
                Err(ConnectError::Refused(error)) => vec![resolved.get().ok_or(ConnectError::Lookup(error))?],
                Err(error) => vec![resolved.get().ok_or(error)?],
            };
            for address in addresses {
                match bounded(TcpStream::connect(address)).await {
                    Ok(stream) => {
                        resolved.set(Some(address));
                        return tcp(stream);
                    }
                    Err(error) => failed = error,
                }
            }
            Err(failed)
        }
    }
}

/// Connects to a unix socket. Over TCP a connection waits for a place in the listener's queue; here the
/// system says EAGAIN instead, and whoever wants to wait has to ask again.
async fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(QUEUE_FULL).await,
            connected => return connected,
        }
    }
}

async fn bounded<T>(connecting: impl Future<Output = io::Result<T>>) -> Result<T, ConnectError> {
    match tokio::time::timeout(TIMEOUT, connecting).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ConnectError::Timeout(TIMEOUT)),
    }
}

fn tcp(stream: TcpStream) -> Result<Stream, ConnectError> {
    stream.set_nodelay(true)?;
    Ok(Stream::Left(stream))
}
