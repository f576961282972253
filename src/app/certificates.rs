//! Where the served certificates come from, and how a new one reaches the workers.

use super::{CaFileError, StartError};
use crate::acme::ask::Asked;
use crate::acme::plan::{self, Validity};
use crate::acme::preflight::{Preflight, ValidationPorts};
use crate::acme::{Https, Manager, Parts, Transport};
use crate::certs::internal::Authority;
use crate::certs::keyring::Slot;
use crate::certs::watch::{self, Watch};
use crate::certs::{Certificate, Keyring, Published, StateLock, Store, files};
use crate::clock::{Clock, Timestamp};
use crate::config::{AcmeCa, CertificateOrder, Config, DefaultCertificate, Issuer};
use crate::dns::Resolver;
use crate::matrix::HostPattern;
use crate::net::roots;
use crate::probe::OwnListeners;
use crate::proxy::{Serving, Shared};
use crate::telemetry::log::Chain;
use crate::tls::{Tickets, TlsTable};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often the internal CA looks whether a certificate is due. Lifetimes are days.
const INTERNAL_TICK: Duration = Duration::from_secs(600);

/// After a state directory that could not be locked.
const LOCK_RETRY: Duration = Duration::from_secs(60);

/// What became of one pair of the operator's files.
#[derive(Debug)]
pub enum FileReport {
    /// It is served, perhaps repaired.
    Served {
        /// What had to be put right, as sentences.
        repairs: Vec<String>,
    },
    /// It cannot be used, with the remedy.
    Refused(String),
}

/// The issuers and what they have published.
pub(super) struct Certificates {
    config: Arc<Config>,
    published: Arc<Published>,
    shared: Arc<Shared>,
    tickets: Tickets,
    clock: Clock,
    orders: Vec<CertificateOrder>,
    issuer: Prepared,
    watch: Option<Watch>,
    /// Serial numbers of what is published and told, so that each certificate is told once, and
    /// again only when it comes back.
    told: RefCell<BTreeSet<String>>,
}

/// Which orders the manager makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// Whatever is missing or due, and what people ask for.
    Always,
    /// What people ask for.
    WhenAsked,
}

enum Prepared {
    Acme(Box<Manager>),
    Internal(Box<Authority>),
    Files,
}

impl Certificates {
    /// Loads and publishes everything that is there already, so that the first handshake finds it.
    pub(super) async fn prepare(
        config: &Arc<Config>,
        own: OwnListeners,
        store: Store,
        tickets: Tickets,
        shared: &Arc<Shared>,
    ) -> Result<Self, StartError> {
        let (challenges, clock) = (shared.challenges.clone(), shared.clock.clone());
        let published = Arc::new(Published::default());
        let served = config.names.iter().map(|(host, _)| host.clone()).collect();
        let mut watch = Watch::new(Arc::clone(&published), served, clock.clone(), watch::INTERVAL);
        let reports = check_files(config, clock.now(), |slot, certificate| published.publish(slot, certificate));
        for (index, (report, files)) in reports.into_iter().zip(&config.tls.certificates).enumerate() {
            let (refused, repairs) = match report {
                FileReport::Served { repairs } => (None, repairs),
                FileReport::Refused(reason) => (Some(reason), Vec::new()),
            };
            repairs.iter().for_each(|repair| tracing::warn!("{repair}"));
            refused.iter().for_each(|reason| tracing::error!("tls.certificates: {reason}"));
            watch.add(index, files.clone(), refused, repairs);
        }
        for unused in unused_files(config, &published) {
            tracing::warn!("{unused}");
        }
        let orders = uncovered(config, &published);
        let issuer = match config.tls.issuer {
            Issuer::Files => {
                if published.subscribe().borrow().is_empty() {
                    return Err(StartError::NoCertificate);
                }
                for order in &orders {
                    tracing::error!(names = %HostPattern::list(&order.names), "no file covers these names; their handshakes are refused");
                }
                Prepared::Files
            }
            Issuer::Internal => {
                let names = config.names.certificate_names();
                Prepared::Internal(Box::new(Authority::load_or_make(&store, names, &clock).await?))
            }
            Issuer::Acme => {
                let resolver = Resolver::from_system();
                let preflight = Preflight {
                    resolver: resolver.clone(),
                    challenges: challenges.clone(),
                    store: store.clone(),
                    own,
                    ports: ValidationPorts::default(),
                };
                let parts = Parts {
                    store,
                    published: Arc::clone(&published),
                    challenges,
                    clock: clock.clone(),
                    resolver,
                    preflight: Some(preflight),
                    random: Arc::new(random),
                };
                let transport = |ca: &AcmeCa| -> Result<Arc<dyn Transport>, StartError> {
                    Ok(Arc::new(Https::new(acme_roots(ca)?)?))
                };
                let manager = Manager::new(parts, &config.acme, config.email.as_deref(), transport)?;
                manager.publish_stored(&orders, config.names.certificate_names()).await;
                Prepared::Acme(Box::new(manager))
            }
        };
        let certificates = Self {
            config: Arc::clone(config),
            published,
            shared: Arc::clone(shared),
            tickets,
            clock,
            orders,
            issuer,
            watch: Some(watch),
            told: RefCell::default(),
        };
        certificates.issue_internally();
        let slots = certificates.published.subscribe().borrow().clone();
        certificates.show(&slots)?;
        Ok(certificates)
    }

