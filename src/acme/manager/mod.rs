//! Keeps the certificates of all name sets valid.

mod accept;
mod attempt;
mod clocks;
mod job;
mod keeper;
mod passable;
mod rehearsal;
mod suggestion;

use super::ask::Asked;
use super::ca::Ca;
use super::dns01::Dns01;
use super::order::Answers;
use super::preflight::Preflight;
use super::schedule::There;
use super::stored::{self, Stored};
use super::wire::Transport;
use crate::certs::keyring::Slot;
use crate::certs::store::StoreError;
use crate::certs::{Certificate, Challenges, Published, Store};
use crate::clock::Clock;
use crate::config::{Acme, AcmeCa, CertificateOrder};
use crate::dns::Resolver;
use crate::matrix::{Host, HostPattern};
use crate::telemetry::complaint::Complaint;
use crate::telemetry::log::Chain;
use keeper::Keeper;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Orders under way at once. Fifty names at a first start must not become fifty simultaneous
/// accounts of the CA's patience, and a few at a time are through in a minute.
const PARALLEL_ORDERS: usize = 4;

/// Requests that may wait for one set of names. People ask one at a time.
const JOBS: usize = 4;

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
    /// DNS.
    pub resolver: Resolver,
    /// How the way here is looked at before a CA is told to take it, and what the listeners show
    /// looked at afterwards; without it, neither is.
    pub preflight: Option<Preflight>,
    /// Random numbers, for a moment in a CA's window.
    pub random: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// The certificate that is served for a set of names and will do until it is due.
#[derive(Clone)]
struct Current {
    certificate: Arc<Certificate>,
    /// The CA that issued it, as an index; `None` for one that is not asked any more.
    ca: Option<usize>,
}

impl Current {
    fn there(&self) -> There<'_> {
        stored::there(&self.certificate, self.ca)
    }
}

/// Manages certificates.
pub struct Manager {
    parts: Parts,
    settings: Acme,
    /// In order of preference.
    cas: Vec<Ca>,
    /// The rehearsal stage of each CA that has one.
    stages: Vec<Option<Ca>>,
    answers: Answers,
    permits: Semaphore,
    clock_complaint: Complaint,
}

impl Manager {
    /// A manager that reaches each CA over what `transport` gives for it.
    pub fn new<E>(
        parts: Parts,
        settings: &Acme,
        email: Option<&str>,
        mut transport: impl FnMut(&AcmeCa) -> Result<Arc<dyn Transport>, E>,
    ) -> Result<Self, E> {
        let mut cas = Vec::new();
        let mut stages = Vec::new();
        for authority in &settings.cas {
            let transport = transport(authority)?;
            let ca = |authority: &AcmeCa| Ca::new(authority, Arc::clone(&transport), &parts.store, &parts.clock, email);
            cas.push(ca(authority));
            stages.push(
                authority
                    .staging
                    .as_ref()
                    .map(|staging| ca(&AcmeCa { directory: staging.clone(), staging: None, ..authority.clone() })),
            );
        }
        let dns01 =
            settings.dns.as_ref().map(|provider| Dns01::new(provider, parts.resolver.clone(), parts.clock.clone()));
        let answers = Answers { challenges: parts.challenges.clone(), dns01 };
        Ok(Self {
            parts,
            answers,
            settings: settings.clone(),
            cas,
            stages,
            permits: Semaphore::new(PARALLEL_ORDERS),
            clock_complaint: Complaint::default(),
        })
    }

