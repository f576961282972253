//! What one federation address does with requests: about twenty, none of which changes anything.
//!
//! All but the signed ones carry no signature, so the most they reach is the homeserver's refusal.
//! What matters is whether that refusal comes from the homeserver, and the same for every path.

use super::announced::{Announced, Announcement, announce};
use super::exposure::{self, Exposure};
use super::http2::{self, Http2Seen};
use super::session::{Question, Replied, Session};
use super::signed::{self, Signed};
use crate::check::discovery::{Plan, Target};
use crate::check::network::Network;
use crate::matrix::keys::ServerKeys;
use crate::matrix::server_name::DEFAULT_FEDERATION_PORT;
use crate::matrix::{Host, ServerName};
use http::{Method, header};
use std::net::SocketAddr;
use tokio::time::timeout;

/// "Get server version": the one federation endpoint that answers everybody with 200.
const VERSION: &str = "/_matrix/federation/v1/version";

/// The largest transaction (50 PDUs and 100 EDUs) as Synapse counts it: 200 events of 65,536 bytes.
const TRANSACTION: u64 = 200 * 65_536;

/// The bytes that proxies decode or refuse, each with the path of an event that has it in its ID.
pub const CHARACTERS: [(&str, &str); 5] = [
    ("%23", "/_matrix/federation/v1/event/%24x%23y"),
    ("%3B", "/_matrix/federation/v1/event/%24x%3By"),
    ("%25", "/_matrix/federation/v1/event/%24x%25y"),
    ("%3F", "/_matrix/federation/v1/event/%24x%3Fy"),
    ("%5C", "/_matrix/federation/v1/event/%24x%5Cy"),
];

/// All of them at once: where nobody minds, one question is enough.
const ALL_CHARACTERS: &str = "/_matrix/federation/v1/event/%24x%23%3B%25%3F%5Cy";

/// An event without anything special in its ID.
const PLAIN: &str = "/_matrix/federation/v1/event/%24xy";

/// The same with an encoded slash.
const SLASH: &str = "/_matrix/federation/v1/event/%24x%2Fy";

/// User agents of peers: what they call themselves, and how they are named in a finding.
pub const AGENTS: [(&str, &str); 2] = [("Synapse", "Synapse/1.157.1"), ("Go", "Go-http-client/1.1")];

/// The answers of one address. `None` is not asked.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// A user's profile, unsigned: the homeserver refuses it.
    pub unsigned: Option<Replied>,
    /// An event with an ordinary ID: what the next ones are compared with.
    pub plain: Option<Replied>,
    /// With `%2F` in the ID.
    pub slash: Option<Replied>,
    /// With all of [`CHARACTERS`] in the ID.
    pub characters: Option<Replied>,
    /// With each alone, in their order; only asked where all together were answered otherwise.
    pub each_character: Vec<Replied>,
    /// `version%3Fx`, which nobody knows, unless something decodes it to `version?x`.
    pub decoded: Option<Replied>,
    /// `v1//version`.
    pub double_slash: Option<Replied>,
    /// `v1/x/../version`.
    pub dot_segment: Option<Replied>,
    /// `PUT` to the version endpoint.
    pub put: Option<Replied>,
    /// The version for other forms of the `Host` header: the header, and the answer.
    pub hosts: Vec<(String, Replied)>,
    /// The version, asked for as each of [`AGENTS`].
    pub agents: Vec<Replied>,
    /// What should not be public.
    pub exposure: Exposure,
    /// With the server's own key.
    pub signed: Option<Signed>,
    /// The version and `slash` over HTTP/2.
    pub http2: Http2Seen,
    /// A transaction of the largest size, announced.
    pub transaction: Option<Announced>,
    /// Everything was asked.
    pub finished: bool,
}

impl Requests {
    /// Every reply over HTTP/1.1, with the path asked for.
    pub fn replies(&self) -> impl Iterator<Item = (&'static str, &Replied)> {
        let single = [
            ("/_matrix/federation/v1/query/profile", &self.unsigned),
            (PLAIN, &self.plain),
            (SLASH, &self.slash),
            (ALL_CHARACTERS, &self.characters),
            ("PUT /_matrix/federation/v1/version", &self.put),
        ];
        let single = single.into_iter().filter_map(|(path, reply)| Some((path, reply.as_ref()?)));
        let hosts = self.hosts.iter().map(|(_, reply)| (VERSION, reply));
        single.chain(hosts).chain(self.agents.iter().map(|reply| (VERSION, reply)))
    }
}

/// Where to ask, and who is there.
#[derive(Clone, Copy, Debug)]
pub(in crate::check) struct Place<'a> {
    pub(in crate::check) server: &'a ServerName,
    pub(in crate::check) plan: &'a Plan,
    pub(in crate::check) target: &'a Target,
    pub(in crate::check) address: SocketAddr,
}

