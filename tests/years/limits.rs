//! What CAs ask for: to wait, to come seldom, and not all at once.

use crate::support::faulty_ca::{DAY, Fault, FaultyCa, Kind, Matcher, Problem, Records, RetryAfter};

use super::directed::{issued, live};
use super::disk::Trouble;
use super::time::{BEGIN, HOUR, MINUTE};
use super::world::{Set, World};

fn strict(seed: u64) -> Set {
    Set { cas: vec![FaultyCa::settings().seed(seed).enforce_limits()], ..Set::new(seed) }
}

#[test]
fn a_retry_after_is_kept_to_the_second_in_every_form() {
    const WAIT: i64 = 7_777;
    let forms =
        [RetryAfter::Seconds(WAIT), RetryAfter::Date(WAIT), RetryAfter::Detail(WAIT), RetryAfter::DetailZulu(WAIT)];
    for form in forms {
        live(async {
            let mut world = World::new(strict(1));
            world.cas[0]
                .fault(Matcher::of(Kind::NewOrder).times(1), Fault::Problem(Problem::rate_limited(form.clone())));
            world.restart().await;
            world.pass(DAY).await;
            let records = world.records(0);
            let refused = records.requests.iter().find(|request| request.status == Some(429)).expect("a refusal");
            let late = records.orders[0].at - refused.at - WAIT;
            assert!((0..=10).contains(&late), "{late} s after {form:?}");
            world.insist_on_manners();
        });
    }
}

#[test]
fn a_paused_name_is_ordered_once_a_day_at_most() {
    live(async {
        let mut world = World::new(strict(2));
        let end = BEGIN + 10 * DAY;
        world.cas[0].fault(Matcher::of(Kind::NewOrder).between(0, end), Fault::Problem(Problem::paused("a.test")));
        world.restart().await;
        world.until(end).await;
        let asked = world.records(0).count(Kind::NewOrder);
        assert!((9..=11).contains(&asked), "{asked} orders in ten days");
        world.wait(27 * HOUR, "a certificate after the pause", |world| world.served().is_some()).await;
        world.insist_on_manners();
    });
}

#[test]
fn a_crash_loop_while_validation_fails() {
    live(async {
        let mut world = World::new(strict(3));
        world.doors.shut(true, true);
        for _ in 0..200 {
            world.restart().await;
            world.pass(18).await;
        }
        let failures = world.records(0).failures.len();
        assert!((1..=4).contains(&failures), "{failures} failed authorisations of two names in an hour");
        assert!(world.orders(0).len() <= 4, "{} orders", world.orders(0).len());
        assert_eq!(world.records(0).accounts.len(), 1);
        world.doors.shut(false, false);
        world.wait(27 * HOUR, "a certificate after the loop", |world| world.served().is_some()).await;
        world.insist_on_manners();
    });
}

#[test]
fn a_state_directory_that_fails_at_the_start() {
    for (seed, trouble) in [(100, 100), (100, 0), (0, 100)].into_iter().enumerate() {
        live(async {
            let mut world = World::new(strict(seed as u64));
            let (loads, writes) = trouble;
            world.disk.trouble(Trouble { loads, writes });
            world.restart().await;
            world.pass(HOUR).await;
            let records = world.records(0);
            assert_eq!((records.orders.len(), records.accounts.len()), (0, 0), "{trouble:?}");
            let requests = records.requests.len();
            assert!(requests <= 130, "{requests} requests in an hour for nothing with {trouble:?}");
            world.disk.trouble(Trouble::default());
            world.wait(15 * MINUTE, "a certificate once the disk is mended", |world| world.served().is_some()).await;
            assert_eq!(world.records(0).accounts.len(), 1);
            world.insist_on_manners();
        });
    }
}

/// The most orders that were under way at one time.
fn together(records: &Records) -> usize {
    let end = |number: usize| records.certificates.iter().find(|record| record.order == number).map(|record| record.at);
    let spans: Vec<_> = records.orders.iter().filter_map(|order| Some((order.at, end(order.number)?))).collect();
    let at = |moment: i64| spans.iter().filter(|(from, to)| (*from..*to).contains(&moment)).count();
    spans.iter().map(|(from, _)| at(*from)).max().unwrap_or_default()
}

fn all_served(world: &World) -> usize {
    world.oracles.borrow().iter().filter(|oracle| oracle.served().is_some()).count()
}

#[test]
fn fifty_names_at_once() {
    live(async {
        let names = (0..50).map(|number| vec![format!("a{number}.test")]).collect();
        let cas = vec![FaultyCa::settings().enforce_limits().validation_delay(10)];
        let mut world = World::new(Set { cas, names, ..Set::new(4) });
        world.restart().await;
        world.wait(HOUR, "fifty certificates", |world| all_served(world) == 50).await;
        let records = world.records(0);
        assert_eq!((records.orders.len(), records.accounts.len()), (50, 1));
        assert_eq!(together(&records), 4);
        world.insist_on_manners();
    });
}

#[test]
fn sixty_names_below_one_domain_take_a_week() {
    live(async {
        let names = (0..60).map(|number| vec![format!("a{number}.a.test")]).collect();
        let mut world = World::new(Set { names, ..strict(5) });
        world.restart().await;
        world.pass(HOUR).await;
        // What is under way when the limit is reached has passed the CA's gate.
        let served = all_served(&world);
        assert!((50..=53).contains(&served), "{served} certificates");
        let refused =
            |world: &World| world.records(0).requests.iter().filter(|request| request.status == Some(429)).count();
        assert_eq!(refused(&world), 60 - served, "once for each of the others");
        world.pass(6 * DAY).await;
        assert_eq!(refused(&world), 60 - served, "Retry-After was a week");
        world.wait(2 * DAY, "all sixty", |world| all_served(world) == 60).await;
        let breaches = world.records(0).breaches;
        assert!(breaches.is_empty(), "{breaches:#?}");
    });
}

#[test]
fn days_without_a_ca_are_patient() {
    live(async {
        let mut world = issued(strict(6)).await;
        world.troubles.add(BEGIN + 50 * DAY, BEGIN + 60 * DAY, super::troubles::Cause::Outage(0));
        world.cas[0].outage(BEGIN + 50 * DAY, BEGIN + 60 * DAY);
        world.until(BEGIN + 50 * DAY).await;
        let before = world.records(0).requests.len();
        world.until(BEGIN + 60 * DAY).await;
        let requests = world.records(0).requests.len() - before;
        assert!(requests <= 10 * 160, "{requests} requests in ten days to a CA that is away");
        world.insist_on_manners();
    });
}
