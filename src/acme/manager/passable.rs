//! The way here, looked at before the CA is told to take it, and what the listeners show,
//! afterwards.

use super::keeper::{Failed, Keeper};
use crate::acme::ca::Ca;
use crate::acme::directory::Directory;
use crate::acme::ledger::{Failure, FailureKind, Ledger};
use crate::acme::plan::Reason;
use crate::acme::preflight::{Aspect, Finding, Report};
use crate::certs::keyring::Slot;
use crate::config::Challenge;
use crate::matrix::{Host, HostPattern};
use crate::probe::shown;
use std::fmt;
use std::time::Duration;

/// How long a faulty way is left before it is looked at again. A look costs the CA nothing, and
/// whoever mends the fault waits for it.
pub(super) const PREFLIGHT_RETRY: Duration = Duration::from_secs(5 * 60);

/// What pre-flight is certain of is still this machine's view only: once a day the CA's is asked
/// all the same, which costs it one failed validation at most.
const TRUSTED: i64 = 86_400;

/// What keeps orders back, with remedies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blocked(Vec<String>);

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing is ordered, because the CA would fail: {}", self.0.join("; "))
    }
}

impl Keeper {
    /// The challenge types that can work, in order of preference; `None` to order nothing now. A
    /// person who asks knows the names better than this machine's view of DNS.
    pub(super) async fn passable(
        &mut self,
        ca: &Ca,
        directory: &Directory,
        ledger: &mut Ledger,
        reason: &Reason,
    ) -> Result<Option<Vec<Challenge>>, Failed> {
        let configured = self.manager.settings.challenges.clone();
        let Some(preflight) = &self.manager.parts.preflight else { return Ok(Some(configured)) };
        let account = ca.accounts.url().await;
        let report = preflight.examine(&self.names, &configured, directory.caa_identities(), account.as_deref()).await;
        let now = self.manager.time_of(ca);
        if !report.blocks() {
            self.blocked = None;
            ledger.let_through();
            let usable = report.usable(&configured);
            self.tell_doubts(&report, usable.len() < configured.len());
            return Ok(Some(usable));
        }
        let said: Vec<_> = report.bad().map(sentence).collect();
        let opinion = report.bad().all(|finding| finding.what != Aspect::State);
        if opinion && *reason == Reason::Asked && report.bad().all(|finding| finding.what == Aspect::Dns) {
            tracing::warn!(names = %self.shown(), findings = %said.join("; "), "pre-flight would keep this order back; it was asked for");
            return Ok(Some(configured));
        }
        let since = ledger.kept_back(now);
        if self.manager.cas.len() > 1 && report.bad().all(|finding| finding.what == Aspect::Caa) {
            // This CA's own affair: one that the records allow may be next.
            let failure = Failure {
                kind: FailureKind::Unavailable,
                detail: said.join("; "),
                retry_after: None,
                challenge: None,
                identifiers: Vec::new(),
            };
            ledger.failed(now, failure);
        }
        if opinion && now.since(since) >= TRUSTED {
            tracing::warn!(names = %self.shown(), "pre-flight has kept orders back for a day; the CA is asked all the same");
            ledger.let_through();
            self.blocked = None;
            return Ok(Some(configured));
        }
        self.save(ca, ledger).await?;
        let blocked = Blocked(said);
        if self.blocked.as_ref() != Some(&blocked) {
            tracing::error!(names = %self.shown(), reason = %blocked, "pre-flight");
        }
        self.blocked = Some(blocked);
        Ok(None)
    }

    /// What may be wrong and what is, where an order goes on all the same.
    fn tell_doubts(&self, report: &Report, reduced: bool) {
        for finding in report.bad().filter(|_| reduced) {
            tracing::warn!(names = %self.shown(), finding = %sentence(finding), "pre-flight rules a challenge type out");
        }
        for finding in report.unknown() {
            tracing::debug!(names = %self.shown(), finding = %sentence(finding), "pre-flight could not tell");
        }
    }

    /// Connects to every listener and compares what it shows. A certificate that is proved and does
    /// not arrive there is a fault of this program or of something in front of it.
    pub(super) async fn look_at_listeners(&self, serial: &str) {
        let Some(preflight) = &self.manager.parts.preflight else { return };
        let published = self.manager.parts.published.subscribe().borrow().clone();
        let by_file = |host: &Host| {
            published.iter().any(|(slot, certificate)| matches!(slot, Slot::Files(_)) && certificate.covers(host))
        };
        // A wildcard has no name to ask for; those that it serves are asked for by whoever uses them.
        let names = self.names.iter().filter_map(|name| match name {
            HostPattern::Exact(host) => Some(host),
            HostPattern::Wildcard(_) => None,
        });
        for host in names.filter(|host| !by_file(host)) {
            let mismatches = shown(&preflight.own, host, serial).await;
            for mismatch in &mismatches {
                tracing::error!(name = %host, expected = %serial, %mismatch, "a listener does not show the new certificate");
            }
            if mismatches.is_empty() {
                tracing::info!(name = %host, %serial, "every listener shows the new certificate");
            }
        }
    }
}

fn sentence(finding: &Finding) -> String {
    let Finding { subject, detail, remedy, .. } = finding;
    if remedy.is_empty() { format!("{subject}: {detail}") } else { format!("{subject}: {detail}; {remedy}") }
}
