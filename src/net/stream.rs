//! A byte stream to an upstream: TCP or unix socket.

use socket2::SockRef;
use std::io;
use std::mem::MaybeUninit;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

/// A connected stream: over TCP on the left, over a unix socket on the right.
pub type Stream = Either<TcpStream, UnixStream>;

/// Reads without waiting.
pub fn try_read(stream: &Stream, buffer: &mut [u8]) -> io::Result<usize> {
    match stream {
        Either::Left(tcp) => tcp.try_read(buffer),
        Either::Right(unix) => unix.try_read(buffer),
    }
}

/// Whether the kernel holds neither bytes nor an end for us.
pub fn has_nothing_to_read(stream: &Stream) -> bool {
    let socket = match stream {
        Either::Left(tcp) => SockRef::from(tcp),
        Either::Right(unix) => SockRef::from(unix),
    };
    let peeked = socket.peek(&mut [MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