/// Asks everything. `keys` are those that the address published.
pub(super) async fn look(network: &Network, place: &Place<'_>, keys: Option<&ServerKeys>) -> Requests {
    let mut seen = Requests::default();
    let Place { plan, address, .. } = *place;
    let (name, host) = (&plan.certificate_name, plan.host_header.as_str());
    let transaction = Announcement {
        address,
        name,
        host_header: host,
        method: "PUT",
        target: "/_matrix/federation/v1/send/x",
        media_type: "application/json",
        length: TRANSACTION,
    };
    let Requests { http2, transaction: announced, exposure, finished, .. } = &mut seen;
    let mut paths = Requests::default();
    let everything = async {
        // Two connections for the questions, one for each of the others: never more than four at once.
        let (asked, (), (), ()) = tokio::join!(
            ask_all(network, place, keys, &mut paths),
            async { *exposure = exposure::look(network, address, (name, host)).await },
            async { *http2 = http2::ask(network, address, (name, host), &[VERSION, SLASH]).await },
            async { *announced = Some(announce(network, &transaction).await) },
        );
        asked
    };
    // A third of all time: what is not asked by then is left out, and said to be.
    *finished = timeout(network.limits.total / 3, everything).await.unwrap_or(false);
    let (http2, transaction, exposure, finished) = (seen.http2, seen.transaction, seen.exposure, seen.finished);
    Requests { http2, transaction, exposure, finished, ..paths }
}

/// The questions about paths, hosts and agents, and the signed ones. Whether all could be asked.
async fn ask_all(network: &Network, place: &Place<'_>, keys: Option<&ServerKeys>, seen: &mut Requests) -> bool {
    let Place { server, plan, target, address } = *place;
    let mut session = Session::new(network, address, &plan.certificate_name, &plan.host_header);
    let profile = format!("/_matrix/federation/v1/query/profile?user_id=%40x%3A{}", escaped(server.as_str()));
    seen.unsigned = session.ask(&Question::get(&profile)).await;
    seen.plain = session.ask(&Question::get(PLAIN)).await;
    seen.slash = session.ask(&Question::get(SLASH)).await;
    seen.characters = session.ask(&Question::get(ALL_CHARACTERS)).await;
    if !same(seen.plain.as_ref(), seen.characters.as_ref()) {
        for (_, path) in CHARACTERS {
            seen.each_character.extend(session.ask(&Question::get(path)).await);
        }
    }
    seen.decoded = session.ask(&Question::get("/_matrix/federation/v1/version%3Fx")).await;
    seen.double_slash = session.ask(&Question::get("/_matrix/federation/v1//version")).await;
    seen.dot_segment = session.ask(&Question::get("/_matrix/federation/v1/x/../version")).await;
    let put = Question { method: Method::PUT, body: "{}", ..Question::get(VERSION) };
    seen.put = session.ask(&put.header(header::CONTENT_TYPE, "application/json")).await;
    for (_, agent) in AGENTS {
        seen.agents.extend(session.ask(&Question::get(VERSION).header(header::USER_AGENT, agent)).await);
    }
    if let (Some(key), Some(keys)) = (&network.signing_key, keys) {
        seen.signed = signed::look(&mut session, server, key, keys).await;
    }
    // Last: a server that minds closes the connection.
    for host in other_hosts(&plan.host_header, &plan.certificate_name, target.port) {
        if let Some(reply) = session.ask(&Question { host: Some(&host), ..Question::get(VERSION) }).await {
            seen.hosts.push((host, reply));
        }
    }
    !session.enough
}

/// Whether two replies say the same: status and error code.
pub(in crate::check) fn same(one: Option<&Replied>, other: Option<&Replied>) -> bool {
    let said = |reply: Option<&Replied>| reply?.ok().map(|answer| (answer.status, answer.errcode()));
    said(one).is_some_and(|one| said(other) == Some(one))
}

/// The other forms in which peers write `header`: with the port or without, and in upper case.
fn other_hosts(header: &str, name: &Host, port: u16) -> Vec<String> {
    let bare = name.to_string();
    let with_port = format!("{bare}:{port}");
    let mut hosts = Vec::new();
    if header != bare {
        hosts.push(bare);
    }
    // Over SRV the target's port belongs to the target, and is never part of the header.
    if header != with_port && port == DEFAULT_FEDERATION_PORT {
        hosts.push(with_port);
    }
    let upper = header.to_ascii_uppercase();
    if upper != header && name.dns().is_some() {
        hosts.push(upper);
    }
    hosts
}

/// A server name in a query: the colons and brackets in it are not for everybody's eyes.
fn escaped(name: &str) -> String {
    name.replace(':', "%3A").replace('[', "%5B").replace(']', "%5D")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_asked_for_in_the_forms_that_peers_use() {
        for (header, name, port, expected) in [
            ("m.ex.org:443", "m.ex.org", 443, &["m.ex.org", "M.EX.ORG:443"][..]),
            ("ex.org", "ex.org", 8448, &["ex.org:8448", "EX.ORG"]),
            ("ex.org", "ex.org", 4443, &["EX.ORG"]),
            ("192.0.2.1", "192.0.2.1", 8448, &["192.0.2.1:8448"]),
            ("[2001:db8::1]:8448", "[2001:db8::1]", 8448, &["[2001:db8::1]"]),
        ] {
            assert_eq!(other_hosts(header, &Host::parse(name).unwrap(), port), expected, "{header}");
        }
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escaped("[::1]:8448"), "%5B%3A%3A1%5D%3A8448");
    }
}