    /// Publishes what the store holds for `orders`, so that a restart serves from its first moment.
    /// A name that no stored certificate of them covers gets one of an earlier configuration: names
    /// move from certificate to certificate as it changes.
    pub async fn publish_stored(&self, orders: &[CertificateOrder], served: &[Host]) {
        for CertificateOrder { names } in orders {
            // Told by the task that keeps this certificate, which tries again.
            if let Err(error) = self.load(names).await {
                tracing::debug!(%error, "a stored certificate cannot be read yet");
            }
        }
        for name in served.iter().filter(|name| !self.parts.published.covers(name)) {
            for set in former_sets(name) {
                let Ok(Some(content)) = self.parts.store.load(&stored::key(&set)).await else { continue };
                if let Ok(stored) = Stored::parse(&content)
                    && stored.certificate.covers(name)
                {
                    self.parts.published.publish(Slot::LeftOver(name.clone()), Arc::new(stored.certificate));
                    break;
                }
            }
        }
    }

    /// Publishes what is stored for `names`. Returns it if it will do until it is due for renewal.
    async fn load(&self, names: &[HostPattern]) -> Result<Option<Current>, StoreError> {
        let Some(first) = names.first() else { return Ok(None) };
        let key = stored::key(first);
        let store = &self.parts.store;
        let Some(content) = store.load(&key).await? else { return Ok(None) };
        match Stored::parse(&content) {
            Ok(stored) => {
                // Another CA's, or for fewer names: served until the new one is there, and no longer.
                let ca = stored.ca_among(self.cas.iter().map(|ca| ca.key.clone()));
                let fits = stored.fits(names) && ca.is_some();
                let certificate = Arc::new(stored.certificate);
                let slot = Slot::Issued(first.to_string());
                // A newer one may be served that the store did not take.
                let is_newer = |served: &Arc<Certificate>| served.facts().not_before > certificate.facts().not_before;
                if !self.parts.published.subscribe().borrow().get(&slot).is_some_and(is_newer) {
                    self.parts.published.publish(slot, Arc::clone(&certificate));
                }
                Ok(fits.then_some(Current { certificate, ca }))
            }
            Err(error) => {
                let path = store.describe(&key);
                tracing::error!(%path, %error, "the stored certificate is damaged; it is set aside and a new one ordered");
                if let Err(error) = store.set_aside(&key).await {
                    tracing::error!(error = %Chain(&error), "it could not be set aside");
                }
                Ok(None)
            }
        }
    }

    /// Keeps the certificates for `orders` valid, and does what is `asked`; without `unasked` only the latter.
    /// Never returns; dropping the future ends it. Must run inside a `LocalSet`: the control plane
    /// has one thread.
    pub async fn run(self, orders: Vec<CertificateOrder>, mut asked: mpsc::Receiver<Asked>, unasked: bool) {
        Rc::new(self).keep(orders, &mut asked, unasked).await;
    }

    /// [`run`](Self::run), for an owner whose orders change: it drops the future and begins anew, as after a restart.
    pub async fn keep(
        self: &Rc<Self>,
        orders: Vec<CertificateOrder>,
        asked: &mut mpsc::Receiver<Asked>,
        unasked: bool,
    ) {
        let mut tasks = JoinSet::new();
        let mut keepers = Vec::new();
        for CertificateOrder { names } in orders {
            let Some(keeper) = Keeper::new(Rc::clone(self), names.clone()) else { continue };
            let (jobs, received) = mpsc::channel(JOBS);
            keepers.push((names, jobs));
            tasks.spawn_local(keeper.keep(received, unasked));
        }
        let ends = async {
            while let Some(ended) = tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a certificate's task ended; restart vestibule to renew it");
                }
            }
        };
        tokio::join!(job::dispatch(keepers, asked), ends);
    }
}

/// What a certificate may have been stored as that covers `name`: itself, or, because a server's public host mostly lies
/// below its name, a parent or its wildcard.
fn former_sets(name: &Host) -> Vec<HostPattern> {
    let mut sets = vec![HostPattern::from(name.clone())];
    let mut rest = name.dns().unwrap_or_default();
    while let Some((_, parent)) = rest.split_once('.').filter(|(_, parent)| parent.contains('.')) {
        let patterns = [HostPattern::parse(parent), HostPattern::parse(&format!("*.{parent}"))];
        sets.extend(patterns.into_iter().flatten());
        rest = parent;
    }
    sets
}
