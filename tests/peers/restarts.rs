//! A homeserver is restarted, at rest and under load, and nobody is told no who need not be.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::matrix_client::MatrixClient;
use super::pair::{HOSTS, Pair, Side};
use crate::support::curl::{Curl, CurlError, Response};
use crate::support::eventually::eventually;
use crate::support::process::{Mark, Signal};
use crate::support::sandbox;

/// Beyond what the pair needs to start, a restart takes ten seconds on a busy machine.
const LIMIT: Duration = Duration::from_secs(420);

/// How often it is restarted under load, unless this variable says otherwise.
const RESTARTS: usize = 2;
const RESTARTS_VARIABLE: &str = "RESTARTS_UNDER_LOAD";

/// How many requests are answered before the next restart.
const BETWEEN: usize = 30;

/// How long a message may take from server to server when one of them has just started.
const ARRIVAL: Duration = Duration::from_secs(60);

#[test]
fn restarts() {
    sandbox::run(module_path!(), "restarts", &HOSTS, LIMIT, || {
        let started = Instant::now();
        let told = |what: &str| println!("{:6.2} s  {what}", started.elapsed().as_secs_f64());
        let mut pair = Pair::start();
        pair.a.synapse.register("ua", "pwa");
        pair.b.synapse.register("ub", "pwb");
        let ua = MatrixClient::log_in(pair.a.name, pair.roots(), "ua", "pwa");
        let ub = MatrixClient::log_in(pair.b.name, pair.roots(), "ub", "pwb");
        let room = ua.create_room();
        ua.invite(&room, ub.user());
        ub.accept_invitation(&room);
        ua.wait_for_membership(&room, ub.user(), "join");
        told("two servers in one room");

        at_rest(&mut pair, &room, &ua, &ub);
        told("restarted at rest");
        let times = env::var(RESTARTS_VARIABLE).map_or(RESTARTS, |times| times.parse().expect("a number"));
        under_load(&mut pair, times, &room, &ua, &ub);
        told("restarted under load");
    });
}

/// Nothing was under way when it went, so nothing is lost: every request waits, and is answered.
fn at_rest(pair: &mut Pair, room: &str, ua: &MatrixClient, ub: &MatrixClient) {
    let roots = pair.roots().to_owned();
    let (name, mark) = (pair.a.name, pair.a.front.process().mark());
    pair.a.synapse.stop(Signal::Term);
    let answers = thread::scope(|scope| {
        let asked = [
            scope.spawn(|| ua.try_say(room, "rest-a", "said to a server that is down")),
            scope.spawn(|| ua.try_sync()),
            scope.spawn(|| ub.try_say(room, "rest-b", "said across to a server that is down")),
            scope.spawn(|| {
                let version = Curl::new().trust(&roots).limit(ARRIVAL);
                version.try_send(&format!("https://{name}/_matrix/federation/v1/version"))
            }),
        ];
        pair.a.front.process().wait_for_line_since(mark, "the upstream is down", ARRIVAL);
        pair.a.synapse.start_again();
        asked.map(|asked| asked.join().expect("curl ends"))
    });
    for answer in answers {
        answer.expect("an answer").expect_status(200);
    }
    wait_to_hear(ub, room, ua, "said to a server that is down");
    wait_to_hear(ua, room, ub, "said across to a server that is down");
    let line = pair.a.front.process().wait_for_line_since(mark, "the upstream is back", ARRIVAL);
    assert!(line.contains("lost=0") && line.contains("refused=0"), "{line}");
    assert_eq!(failed_exchanges(&mut pair.a, mark), Vec::<String>::new());
    wait_until_nobody_is_given_up(pair);
}

/// What the load has seen.
#[derive(Default)]
struct Seen {
    over: AtomicBool,
    answered: AtomicUsize,
    bad: Mutex<Vec<String>>,
}

