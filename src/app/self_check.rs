//! The check of the own servers, as peers see them: after the start, and then on a timer.

use super::unit_status::UnitStatus;
use crate::admin::status::Checks;
use crate::certs::{Published, Store};
use crate::check::finding::{Finding, Severity};
use crate::check::guard::Guard;
use crate::check::loop_back::idle_minutes;
use crate::check::network::Network;
use crate::check::own::Subject;
use crate::check::report::{Report, Verdict};
use crate::check::{Pins, check_own};
use crate::clock::Clock;
use crate::config::{CheckNetwork, Config};
use crate::telemetry::log::Chain;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the first check waits for the first certificate: without one it could only say what
/// the log says already.
const FIRST_CERTIFICATE: Duration = Duration::from_secs(120);

/// From a new certificate to the check: the workers get it in between.
const SETTLE: Duration = Duration::from_secs(1);

/// How often to look for that certificate.
const LOOK: Duration = Duration::from_millis(250);

/// What the own check may use: the system's resolver and roots, and the internal CA's root.
pub fn own_network(config: &Config, internal_root: Option<&str>, clock: Clock) -> Network {
    let private = config.check.network == CheckNetwork::Private;
    let network = Network::from_system(clock).with_private(private);
    match internal_root {
        // The root was made or parsed by this program; a failure would leave it out, and be found.
        Some(pem) => network.clone().with_ca_pem(pem.as_bytes()).unwrap_or(network),
        None => network,
    }
}

/// What a check on behalf of whoever opens the status page may use: the system's resolver and roots,
/// and public addresses only.
pub(super) fn network_for_strangers(clock: Clock) -> Network {
    Network::from_system(clock).with_guard(Guard::PublicOnly)
}

/// Who is told what a check has found, besides the log.
pub(super) struct TellTo<'a> {
    /// systemd.
    pub(super) status: &'a UnitStatus,
    /// The status page and the metrics.
    pub(super) checks: &'a Checks,
}

/// What is checked, and by which clock.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) config: &'a Config,
    pub(super) published: &'a Published,
    /// For the keys that a server once published.
    pub(super) store: &'a Store,
    pub(super) clock: &'a Clock,
}

/// Checks every own server at the start and then at every interval. Never returns.
pub(super) async fn run(own: Own<'_>, network: &Network, tell_to: TellTo<'_>) {
    let TellTo { status, checks } = tell_to;
    let Own { config, published, store, clock } = own;
    wait_for_certificates(config, published).await;
    let mut changes = published.subscribe();
    loop {
        // Before the look, so that a certificate that comes during the check is not missed.
        changes.mark_unchanged();
        let waited = missing(config, published);
        let mut verdicts = Vec::new();
        for subject in Subject::all(config) {
            let name = subject.server.server_name.clone();
            let report = check_pinned(subject, store, network).await;
            tell(&report);
            verdicts.push(format!("{name} {}", report.verdict.as_str()));
            checks.ended(clock.now(), report);
        }
        status.verdicts(verdicts.join(", "));
        let interval = i64::try_from(config.check.interval.as_secs()).unwrap_or(i64::MAX);
        checks.planned(clock.now().plus(interval));
        tokio::select! {
            () = sleep(config.check.interval) => {
                // Not at the start, where an answer is wanted soon. The check shows what came of it.
                let names = config.servers.iter().map(|server| server.server_name.as_str());
                idle_minutes(names, network).await;
            }
            // What was wrong may just have been mended: a verdict must not be six hours behind.
            _ = changes.changed(), if waited => sleep(SETTLE).await,
        }
    }
}

/// Where the keys that a server once published are kept.
fn pins_key(name: &str) -> String {
    // A slash would be a folder; names have none, but IPv6 literals have what files should not.
    format!("check/keys-{}.json", name.replace([':', '[', ']'], "_"))
}

/// Checks, and holds the server's keys against those of the last time.
async fn check_pinned(subject: Subject, store: &Store, network: &Network) -> Report {
    let key = pins_key(subject.server.server_name.as_str());
    let (kept, readable) = match store.load(&key).await {
        Ok(kept) => (kept, true),
        Err(failed) => {
            tracing::warn!(error = %Chain(&failed), "the keys of the last check cannot be read");
            (None, false)
        }
    };
    let before = kept.as_deref().and_then(Pins::read);
    let report = check_own(subject, network, before.as_ref()).await;
    if let Some(pins) = Pins::after(before.as_ref(), &report, network.now()).filter(|_| readable)
        && let Err(failed) = store.store(&key, pins.to_json().as_bytes()).await
    {
        tracing::warn!(error = %Chain(&failed), "the keys of this check cannot be kept");
    }
    report
}

/// Whether a server still has no certificate.
fn missing(config: &Config, published: &Published) -> bool {
    config.servers.iter().any(|server| !published.covers(&server.public_host.host))
}

async fn wait_for_certificates(config: &Config, published: &Published) {
    let deadline = Instant::now() + FIRST_CERTIFICATE;
    while missing(config, published) && Instant::now() < deadline {
        sleep(LOOK).await;
    }
}

/// One line for each finding, one for the verdict.
fn tell(report: &Report) {
    for finding in &report.findings {
        let Finding { id, server, subject, detail, remedy, .. } = finding;
        match finding.severity {
            Severity::Fail => tracing::error!(%id, %server, %subject, fix = %remedy, "check: {detail}"),
            Severity::Warn => tracing::warn!(%id, %server, %subject, fix = %remedy, "check: {detail}"),
            Severity::Info => tracing::info!(%id, %server, %subject, note = %remedy, "check: {detail}"),
        }
    }
    let (server, verdict, took_ms) = (&report.server_name, report.verdict.as_str(), report.took_ms);
    match report.verdict {
        Verdict::Fails => tracing::error!(%server, %verdict, took_ms, "self-check"),
        Verdict::Degraded | Verdict::Unknown => tracing::warn!(%server, %verdict, took_ms, "self-check"),
        Verdict::Federates => tracing::info!(%server, %verdict, took_ms, "self-check"),
    }
}