    pub(super) fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published)
    }

    pub(super) fn internal_root(&self) -> Option<&str> {
        match &self.issuer {
            Prepared::Internal(authority) => Some(authority.root_pem()),
            Prepared::Acme(_) | Prepared::Files => None,
        }
    }

    /// What the operator's files leave to the issuer.
    pub(super) fn orders(&self) -> &[CertificateOrder] {
        &self.orders
    }

    /// Keeps certificates valid and shows every new one, and has the manager do what people ask of it.
    /// Never returns.
    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Asked>, keeping: Keeping) {
        let watch = self.watch.take();
        let watch = async move {
            if let Some(watch) = watch {
                watch.run().await;
            }
        };
        let issuer = std::mem::replace(&mut self.issuer, Prepared::Files);
        match issuer {
            Prepared::Acme(manager) => {
                for order in &self.orders {
                    if keeping == Keeping::Always && !order.names.iter().all(|name| self.published.includes(name)) {
                        tracing::warn!(names = %HostPattern::list(&order.names), "no certificate yet: handshakes for these names are refused until the CA has issued one");
                    }
                }
                let order = async {
                    let _lock = self.lock(&mut asked).await;
                    manager.run(self.orders.clone(), asked, keeping == Keeping::Always).await;
                };
                tokio::join!(order, watch, self.follow());
            }
            Prepared::Internal(authority) => {
                self.issuer = Prepared::Internal(authority);
                tokio::join!(self.keep_internal(), watch, self.follow());
            }
            Prepared::Files => {
                tokio::join!(watch, self.follow());
            }
        }
    }

    /// Waits until no other process orders with this state directory, and tells whoever asks meanwhile.
    async fn lock(&self, asked: &mut mpsc::Receiver<Asked>) -> StateLock {
        let state_dir = &self.config.state_dir;
        let waiting = async {
            match StateLock::try_take(state_dir) {
                Ok(Some(lock)) => return lock,
                Ok(None) => {
                    tracing::warn!(state_dir = %state_dir.display(), "another process orders with this state directory; until it ends, nothing is ordered here");
                }
                Err(error) => {
                    tracing::error!(error = %Chain(&error), "the state directory cannot be locked; nothing is ordered meanwhile")
                }
            }
            loop {
                match StateLock::wait(state_dir).await {
                    Ok(lock) => return lock,
                    Err(_) => tokio::time::sleep(LOCK_RETRY).await,
                }
            }
        };
        tokio::pin!(waiting);
        loop {
            tokio::select! {
                // A lock that is free is taken before anybody is turned away.
                biased;
                lock = &mut waiting => return lock,
                Some(asked) = asked.recv() => {
                    asked.line(format!("another process orders with {}, or it cannot be locked; the log says more", state_dir.display()));
                    asked.finish(false);
                }
            }
        }
    }

    /// Shows each change of what is published.
    async fn follow(&self) {
        let mut changes = self.published.subscribe();
        changes.mark_unchanged();
        while changes.changed().await.is_ok() {
            let slots = changes.borrow_and_update().clone();
            if let Err(error) = self.show(&slots) {
                tracing::error!(error = %Chain(&error), "a certificate cannot be shown; the earlier ones stay");
            }
        }
    }

    /// Swaps in a snapshot with these certificates.
    fn show(&self, slots: &BTreeMap<Slot, Arc<Certificate>>) -> Result<(), rustls::Error> {
        let default = match &self.config.tls.default_certificate {
            DefaultCertificate::None => None,
            DefaultCertificate::Name(host) => Some(host),
            DefaultCertificate::ServerName => self.config.names.certificate_names().first(),
        };
        let served: Vec<_> = self.config.names.iter().map(|(host, _)| host.clone()).collect();
        let keyring = Keyring::new(slots, &served, default);
        let table = TlsTable::new(&keyring, &self.tickets)?;
        self.shared.serving.store(Arc::new(Serving::new(&self.config, table)));
        // Nobody renews those, and nobody is to be alarmed when they expire.
        let is_left_over = |slot: &Slot| matches!(slot, Slot::LeftOver(_));
        for (slot, _) in slots.iter().filter(|(slot, one)| is_left_over(slot) && !keyring.shows(one)) {
            self.published.retire(slot);
        }
        let shown = slots.values().map(|certificate| certificate.facts().serial.clone()).collect();
        let told = self.told.replace(shown);
        for certificate in slots.values() {
            let facts = certificate.facts();
            if told.contains(&facts.serial) {
                continue;
            }
            tracing::info!(
                names = %certificate.names(), not_after = %facts.not_after, serial = %facts.serial,
                "certificate published"
            );
        }
        Ok(())
    }

    async fn keep_internal(&self) {
        loop {
            tokio::time::sleep(INTERNAL_TICK).await;
            self.issue_internally();
        }
    }

    /// Issues from the internal CA what is missing or due.
    fn issue_internally(&self) {
        let Prepared::Internal(authority) = &self.issuer else { return };
        let now = self.clock.now();
        for order in &self.orders {
            let Some(first) = order.names.first() else { continue };
            let slot = Slot::Issued(first.to_string());
            let current = self.published.subscribe().borrow().get(&slot).cloned();
            let validity = current.map(|current| {
                let facts = current.facts();
                Validity { not_before: facts.not_before, not_after: facts.not_after }
            });
            let due = plan::due(now, validity, None, 0);
            if due.at > now {
                continue;
            }
            match authority.issue(&order.names, now) {
                Ok(certificate) => self.published.publish(slot, Arc::new(certificate)),
                Err(error) => {
                    tracing::error!(names = %HostPattern::list(&order.names), error = %Chain(&error), "the internal CA failed");
                }
            }
        }
    }
}

