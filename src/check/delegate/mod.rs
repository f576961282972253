//! Advice for a change of delegation, and for web servers that answer for a server name.
//!
//! [`look`] sees where the delegation leads now and whether the new host is ready; [`plan`] makes of that
//! the order of steps in which no peer is ever without a server (pure); [`snippet`] writes what another
//! web server needs (pure).

pub mod plan;
pub mod snippet;

use super::discovery::{Plan, Step, Target};
use super::judge::keys_document;
use super::lifetime;
use super::network::Network;
use super::observe::dns::{Role, locate};
use super::observe::federation::{Connection, connect};
use super::observe::http::HttpAnswer;
use super::observe::requests::Place;
use super::observe::{Observation, discover};
use crate::matrix::ServerName;
use crate::matrix::keys::ServerKeys;
use plan::{Document, Facts, Readiness};
use tokio::time::timeout;

/// Addresses of the new host that are looked at.
const MAX_ADDRESSES: usize = 4;

/// What is to be planned.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The server.
    pub server_name: ServerName,
    /// The present target, where it is another than the one that is found.
    pub from: Option<Target>,
    /// The new one.
    pub to: Target,
    /// How this program is configured for the server, if it is.
    pub configured: Option<plan::Configured>,
}

/// Looks at the present delegation and at the new host. `None` when time ran out before anything was
/// learnt.
pub async fn look(wish: Wish, network: &Network) -> Option<Facts> {
    let mut seen = Observation::default();
    let present = Box::pin(discover(network, &wish.server_name, &mut seen));
    let present = timeout(network.limits.total, present).await.ok()?;
    let document = document(&seen, network);
    let new = Plan {
        step: Step::DelegatedPort,
        targets: vec![wish.to.clone()],
        host_header: wish.to.to_string(),
        certificate_name: wish.to.host.clone(),
    };
    let old = connections(network, &wish.server_name, &present, 1);
    let looking = async { tokio::join!(old, connections(network, &wish.server_name, &new, MAX_ADDRESSES)) };
    // Readiness is a remark; the plan stands without it.
    let (old, new) = timeout(network.limits.total, Box::pin(looking)).await.unwrap_or_default();
    let old = old.first().and_then(keys_document);
    let ready = new.iter().map(|connection| readiness(network, &wish, connection, old.as_ref())).collect();
    let Wish { server_name, from, to, configured } = wish;
    let names = present.certificate_name.clone();
    let targets = from.map_or(present.targets, |from| vec![from]);
    let now = network.clock.now();
    Some(Facts {
        server_name,
        now,
        step: present.step,
        certificate_name: names,
        targets,
        document,
        to,
        ready,
        configured,
    })
}

/// One connection for each of the first addresses of the first target.
async fn connections(network: &Network, server: &ServerName, plan: &Plan, most: usize) -> Vec<Connection> {
    let Some(target) = plan.targets.first() else { return Vec::new() };
    let located = locate(network, Role::Federation, target).await;
    let places = located.addresses.iter().take(most).map(|address| Place { server, plan, target, address: *address });
    let places: Vec<_> = places.collect();
    futures_util::future::join_all(places.iter().map(|place| connect(network, place))).await
}

/// How long peers keep what they were told.
fn document(seen: &Observation, network: &Network) -> Document {
    let delegating = seen.well_known.iter().find(|visit| visit.delegation(network.policy()).is_some());
    match delegating.and_then(|visit| visit.last()?.answer.as_ref().ok()) {
        Some(answer) => Document::Served { kept: kept(answer) },
        None => Document::None,
    }
}

/// The seconds for which Synapse keeps a delegation (synapse/http/federation/well_known_resolver.py): what the headers
/// say, within bounds; a day and a tenth where they say nothing.
fn kept(answer: &HttpAnswer) -> i64 {
    lifetime::stated(answer).map_or(plan::UNTOLD, |seconds| seconds.clamp(lifetime::SHORTEST, lifetime::LONGEST))
}

fn readiness(network: &Network, wish: &Wish, seen: &Connection, old: Option<&ServerKeys>) -> Readiness {
    let keys = keys_document(seen);
    let trouble = match (&seen.version.answer, seen.handshake(), keys) {
        (Err(trouble), ..) => Some(trouble.to_string()),
        (_, Some(handshake), _) if !handshake.chain.accepted(network.policy()) => {
            Some(format!("peers do not accept its certificate for {}", wish.to.host))
        }
        (Ok(answer), ..) if answer.status != 200 => Some(format!("status {} instead of its version", answer.status)),
        (_, _, None) => Some("it shows no keys at /_matrix/key/v2/server".to_owned()),
        (_, _, Some(keys)) if keys.server_name != wish.server_name.as_str() => {
            Some(format!("it is {}, not {}", keys.server_name, wish.server_name))
        }
        (_, _, Some(keys)) => old.filter(|old| old.verify_keys != keys.verify_keys).map(|_| {
            "its signing key is another one than the old host's: copy the key file, or peers refuse what it signs"
                .to_owned()
        }),
    };
    Readiness { address: seen.address, trouble }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use bytes::Bytes;
    use http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn how_long_peers_keep_a_delegation() {
        let now = Timestamp(1_790_000_000);
        let table: [(&[(&'static str, &'static str)], i64); 9] = [
            (&[], plan::UNTOLD),
            (&[("cache-control", "public, max-age=3600")], 3600),
            (&[("cache-control", "Max-Age=60")], 300),
            (&[("cache-control", "max-age=31536000")], 172_800),
            (&[("cache-control", "no-store, max-age=3600")], 300),
            (&[("expires", "Mon, 21 Sep 2026 15:13:20 GMT")], 3600),
            (&[("expires", "0")], 300),
            (&[("cache-control", "public"), ("expires", "Mon, 21 Sep 2026 16:13:20 GMT")], 7200),
            (&[("cache-control", "max-age=x")], plan::UNTOLD),
        ];
        for (headers, expected) in table {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            let answer = HttpAnswer { status: 200, headers: map, body: Bytes::new(), received: now };
            assert_eq!(kept(&answer), expected, "{headers:?}");
        }
    }
}
