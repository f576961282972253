//! A client's connection as bytes.

use crate::net::counted::Counted;
use crate::tls::TlsStream;
use tokio_util::either::Either;

/// A stream from a client: through TLS on the left, in plain text on the right.
pub(super) type Downstream = Either<Box<TlsStream>, Counted>;

/// Has the connection end with a reset instead of in order once it is dropped: for an answer that is
/// delimited by the end of the connection and was cut, so that it is not taken for complete.
pub(super) fn abort(stream: &Downstream) {
    // If the socket is gone already, so is the client.
    let _ = counted(stream).socket().set_zero_linger();
}

/// Bytes that the socket has taken for the client.
pub(super) fn written(stream: &Downstream) -> u64 {
    counted(stream).written()
}

fn counted(stream: &Downstream) -> &Counted {
    match stream {
        Either::Left(tls) => tls.get_ref().0,
        Either::Right(plain) => plain,
    }
}
