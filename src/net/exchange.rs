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

/// The same with header names as people write them, `User-Agent` and not `user-agent`: for whoever
/// wants to see whether something on the way writes them anew.
pub async fn exchange_in_title_case<S, B>(
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
    exchange_by(http1::Builder::new().title_case_headers(true), stream, request, bounds).await
}

async fn exchange_by<S, B>(
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
