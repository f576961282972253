//! The fault catalogue: federations broken in every way that operators break them, and healthy ones in every layout.
//!
//! Each is built from real parts in a sandbox: its records in a BIND, nginx or HAProxy in front, certificates of a
//! throw-away CA, public addresses of both families, and behind it a homeserver. The check is the built program, asked
//! from outside in public mode; it must say exactly what is wrong, nothing else, and what to do about it.
//!
//! Each group is printed as a table (`cargo test --test integration -- --nocapture catalogue`). Its last two columns
//! are what the two public testers say of the same federation, **derived** from the rules in their sources and not
//! measured: the word in brackets is the rule.

mod authority;
mod homeserver;
mod lab;
mod site;

mod client;
mod delegation;
mod discovery;
mod federation;
mod healthy;
mod hostile;
mod in_front;
mod private;
mod real;
mod tls;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::vestibule::command;
use site::Site;

/// A federation, and what the check must say of it.
pub struct Case {
    pub name: &'static str,
    /// Changes the healthy site.
    pub build: fn(&mut Site<'_>),
    /// The ids above info, all of them, each with a part of its remedy.
    pub finds: &'static [(&'static str, &'static str)],
    pub verdict: &'static str,
    pub go: Derived,
    pub rust: Derived,
}

/// What a public tester says, with the rule by which it does, in a word.
#[derive(Clone, Copy, Debug)]
pub enum Derived {
    Good(&'static str),
    Bad(&'static str),
}

pub use Derived::{Bad, Good};

impl fmt::Display for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Good(rule) => format!("good ({rule})"),
            Self::Bad(rule) => format!("bad ({rule})"),
        };
        f.pad(&text)
    }
}

/// A case that was tried.
struct Row {
    name: &'static str,
    ids: Vec<String>,
    verdict: String,
    go: Derived,
    rust: Derived,
    took: Duration,
    memory_kib: u64,
    /// How it differs from what must be.
    wrong: Option<String>,
}

impl Row {
    /// Runs the program with `arguments` and compares.
    fn of(case: &Case, arguments: &[String]) -> Self {
        let Ran { took, memory_kib, out: text, complained } = Ran::with(arguments);
        let report = serde_json::from_str(&text).unwrap_or(Value::Null);
        let findings = above_info(&report);
        let ids: BTreeSet<_> = findings.iter().map(|finding| word(finding, "id")).collect();
        let verdict = word(&report, "verdict");
        let mut wrong = String::new();
        let wanted: BTreeSet<_> = case.finds.iter().map(|(id, _)| *id).collect();
        if ids != wanted || verdict != case.verdict {
            let wanted: Vec<_> = wanted.into_iter().collect();
            writeln!(wrong, "  wanted {} ({})", wanted.join(" "), case.verdict).expect("a string takes all");
        }
        for (id, remedy) in case.finds {
            // One address may need other words than the next.
            let of_id = |finding: &&&Value| word(finding, "id") == *id;
            if !findings.iter().filter(of_id).any(|finding| word(finding, "remedy").contains(remedy)) {
                writeln!(wrong, "  {id}: no remedy with {remedy:?}").expect("a string takes all");
            }
        }
        if ["{host}", "{server}", "{subject}"].iter().any(|gap| text.contains(gap)) {
            wrong.push_str("  a remedy with a gap\n");
        }
        if took > limit(arguments) {
            writeln!(wrong, "  took {took:?}").expect("a string takes all");
        }
        if memory_kib > MEMORY_KIB {
            writeln!(wrong, "  held {memory_kib} KiB").expect("a string takes all");
        }
        if !wrong.is_empty() {
            for finding in findings.iter().take(20) {
                let (id, detail) = (word(finding, "id"), word(finding, "detail"));
                writeln!(wrong, "  found {id} {}: {detail} -> {}", finding["severity"], word(finding, "remedy"))
                    .expect("a string takes all");
            }
            write!(wrong, "  found verdict {verdict}; {}", complained).expect("a string takes all");
            wrong = format!("{} (vestibule {}):\n{wrong}", case.name, arguments.join(" "));
        }
        Self {
            name: case.name,
            ids: ids.into_iter().map(str::to_owned).collect(),
            verdict: verdict.to_owned(),
            go: case.go,
            rust: case.rust,
            took,
            memory_kib,
            wrong: (!wrong.is_empty()).then_some(wrong),
        }
    }

    fn table(group: &str, rows: &[Self]) -> String {
        let most = rows.iter().map(|row| row.memory_kib).max().unwrap_or_default() / 1024;
        let mut text = format!("{group}: {} federations, at most {most} MiB held by a check\n", rows.len());
        let line = |text: &mut String, cells: [&str; 6]| {
            let [name, ids, verdict, took, go, rust] = cells;
            let line = format!("{name:<54} {ids:<36} {verdict:<10} {took:>6}  {go:<24} {rust}");
            writeln!(text, "{}", line.trim_end()).expect("a string takes all");
        };
        line(&mut text, ["what is wrong", "found", "verdict", "took", "Go tester (derived)", "Rust tester (derived)"]);
        for row in rows {
            let ids = if row.ids.is_empty() { "-".to_owned() } else { row.ids.join(" ") };
            let (took, go) = (format!("{:.1} s", row.took.as_secs_f32()), row.go.to_string());
            let mark = if row.wrong.is_some() { " <- WRONG" } else { "" };
            line(&mut text, [row.name, &ids, &row.verdict, &took, &go, &format!("{}{mark}", row.rust)]);
        }
        text
    }
}

/// A check that has ended.
struct Ran {
    took: Duration,
    /// The most memory it was seen to hold.
    memory_kib: u64,
    out: String,
    complained: String,
}

impl Ran {
    fn with(arguments: &[String]) -> Self {
        let started = Instant::now();
        let mut command = command(arguments);
        let child = command.env("NO_COLOR", "1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.expect("the program starts");
        let status = format!("/proc/{}/status", child.id());
        let (sender, over) = mpsc::channel::<()>();
        let watching = thread::spawn(move || {
            let mut most = 0;
            while over.recv_timeout(Duration::from_millis(50)) == Err(mpsc::RecvTimeoutError::Timeout) {
                let text = fs::read_to_string(&status).unwrap_or_default();
                let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let peak = peak.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
                most = most.max(peak.unwrap_or(0));
            }
            most
        });
        let output = child.wait_with_output().expect("a child can be waited for");
        let took = started.elapsed();
        drop(sender);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            took,
            memory_kib: watching.join().expect("the watcher does not panic"),
            out: text(&output.stdout),
            complained: text(&output.stderr),
        }
    }
}

/// What no check may hold, whatever the network sends.
const MEMORY_KIB: u64 = 96 * 1024;

/// How long a check may take: its own timeout, and a moment to start and to print.
fn limit(arguments: &[String]) -> Duration {
    let given = arguments.iter().skip_while(|argument| *argument != "--timeout").nth(1);
    let given = given.and_then(|text| text.strip_suffix('s')?.parse().ok()).unwrap_or(30);
    Duration::from_secs(given) + Duration::from_secs(1)
}

fn above_info(report: &Value) -> Vec<&Value> {
    let findings = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    findings.iter().filter(|finding| finding["severity"] != "info").collect()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}
