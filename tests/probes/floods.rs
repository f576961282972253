//! Floods: one connection (or a few) that costs as much as it can. What it may cost is bounded: requests at the
//! homeserver, memory, and the time of everybody else.

use std::fs;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::answers;
use super::http2::connection::Connection;
use super::http2::{get, post};
use super::origin::{Origin, Script, Step, echo};
use super::rules::{PATH, Request};
use super::wire::{Arrival, Out, Protocol, Target, Wire};
use super::{Failure, Row, Seen};
use crate::support::front::NAME;
use crate::support::h2_frames::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, PING, PRIORITY, frame, reset,
    settings, window_update,
};

/// Requests that one abusive connection may cause at the homeserver.
const AT_ORIGIN: usize = 100;

/// Growth of the process, in KiB, at its worst.
const GROWTH: u64 = 8 * 1024;

/// A new connection and a GET on it, meanwhile. Idle, it takes some ten milliseconds in a debug build; four floods share
/// two cores with it.
const OTHERS: Duration = Duration::from_secs(2);

/// How long frames are left unread where that is the attack.
const UNREAD: Duration = Duration::from_millis(1_500);

/// How long a flood that must be ended may go on: shorter than any limit on waiting, which would end it by chance.
const BEARABLE: Duration = Duration::from_millis(2_800);

/// `header_timeout` and its like in these tests.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(3);

/// What the origin answers below `large/`.
const LARGE: usize = 1 << 20;

/// One flood.
#[derive(Clone)]
pub struct Flood {
    pub id: &'static str,
    protocol: Protocol,
    connections: usize,
    settings: Vec<(u16, u32)>,
    steps: Vec<Out>,
    /// Whether the client takes nothing for a while.
    unread: bool,
    /// How long it goes on.
    hold: Duration,
    /// Whether the proxy must end the connection before it is over.
    ends: bool,
}

fn flood(id: &'static str, steps: Vec<Out>) -> Flood {
    Flood {
        id,
        protocol: Protocol::Http2,
        connections: 1,
        settings: Vec::new(),
        steps,
        unread: false,
        hold: BEARABLE,
        ends: true,
    }
}

impl Flood {
    /// The proxy may bear it for so long; it costs little enough.
    fn borne(mut self, hold: Duration) -> Self {
        (self.ends, self.hold) = (false, hold);
        self
    }

    fn unread(mut self) -> Self {
        self.unread = true;
        self
    }

    fn setting(mut self, setting: u16, value: u32) -> Self {
        self.settings.push((setting, value));
        self
    }
}

/// So many streams, odd numbers from 1, each of which begins with `each`.
fn streams(count: u32, each: impl Fn(u32) -> Vec<u8>) -> Vec<Out> {
    vec![Out::Bytes((0..count).flat_map(|number| each(2 * number + 1)).collect())]
}

/// A start, and then the same frame again and again.
fn repeated(first: Vec<u8>, again: Vec<u8>, times: usize) -> Vec<Out> {
    // In pieces of many frames, as one TLS record each would only slow the attacker.
    let per_piece = (16_000 / again.len()).max(1);
    vec![Out::Bytes(first), Out::Repeat(again.repeat(per_piece), times.div_ceil(per_piece))]
}

