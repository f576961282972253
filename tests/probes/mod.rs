//! Probes: raw bytes over TLS, and what may come of them. A row of a table is one probe.
//!
//! A probe says what is sent, what the client must see, and what the homeserver may receive. Whatever a probe says, every
//! byte that reaches the origin is read by the rules in [`rules`]. The tests here run all probes against vestibule;
//! `make probes` runs the same against nginx, HAProxy and Caddy, and prints a table.

mod answers;
mod arrivals;
mod faults;
mod http1;
mod http2;
mod origin;
mod rules;
mod wire;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::eventually::settled;
use crate::support::front::Front;
use crate::support::http2::run;
use origin::{Origin, Script, Step, echo};
use wire::Target;

/// All of a family; the slowest probe of one takes seconds.
const FAMILY: Duration = Duration::from_secs(120);

/// Probes under way at once.
const AT_ONCE: usize = 24;

/// What a probe that passed saw.
#[derive(Clone, Debug)]
pub struct Seen(pub String);

/// What a probe wanted, and what it saw instead.
#[derive(Clone, Debug)]
pub struct Failure {
    pub wanted: String,
    pub saw: String,
}

/// One probe's verdict.
pub struct Row {
    pub id: &'static str,
    pub verdict: Result<Seen, Failure>,
}

/// What one family came to.
pub struct Outcome {
    pub rows: Vec<Row>,
    /// What broke the rules at the origin, and belongs to no row.
    pub strays: Vec<String>,
}

impl Outcome {
    pub fn passed(&self) -> usize {
        self.rows.iter().filter(|row| row.verdict.is_ok()).count()
    }

    /// The rows that failed, a line each.
    pub fn failures(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            if let Err(Failure { wanted, saw }) = &row.verdict {
                writeln!(text, "  {:32} wanted {wanted}; saw {saw}", row.id).expect("a string takes all");
            }
        }
        for stray in &self.strays {
            writeln!(text, "  at the origin, of no probe: {stray}").expect("a string takes all");
        }
        text
    }

    #[track_caller]
    fn assert_passed(&self, family: &str, at_least: usize) {
        let (passed, all) = (self.passed(), self.rows.len());
        println!("{family}: {passed} of {all}");
        assert!(all >= at_least, "{all} probes where {at_least} are promised");
        let ids: BTreeSet<_> = self.rows.iter().map(|row| row.id).collect();
        assert_eq!(ids.len(), all, "two probes have one name");
        assert!(passed == all && self.strays.is_empty(), "{family}: {} failed\n{}", all - passed, self.failures());
    }
}

/// Runs `probes`, several at a time, and returns the verdicts in the order of the table.
async fn all<P, F>(probes: Vec<P>, probe: impl Fn(P) -> F) -> Vec<Result<Seen, Failure>>
where
    F: Future<Output = Result<Seen, Failure>> + Send + 'static,
{
    let count = probes.len();
    let mut verdicts: Vec<Option<Result<Seen, Failure>>> = (0..count).map(|_| None).collect();
    let mut running = JoinSet::new();
    let mut queue = probes.into_iter().enumerate();
    loop {
        while running.len() < AT_ONCE {
            let Some((at, next)) = queue.next() else { break };
            let next = probe(next);
            running.spawn(async move { (at, next.await) });
        }
        let Some(done) = running.join_next().await else { break };
        let (at, verdict) = done.expect("no probe panics");
        verdicts[at] = Some(verdict);
    }
    verdicts.into_iter().map(|verdict| verdict.expect("all have run")).collect()
}

/// An origin for probes that ask nothing special of it.
fn plain_origin() -> Origin {
    Origin::start(|request, _| match request.asks_for_websocket() {
        true => websocket(),
        false => echo(request),
    })
}

fn websocket() -> Script {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    Script { early: false, steps: vec![Step::Send(answer.to_vec()), Step::Hang] }
}

