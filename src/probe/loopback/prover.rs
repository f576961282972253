//! The proof at one address, from the first plain question to the one that finds out what is to blame.
//!
//! Where all is well it is four connections. Only where a request with everything in it does not
//! arrive is each of its parts sent by itself.

use super::arrival::Arrival;
use super::ask::{self, Attempt, Failure, ask};
use super::compare::{Sent, changes, ends};
use super::desk::Loopback;
use super::hop;
use super::question::{GO, MARKS, OWN_AGENT, QUERY, Question, SYNAPSE};
use super::seen::{Change, Ends, How, Idle, IdleEnd, Item, LoopSeen, Outcome};
use crate::clock::Clock;
use crate::matrix::Host;
use crate::net::admit::contains;
use crate::net::range::not_public;
use crate::probe::own::{OwnListeners, is_own};
use futures_util::stream::{self, StreamExt as _};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// As long as long polls are silent: clients ask for thirty seconds, peers give up after sixty.
const SILENCE: Duration = Duration::from_secs(60);

/// Parts that are tried by themselves at a time.
const PARALLEL: usize = 4;

/// A detail of so many bytes is told no further: it stands in a line of the log.
const LONGEST: usize = 240;

/// Results of idle minutes that are kept: sixteen addresses of sixteen names.
const KEPT: usize = 256;

/// Whom to ask for: what peers use for an address by the discovery step that applies.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The name for SNI and the certificate.
    pub name: &'a Host,
    /// The `Host` header.
    pub host_header: &'a str,
}

/// Asks this very process over its public addresses. Clones share their nonces and results.
#[derive(Clone, Debug)]
pub struct Prover {
    desk: Loopback,
    own: OwnListeners,
    trusted: Arc<[IpNet]>,
    clock: Clock,
    silence: Duration,
    idle: Arc<Mutex<BTreeMap<(String, SocketAddr), Idle>>>,
}

impl Prover {
    /// One whose requests arrive at `desk` through the `own` listeners, which believe the proxies in
    /// `trusted`.
    pub fn new(desk: Loopback, own: OwnListeners, trusted: &[IpNet], clock: Clock) -> Self {
        Self { desk, own, trusted: trusted.into(), clock, silence: SILENCE, idle: Arc::default() }
    }

