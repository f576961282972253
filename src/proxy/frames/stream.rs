//! A stream that follows the frames passing through it, and ends a connection that sends too many or
//! does not end one that it has begun.

use super::meter::{Meter, Surplus};
use crate::proxy::activity::Activity;
use crate::proxy::deadline::Deadline;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// How long the goodbye may take, until the client has closed too. Closing with bytes unread makes
/// the kernel send a reset, which may overtake the GOAWAY.
const GOODBYE: Duration = Duration::from_secs(1);

/// How much of what the client still sends is read meanwhile.
const DISCARDED: usize = 1 << 20;

/// The head of a GOAWAY (RFC 9113 §6.8).
const GOAWAY: [u8; 9] = [0, 0, 8, 7, 0, 0, 0, 0, 0];

/// A metered stream. Once the meter says that there was too much, nothing passes any more: the client
/// gets a GOAWAY, and hyper the end of the stream.
#[derive(Debug)]
pub(in crate::proxy) struct Metered<S> {
    stream: S,
    meter: Meter,
    activity: Rc<Activity>,
    deadline: Deadline,
    ending: Option<Ending>,
    /// How much the socket below has taken in all: what TLS keeps in a buffer of its own has not moved.
    written: fn(&S) -> u64,
    noted: u64,
}

/// The goodbye, step by step.
#[derive(Debug)]
struct Ending {
    goodbye: Vec<u8>,
    sent: usize,
    shut: bool,
    discarded: usize,
    until: Pin<Box<Sleep>>,
}

impl<S> Metered<S> {
    /// Meters `stream`, on which no frame has passed yet, and notes answers that leave and a client that
    /// takes nothing. `written` is how many bytes the socket below has taken in all.
    pub(in crate::proxy) fn new(stream: S, activity: Rc<Activity>, written: fn(&S) -> u64) -> Self {
        let (meter, deadline, noted) = (Meter::new(Instant::now()), Deadline::default(), written(&stream));
        Self { stream, meter, activity, deadline, ending: None, written, noted }
    }

    /// Notes what the socket has taken.
    fn note_moved(&mut self) {
        let written = (self.written)(&self.stream);
        let moved = written.wrapping_sub(std::mem::replace(&mut self.noted, written));
        if moved > 0 {
            self.activity.has_moved(usize::try_from(moved).unwrap_or(usize::MAX));
        }
    }

    /// Begins the end. `served` is the last stream that hyper may have seen.
    fn end(&mut self, surplus: Surplus, served: u32) {
        tracing::debug!(?surplus, "an HTTP/2 client does not keep to the protocol: GOAWAY");
        // In the middle of a frame no other may begin.
        let goodbye = match self.meter.at_boundary() {
            true => [GOAWAY.as_slice(), &served.to_be_bytes(), &surplus.code().to_be_bytes()].concat(),
            false => Vec::new(),
        };
        let until = Box::pin(sleep(GOODBYE));
        self.ending = Some(Ending { goodbye, sent: 0, shut: false, discarded: 0, until });
    }
}

