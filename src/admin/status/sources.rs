//! Where the page's view comes from: everything is read, nothing is asked to do anything.

use super::view::{
    CertificateView, HeldView, ListenerView, Moment, ProcessView, View, certificates, servers, summary, upstreams,
};
use super::{Checks, Lifecycle};
use crate::acme::status::{self, KeptStatus};
use crate::certs::{Published, Store};
use crate::clock::{Clock, Timestamp};
use crate::config::{CertificateOrder, Config, Issuer};
use crate::net::connections::Connections;
use crate::net::listen::Role;
use crate::telemetry::log::Chain;
use crate::telemetry::origins::Origins;
use crate::upstream::Commons;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// For how long what was read from the state directory does: whoever reloads the page for fun must not
/// keep the disk busy.
const FRESH: Duration = Duration::from_secs(5);

/// What the page looks at.
#[derive(Debug)]
pub struct Sources {
    /// What is served.
    pub config: Arc<Config>,
    /// The certificates that are served.
    pub published: Arc<Published>,
    /// The certificates that are kept up, with the record of their orders.
    pub store: Store,
    /// What the operator's files leave to be ordered.
    pub orders: watch::Receiver<Vec<CertificateOrder>>,
    /// Connections of clients and peers.
    pub connections: Arc<Connections>,
    /// The upstreams.
    pub commons: Arc<Commons>,
    /// Who has been answered.
    pub origins: Arc<Origins>,
    /// What the self-check has found.
    pub checks: Checks,
    /// The sockets that are listened on.
    pub listeners: Vec<(Role, SocketAddr)>,
    /// When the program started.
    pub started: Timestamp,
    /// The time.
    pub clock: Clock,
}

/// What was read from the state directory, and when.
#[derive(Debug, Default)]
pub(super) struct Cache(RefCell<Option<(Instant, Rc<Vec<CertificateView>>)>>);

impl Sources {
    pub(super) async fn view(&self, lifecycle: &Lifecycle, cache: &Cache) -> View {
        let now = self.clock.now();
        let certificates = self.certificates(now, cache).await.to_vec();
        let standings = self.commons.standings();
        let servers = servers(&self.config.servers, &self.checks, &self.origins.answered());
        let upstreams = upstreams(&self.config, &standings, now);
        View {
            now: Moment(now),
            summary: summary(&servers, &certificates, &upstreams),
            servers,
            certificates,
            upstreams,
            held: HeldView::sum(&standings),
            listeners: self.listeners.iter().map(|(role, address)| ListenerView::new(*role, *address)).collect(),
            connections: u64::try_from(self.connections.live()).unwrap_or(u64::MAX),
            process: ProcessView {
                version: env!("CARGO_PKG_VERSION"),
                phase: lifecycle.phase().as_str(),
                started: Moment(self.started),
                uptime_seconds: now.since(self.started).max(0),
                configured: Moment(self.started),
            },
        }
    }

    async fn certificates(&self, now: Timestamp, cache: &Cache) -> Rc<Vec<CertificateView>> {
        if let Some((read, known)) = &*cache.0.borrow()
            && read.elapsed() < FRESH
        {
            return Rc::clone(known);
        }
        let kept = self.kept(now).await;
        let served = self.published.subscribe().borrow().clone();
        let orders = self.orders.borrow().clone();
        let fresh = Rc::new(certificates(&self.config, &served, &orders, kept, now));
        *cache.0.borrow_mut() = Some((Instant::now(), Rc::clone(&fresh)));
        fresh
    }

    async fn kept(&self, now: Timestamp) -> Result<Vec<KeptStatus>, String> {
        if self.config.tls.issuer != Issuer::Acme {
            return Ok(Vec::new());
        }
        let orders = self.orders.borrow().clone();
        let read = status::read(&self.store, &self.config.acme, &orders, now).await;
        read.map_err(|error| format!("the state directory cannot be read: {}", Chain(&error)))
    }
}