    /// The same with a shorter idle minute.
    #[cfg(test)]
    pub(super) fn with_silence(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// Proves that requests reach this process unchanged over `address`, or finds out what happens to
    /// them. Takes a second where all is well, and fifteen at most.
    pub async fn prove(&self, place: &Place<'_>, address: SocketAddr) -> LoopSeen {
        let plain = self.ask(place, address, &Question::plain()).await;
        let idle = self.last_idle(place, address);
        let Some(arrival) = &plain.arrival else {
            return LoopSeen { idle, ..elsewhere(address, &plain, route_source(address)) };
        };
        let (whole, put, long) = (Question::whole(), Question::put(), Question::long());
        let (whole, put, long) = tokio::join!(
            self.part(place, address, &whole, Part::Whole),
            self.part(place, address, &put, Part::Put),
            self.part(place, address, &long, Part::Long),
        );
        let source = plain.source.unwrap_or(address.ip());
        let mut found = self.changes(&Question::plain(), &plain, place, arrival);
        let mut again = plain.again;
        let mut hop = hop_of(&plain);
        for part in [whole, put, long] {
            found.extend(part.changes);
            again |= part.again;
            hop = hop.or(part.hop);
        }
        // The same change in two requests is one.
        let mut once: Vec<Change> = Vec::new();
        for change in found {
            match once.iter_mut().find(|known| (known.item, known.how) == (change.item, change.how)) {
                None => once.push(change),
                Some(known) if known.detail.contains(&change.detail) || known.detail.len() >= LONGEST => {}
                Some(known) => {
                    known.detail.push_str("; ");
                    known.detail.push_str(&change.detail);
                }
            }
        }
        once.sort_by_key(|change| change.item);
        let ends = plain.shown.as_ref().map_or(Ends::Here, |shown| ends(shown, arrival));
        let outcome = Outcome::Ours { changes: once, ends, source, peer: arrival.peer, client: arrival.client };
        LoopSeen { address, outcome, hop, again, idle }
    }

    /// Asks something that is answered after a minute of silence, and keeps the result. `None` where
    /// the question did not arrive here, or the program stops meanwhile.
    pub async fn sit_through(&self, place: &Place<'_>, address: SocketAddr) -> Option<Idle> {
        let end = self.idle_end(place, address).await?;
        let idle = Idle { at: self.clock.now(), end };
        let mut kept = self.kept();
        let key = (place.name.to_string(), address);
        if kept.len() >= KEPT && !kept.contains_key(&key) {
            let oldest = kept.iter().min_by_key(|(_, idle)| idle.at).map(|(key, _)| key.clone());
            oldest.map(|key| kept.remove(&key));
        }
        kept.insert(key, idle.clone());
        drop(kept);
        Some(idle)
    }

    async fn idle_end(&self, place: &Place<'_>, address: SocketAddr) -> Option<IdleEnd> {
        let mut nonce = self.desk.open(self.silence)?;
        let path = nonce.path();
        let (_, stream) = ask::open(&self.own, place, address, path.clone()).await.ok()?;
        let started = Instant::now();
        let question = Question::plain();
        let asking = ask::answer(stream, &question, &path, place, self.silence);
        let (answer, arrived) = ask::watch(&mut nonce, asking).await;
        let after = started.elapsed();
        match answer {
            _ if !arrived => None,
            Ok(answer) if answer.status().is_success() => {
                // Sooner, it is this program that is stopping.
                (after >= self.silence).then_some(IdleEnd::Answered(after.as_secs()))
            }
            answer => {
                let attempt = Attempt { answer, ..Attempt::failed(path, Failure::Unasked("")) };
                Some(IdleEnd::Cut { after: after.as_secs(), with: attempt.instead() })
            }
        }
    }

    /// What the last idle minute over this address came to.
    fn last_idle(&self, place: &Place<'_>, address: SocketAddr) -> Option<Idle> {
        self.kept().get(&(place.name.to_string(), address)).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<(String, SocketAddr), Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(&self, place: &Place<'_>, address: SocketAddr, question: &Question) -> Attempt {
        ask(&self.desk, &self.own, place, address, question).await
    }

    fn changes(&self, question: &Question, attempt: &Attempt, place: &Place<'_>, arrival: &Arrival) -> Vec<Change> {
        let believed = attempt.source.is_some_and(|source| contains(&self.trusted, source));
        changes(&Sent { question, path: &attempt.path, host: place.host_header, believed }, arrival)
    }

    /// One of the larger questions. Where it does not arrive, its parts are asked by themselves.
    async fn part(&self, place: &Place<'_>, address: SocketAddr, question: &Question, part: Part) -> PartSeen {
        let attempt = self.ask(place, address, question).await;
        let (hop, again) = (hop_of(&attempt), attempt.again);
        if let Some(arrival) = &attempt.arrival {
            return PartSeen { changes: self.changes(question, &attempt, place, arrival), hop, again };
        }
        let tries = part.by_themselves().into_iter().map(|(item, what, question)| async move {
            let attempt = self.ask(place, address, &question).await;
            let refused = attempt.arrival.is_none();
            let altered = attempt.arrival.as_ref().map(|arrival| self.changes(&question, &attempt, place, arrival));
            (item, what, refused.then(|| attempt.instead()), altered.unwrap_or_default())
        });
        let tried: Vec<_> = stream::iter(tries.collect::<Vec<_>>()).buffered(PARALLEL).collect().await;
        let mut found: Vec<Change> = Vec::new();
        for item in tried.iter().map(|(item, ..)| *item).collect::<std::collections::BTreeSet<_>>() {
            let refused: Vec<_> =
                tried.iter().filter(|(other, _, refused, _)| *other == item && refused.is_some()).collect();
            let what: Vec<_> = refused.iter().map(|(_, what, ..)| *what).collect();
            if let Some((_, _, Some(with), _)) = refused.first() {
                found.push(Change {
                    item,
                    how: How::Refused,
                    detail: format!("{} is answered with {with}", what.join(" ")),
                });
            }
        }
        if found.is_empty() {
            // Each part passes and all of them together do not.
            let detail = format!("{} is answered with {}", part.whole(), attempt.instead());
            found.push(Change { item: part.item(), how: How::Refused, detail });
        }
        found.extend(tried.into_iter().flat_map(|(_, _, _, altered)| altered));
        PartSeen { changes: found, hop, again }
    }
}

/// What came of one of the larger questions.
struct PartSeen {
    changes: Vec<Change>,
    hop: Option<hop::Hop>,
    again: bool,
}

/// The larger questions.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Put,
    Long,
}

impl Part {
    fn item(self) -> Item {
        match self {
            Self::Whole => Item::Target,
            Self::Put => Item::Method,
            Self::Long => Item::Header,
        }
    }