/// Every flood.
pub fn table() -> Vec<Flood> {
    let large = |id, stream| {
        frame(HEADERS, END_HEADERS | END_STREAM, stream, get(id).set(":path", &format!("{PATH}{id}/large/")).block())
    };
    let headers_open = |id| frame(HEADERS, END_STREAM, 1, get(id).block());
    let wide = [&[0x10, 1, b'x'][..], &[0x7f, 0xe1, 0x7e], &[b'y'; 16_352]].concat();
    // An ordinary request first: a connection that never makes one is not worth waiting for, however quiet.
    let request = |id| frame(HEADERS, END_HEADERS | END_STREAM, 1, get(id).block());
    vec![
        flood(
            "rapid-reset",
            streams(10_000, |stream| {
                let request = frame(HEADERS, END_HEADERS | END_STREAM, stream, get("rapid-reset").block());
                [request, reset(stream, CANCEL)].concat()
            }),
        ),
        paced_resets(),
        // The server resets each stream itself: a window of zero is an error (RFC 9113 §6.9).
        flood(
            "made-you-reset",
            streams(10_000, |stream| {
                let request = frame(HEADERS, END_HEADERS, stream, post("made-you-reset").block());
                [request, window_update(stream, 0)].concat()
            }),
        ),
        // The same with a message that is malformed, which is the stream's fault only.
        flood(
            "made-you-reset-length",
            streams(10_000, |stream| {
                let request = post("made-you-reset-length").with("content-length", "1").block();
                [frame(HEADERS, END_HEADERS, stream, request), frame(DATA, END_STREAM, stream, "hello")].concat()
            }),
        ),
        flood("continuation", repeated(headers_open("continuation"), frame(CONTINUATION, 0, 1, wide), 2_500)),
        flood(
            "continuation-empty",
            repeated(headers_open("continuation-empty"), frame(CONTINUATION, 0, 1, []), 100_000),
        ),
        flood(
            "data-empty",
            repeated(frame(HEADERS, END_HEADERS, 1, post("data-empty").block()), frame(DATA, 0, 1, []), 100_000),
        ),
        flood("settings", repeated(request("settings"), settings(&[(INITIAL_WINDOW_SIZE, 65_535)]), 100_000)).unread(),
        flood("ping", repeated(request("ping"), frame(PING, 0, 0, [0; 8]), 100_000)).unread(),
        flood("priority", repeated(request("priority"), frame(PRIORITY, 0, 3, [0, 0, 0, 0, 9]), 100_000)),
        flood("window-update", repeated(request("window-update"), window_update(0, 1), 100_000)),
        flood("unknown-type", repeated(request("unknown-type"), frame(0xee, 0, 0, [0; 8]), 100_000)),
        // Asks for 100 MB and takes none of it.
        flood("window-0", streams(100, |stream| large("window-0", stream)))
            .setting(INITIAL_WINDOW_SIZE, 0)
            .borne(Duration::from_secs(4)),
        // An entry of 4000 bytes goes into the table once, and is named 12,000 times.
        flood(
            "hpack-bomb",
            streams(5, |stream| {
                let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4_000]].concat();
                let entry = if stream == 1 { entry } else { Vec::new() };
                frame(
                    HEADERS,
                    END_HEADERS | END_STREAM,
                    stream,
                    [get("hpack-bomb").block(), entry, vec![0xbe; 12_000]].concat(),
                )
            }),
        )
        .borne(Duration::from_secs(2)),
        flood("idle-posts", streams(2_000, |stream| frame(HEADERS, END_HEADERS, stream, post("idle-posts").block())))
            .borne(Duration::from_secs(2)),
        one_byte_windows(large),
        slow_fields(),
        slow_heads(),
    ]
}

