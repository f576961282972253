//! The composition root: builds the parts from a configuration, runs them, and ends them.
//!
//! Two planes. Workers (one thread per core, [`workers`]) serve from a snapshot; everything slow
//! and rare (certificates, self-checks, signals) runs on this thread and publishes new snapshots.
//! If this plane stalls, serving goes on.

mod certificates;
pub mod demo;
mod desk;
mod expiry;
mod files;
mod hook;
mod self_check;
mod signals;
mod status;
mod unit_status;
mod workers;

pub use certificates::acme_roots;
pub use desk::objection;
pub use files::{FileReport, check_files, uncovered, unused_files};
pub use self_check::own_network;

use crate::acme::ask::{Ask, Asked};
use crate::admin::socket::{self, AdminBindError, AdminSocket};
use crate::admin::status::{Checks, Lifecycle, Phase};
use crate::certs::internal::AuthorityError;
use crate::certs::store::StoreError;
use crate::certs::{Challenges, Published, Store};
use crate::check::loop_back::LoopSource;
use crate::check::network::Network;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::drain::Drain;
use crate::net::connections::Connections;
use crate::net::descriptors;
use crate::net::listen::{self, BindError, Listener, Role};
use crate::net::roots::BadRoots;
use crate::probe::OwnListeners;
use crate::probe::loopback::{Loopback, Prover};
use crate::proxy::{Rates, Serving, Shared};
use crate::telemetry::origins::Origins;
use crate::tls::{Tickets, TlsTable};
use crate::upstream::Commons;
use arc_swap::ArcSwap;
use certificates::{Certificates, Keeping};
use desk::Desk;
use expiry::Expiry;
use sd_notify::NotifyState;
use self_check::{Own, TellTo};
use signals::Signals;
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use unit_status::UnitStatus;
use workers::Workers;

/// Commands that may wait for the control plane, which takes them at once.
const WAITING: usize = 16;

/// For writes to the state directory that are under way at the end. They take milliseconds, and one
/// that is cut off leaves the entry as it was.
const LAST_WRITES: Duration = Duration::from_secs(2);

