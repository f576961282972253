//! One bounded HTTP/1.1 exchange over a connection that is already open.
//!
//! The certificate manager talks to its CA and the check talks to the world through this: both
//! meet servers that never answer or never stop. Every exchange has a deadline that covers the
//! body, and a limit on the body's size.

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Request, response head and the whole body must be through by then.
    pub deadline: Duration,
    /// Largest response body in bytes.
    pub max_body: usize,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The deadline passed.
    #[error("no complete answer within {0:?}")]
    Timeout(Duration),
    /// The body went over its limit.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    /// The connection or the protocol failed.
    #[error("the exchange failed")]
    Http(#[from] hyper::Error),
}

/// Sends `request` (origin-form target, `Host` set by the caller) and collects the answer.
pub async fn exchange<S, B>(stream: S, request: Request<B>, bounds: Bounds) -> Result<Response<Bytes>, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    exchange_by(&http1::Builder::new(), stream, request, bounds).await
}

/// The same by a client that the caller has set up.
pub async fn exchange_by<S, B>(
    builder: &http1::Builder,
    stream: S,
    request: Request<B>,
    bounds: Bounds,
) -> Result<Response<Bytes>, ExchangeError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let whole = async {
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let answer = async {
            let (parts, body) = sender.send_request(request).await?.into_parts();
            Ok(Response::from_parts(parts, collect(body, bounds.max_body).await?))
        };
        tokio::pin!(answer);
        tokio::pin!(connection);
        // The connection is driven here and not in a task of its own, so that leaving this
        // function by any way closes it.
        tokio::select! {
            answer = &mut answer => answer,
            ended = &mut connection => {
                ended?;
                answer.await
            }
        }
    };
    match tokio::time::timeout(bounds.deadline, whole).await {
        Ok(result) => result,
        Err(_) => Err(ExchangeError::Timeout(bounds.deadline)),
    }
}

/// Sends `requests` one after the other over one connection and collects the answers. The list ends
/// with the first failure, and where the server closed the connection after an answer: it may be
/// shorter than `requests`. The bounds are those of each exchange.
pub async fn exchange_all<S, B>(
    stream: S,
    requests: Vec<Request<B>>,
    bounds: Bounds,
) -> Vec<Result<Response<Bytes>, ExchangeError>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) = match http1::handshake(TokioIo::new(stream)).await {
        Ok(open) => open,
        Err(error) => return vec![Err(error.into())],
    };
    let asking = async {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            if !answers.is_empty() && sender.ready().await.is_err() {
                break;
            }
            let answer = async {
                let (parts, body) = sender.send_request(request).await?.into_parts();
                Ok(Response::from_parts(parts, collect(body, bounds.max_body).await?))
            };
            let answer = tokio::time::timeout(bounds.deadline, answer).await;
            let answer = answer.unwrap_or(Err(ExchangeError::Timeout(bounds.deadline)));
            let failed = answer.is_err();
            answers.push(answer);
            if failed {
                break;
            }
        }
        answers
    };
    tokio::pin!(asking);
    let mut connection = Box::pin(connection);
    tokio::select! {
        answers = &mut asking => return answers,
        // What ended it is told to whoever waits for an answer.
        _ = &mut connection => {}
    }
    // As long as it lives, even ended, whoever wants to send waits for it.
    drop(connection);
    asking.await
}

async fn collect<B>(mut body: B, limit: usize) -> Result<Bytes, ExchangeError>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if collected.len() + data.len() > limit {
                return Err(ExchangeError::TooLarge(limit));
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok(collected.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Empty;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// What three requests bring, each answered with one of `answers`; an `x` stands for an end.
    async fn told(answers: &'static [&'static str]) -> String {
        let (near, mut far) = tokio::io::duplex(4096);
        let requests = (0..3).map(|number| {
            let request = Request::get(format!("/{number}")).header("host", "a.test");
            request.body(Empty::<Bytes>::new()).unwrap()
        });
        let bounds = Bounds { deadline: Duration::from_secs(1), max_body: 10 };
        let serve = async move {
            for answer in answers {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match far.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                far.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let (answers, ()) = tokio::join!(exchange_all(near, requests.collect(), bounds), serve);
        let word = |answer: &Result<Response<Bytes>, ExchangeError>| match answer {
            Ok(answer) => String::from_utf8_lossy(answer.body()).into_owned(),
            Err(ExchangeError::TooLarge(_)) => "too large".to_owned(),
            Err(_) => "broken".to_owned(),
        };
        answers.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn one_connection_serves_as_many_as_it_does() {
        const A: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
        const LAST: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nb";
        const LONG: &str = "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890";
        assert_eq!(told(&[A, A, A]).await, "a a a");
        assert_eq!(told(&[A, LAST]).await, "a b");
        assert_eq!(told(&[LAST]).await, "b");
        assert_eq!(told(&[A, LONG]).await, "a too large");
        assert_eq!(told(&[A, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"]).await, "a broken");
    }
}
