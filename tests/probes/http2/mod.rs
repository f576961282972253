//! HTTP/2 probes: how one is written down, sent and judged. The tables are below.

pub mod connection;
mod fields;
mod frames;

use std::time::Duration;

use tokio::time::Instant;

use super::arrivals::{Look, Origin};
use super::origin::Record;
use super::rules::PATH;
use super::wire::{Out, Target};
use super::{Failure, Seen};
use crate::support::front::NAME;
use crate::support::h2_frames::{
    END_HEADERS, END_STREAM, FRAME_SIZE_ERROR, HEADERS, PING, PROTOCOL_ERROR, field, frame,
};
use connection::Connection;

/// How long a verdict may take.
const PROMPT: Duration = Duration::from_secs(10);

/// What a client must see.
#[derive(Clone, Debug)]
pub enum Want {
    /// An answer with one of these statuses.
    Status(&'static [u16]),
    /// The stream reset with one of these codes. RFC 9113 §5.4.2 lets it be the whole connection.
    Reset(&'static [u32]),
    /// One or the other.
    StatusOrReset(&'static [u16], &'static [u32]),
    /// GOAWAY with one of these codes.
    Goaway(&'static [u32]),
    /// The stream reset, or GOAWAY, with one of these codes, whatever was answered before.
    Error(&'static [u32]),
    /// FRAME_SIZE_ERROR for a frame of so many bytes, unless such frames were announced as welcome.
    TooLarge(usize),
    /// Nothing special: a PING and a GET after it are answered.
    Alive,
}

/// One probe.
#[derive(Clone)]
pub struct Probe {
    id: &'static str,
    /// Whether it begins as every client does.
    greets: bool,
    send: Vec<Out>,
    stream: u32,
    /// The end of the connection will do.
    silence: bool,
    want: Want,
    origin: Origin,
}

/// The pseudo-fields of a request, in their usual order, to be changed.
#[derive(Clone)]
pub struct Head {
    id: &'static str,
    lines: Vec<(String, String)>,
}

/// The head of a `GET` for a probe's path.
pub fn get(id: &'static str) -> Head {
    let lines = [(":method", "GET"), (":scheme", "https"), (":authority", NAME), (":path", &format!("{PATH}{id}/"))];
    Head { id, lines: lines.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec() }
}

pub fn post(id: &'static str) -> Head {
    get(id).set(":method", "POST")
}

impl Head {
    /// Adds a field.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds a field before all others.
    pub fn first(mut self, name: &str, value: &str) -> Self {
        self.lines.insert(0, (name.to_owned(), value.to_owned()));
        self
    }

    pub fn set(mut self, name: &str, value: &str) -> Self {
        for line in self.lines.iter_mut().filter(|line| line.0 == name) {
            value.clone_into(&mut line.1);
        }
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.lines.retain(|line| line.0 != name);
        self
    }

    pub fn block(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|(name, value)| field(name, value)).collect()
    }

    /// A request on stream 1, which ends with its head.
    pub fn alone(&self) -> Probe {
        probe(self.id).frame(HEADERS, END_HEADERS | END_STREAM, 1, self.block())
    }

    /// The block as something else makes of it, in the first frame of stream 1.
    pub fn alone_with(&self, kind: u8, flags: u8, payload: impl Fn(Vec<u8>) -> Vec<u8>) -> Probe {
        probe(self.id).frame(kind, flags, 1, payload(self.block()))
    }

    /// A request on stream 1 that does not end, and a frame after its head.
    pub fn open_then(&self, kind: u8, payload: impl AsRef<[u8]>) -> Probe {
        self.clone().set(":method", "POST").open().frame(kind, 0, 1, payload)
    }

    /// A request on stream 1 whose body follows.
    pub fn open(&self) -> Probe {
        probe(self.id).frame(HEADERS, END_HEADERS, 1, self.block())
    }
}

/// A probe that greets, and sends nothing yet.
pub fn probe(id: &'static str) -> Probe {
    let (send, origin) = (Vec::new(), Origin::Anything);
    Probe { id, greets: true, send, stream: 1, silence: false, want: Want::Status(&[200]), origin }
}

impl Probe {
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.send.push(Out::Bytes(bytes.into()));
        self
    }

    pub fn frame(self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Self {
        self.bytes(frame(kind, flags, stream, payload))
    }

    pub fn pause(mut self, milliseconds: u64) -> Self {
        self.send.push(Out::Pause(Duration::from_millis(milliseconds)));
        self
    }

    /// Does not begin as a client should.
    pub fn rude(mut self) -> Self {
        self.greets = false;
        self
    }

    /// The stream that is judged.
    pub fn on(mut self, stream: u32) -> Self {
        self.stream = stream;
        self
    }

    pub fn status(mut self, statuses: &'static [u16]) -> Self {
        self.want = Want::Status(statuses);
        self
    }

    /// A malformed message (RFC 9113 §8.1.1): a stream error, and not a byte for the homeserver.
    pub fn malformed(self) -> Self {
        self.reset(&[PROTOCOL_ERROR]).origin(Origin::Nothing)
    }

    /// Wrong in HTTP's terms: 400 or as malformed, and not a byte for the homeserver.
    pub fn bad(self) -> Self {
        self.refused(&[400])
    }

    /// One of these or as malformed, and not a byte for the homeserver.
    pub fn refused(mut self, statuses: &'static [u16]) -> Self {
        self.want = Want::StatusOrReset(statuses, &[PROTOCOL_ERROR]);
        self.origin(Origin::Nothing)
    }

    pub fn want(mut self, want: Want) -> Self {
        self.want = want;
        self
    }

    pub fn reset(self, codes: &'static [u32]) -> Self {
        self.want(Want::Reset(codes))
    }

    pub fn goaway(self, codes: &'static [u32]) -> Self {
        self.want(Want::Goaway(codes))
    }

    /// The connection goes on.
    pub fn alive(mut self) -> Self {
        let id = self.id;
        self = self.frame(PING, 0, 0, b"still up").frame(HEADERS, END_HEADERS | END_STREAM, 101, get(id).block());
        (self.stream, self.want) = (101, Want::Alive);
        self
    }

    pub fn or_silence(mut self) -> Self {
        self.silence = true;
        self
    }

    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// One request must arrive, and pass this look.
    pub fn seen(self, look: Look) -> Self {
        self.origin(Origin::Requests(1, look))
    }

    async fn send_and_judge(&self, target: &Target) -> Result<Seen, Failure> {
        let fail = |saw: String| Failure { wanted: self.wanted(), saw };
        let connecting = async {
            match self.greets {
                true => Connection::open(target, &[]).await,
                false => Connection::bare(target).await,
            }
        };
        let mut connection = connecting.await.map_err(fail)?;
        let mut deadline = Instant::now() + PROMPT;
        for out in &self.send {
            if let Out::Pause(time) = out {
                deadline += *time;
            }
            connection.step(out.clone());
        }
        connection.until(deadline, |connection| self.is_done(connection)).await;
        let saw = self.describe(&connection);
        match self.judge(&connection) {
            true => Ok(Seen(saw)),
            false => Err(fail(saw)),
        }
    }

    fn is_done(&self, connection: &Connection) -> bool {
        match self.want {
            Want::Goaway(_) => connection.goaway.is_some(),
            Want::TooLarge(_) => connection.goaway.is_some() || connection.stream(self.stream).is_over(),
            Want::Error(codes) => {
                connection.goaway.is_some()
                    || connection.stream(self.stream).reset.is_some_and(|it| codes.contains(&it))
            }
            Want::Alive => !connection.pongs.is_empty() && connection.stream(self.stream).is_over(),
            _ => connection.stream(self.stream).is_over() || connection.goaway.is_some_and(|code| code != 0),
        }
    }

    fn judge(&self, connection: &Connection) -> bool {
        let stream = connection.stream(self.stream);
        let goaway = connection.goaway.filter(|code| *code != 0);
        // The answer is the homeserver's to this very probe, if it is one of its own.
        let own = stream.status() != Some(200) || stream.data.starts_with(format!("{PATH}{}/", self.id).as_bytes());
        let answered =
            |statuses: &[u16]| own && stream.ended && stream.status().is_some_and(|it| statuses.contains(&it));
        let reset = |codes: &[u32]| [stream.reset, goaway].iter().flatten().any(|code| codes.contains(code));
        let judged = match self.want {
            Want::Status(statuses) => answered(statuses),
            Want::Reset(codes) => stream.status().is_none() && reset(codes),
            Want::StatusOrReset(statuses, codes) => {
                answered(statuses) || (stream.status().is_none_or(|status| statuses.contains(&status)) && reset(codes))
            }
            Want::Goaway(codes) => goaway.is_some_and(|code| codes.contains(&code)),
            Want::Error(codes) => reset(codes),
            Want::TooLarge(size) => reset(&[FRAME_SIZE_ERROR]) || connection.largest_frame >= size,
            Want::Alive => answered(&[200]) && connection.pongs.contains(&b"still up".to_vec()),
        };
        judged || (self.silence && connection.is_closed() && stream.heads.is_empty())
    }

    fn describe(&self, connection: &Connection) -> String {
        let stream = connection.stream(self.stream);
        let mut words: Vec<String> = stream.heads.iter().flatten().map(u16::to_string).collect();
        if !words.is_empty() && !stream.ended && stream.reset.is_none() {
            words.push("unended".to_owned());
        }
        words.extend(stream.reset.map(|code| format!("RST {code}")));
        words.extend(connection.goaway.map(|code| format!("GOAWAY {code}")));
        if connection.is_closed() {
            words.push("close".to_owned());
        }
        if words.is_empty() {
            words.push("nothing".to_owned());
        }
        words.join(" ")
    }

    fn wanted(&self) -> String {
        let statuses = |set: &[u16]| set.iter().map(u16::to_string).collect::<Vec<_>>().join("/");
        let codes = |set: &[u32]| set.iter().map(u32::to_string).collect::<Vec<_>>().join("/");
        let mut wanted = match &self.want {
            Want::Status(set) => statuses(set),
            Want::Reset(set) => format!("RST or GOAWAY {}", codes(set)),
            Want::StatusOrReset(set, codes_set) => format!("{} or RST {}", statuses(set), codes(codes_set)),
            Want::Goaway(set) => format!("GOAWAY {}", codes(set)),
            Want::Error(set) => format!("an answer or not, and RST or GOAWAY {}", codes(set)),
            Want::TooLarge(_) => format!("RST or GOAWAY {FRAME_SIZE_ERROR}"),
            Want::Alive => "PING and GET answered".to_owned(),
        };
        if self.silence {
            wanted.push_str(" or close");
        }
        wanted + self.origin.told()
    }
}

/// Every probe of HTTP/2.
pub fn table() -> Vec<Probe> {
    [fields::table(), frames::table()].concat()
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
