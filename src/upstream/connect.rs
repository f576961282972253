//! Opening a connection to an upstream.

use crate::config::UpstreamAddress;
use crate::net::stream::Stream;
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// An upstream stands on this machine or beside it: what does not answer in five seconds is down.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The system said no.
    #[error("{0}")]
    Refused(#[from] io::Error),
    /// It did not answer.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Connects. A name's addresses are tried in turn: `localhost` is often both `::1` and
/// `127.0.0.1`, and the homeserver listens on one of them.
pub(super) async fn connect(address: &UpstreamAddress) -> Result<Stream, ConnectError> {
    let connecting = async {
        match address {
            UpstreamAddress::Tcp(address) => tcp(TcpStream::connect(address).await?),
            UpstreamAddress::Name(name, port) => tcp(TcpStream::connect((name.as_str(), *port)).await?),
            UpstreamAddress::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        }
    };
    match tokio::time::timeout(TIMEOUT, connecting).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(ConnectError::Timeout(TIMEOUT)),
    }
}

fn tcp(stream: TcpStream) -> io::Result<Stream> {
    stream.set_nodelay(true)?;
    Ok(Stream::Tcp(stream))
}
