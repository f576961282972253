//! A second CA.

use crate::support::faulty_ca::{DAY, FaultyCa};

use super::directed::{issued, live};
use super::time::{BEGIN, HOUR, MINUTE};
use super::troubles::Cause;
use super::world::{Set, World};

fn two(seed: u64) -> Set {
    let settings = |number: u64| FaultyCa::settings().seed(seed + number).enforce_limits();
    Set { cas: vec![settings(0), settings(100)], ..Set::new(seed) }
}

#[test]
fn a_missing_certificate_comes_from_the_second_at_once() {
    live(async {
        let mut world = World::new(two(1));
        world.cas[0].outage(BEGIN, BEGIN + 40 * DAY);
        world.restart().await;
        world.wait(5 * MINUTE, "a certificate", |world| world.served().is_some()).await;
        assert_eq!(world.served().expect("one").ca(), 1);
        world.until(BEGIN + 80 * DAY).await;
        assert_eq!(world.served().expect("one").ca(), 0, "the renewal is the first one's again");
        world.insist_on_manners();
    });
}

#[test]
fn a_renewal_goes_to_the_second_below_a_sixth_and_returns() {
    live(async {
        let mut world = issued(two(2)).await;
        world.cas[0].outage(BEGIN + 55 * DAY, BEGIN + 95 * DAY);
        world.troubles.add(BEGIN + 55 * DAY, BEGIN + 95 * DAY, Cause::Outage(0));
        let sixth = world.served().expect("one").not_after() - 15 * DAY;
        world.until(sixth - HOUR).await;
        assert_eq!(world.orders(1).len(), 0, "not before");
        world.wait(2 * HOUR, "one of the second", |world| world.served().is_some_and(|served| served.ca() == 1)).await;
        world.until(BEGIN + 150 * DAY).await;
        assert_eq!(world.served().expect("one").ca(), 0, "and back");
        assert_eq!((world.orders(0).len(), world.orders(1).len()), (2, 1));
        world.insist_on_manners();
    });
}

/// The second CA's time is known, the first one's is not, and this machine's is far behind: the failures at the first are
/// no older than they are.
#[test]
fn a_ca_whose_time_was_never_heard_is_left_in_peace() {
    live(async {
        let mut world = World::new(two(3));
        world.cas[0].outage(BEGIN, BEGIN + 100 * DAY);
        world.troubles.add(BEGIN, BEGIN + 100 * DAY, Cause::Outage(0));
        world.restart().await;
        world.until(BEGIN + 50 * DAY).await;
        world.time.set_error(-60 * DAY);
        world.restart().await;
        world.until(BEGIN + 64 * DAY).await;
        world.insist_on_manners();
        // It is due from the 60th day on, or a little before.
        let asked = world.cas[0].records().requests.iter().filter(|request| request.at > BEGIN + 50 * DAY).count();
        assert!((1..1_000).contains(&asked), "{asked} requests");
    });
}
