//! The own server seen from inside: what its homeserver's configuration file says, and what answers
//! behind this program.
//!
//! [`look`] gathers facts and has no opinions; `judge::own` and `judge::routes` hold them against what
//! is configured here. Only the own servers can be looked at this way.

mod conduit;
mod dendrite;
pub mod files;
pub mod inside;
pub mod settings;
mod synapse;

use super::network::Network;
use crate::config::{Config, Server};
use crate::dns::Outcome;
use files::FileSeen;
use inside::Inside;

/// What is known of an own server before anybody looks.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The server as it is configured here.
    pub server: Server,
    /// `limits.max_body`, in bytes.
    pub max_body: Option<u64>,
    /// Whether it is the only one: then a file of another name may still be meant for it.
    pub alone: bool,
}

impl Subject {
    /// Every server of `config`, in its order.
    pub fn all(config: &Config) -> Vec<Self> {
        let alone = config.servers.len() == 1;
        let subject = |server: &Server| Self { server: server.clone(), max_body: config.limits.max_body, alone };
        config.servers.iter().map(subject).collect()
    }
}

/// What was seen from inside.
#[derive(Clone, Debug)]
pub struct Own {
    /// What it is held against.
    pub subject: Subject,
    /// The homeserver's file, if one was found.
    pub file: Option<FileSeen>,
    /// Whether the look is under way: only then, or when time ran out.
    pub looking: bool,
    /// What answers; `None` as long as nobody could reach the server by its name anyway.
    pub inside: Option<Inside>,
}

/// Looks at the file, and at what answers. Fills `own` in place, so that what was seen counts when
/// time runs out.
pub(super) async fn look(network: &Network, own: &mut Own) {
    own.looking = true;
    own.file = files::find(&own.subject).await;
    if is_known(network, &own.subject.server).await {
        own.inside = Some(Box::pin(inside::look(network, &own.subject.server, own.file.as_ref())).await);
    }
    own.looking = false;
}

/// Whether the world knows an address of the public host. Before it does, requests to the homeserver
/// could only tell what does not matter yet.
async fn is_known(network: &Network, server: &Server) -> bool {
    let host = &server.public_host.host;
    let target = super::discovery::Target { host: host.clone(), port: server.public_host.port };
    let Some(name) = host.dns().filter(|_| !network.route(&target).overridden) else {
        return true;
    };
    matches!(network.resolver.addresses(name).await.outcome, Outcome::Found(_))
}

/// Reads a text as the file at `path` would be read.
#[cfg(test)]
pub(super) fn read_for_tests(path: &std::path::Path, text: &str) -> Result<settings::Settings, settings::Place> {
    files::parse(path, text.to_owned(), Vec::new(), None)
}
