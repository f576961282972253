//! What is to be written to a connection.

use bytes::{Buf as _, Bytes};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Pieces up to this size are copied behind what is already there: one record, one packet.
const COPIED: usize = 4 * 1024;

/// More than this is not kept for the next message.
const KEPT: usize = 16 * 1024;

/// A connection's write buffer: text, then a large piece that is not copied, then a line end.
#[derive(Debug, Default)]
pub struct Outgoing {
    text: Vec<u8>,
    written: usize,
    piece: Bytes,
    tail: &'static [u8],
}

impl Outgoing {
    /// Where to append heads and sizes. What is appended goes before a piece that waits, so this is
    /// for when [`Self::takes_more`] says so.
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Adds a piece of a body, and what follows it.
    pub fn push(&mut self, piece: Bytes, tail: &'static [u8]) {
        if piece.len() <= COPIED {
            self.text.extend_from_slice(&piece);
            self.text.extend_from_slice(tail);
        } else {
            self.piece = piece;
            self.tail = tail;
        }
    }

    /// Whether another piece can be added.
    pub fn takes_more(&self) -> bool {
        self.piece.is_empty() && self.tail.is_empty() && self.text.len() < KEPT
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.written == self.text.len() && self.piece.is_empty() && self.tail.is_empty()
    }

    /// Writes until all is written. `moved` is told of every byte that left.
    pub fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        mut moved: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let text = self.text.get(self.written..).unwrap_or_default();
            let count = match (text, &*self.piece, self.tail) {
                // TLS copies what it has to gather from several slices.
                (only, [], []) | ([], only, []) => ready!(Pin::new(&mut *stream).poll_write(cx, only)),
                (text, piece, tail) => {
                    let slices = [text, piece, tail].map(IoSlice::new);
                    ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices))
                }
            }?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            moved(count);
            self.advance(count);
        }
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        let text = count.min(self.text.len() - self.written);
        self.written += text;
        let piece = (count - text).min(self.piece.len());
        self.piece.advance(piece);
        self.tail = self.tail.get(count - text - piece..).unwrap_or_default();
    }

    /// Gives the memory back if there is nothing in it.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::future::poll_fn;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn little_is_kept_once_all_is_written() {
        let (mut near, _far) = tokio::io::duplex(1 << 20);
        let mut outgoing = Outgoing::default();
        for size in [COPIED, COPIED + 1, 1] {
            while outgoing.takes_more() {
                outgoing.text().extend_from_slice(b"1000\r\n");
                outgoing.push(Bytes::from(vec![7; size]), b"\r\n");
            }
            poll_fn(|cx| outgoing.poll_write(&mut near, cx, |_| {})).await.unwrap();
            assert!(outgoing.is_empty());
            assert!(outgoing.text.capacity() <= KEPT, "{} after pieces of {size}", outgoing.text.capacity());
        }
        outgoing.release();
        assert_eq!(outgoing.text.capacity(), 0);
    }

    proptest! {
        #[test]
        fn everything_leaves_in_order(sizes in prop::collection::vec(0_usize..9000, 0..12), pipe in 1_usize..20_000) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (expected, seen) = runtime.block_on(async {
                let (mut near, mut far) = tokio::io::duplex(pipe);
                let mut expected = Vec::new();
                let mut told = 0;
                let writing = async {
                    let mut outgoing = Outgoing::default();
                    for (number, size) in sizes.iter().enumerate() {
                        let piece = Bytes::from(vec![u8::try_from(number).unwrap(); *size]);
                        outgoing.text().extend_from_slice(b"<");
                        expected.extend_from_slice(&[b"<", &piece[..], b">\r\n"].concat());
                        outgoing.push(piece, b">\r\n");
                        if !outgoing.takes_more() {
                            poll_fn(|cx| outgoing.poll_write(&mut near, cx, |count| told += count)).await.unwrap();
                        }
                    }
                    poll_fn(|cx| outgoing.poll_write(&mut near, cx, |count| told += count)).await.unwrap();
                    assert!(outgoing.is_empty());
                    drop(near);
                };
                let mut seen = Vec::new();
                let (_, read) = tokio::join!(writing, far.read_to_end(&mut seen));
                assert_eq!(read.unwrap(), told);
                (expected, seen)
            });
            prop_assert_eq!(expected, seen);
        }
    }
}
