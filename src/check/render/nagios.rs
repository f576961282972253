//! A monitoring plugin's answer (Monitoring Plugins Development Guidelines): one line with the
//! state and, behind a bar, performance data; then the findings. The exit status is the state.

use super::text::harmless;
use crate::check::finding::Severity;
use crate::check::report::{Report, Verdict};
use crate::clock::Timestamp;
use std::fmt::Write as _;

/// Characters of one line: older servers cut at a kilobyte, and the first line matters.
const LINE: usize = 900;

/// Findings written out, over all servers.
const FINDINGS: usize = 20;

/// Seconds in a day.
const DAY: f64 = 86_400.0;

/// Renders `reports`, as of `now`.
pub fn nagios(reports: &[Report], now: Timestamp) -> String {
    let word = match status(reports) {
        0 => "OK",
        1 => "WARNING",
        2 => "CRITICAL",
        _ => "UNKNOWN",
    };
    let mut summaries: Vec<_> = reports.iter().collect();
    summaries.sort_by_key(|report| std::cmp::Reverse(rank(report.verdict)));
    let summaries: Vec<_> = summaries.into_iter().map(summary).collect();
    let data: Vec<_> = reports.iter().flat_map(|report| performance(report, reports.len() > 1, now)).collect();
    let mut out = format!("FEDERATION {word} - {} | {}\n", clean(&summaries.join("; ")), data.join(" "));
    let findings: Vec<_> = reports.iter().flat_map(|report| &report.findings).collect();
    for finding in findings.iter().take(FINDINGS) {
        let head = format!("{} {} {} {}", finding.severity, finding.server, finding.id, finding.subject);
        let _ = writeln!(out, "{}", clean(&format!("{head}: {}", finding.detail)));
        let _ = writeln!(out, "  fix: {}", clean(&finding.remedy));
    }
    if findings.len() > FINDINGS {
        let _ = writeln!(out, "and {} more", findings.len() - FINDINGS);
    }
    out
}

/// The state of the worst of `reports`: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. A failure or a
/// warning says more than not knowing.
pub fn status(reports: &[Report]) -> u8 {
    let worst = reports.iter().map(|report| report.verdict).max_by_key(|verdict| rank(*verdict));
    match worst {
        Some(Verdict::Federates) => 0,
        Some(Verdict::Degraded) => 1,
        Some(Verdict::Fails) => 2,
        Some(Verdict::Unknown) | None => 3,
    }
}

fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Federates => 0,
        Verdict::Unknown => 1,
        Verdict::Degraded => 2,
        Verdict::Fails => 3,
    }
}

fn summary(report: &Report) -> String {
    let mut ids: Vec<_> =
        report.findings.iter().filter(|f| f.severity > Severity::Info).map(|finding| finding.id.id()).collect();
    ids.dedup();
    let why = if ids.is_empty() { String::new() } else { format!(" ({})", super::text::list(&ids, 5)) };
    match report.verdict {
        Verdict::Unknown => format!("{}: could not tell{why}", report.server_name),
        verdict => format!("{} {verdict}{why}", report.server_name),
    }
}

/// `label=value;warn;crit;min` for each figure. With `several` servers the label names the server.
fn performance(report: &Report, several: bool, now: Timestamp) -> Vec<String> {
    let label = |figure: &str| {
        let label = if several { format!("{} {figure}", report.server_name) } else { figure.to_owned() };
        let plain = label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        // Inside quotes, a quote is doubled; the equals sign is not allowed at all.
        let label = clean(&label).replace('=', "_").replace('\'', "''");
        if plain { label } else { format!("'{label}'") }
    };
    let seconds = format!("{}.{:03}", report.took_ms / 1000, report.took_ms % 1000);
    let mut data = vec![
        format!("{}={seconds}s;;;0", label("time")),
        format!("{}={};;0;0", label("fails"), report.count(Severity::Fail)),
        format!("{}={};0;;0", label("warnings"), report.count(Severity::Warn)),
    ];
    data.extend(days_left(report, now).map(|days| format!("{}={days:.1}", label("cert_days_left"))));
    data
}

/// Days until the first certificate that any federation address presents of its own ends.
fn days_left(report: &Report, now: Timestamp) -> Option<f64> {
    let leaves = report.connections.iter().filter_map(|connection| connection.tls.as_ref()?.certificates.first());
    let ends = leaves.filter_map(|leaf| leaf.not_after.parse::<jiff::Timestamp>().ok()).map(jiff::Timestamp::as_second);
    let left = Timestamp(ends.min()?).since(now);
    // Exact for every date that a certificate can have.
    Some(f64::from(i32::try_from(left).unwrap_or(i32::MAX)) / DAY)
}

/// Text for a line: no bar, which begins performance data, and nothing that ends the line.
fn clean(text: &str) -> String {
    harmless(text).replace('|', "/").chars().take(LINE).collect()
}
