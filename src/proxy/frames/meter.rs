//! Following frames and keeping their budgets: pure.

use std::time::Duration;
use tokio::time::Instant;

/// The client connection preface (RFC 9113 §3.4). hyper compares it.
const PREFACE: usize = 24;

/// A frame's head, and the error code behind that of a RST_STREAM.
const HEAD: usize = 9;
const HEAD_AND_CODE: usize = HEAD + 4;

/// Frame types and flags (RFC 9113 §6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Surplus frames in a row. A browser sends two with each of its first hundred requests; less than
/// a thousand, so that a flood of some seconds ends before it has had a thousand.
const FRAMES: u32 = 800;

/// One more every so often: whoever PINGs or reports every second may do so for ever.
const FRAME_EVERY: Duration = Duration::from_millis(100);

/// More for each answer that was finished: priorities and windows come with requests.
const FRAMES_PER_ANSWER: u32 = 8;

/// Bytes of bodies, both ways, that earn one more: clients measure the path with PINGs as data flows.
const BYTES_PER_FRAME: u32 = 16 * 1024;

/// Unfinished requests that may be reset in a row: what a client gives up when it is scrolled past,
/// and still no more than a hundred for the homeserver.
const RESETS: u32 = 80;

/// One more every so often.
const RESET_EVERY: Duration = Duration::from_millis(200);

/// A request that is given up sooner than this after it was asked counts. One that has waited as long
/// does not: with a hundred streams there are no more of them in a second than could be finished.
const RAPID: Duration = Duration::from_secs(1);

/// One more for each answer that was finished, and so many may be saved up: a browser that has shown
/// hundreds of pictures may give up a screen full of others at once.
const MAX_RESETS: u32 = 1000;

/// WINDOW_UPDATEs earned with each DATA frame sent, one for the stream and one for the connection,
/// and with each KiB in it: clients report what they have consumed in steps of 4 KiB or more.
const UPDATES_PER_DATA: u32 = 2;
const BYTES_PER_UPDATE: u32 = 1024;

/// Most that may be saved up: what a client with 64 MiB of windows reports late.
const MAX_UPDATES: u32 = 1 << 16;

/// Most streams that are remembered as unfinished: twice as many as are served at a time. The others
/// are being refused.
const MAX_LIVE: usize = 256;

/// What a client sends too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surplus {
    /// Frames that are no work.
    Frames,
    /// Requests that come to nothing.
    Resets,
    /// No surplus but a lack: the client's first frame is not its SETTINGS (RFC 9113 §3.4), which the h2
    /// crate does not ask for.
    NoSettings,
    /// Time: what was begun is not ended.
    Dripped,
}

impl Surplus {
    /// The error code to say goodbye with (RFC 9113 §7): PROTOCOL_ERROR or ENHANCE_YOUR_CALM.
    pub(super) fn code(self) -> u32 {
        match self {
            Self::NoSettings => 1,
            Self::Frames | Self::Resets | Self::Dripped => 11,
        }
    }
}

/// The counts of one connection. It does not matter how the bytes are split.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Meter {
    preface: usize,
    incoming: Frames,
    outgoing: Frames,
    /// Whether no frame has come yet.
    fresh: bool,
    /// Streams that were opened and are not finished, and when they were opened.
    live: Vec<(u32, Instant)>,
    /// The last stream that was opened.
    highest: u32,
    frames: Budget,
    resets: Budget,
    updates: u32,
    /// PINGs of ours that were not answered.
    pings: u32,
    /// Bytes of bodies that have earned nothing yet.
    bytes: u32,
    surplus: Option<Surplus>,
    /// The client is within the header block of a request, which no other frame may interrupt.
    in_block: bool,
    /// When the header block or frame began that is not all there. Not of DATA: bodies have a pace.
    unfinished: Option<Instant>,
}

