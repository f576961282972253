//! The certificate manager: orders certificates over ACME (RFC 8555) and renews them.
//!
//! [`mod@plan`] decides when (pure), [`ledger`] remembers what happened at the CA across restarts,
//! [`order`] takes one order through validation, [`http`] is the wire. The protocol itself is
//! instant-acme's; all it needs around it stays inside this module.

mod account;
pub mod dns01;
mod http;
mod ledger;
mod order;
pub mod plan;

pub use account::AccountError;

use crate::certs::keyring::Slot;
use crate::certs::{Certificate, Challenges, Published, Store};
use crate::clock::Clock;
use crate::config::{Acme, CertificateOrder, Challenge};
use crate::dns::Resolver;
use crate::matrix::HostPattern;
use crate::telemetry::log::Chain;
use account::Accounts;
use dns01::Dns01;
use http::Wire;
use ledger::Ledger;
use order::{Answers, OrderError, Outcome};
use plan::{Reason, plan};
use rustls::RootCertStore;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Orders under way at once. Fifty names at a first start must not become fifty simultaneous
/// accounts of the CA's patience, and a few at a time are through in a minute.
const PARALLEL_ORDERS: usize = 4;

/// A long sleep is taken in pieces: a machine that was suspended, or whose clock was set, must not
/// sleep past a renewal.
const LONGEST_SLEEP: Duration = Duration::from_secs(10 * 60);

/// After a failure to read or write the state directory. It costs no CA anything, so it is short.
const STORE_RETRY: Duration = Duration::from_secs(60);

/// Everything a manager works with.
#[derive(Clone)]
pub struct Parts {
    /// State.
    pub store: Store,
    /// Where finished certificates go.
    pub published: Arc<Published>,
    /// Where challenges are answered from.
    pub challenges: Challenges,
    /// The time.
    pub clock: Clock,
}

/// A set of names whose certificate is kept valid.
pub struct Kept {
    names: Vec<HostPattern>,
    /// What the store held and still fits; `None` when the store could not be read.
    stored: Option<Option<Arc<Certificate>>>,
}

/// Manages the certificates of one CA.
pub struct Manager {
    parts: Parts,
    settings: Acme,
    accounts: Accounts,
    ca: String,
    permits: Semaphore,
    dns01: Option<Dns01>,
}

impl Manager {
    /// A manager that trusts `roots` to identify the CA.
    pub fn new(
        parts: Parts,
        settings: &Acme,
        email: Option<&str>,
        roots: RootCertStore,
    ) -> Result<Self, rustls::Error> {
        let wire = Wire::new(roots)?;
        let ca = ca_key(&settings.directory);
        let accounts = Accounts::new(wire, parts.store.clone(), &settings.directory, &ca, email);
        let dns01 = settings.dns.as_ref();
        let dns01 = dns01.map(|dns| Dns01::new(dns, Resolver::from_system(), parts.clock.clone()));
        Ok(Self { parts, settings: settings.clone(), accounts, ca, permits: Semaphore::new(PARALLEL_ORDERS), dns01 })
    }