/// Why the program cannot start. Each sentence names what to change.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket is taken or forbidden.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// So is the admin socket.
    #[error(transparent)]
    Admin(#[from] AdminBindError),
    /// The state directory is not usable.
    #[error("state_dir is not usable; make it a folder that this user may write")]
    Store(#[from] StoreError),
    /// No certificate, and nobody who would issue one.
    #[error("tls.issuer is \"files\" and none of the files can be used; see the errors above")]
    NoCertificate,
    /// The internal CA cannot be used.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The extra root for a CA cannot be used.
    #[error("ca_file {path}, for the CA {directory}: {source}; name a PEM file of certificates", path = .path.display())]
    CaFile {
        /// Which CA: there may be several, and files for each.
        directory: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: CaFileError,
    },
    /// The TLS library refused.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// A thread or runtime could not be made.
    #[error("a worker cannot be started")]
    Worker(#[source] io::Error),
    /// Nobody could stop the program properly.
    #[error("signals cannot be listened for")]
    Signals(#[source] io::Error),
}

/// Why a `ca_file` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It holds no root.
    #[error(transparent)]
    Roots(#[from] BadRoots),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every request was finished.
    Clean,
    /// The drain deadline came first, or a second signal did.
    Forced,
    /// A worker ended without being asked to.
    Failed,
}

/// The program, built and not yet serving.
pub struct App {
    config: Arc<Config>,
    clock: Clock,
    listeners: Arc<Vec<Listener>>,
    admin: Option<AdminSocket>,
    shared: Arc<Shared>,
    certificates: Certificates,
    expiry: Expiry,
    unit_status: Rc<UnitStatus>,
    /// Proves that requests over the public addresses reach this process.
    prover: Prover,
    /// The status page's socket, unless it is off or taken.
    status: Option<Listener>,
    /// What the page says of the own servers.
    checks: Checks,
    store: Store,
    started: Timestamp,
}

impl App {
    /// Binds, loads what is stored, and prepares the first snapshot. Nothing is served yet.
    pub async fn build(config: Config, store: Store, clock: Clock) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let mut listeners = listen::bind_all(Role::Https, &config.listen.https)?;
        listeners.extend(listen::bind_all(Role::Federation, &config.listen.federation)?);
        listeners.extend(listen::bind_all(Role::Http, &config.listen.http)?);
        let admin = config.listen.admin.as_ref().map(socket::bind).transpose()?.flatten();
        let status = status::bind(&config.listen)?;
        let serving = ArcSwap::from_pointee(Serving::new(&config, TlsTable::default()));
        let most = descriptors::prepare(Workers::planned(), listeners.len());
        let shared = Arc::new(Shared {
            serving,
            challenges: Challenges::default(),
            loopback: Loopback::default(),
            clock: clock.clone(),
            commons: Arc::new(Commons::new()),
            rates: Rates::new(&config.limits.rates),
            connections: Arc::new(Connections::new(most)),
            workers: Workers::planned(),
            origins: Arc::new(Origins::new()),
        });
        let own = OwnListeners {
            listeners: listeners.iter().map(|listener| (listener.role, listener.address)).collect(),
            proxy_protocol_from: config.listen.proxy_protocol_from.clone(),
        };
        let prover = Prover::new(shared.loopback.clone(), own.clone(), &config.trusted_proxies, clock.clone());
        let certificates = Certificates::prepare(&config, own, store.clone(), Tickets::new()?, &shared).await?;
        let unit_status = Rc::new(UnitStatus::default());
        let expiry =
            Expiry::new(&config, certificates.published(), store.clone(), clock.clone(), Rc::clone(&unit_status));
        let (checks, started) = (Checks::default(), clock.now());
        let listeners = Arc::new(listeners);
        Ok(Self {
            config,
            clock,
            listeners,
            admin,
            shared,
            certificates,
            expiry,
            unit_status,
            prover,
            status,
            checks,
            store,
            started,
        })
    }

    /// The bound sockets.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Where the status page is, unless it is off or taken.
    pub fn status_address(&self) -> Option<SocketAddr> {
        self.status.as_ref().map(|listener| listener.address)
    }

    /// What the status page says of the own servers: for a caller that checks by itself.
    pub fn checks(&self) -> Checks {
        self.checks.clone()
    }

    /// The certificates that are served.
    pub fn published(&self) -> Arc<Published> {
        self.certificates.published()
    }

    /// The internal CA's root, where there is one.
    pub fn internal_root(&self) -> Option<&str> {
        self.certificates.internal_root()
    }

    /// Serves until `stop` is done or a signal comes, and checks its own servers meanwhile. Must run
    /// inside a `LocalSet`.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<Ended, StartError> {
        let network = own_network(&self.config, self.internal_root(), self.clock.clone());
        let network = network.with_loopback(LoopSource::Here(self.prover.clone()));
        self.serve(stop, Some(network), Keeping::Always, mpsc::channel(WAITING)).await
    }

    /// The same without the self-check, for a caller that checks by itself.
    pub async fn run_unchecked(self, stop: impl Future<Output = ()>) -> Result<Ended, StartError> {
        self.serve(stop, None, Keeping::Always, mpsc::channel(WAITING)).await
    }

    /// Does what is asked and ends: nothing is ordered that was not asked for, and nothing checked.
    /// Sentences for whoever asked go to `line`. `None` when it was stopped before it was done.
    pub async fn run_once(self, ask: Ask, line: impl Fn(String)) -> Result<Option<bool>, StartError> {
        let (manager, asked) = mpsc::channel(WAITING);
        let desk = Desk::new(&self.config, self.certificates.orders(), manager.clone());
        let outcome = Cell::new(None);
        let done = async { outcome.set(desk.ask(ask, line).await) };
        self.serve(done, None, Keeping::WhenAsked, (manager, asked)).await?;
        Ok(outcome.get())
    }

    /// Without a `network`, the own servers are not checked.
    async fn serve(
        self,
        stop: impl Future<Output = ()>,
        network: Option<Network>,
        keeping: Keeping,
        (manager, asked): (mpsc::Sender<Asked>, mpsc::Receiver<Asked>),
    ) -> Result<Ended, StartError> {
        // Before READY: whoever has read that may send one.
        let signals = Signals::listen().map_err(StartError::Signals)?;
        let (drain, watch) = Drain::new();
        let workers = Workers::start(&self.shared, &self.listeners, &watch).map_err(StartError::Worker)?;
        drop(watch);
        for listener in self.listeners.iter().chain(&self.status) {
            tracing::info!(listener = %listener.role, address = %listener.address, "listening");
        }
        let addresses = self.listeners.iter().chain(&self.status).map(|one| (one.role, one.address)).collect();
        // The workers have their duplicates. With this one kept, connections would still be taken
        // while they drain, and never served.
        drop(self.listeners);
        let lifecycle = Lifecycle::default();
        lifecycle.enter(Phase::Ready);
        notify(&[NotifyState::Ready]);
        tracing::info!("ready");
        let mut tasks = JoinSet::new();
        if let Some(network) = network.clone() {
            let (config, published) = (Arc::clone(&self.config), self.certificates.published());
            let (store, clock) = (self.store.clone(), self.clock.clone());
            let (status, checks) = (Rc::clone(&self.unit_status), self.checks.clone());
            tasks.spawn_local(async move {
                let tell_to = TellTo { status: &status, checks: &checks };
                let own = Own { config: &config, published: &published, store: &store, clock: &clock };
                self_check::run(own, &network, tell_to).await;
            });
        }
        let mut admin = JoinSet::new();
        if let Some(socket) = self.admin {
            let (calls, taken) = mpsc::channel(WAITING);
            let desk = Desk::new(&self.config, self.certificates.orders(), manager).checking(network);
            admin.spawn(socket::serve(socket, calls));
            tasks.spawn_local(desk.run(taken));
        }
        if let Some(listener) = self.status {
            let seen = status::Seen {
                config: &self.config,
                certificates: &self.certificates,
                shared: &self.shared,
                checks: self.checks,
                store: self.store,
                listeners: addresses,
                started: self.started,
                clock: self.clock.clone(),
            };
            tasks.spawn_local(status::run(seen.status(lifecycle.clone()), listener));
        }
        let certificates = self.certificates;
        tasks.spawn_local(async move { certificates.run(asked, keeping).await });
        tasks.spawn_local(self.expiry.run());
        let ended = workers.serve_until(stop, signals, &drain, &lifecycle, self.config.limits.drain).await;
        // Orders and checks under way end with the tasks that own them.
        tasks.shutdown().await;
        // Commands under way ended with them, and their clients are being told.
        while admin.join_next().await.is_some() {}
        Ok(ended)
    }
}

/// Tells systemd, if it started us. A lost message is no reason to fail.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}

/// Runs `work` on this thread, the control plane's.
pub fn control_plane<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = LocalSet::new().block_on(&runtime, work);
    // Dropped, the runtime would wait for threads that hang in the system: in a lookup of a name server
    // that does not answer, or in a network file system.
    runtime.shutdown_timeout(LAST_WRITES);
    Ok(done)
}

#[cfg(test)]
mod tests;
