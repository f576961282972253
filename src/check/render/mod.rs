//! A [`Report`] as text for a person: one line for each area that is in order, then what is not,
//! each with what to do about it. Fits a terminal of 80 columns.

use super::catalogue::Code;
use super::finding::{Finding, Severity};
use super::report::{ConnectionView, Report, Verdict};
use std::fmt::Write as _;

/// Columns to fill at most.
const WIDTH: usize = 80;

/// Where details start.
const INDENT: usize = 6;

/// Renders `report`, with ANSI colours if `colour`.
pub fn render(report: &Report, colour: bool) -> String {
    let paint = Paint { colour };
    let mut out = String::new();
    header(report, &paint, &mut out);
    for area in AREAS {
        if let Some(line) = area.line(report) {
            let _ = writeln!(out, "  {}  {:<12}{}", paint.good("ok"), area.title, line);
        }
    }
    for group in groups(&report.findings) {
        out.push('\n');
        finding(&group, &paint, &mut out);
    }
    out.push('\n');
    summary(report, &paint, &mut out);
    out
}

fn header(report: &Report, paint: &Paint, out: &mut String) {
    let _ = write!(out, "{}", paint.strong(&report.server_name));
    if let Some(discovery) = &report.discovery {
        let targets = if discovery.targets.is_empty() { "nowhere".to_owned() } else { discovery.targets.join(", ") };
        let _ = write!(out, " -> {targets}");
        let _ = write!(out, "\n  step {}: {}", discovery.step, discovery.meaning);
        let _ = write!(out, "; certificate for {}", discovery.certificate_name);
    }
    out.push('\n');
}

/// A part of the check that is one line when all is well.
struct Area {
    title: &'static str,
    /// Findings whose ids start so belong to it.
    prefixes: &'static [&'static str],
    /// What to say when it is in order; `None` where there was nothing to look at.
    says: fn(&Report) -> Option<String>,
}

const AREAS: &[Area] = &[
    Area { title: "dns", prefixes: &["dns."], says: dns },
    Area { title: "well-known", prefixes: &["wk.server."], says: well_known },
    Area { title: "tls", prefixes: &["tcp.", "tls."], says: tls },
    Area { title: "federation", prefixes: &["fed.", "time.", "retry"], says: federation },
    Area { title: "loop-back", prefixes: &["loop.", "hdr.", "http.longpoll"], says: loop_back },
];

impl Area {
    /// The line, unless something above a remark was found here.
    fn line(&self, report: &Report) -> Option<String> {
        let ours = |finding: &&Finding| self.prefixes.iter().any(|prefix| finding.id.id().starts_with(prefix));
        let bad = report.findings.iter().filter(ours).any(|finding| finding.severity > Severity::Info);
        if bad {
            return None;
        }
        let room = WIDTH.saturating_sub(18);
        (self.says)(report).map(|line| shorten(&line, room))
    }
}

fn dns(report: &Report) -> Option<String> {
    let discovery = report.discovery.as_ref()?;
    let lists = discovery.targets.iter().filter_map(|target| discovery.addresses.get(target));
    // The port is in the headline already.
    let hosts: Vec<_> = lists.flatten().map(|address| address.rsplit_once(':').map_or("", |(host, _)| host)).collect();
    let hosts: Vec<_> = hosts.into_iter().map(|host| host.trim_matches(['[', ']'])).collect();
    let word = if discovery.overridden.is_empty() { "" } else { " (by connect override)" };
    (!hosts.is_empty()).then(|| format!("{}{word}", hosts.join(", ")))
}

fn well_known(report: &Report) -> Option<String> {
    let seen = &report.discovery.as_ref()?.well_known;
    let first = seen.first()?;
    let what = match (&first.m_server, first.status) {
        (Some(server), _) => format!("m.server is {server}"),
        (None, Some(404)) => "none (404), which is fine".to_owned(),
        (None, _) => return None,
    };
    Some(format!("{what}, from {}", count(seen.len(), "address")))
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
    let keys = keys.verify_keys.keys().cloned().collect::<Vec<_>>().join(", ");
    Some(format!("{}, key {keys}, {}", software.trim(), count(answering(report).count(), "address")))
}

