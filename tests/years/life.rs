//! Five years of bad luck, drawn from a seed.

use crate::support::faulty_ca::{Fault, FaultyCa, Kind, Matcher, RetryAfter, Settings};

use super::disk::Trouble as DiskTrouble;
use super::random::Random;
use super::rim::Death;
use super::road::seems_valid;
use super::table::Row;
use super::time::{BEGIN, DAY, HOUR, MINUTE};
use super::troubles::Cause;
use super::world::{Set, World};

/// Five years.
const YEARS: i64 = 1826 * DAY;

/// The first certificate is there after an hour without troubles.
const QUIET: i64 = HOUR;

/// From which day on certificates live for how long: Let's Encrypt's way, and then its shortest.
const LIFETIMES: [(i64, i64); 4] = [(0, 90 * DAY), (550, 64 * DAY), (950, 45 * DAY), (1400, 6 * DAY)];

/// Half at random moments, half in the middle of an order.
pub const RESTARTS: i64 = 200;

/// Seconds after which a CA that was busy is to be asked again.
pub const NOISE_RETRY_AFTER: i64 = 120;

/// What happens at a moment.
#[derive(Clone, Copy, Debug)]
enum Event {
    Lifetime(i64),
    Restart,
    Death(Death),
    Clock(i64),
    Disk(DiskTrouble),
    Doors { http: bool, tls: bool },
    Revocation(usize),
}

/// All that happens, in order.
fn plan(world: &mut World, verifies: bool) -> Vec<(i64, Event)> {
    let random = Random::new(world.random.next());
    let end = BEGIN + YEARS;
    let moment = || random.between(BEGIN + QUIET, end);
    let mut events: Vec<_> = LIFETIMES.map(|(day, life)| (BEGIN + day * DAY, Event::Lifetime(life))).to_vec();
    for number in 0..world.cas.len() {
        for _ in 0..12 {
            let from = moment();
            let to = from + random.magnitude(10 * MINUTE, 10 * DAY + 1);
            world.cas[number].outage(from, to);
            world.troubles.add(from, to, Cause::Outage(number));
        }
    }
    // Several and the longest in the time when certificates live for six days.
    for _ in 0..2 {
        let from = random.between(BEGIN + 1410 * DAY, end - 12 * DAY);
        let to = from + random.between(5 * DAY, 10 * DAY + 1);
        world.cas[0].outage(from, to);
        world.troubles.add(from, to, Cause::Outage(0));
    }
    for number in 0..RESTARTS {
        let event = match number % 4 {
            0 | 1 => Event::Restart,
            2 => Event::Death(Death::InOrder(u32::try_from(random.between(0, 60)).expect("small"))),
            _ => Event::Death(Death::Soon(u32::try_from(random.between(0, 30)).expect("small"))),
        };
        // Most orders are placed while certificates live for six days.
        let at = match event {
            Event::Death(Death::InOrder(_)) if number % 8 != 2 => random.between(BEGIN + 1400 * DAY, end - 20 * DAY),
            _ => random.between(BEGIN + QUIET, end - 200 * DAY),
        };
        events.push((at, event));
    }
    let mut at = BEGIN + QUIET;
    loop {
        at += random.between(20 * DAY, 200 * DAY);
        let to = at + random.magnitude(10 * MINUTE, 10 * DAY);
        if to >= end {
            break;
        }
        let error = random.between(-60 * DAY, 60 * DAY + 1);
        events.extend([(at, Event::Clock(error)), (to, Event::Clock(0))]);
        // No CA can be reached while its own certificate seems expired or not yet valid.
        let lost = |at: &i64| verifies && !seems_valid(*at, error);
        for hour in (at..to).step_by(3_600).filter(lost) {
            world.troubles.add(hour, (hour + HOUR).min(to), Cause::Clock);
        }
        at = to;
    }
    for _ in 0..20 {
        let from = moment();
        let to = from + random.magnitude(MINUTE, 6 * HOUR);
        let share = || [0, 30, 100][usize::try_from(random.next() % 3).expect("small")];
        let trouble = DiskTrouble { loads: share(), writes: share() };
        events.extend([(from, Event::Disk(trouble)), (to, Event::Disk(DiskTrouble::default()))]);
        world.troubles.add(from, to, Cause::Disk);
    }
    for _ in 0..6 {
        let from = moment();
        let to = from + random.magnitude(10 * MINUTE, 12 * HOUR);
        let (http, tls) =
            [(true, false), (false, true), (true, true)][usize::try_from(random.next() % 3).expect("small")];
        events.extend([(from, Event::Doors { http, tls }), (to, Event::Doors { http: false, tls: false })]);
        world.troubles.add(from, to, Cause::Closed);
    }
    for _ in 0..2 {
        events.push((moment(), Event::Revocation(0)));
    }
    events.retain(|(at, _)| *at < end);
    events.sort_by_key(|(at, _)| *at);
    events
}