fn one_byte_windows(large: impl Fn(&'static str, u32) -> Vec<u8>) -> Flood {
    let mut steps = streams(20, |stream| large("one-byte-windows", stream));
    for _ in 0..60 {
        steps.push(Out::Pause(Duration::from_millis(50)));
        steps.push(Out::Bytes((0..20).flat_map(|number| window_update(2 * number + 1, 1)).collect()));
    }
    flood("one-byte-windows", steps).setting(INITIAL_WINDOW_SIZE, 1).borne(Duration::from_secs(4))
}

/// Gives each request the time to reach the homeserver, which does not answer, before it takes it back.
fn paced_resets() -> Flood {
    const AT_ONCE: u32 = 25;
    let request = |stream| {
        let path = format!("{PATH}rapid-reset-paced/slow/");
        frame(HEADERS, END_HEADERS | END_STREAM, stream, get("rapid-reset-paced").set(":path", &path).block())
    };
    let mut steps = Vec::new();
    for batch in 0..40 {
        let numbers = || (batch * AT_ONCE..(batch + 1) * AT_ONCE).map(|number| 2 * number + 1);
        steps.push(Out::Bytes(numbers().flat_map(request).collect()));
        steps.push(Out::Pause(Duration::from_millis(20)));
        steps.push(Out::Bytes(numbers().flat_map(|stream| reset(stream, CANCEL)).collect()));
    }
    flood("rapid-reset-paced", steps)
}

/// A head that is never whole, over HTTP/2.
fn slow_fields() -> Flood {
    let mut steps = vec![Out::Bytes(frame(HEADERS, END_STREAM, 1, get("slow-fields").block()))];
    for _ in 0..60 {
        steps.push(Out::Pause(Duration::from_millis(200)));
        steps.push(Out::Bytes(frame(CONTINUATION, 0, 1, [0x10, 1, b'x', 1, b'y'])));
    }
    let mut flood = flood("slow-fields", steps);
    flood.hold = HEADER_TIMEOUT * 2;
    flood
}

/// Heads that are never whole, on many connections.
fn slow_heads() -> Flood {
    let mut steps = vec![Out::Bytes(format!("GET {PATH}slow-heads/ HTTP/1.1\r\nHost: {NAME}\r\n").into_bytes())];
    for _ in 0..60 {
        steps.push(Out::Pause(Duration::from_millis(200)));
        steps.push(Out::Bytes(b"X: y\r\n".to_vec()));
    }
    let mut flood = flood("slow-heads", steps);
    (flood.protocol, flood.connections, flood.hold) = (Protocol::Http1, 50, HEADER_TIMEOUT * 2);
    flood
}

/// How the origin of floods answers.
pub fn answering(request: &Request, _: usize) -> Script {
    if request.target.contains("/slow/") {
        return Script { early: false, steps: vec![Step::Hang] };
    }
    if !request.target.contains("/large/") {
        return echo(request);
    }
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    Script { early: false, steps: vec![Step::Send([head.into_bytes(), vec![b'x'; LARGE]].concat())] }
}

/// What a flood did to others, at its worst.
#[derive(Default)]
struct Toll {
    slowest: Duration,
    /// KiB.
    memory: u64,
    failed: Option<String>,
}

impl Flood {
    /// Runs the flood while others are served, and judges what it cost.
    pub async fn run(&self, target: &Target, origin: &Origin) -> Row {
        let verdict = self.cost(target, origin).await.map_err(|saw| Failure { wanted: self.wanted(), saw });
        Row { id: self.id, verdict }
    }

    async fn cost(&self, target: &Target, origin: &Origin) -> Result<Seen, String> {
        // What a process takes once, for its first requests, is no growth.
        for _ in 0..8 {
            others(target, Protocol::Http1).await?;
            others(target, Protocol::Http2).await?;
        }
        let before = memory_kib(target.process);
        let attack = tokio::spawn({
            let (flood, target) = (self.clone(), target.clone());
            async move { flood.attack(&target).await }
        });
        let mut toll = Toll { memory: before, ..Toll::default() };
        while !attack.is_finished() {
            let started = Instant::now();
            match timeout(OTHERS * 3, others(target, Protocol::Http1)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => toll.failed = Some(error),
                Err(_) => toll.failed = Some("no answer".to_owned()),
            }
            toll.slowest = toll.slowest.max(started.elapsed());
            toll.memory = toll.memory.max(memory_kib(target.process));
            sleep(Duration::from_millis(50)).await;
        }
        let ended = attack.await.expect("no attack panics")?;
        let growth = toll.memory - before;
        let asked = origin.record().of(self.id).len();
        let (slowest, growth_mib) = (toll.slowest.as_millis(), growth / 1024);
        let saw = format!("{ended}, {asked} requests at the origin, +{growth_mib} MiB, others {slowest} ms");
        let fine = (!self.ends || ended.is_end) && asked <= AT_ORIGIN && growth <= GROWTH && toll.slowest <= OTHERS;
        match toll.failed {
            Some(error) => Err(format!("{saw}, others failed: {error}")),
            None if fine => Ok(Seen(saw)),
            None => Err(saw),
        }
    }

    async fn attack(&self, target: &Target) -> Result<Ended, String> {
        match self.protocol {
            Protocol::Http2 => self.attack_http2(target).await,
            Protocol::Http1 => self.attack_http1(target).await,
        }
    }

    async fn attack_http2(&self, target: &Target) -> Result<Ended, String> {
        let started = Instant::now();
        let mut connection = Connection::open(target, &self.settings).await?;
        connection.generous = false;
        for step in &self.steps {
            connection.step(step.clone());
        }
        if self.unread {
            sleep(UNREAD).await;
        }
        let over = |connection: &Connection| connection.is_closed() || connection.goaway.is_some_and(|code| code != 0);
        let is_end = connection.until(started + self.hold, over).await;
        let goaway = connection.goaway.map(|code| format!("GOAWAY {code}"));
        let what = goaway.unwrap_or_else(|| if is_end { "closed" } else { "borne" }.to_owned());
        Ok(Ended { is_end, what, after: started.elapsed() })
    }

    async fn attack_http1(&self, target: &Target) -> Result<Ended, String> {
        let started = Instant::now();
        let mut wires = Vec::new();
        for _ in 0..self.connections {
            let wire = Wire::connect(target, self.protocol).await?;
            for step in &self.steps {
                wire.send(step.clone());
            }
            wires.push(wire);
        }
        let mut closed = 0;
        for wire in &mut wires {
            while wire.more(started + self.hold).await == Arrival::Bytes {}
            closed += usize::from(wire.closed);
        }
        let what = format!("{closed} of {} closed", self.connections);
        Ok(Ended { is_end: closed == self.connections, what, after: started.elapsed() })
    }

    fn wanted(&self) -> String {
        let end = if self.ends { "an end, " } else { "" };
        format!("{end}at most {AT_ORIGIN} requests, +{} MiB, others within {OTHERS:?}", GROWTH / 1024)
    }
}

struct Ended {
    is_end: bool,
    what: String,
    after: Duration,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} after {} ms", self.what, self.after.as_millis())
    }
}

