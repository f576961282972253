//! What requests are forwarded to, and what waits for it.

use super::Moment;
use crate::clock::Timestamp;
use crate::config::pool::HOMESERVER;
use crate::config::{Config, UpstreamAddress};
use crate::telemetry::metrics::HoldCounts;
use crate::upstream::{Past, Standing};
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// An address of an upstream.
#[derive(Debug, Serialize)]
pub(in crate::admin::status) struct UpstreamView {
    /// `homeserver`, a pool's name, `mas`, `rtc_jwt`, `rtc_sfu`, or a site's host.
    pub name: String,
    /// The server it belongs to; none for a site.
    pub server: Option<String>,
    pub address: String,
    pub state: UpstreamState,
    /// While it is down: since when.
    pub since: Option<Moment>,
    /// While it is down: what was seen.
    pub why: Option<String>,
    pub connect_failures: u64,
    pub held: HeldView,
    /// The last outage that is over.
    pub last_outage: Option<OutageView>,
    /// What to type when it is down.
    #[serde(skip)]
    pub probe: String,
}

/// Whether it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::admin::status) enum UpstreamState {
    Up,
    Down,
    /// No request has gone there since the start.
    Unused,
}

/// Requests that had to wait.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in crate::admin::status) struct HeldView {
    /// Now.
    pub waiting: u64,
    /// Went to the upstream after the wait.
    pub saved: u64,
    /// Waited in vain.
    pub lost: u64,
    /// The client went away.
    pub left: u64,
    /// Found no room.
    pub refused: u64,
}

/// An outage that is over.
#[derive(Debug, Serialize)]
pub(in crate::admin::status) struct OutageView {
    pub ended: Moment,
    pub seconds: u64,
    pub saved: u64,
    pub lost: u64,
    /// Whether other servers have given up meanwhile.
    pub long: bool,
}

impl HeldView {
    fn plus(self, counts: HoldCounts) -> Self {
        Self {
            waiting: self.waiting + counts.waiting(),
            saved: self.saved + counts.saved,
            lost: self.lost + counts.lost,
            left: self.left + counts.left,
            refused: self.refused + counts.refused,
        }
    }

    /// Over all upstreams.
    pub(in crate::admin::status) fn sum(standings: &[Standing]) -> Self {
        standings.iter().fold(Self::default(), |sum, standing| sum.plus(standing.counts))
    }
}

/// Every upstream of the configuration.
pub(in crate::admin::status) fn upstreams(
    config: &Config,
    standings: &[Standing],
    now: Timestamp,
) -> Vec<UpstreamView> {
    let mut all = Vec::new();
    for server in &config.servers {
        let name = server.server_name.to_string();
        let mut add = |upstream: &str, address| all.push(view(upstream, Some(&name), address, standings, now));
        add(HOMESERVER, &server.homeserver);
        for pool in &server.pools {
            pool.endpoints.iter().for_each(|endpoint| add(&pool.name, endpoint));
        }
        let services = &server.services;
        for (service, address) in
            [("mas", &services.mas), ("rtc_jwt", &services.rtc_jwt), ("rtc_sfu", &services.rtc_sfu)]
        {
            address.iter().for_each(|address| add(service, address));
        }
    }
    let sites = config.sites.iter().map(|site| view(&site.host.to_string(), None, &site.upstream, standings, now));
    all.extend(sites);
    all
}

fn view(
    name: &str,
    server: Option<&str>,
    address: &UpstreamAddress,
    standings: &[Standing],
    now: Timestamp,
) -> UpstreamView {
    let standing = standings.iter().find(|standing| standing.address == *address);
    let down = standing.and_then(|standing| standing.down.as_ref());
    let ago = |then: Instant| Moment(now.plus(-seconds(then.elapsed())));
    let outage = |past: Past| OutageView {
        ended: ago(past.ended),
        seconds: past.lasted.as_secs(),
        saved: past.counts.saved,
        lost: past.counts.lost,
        long: past.was_long(),
    };
    UpstreamView {
        name: name.to_owned(),
        server: server.map(str::to_owned),
        address: address.to_string(),
        state: match standing {
            None => UpstreamState::Unused,
            Some(standing) if standing.up => UpstreamState::Up,
            Some(_) => UpstreamState::Down,
        },
        since: down.map(|down| ago(down.since)),
        why: down.map(|down| down.why.clone()),
        connect_failures: standing.map_or(0, |standing| standing.connect_failures),
        held: standing.map_or_else(HeldView::default, |standing| HeldView::default().plus(standing.counts)),
        last_outage: standing.and_then(|standing| standing.last_outage).map(outage),
        probe: probe(address),
    }
}

/// The command that shows what vestibule sees.
fn probe(address: &UpstreamAddress) -> String {
    match address {
        UpstreamAddress::Unix(path) => format!("curl --unix-socket {} http://localhost/health", path.display()),
        UpstreamAddress::Tcp(_) | UpstreamAddress::Name(..) => format!("curl {address}/health"),
    }
}

fn seconds(elapsed: Duration) -> i64 {
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}
