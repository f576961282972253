//! How many different servers have been answered lately, estimated.
//!
//! A HyperLogLog (Flajolet and others, 2007) remembers no name: a server's hash picks one of 1,024
//! registers, and what is kept there is the longest run of zeros that a hash has shown. That is 1 KiB
//! for any number of servers, with a standard error of 3.3 %; a few servers are counted exactly. As a
//! sketch only grows, time is cut into pieces with one sketch each, and what is asked for is the union
//! of the latest.
//!
//! Each worker has sketches of its own, one set for each homeserver, about 30 KiB. It is their only
//! writer: a request costs two loads, and a store where it is news. Whoever sums the workers takes the
//! greater of two registers, so a server that came through several of them counts once.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// Bits of a hash that pick the register.
const INDEX_BITS: u32 = 10;

/// Registers of a sketch.
const REGISTERS: usize = 1 << INDEX_BITS;

/// The pieces of the last hour: the running one and four whole ones, so what is called an hour is 60 to
/// 75 minutes.
const HOUR: Pieces = Pieces { seconds: 15 * 60, count: 5 };

/// The pieces of the last day, which is 24 to 25 hours.
const DAY: Pieces = Pieces { seconds: 60 * 60, count: 25 };

/// How a span of time is cut.
#[derive(Clone, Copy, Debug)]
struct Pieces {
    seconds: u64,
    count: usize,
}

/// Servers answered lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// In the last hour.
    pub hour: u64,
    /// In the last 24 hours.
    pub day: u64,
}

/// The sketches of all workers.
#[derive(Debug)]
pub struct Origins {
    began: Instant,
    /// Keyed at random: nobody can choose names that look like many.
    hasher: RandomState,
    /// By homeserver, one for each worker.
    sketches: Mutex<BTreeMap<String, Vec<Arc<Sketch>>>>,
}

/// What one worker has seen for one homeserver.
#[derive(Debug)]
pub struct Sketch {
    began: Instant,
    hour: Ring,
    day: Ring,
}

impl Origins {
    /// Nobody has been answered.
    #[expect(clippy::new_without_default, reason = "there is one per process; a default would invite a second")]
    pub fn new() -> Self {
        Self { began: Instant::now(), hasher: RandomState::new(), sketches: Mutex::default() }
    }

    /// What a worker is to note the callers of `server` in.
    pub fn sketch_of(&self, server: &str) -> Arc<Sketch> {
        let sketch = Arc::new(Sketch { began: self.began, hour: Ring::new(HOUR), day: Ring::new(DAY) });
        self.sketches().entry(server.to_owned()).or_default().push(Arc::clone(&sketch));
        sketch
    }

    /// What a sketch takes for a server name.
    pub fn hash(&self, origin: &str) -> u64 {
        self.hasher.hash_one(origin)
    }

    /// By homeserver, how many servers have been answered. Homeservers that nobody has asked are left
    /// out.
    pub fn answered(&self) -> BTreeMap<String, Answered> {
        let now = self.began.elapsed().as_secs();
        let over = |sketches: &[Arc<Sketch>], ring: fn(&Sketch) -> &Ring| {
            let mut union = [0; REGISTERS];
            sketches.iter().for_each(|sketch| ring(sketch).add_to(&mut union, now));
            estimate(&union)
        };
        let sketches = self.sketches();
        let answered = sketches.iter().map(|(server, sketches)| {
            let answered = Answered { hour: over(sketches, |s| &s.hour), day: over(sketches, |s| &s.day) };
            (server.clone(), answered)
        });
        answered.collect()
    }

