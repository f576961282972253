//! One connection to an upstream, and one exchange on it.
//!
//! The request is written and the answer read by the task that wants it: no task of its own, no
//! channel. A request's body goes on being sent while the answer comes in.

use super::outbound::{Outbound, PumpError, Source};
use crate::http1::{Decoded, Decoder, Malformed, ResponseError, ResponseHead};
use crate::net::incoming::Incoming;
use crate::net::stream::{Stream, has_nothing_to_read, try_read};
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

/// Interim answers (1xx) that are read over before an answer counts as none. Servers send one.
const MAX_INTERIM: u32 = 8;

/// A connection on which no request is under way.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    incoming: Incoming,
}

/// How far the head of an answer has been read.
struct Reading {
    searched: usize,
    interim: u32,
    to_head: bool,
    /// Why the request was not sent whole.
    write_error: Option<io::Error>,
}

/// Why no answer came.
#[derive(Debug, thiserror::Error)]
pub enum SendError<E> {
    /// The connection ended before it took a byte of the request.
    #[error("the connection was closed before the request was sent")]
    Unsent(#[source] io::Error),
    /// The connection ended after it took some of the request, and without a byte of an answer.
    #[error("the connection was closed without an answer")]
    NoAnswer(#[source] io::Error),
    /// The connection ended within the head of an answer.
    #[error("the answer broke off")]
    BrokeOff(#[source] io::Error),
    /// What came is no answer.
    #[error("the answer is not HTTP/1.1")]
    Answer(#[from] ResponseError),
    /// More interim answers than anybody needs.
    #[error("more than {MAX_INTERIM} interim answers")]
    Interim,
    /// The request's body failed on its own side.
    #[error("the request's body failed")]
    Body(E),
}

/// An answer whose body is still to be read.
pub struct Exchange<B> {
    connection: Connection,
    /// What is left to be sent.
    request: Option<Outbound<B>>,
    decoder: Decoder,
    /// The connection can carry another exchange, as far as the answer's head says.
    persistent: bool,
}

/// Why an answer's body ended early.
#[derive(Debug, thiserror::Error)]
pub enum AnswerBodyError {
    /// The connection failed.
    #[error("the connection failed within the answer's body")]
    Io(#[from] io::Error),
    /// The request's body failed meanwhile.
    #[error("the request's body broke off while it was answered")]
    Request,
    /// It is not what its framing says.
    #[error("the answer's body is malformed")]
    Malformed(#[from] Malformed),
}

impl Connection {
    /// A connection just opened.
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, incoming: Incoming::default() }
    }

    /// Whether nothing has happened on it since its last exchange, as far as the runtime has been told.
    /// Costs no system call unless something has.
    pub(super) fn is_quiet(&self) -> bool {
        try_read(&self.stream, &mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// The same, and asks the kernel: the runtime is told once a turn, and a request that cannot be sent
    /// again deserves a system call.
    pub(super) fn is_surely_quiet(&self) -> bool {
        self.is_quiet() && has_nothing_to_read(&self.stream)
    }

    /// Sends a request and waits for the head of its answer. `request` is empty once its last byte is
    /// sent, and whole still after [`SendError::Unsent`]. `to_head` says that its method is HEAD.
    pub async fn exchange<B: Source>(
        mut self,
        request: &mut Option<Outbound<B>>,
        to_head: bool,
    ) -> Result<(ResponseHead, Exchange<B>), SendError<B::Error>> {
        let mut reading = Reading { searched: 0, interim: 0, to_head, write_error: None };
        let head = poll_fn(|cx| self.poll_head(request, &mut reading, cx)).await?;
        // The buffer that held it is the head's own now.
        self.incoming.release();
        let (decoder, persistent) = (Decoder::new(head.framing()), head.is_persistent());
        let persistent = persistent && reading.write_error.is_none();
        Ok((head, Exchange { connection: self, request: request.take(), decoder, persistent }))
    }

    fn poll_head<B: Source>(
        &mut self,
        request: &mut Option<Outbound<B>>,
        reading: &mut Reading,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ResponseHead, SendError<B::Error>>> {
        if let Some(pumping) = request {
            match pumping.poll(&mut self.stream, cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => *request = None,
                Poll::Ready(Err(PumpError::Source(error))) => return Poll::Ready(Err(SendError::Body(error))),
                Poll::Ready(Err(PumpError::Write(error))) if pumping.has_sent_nothing() => {
                    return Poll::Ready(Err(SendError::Unsent(error)));
                }
                // It takes no more, and has perhaps answered already. A broken connection becomes readable, at
                // the latest with its error.
                Poll::Ready(Err(PumpError::Write(error))) => {
                    *request = None;
                    reading.write_error = Some(error);
                }
            }
        }
        loop {
            let begun = !self.incoming.bytes.is_empty();
            match ResponseHead::read(&mut self.incoming.bytes, &mut reading.searched, reading.to_head)? {
                Some(head) if head.is_interim() => {
                    reading.interim += 1;
                    if reading.interim > MAX_INTERIM {
                        return Poll::Ready(Err(SendError::Interim));
                    }
                    continue;
                }
                Some(head) => return Poll::Ready(Ok(head)),
                None => {}
            }
            let ended = match self.incoming.poll_fill(&mut self.stream, 0, cx) {
                Poll::Ready(Ok(1..)) => continue,
                Poll::Ready(Ok(0)) => reading.write_error.take().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()),
                Poll::Ready(Err(error)) => error,
                Poll::Pending => return Poll::Pending,
            };
            return Poll::Ready(Err(match begun || reading.interim > 0 {
                true => SendError::BrokeOff(ended),
                false => SendError::NoAnswer(ended),
            }));
        }
    }
}

impl<B: Source> Exchange<B> {
    /// The next piece of the answer's body, of about `most` bytes if there are so many; meanwhile the rest
    /// of the request's is sent.
    pub fn poll_data(&mut self, most: u64, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, AnswerBodyError>>> {
        self.send_on(cx)?;
        loop {
            match self.decoder.decode(&mut self.connection.incoming.bytes)? {
                Decoded::Data(data) => return Poll::Ready(Some(Ok(data))),
                Decoded::End => return Poll::Ready(None),
                Decoded::More => {}
            }
            let expected = self.decoder.left().unwrap_or(u64::MAX).min(most);
            let connection = &mut self.connection;
            if ready!(connection.incoming.poll_fill(&mut connection.stream, expected, cx))? == 0 {
                self.decoder.end_of_connection()?;
            }
        }
    }

    /// Sends what there is of the rest of the request. For while nobody wants more of the answer: whoever
    /// sends it all before it reads would wait for ever.
    ///
    /// # Errors
    ///
    /// The request's body failed.
    pub fn send_on(&mut self, cx: &mut Context<'_>) -> Result<(), AnswerBodyError> {
        let Some(pumping) = &mut self.request else { return Ok(()) };
        match pumping.poll(&mut self.connection.stream, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => self.request = None,
            // It takes no more, and nothing may follow; its answer can still be complete.
            Poll::Ready(Err(PumpError::Write(_))) => {
                self.request = None;
                self.persistent = false;
            }
            // It would wait for the rest of the body, which does not come.
            Poll::Ready(Err(PumpError::Source(_))) => return Err(AnswerBodyError::Request),
        }
        Ok(())
    }

    /// Whether the answer's body has been read to its end.
    pub fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// The connection, if another exchange can follow: the answer was read to its end, the request
    /// was sent to its end, and not a byte came that nobody asked for.
    pub(super) fn into_connection(self) -> Option<Connection> {
        let mut connection = self.connection;
        let whole = self.persistent && self.decoder.is_done() && self.request.is_none();
        if !whole || !connection.incoming.bytes.is_empty() {
            return None;
        }
        connection.incoming.release();
        Some(connection)
    }

    /// The bare stream after a 101, and what the upstream has sent on it already.
    pub fn into_upgraded(self) -> (Stream, BytesMut) {
        (self.connection.stream, self.connection.incoming.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use tokio::net::TcpStream;

    /// A body in two pieces; the homeserver has had enough after the first.
    struct Refused {
        pieces: u32,
        far: Option<std::net::TcpStream>,
    }

    impl Source for Refused {
        type Error = ();

        fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ()>>> {
            self.pieces += 1;
            if self.pieces == 2 {
                // What there is leaves first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(mut far) = self.far.take_if(|_| self.pieces == 3) {
                far.read_exact(&mut [0; 10]).unwrap();
                far.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 7\r\n\r\nrefused").unwrap();
                // With unread bytes, so that the kernel resets the connection.
                drop(far);
            }
            Poll::Ready(Some(Ok(Bytes::from(vec![1; 100_000]))))
        }
    }

    #[tokio::test]
    async fn an_early_answer_is_read_though_the_rest_of_the_request_cannot_be_sent() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (far, _) = listener.accept().unwrap();
        let body = Refused { pieces: 0, far: Some(far) };
        let mut request = Some(Outbound::new(b"POST / HTTP/1.1\r\n\r\n".to_vec(), Some(body), false));
        let sent = Connection::new(Stream::Left(near)).exchange(&mut request, false).await;
        let (head, mut exchange) = sent.map_err(|error| format!("{error:?}")).unwrap();
        assert_eq!(head.status(), 413);
        let body = poll_fn(|cx| exchange.poll_data(u64::MAX, cx)).await;
        assert_eq!(body.unwrap().unwrap(), "refused");
        assert!(exchange.is_done());
        assert!(exchange.into_connection().is_none(), "nothing may follow");
    }
}
