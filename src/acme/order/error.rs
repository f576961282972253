//! Why an order failed, and what may be tried again.

use crate::acme::account::AccountError;
use crate::acme::directory::UnknownProfile;
use crate::acme::dns01::Dns01Error;
use crate::acme::wire::{Refusal, WireError};
use crate::certs::certificate::InvalidCertificate;
use crate::certs::store::StoreError;
use crate::matrix::HostPattern;
use instant_acme::Error;
use std::time::Duration;

/// How often a request that ends in `badNonce` is made again (RFC 8555 §6.5). A CA that refuses
/// every nonce is out of order, and asking on would only add to its load.
const NONCE_TRIES: usize = 10;

/// How often a look is tried while the CA cannot be reached, and the pause between.
const LOOKS: usize = 5;
const LOOK_PAUSE: Duration = Duration::from_secs(3);

/// Why an order failed.
#[derive(Debug, thiserror::Error)]
pub(in crate::acme) enum OrderError {
    /// The CA tried and could not validate these names: another challenge type may work.
    #[error("validation failed: {reason}")]
    Validation { failed: Vec<HostPattern>, reason: String },
    /// The CA refused a step, or could not be reached.
    #[error("{step} failed")]
    Step {
        step: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Seconds.
        retry_after: Option<i64>,
    },
    /// The CA gave the order up, and not for a name.
    #[error("{step}: the CA gave the order up: {detail}")]
    GivenUp { step: &'static str, kind: Option<String>, detail: String },
    /// The CA has not finished in the time that an attempt has.
    #[error("{step}: the CA has not finished after {0} s; the order is taken up again later", limit.as_secs())]
    Unfinished { step: &'static str, limit: Duration, retry_after: Option<i64> },
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Profile(#[from] UnknownProfile),
    /// The record of DNS-01 could not be published, so the CA was not told to look.
    #[error("publishing a DNS record failed")]
    Dns(#[from] Dns01Error),
    /// The configuration was changed while an order was under way.
    #[error("DNS-01 is not configured")]
    NoDns,
    /// The order under way could not be written down.
    #[error("the order cannot be kept")]
    Store(#[from] StoreError),
    #[error("making a key or request failed")]
    Make(#[from] rcgen::Error),
    /// What the CA sent is not a certificate for this key and these names, valid now.
    #[error("the CA's certificate is unusable: {0}")]
    Unproved(String),
}

impl OrderError {
    /// Seconds that the CA asked to wait.
    pub(in crate::acme) fn retry_after(&self) -> Option<i64> {
        match self {
            Self::Step { retry_after, .. } | Self::Unfinished { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether there is nothing left of the order to take up later.
    pub(in crate::acme) fn ends_the_order(&self) -> bool {
        match self {
            Self::Validation { .. } | Self::GivenUp { .. } | Self::Unproved(_) => true,
            Self::Step { .. } => self.refusal().is_some_and(Refusal::is_final),
            _ => false,
        }
    }

    /// Whether the CA did not answer at all.
    pub(in crate::acme) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Step { source, .. } if source.is::<WireError>())
    }

    /// The CA's refusal, if that is what it was.
    pub(in crate::acme) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Step { source, .. } => source.downcast_ref(),
            _ => None,
        }
    }
}

impl From<InvalidCertificate> for OrderError {
    fn from(error: InvalidCertificate) -> Self {
        Self::Unproved(error.to_string())
    }
}

/// The refusal in an error of the library, if that is what it is.
pub(in crate::acme) fn refusal(error: &Error) -> Option<&Refusal> {
    match error {
        Error::Other(other) => other.downcast_ref(),
        _ => None,
    }
}

/// How long the CA asked to wait; `None` when that is longer than an attempt lasts.
pub(super) fn patience_for(error: &Error) -> Option<Duration> {
    let seconds = refusal(error).and_then(|refusal| refusal.retry_after).unwrap_or(0);
    let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    (wait <= super::PATIENCE).then_some(wait)
}

/// Repeats a call that ends in `badNonce`.
pub(in crate::acme) async fn again<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        match call().await {
            Err(error) if tries < NONCE_TRIES && refusal(&error).is_some_and(Refusal::is_bad_nonce) => tries += 1,
            result => return result,
        }
    }
}

/// The same for a call that only looks: a lost connection is no reason to give up an order whose
/// validation is under way.
pub(super) async fn look_again<T>(mut call: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match again(&mut call).await {
            Err(Error::Other(error)) if error.is::<WireError>() && tries < LOOKS => {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            result => return result,
        }
    }
}

/// Names the step that failed.
pub(in crate::acme) fn explain(step: &'static str, error: Error) -> OrderError {
    let retry_after = refusal(&error).and_then(|refusal| refusal.retry_after);
    let source = match error {
        Error::Other(other) => other,
        other => Box::new(other),
    };
    OrderError::Step { step, source, retry_after }
}