impl Seen {
    /// Sends a request again and again, as clients do, until it is answered 200; then the next one.
    fn ask(&self, mut request: impl FnMut(usize) -> Result<Response, CurlError>) {
        let mut number = 0;
        while !self.over.load(Ordering::Relaxed) {
            match request(number) {
                Ok(answer) if answer.status == 200 => {
                    number += 1;
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) => {
                    self.bad.lock().expect("nobody panics").push(format!("{} {}", answer.status, answer.text()))
                }
                Err(error) => self.bad.lock().expect("nobody panics").push(error.to_string()),
            }
        }
    }
}

/// A request is lost only when the homeserver had it.
fn under_load(pair: &mut Pair, times: usize, room: &str, ua: &MatrixClient, ub: &MatrixClient) {
    let (seen, mark) = (Seen::default(), pair.a.front.process().mark());
    thread::scope(|scope| {
        scope.spawn(|| seen.ask(|number| ua.try_say(room, &format!("a-{number}"), &format!("{number} of ua"))));
        scope.spawn(|| seen.ask(|_| ua.try_sync()));
        scope.spawn(|| seen.ask(|number| ub.try_say(room, &format!("b-{number}"), &format!("{number} of ub"))));
        let restarting = std::panic::AssertUnwindSafe(|| {
            for signal in [Signal::Kill, Signal::Term].into_iter().cycle().take(times) {
                let before = seen.answered.load(Ordering::Relaxed);
                eventually("requests are answered", ARRIVAL, || {
                    let more = seen.answered.load(Ordering::Relaxed) - before;
                    if more >= BETWEEN { Ok(()) } else { Err(format!("{more} more")) }
                });
                pair.a.synapse.stop(signal);
                pair.a.synapse.start_again();
            }
        });
        let restarted = std::panic::catch_unwind(restarting);
        seen.over.store(true, Ordering::Relaxed);
        restarted.unwrap_or_else(|reason| std::panic::resume_unwind(reason));
    });
    let last = ub.try_say(room, "last", "the last word").expect("an answer");
    last.expect_status(200);
    wait_to_hear(ua, room, ub, "the last word");

    let bad = seen.bad.into_inner().expect("nobody panics");
    let failed = failed_exchanges(&mut pair.a, mark);
    println!("{} answered, not so: {bad:#?}", seen.answered.into_inner());
    println!("exchanges that the homeserver broke off: {failed:#?}");
    assert!(bad.iter().all(|answer| answer.starts_with("502 ")), "nothing but 502");
    assert!(bad.len() <= failed.len(), "a 502 without an exchange that had begun");
    // Each of them names the request, and none of them could have been sent elsewhere.
    assert!(failed.iter().all(|line| line.contains("request_id=") && !line.contains("before the request was sent")));
    let lines = pair.a.front.process().lines();
    let back: Vec<_> = lines.iter().filter(|line| line.contains("the upstream is back")).collect();
    assert!(back.len() > times, "{back:?}");
    assert!(back.iter().all(|line| line.contains("lost=0") && line.contains("refused=0")), "{back:?}");
    wait_until_nobody_is_given_up(pair);
}

/// The log's lines about requests that were sent and not answered.
fn failed_exchanges(side: &mut Side, since: Mark) -> Vec<String> {
    let lines = side.front.process().lines_since(since);
    lines.into_iter().filter(|line| line.contains("an exchange with the upstream failed")).collect()
}

fn wait_to_hear(listener: &MatrixClient, room: &str, speaker: &MatrixClient, words: &str) {
    eventually(&format!("{} hears {words:?}", listener.user()), ARRIVAL, || {
        let heard = listener.words(room, speaker.user());
        if heard.iter().any(|heard| heard == words) { Ok(()) } else { Err(format!("{heard:?}")) }
    });
}

/// No server avoids the other one because of what happened.
fn wait_until_nobody_is_given_up(pair: &Pair) {
    for side in [&pair.a, &pair.b] {
        eventually(&format!("{} has given nobody up", side.name), ARRIVAL, || {
            let given_up = side.synapse.servers_given_up();
            if given_up.is_empty() { Ok(()) } else { Err(format!("{given_up:?}")) }
        });
    }
}
