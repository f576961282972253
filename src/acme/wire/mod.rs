//! The wire to a CA, under instant-acme's `HttpClient` seam.
//!
//! The library's own client has no deadline, no limit on bodies, and loses the status and headers
//! of errors. Here an error answer becomes a [`Refusal`] that keeps all of it, `Date` and
//! `Retry-After` of every answer are remembered, and what some CAs leave out and the library
//! insists on is put in.

mod refusal;
mod transport;

pub(super) use refusal::Refusal;
pub use transport::{Https, Transport, WireError};

use crate::clock::{Clock, Timestamp};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::DATE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesBody, BytesResponse, Error, HttpClient};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Seconds by which this machine's clock and a CA's may differ before the CA's is believed. Let's
/// Encrypt backdates its certificates by an hour, and an hour is how long a clock can be wrong
/// unnoticed after a resume; five minutes is what Kerberos made everybody keep.
pub const CLOCK_TOLERANCE: i64 = 300;

/// The client of one CA.
#[derive(Clone)]
pub(super) struct Wire {
    transport: Arc<dyn Transport>,
    clock: Clock,
    /// The CA's clock, and when it was read.
    date: Arc<Mutex<Option<(Timestamp, Instant)>>>,
    /// Seconds that the last answer asked to wait. Each order has its own: orders are under way side by side.
    retry_after: Arc<Mutex<Option<i64>>>,
    /// The certificate that the next order says it replaces: the library wants it confirmed.
    replaces: Option<String>,
}

impl Wire {
    pub(super) fn new(transport: Arc<dyn Transport>, clock: Clock) -> Self {
        Self { transport, clock, date: Arc::default(), retry_after: Arc::default(), replaces: None }
    }

    /// The same wire for one order, which may say that it replaces a certificate.
    pub(super) fn replacing(&self, replaces: Option<&str>) -> Self {
        Self { replaces: replaces.map(str::to_owned), retry_after: Arc::default(), ..self.clone() }
    }

    /// Seconds by which the CA's clock is ahead of this machine's, if that was heard of.
    pub(super) fn skew(&self) -> Option<i64> {
        let (date, at) = (*lock(&self.date))?;
        let elapsed = i64::try_from(at.elapsed().as_secs()).unwrap_or(0);
        Some(date.plus(elapsed).since(self.clock.now()))
    }

    /// The time as far as certificates go: this machine's, unless the CA's differs by more than
    /// [`CLOCK_TOLERANCE`]. What is valid is what the CA and the world hold for valid.
    pub(super) fn now(&self) -> Timestamp {
        let skew = self.skew().filter(|skew| skew.abs() > CLOCK_TOLERANCE).unwrap_or(0);
        self.clock.now().plus(skew)
    }

    /// Seconds that the last answer asked to wait.
    pub(super) fn retry_after(&self) -> Option<i64> {
        *lock(&self.retry_after)
    }

    /// An answer, whole, unless it is an error answer.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let places_order = request.method() == Method::POST;
        let answer = self.transport.exchange(request).await;
        let response = answer.map_err(|error| Error::Other(Box::new(error)))?;
        self.listen(&response);
        if let Some(refusal) = Refusal::of(&response, self.now()) {
            return Err(Error::Other(Box::new(refusal)));
        }
        Ok(match &self.replaces {
            Some(replaces) if places_order && response.status() == StatusCode::CREATED => {
                confirm_replaces(response, replaces)
            }
            _ => response,
        })
    }

    fn listen(&self, response: &Response<Bytes>) {
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(refusal::http_date);
        let retry_after = refusal::retry_after(response.headers(), date);
        *lock(&self.retry_after) = retry_after;
        if let Some(date) = date {
            *lock(&self.date) = Some((date, Instant::now()));
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RFC 9773 §5 has the CA repeat the field. One that does not has the order all the same, and
/// the library would lose it.
fn confirm_replaces(response: Response<Bytes>, replaces: &str) -> Response<Bytes> {
    let Ok(mut order) = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(response.body()) else {
        return response;
    };
    if order.contains_key("authorizations") && !order.contains_key("replaces") {
        tracing::debug!("the CA did not confirm that the order replaces a certificate");
        order.insert("replaces".to_owned(), replaces.into());
        return response.map(|_| Bytes::from(serde_json::json!(order).to_string()));
    }
    response
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let wire = self.clone();
        let sent: BoxFuture<'static, _> = Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let response = wire.send(Request::from_parts(parts, body)).await?;
            let (parts, body) = response.into_parts();
            let body: Box<dyn BytesBody> = Box::new(body);
            Ok(BytesResponse { parts, body })
        });
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks to wait as long as the path says.
    struct Slow;

    impl Transport for Slow {
        fn exchange(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, WireError>> {
            let response = Response::builder()
                .header("date", "Mon, 23 Nov 2026 10:00:00 GMT")
                .header("retry-after", request.uri().path().trim_start_matches('/'));
            Box::pin(async move { Ok(response.body(Bytes::new()).unwrap()) })
        }
    }

    #[tokio::test]
    async fn orders_side_by_side_wait_for_themselves() {
        let wire = Wire::new(Arc::new(Slow), Clock::fixed(Timestamp(0)));
        let (one, other) = (wire.replacing(None), wire.replacing(None));
        one.send(Request::get("https://ca.example/3").body(Bytes::new()).unwrap()).await.unwrap();
        wire.send(Request::get("https://ca.example/21600").body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!((one.retry_after(), other.retry_after(), wire.retry_after()), (Some(3), None, Some(21_600)));
        assert!(other.skew().is_some(), "the time is everybody's");
    }
}