/// Runs the HTTP/1.1 probes against `target`, behind which `origin` stands.
fn run_http1(target: &Target, origin: &Origin) -> Outcome {
    let probes = http1::table();
    let verdicts = run(FAMILY, async {
        all(probes.clone(), |probe| {
            let target = target.clone();
            async move { probe.run(&target).await }
        })
        .await
    });
    settle(origin);
    let record = origin.record();
    let judged = |(probe, verdict): (http1::Probe, Result<Seen, Failure>)| Row {
        id: probe.id,
        verdict: verdict.and_then(|seen| probe.judge_origin(&record).map(|()| seen)),
    };
    let rows: Vec<Row> = probes.into_iter().zip(verdicts).map(judged).collect();
    let strays = strays(&record, &rows);
    Outcome { rows, strays }
}

/// Runs the HTTP/2 probes against `target`, behind which `origin` stands.
fn run_http2(target: &Target, origin: &Origin) -> Outcome {
    let probes = http2::table();
    let verdicts = run(FAMILY, async {
        all(probes.clone(), |probe| {
            let target = target.clone();
            async move { probe.run(&target).await }
        })
        .await
    });
    settle(origin);
    let record = origin.record();
    let judged = |(probe, verdict): (http2::Probe, Result<Seen, Failure>)| Row {
        id: probe.id,
        verdict: verdict.and_then(|seen| probe.judge_origin(&record).map(|()| seen)),
    };
    let rows: Vec<Row> = probes.into_iter().zip(verdicts).map(judged).collect();
    let strays = strays(&record, &rows);
    Outcome { rows, strays }
}

/// Runs the homeserver faults against `target`, behind which `origin` stands.
fn run_faults(target: &Target, origin: &Origin) -> Outcome {
    let probes = faults::table();
    let verdicts = run(FAMILY, async {
        all(probes.clone(), |probe| {
            let target = target.clone();
            async move { probe.run(&target).await }
        })
        .await
    });
    settle(origin);
    let record = origin.record();
    let judged = |(probe, verdict): (faults::Probe, Result<Seen, Failure>)| Row {
        id: probe.id,
        verdict: verdict.and_then(|seen| probe.judge_origin(&record).map(|()| seen)),
    };
    let rows: Vec<Row> = probes.into_iter().zip(verdicts).map(judged).collect();
    let strays = strays(&record, &rows);
    Outcome { rows, strays }
}

/// Waits until nothing more arrives.
fn settle(origin: &Origin) {
    let arrived = || origin.record().raw.iter().map(Vec::len).sum::<usize>();
    settled("the origin has all it will get", Duration::from_millis(150), Duration::from_secs(10), arrived);
}

/// Faults at the origin that carry no row's mark.
fn strays(record: &origin::Record, rows: &[Row]) -> Vec<String> {
    let known: usize = rows.iter().map(|row| record.faults_of(row.id).len()).sum();
    if known >= record.faults.len() {
        return Vec::new();
    }
    let owned = |fault: &&origin::Fault| {
        rows.iter().any(|row| origin::contains(&fault.bytes, format!("p/{}/", row.id).as_bytes()))
    };
    let strays = record.faults.iter().filter(|fault| !owned(fault));
    strays.map(|fault| format!("{} in {}", fault.what, rules::shown(&String::from_utf8_lossy(&fault.bytes)))).collect()
}

/// vestibule in front of `origin`.
struct Ours {
    front: Front,
    target: Target,
}

impl Ours {
    #[track_caller]
    fn before(origin: &Origin) -> Self {
        // The hold would make every outage a wait; what it does has tests of its own.
        let limits =
            "[limits]\nfirst_byte_timeout = \"2s\"\nhold = { federation = \"0s\", key = \"0s\", client = \"0s\" }\n";
        let mut front = Front::at(&format!("http://{}", origin.address), limits);
        let process = front.vestibule().process().id();
        let target = Target::new("vestibule", front.https(), &front.root(), process);
        Self { front, target }
    }
}

#[test]
fn http1() {
    let origin = plain_origin();
    let ours = Ours::before(&origin);
    run_http1(&ours.target, &origin).assert_passed("HTTP/1.1", 120);
}

#[test]
fn http2() {
    let origin = plain_origin();
    let ours = Ours::before(&origin);
    run_http2(&ours.target, &origin).assert_passed("HTTP/2", 60);
}

#[test]
fn homeserver_faults() {
    let origin = Origin::start(faults::answering());
    let ours = Ours::before(&origin);
    run_faults(&ours.target, &origin).assert_passed("homeserver faults", 29);
}
