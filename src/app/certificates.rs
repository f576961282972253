//! Where the served certificates come from, and how a new one reaches the workers.

use super::files::{FileReport, check_files, uncovered, unused_files};
use super::{CaFileError, StartError};
use crate::acme::ask::Asked;
use crate::acme::plan::{self, Validity};
use crate::acme::preflight::{Preflight, ValidationPorts};
use crate::acme::{Https, Manager, Parts, Transport};
use crate::certs::internal::Authority;
use crate::certs::keyring::Slot;
use crate::certs::watch::{self, Watch};
use crate::certs::{Certificate, Keyring, Published, StateLock, Store, files};
use crate::clock::Clock;
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
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch as channel};

/// How often the internal CA looks whether a certificate is due. Lifetimes are days.
const INTERNAL_TICK: Duration = Duration::from_secs(600);

/// How often to look whether a pair of files has expired. Nobody notices a minute.
const FILES_TICK: Duration = Duration::from_secs(60);

/// After a state directory that could not be locked.
const LOCK_RETRY: Duration = Duration::from_secs(60);

/// The issuers and what they have published.
pub(super) struct Certificates {
    config: Arc<Config>,
    published: Arc<Published>,
    shared: Arc<Shared>,
    tickets: Tickets,
    clock: Clock,
    orders: channel::Sender<Vec<CertificateOrder>>,
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
        let orders = uncovered(config, &published, clock.now());
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
            orders: channel::Sender::new(orders),
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
    pub(super) fn orders(&self) -> channel::Receiver<Vec<CertificateOrder>> {
        self.orders.subscribe()
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
                for order in self.orders.borrow().iter() {
                    if keeping == Keeping::Always && !order.names.iter().all(|name| self.published.includes(name)) {
                        tracing::warn!(names = %HostPattern::list(&order.names), "no certificate yet: handshakes for these names are refused until the CA has issued one");
                    }
                }
                let order = async {
                    let _lock = self.lock(&mut asked).await;
                    let (manager, mut changes) = (Rc::from(manager), self.orders.subscribe());
                    loop {
                        let orders = changes.borrow_and_update().clone();
                        tokio::select! {
                            () = Manager::keep(&manager, orders, &mut asked, keeping == Keeping::Always) => {}
                            _ = changes.changed() => {}
                        }
                    }
                };
                tokio::join!(order, watch, self.follow(), self.follow_files());
            }
            Prepared::Internal(authority) => {
                self.issuer = Prepared::Internal(authority);
                tokio::join!(self.keep_internal(), watch, self.follow(), self.follow_files());
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

    /// Keeps what the files leave to the issuer in step with them: a pair that has expired covers nothing, one that
    /// has been mended does again.
    async fn follow_files(&self) {
        let mut changes = self.published.subscribe();
        let mut expired: Vec<Slot> = Vec::new();
        loop {
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(self.files_pause()) => {}
            }
            changes.mark_unchanged();
            let now = self.clock.now();
            let left = uncovered(&self.config, &self.published, now);
            if *self.orders.borrow() != left {
                let names: Vec<_> = left.iter().map(|order| HostPattern::list(&order.names)).collect();
                tracing::warn!(names = %names.join(","), "what the files of tls.certificates leave to the issuer has changed");
                self.orders.send_replace(left);
            }
            // Which certificate is the best one changes when another expires.
            let slots = changes.borrow().clone();
            let over = slots.iter().filter(|(_, one)| one.facts().not_after < now).map(|(slot, _)| slot.clone());
            let over: Vec<_> = over.collect();
            if over != expired {
                expired = over;
                if let Err(error) = self.show(&slots) {
                    tracing::error!(error = %Chain(&error), "a certificate cannot be shown; the earlier ones stay");
                }
            }
        }
    }

    /// Until the next pair of files expires, and never long: the wall clock may jump.
    fn files_pause(&self) -> Duration {
        let now = self.clock.now();
        let ends = self
            .published
            .subscribe()
            .borrow()
            .values()
            .map(|one| one.facts().not_after)
            .filter(|end| *end >= now)
            .min();
        let left = ends.and_then(|end| u64::try_from(end.since(now) + 1).ok()).map(Duration::from_secs);
        left.unwrap_or(FILES_TICK).min(FILES_TICK)
    }

    /// Swaps in a snapshot with these certificates.
    fn show(&self, slots: &BTreeMap<Slot, Arc<Certificate>>) -> Result<(), rustls::Error> {
        let default = match &self.config.tls.default_certificate {
            DefaultCertificate::None => None,
            DefaultCertificate::Name(host) => Some(host),
            DefaultCertificate::ServerName => self.config.names.certificate_names().first(),
        };
        let served: Vec<_> = self.config.names.iter().map(|(host, _)| host.clone()).collect();
        let keyring = Keyring::new(slots, &served, default, self.clock.now());
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
        let mut orders = self.orders.subscribe();
        loop {
            tokio::select! {
                () = tokio::time::sleep(INTERNAL_TICK) => {}
                _ = orders.changed() => {}
            }
            self.issue_internally();
        }
    }

    /// Issues from the internal CA what is missing or due.
    fn issue_internally(&self) {
        let Prepared::Internal(authority) = &self.issuer else { return };
        let now = self.clock.now();
        for order in self.orders.borrow().iter() {
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
