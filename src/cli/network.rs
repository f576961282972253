//! The network that a look at servers goes through, from the configuration and the arguments.

use super::check_args::NetworkArguments;
use crate::app::{control_plane, own_network};
use crate::certs::{Store, internal};
use crate::check::network::{Limits, Network, Override};
use crate::clock::Clock;
use crate::config::{Config, Issuer};
use crate::dns::Resolver;
use crate::telemetry::log::Chain;

/// The configured network, with the internal CA's root.
pub(super) fn configured(config: &Config) -> Result<Network, Vec<String>> {
    let root = match config.tls.issuer {
        Issuer::Internal => {
            let store = Store::existing(&config.state_dir);
            let stored = control_plane(internal::stored_root(&store, config.names.certificate_names()));
            let stored = stored.map_err(|failed| vec![failed.to_string()])?;
            // Without its root, a look would find faults that are not there.
            stored.map_err(|failed| vec![format!("{}; run this as the user vestibule runs as", Chain(&failed))])?
        }
        Issuer::Acme | Issuer::Files => None,
    };
    Ok(own_network(config, root.as_deref(), Clock::System))
}

/// `network` with what the arguments say.
pub(super) fn with(mut network: Network, arguments: &NetworkArguments) -> Result<Network, Vec<String>> {
    if arguments.private {
        network = network.with_private(true);
    }
    if let Some(server) = arguments.resolver {
        network = network.with_resolver(Resolver::from_server(server));
    }
    if let Some(path) = &arguments.ca_file {
        let wrong =
            |reason: String| vec![format!("--ca-file {}: {reason}; name a PEM file of certificates", path.display())];
        let pem = std::fs::read(path).map_err(|failed| wrong(failed.to_string()))?;
        network = network.with_ca_pem(&pem).map_err(|failed| wrong(failed.to_string()))?;
    }
    for text in &arguments.connect_to {
        let replacement: Override = text.parse().map_err(|failed| vec![format!("--connect-to {text}: {failed}")])?;
        network = network.with_override(replacement);
    }
    Ok(network.with_limits(Limits { total: arguments.timeout, ..Limits::default() }))
}
