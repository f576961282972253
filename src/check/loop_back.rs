//! What only the own servers can be asked: whether requests reach this very process, unchanged.

use super::discovery::Plan;
use super::network::Network;
use super::observe::{LoopBack, endpoints};
use crate::matrix::ServerName;
use crate::probe::loopback::{Ends, IdleEnd, LoopSeen, Outcome, Place, Prover};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use std::net::SocketAddr;
use tokio::time::timeout;

/// Addresses proven side by side.
const PARALLEL: usize = 8;

/// More addresses than these are not proven.
const MAX_ADDRESSES: usize = 2 * PARALLEL;

/// Where the loop-back proof of the server checked comes from.
#[derive(Clone, Debug, Default)]
pub enum LoopSource {
    /// From nowhere: it is somebody else's server.
    #[default]
    Nowhere,
    /// From here, the process that the requests are to reach.
    Here(Prover),
    /// From the process that runs, which has made it; or why it has not, in words.
    Told(Result<Vec<LoopSeen>, String>),
}

/// Proves each of `addresses`, in their order.
pub(super) async fn prove(prover: &Prover, plan: &Plan, addresses: impl Iterator<Item = SocketAddr>) -> Vec<LoopSeen> {
    let place = Place { name: &plan.certificate_name, host_header: &plan.host_header };
    let mut addresses: Vec<_> = addresses.collect();
    addresses.sort();
    addresses.dedup();
    let proofs = addresses.into_iter().take(MAX_ADDRESSES).map(|address| prover.prove(&place, address));
    stream::iter(proofs.collect::<Vec<_>>()).buffered(PARALLEL).collect().await
}

/// The loop-back proof of the own server `name` and, if `deep`, its idle minute, over every address
/// of every target. Ends within the total limit of `network`; the idle minute comes on top.
///
/// An error is a sentence: `network` makes no proofs, `name` is none, or the time was too short.
pub async fn loop_back(name: &str, network: &Network, deep: bool) -> Result<Vec<LoopSeen>, String> {
    let LoopSource::Here(prover) = &network.loopback else {
        return Err("this vestibule does not check itself".to_owned());
    };
    let parsed = ServerName::parse(name).map_err(|error| format!("{name:?}: {error}"))?;
    let proof = async {
        let (plan, addresses) = endpoints(network, &parsed).await;
        let seen = prove(prover, &plan, addresses.into_iter()).await;
        (plan, seen)
    };
    let late = |_| format!("the proof did not end within {} s", network.limits.total.as_secs());
    let (plan, mut seen) = timeout(network.limits.total, Box::pin(proof)).await.map_err(late)?;
    if deep {
        let place = Place { name: &plan.certificate_name, host_header: &plan.host_header };
        let minutes = seen.iter_mut().filter(|seen| matches!(seen.outcome, Outcome::Ours { .. })).map(async |seen| {
            if let Some(idle) = prover.sit_through(&place, seen.address).await {
                seen.idle = Some(idle);
            }
        });
        join_all(minutes).await;
    }
    Ok(seen)
}

/// Sits an idle minute through on every address of the own servers `names`, all at the same time. What
/// comes of it is kept for the next check.
pub async fn idle_minutes(names: impl Iterator<Item = &str>, network: &Network) {
    let LoopSource::Here(prover) = &network.loopback else { return };
    let servers = names.filter_map(|name| ServerName::parse(name).ok()).map(async |name| {
        let finding = Box::pin(endpoints(network, &name));
        let Ok((plan, mut addresses)) = timeout(network.limits.total, finding).await else { return };
        addresses.sort();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        let place = Place { name: &plan.certificate_name, host_header: &plan.host_header };
        join_all(addresses.iter().map(|address| prover.sit_through(&place, *address))).await;
    });
    join_all(servers).await;
}

/// The loop-back proof in a report.
#[derive(Clone, Debug, Serialize)]
pub struct LoopView {
    /// Each address.
    pub addresses: Vec<LoopAddressView>,
    /// Why nobody made the proof.
    pub not_made: Option<String>,
}

/// The proof at one address.
#[derive(Clone, Debug, Serialize)]
pub struct LoopAddressView {
    /// The address.
    pub address: String,
    /// `proven`, `changed`, `other` or `unknown`.
    pub outcome: &'static str,
    /// Who stands in between, where that is known.
    pub hop: Option<String>,
    /// Whether TLS ends in this process.
    pub tls_ends_here: Option<bool>,
    /// The last idle minute.
    pub idle: Option<IdleView>,
}

/// An idle minute in a report.
#[derive(Clone, Debug, Serialize)]
pub struct IdleView {
    /// Whether the answer came.
    pub survived: bool,
    /// How long ago, in seconds; absent where the clock has gone back since.
    pub age_s: Option<u64>,
}

impl LoopView {
    pub(super) fn new(proof: &LoopBack) -> Self {
        let address = |seen: &LoopSeen| LoopAddressView {
            address: seen.address.to_string(),
            outcome: match &seen.outcome {
                Outcome::Ours { .. } if seen.is_proven() => "proven",
                Outcome::Ours { .. } => "changed",
                Outcome::Other(_) => "other",
                Outcome::Unknown { .. } => "unknown",
            },
            hop: seen.hop.as_ref().map(ToString::to_string),
            tls_ends_here: match &seen.outcome {
                Outcome::Ours { ends, .. } => Some(*ends == Ends::Here),
                Outcome::Other(_) | Outcome::Unknown { .. } => None,
            },
            idle: seen.idle.as_ref().map(|idle| IdleView {
                survived: matches!(idle.end, IdleEnd::Answered(_)),
                age_s: u64::try_from(proof.at.since(idle.at)).ok(),
            }),
        };
        Self {
            addresses: proof.seen.iter().flatten().map(address).collect(),
            not_made: proof.seen.as_ref().err().cloned(),
        }
    }
}

/// An age in the largest unit that has one: 40 s, 12 min, 3 h, 2 d.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}