/// What every CA does now and then.
fn noise(ca: &FaultyCa) {
    let quiet = |kind: Option<Kind>| kind.map_or_else(Matcher::any, Matcher::of).between(BEGIN + QUIET, i64::MAX);
    ca.fault(quiet(None).percent(3), Fault::BadNonce);
    ca.fault(quiet(None).percent(1), Fault::Html { status: 503, retry_after: RetryAfter::Seconds(NOISE_RETRY_AFTER) });
    ca.fault(quiet(None).percent(1), Fault::Reset);
    ca.fault(quiet(None).percent(1), Fault::LostAnswer);
    ca.fault(quiet(None).percent(1), Fault::Hang);
}

/// Lives it. One CA for even seeds, two for odd ones.
pub async fn live(seed: u64) -> Row {
    let begun = std::time::Instant::now();
    let random = Random::new(seed);
    // Who cannot be told of a revocation cannot answer one.
    let without_renewal_info = seed % 5 == 4;
    let settings = |number: u64| -> Settings {
        let settings = FaultyCa::settings().seed(seed ^ number).enforce_limits().issuance_delay(random.between(0, 20));
        let settings = settings.validation_delay(random.between(0, 15));
        let settings = if random.percent(30) { settings.authorization_reuse(20 * DAY) } else { settings };
        if without_renewal_info { settings.without_renewal_info() } else { settings }
    };
    let cas: Vec<_> = (0..=seed % 2).map(|number| settings(number + 10)).collect();
    let verifies = random.percent(50);
    let mut world = World::new(Set { cas, verifies, ..Set::new(seed) });
    world.deaf = without_renewal_info;
    for ca in &world.cas {
        noise(ca);
    }
    let events = plan(&mut world, verifies);
    world.restart().await;
    for (at, event) in events {
        world.until(at).await;
        happen(&mut world, event).await;
    }
    world.until(BEGIN + YEARS).await;
    world.look();
    world.stop().await;
    Row::new(&world, seed, begun.elapsed())
}

async fn happen(world: &mut World, event: Event) {
    world.rim.note(format!("{event:?}"));
    match event {
        Event::Lifetime(seconds) => world.cas.iter().for_each(|ca| ca.lifetime(Some("classic"), seconds)),
        Event::Restart => world.restart().await,
        // Nobody dies twice at once.
        Event::Death(_) if world.rim.armed() => world.restart().await,
        Event::Death(death) => world.rim.arm(death),
        Event::Clock(error) => world.time.set_error(error),
        Event::Disk(trouble) => world.disk.trouble(trouble),
        Event::Doors { http, tls } => world.doors.shut(http, tls),
        Event::Revocation(_) if world.deaf => {}
        Event::Revocation(ca) => {
            let now = world.time.now();
            world.cas[ca].revoke_all(now);
            world.oracles.borrow_mut().iter_mut().for_each(|oracle| oracle.revoked(ca, now));
        }
    }
}

/// A life on a runtime of its own.
pub fn life(seed: u64) -> Row {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime.expect("a runtime"), live(seed))
}
