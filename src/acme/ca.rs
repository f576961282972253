//! One CA: its wire, its directory, its account, and what it says about the time and about
//! renewals.

use super::account::{AccountError, Accounts};
use super::directory::Directory;
use super::order::{OrderError, again, explain, refusal};
use super::wire::{Transport, Wire, WireError};
use crate::certs::Store;
use crate::clock::{Clock, Timestamp};
use crate::config::AcmeCa;
use crate::telemetry::log::Chain;
use bytes::Bytes;
use http::Request;
use instant_acme::Account;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a directory is good for. Within one attempt it is asked for once; between attempts it
/// is asked again, because its answer tells the time.
const DIRECTORY_AGE: Duration = Duration::from_secs(60);

/// The longest Retry-After of a directory that is believed.
const LONGEST_WAIT: i64 = 86_400;

/// How long a failure to read the directory stands for everybody who asks: as many names as there are would otherwise
/// wait for a silent CA one after the other.
const FAILURE_AGE: Duration = Duration::from_secs(10);

/// The CA asked to wait before it is asked for its directory again.
#[derive(Debug, thiserror::Error)]
#[error("the CA asked to wait for another {0} s")]
struct AskedToWait(i64);

/// A CA.
pub(super) struct Ca {
    pub authority: AcmeCa,
    /// What its folder in the store is called.
    pub key: String,
    pub accounts: Accounts,
    wire: Wire,
    directory: Mutex<Known>,
}

/// What is known of the directory.
#[derive(Default)]
struct Known {
    directory: Option<(Directory, Instant)>,
    /// The CA could not answer, and asked to wait until then.
    wait: Option<Instant>,
    /// The CA could not be reached then, and why.
    failed: Option<(Instant, String)>,
}

/// What a CA says about the renewal of a certificate.
pub(super) enum RenewalInfo {
    /// The body, to be read, and the seconds after which to ask again.
    Said(Bytes, Option<i64>),
    /// It has nothing to say about renewals.
    Silent,
    /// It refuses, for now.
    Refused,
    /// It could not be asked, or could not answer and said after how many seconds to ask again.
    Unreachable(Option<i64>),
}

/// A CA that has used up so much of everybody's time is not asked again by the next in the queue.
const SILENCE: Duration = Duration::from_secs(5);

impl Ca {
    pub(super) fn new(
        authority: &AcmeCa,
        transport: Arc<dyn Transport>,
        store: &Store,
        clock: &Clock,
        email: Option<&str>,
    ) -> Self {
        let key = ca_key(&authority.directory);
        Self {
            accounts: Accounts::new(store.clone(), authority, &key, email),
            authority: authority.clone(),
            key,
            wire: Wire::new(transport, clock.clone()),
            directory: Mutex::default(),
        }
    }

    /// The wire, for an order that may take the place of a certificate.
    pub(super) fn wire(&self, replaces: Option<&str>) -> Wire {
        self.wire.replacing(replaces)
    }

    /// The time as this CA has it, where that was heard of.
    pub(super) fn now(&self) -> Timestamp {
        self.wire.now()
    }

    /// Seconds by which the CA's clock is ahead of this machine's, where that was heard of.
    pub(super) fn skew(&self) -> Option<i64> {
        self.wire.skew()
    }

    /// The directory, fresh enough for the CA's time in its answer to count.
    pub(super) async fn visit(&self) -> Result<Directory, OrderError> {
        const STEP: &str = "reading the directory";
        let mut known = self.directory.lock().await;
        if let Some((directory, _)) = known.directory.as_ref().filter(|(_, at)| at.elapsed() < DIRECTORY_AGE) {
            return Ok(directory.clone());
        }
        // Every set of names comes here, and so does each look at a renewal.
        let wait = known.wait.map(|until| until.saturating_duration_since(Instant::now()).as_secs_f64().ceil());
        if let Some(seconds) = wait.filter(|seconds| *seconds > 0.0) {
            #[expect(clippy::cast_possible_truncation, reason = "a day at most")]
            let seconds = seconds as i64;
            return Err(OrderError::Step {
                step: STEP,
                source: Box::new(AskedToWait(seconds)),
                retry_after: Some(seconds),
            });
        }
        if let Some((_, why)) = known.failed.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_AGE) {
            let source = Box::new(WireError::JustFailed(why.clone()));
            return Err(OrderError::Step { step: STEP, source, retry_after: None });
        }
        let begun = Instant::now();
        match Directory::fetch(&self.wire, &self.authority.directory).await {
            Ok(directory) => {
                *known = Known { directory: Some((directory.clone(), Instant::now())), ..Known::default() };
                Ok(directory)
            }
            Err(error) => {
                let error = explain(STEP, error);
                // One that is refused at once may be asked again at once, by whoever waits for it.
                if error.is_unreachable() && begun.elapsed() >= SILENCE {
                    let why = error.source().map_or_else(|| error.to_string(), |source| Chain(source).to_string());
                    known.failed = Some((Instant::now(), why));
                }
                let seconds = error.retry_after().map(|seconds| seconds.clamp(0, LONGEST_WAIT));
                known.wait =
                    seconds.and_then(|seconds| Some(Instant::now() + Duration::from_secs(seconds.try_into().ok()?)));
                Err(error)
            }
        }
    }

    /// The account, for an order over `wire`.
    pub(super) async fn account(&self, wire: &Wire, directory: &Directory) -> Result<Account, OrderError> {
        self.accounts.get(wire, directory).await
    }

    /// Forgets the account's URL after the CA has.
    pub(super) async fn forget_account(&self) -> Result<(), AccountError> {
        self.accounts.forget().await
    }

    /// Asks when the certificate `id` is best renewed (RFC 9773 §4). No signature, no quota.
    pub(super) async fn renewal_info(&self, id: &str) -> RenewalInfo {
        let directory = match self.visit().await {
            Ok(directory) => directory,
            Err(error) => return RenewalInfo::Unreachable(error.retry_after()),
        };
        let Some(url) = directory.renewal_info(id) else { return RenewalInfo::Silent };
        let asked = again(async || self.wire.send(Request::get(&url).body(Bytes::new())?).await).await;
        match asked {
            Ok(response) => RenewalInfo::Said(response.into_body(), self.wire.retry_after()),
            Err(error) => match refusal(&error) {
                Some(refusal) if refusal.is_final() => RenewalInfo::Refused,
                refused => RenewalInfo::Unreachable(refused.and_then(|refusal| refusal.retry_after)),
            },
        }
    }
}

/// A CA's folder: its directory URL with everything but letters, digits and dots flattened.
pub fn ca_key(directory: &str) -> String {
    let plain = directory.trim_start_matches("https://");
    plain.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect()
}