impl Meter {
    /// The meter of a connection that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            preface: PREFACE,
            incoming: Frames::default(),
            outgoing: Frames::default(),
            fresh: true,
            live: Vec::new(),
            highest: 0,
            frames: Budget::new(FRAMES, FRAMES, FRAME_EVERY, now),
            resets: Budget::new(RESETS, MAX_RESETS, RESET_EVERY, now),
            updates: 0,
            pings: 0,
            bytes: 0,
            surplus: None,
            in_block: false,
            unfinished: None,
        }
    }

    /// What there was too much of. It stays.
    pub(super) fn surplus(&self) -> Option<Surplus> {
        self.surplus
    }

    /// The last stream that the client has opened.
    pub(super) fn highest(&self) -> u32 {
        self.highest
    }

    /// Whether a frame of ours may be put between those that were sent.
    pub(super) fn at_boundary(&self) -> bool {
        self.outgoing.at_boundary()
    }

    /// Takes bytes from the client.
    pub(super) fn incoming(&mut self, bytes: &[u8], now: Instant) {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        let mut bytes = bytes.get(preface..).unwrap_or_default();
        // What was begun before is over when another frame begins, unless that is a part of it.
        if self.incoming.ends_within(bytes) && !self.in_block {
            self.unfinished = None;
        }
        let mut another = false;
        while let Some(frame) = self.incoming.next(&mut bytes) {
            if another && !self.in_block {
                self.unfinished = None;
            }
            another = true;
            self.in_block = match frame.kind {
                HEADERS | CONTINUATION => frame.flags & END_HEADERS == 0,
                _ => self.in_block,
            };
            self.received(&frame, now);
            if self.surplus.is_some() {
                return;
            }
        }
        if self.in_block || !(self.incoming.at_boundary() || self.incoming.within() == Some(DATA)) {
            self.unfinished.get_or_insert(now);
        } else {
            self.unfinished = None;
        }
    }

    /// Since when the client owes the end of a header block, or of a frame that is no DATA.
    pub(super) fn unfinished(&self) -> Option<Instant> {
        self.unfinished
    }

    /// It has owed that for too long.
    pub(super) fn give_up(&mut self) {
        self.surplus.get_or_insert(Surplus::Dripped);
    }

    /// Takes bytes to the client. Says whether some of them were an answer's.
    pub(super) fn outgoing(&mut self, mut bytes: &[u8], now: Instant) -> bool {
        let is_answer = |kind| matches!(kind, DATA | HEADERS | CONTINUATION);
        let mut answered = !bytes.is_empty() && self.outgoing.within().is_some_and(is_answer);
        while let Some(frame) = self.outgoing.next(&mut bytes) {
            answered |= is_answer(frame.kind);
            self.sent(&frame, now);
        }
        answered
    }

    fn received(&mut self, frame: &Frame, now: Instant) {
        if std::mem::take(&mut self.fresh) && (frame.kind != SETTINGS || frame.flags & ACK != 0) {
            self.surplus = Some(Surplus::NoSettings);
            return;
        }
        match frame.kind {
            DATA if frame.length > 0 => self.carried(frame.length),
            DATA if frame.flags & END_STREAM != 0 => {}
            HEADERS if frame.stream > self.highest => {
                self.highest = frame.stream;
                if self.live.len() < MAX_LIVE {
                    self.live.push((frame.stream, now));
                } else {
                    self.charge(Surplus::Resets, now);
                }
            }
            // The h2 crate ends a connection that acknowledges settings nobody sent.
            SETTINGS if frame.flags & ACK != 0 => {}
            PING if frame.flags & ACK != 0 && self.pings > 0 => self.pings -= 1,
            WINDOW_UPDATE if self.updates > 0 => self.updates -= 1,
            RST_STREAM => match self.finish(frame.stream) {
                // Somebody lost patience, or left a page: it has cost no more than a request that was finished.
                Some(opened) if now.saturating_duration_since(opened) >= RAPID => {}
                Some(_) => self.charge(Surplus::Resets, now),
                None => self.charge(Surplus::Frames, now),
            },
            _ => self.charge(Surplus::Frames, now),
        }
    }

    fn sent(&mut self, frame: &Frame, now: Instant) {
        match frame.kind {
            DATA if frame.length > 0 => {
                self.carried(frame.length);
                let earned = UPDATES_PER_DATA + frame.length / BYTES_PER_UPDATE;
                self.updates = self.updates.saturating_add(earned).min(MAX_UPDATES);
            }
            PING if frame.flags & ACK == 0 => self.pings = self.pings.saturating_add(1),
            RST_STREAM => {
                self.finish(frame.stream);
                if is_clients_fault(frame.code) {
                    self.charge(Surplus::Resets, now);
                }
            }
            _ => {}
        }
        if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 && self.finish(frame.stream).is_some()
        {
            self.frames.give(FRAMES_PER_ANSWER);
            self.resets.give(1);
        }
    }

    /// A stream has ended; says when it began if it was unfinished until now.
    fn finish(&mut self, stream: u32) -> Option<Instant> {
        let at = self.live.iter().position(|(live, _)| *live == stream)?;
        Some(self.live.swap_remove(at).1)
    }

    fn carried(&mut self, length: u32) {
        // A frame is shorter than 16 MiB: this does not overflow.
        let bytes = self.bytes + length;
        self.frames.give(bytes / BYTES_PER_FRAME);
        self.bytes = bytes % BYTES_PER_FRAME;
    }

    fn charge(&mut self, what: Surplus, now: Instant) {
        let budget = match what {
            Surplus::Frames => &mut self.frames,
            Surplus::Resets => &mut self.resets,
            Surplus::NoSettings | Surplus::Dripped => return,
        };
        if !budget.take(now) {
            self.surplus.get_or_insert(what);
        }
    }
}

