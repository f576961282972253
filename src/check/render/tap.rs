//! The Test Anything Protocol: one test point for each rule and server, and one for the verdict.
//!
//! The first line says version 13: what is written here is the same in TAP 13 and 14, and the
//! consumers that come with Perl refuse a newer number.

use super::areas::AREAS;
use super::json::json;
use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::report::{Report, Verdict};
use std::fmt::Write as _;

/// Renders `reports`. With `strict`, warnings are failures.
pub fn tap(reports: &[Report], strict: bool) -> String {
    let points = (Code::ALL.len() + 1) * reports.len();
    let mut out = format!("TAP version 13\n1..{points}\n");
    let mut number = 0;
    for report in reports {
        for code in Code::ALL {
            number += 1;
            point(&mut out, number, report, *code, strict);
        }
        number += 1;
        let good = match report.verdict {
            Verdict::Federates => true,
            Verdict::Degraded => !strict,
            Verdict::Fails | Verdict::Unknown => false,
        };
        let counts = [Severity::Fail, Severity::Warn, Severity::Info].map(|s| format!("{s}={}", report.count(s)));
        line(&mut out, good, number, report, &format!("verdict {} ({})", report.verdict, counts.join(" ")));
    }
    out
}

fn point(out: &mut String, number: usize, report: &Report, code: Code, strict: bool) {
    let findings: Vec<_> = report.findings.iter().filter(|finding| finding.id == code).collect();
    let bad = |finding: &&Finding| match finding.severity {
        Severity::Fail => true,
        Severity::Warn => strict,
        Severity::Info => false,
    };
    line(out, !findings.iter().any(bad), number, report, code.id());
    if findings.is_empty() {
        if !looked_at(report, code.id()) {
            // The directive stands at the end of the line just written.
            out.truncate(out.trim_end().len());
            out.push_str(" # SKIP not looked at\n");
        }
        return;
    }
    // A JSON string is a YAML string too.
    out.push_str("  ---\n  findings:\n");
    for finding in findings {
        let _ = writeln!(out, "    - severity: {}", finding.severity);
        for (key, text) in [("subject", &finding.subject), ("detail", &finding.detail), ("remedy", &finding.remedy)] {
            let _ = writeln!(out, "      {key}: {}", json(text));
        }
    }
    out.push_str("  ...\n");
}

fn line(out: &mut String, good: bool, number: usize, report: &Report, what: &str) {
    let word = if good { "ok" } else { "not ok" };
    let _ = writeln!(out, "{word} {number} - {}", description(&format!("{} {what}", report.server_name)));
}

/// A description: a `#` would begin a directive, and a backslash would escape.
fn description(text: &str) -> String {
    super::harmless(text).replace('\\', "\\\\").replace('#', "\\#")
}

/// Whether the report shows that the subject of the rule `id` was looked at. Rules that only the
/// own servers are held against cannot be told from it: they count when they speak.
fn looked_at(report: &Report, id: &str) -> bool {
    let area = AREAS.iter().find(|area| area.has(id)).map_or("", |area| area.title);
    let discovered = report.discovery.as_ref();
    let well_known = || discovered.is_some_and(|discovery| !discovery.well_known.is_empty());
    let own = ["hdr.", "loop.", "http.", "uri.signed", "fed.keys.pinned"];
    match area {
        _ if own.iter().any(|prefix| id.starts_with(prefix)) => false,
        "name" => true,
        "dns" => discovered.is_some_and(|discovery| discovery.overridden.is_empty()),
        "well-known" | "clients" => well_known(),
        "tls" if id.starts_with("tcp.") => !report.connections.is_empty(),
        "tls" => report.connections.iter().any(|connection| connection.tls.is_some()),
        "federation" | "requests" => report.connections.iter().any(|connection| connection.error.is_none()),
        "homeserver" => false,
        // What the check says of itself.
        _ => true,
    }
}
