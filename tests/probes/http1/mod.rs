//! HTTP/1.1 probes: how one is written down, sent and judged. The tables are below.

mod framing;
mod heads;
mod hops;
mod hosts;

use std::time::Duration;

use tokio::time::Instant;

use super::answers;
pub use super::answers::Answer;
pub use super::arrivals::Origin;
use super::origin::Record;
use super::rules::{PATH, Request};
use super::wire::{Arrival, Out, Protocol, Target, Wire};
use super::{Failure, Seen};
use crate::support::front::NAME;

/// How long an answer, or the end of a connection, may take: a verdict on a whole message is prompt.
const PROMPT: Duration = Duration::from_secs(10);

/// What a client must see.
#[derive(Clone, Debug)]
pub enum Want {
    /// These answers, in order; each a set of statuses to choose from. What becomes of the connection does not matter.
    Answers(Vec<&'static [u16]>),
    /// At most one answer, of these, and then the end of the connection: nothing after it can be trusted.
    Refused(&'static [u16]),
}

/// What else must hold for the answers, interim ones included.
type Look = fn(&[Answer]) -> Result<(), String>;

/// One probe.
#[derive(Clone)]
pub struct Probe {
    id: &'static str,
    send: Vec<Out>,
    to_head: Vec<usize>,
    /// The end of the connection without an answer will do.
    silence: bool,
    want: Want,
    origin: Origin,
    look: Option<Look>,
}

/// A probe that sends `text`; `{path}` becomes its path, `{host}` the homeserver's name, `{get}` the whole start of a GET
/// up to its Host field, `{post}` that of a POST.
pub fn probe(id: &'static str, text: impl AsRef<[u8]>) -> Probe {
    let want = Want::Answers(vec![&[200]]);
    let probe =
        Probe { id, send: Vec::new(), to_head: Vec::new(), silence: false, want, origin: Origin::Anything, look: None };
    probe.then(text)
}

impl Probe {
    /// Sends more.
    pub fn then(mut self, text: impl AsRef<[u8]>) -> Self {
        let bytes = expand(text.as_ref(), self.id);
        self.send.push(Out::Bytes(bytes));
        self
    }

    pub fn repeat(mut self, text: impl AsRef<[u8]>, times: usize) -> Self {
        self.send.push(Out::Repeat(text.as_ref().to_vec(), times));
        self
    }

    pub fn pause(mut self, milliseconds: u64) -> Self {
        self.send.push(Out::Pause(Duration::from_millis(milliseconds)));
        self
    }

    /// Ends its own side of the connection.
    pub fn half_close(mut self) -> Self {
        self.send.push(Out::HalfClose);
        self
    }

    /// Sends what is there byte by byte, each in a TLS record of its own.
    pub fn bytewise(mut self) -> Self {
        let bytes = std::mem::take(&mut self.send).into_iter().flat_map(|out| match out {
            Out::Bytes(bytes) => bytes.into_iter().map(|byte| Out::Bytes(vec![byte])).collect(),
            other => vec![other],
        });
        self.send = bytes.collect();
        self
    }

    /// Which answers (from 0) are to a HEAD request.
    pub fn heads(mut self, to_head: &[usize]) -> Self {
        self.to_head = to_head.to_vec();
        self
    }

    /// Any of these.
    pub fn answer(self, statuses: &'static [u16]) -> Self {
        self.answers(&[statuses])
    }

    pub fn answers(mut self, statuses: &[&'static [u16]]) -> Self {
        self.want = Want::Answers(statuses.to_vec());
        self
    }

    /// One of these and the end of the connection, and not a byte for the homeserver.
    pub fn refused(mut self, statuses: &'static [u16]) -> Self {
        (self.want, self.origin) = (Want::Refused(statuses), Origin::Nothing);
        self
    }

    /// One of these, and not a byte for the homeserver. The message was whole, so the connection may go on.
    pub fn rejected(mut self, statuses: &'static [u16]) -> Self {
        self.origin = Origin::Nothing;
        self.answer(statuses)
    }

    /// The end of the connection will do as an answer.
    pub fn or_silence(mut self) -> Self {
        self.silence = true;
        self
    }

    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// One request must arrive, and pass this look.
    pub fn seen(self, look: fn(&Request) -> Result<(), String>) -> Self {
        self.origin(Origin::Requests(1, look))
    }

    /// The answers must pass this look.
    pub fn look(mut self, look: Look) -> Self {
        self.look = Some(look);
        self
    }

    async fn send_and_judge(&self, target: &Target) -> Result<Seen, Failure> {
        let fail = |saw: String| Failure { wanted: self.wanted(), saw };
        let mut wire = Wire::connect(target, Protocol::Http1).await.map_err(fail)?;
        for out in &self.send {
            wire.send(out.clone());
        }
        let deadline = Instant::now() + PROMPT + self.pauses();
        let (answers, ended) = loop {
            let answers = answers::read(&wire.seen, &self.to_head, wire.closed).map_err(fail)?;
            let finals = answers.iter().filter(|answer| !answer.is_interim() && answer.whole).count();
            let enough = match &self.want {
                Want::Answers(wanted) => finals >= wanted.len(),
                Want::Refused(_) => false,
            };
            if enough || wire.closed {
                break (answers, wire.closed);
            }
            if wire.more(deadline).await == Arrival::Nothing {
                break (answers, false);
            }
        };
        if wire.seen.windows(4).any(|window| window == b"LEAK") {
            return Err(fail("the surplus of another answer".to_owned()));
        }
        let saw = describe(&answers, ended);
        self.judge(&answers, ended).map_err(|why| fail(format!("{saw}{why}")))?;
        Ok(Seen(saw))
    }

    fn pauses(&self) -> Duration {
        self.send.iter().map(|out| if let Out::Pause(time) = out { *time } else { Duration::ZERO }).sum()
    }

    fn judge(&self, answers: &[Answer], ended: bool) -> Result<(), String> {
        let finals: Vec<_> = answers.iter().filter(|answer| !answer.is_interim()).collect();
        if self.silence && finals.is_empty() && ended {
            return Ok(());
        }
        match &self.want {
            Want::Answers(wanted) => {
                let fits = |(answer, wanted): (&&Answer, &&[u16])| answer.whole && wanted.contains(&answer.status);
                if finals.len() < wanted.len() || !finals.iter().zip(wanted).all(fits) {
                    return Err(String::new());
                }
            }
            Want::Refused(wanted) => {
                let fits = matches!(&finals[..], [answer] if answer.whole && wanted.contains(&answer.status));
                if !fits || !ended {
                    return Err(String::new());
                }
            }
        }
        // What the homeserver answered was to this probe, and in this order.
        let mark = format!("{PATH}{}/", self.id);
        for (at, answer) in finals.iter().enumerate().filter(|(_, answer)| answer.status == 200) {
            let own = String::from_utf8_lossy(&answer.body).starts_with(&mark);
            if !own && !self.to_head.contains(&at) {
                return Err(" with the answer to something else".to_owned());
            }
        }
        self.look.map_or(Ok(()), |look| look(answers).map_err(|why| format!(": {why}")))
    }

    fn wanted(&self) -> String {
        let set = |statuses: &[u16]| statuses.iter().map(u16::to_string).collect::<Vec<_>>().join("/");
        let mut wanted = match &self.want {
            Want::Answers(answers) => answers.iter().map(|statuses| set(statuses)).collect::<Vec<_>>().join(", "),
            Want::Refused(statuses) => format!("{} and close", set(statuses)),
        };
        if self.silence {
            wanted.push_str(" or close");
        }
        wanted.push_str(self.origin.told());
        wanted
    }
}

fn describe(answers: &[Answer], ended: bool) -> String {
    let mut words: Vec<String> =
        answers.iter().map(|answer| format!("{}{}", answer.status, if answer.whole { "" } else { " cut" })).collect();
    if words.len() > 4 {
        let more = words.len() - 4;
        words.truncate(4);
        words.push(format!("{more} more"));
    }
    if ended {
        words.push("close".to_owned());
    } else if words.is_empty() {
        words.push("nothing".to_owned());
    }
    words.join(" ")
}

fn expand(text: &[u8], id: &str) -> Vec<u8> {
    let path = format!("{PATH}{id}/");
    let names = [
        ("{get}", format!("GET {path} HTTP/1.1\r\nHost: {NAME}\r\n")),
        ("{post}", format!("POST {path} HTTP/1.1\r\nHost: {NAME}\r\n")),
        ("{path}", path),
        ("{host}", NAME.to_owned()),
    ];
    let mut expanded = Vec::with_capacity(text.len());
    let mut rest = text;
    'next: while let Some((first, tail)) = rest.split_first() {
        if *first == b'{' {
            for (name, meaning) in &names {
                if let Some(after) = rest.strip_prefix(name.as_bytes()) {
                    expanded.extend_from_slice(meaning.as_bytes());
                    rest = after;
                    continue 'next;
                }
            }
        }
        expanded.push(*first);
        rest = tail;
    }
    expanded
}

/// Every probe of HTTP/1.1.
pub fn table() -> Vec<Probe> {
    [framing::table(), heads::table(), hosts::table(), hops::table()].concat()
}

impl super::Probe for Probe {
    fn id(&self) -> &'static str {
        self.id
    }

    fn run(&self, target: &Target) -> impl Future<Output = Result<Seen, Failure>> + Send {
        self.send_and_judge(target)
    }

    fn judge_origin(&self, record: &Record) -> Result<(), Failure> {
        self.origin.judge(self.id, record).map_err(|saw| Failure { wanted: self.wanted(), saw })
    }
}
