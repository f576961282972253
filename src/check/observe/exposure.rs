//! What should not be public: asked for as anybody on the internet could.
//!
//! Each question is a `GET` that changes nothing even where it is answered.

use super::session::{Question, Replied, Session};
use crate::check::network::Network;
use crate::matrix::Host;
use std::net::SocketAddr;

/// Answers without a token, and nothing but the version.
pub const ADMIN: &str = "/_synapse/admin/v1/server_version";
/// Metrics need no token.
pub const METRICS: &str = "/_synapse/metrics";
/// Only takes POST: GET tells whether it is there (405), with a secret set or without.
pub const REPLICATION: &str = "/_synapse/replication/fed_send_events/x";
/// Asks for a token of MAS before it looks at anything.
pub const MAS: &str = "/_synapse/mas/query_user?localpart=x";

/// The answers. `None` is not asked.
#[derive(Clone, Debug, Default)]
pub struct Exposure {
    /// [`ADMIN`].
    pub admin: Option<Replied>,
    /// [`METRICS`].
    pub metrics: Option<Replied>,
    /// [`REPLICATION`].
    pub replication: Option<Replied>,
    /// [`MAS`].
    pub mas: Option<Replied>,
}

/// Asks for all four over one connection.
pub(super) async fn look(network: &Network, address: SocketAddr, (name, host): (&Host, &str)) -> Exposure {
    let mut session = Session::new(network, address, name, host);
    Exposure {
        admin: session.ask(&Question::get(ADMIN)).await,
        metrics: session.ask(&Question::get(METRICS)).await,
        replication: session.ask(&Question::get(REPLICATION)).await,
        mas: session.ask(&Question::get(MAS)).await,
    }
}