/// An ordinary request on a connection of its own.
async fn others(target: &Target, protocol: Protocol) -> Result<(), String> {
    let deadline = Instant::now() + OTHERS * 2;
    match protocol {
        Protocol::Http1 => {
            let mut wire = Wire::connect(target, protocol).await?;
            wire.bytes(format!("GET {PATH}others/ HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
            loop {
                match answers::read(&wire.seen, &[], wire.closed)?.first() {
                    Some(answer) if answer.whole && answer.status == 200 => return Ok(()),
                    Some(answer) if answer.whole => return Err(answer.status.to_string()),
                    _ if wire.more(deadline).await == Arrival::Bytes => {}
                    _ => return Err("no answer".to_owned()),
                }
            }
        }
        Protocol::Http2 => {
            let mut connection = Connection::open(target, &[]).await?;
            connection.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, get("others").block()));
            connection.until(deadline, |connection| connection.stream(1).is_over()).await;
            match connection.stream(1).status() {
                Some(200) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
    }
}

/// Memory that a process and its children hold (VmRSS), in KiB.
fn memory_kib(process: u32) -> u64 {
    let field = |status: &str, name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let statuses = fs::read_dir("/proc").expect("Linux").flatten().filter_map(|entry| {
        let number = entry.file_name().to_str()?.parse::<u32>().ok()?;
        Some((number, fs::read_to_string(entry.path().join("status")).ok()?))
    });
    let own =
        statuses.filter(|(number, status)| *number == process || field(status, "PPid:") == Some(u64::from(process)));
    own.filter_map(|(_, status)| field(&status, "VmRSS:")).sum()
}