impl Ending {
    /// Says goodbye; ready when the connection is over.
    fn poll<S>(&mut self, mut stream: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncRead + AsyncWrite,
    {
        if self.goodbye.is_empty() || self.until.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        while let Some(rest) = self.goodbye.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match ready!(stream.as_mut().poll_write(cx, rest)) {
                Ok(count @ 1..) => self.sent += count,
                Ok(0) | Err(_) => return Poll::Ready(()),
            }
        }
        if !self.shut {
            if ready!(stream.as_mut().poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.shut = true;
        }
        let mut scratch = [0; 4096];
        while self.discarded < DISCARDED {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(stream.as_mut().poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.discarded += buf.filled().len(),
                _ => break,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Metered<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending.is_none() {
            let served = this.meter.highest();
            // What we had to send may have been too much.
            if this.meter.surplus().is_none() {
                let before = buf.filled().len();
                match Pin::new(&mut this.stream).poll_read(cx, buf) {
                    Poll::Ready(read) => {
                        read?;
                        this.meter.incoming(buf.filled().get(before..).unwrap_or_default(), Instant::now());
                    }
                    Poll::Pending => {
                        // As long as a head may take over HTTP/1.1, from its first byte and however it drips.
                        let Some(since) = this.meter.unfinished() else { return Poll::Pending };
                        ready!(this.deadline.poll(since + this.activity.header_timeout(), cx));
                        this.meter.give_up();
                    }
                }
                if this.meter.surplus().is_some() {
                    // No part of it is for hyper: requests in it are not served.
                    buf.set_filled(before);
                }
            }
            let Some(surplus) = this.meter.surplus() else {
                return Poll::Ready(Ok(()));
            };
            this.end(surplus, served);
        }
        // The end of the stream, for hyper, is a read of nothing.
        this.ending.as_mut().map_or(Poll::Ready(()), |ending| ending.poll(Pin::new(&mut this.stream), cx)).map(Ok)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.ending.is_some() {
            // Nothing follows the GOAWAY. An error would end hyper before it is sent.
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let stream = Pin::new(&mut this.stream);
        let polled = match bufs {
            [buf] => stream.poll_write(cx, buf),
            bufs => stream.poll_write_vectored(cx, bufs),
        };
        this.note_moved();
        let Poll::Ready(written) = polled else {
            this.activity.is_blocked();
            return Poll::Pending;
        };
        let written = written?;
        let now = Instant::now();
        let mut left = written;
        for buf in bufs {
            let sent = left.min(buf.len());
            if this.meter.outgoing(buf.get(..sent).unwrap_or_default(), now) {
                this.activity.answer_left();
            }
            left -= sent;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ending.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.note_moved();
        // TLS takes what the socket does not, and is stuck here.
        if flushed.is_pending() {
            this.activity.is_blocked();
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.ending {
            Some(_) => Poll::Ready(Ok(())),
            None => Pin::new(&mut this.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::pace::Bounds;
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    const PRIORITY: [u8; 14] = [0, 0, 5, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0, 1];

    /// `GET https://a/` (RFC 7541 appendix A: 2, 7, 4, and `:authority` as a literal).
    /// RFC 9113 §7.
    const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 0xb];

    fn request(stream: u8) -> Vec<u8> {
        vec![0, 0, 6, 1, 5, 0, 0, 0, stream, 0x82, 0x87, 0x84, 0x01, 0x01, b'a']
    }

    /// hyper's server, which answers with so many bytes.
    async fn serve(stream: DuplexStream, length: usize) -> Result<(), hyper::Error> {
        let answer = move |_: Request<Incoming>| async move {
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(vec![b'x'; length]))))
        };
        let bounds = Bounds { patience: Duration::from_secs(60), rate: 1024 };
        let activity = Activity::new(Duration::from_secs(10), Duration::from_secs(75), bounds);
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(TokioIo::new(Metered::new(stream, activity, |_| 0)), service_fn(answer)).await
    }

    /// Type and payload of every frame.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let length = usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
            frames.push((bytes[3], bytes[9..9 + length].to_vec()));
            bytes = &bytes[9 + length..];
        }
        frames
    }

    /// What a client that reads as it sends this gets back until the end.
    async fn exchange(sent: Vec<u8>, length: usize) -> Vec<u8> {
        let (client, server) = tokio::io::duplex(16 * 1024);
        let (mut reader, mut writer) = tokio::io::split(client);
        let write = async {
            // The other side may end before it has read all.
            let _cut = writer.write_all(&sent).await;
        };
        let read = async {
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            received
        };
        let ((), received, _ended) = tokio::join!(write, read, serve(server, length));
        received
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_ends_with_goaway_and_nothing_behind_it() {
        for flood in [PING.as_slice(), &PRIORITY] {
            // More than fits into what is discarded, too.
            let flood = flood.repeat(200_000);
            let received = frames(&exchange([PREFACE, &request(1), &flood].concat(), 3).await);
            let (last, before) = received.split_last().unwrap();
            assert_eq!(last, &(7, vec![0, 0, 0, 1, 0, 0, 0, 0xb]));
            let pongs = before.iter().filter(|(kind, _)| *kind == 6).count();
            assert!(pongs <= 800, "{pongs}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_in_the_flood_are_not_claimed() {
        let flood = PING.repeat(1000);
        let received = frames(&exchange([PREFACE, &flood, &request(1)].concat(), 3).await);
        assert_eq!(received.last().unwrap(), &(7, vec![0, 0, 0, 0, 0, 0, 0, 0xb]));
    }

    #[tokio::test(start_paused = true)]
    async fn in_the_middle_of_a_frame_the_connection_just_ends() {
        let (client, server) = tokio::io::duplex(4096);
        let (mut reader, mut writer) = tokio::io::split(client);
        // hyper reads what it need not answer while it cannot write.
        let flood = PRIORITY.repeat(1000);
        let work = async {
            // The answer is longer than what fits into the stream, and nobody reads it yet.
            writer.write_all(&[PREFACE, &request(1)].concat()).await.unwrap();
            sleep(Duration::from_millis(1)).await;
            let _cut = writer.write_all(&flood).await;
            let mut received = Vec::new();
            reader.read_to_end(&mut received).await.unwrap();
            received
        };
        let both = async { tokio::join!(work, serve(server, 60_000)) };
        let (received, _ended) = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
        assert!(!received.windows(4).any(|window| window == ENHANCE_YOUR_CALM), "a GOAWAY inside a DATA frame");
    }

    #[tokio::test(start_paused = true)]
    async fn an_orderly_client_notices_nothing() {
        let pings = PING.repeat(500);
        let received = async {
            let (client, server) = tokio::io::duplex(1024);
            let (mut reader, mut writer) = tokio::io::split(client);
            let work = async {
                writer.write_all(&[PREFACE, &request(1), &pings].concat()).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let read = async {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).await.unwrap();
                received
            };
            let ((), received, ended) = tokio::join!(work, read, serve(server, 40_000));
            ended.unwrap();
            received
        };
        let received = frames(&received.await);
        let body: usize = received.iter().filter(|(kind, _)| *kind == 0).map(|(_, payload)| payload.len()).sum();
        assert_eq!(body, 40_000);
        assert_eq!(received.iter().filter(|(kind, _)| *kind == 6).count(), 500);
    }
}
