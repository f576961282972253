//! The check of the own servers, as peers see them: after the start, and then on a timer.

use super::unit_status::UnitStatus;
use crate::certs::Published;
use crate::check::finding::Severity;
use crate::check::network::Network;
use crate::check::own::idle_minutes;
use crate::check::report::{Report, Verdict};
use crate::check::{check, finding::Finding};
use crate::clock::Clock;
use crate::config::{CheckNetwork, Config};
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

/// Checks every own server at the start and then at every interval. Never returns.
pub(super) async fn run(config: &Config, published: &Published, network: &Network, status: &UnitStatus) {
    wait_for_certificates(config, published).await;
    let mut changes = published.subscribe();
    loop {
        // Before the look, so that a certificate that comes during the check is not missed.
        changes.mark_unchanged();
        let waited = missing(config, published);
        let mut verdicts = Vec::new();
        for server in &config.servers {
            let report = check(server.server_name.as_str(), network).await;
            tell(&report);
            verdicts.push(format!("{} {}", server.server_name, report.verdict.as_str()));
        }
        status.verdicts(verdicts.join(", "));
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
