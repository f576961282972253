//! An HTTP/2 connection that sends whatever it is told, and understands enough of what comes back to judge it.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::probes::wire::{Arrival, Out, Protocol, Target, Wire};
use crate::support::h2_frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADER_TABLE_SIZE, HEADERS, MAX_FRAME_SIZE, PING,
    PREFACE, RST_STREAM, SETTINGS, frame, parse, settings, status, window_update,
};

/// What came back on one stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Interim ones first; `None` is a block without a status: trailers.
    pub heads: Vec<Option<u16>>,
    pub data: Vec<u8>,
    pub ended: bool,
    pub reset: Option<u32>,
}

impl Stream {
    /// The status of the final answer.
    pub fn status(&self) -> Option<u16> {
        self.heads.iter().flatten().copied().find(|status| *status >= 200)
    }

    pub fn interim(&self) -> usize {
        self.heads.iter().flatten().filter(|status| **status < 200).count()
    }

    pub fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
}

/// A connection. Dropping it closes it.
pub struct Connection {
    wire: Wire,
    read: usize,
    pub streams: BTreeMap<u32, Stream>,
    /// The code of the last GOAWAY, after a graceful start of one.
    pub goaway: Option<u32>,
    pub pongs: Vec<Vec<u8>>,
    /// The payload of the largest frame that the server takes.
    pub largest_frame: usize,
    /// Frames that came, by type.
    pub counts: [usize; 10],
    /// Whether windows are opened again as DATA is read.
    pub generous: bool,
    block: Vec<u8>,
}

impl Connection {
    /// Connects and sends nothing.
    pub async fn bare(target: &Target) -> Result<Self, String> {
        let wire = Wire::connect(target, Protocol::Http2).await?;
        Ok(Self {
            wire,
            read: 0,
            streams: BTreeMap::new(),
            goaway: None,
            pongs: Vec::new(),
            largest_frame: 16_384,
            counts: [0; 10],
            generous: true,
            block: Vec::new(),
        })
    }

    /// Connects and begins as every client does, with `more` settings.
    pub async fn open(target: &Target, more: &[(u16, u32)]) -> Result<Self, String> {
        let connection = Self::bare(target).await?;
        connection.send([PREFACE, &settings(&[&[(HEADER_TABLE_SIZE, 0)], more].concat())].concat());
        Ok(connection)
    }

    pub fn send(&self, bytes: impl Into<Vec<u8>>) {
        self.wire.bytes(bytes);
    }

    pub fn step(&self, out: Out) {
        self.wire.send(out);
    }

    pub fn is_closed(&self) -> bool {
        self.wire.closed
    }

    pub fn stream(&self, number: u32) -> Stream {
        self.streams.get(&number).cloned().unwrap_or_default()
    }

    pub fn saw(&self, wanted: &[u8]) -> bool {
        self.wire.seen.windows(wanted.len()).any(|window| window == wanted)
    }

    /// Waits for more and takes it in.
    pub async fn more(&mut self, deadline: Instant) -> Arrival {
        let arrival = self.wire.more(deadline).await;
        while let Some((frame, taken)) = parse(&self.wire.seen[self.read..]) {
            self.read += taken;
            self.take(&frame);
        }
        arrival
    }

    /// Waits until `done`, or the end, or the deadline; whether it was `done`.
    pub async fn until(&mut self, deadline: Instant, mut done: impl FnMut(&Self) -> bool) -> bool {
        loop {
            if done(self) {
                return true;
            }
            if self.more(deadline).await != Arrival::Bytes {
                return done(self);
            }
        }
    }

    fn take(&mut self, frame_in: &Frame) {
        let Frame { kind, stream: number, .. } = *frame_in;
        if let Some(count) = self.counts.get_mut(usize::from(kind)) {
            *count += 1;
        }
        match kind {
            SETTINGS if !frame_in.has(ACK) => {
                for setting in
                    frame_in.payload.chunks_exact(6).filter(|setting| setting[..2] == MAX_FRAME_SIZE.to_be_bytes())
                {
                    self.largest_frame = setting[2..].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                }
                self.send(frame(SETTINGS, ACK, 0, []));
            }
            PING if frame_in.has(ACK) => self.pongs.push(frame_in.payload.clone()),
            PING => self.send(frame(PING, ACK, 0, &frame_in.payload)),
            GOAWAY => self.goaway = Some(frame_in.word(4)),
            RST_STREAM => self.streams.entry(number).or_default().reset = Some(frame_in.word(0)),
            DATA => {
                let length = u32::try_from(frame_in.payload.len()).expect("24 bits");
                let stream = self.streams.entry(number).or_default();
                stream.data.extend_from_slice(frame_in.content());
                stream.ended |= frame_in.has(END_STREAM);
                if self.generous && length > 0 {
                    self.send([window_update(0, length), window_update(number, length)].concat());
                }
            }
            HEADERS | CONTINUATION => {
                if kind == HEADERS {
                    self.block.clear();
                }
                self.block.extend_from_slice(frame_in.content());
                let stream = self.streams.entry(number).or_default();
                stream.ended |= kind == HEADERS && frame_in.has(END_STREAM);
                if frame_in.has(END_HEADERS) {
                    stream.heads.push(status(&self.block));
                }
            }
            _ => {}
        }
    }
}