/// Loads every pair of the operator's files and hands the usable ones to `publish`.
pub fn check_files(
    config: &Config,
    now: Timestamp,
    mut publish: impl FnMut(Slot, Arc<Certificate>),
) -> Vec<FileReport> {
    let reports = config.tls.certificates.iter().enumerate().map(|(index, pair)| match files::load(pair, now) {
        Ok(loaded) => {
            publish(Slot::Files(index), Arc::new(loaded.certificate));
            FileReport::Served { repairs: loaded.repairs }
        }
        Err(error) => FileReport::Refused(error.to_string()),
    });
    reports.collect()
}

/// Files that cover no served name, as sentences.
pub fn unused_files(config: &Config, published: &Published) -> Vec<String> {
    let served: Vec<_> = config.names.iter().map(|(host, _)| host).collect();
    let slots = published.subscribe().borrow().clone();
    let unused = slots.iter().filter_map(|(slot, certificate)| match slot {
        Slot::Files(index) if !served.iter().any(|host| certificate.covers(host)) => {
            let path = config.tls.certificates.get(*index)?.chain.display();
            Some(format!("tls.certificates: {path} covers no served name, only {}", certificate.names()))
        }
        Slot::Files(_) | Slot::Issued(_) | Slot::LeftOver(_) => None,
    });
    unused.collect()
}

/// What the files leave to the issuer: orders lose the names that a file covers, and the wildcards
/// of which files cover every served name.
pub fn uncovered(config: &Config, published: &Published) -> Vec<CertificateOrder> {
    let left: Vec<_> = config.names.certificate_names().iter().filter(|name| !published.covers(name)).collect();
    let is_left = |pattern: &&HostPattern| left.iter().any(|name| pattern.covers(name));
    let orders = config.names.orders().iter();
    let orders = orders.map(|order| CertificateOrder { names: order.names.iter().filter(is_left).cloned().collect() });
    orders.filter(|order| !order.names.is_empty()).collect()
}

/// The system's roots and those that `ca_file` adds for this CA.
pub fn acme_roots(ca: &AcmeCa) -> Result<rustls::RootCertStore, StartError> {
    let mut trusted = roots::system();
    if let Some(path) = &ca.ca_file {
        let mut add = || -> Result<(), CaFileError> { Ok(roots::add_pem(&mut trusted, &files::read(path)?)?) };
        let failed = |source| StartError::CaFile { directory: ca.directory.clone(), path: path.clone(), source };
        add().map_err(failed)?;
    }
    Ok(trusted)
}

/// A moment in a CA's window, and nothing secret. Without randomness it is the first one.
fn random() -> u64 {
    let mut bytes = [0; 8];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}