    fn sketches(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Arc<Sketch>>>> {
        self.sketches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sketch {
    /// A server has been answered. For the sketch's own worker only: two writers would lose news.
    pub fn note(&self, hash: u64) {
        let now = self.began.elapsed().as_secs();
        self.hour.note(hash, now);
        self.day.note(hash, now);
    }
}

/// The latest pieces of a span, each with a sketch.
#[derive(Debug)]
struct Ring {
    pieces: Pieces,
    slots: Box<[Slot]>,
}

#[derive(Debug)]
struct Slot {
    /// The number of the piece that the registers are about, counted from 1; 0 is none.
    piece: AtomicU64,
    registers: [AtomicU8; REGISTERS],
}

impl Ring {
    fn new(pieces: Pieces) -> Self {
        let slot = || Slot { piece: AtomicU64::new(0), registers: [const { AtomicU8::new(0) }; REGISTERS] };
        Self { pieces, slots: (0..pieces.count).map(|_| slot()).collect() }
    }

    fn piece(&self, now: u64) -> u64 {
        now / self.pieces.seconds + 1
    }

    fn note(&self, hash: u64, now: u64) {
        let piece = self.piece(now);
        let place = usize::try_from(piece).unwrap_or(0) % self.pieces.count;
        let Some(slot) = self.slots.get(place) else { return };
        if slot.piece.load(Ordering::Relaxed) != piece {
            // A reader in this moment may miss a piece: it is an estimate, and asked for again.
            slot.piece.store(0, Ordering::Release);
            slot.registers.iter().for_each(|register| register.store(0, Ordering::Relaxed));
            slot.piece.store(piece, Ordering::Release);
        }
        let (index, rank) = place_of(hash);
        if let Some(register) = slot.registers.get(index)
            && register.load(Ordering::Relaxed) < rank
        {
            register.store(rank, Ordering::Relaxed);
        }
    }

    /// Adds the pieces that are not over.
    fn add_to(&self, union: &mut [u8; REGISTERS], now: u64) {
        let newest = self.piece(now);
        let count = u64::try_from(self.pieces.count).unwrap_or(u64::MAX);
        for slot in &self.slots {
            let piece = slot.piece.load(Ordering::Acquire);
            if piece == 0 || newest.saturating_sub(piece) >= count {
                continue;
            }
            for (sum, register) in union.iter_mut().zip(&slot.registers) {
                *sum = (*sum).max(register.load(Ordering::Relaxed));
            }
        }
    }
}

/// The register of a hash, and one more than the zeros at the end of what is left of it.
fn place_of(hash: u64) -> (usize, u8) {
    let index = usize::try_from(hash % (1 << INDEX_BITS)).unwrap_or(0);
    let zeros = (hash >> INDEX_BITS | 1 << (u64::BITS - INDEX_BITS)).trailing_zeros();
    (index, u8::try_from(zeros + 1).unwrap_or(u8::MAX))
}

/// How many different hashes have been noted.
#[expect(clippy::cast_precision_loss, reason = "1024, exactly")]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^53")]
fn estimate(registers: &[u8; REGISTERS]) -> u64 {
    let m = REGISTERS as f64;
    let sum: f64 = registers.iter().map(|rank| 0.5_f64.powi(i32::from(*rank))).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / sum;
    let empty = registers.iter().filter(|rank| **rank == 0).count();
    // Few leave registers empty, and counting those is more exact (the authors' own correction).
    let few = raw <= 2.5 * m && empty > 0;
    let estimate = if few { m * (m / empty as f64).ln() } else { raw };
    estimate.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(number: u32) -> String {
        format!("server{number}.example")
    }

    #[tokio::test(start_paused = true)]
    async fn estimates_are_near() {
        let origins = Origins::new();
        let (one, other) = (origins.sketch_of("a.example"), origins.sketch_of("a.example"));
        let mut next = 0;
        for (count, within) in [(0, 0), (1, 0), (3, 0), (30, 2), (1_000, 120), (3_000, 360), (20_000, 2_400)] {
            while next < count {
                // Each comes through both workers, and twice.
                for sketch in [&one, &other, &one] {
                    sketch.note(origins.hash(&name(next)));
                }
                next += 1;
            }
            let Answered { hour, day } = origins.answered()["a.example"];
            assert!(hour == day && hour.abs_diff(u64::from(count)) <= within, "{hour} for {count}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_forgotten() {
        let origins = Origins::new();
        let sketch = origins.sketch_of("a.example");
        let seen = || {
            let Answered { hour, day } = origins.answered()["a.example"];
            (hour, day)
        };
        let pass = |minutes: u64| tokio::time::advance(Duration::from_secs(minutes * 60));
        sketch.note(origins.hash("x.example"));
        assert_eq!(seen(), (1, 1));
        pass(60).await;
        sketch.note(origins.hash("y.example"));
        assert_eq!(seen(), (2, 2), "an hour is never less than that");
        pass(20).await;
        assert_eq!(seen(), (1, 2));
        pass(23 * 60).await;
        assert_eq!(seen(), (0, 2));
        pass(2 * 60).await;
        assert_eq!(seen(), (0, 0));
        // A slot is used again.
        sketch.note(origins.hash("z.example"));
        assert_eq!(seen(), (1, 1));
        assert!(!origins.answered().contains_key("b.example"));
    }

    #[test]
    fn hashes_have_places() {
        assert_eq!(place_of(0), (0, 55));
        assert_eq!(place_of(0b11 << 10 | 5), (5, 1));
        assert_eq!(place_of(0b100 << 10 | 1023), (1023, 3));
        assert_eq!(place_of(u64::MAX), (1023, 1));
    }
}
