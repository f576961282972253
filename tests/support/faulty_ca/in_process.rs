//! The CA as an HTTP client of instant-acme: no sockets in between.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::{Answer, FaultyCa};

/// Hands every request to the CA, at the true time that `now` tells.
#[derive(Clone)]
pub struct InProcess {
    ca: FaultyCa,
    now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl InProcess {
    pub fn new(ca: FaultyCa, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { ca, now: Arc::new(now) }
    }

    /// One exchange. A CA that hangs makes it pending for ever.
    pub async fn exchange(&self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        match self.ca.answer(&request, (self.now)()) {
            Answer::Respond(response) => Ok(response),
            Answer::Reset => Err(io::ErrorKind::ConnectionReset.into()),
            Answer::Hang => pending().await,
        }
    }
}

impl HttpClient for InProcess {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
            let answer = client.exchange(Request::from_parts(head, body)).await;
            Ok(answer.map_err(|error| Error::Other(Box::new(error)))?.map(Full::new).into())
        })
    }
}
