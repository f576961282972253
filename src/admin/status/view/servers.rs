//! The own servers: what the last check says, and who has been answered.

use super::Moment;
use crate::admin::status::Checks;
use crate::check::finding::Finding;
use crate::check::report::Verdict;
use crate::config::Server;
use crate::telemetry::origins::Answered;
use serde::Serialize;
use std::collections::BTreeMap;

/// A homeserver.
#[derive(Debug, Serialize)]
pub(in crate::admin::status) struct ServerView {
    pub server_name: String,
    /// What delegation points to.
    pub public_host: String,
    /// Absent until the first check has ended.
    pub verdict: Option<Verdict>,
    pub checked: Option<Moment>,
    pub took_ms: Option<u64>,
    pub next_check: Option<Moment>,
    pub findings: Vec<Finding>,
    pub origins: OriginsView,
}

/// How many different servers the homeserver has answered: an estimate.
#[derive(Debug, Default, Serialize)]
pub(in crate::admin::status) struct OriginsView {
    pub last_hour: u64,
    pub last_24_hours: u64,
}

/// Each of `all`.
pub(in crate::admin::status) fn servers(
    all: &[Server],
    checks: &Checks,
    answered: &BTreeMap<String, Answered>,
) -> Vec<ServerView> {
    let view = |server: &Server| {
        let server_name = server.server_name.to_string();
        let last = checks.last(&server_name);
        let answered = answered.get(&server_name).copied().unwrap_or_default();
        ServerView {
            public_host: format!("{}:{}", server.public_host.host, server.public_host.port),
            verdict: last.as_ref().map(|last| last.report.verdict),
            checked: last.as_ref().map(|last| Moment(last.at)),
            took_ms: last.as_ref().map(|last| last.report.took_ms),
            next_check: checks.next().map(Moment),
            findings: last.as_ref().map(|last| last.report.findings.clone()).unwrap_or_default(),
            origins: OriginsView { last_hour: answered.hour, last_24_hours: answered.day },
            server_name,
        }
    };
    all.iter().map(view).collect()
}