    fn whole(self) -> &'static str {
        match self {
            Self::Whole => "a request with all marks in its path and two lines of Authorization",
            Self::Put => "PUT with a body",
            Self::Long => "a header line of 7 KiB",
        }
    }

    /// What it is made of.
    fn by_themselves(self) -> Vec<(Item, &'static str, Question)> {
        let plain = Question::plain;
        match self {
            Self::Whole => {
                let marks = MARKS.iter().map(|(mark, text)| (Item::Target, *mark, plain().at(text)));
                let rest = [
                    (Item::Target, "a query", plain().at(&format!("?{QUERY}"))),
                    (Item::Authorization, "one line of Authorization: X-Matrix", plain().signed(1)),
                    (Item::Authorizations, "two lines of Authorization: X-Matrix", plain().signed(2)),
                    (Item::Forwarding, "X-Forwarded-For from a client", plain().forged()),
                    (Item::Agent, SYNAPSE, plain().by(SYNAPSE)),
                ];
                marks.chain(rest).collect()
            }
            Self::Put => vec![
                (Item::Method, "PUT", plain().by(OWN_AGENT).putting()),
                (Item::Authorization, "one line of Authorization: X-Matrix", plain().signed(1)),
                (Item::Agent, GO, plain().by(GO)),
            ],
            Self::Long => Vec::new(),
        }
    }
}

fn hop_of(attempt: &Attempt) -> Option<hop::Hop> {
    let answer = attempt.answer.as_ref().ok();
    let page = answer.map(|answer| &**answer.body()).unwrap_or_default();
    hop::named(answer.map(|answer| answer.headers()), page, attempt.arrival.as_ref())
}

/// What an address is that does not lead here: pure but for the list of this machine's addresses.
fn elsewhere(address: SocketAddr, plain: &Attempt, source: Option<IpAddr>) -> LoopSeen {
    let nat = is_behind_nat(plain.source.or(source), address.ip());
    let why = match &plain.strange {
        Some(whose) => format!("{whose} is shown, and {}", plain.instead()),
        None => plain.instead(),
    };
    let hop = hop_of(plain);
    // A server that shows a certificate for the name is meant to be there. Anything else, seen from
    // behind NAT, may be the router itself.
    let meant = plain.shown.is_some() && plain.strange.is_none();
    match &plain.answer {
        Ok(_) if meant || !nat => {
            LoopSeen { hop, outcome: Outcome::Other(why), again: plain.again, ..LoopSeen::unknown(address, "", nat) }
        }
        _ => LoopSeen { hop, again: plain.again, ..LoopSeen::unknown(address, why, nat && !meant) },
    }
}

/// Whether connections from `source` to `target` leave a network whose addresses are its own affair
/// for an address of the Internet, which is not this machine's.
fn is_behind_nat(source: Option<IpAddr>, target: IpAddr) -> bool {
    source.is_some_and(|source| not_public(source).is_some()) && not_public(target).is_none() && !is_own(target)
}

/// The address that a connection to `target` would come from. Nothing is sent.
fn route_source(target: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match target {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(target).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