/// Error codes (RFC 9113 §7) with which the h2 crate resets a stream because of what the client did:
/// PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM. The others
/// tell of the homeserver or of this program.
fn is_clients_fault(code: u32) -> bool {
    matches!(code, 1 | 3 | 5 | 6 | 7)
}

/// A number that is used up. Time brings it back to where it began, and work to more.
#[derive(Debug, PartialEq, Eq)]
struct Budget {
    left: u32,
    first: u32,
    most: u32,
    every: Duration,
    since: Instant,
}

impl Budget {
    fn new(first: u32, most: u32, every: Duration, now: Instant) -> Self {
        Self { left: first, first, most, every, since: now }
    }

    fn give(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.most);
    }

    fn take(&mut self, now: Instant) -> bool {
        let steps = now.saturating_duration_since(self.since).as_nanos() / self.every.as_nanos();
        let grown = match u32::try_from(steps) {
            Ok(steps) if steps < self.first => {
                self.since += self.every * steps;
                self.left.saturating_add(steps).min(self.first)
            }
            _ => {
                self.since = now;
                self.first
            }
        };
        let left = self.left.max(grown);
        self.left = left.saturating_sub(1);
        left > 0
    }
}

/// What a frame's head says.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    length: u32,
    /// The error code of a RST_STREAM; 0 for all others.
    code: u32,
}

/// The frames of one direction.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frames {
    head: [u8; HEAD_AND_CODE],
    filled: usize,
    /// What is left of the payload.
    payload: u32,
}

impl Frames {
    fn at_boundary(&self) -> bool {
        self.filled == 0 && self.payload == 0
    }

    /// Whether these bytes are more than what is left of the frame whose payload is under way.
    fn ends_within(&self, bytes: &[u8]) -> bool {
        self.filled == 0 && usize::try_from(self.payload).is_ok_and(|left| left < bytes.len())
    }

    /// The type of the frame whose payload is under way.
    fn within(&self) -> Option<u8> {
        let [_, _, _, kind, ..] = self.head;
        (self.payload > 0).then_some(kind)
    }

    /// The next frame that begins in `bytes`, which are used up to its payload.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let mut wanted = if self.filled < HEAD { HEAD } else { HEAD_AND_CODE };
        loop {
            let skipped = bytes.len().min(usize::try_from(self.payload).unwrap_or(usize::MAX));
            self.payload -= u32::try_from(skipped).unwrap_or(self.payload);
            *bytes = bytes.get(skipped..).unwrap_or_default();
            let slots = self.head.iter_mut().take(wanted).skip(self.filled);
            let taken = slots.zip(*bytes).map(|(slot, byte)| *slot = *byte).count();
            self.filled += taken;
            *bytes = bytes.get(taken..).unwrap_or_default();
            if self.filled < wanted {
                return None;
            }
            let [l0, l1, l2, kind, flags, s0, s1, s2, s3, c0, c1, c2, c3] = self.head;
            let length = u32::from_be_bytes([0, l0, l1, l2]);
            if kind == RST_STREAM && length == 4 && wanted == HEAD {
                wanted = HEAD_AND_CODE;
                continue;
            }
            self.filled = 0;
            let code = if wanted == HEAD { 0 } else { u32::from_be_bytes([c0, c1, c2, c3]) };
            self.payload = if wanted == HEAD { length } else { 0 };
            // The highest bit is reserved.
            let stream = u32::from_be_bytes([s0, s1, s2, s3]) & (u32::MAX >> 1);
            return Some(Frame { kind, flags, stream, length, code });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PRIORITY: u8 = 2;
    const GOAWAY: u8 = 7;
    const CONTINUATION: u8 = 9;
    const PRIORITY_UPDATE: u8 = 16;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    }

