//! Puts the status listener together: its socket, and what it may look at.

use super::certificates::Certificates;
use super::self_check::network_for_strangers;
use crate::admin::status::{
    CertificateMetrics, CheckForm, CheckMetrics, Checks, ConnectionMetrics, Lifecycle, OriginMetrics, ProcessMetrics,
    Sources, Status, UpstreamMetrics,
};
use crate::certs::Store;
use crate::check::check;
use crate::clock::{Clock, Timestamp};
use crate::config::{Config, Listen};
use crate::net::listen::{BindError, Listener, Role, bind_all};
use crate::proxy::Shared;
use crate::telemetry::exposition::Exposition;
use std::net::SocketAddr;
use std::sync::Arc;

/// Binds `listen.status`. An address that somebody wrote has to be free; the default gives way, since a
/// second vestibule on the machine, or some other exporter, is no reason not to serve.
pub(super) fn bind(listen: &Listen) -> Result<Option<Listener>, BindError> {
    let Some(addresses) = &listen.status else { return Ok(None) };
    match bind_all(Role::Status, addresses) {
        Ok(listeners) => Ok(listeners.into_iter().next()),
        Err(error) if addresses.by_default => {
            tracing::warn!("no status listener: {error}; or set listen.status = \"off\"");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What there is to see of the running program.
pub(super) struct Seen<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) certificates: &'a Certificates,
    pub(super) shared: &'a Shared,
    pub(super) checks: Checks,
    pub(super) store: Store,
    pub(super) listeners: Vec<(Role, SocketAddr)>,
    pub(super) started: Timestamp,
    pub(super) clock: Clock,
}

impl Seen<'_> {
    /// The listener's answers.
    pub(super) fn status(self, lifecycle: Lifecycle) -> Status {
        let exposition = self.metrics();
        let form = if self.config.check.status_check { form(&self.clock) } else { None };
        let sources = Sources {
            config: Arc::clone(self.config),
            published: self.certificates.published(),
            store: self.store,
            orders: self.certificates.orders(),
            connections: Arc::clone(&self.shared.connections),
            commons: Arc::clone(&self.shared.commons),
            origins: Arc::clone(&self.shared.origins),
            checks: self.checks,
            listeners: self.listeners,
            started: self.started,
            clock: self.clock,
        };
        Status::new(exposition, lifecycle, sources, form)
    }

    /// Everything that is counted.
    fn metrics(&self) -> Exposition {
        let (config, shared) = (self.config, self.shared);
        let (published, clock) = (self.certificates.published(), self.clock.clone());
        let mut exposition = Exposition::default();
        exposition.add(ProcessMetrics { started: self.started });
        exposition.add(CertificateMetrics { config: Arc::clone(config), published, clock });
        exposition.add(ConnectionMetrics(Arc::clone(&shared.connections)));
        exposition.add(UpstreamMetrics(Arc::clone(&shared.commons)));
        exposition.add(OriginMetrics { config: Arc::clone(config), origins: Arc::clone(&shared.origins) });
        exposition.add(CheckMetrics { config: Arc::clone(config), checks: self.checks.clone() });
        exposition
    }
}

/// The form that checks any server. Roots and resolver are read anew for each check, which is rare.
fn form(clock: &Clock) -> Option<CheckForm> {
    let clock = clock.clone();
    let form = CheckForm::new(move |name| {
        let network = network_for_strangers(clock.clone());
        Box::pin(async move { check(&name, &network).await })
    });
    if form.is_none() {
        tracing::error!("check.status_check: no random numbers for the form, so there is none");
    }
    form
}

/// Answers until the program ends.
pub(super) async fn run(status: Status, listener: Listener) {
    if let Err(error) = status.serve(listener).await {
        tracing::error!(%error, "the status listener has failed; everything else goes on");
    }
}
