//! Puts the status listener together: its socket, and what it may look at.

use crate::admin::status::{CertificateMetrics, ConnectionMetrics, ProcessMetrics, Status, UpstreamMetrics};
use crate::certs::Published;
use crate::clock::Clock;
use crate::config::{Config, Listen};
use crate::net::listen::{BindError, Listener, Role, bind_all};
use crate::proxy::Shared;
use crate::telemetry::exposition::Exposition;
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

/// Everything that is counted.
pub(super) fn metrics(config: &Arc<Config>, published: Arc<Published>, shared: &Shared, clock: &Clock) -> Exposition {
    let mut exposition = Exposition::default();
    exposition.add(ProcessMetrics { started: clock.now() });
    exposition.add(CertificateMetrics { config: Arc::clone(config), published, clock: clock.clone() });
    exposition.add(ConnectionMetrics(Arc::clone(&shared.connections)));
    exposition.add(UpstreamMetrics(Arc::clone(&shared.commons)));
    exposition
}

/// Answers until the program ends.
pub(super) async fn run(status: Status, listener: Listener) {
    if let Err(error) = status.serve(listener).await {
        tracing::error!(%error, "the status listener has failed; everything else goes on");
    }
}
