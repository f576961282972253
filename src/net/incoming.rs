//! What was read from a connection and not yet used.

use bytes::BytesMut;
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};
use tokio_util::io::poll_read_buf;

/// The most that is read at once: fewer, larger steps for bodies.
const PIECE: usize = 64 * 1024;

/// Less than this is read by way of the thread's own buffer, so that a connection that waits for a
/// head holds none.
const SMALL: usize = 8 * 1024;

/// The most that is read at once of a head, with what comes behind it: all of most messages, and little
/// of a body that nobody may want yet.
const AT_ONCE: usize = 16 * 1024;

thread_local! {
    /// Where heads are read into before their size is known.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; AT_ONCE].into_boxed_slice());
}

/// A connection's read buffer. It takes memory only while it holds bytes or a body is arriving.
#[derive(Debug, Default)]
pub struct Incoming {
    /// The bytes.
    pub bytes: BytesMut,
}

impl Incoming {
    /// Reads what is there; 0 is the end of the connection. `expected` is how much more the current
    /// message is known to have: it decides about the buffer and limits nothing.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        expected: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if usize::try_from(expected).is_ok_and(|expected| expected < SMALL) {
            return self.poll_fill_by_way_of_scratch(stream, cx);
        }
        self.bytes.reserve(usize::try_from(expected).unwrap_or(PIECE).min(PIECE));
        let filled = poll_read_buf(Pin::new(stream), cx, &mut self.bytes);
        if filled.is_pending() {
            self.release();
        }
        filled
    }

    fn poll_fill_by_way_of_scratch<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
            self.bytes.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
    }

    /// Gives the memory back if there is nothing in it.
    pub fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn memory_is_held_only_while_there_is_something_in_it() {
        let (mut near, mut far) = tokio::io::duplex(1 << 20);
        let mut incoming = Incoming::default();
        far.write_all(b"head").await.unwrap();
        assert_eq!(poll_fn(|cx| incoming.poll_fill(&mut near, 0, cx)).await.unwrap(), 4);
        assert!(incoming.bytes.capacity() < SMALL, "a head takes what it needs");
        drop(incoming.bytes.split());
        let waits = poll_fn(|cx| Poll::Ready(incoming.poll_fill(&mut near, u64::MAX, cx).is_pending())).await;
        assert!(waits);
        assert_eq!(incoming.bytes.capacity(), 0, "nothing while it waits");
        far.write_all(&[7; 200_000]).await.unwrap();
        let read = poll_fn(|cx| incoming.poll_fill(&mut near, u64::MAX, cx)).await.unwrap();
        assert!(read >= PIECE, "{read}");
        drop(far);
        while poll_fn(|cx| incoming.poll_fill(&mut near, 0, cx)).await.unwrap() > 0 {}
        assert_eq!(incoming.bytes.len(), 200_000);
    }
}
