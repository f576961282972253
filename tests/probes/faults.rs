//! Homeserver faults: what the origin answers, and what a client may see of it. Each is tried over both protocols.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::answers;
use super::http2::connection::Connection;
use super::origin::{Record, Script, Step, echo};
use super::rules::{PATH, Request};
use super::wire::{Arrival, Protocol, Target, Wire};
use super::{Failure, Seen};
use crate::support::front::NAME;
use crate::support::h2_frames::{DATA, END_HEADERS, END_STREAM, HEADERS, fields, frame};

/// The limit on waiting for an answer is two seconds in these tests; all else is prompt.
const PROMPT: Duration = Duration::from_secs(10);

/// A first byte that comes later has been waiting somewhere.
const AT_ONCE: Duration = Duration::from_millis(1_300);

/// Longer than an origin here waits before it does something to a connection that is idle.
const SETTLED: Duration = Duration::from_millis(300);

/// Stands in every byte that must not come back.
const LEAK: &[u8] = b"LEAK";

/// What a client must see.
#[derive(Clone, Debug)]
enum Want {
    /// A whole answer with one of these statuses.
    Status(&'static [u16]),
    /// 200 and this body, whole.
    Body(&'static [u8]),
    /// An answer that is visibly not whole, or 502.
    Cut,
}

/// One probe.
#[derive(Clone)]
pub struct Probe {
    id: &'static str,
    method: &'static str,
    /// Whether an ordinary request goes before on the same connection, so that the proxy has one to reuse.
    warm: bool,
    /// Whether it leaves a connection behind that no proxy can know to be bad, so that others must not meet it.
    alone: bool,
    /// Whether half the request's body is kept back.
    held_back: bool,
    answer: Answer,
    want: Want,
    attempts: usize,
    look: Option<Look>,
}

/// What else must hold for what came back.
type Look = fn(&Got) -> Result<(), String>;

#[derive(Clone)]
enum Answer {
    /// Always this.
    Steps(Vec<Step>),
    /// Nothing and the end on a connection that was used before; the ordinary answer on a fresh one.
    NothingWhenReused,
    /// The ordinary answer; to the request that goes before, that and then the end.
    EndAfterFirst,
}

/// What came back, by either protocol.
#[derive(Debug, Default)]
struct Got {
    interim: usize,
    status: Option<u16>,
    /// HTTP/1.1 only.
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    whole: bool,
    /// Whether it came to any end within the time.
    over: bool,
    first_byte: Option<Duration>,
}

/// The origin sends `bytes` and keeps the connection open.
fn fault(id: &'static str, bytes: impl AsRef<[u8]>) -> Probe {
    Probe {
        id,
        method: "GET",
        warm: false,
        alone: false,
        held_back: false,
        answer: Answer::Steps(vec![Step::Send(bytes.as_ref().to_vec())]),
        want: Want::Status(&[502]),
        attempts: 2,
        look: None,
    }
}

/// A head of `200` with these lines, and a body.
fn ok(id: &'static str, lines: &str, body: impl AsRef<[u8]>) -> Probe {
    fault(id, [format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n").as_bytes(), body.as_ref()].concat())
}

impl Probe {
    fn then(mut self, step: Step) -> Self {
        if let Answer::Steps(steps) = &mut self.answer {
            steps.push(step);
        }
        self
    }

    fn send(self, bytes: impl AsRef<[u8]>) -> Self {
        self.then(Step::Send(bytes.as_ref().to_vec()))
    }

    fn close(self) -> Self {
        self.then(Step::Close)
    }

    fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        // RFC 9110 §9.2.2: what is not idempotent is not repeated; PUT would be, but a late copy can undo a later one.
        self.attempts = if method == "GET" { 2 } else { 1 };
        self
    }

    fn answers(mut self, answer: Answer) -> Self {
        (self.answer, self.warm) = (answer, true);
        self
    }

    fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    fn status(mut self, statuses: &'static [u16]) -> Self {
        self.want = Want::Status(statuses);
        self
    }

    fn body(mut self, body: &'static [u8]) -> Self {
        self.want = Want::Body(body);
        self
    }

    fn cut(mut self) -> Self {
        self.want = Want::Cut;
        self
    }

    fn look(mut self, look: Look) -> Self {
        self.look = Some(look);
        self
    }
}

/// Every homeserver fault.
pub fn table() -> Vec<Probe> {
    [heads(), framing(), bodies(), ends(), reuse()].concat()
}

const HELLO: &str = "Content-Length: 5";
/// What a proxy may repair, it may also refuse.
const REPAIRED: &[u16] = &[200, 502];

fn heads() -> Vec<Probe> {
    let line = |id, line: &str| fault(id, format!("{line}\r\nContent-Length: 4\r\n\r\nLEAK"));
    vec![
        fault("garbage", "LEAK \x01\x02\x03\r\n\r\nLEAK"),
        fault("answer-http-0.9", "<html>LEAK</html>").close(),
        line("answer-http-2", "HTTP/2.0 200 OK"),
        line("answer-http-1.10", "HTTP/1.10 200 OK"),
        line("answer-ftp", "220 LEAK ready"),
        line("status-099", "HTTP/1.1 099 LEAK"),
        line("status-1000", "HTTP/1.1 1000 LEAK"),
        line("status-abc", "HTTP/1.1 abc LEAK"),
        line("status-missing", "HTTP/1.1"),
        line("answer-cr-in-field", "HTTP/1.1 200 OK\r\nX-Test: a\rLEAK: b"),
        line("answer-nul-in-field", "HTTP/1.1 200 OK\r\nX-Test: a\0LEAK"),
        line("answer-bad-name", "HTTP/1.1 200 OK\r\nX Test: LEAK"),
        line("answer-no-colon", "HTTP/1.1 200 OK\r\nLEAK"),
        // RFC 9112 §5.2: refused, or unfolded.
        ok("answer-folded", "X-Test: a\r\n b\r\nContent-Length: 5", "hello").status(REPAIRED),
        fault("answer-head-1-mib", format!("HTTP/1.1 200 OK\r\n{}", format!("X-LEAK: {}\r\n", "x".repeat(1014)).repeat(1024)))
            .send("Content-Length: 4\r\n\r\nLEAK"),
        fault("answer-unasked-101", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nLEAK"),
        fault("answer-continue-10000", "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000))
            .send(format!("HTTP/1.1 200 OK\r\n{HELLO}\r\n\r\nhello"))
            .status(REPAIRED)
            .look(|got| match got.interim {
                0..=8 => Ok(()),
                many => Err(format!("{many} interim answers")),
            }),
        fault("answer-early-hints", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
            .then(Step::Pause(Duration::from_millis(100)))
            .send(format!("HTTP/1.1 200 OK\r\n{HELLO}\r\n\r\nhello"))
            .body(b"hello"),
        ok(
            "answer-hop-by-hop",
            "Connection: keep-alive, X-Secret\r\nX-Secret: LEAK\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
             Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nContent-Length: 5",
            "hello",
        )
        .body(b"hello")
        .look(|got| {
            let passed = |name: &&str| got.fields.iter().any(|(other, _)| other == name);
            match ["x-secret", "keep-alive", "proxy-connection", "proxy-authenticate", "upgrade"].iter().find(|it| passed(it)) {
                Some(name) => Err(format!("the answer's {name}")),
                None => Ok(()),
            }
        }),
    ]
}

fn framing() -> Vec<Probe> {
    vec![
        // RFC 9112 §6.3: one length said twice may be repaired, two lengths are an error.
        ok("answer-length-twice-equal", "Content-Length: 5\r\nContent-Length: 5", "hello").status(REPAIRED),
        ok("answer-length-twice-different", "Content-Length: 4\r\nContent-Length: 5", "LEAK."),
        ok("answer-length-list-different", "Content-Length: 4, 5", "LEAK."),
        ok("answer-length-negative", "Content-Length: -1", "LEAK"),
        ok("answer-length-plus", "Content-Length: +4", "LEAK"),
        ok("answer-length-2-64", "Content-Length: 18446744073709551620", "LEAK"),
        ok("answer-length-and-chunked", "Content-Length: 4\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")
            .status(REPAIRED),
        ok("answer-gzip-coding", "Transfer-Encoding: gzip", "LEAK").close(),
        ok("answer-gzip-chunked", "Transfer-Encoding: gzip, chunked", "4\r\nLEAK\r\n0\r\n\r\n"),
    ]
}

fn bodies() -> Vec<Probe> {
    let chunked = |id, body: &str| ok(id, "Transfer-Encoding: chunked", body);
    vec![
        ok("answer-by-length", HELLO, "hello").body(b"hello"),
        chunked("answer-chunked", "5;a=b\r\nhello\r\n0\r\n\r\n").body(b"hello"),
        ok("answer-until-close", "Content-Type: text/plain", "hello").close().body(b"hello"),
        chunked("answer-chunk-size-letter", "5\r\nhello\r\nG\r\nLEAK\r\n0\r\n\r\n").cut(),
        chunked("answer-chunk-size-2-64", "5\r\nhello\r\n10000000000000004\r\nLEAK\r\n0\r\n\r\n").cut(),
        chunked("answer-chunk-no-line-end", "5\r\nhelloXXLEAK\r\n0\r\n\r\n").cut(),
        ok("answer-cut-by-length", "Content-Length: 10", "hello").close().cut(),
        chunked("answer-cut-in-chunk", "9\r\nhello").close().cut(),
        chunked("answer-cut-between-chunks", "5\r\nhello\r\n").close().cut(),
        chunked("answer-cut-in-trailers", "5\r\nhello\r\n0\r\nX: a\r\n").close().cut(),
        chunked("answer-trailers-10", &format!("5\r\nhello\r\n0\r\n{}\r\n", "X-Trailer: LEAK\r\n".repeat(10)))
            .body(b"hello"),
        chunked("answer-trickle", "5\r\nfirst\r\n")
            .then(Step::Pause(Duration::from_millis(1_500)))
            .send("4\r\nlast\r\n0\r\n\r\n")
            .body(b"firstlast")
            .look(|got| match got.first_byte {
                Some(time) if time < AT_ONCE => Ok(()),
                time => Err(format!("the first byte after {time:?}")),
            }),
        // Bytes beyond the end of an answer belong to nobody.
        fault("answer-204-with-body", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nLEAK").status(&[204, 502]),
        fault("answer-304-with-body", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\nLEAK").status(&[304, 502]),
        ok("answer-head-with-body", "Content-Length: 4", "LEAK").method("HEAD").status(REPAIRED),
        ok("answer-surplus", HELLO, "helloLEAK").status(REPAIRED),
        chunked("answer-surplus-chunked", "5\r\nhello\r\n0\r\n\r\nLEAK").status(REPAIRED),
        ok("answer-surplus-answer", HELLO, "helloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nLEAK").status(REPAIRED),
        ok("answer-surplus-later", HELLO, "hello")
            .then(Step::Pause(Duration::from_millis(30)))
            .send("LEAK")
            .body(b"hello")
            .alone(),
    ]
}

fn ends() -> Vec<Probe> {
    let mut early = fault(
        "answer-before-request-ends",
        "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    )
    .close()
    .method("POST")
    .status(&[413]);
    early.held_back = true;
    vec![
        early,
        fault("reset-before-head-get", "").then(Step::Reset),
        fault("reset-before-head-post", "").then(Step::Reset).method("POST"),
        fault("reset-before-head-put", "").then(Step::Reset).method("PUT"),
        fault("close-before-head-post", "").close().method("POST"),
        fault("close-in-head", "HTTP/1.1 200 OK\r\nContent-Le").close(),
        ok("reset-after-head", "Content-Length: 10", "hello")
            .then(Step::Pause(Duration::from_millis(50)))
            .then(Step::Reset)
            .cut(),
        ok("half-close-in-body", "Content-Length: 10", "hello").then(Step::HalfClose).then(Step::Hang).cut(),
        fault("half-close-before-head", "").then(Step::HalfClose).then(Step::Hang),
        fault("hang", "").then(Step::Hang).status(&[504]),
        fault("hang-in-head", "HTTP/1.1 200 OK\r\nContent-Le").then(Step::Hang).status(&[502, 504]),
    ]
}

fn reuse() -> Vec<Probe> {
    let reused = |id, method| fault(id, "").answers(Answer::NothingWhenReused).method(method).status(&[200, 502]);
    vec![
        // Nobody can tell whether the homeserver had begun; only what may be done twice is done twice, and once.
        reused("reused-closed-get", "GET").status(&[200]),
        reused("reused-closed-post", "POST"),
        reused("reused-closed-put", "PUT"),
        // An end that came before the request was sent costs nobody anything.
        fault("idle-closed-get", "").answers(Answer::EndAfterFirst).alone().status(&[200]),
        fault("idle-closed-post", "").answers(Answer::EndAfterFirst).alone().method("POST").status(&[200]),
    ]
}

/// How the origin of these probes answers.
pub fn answering() -> impl Fn(&Request, usize) -> Script {
    let table: HashMap<_, _> = table().into_iter().map(|probe| (probe.id, probe)).collect();
    move |request, answered| {
        let ordinary = echo(request);
        let Some(probe) = request.probe().and_then(|id| table.get(id)) else { return ordinary };
        let phase = request.target.rsplit('/').next().unwrap_or_default();
        match (&probe.answer, phase) {
            (Answer::EndAfterFirst, "before") => {
                let end = [Step::Pause(Duration::from_millis(30)), Step::Close];
                Script { early: false, steps: [ordinary.steps, end.to_vec()].concat() }
            }
            (_, "before" | "after") | (Answer::EndAfterFirst, _) => ordinary,
            (Answer::Steps(steps), _) => Script { early: probe.held_back, steps: steps.clone() },
            (Answer::NothingWhenReused, _) if answered > 0 => Script { early: false, steps: vec![Step::Close] },
            (Answer::NothingWhenReused, _) => ordinary,
        }
    }
}

impl Probe {
    async fn send_and_judge(&self, target: &Target) -> Result<Seen, Failure> {
        let mut saw = Vec::new();
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let name = if protocol == Protocol::Http1 { "h1" } else { "h2" };
            let fail = |saw: String| Failure { wanted: self.wanted(), saw: format!("{name}: {saw}") };
            let mut client = Client::connect(target, protocol).await.map_err(fail)?;
            if self.warm {
                let got = client.ask("GET", &self.path("before"), false).await.map_err(fail)?;
                self.check_own(&got, "before").map_err(fail)?;
                tokio::time::sleep(SETTLED).await;
            }
            let got = client.ask(self.method, &self.path(name), self.held_back).await.map_err(fail)?;
            self.judge(&got).map_err(|why| fail(format!("{}{why}", got.described())))?;
            if self.alone {
                // What the homeserver does late to the connection has happened by then.
                tokio::time::sleep(SETTLED).await;
            }
            // Whatever the homeserver said too much must not come to whoever asks next.
            if !client.can_go_on() || (self.held_back && protocol == Protocol::Http1) {
                client = Client::connect(target, protocol).await.map_err(fail)?;
            }
            let after =
                client.ask("GET", &self.path("after"), false).await.map_err(|why| fail(format!("then {why}")))?;
            self.check_own(&after, "after").map_err(fail)?;
            if client.leaked() {
                return Err(fail("bytes that belong to nobody".to_owned()));
            }
            saw.push(format!("{name} {}", got.described()));
        }
        Ok(Seen(saw.join(", ")))
    }

    fn path(&self, phase: &str) -> String {
        format!("{PATH}{}/{phase}", self.id)
    }

    fn check_own(&self, got: &Got, phase: &str) -> Result<(), String> {
        match got.whole && got.status == Some(200) && got.body == self.path(phase).as_bytes() {
            true => Ok(()),
            false => Err(format!("{phase}: {}", got.described())),
        }
    }

    fn judge(&self, got: &Got) -> Result<(), String> {
        let fits = match &self.want {
            Want::Status(statuses) => got.whole && got.status.is_some_and(|status| statuses.contains(&status)),
            Want::Body(body) => got.whole && got.status == Some(200) && got.body == *body,
            Want::Cut => got.over && (!got.whole || got.status == Some(502)),
        };
        if !fits {
            return Err(String::new());
        }
        self.look.map_or(Ok(()), |look| look(got).map_err(|why| format!(": {why}")))
    }

    fn wanted(&self) -> String {
        let wanted = match &self.want {
            Want::Status(set) => set.iter().map(u16::to_string).collect::<Vec<_>>().join("/"),
            Want::Body(body) => format!("200 with {:?}", String::from_utf8_lossy(body)),
            Want::Cut => "a visible cut, or 502".to_owned(),
        };
        format!("{wanted}, at most {} asked", self.attempts)
    }
}

impl Got {
    fn described(&self) -> String {
        let status = self.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let end = match (self.whole, self.over) {
            (true, _) => "",
            (false, true) => " cut",
            (false, false) => " unended",
        };
        format!("{status}{end}")
    }
}

/// A connection of either kind, for one request after the other.
enum Client {
    Http1 { wire: Wire, answered: usize, to_head: Vec<usize> },
    Http2 { connection: Box<Connection>, next: u32 },
}

impl Client {
    async fn connect(target: &Target, protocol: Protocol) -> Result<Self, String> {
        Ok(match protocol {
            Protocol::Http1 => {
                let wire = Wire::connect(target, protocol).await?;
                Self::Http1 { wire, answered: 0, to_head: Vec::new() }
            }
            Protocol::Http2 => Self::Http2 { connection: Box::new(Connection::open(target, &[]).await?), next: 1 },
        })
    }

    async fn ask(&mut self, method: &str, path: &str, held_back: bool) -> Result<Got, String> {
        let deadline = Instant::now() + PROMPT;
        match self {
            Self::Http1 { wire, answered, to_head } => {
                if method == "HEAD" {
                    to_head.push(*answered);
                }
                let got = ask_http1(wire, to_head, *answered, &request(method, path, held_back), deadline).await?;
                *answered += 1;
                Ok(got)
            }
            Self::Http2 { connection, next } => {
                let stream = *next;
                *next += 2;
                Ok(ask_http2(connection, stream, method, path, held_back, deadline).await)
            }
        }
    }

    /// Whether another request may follow on this connection.
    fn can_go_on(&self) -> bool {
        match self {
            Self::Http1 { wire, to_head, .. } => {
                let last = answers::read(&wire.seen, to_head, wire.closed).ok().and_then(|mut answers| answers.pop());
                let goes_on = |answer: &answers::Answer| {
                    answer.whole && !answer.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
                };
                !wire.closed && last.as_ref().is_some_and(goes_on)
            }
            Self::Http2 { connection, .. } => !connection.is_closed() && connection.goaway.is_none(),
        }
    }

    fn leaked(&self) -> bool {
        match self {
            Self::Http1 { wire, .. } => super::origin::contains(&wire.seen, LEAK),
            Self::Http2 { connection, .. } => connection.saw(LEAK),
        }
    }
}

fn request(method: &str, path: &str, held_back: bool) -> String {
    let (length, body) = match (method, held_back) {
        ("GET" | "HEAD", _) => (String::new(), ""),
        (_, false) => ("Content-Length: 5\r\n".to_owned(), "hello"),
        (_, true) => ("Content-Length: 10\r\n".to_owned(), "hello"),
    };
    format!("{method} {path} HTTP/1.1\r\nHost: {NAME}\r\n{length}\r\n{body}")
}

async fn ask_http1(
    wire: &mut Wire,
    to_head: &[usize],
    answered: usize,
    request: &str,
    deadline: Instant,
) -> Result<Got, String> {
    let started = Instant::now();
    wire.bytes(request);
    let mut first_byte = None;
    loop {
        let answers = answers::read(&wire.seen, to_head, wire.closed)?;
        let interim = answers.iter().filter(|answer| answer.is_interim()).count();
        let answer = answers.into_iter().filter(|answer| !answer.is_interim()).nth(answered);
        if answer.as_ref().is_some_and(|answer| !answer.body.is_empty()) {
            first_byte = first_byte.or_else(|| Some(started.elapsed()));
        }
        let whole = answer.as_ref().is_some_and(|answer| answer.whole);
        if whole || wire.closed || wire.more(deadline).await == Arrival::Nothing {
            let over = whole || wire.closed;
            let Some(answer) = answer else { return Ok(Got { interim, over, ..Got::default() }) };
            let (status, fields, body) = (Some(answer.status), answer.fields, answer.body);
            return Ok(Got { interim, status, fields, body, whole, over, first_byte });
        }
    }
}

async fn ask_http2(
    connection: &mut Connection,
    stream: u32,
    method: &str,
    path: &str,
    held_back: bool,
    deadline: Instant,
) -> Got {
    let started = Instant::now();
    let block = fields(&[(":method", method), (":scheme", "https"), (":authority", NAME), (":path", path)]);
    match (method, held_back) {
        ("GET" | "HEAD", _) => connection.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block)),
        (_, held_back) => {
            let end = if held_back { 0 } else { END_STREAM };
            connection.send([frame(HEADERS, END_HEADERS, stream, block), frame(DATA, end, stream, "hello")].concat());
        }
    }
    let mut first_byte = None;
    let over = connection
        .until(deadline, |connection| {
            let seen = connection.stream(stream);
            if !seen.data.is_empty() {
                first_byte = first_byte.or_else(|| Some(started.elapsed()));
            }
            seen.is_over() || connection.is_closed()
        })
        .await;
    let seen = connection.stream(stream);
    Got {
        interim: seen.interim(),
        status: seen.status(),
        fields: Vec::new(),
        // A reset without an error after the end of the answer asks to stop sending (RFC 9113 §8.1).
        whole: seen.ended && seen.status().is_some() && seen.reset.is_none_or(|code| code == 0),
        body: seen.data,
        over,
        first_byte,
    }
}

impl super::Probe for Probe {
    fn id(&self) -> &'static str {
        self.id
    }

    fn run(&self, target: &Target) -> impl Future<Output = Result<Seen, Failure>> + Send {
        self.send_and_judge(target)
    }

    fn judge_origin(&self, record: &Record) -> Result<(), Failure> {
        let fail = |saw: String| Err(Failure { wanted: self.wanted(), saw });
        if let Some(fault) = record.faults_of(self.id).first() {
            return fail(format!("at the origin: {fault}"));
        }
        for phase in ["h1", "h2"] {
            let path = self.path(phase);
            let attempts = record.of(self.id).iter().filter(|request| request.target == path).count();
            if !(1..=self.attempts).contains(&attempts) {
                return fail(format!("{phase}: the origin was asked {attempts} times"));
            }
        }
        Ok(())
    }

    fn alone(&self) -> bool {
        self.alone
    }
}