    /// A connection whose preface has come.
    fn meter(now: Instant) -> Meter {
        let mut meter = Meter::new(now);
        meter.incoming(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now);
        meter.incoming(&frame(SETTINGS, 0, 0, &[]), now);
        meter
    }

    /// How many of a frame pass at one moment.
    fn how_many(meter: &mut Meter, bytes: &[u8], now: Instant) -> usize {
        (0..5000)
            .find(|_| {
                meter.incoming(bytes, now);
                meter.surplus().is_some()
            })
            .unwrap_or(usize::MAX)
    }

    #[test]
    fn settings_come_first() {
        let now = Instant::now();
        for (first, good) in [
            (frame(SETTINGS, 0, 0, &[]), true),
            (frame(SETTINGS, ACK, 0, &[]), false),
            (frame(HEADERS, END_STREAM, 1, &[]), false),
            (frame(PING, 0, 0, &[0; 8]), false),
        ] {
            let mut meter = Meter::new(now);
            meter.incoming(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now);
            meter.incoming(&first, now);
            assert_eq!(meter.surplus(), (!good).then_some(Surplus::NoSettings), "{first:?}");
        }
    }

    /// Since when the end of something is owed, as the seconds of a clock that ticks with each byte.
    fn owed_after(bytes: &[u8]) -> Vec<Option<u64>> {
        let start = Instant::now();
        let mut meter = meter(start);
        let mut owed = Vec::new();
        for (tick, byte) in (1..).zip(bytes) {
            meter.incoming(&[*byte], start + Duration::from_secs(tick));
            owed.push(meter.unfinished().map(|since| (since - start).as_secs()));
        }
        owed
    }

    #[test]
    fn the_end_of_what_was_begun_is_owed() {
        let ping = owed_after(&frame(PING, 0, 0, &[0; 8]).repeat(2));
        assert_eq!(ping, [vec![Some(1); 16], vec![None], vec![Some(18); 16], vec![None]].concat());
        let data = owed_after(&frame(DATA, 0, 1, &[0; 3]));
        assert_eq!(data, [vec![Some(1); 8], vec![None; 4]].concat(), "a body has a pace of its own");
        // A header block ends with END_HEADERS, however many frames it has.
        let open = [frame(HEADERS, 0, 1, b"a"), frame(CONTINUATION, 0, 1, b"b")].concat();
        assert_eq!(owed_after(&open), vec![Some(1); 20]);
        let ended = owed_after(&[open, frame(CONTINUATION, END_HEADERS, 1, b"c"), frame(PING, 0, 0, &[])].concat());
        assert_eq!(ended, [vec![Some(1); 29], vec![None], vec![Some(31); 8], vec![None]].concat());
    }

    #[test]
    fn answers_are_told_from_other_frames() {
        let now = Instant::now();
        let mut meter = meter(now);
        let mut told = |bytes: &[u8]| meter.outgoing(bytes, now);
        assert!(!told(&frame(PING, ACK, 0, &[0; 8])));
        assert!(!told(&frame(SETTINGS, ACK, 0, &[])));
        let data = frame(DATA, 0, 1, &[0; 3]);
        assert!(told(&data[..10]), "the head of one and a byte");
        assert!(told(&data[10..]));
        assert!(!told(&[]));
        assert!(told(&[frame(PING, ACK, 0, &[0; 8]), frame(HEADERS, 4, 1, b"x")].concat()));
    }

