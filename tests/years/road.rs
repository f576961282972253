//! The road to a CA: what HTTPS does in the shipped program, without sockets.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use vestibule::acme::{Transport, WireError};

use crate::support::faulty_ca::{Answer, FaultyCa};

use super::random::Random;
use super::rim::Rim;
use super::time::{DAY, Time};

/// As long as the shipped client waits.
const DEADLINE: Duration = Duration::from_secs(30);

/// The CA's own certificate is new every sixty days, and valid from an hour before that for ninety.
const SERVER_PERIOD: i64 = 60 * DAY;
const SERVER_VALIDITY: i64 = 90 * DAY;

/// To one CA.
#[derive(Clone)]
pub struct Road {
    pub ca: FaultyCa,
    pub host: String,
    pub time: Time,
    pub rim: Rim,
    pub random: Arc<Random>,
    /// Whether a machine whose clock is wrong finds the CA's own certificate expired or not yet valid.
    pub verifies: bool,
}

/// Whether the CA's own certificate seems valid to a clock that is wrong by so much.
pub fn seems_valid(now: i64, error: i64) -> bool {
    let issued = now - now.rem_euclid(SERVER_PERIOD) - 3_600;
    (issued..issued + SERVER_VALIDITY).contains(&(now + error))
}

impl Road {
    async fn whole(self, request: Request<Bytes>) -> Result<Response<Bytes>, WireError> {
        let path = request.uri().path().to_owned();
        if path == "/new-nonce" || path == "/new-order" {
            self.rim.order_begins();
        }
        self.rim.pass().await;
        // There and back.
        self.nap().await;
        if self.verifies && !seems_valid(self.time.now(), self.time.error()) {
            self.rim.note(format!("{} {path}: its certificate seems expired", self.host));
            return Err(WireError::Tls { host: self.host, source: io::ErrorKind::InvalidData.into() });
        }
        let answer = self.ca.answer(&request, self.time.now());
        let told = match &answer {
            Answer::Respond(response) => response.status().as_u16().to_string(),
            Answer::Reset => "reset".to_owned(),
            Answer::Hang => "no answer".to_owned(),
        };
        self.rim.note(format!("{} {path}: {told}", self.host));
        let lost = !matches!(&answer, Answer::Respond(response) if response.status().as_u16() < 500);
        if lost && !path.starts_with("/renewal-info") {
            self.rim.set_back();
        }
        self.rim.pass().await;
        match answer {
            Answer::Respond(response) => {
                self.nap().await;
                Ok(response)
            }
            Answer::Reset => Err(WireError::Connect { host: self.host, source: io::ErrorKind::ConnectionReset.into() }),
            Answer::Hang => {
                tokio::time::sleep(DEADLINE).await;
                Err(WireError::Timeout(self.host, DEADLINE))
            }
        }
    }

    async fn nap(&self) {
        let milliseconds = self.random.magnitude(5, 400);
        tokio::time::sleep(Duration::from_millis(u64::try_from(milliseconds).unwrap_or(5))).await;
    }
}

impl Transport for Road {
    fn exchange(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, WireError>> {
        Box::pin(self.clone().whole(request))
    }
}