fn loop_back(report: &Report) -> Option<String> {
    let proof = report.loopback.as_ref()?;
    let proven = proof.addresses.iter().filter(|seen| seen.outcome == "proven").count();
    if proven == 0 || proven < proof.addresses.len() {
        return None;
    }
    let idle = proof.addresses.iter().filter_map(|seen| seen.idle.as_ref()?.age_s).max();
    let idle = idle.map_or_else(|| "not tried yet".to_owned(), |age| format!("{} ago", super::own::age(age)));
    Some(format!("unchanged from {}, idle minute {idle}", count(proven, "address")))
}

/// Findings that say the same about several subjects stand together.
fn groups(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = |group: &&mut Vec<&Finding>| {
            group
                .first()
                .is_some_and(|f| (f.id, f.severity, &f.detail) == (finding.id, finding.severity, &finding.detail))
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

fn finding(group: &[&Finding], paint: &Paint, out: &mut String) {
    let Some(first) = group.first() else { return };
    let subjects: Vec<_> = group.iter().map(|finding| finding.subject.as_str()).collect();
    let word = paint.severity(first.severity);
    let id = first.id.id();
    let _ = writeln!(out, "{word}  {}", wrap(&format!("{id}  {}", subjects.join(", ")), INDENT));
    let _ = writeln!(out, "{:INDENT$}{}", "", wrap(&first.detail, INDENT));
    let _ = writeln!(out, "{:INDENT$}fix: {}", "", wrap(&first.remedy, INDENT + 5));
}

fn summary(report: &Report, paint: &Paint, out: &mut String) {
    let verdict = paint.verdict(report.verdict, &format!("verdict={}", report.verdict));
    let counts = [Severity::Fail, Severity::Warn, Severity::Info].map(|s| format!("{s}={}", report.count(s)));
    let seconds = format!("{}.{:01}", report.took_ms / 1000, report.took_ms % 1000 / 100);
    let _ = writeln!(out, "{verdict} {} addresses={} seconds={seconds}", counts.join(" "), report.connections.len());
}

fn count(number: usize, noun: &str) -> String {
    match number {
        1 => format!("1 {noun}"),
        _ => format!("{number} {noun}es"),
    }
}

/// Cuts `text` to `width` characters, with dots where something is left out.
fn shorten(text: &str, width: usize) -> String {
    let text: String = text.chars().map(printable).collect();
    if text.chars().count() <= width {
        return text;
    }
    let mut short: String = text.chars().take(width.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

/// Breaks `text` at spaces so that it fits beside a margin of `indent`. Words are never broken, and
/// neither is what stands in backticks: commands and addresses must survive copying.
fn wrap(text: &str, indent: usize) -> String {
    let width = WIDTH.saturating_sub(indent);
    let mut out = String::new();
    let mut column = 0;
    for word in words(text) {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            let _ = write!(out, "\n{:indent$}", "");
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.extend(word.chars().map(printable));
        column += length;
    }
    out
}

/// The pieces of `text` between spaces that are not inside backticks.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut inside = false;
    for word in text.split(' ') {
        match words.last_mut().filter(|_| inside) {
            Some(command) => {
                command.push(' ');
                command.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        inside ^= word.matches('`').count() % 2 == 1;
    }
    words
}

/// What comes from the other side must not steer the terminal.
fn printable(c: char) -> char {
    if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }
}

/// ANSI colours, or none.
struct Paint {
    colour: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn strong(&self, text: &str) -> String {
        self.with("1", &wrap(text, 0))
    }

    fn good(&self, text: &str) -> String {
        self.with("32", text)
    }

    fn severity(&self, severity: Severity) -> String {
        let code = match severity {
            Severity::Fail => "31",
            Severity::Warn => "33",
            Severity::Info => "36",
        };
        self.with(code, severity.as_str())
    }

    fn verdict(&self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Federates => "32",
            Verdict::Degraded | Verdict::Unknown => "33",
            Verdict::Fails => "31",
        };
        self.with(code, text)
    }
}

/// The explanation of one rule, for `--explain`.
pub fn explain(code: Code) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}  ({})", code.id(), code.severity());
    let _ = writeln!(out, "  {}", wrap(code.meaning(), 2));
    let _ = writeln!(out, "  fix: {}", wrap(code.remedy(), 7));
    out
}

#[cfg(test)]
mod tests;
