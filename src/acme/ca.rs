//! One CA: its wire, its directory, its account, and what it says about the time and about
//! renewals.

use super::account::{AccountError, Accounts};
use super::directory::Directory;
use super::order::{OrderError, again, explain};
use super::wire::{Refusal, Transport, Wire};
use crate::certs::Store;
use crate::clock::{Clock, Timestamp};
use crate::config::AcmeCa;
use bytes::Bytes;
use http::Request;
use instant_acme::{Account, Error};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long a directory is good for. Within one attempt it is asked for once; between attempts it
/// is asked again, because its answer tells the time.
const DIRECTORY_AGE: Duration = Duration::from_secs(60);

/// A CA.
pub(super) struct Ca {
    pub authority: AcmeCa,
    /// What its folder in the store is called.
    pub key: String,
    pub accounts: Accounts,
    wire: Wire,
    directory: Mutex<Option<(Directory, Instant)>>,
}

/// What a CA says about the renewal of a certificate.
pub(super) enum RenewalInfo {
    /// The body, to be read, and the seconds after which to ask again.
    Said(Bytes, Option<i64>),
    /// It has nothing to say about renewals.
    Silent,
    /// It refuses, for now.
    Refused,
    /// It could not be asked.
    Unreachable,
}

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
            directory: Mutex::new(None),
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
        let mut known = self.directory.lock().await;
        if let Some((directory, _)) = known.as_ref().filter(|(_, at)| at.elapsed() < DIRECTORY_AGE) {
            return Ok(directory.clone());
        }
        let fetched = Directory::fetch(&self.wire, &self.authority.directory).await;
        let fetched = fetched.map_err(|error| explain("reading the directory", error))?;
        *known = Some((fetched.clone(), Instant::now()));
        Ok(fetched)
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
        let Ok(directory) = self.visit().await else { return RenewalInfo::Unreachable };
        let Some(url) = directory.renewal_info(id) else { return RenewalInfo::Silent };
        let asked = again(async || self.wire.send(Request::get(&url).body(Bytes::new())?).await).await;
        match asked {
            Ok(response) => RenewalInfo::Said(response.into_body(), self.wire.retry_after()),
            Err(Error::Other(error)) if error.downcast_ref().is_some_and(Refusal::is_final) => RenewalInfo::Refused,
            Err(_) => RenewalInfo::Unreachable,
        }
    }
}

/// A CA's folder: its directory URL with everything but letters, digits and dots flattened.
pub fn ca_key(directory: &str) -> String {
    let plain = directory.trim_start_matches("https://");
    plain.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect()
}