    /// Publishes what the store holds for `orders`, so that a restart serves from its first moment.
    pub async fn publish_stored(&self, orders: Vec<CertificateOrder>) -> Vec<Kept> {
        let mut kept = Vec::new();
        for CertificateOrder { names } in orders {
            let Some(first) = names.first() else { continue };
            let stored = match self.parts.store.load(&certificate_key(first)).await {
                Ok(content) => Some(self.accept_stored(&names, content).await),
                // Told by the task that keeps this certificate, which tries again.
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "a stored certificate cannot be read yet");
                    None
                }
            };
            kept.push(Kept { names, stored });
        }
        kept
    }

    /// Keeps all certificates valid. Never returns; dropping the future ends it. Must run inside a
    /// `LocalSet`: the control plane has one thread.
    pub async fn run(self, kept: Vec<Kept>) {
        let manager = Rc::new(self);
        let mut tasks = JoinSet::new();
        for kept in kept {
            let manager = Rc::clone(&manager);
            tasks.spawn_local(async move { manager.keep(kept).await });
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a certificate's task ended; restart vestibule to renew it");
            }
        }
    }

    /// Keeps one certificate valid.
    async fn keep(&self, Kept { names, stored }: Kept) {
        let names = names.as_slice();
        let Some(first) = names.first() else { return };
        let shown = HostPattern::list(names);
        let mut current = match stored {
            Some(current) => current,
            None => self.load(names).await,
        };
        loop {
            let ledger = match Ledger::load(&self.parts.store, &self.ca, first, self.parts.clock.now()).await {
                Ok(ledger) => ledger,
                Err(error) => {
                    // Without the record of earlier failures, ordering could break the CA's limits.
                    tracing::error!(names = %shown, error = %Chain(&error), "the record of orders cannot be read");
                    tokio::time::sleep(STORE_RETRY).await;
                    continue;
                }
            };
            let now = self.parts.clock.now();
            let facts = current.as_deref().map(Certificate::facts);
            let next = if facts.is_some() { ledger.next_renewal() } else { ledger.next_attempt() };
            let plan = plan(now, facts, next);
            let wait = u64::try_from(plan.at.since(now)).unwrap_or(0);
            if wait > 0 {
                if plan.reason == Reason::Missing {
                    let at = plan.at;
                    let record = self.parts.store.describe(&ledger::key(&self.ca, first));
                    tracing::warn!(
                        names = %shown, next_attempt = %at, %record,
                        "waiting for a certificate; once the cause is mended, stop vestibule, remove the record, and start it"
                    );
                }
                tokio::time::sleep(Duration::from_secs(wait).min(LONGEST_SLEEP)).await;
                continue;
            }
            tracing::info!(names = %shown, reason = %plan.reason, ca = %self.settings.directory, "ordering a certificate");
            match self.attempt(names, ledger).await {
                Ok(certificate) => current = Some(certificate),
                Err(Attempt::Store) => tokio::time::sleep(STORE_RETRY).await,
                Err(Attempt::Failed) => {}
            }
        }
    }

    /// The last good certificate, published. What cannot be read is left alone, told, and tried
    /// again.
    async fn load(&self, names: &[HostPattern]) -> Option<Arc<Certificate>> {
        let first = names.first()?;
        let key = certificate_key(first);
        loop {
            match self.parts.store.load(&key).await {
                Ok(content) => return self.accept_stored(names, content).await,
                Err(error) => {
                    // A load error is not "not found": ordering now could be the fifth this week.
                    tracing::error!(names = %HostPattern::list(names), error = %Chain(&error), "the stored certificate cannot be read");
                    tokio::time::sleep(STORE_RETRY).await;
                }
            }
        }
    }

    /// Publishes what was stored. Returns it if it will do until it is due for renewal.
    async fn accept_stored(&self, names: &[HostPattern], content: Option<Vec<u8>>) -> Option<Arc<Certificate>> {
        let first = names.first()?;
        let content = content?;
        match Certificate::from_pem(&content, &content) {
            Ok(certificate) => {
                let certificate = Arc::new(certificate);
                self.publish(first, &certificate);
                // Another CA's, or for fewer names: served until the new one is there, and no longer.
                let fits = names.iter().all(|name| certificate.includes(name)) && self.is_of_this_ca(&content);
                fits.then_some(certificate)
            }
            Err(error) => {
                let key = certificate_key(first);
                let path = self.parts.store.describe(&key);
                tracing::error!(%path, %error, "the stored certificate is damaged; it is set aside and a new one ordered");
                if let Err(error) = self.parts.store.set_aside(&key).await {
                    tracing::error!(error = %Chain(&error), "it could not be set aside");
                }
                None
            }
        }
    }

    /// Whether a stored certificate came from the configured CA. One without the line does not say,
    /// and is taken for it.
    fn is_of_this_ca(&self, content: &[u8]) -> bool {
        let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.strip_prefix(CA_LINE.as_bytes()).is_none_or(|ca| ca == self.ca.as_bytes())
    }

    /// One attempt: an order per challenge type until one works or all have failed.
    async fn attempt(&self, names: &[HostPattern], mut ledger: Ledger) -> Result<Arc<Certificate>, Attempt> {
        let Ok(_permit) = self.permits.acquire().await else { return Err(Attempt::Failed) };
        let Some(first) = names.first() else { return Err(Attempt::Failed) };
        let shown = HostPattern::list(names);
        let before = ledger.clone();
        // Recorded as failed before it begins: a crash half-way counts, or a crash loop would not.
        ledger.begin(self.parts.clock.now());
        self.save(&ledger, first).await?;
        let mut tried = Vec::new();
        while let Some(challenge) = ledger.choose(&self.settings.challenges, names) {
            // Whatever the CA makes of the names, a type is tried once.
            if tried.contains(&challenge) {
                break;
            }
            tried.push(challenge);
            match self.order(names, challenge).await {
                Ok(outcome) => return Ok(self.accept(names, first, outcome, &mut ledger, challenge).await),
                Err(OrderError::Validation { failed, reason }) => {
                    tracing::warn!(
                        names = %HostPattern::list(&failed), challenge = challenge.as_str(), %reason,
                        "the CA could not validate; remedy: {}; if another web server answers a server name, set apex = \"elsewhere\"",
                        remedy(challenge)
                    );
                    ledger.failed_type(challenge, &failed);
                    self.save(&ledger, first).await?;
                }
                Err(OrderError::Account(error)) => {
                    // The CA was not asked, so nothing counts.
                    tracing::error!(error = %Chain(&error), "there is no account to order with");
                    self.save(&before, first).await?;
                    return Err(Attempt::Store);
                }
                Err(error) => {
                    let now = self.parts.clock.now();
                    if error.cost_nothing() {
                        ledger.soften(now);
                    }
                    ledger.not_before(now, error.retry_after());
                    tracing::error!(
                        names = %shown, next_attempt = %ledger.next_attempt(), error = %Chain(&error),
                        "ordering a certificate failed"
                    );
                    self.save(&ledger, first).await?;
                    return Err(Attempt::Failed);
                }
            }
        }
        tracing::error!(
            names = %shown, next_attempt = %ledger.next_attempt(),
            "ordering a certificate failed: no challenge type that is configured works"
        );
        ledger.forget_failed_types();
        self.save(&ledger, first).await?;
        Err(Attempt::Failed)
    }

    /// Stores and publishes a new certificate. What cannot be written is told and changes nothing
    /// about the certificate: it is served from memory.
    async fn accept(
        &self,
        names: &[HostPattern],
        first: &HostPattern,
        outcome: Outcome,
        ledger: &mut Ledger,
        challenge: Challenge,
    ) -> Arc<Certificate> {
        let Outcome { certificate, pem } = outcome;
        let certificate = Arc::new(certificate);
        let content = format!("{CA_LINE}{}\n{pem}", self.ca);
        if let Err(error) = self.parts.store.store(&certificate_key(first), content.as_bytes()).await {
            tracing::error!(names = %HostPattern::list(names), error = %Chain(&error), "the new certificate could not be stored");
        }
        self.publish(first, &certificate);
        let now = self.parts.clock.now();
        let facts = certificate.facts();
        ledger.succeeded(challenge, now, facts.not_after.since(facts.not_before));
        if plan(now, Some(facts), now).at <= now {
            let not_after = facts.not_after;
            tracing::warn!(%now, %not_after, "the new certificate is due for renewal already: is this machine's clock right?");
        }
        // Told if it fails. The certificate is there all the same.
        let _ = self.save(ledger, first).await;
        certificate
    }

    async fn order(&self, names: &[HostPattern], challenge: Challenge) -> Result<Outcome, OrderError> {
        let account = self.accounts.get().await?;
        let profile = self.settings.profile.as_deref();
        let answers = Answers { challenges: &self.parts.challenges, dns01: self.dns01.as_ref() };
        order::order(&account, names, challenge, profile, answers, &self.parts.clock).await
    }

    async fn save(&self, ledger: &Ledger, first: &HostPattern) -> Result<(), Attempt> {
        ledger.save(&self.parts.store, &self.ca, first).await.map_err(|error| {
            tracing::error!(error = %Chain(&error), "the record of orders cannot be written; nothing is ordered without it");
            Attempt::Store
        })
    }

    fn publish(&self, first: &HostPattern, certificate: &Arc<Certificate>) {
        self.parts.published.publish(Slot::Issued(first.to_string()), Arc::clone(certificate));
    }
}

/// How an attempt failed, after it has been told.
enum Attempt {
    /// At the state directory.
    Store,
    /// At the CA; the ledger says when to try again.
    Failed,
}

fn remedy(challenge: Challenge) -> &'static str {
    match challenge {
        Challenge::TlsAlpn01 => {
            "let TCP port 443 of every address in DNS reach this machine's https listener, without TLS in between"
        }
        Challenge::Http01 => "let TCP port 80 of every address in DNS reach this machine's http listener",
        Challenge::Dns01 => "see that the TXT records of [acme.dns] reach every name server of the zone",
    }
}

/// The line before the PEM in a stored certificate: whose it is, so that a change of the CA is one.
const CA_LINE: &str = "ca: ";

/// Where a certificate with its key is stored.
fn certificate_key(first: &HostPattern) -> String {
    format!("certificates/{}.pem", first.file_name())
}

/// A CA's folder: its directory URL with everything but letters, digits and dots flattened.
fn ca_key(directory: &str) -> String {
    let plain = directory.trim_start_matches("https://");
    plain.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' }).collect()
}