    #[test]
    fn what_is_no_work_is_counted() {
        for (kind, flags, stream, payload) in [
            (PING, 0, 0, [0; 8].as_slice()),
            (PING, ACK, 0, &[0; 8]),
            (SETTINGS, 0, 0, &[]),
            (SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]),
            (PRIORITY, 0, 1, &[0; 5]),
            (PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=1"),
            (WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            (RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            (DATA, 0, 1, &[]),
            (CONTINUATION, 0, 1, &[]),
            (GOAWAY, 0, 0, &[0; 8]),
            (0xfa, 0, 0, b"greetings"),
        ] {
            let now = Instant::now();
            // The SETTINGS of the preface were the first.
            let passed = how_many(&mut meter(now), &frame(kind, flags, stream, payload), now);
            assert_eq!(passed, 799, "type {kind}, flags {flags}");
        }
        for (kind, flags, stream) in [(SETTINGS, ACK, 0), (DATA, END_STREAM, 1)] {
            let now = Instant::now();
            assert_eq!(how_many(&mut meter(now), &frame(kind, flags, stream, &[]), now), usize::MAX, "type {kind}");
        }
    }

    #[test]
    fn who_rests_may_ping_for_ever() {
        let mut now = Instant::now();
        let mut meter = meter(now);
        for _ in 0..100_000 {
            now += Duration::from_secs(2);
            meter.incoming(&frame(PING, 0, 0, &[0; 8]), now);
        }
        assert_eq!(meter.surplus(), None);
        assert_eq!(how_many(&mut meter, &frame(PING, 0, 0, &[0; 8]), now), 799, "nothing more is saved up");
    }

    #[test]
    fn answers_to_our_pings_are_free() {
        let now = Instant::now();
        let mut meter = meter(now);
        for _ in 0..5000 {
            meter.outgoing(&frame(PING, 0, 0, &[0; 8]), now);
            meter.incoming(&frame(PING, ACK, 0, &[0; 8]), now);
        }
        assert_eq!(meter.surplus(), None);
    }

    #[test]
    fn a_download_pays_for_its_windows() {
        let now = Instant::now();
        // The smallest window there is, and 4 KiB steps of a large one that are reported at the end.
        for (size, times, updates) in [(1, 100_000, 2), (16 * 1024, 1000, 10)] {
            let mut meter = meter(now);
            for _ in 0..times {
                meter.outgoing(&frame(DATA, 0, 1, &vec![0; size]), now);
                for _ in 0..updates {
                    meter.incoming(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), now);
                }
            }
            assert_eq!(meter.surplus(), None, "{size}");
        }
        let mut meter = meter(now);
        for _ in 0..1000 {
            meter.outgoing(&frame(DATA, 0, 1, &[0; 16 * 1024]), now);
        }
        for _ in 0..10_000 {
            meter.incoming(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 16, 0]), now);
        }
        assert_eq!(meter.surplus(), None);
    }

    #[test]
    fn requests_pay_for_what_comes_with_them() {
        let now = Instant::now();
        let mut meter = meter(now);
        for stream in (1..100_000).step_by(2) {
            meter.incoming(&frame(HEADERS, 5, stream, b"x"), now);
            meter.incoming(&frame(WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]), now);
            meter.incoming(&frame(PRIORITY_UPDATE, 0, 0, &[0; 7]), now);
            meter.outgoing(&frame(HEADERS, 5, stream, b"x"), now);
            // Late, as clients do that have what they wanted.
            meter.incoming(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]), now);
        }
        assert_eq!(meter.surplus(), None);
        assert_eq!(meter.highest(), 99_999);
    }

    /// Opens streams and ends each with these frames; says how many passed at one moment.
    fn opened(meter: &mut Meter, now: Instant, received: Option<u32>, sent: Option<u32>) -> usize {
        let reset = |stream, code: u32| frame(RST_STREAM, 0, stream, &code.to_be_bytes());
        let from = meter.highest() + 1 + meter.highest() % 2;
        let streams = (from..from + 4000).step_by(2);
        streams
            .into_iter()
            .position(|stream| {
                meter.incoming(&frame(HEADERS, 5, stream, b"x"), now);
                if let Some(code) = received {
                    meter.incoming(&reset(stream, code), now);
                }
                if let Some(code) = sent {
                    meter.outgoing(&reset(stream, code), now);
                }
                meter.surplus().is_some()
            })
            .unwrap_or(usize::MAX)
    }

    #[test]
    fn requests_that_come_to_nothing_are_counted() {
        let now = Instant::now();
        assert_eq!(opened(&mut meter(now), now, Some(8), None), 80, "rapid reset");
        for code in [1, 3, 5, 6, 7] {
            assert_eq!(opened(&mut meter(now), now, None, Some(code)), 80, "made us reset with {code}");
        }
        for code in [0, 2, 8] {
            assert_eq!(opened(&mut meter(now), now, None, Some(code)), usize::MAX, "our fault: {code}");
        }
        assert_eq!(opened(&mut meter(now), now, None, None), 256 + 80, "never answered");
        let mut meter = meter(now);
        assert_eq!(opened(&mut meter, now, Some(8), None), 80);
        assert_eq!(meter.surplus(), Some(Surplus::Resets));
    }

    #[test]
    fn who_has_waited_may_give_up_everything() {
        let now = Instant::now();
        let mut meter = meter(now);
        for stream in (1..200).step_by(2) {
            meter.incoming(&frame(HEADERS, 5, stream, b"x"), now);
        }
        for stream in (1..200).step_by(2) {
            meter.incoming(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]), now + RAPID);
        }
        assert_eq!(meter.surplus(), None, "a page was left while a homeserver was slow");
    }

    #[test]
    fn who_has_been_answered_may_give_up_more() {
        let mut now = Instant::now();
        let mut meter = meter(now);
        for stream in (1..6000).step_by(2) {
            meter.incoming(&frame(HEADERS, 5, stream, b"x"), now);
            meter.outgoing(&frame(HEADERS, 5, stream, b"x"), now);
        }
        now += Duration::from_secs(3600);
        assert_eq!(opened(&mut meter, now, Some(8), None), 1000);
    }

    #[test]
    fn half_of_many_requests_may_be_given_up() {
        let now = Instant::now();
        let mut meter = meter(now);
        for stream in (1..20_000).step_by(4) {
            meter.incoming(&frame(HEADERS, 5, stream, b"x"), now);
            meter.incoming(&frame(HEADERS, 5, stream + 2, b"x"), now);
            meter.incoming(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]), now);
            meter.outgoing(&frame(HEADERS, 4, stream + 2, b"x"), now);
            meter.outgoing(&frame(DATA, END_STREAM, stream + 2, b"x"), now);
        }
        assert_eq!(meter.surplus(), None);
    }

    #[test]
    fn a_boundary_is_between_frames() {
        let now = Instant::now();
        let mut meter = Meter::new(now);
        let bytes = [frame(HEADERS, 4, 1, b"abc"), frame(RST_STREAM, 0, 1, &[0, 0, 0, 2]), frame(DATA, 0, 1, &[])];
        let ends: Vec<_> = bytes
            .iter()
            .map(Vec::len)
            .scan(0, |sum, length| {
                *sum += length;
                Some(*sum)
            })
            .collect();
        for (at, byte) in bytes.concat().iter().enumerate() {
            meter.outgoing(&[*byte], now);
            assert_eq!(meter.at_boundary(), ends.contains(&(at + 1)), "after {}", at + 1);
        }
    }

    proptest! {
        #[test]
        fn splits_make_no_difference(
            frames in prop::collection::vec((0_u8..18, any::<u8>(), 0_u32..20, 0_usize..40), 0..60),
            noise in prop::collection::vec(any::<u8>(), 0..40),
            cuts in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let now = Instant::now();
            let frames = frames.iter().map(|(kind, flags, stream, length)| frame(*kind, *flags, *stream, &vec![1; *length]));
            let bytes = [frames.collect::<Vec<_>>().concat(), noise].concat();
            let mut whole = meter(now);
            whole.incoming(&bytes, now);
            whole.outgoing(&bytes, now);
            let mut split = meter(now);
            let mut cuts = cuts.iter().cycle();
            for incoming in [true, false] {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                    if incoming {
                        split.incoming(piece, now);
                    } else {
                        split.outgoing(piece, now);
                    }
                    rest = after;
                }
            }
            prop_assert_eq!(whole, split);
        }
    }
}
