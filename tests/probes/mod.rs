//! Probes: raw bytes over TLS, and what may come of them. A row of a table is one probe.
//!
//! A probe says what is sent, what the client must see, and what the homeserver may receive. Whatever a probe says, every
//! byte that reaches the origin is read by the rules in [`rules`]. The tests here run all probes against vestibule;
//! `make probes` runs the same against nginx, HAProxy and Caddy, and prints a table.

mod answers;
mod arrivals;
mod faults;
mod floods;
mod http1;
mod http2;
mod origin;
mod peers;
mod rules;
mod wire;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::Future;
use std::thread;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::support::eventually::settled;
use crate::support::front::Front;
use crate::support::http2::run;
use origin::{Origin, Record, Script, Step, echo};
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

/// What the families but the floods have in common.
trait Probe: Clone + Send + Sync + 'static {
    fn id(&self) -> &'static str;

    /// Sends it, and judges what comes back.
    fn run(&self, target: &Target) -> impl Future<Output = Result<Seen, Failure>> + Send;

    /// Judges what arrived, once everything has.
    fn judge_origin(&self, record: &Record) -> Result<(), Failure>;

    /// Whether no other may be under way.
    fn alone(&self) -> bool {
        false
    }
}

/// Runs a family against `target`, behind which `origin` stands; the rows are in the order of the table.
fn run_all<P: Probe>(table: Vec<P>, target: &Target, origin: &Origin) -> Outcome {
    let (alone, together): (Vec<_>, Vec<_>) = table.into_iter().partition(P::alone);
    let verdicts = run(FAMILY, async {
        let mut verdicts = several(&together, target).await;
        for probe in &alone {
            verdicts.push(probe.run(target).await);
        }
        verdicts
    });
    settle(origin);
    let record = origin.record();
    let judged = |(probe, verdict): (&P, Result<Seen, Failure>)| Row {
        id: probe.id(),
        verdict: verdict.and_then(|seen| probe.judge_origin(&record).map(|()| seen)),
    };
    let rows: Vec<Row> = together.iter().chain(&alone).zip(verdicts).map(judged).collect();
    let strays = strays(&record, &rows);
    Outcome { rows, strays }
}

/// Runs `probes`, some at a time, and returns the verdicts in their order.
async fn several<P: Probe>(probes: &[P], target: &Target) -> Vec<Result<Seen, Failure>> {
    let mut verdicts: Vec<Option<Result<Seen, Failure>>> = probes.iter().map(|_| None).collect();
    let mut running = JoinSet::new();
    let mut queue = probes.iter().cloned().enumerate();
    loop {
        while running.len() < AT_ONCE {
            let Some((at, probe)) = queue.next() else { break };
            let target = target.clone();
            running.spawn(async move { (at, probe.run(&target).await) });
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

/// Waits until nothing more arrives.
fn settle(origin: &Origin) {
    let arrived = || origin.record().raw.iter().map(Vec::len).sum::<usize>();
    settled("the origin has all it will get", Duration::from_millis(150), Duration::from_secs(10), arrived);
}

/// Faults at the origin that carry no row's mark.
fn strays(record: &Record, rows: &[Row]) -> Vec<String> {
    let owned = |fault: &&origin::Fault| {
        // vestibule asks by itself whether a homeserver is up, and closes the connection.
        fault.bytes.starts_with(b"GET /health HTTP/1.1\r\n")
            || rows.iter().any(|row| origin::contains(&fault.bytes, format!("p/{}/", row.id).as_bytes()))
    };
    let strays = record.faults.iter().filter(|fault| !owned(fault));
    strays.map(|fault| format!("{} in {}", fault.what, rules::shown(&String::from_utf8_lossy(&fault.bytes)))).collect()
}

/// Limits that let a test see what happens at their end.
fn limits() -> String {
    // The hold would make every outage a wait; what it does has tests of its own.
    format!(
        "[limits]\nfirst_byte_timeout = \"2s\"\nheader_timeout = \"{}s\"\n\
         hold = {{ federation = \"0s\", key = \"0s\", client = \"0s\" }}\n",
        floods::HEADER_TIMEOUT.as_secs()
    )
}

/// vestibule in front of `origin`.
struct Ours {
    target: Target,
    _front: Front,
}

impl Ours {
    #[track_caller]
    fn before(origin: &Origin) -> Self {
        let mut front = Front::at(&format!("http://{}", origin.address), &limits());
        let process = front.vestibule().process().id();
        Self { target: Target::new("vestibule", front.https(), &front.root(), process), _front: front }
    }
}

#[test]
fn http1() {
    let origin = plain_origin();
    let ours = Ours::before(&origin);
    run_all(http1::table(), &ours.target, &origin).assert_passed("HTTP/1.1", 120);
}

#[test]
fn http2() {
    let origin = plain_origin();
    let ours = Ours::before(&origin);
    run_all(http2::table(), &ours.target, &origin).assert_passed("HTTP/2", 60);
}

#[test]
fn homeserver_faults() {
    let origin = Origin::start(faults::answering());
    let ours = Ours::before(&origin);
    run_all(faults::table(), &ours.target, &origin).assert_passed("homeserver faults", 29);
}

/// Each flood has a vestibule of its own, whose memory tells of nothing else.
#[test]
fn floods() {
    let table = floods::table();
    let some = |floods: &[floods::Flood]| -> Vec<Row> {
        let one = |flood: &floods::Flood| {
            let origin = Origin::start(floods::answering);
            let ours = Ours::before(&origin);
            run(FAMILY, flood.run(&ours.target, &origin))
        };
        floods.iter().map(one).collect()
    };
    let rows: Vec<Row> = thread::scope(|scope| {
        let lanes: Vec<_> = table.chunks(4).map(|lane| scope.spawn(move || some(lane))).collect();
        lanes.into_iter().flat_map(|lane| lane.join().expect("no flood panics")).collect()
    });
    for row in &rows {
        match &row.verdict {
            Ok(Seen(saw)) => println!("  {:20} {saw}", row.id),
            Err(failure) => println!("  {:20} ✗ {}", row.id, failure.saw),
        }
    }
    Outcome { rows, strays: Vec::new() }.assert_passed("floods", 14);
}
