//! The parts of a check, each of which is one line when all is well.

use super::text::{count, list};
use crate::check::finding::{Finding, Severity};
use crate::check::loop_back::age;
use crate::check::report::{ConnectionView, Report, RequestsView};

/// How many addresses a line names.
const NAMED: usize = 4;

/// A part of the check.
pub(super) struct Area {
    pub(super) title: &'static str,
    /// Findings whose ids start so belong to it.
    prefixes: &'static [&'static str],
    /// What was seen when it is in order; `None` where there was nothing to look at.
    says: fn(&Report) -> Option<String>,
}

/// All parts, in the order in which a peer meets them.
pub(super) const AREAS: &[Area] = &[
    Area { title: "name", prefixes: &["name."], says: |_| None },
    Area { title: "dns", prefixes: &["dns."], says: dns },
    Area { title: "well-known", prefixes: &["wk.server.", "wk.fallback8448"], says: well_known },
    Area { title: "tls", prefixes: &["tcp.", "tls."], says: tls },
    Area { title: "federation", prefixes: &["fed.", "time.", "retry"], says: federation },
    Area { title: "requests", prefixes: &["uri.", "body.", "expose.", "waf"], says: requests },
    Area { title: "loop-back", prefixes: &["loop.", "hdr.", "http.longpoll"], says: loop_back },
    Area { title: "clients", prefixes: &["wk.client.", "wk.support", "wk.policy", "cors."], says: clients },
    Area { title: "homeserver", prefixes: &["hs.", "route."], says: homeserver },
];

/// One line of the table.
pub(super) struct Line {
    /// The worst that was found here, remarks aside.
    pub(super) worst: Option<Severity>,
    pub(super) text: String,
}

impl Area {
    /// Whether the rule `id` belongs here.
    pub(super) fn has(&self, id: &str) -> bool {
        self.prefixes.iter().any(|prefix| id.starts_with(prefix))
    }

    /// What there is to say: what was seen, or which rules were broken.
    pub(super) fn line(&self, report: &Report) -> Option<Line> {
        let broken = |finding: &&Finding| self.has(finding.id.id()) && finding.severity > Severity::Info;
        let mut ids: Vec<_> = report.findings.iter().filter(broken).map(|finding| finding.id.id()).collect();
        ids.dedup();
        match report.findings.iter().filter(broken).map(|finding| finding.severity).max() {
            Some(worst) => Some(Line { worst: Some(worst), text: list(&ids, NAMED) }),
            None => (self.says)(report).map(|text| Line { worst: None, text }),
        }
    }
}

fn dns(report: &Report) -> Option<String> {
    let discovery = report.discovery.as_ref()?;
    let lists = discovery.targets.iter().filter_map(|target| discovery.addresses.get(target));
    // The port is in the headline already.
    let hosts: Vec<_> = lists.flatten().map(|address| address.rsplit_once(':').map_or("", |(host, _)| host)).collect();
    let hosts: Vec<_> = hosts.into_iter().map(|host| host.trim_matches(['[', ']'])).collect();
    let word = if discovery.overridden.is_empty() { "" } else { " (by connect override)" };
    (!hosts.is_empty()).then(|| format!("{}{word}", list(&hosts, NAMED)))
}

fn loop_back(report: &Report) -> Option<String> {
    let proof = report.loopback.as_ref()?;
    let proven = proof.addresses.iter().filter(|seen| seen.outcome == "proven").count();
    if proven == 0 || proven < proof.addresses.len() {
        return None;
    }
    let idle = proof.addresses.iter().filter_map(|seen| seen.idle.as_ref()?.age_s).max();
    let idle = idle.map_or_else(|| "not tried yet".to_owned(), |seconds| format!("{} ago", age(seconds)));
    Some(format!("unchanged from {}, idle minute {idle}", count(proven, "address", "addresses")))
}

fn well_known(report: &Report) -> Option<String> {
    let seen = &report.discovery.as_ref()?.well_known;
    let first = seen.first()?;
    let what = match (&first.m_server, first.status) {
        (Some(server), _) => format!("m.server is {server}"),
        (None, Some(404)) => "none (404), which is fine".to_owned(),
        (None, _) => return None,
    };
    Some(format!("{what}, from {}", count(seen.len(), "address", "addresses")))
}

fn answering(report: &Report) -> impl Iterator<Item = &ConnectionView> {
    report.connections.iter().filter(|connection| connection.error.is_none())
}

fn tls(report: &Report) -> Option<String> {
    let tls = answering(report).find_map(|connection| connection.tls.as_ref())?;
    let until = tls.certificates.first().and_then(|leaf| leaf.not_after.split('T').next().map(str::to_owned));
    let until = until.map(|until| format!(", certificate until {until}")).unwrap_or_default();
    Some(format!("{}{until}", tls.accepts.join(" and ")))
}

fn federation(report: &Report) -> Option<String> {
    let connection = answering(report).next()?;
    let keys = connection.keys.as_ref()?;
    let version = connection.version.as_ref();
    let software = version.map(|version| {
        format!("{} {}", version.name.as_deref().unwrap_or("unnamed"), version.version.as_deref().unwrap_or(""))
    });
    let software = software.unwrap_or_default();
    let keys: Vec<_> = keys.verify_keys.keys().collect();
    let addresses = count(answering(report).count(), "address", "addresses");
    Some(format!("{}, key {}, {addresses}", software.trim(), list(&keys, NAMED)))
}

/// Nothing where some were left out: what was not asked is not in order.
fn requests(report: &Report) -> Option<String> {
    let seen: Vec<_> = answering(report).filter_map(|connection| connection.requests.as_ref()).collect();
    if seen.is_empty() || seen.iter().any(|seen| !seen.finished) {
        return None;
    }
    let total = |part: fn(&RequestsView) -> usize| seen.iter().map(|seen| part(seen)).sum::<usize>();
    let what = match (total(|seen| seen.answered), total(|seen| seen.asked)) {
        (answered, asked) if answered == asked => format!("{} as they should be", count(asked, "answer", "answers")),
        (answered, asked) => format!("{answered} of {asked} answered"),
    };
    let versions = if seen.iter().all(|seen| seen.http2) { "HTTP/1.1 and HTTP/2" } else { "HTTP/1.1" };
    Some(format!("{what}, over {versions}"))
}

fn clients(report: &Report) -> Option<String> {
    let seen = report.clients.as_ref()?;
    let what = match (&seen.base_url, seen.versions_status, seen.status) {
        (Some(url), Some(200), _) => format!("homeserver at {url}"),
        (None, _, Some(404)) => "no client document (404), which is fine".to_owned(),
        _ => return None,
    };
    let support = if seen.support_status == Some(200) { ", support document" } else { "" };
    Some(format!("{what}{support}"))
}

fn homeserver(report: &Report) -> Option<String> {
    let seen = report.homeserver.as_ref()?;
    // Whose it is stands in the headline.
    let upstream = (seen.status == Some(200)).then(|| seen.upstream.clone());
    let endpoints = (seen.endpoints > 0).then(|| count(seen.endpoints, "endpoint", "endpoints"));
    let parts: Vec<_> = [upstream, seen.file.clone(), endpoints].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
