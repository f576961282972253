//! A report for a person. The verdict stands first, for those who read from the top, and last, where
//! the prompt is and where scripts look; between them one line for each area, then what is not in
//! order, the worst first, each with what to do about it.

use super::areas::AREAS;
use super::chain;
use super::paint::Look;
use super::text::{count, list, shorten};
use crate::check::finding::{Finding, Severity};
use crate::check::report::{Report, Verdict};
use std::fmt::Write as _;

/// Where details start: behind a severity and two spaces.
const INDENT: usize = 6;

/// Where the text of an area starts.
const AREA_TEXT: usize = 20;

/// How many subjects, and how many details of one finding, are shown.
const SUBJECTS: usize = 4;
const DETAILS: usize = 3;

/// Characters of one detail: what was seen may quote an answer.
const DETAIL: usize = 600;

/// Renders `report`.
pub fn render(report: &Report, look: Look) -> String {
    let mut out = String::new();
    header(report, look, &mut out);
    for area in AREAS {
        if let Some(line) = area.line(report) {
            let word = line.worst.map_or_else(|| format!("{}  ", look.good("ok")), |worst| look.severity(worst));
            let text = shorten(&line.text, look.width().saturating_sub(AREA_TEXT));
            let _ = writeln!(out, "  {word}  {:<12}{text}", area.title);
        }
    }
    for group in groups(&report.findings) {
        out.push('\n');
        finding(&group, look, &mut out);
    }
    out.push_str(&chain::presented(report, look.width()));
    out.push('\n');
    summary(report, look, &mut out);
    out
}

/// The end of several reports: one line for each server.
pub fn several(reports: &[Report], look: Look) -> String {
    let widest = reports.iter().map(|report| report.server_name.chars().count()).max().unwrap_or(0);
    // A verdict and its counts must fit beside the name.
    let room = widest.min(look.width().saturating_sub(36));
    let mut out = String::new();
    for report in reports {
        let verdict = look.verdict(report.verdict, report.verdict.as_str());
        let gap = 11_usize.saturating_sub(report.verdict.as_str().len());
        let name = shorten(&report.server_name, room);
        let line = format!("{name:<room$}  {verdict}{:gap$}{}", "", counts(report).unwrap_or_default());
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn header(report: &Report, look: Look, out: &mut String) {
    let name = shorten(&report.server_name, look.width());
    let _ = write!(out, "{} {}", look.strong(&name), look.verdict(report.verdict, in_words(report.verdict)));
    if let Some(counts) = counts(report) {
        let at = name.chars().count() + in_words(report.verdict).len() + 2;
        if at + counts.len() < look.width() {
            let _ = write!(out, ": {counts}");
        }
    }
    out.push('\n');
    if let Some(discovery) = &report.discovery {
        let targets = list(&discovery.targets, SUBJECTS);
        let targets = if targets.is_empty() { "nowhere" } else { &targets };
        let text = format!(
            "-> {targets} (step {}: {}; certificate for {})",
            discovery.step, discovery.meaning, discovery.certificate_name
        );
        let _ = writeln!(out, "  {}", look.wrap(&text, 2, 5));
        let delegated = discovery.well_known.iter().any(|seen| seen.m_server.is_some());
        if let Some(until) = discovery.delegation_until.as_ref().filter(|_| delegated) {
            let _ = writeln!(out, "  peers may use this delegation until {until}");
        }
    }
    if report.private {
        let text = "closed network: findings about address ranges and public CAs are remarks";
        let _ = writeln!(out, "  {}", look.wrap(text, 2, 2));
    }
}

fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Federates => "federates",
        Verdict::Degraded => "federates, with something to mend",
        Verdict::Fails => "fails",
        Verdict::Unknown => "could not tell",
    }
}

/// Failures and warnings in words, if there are any.
fn counts(report: &Report) -> Option<String> {
    let words = [(Severity::Fail, "failure", "failures"), (Severity::Warn, "warning", "warnings")];
    let counts = words.map(|(severity, one, many)| (report.count(severity), one, many));
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(number, ..)| *number > 0)
        .map(|(number, one, many)| count(number, one, many))
        .collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

/// Findings of one rule stand together.
fn groups(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = |group: &&mut Vec<&Finding>| {
            group.first().is_some_and(|f| (f.id, f.severity) == (finding.id, finding.severity))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

fn finding(group: &[&Finding], look: Look, out: &mut String) {
    let Some(first) = group.first() else { return };
    let mut subjects: Vec<_> = group.iter().map(|finding| finding.subject.as_str()).collect();
    subjects.dedup();
    let id = first.id.id();
    let at = INDENT + id.len() + 2;
    let subjects = look.wrap(&list(&subjects, SUBJECTS), at, INDENT);
    let _ = writeln!(out, "{}  {}  {subjects}", look.severity(first.severity), look.strong(id));
    let mut details: Vec<_> = group.iter().map(|finding| (&finding.subject, &finding.detail)).collect();
    details.dedup_by(|a, b| a.1 == b.1);
    // Only where they differ does each need its subject.
    let named = details.len() > 1;
    for (subject, detail) in details.iter().take(DETAILS) {
        let detail = shorten(detail, DETAIL);
        let text = if named { format!("{subject}: {detail}") } else { detail };
        let _ = writeln!(out, "{:INDENT$}{}", "", look.wrap(&text, INDENT, INDENT + if named { 2 } else { 0 }));
    }
    if details.len() > DETAILS {
        let _ = writeln!(out, "{:INDENT$}and {} more like these", "", details.len() - DETAILS);
    }
    for remedy in remedies(group).iter().take(DETAILS) {
        let _ = writeln!(out, "{:INDENT$}{} {}", "", look.strong("fix:"), look.wrap(remedy, INDENT + 5, INDENT + 5));
    }
}

/// What to do, once for all findings whose remedies differ by their subject only.
fn remedies<'a>(group: &[&'a Finding]) -> Vec<&'a str> {
    let mut known = Vec::new();
    let new = group.iter().filter(|finding| {
        let general = finding.remedy.replace(&finding.subject, "\0");
        let new = !known.contains(&general);
        if new {
            known.push(general);
        }
        new
    });
    new.map(|finding| finding.remedy.as_str()).collect()
}

fn summary(report: &Report, look: Look, out: &mut String) {
    let verdict = look.verdict(report.verdict, &format!("verdict={}", report.verdict));
    let counts = [Severity::Fail, Severity::Warn, Severity::Info].map(|s| format!("{s}={}", report.count(s)));
    let seconds = format!("{}.{:01}", report.took_ms / 1000, report.took_ms % 1000 / 100);
    let _ = writeln!(out, "{verdict} {} addresses={} seconds={seconds}", counts.join(" "), report.connections.len());
}
