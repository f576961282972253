//! Clocks that are wrong.

use crate::support::faulty_ca::{DAY, DateHeader};

use super::directed::{Log, issued, live};
use super::time::{BEGIN, HOUR};
use super::world::{Set, World};

const ERROR: i64 = 60 * DAY;

#[test]
fn ahead_at_the_start_with_a_good_certificate() {
    live(async {
        let mut world = issued(Set::new(1)).await;
        let log = Log::listen();
        world.time.set_error(ERROR + 20 * DAY);
        world.restart().await;
        world.pass(5 * DAY).await;
        assert_eq!(world.orders(0).len(), 1, "nothing is ordered because of this clock");
        assert!(log.count("clock is ahead of the CA's") > 0, "and it is told");
        world.insist_on_manners();
    });
}

#[test]
fn ahead_at_the_start_while_the_ca_is_away() {
    live(async {
        let mut world = issued(Set::new(2)).await;
        let now = world.time.now();
        world.cas[0].outage(now, now + 2 * DAY);
        world.time.set_error(ERROR + 20 * DAY);
        world.restart().await;
        world.pass(4 * DAY).await;
        assert_eq!(world.orders(0).len(), 1, "the CA's time is heard before anything is ordered");
        world.insist_on_manners();
    });
}

#[test]
fn behind_at_the_start() {
    live(async {
        let mut world = issued(Set::new(3)).await;
        world.pass(50 * DAY).await;
        let log = Log::listen();
        world.time.set_error(-ERROR);
        world.restart().await;
        world.until(BEGIN + 65 * DAY).await;
        assert_eq!(world.orders(0).len(), 2, "renewed by the CA's clock");
        assert!(log.count("clock is behind the CA's") > 0);
        world.insist_on_manners();
    });
}

#[test]
fn the_first_certificate_with_a_wrong_clock() {
    for error in [-ERROR, ERROR, 400 * DAY] {
        live(async {
            let mut world = issued(Set { clock_error: error, ..Set::new(4) }).await;
            world.pass(70 * DAY).await;
            assert_eq!(world.orders(0).len(), 2, "and its renewal in time");
            world.time.set_error(0);
            world.pass(60 * DAY).await;
            assert_eq!(world.orders(0).len(), 3, "and once the clock is right");
            world.insist_on_manners();
        });
    }
}

#[test]
fn stepping_while_asleep() {
    live(async {
        let mut world = issued(Set::new(5)).await;
        for day in 1..200 {
            let error = [0, ERROR, -ERROR, HOUR, -HOUR, 3_000 * DAY, 240][day % 7];
            world.time.set_error(error);
            world.pass(DAY).await;
        }
        assert_eq!(world.orders(0).len(), 4, "after 60, 120 and 180 days");
        world.insist_on_manners();
    });
}

#[test]
fn a_ca_that_does_not_tell_the_time() {
    live(async {
        let mut world = World::new(Set::new(6));
        world.cas[0].date(DateHeader::Absent);
        world.restart().await;
        world.pass(200 * DAY).await;
        assert_eq!(world.orders(0).len(), 4);
        // Nobody can know now: each new one seems expired. Four a week are permitted, and no more.
        world.time.set_error(100 * DAY);
        world.pass(10 * DAY).await;
        let orders = world.orders(0).len();
        assert!(orders <= 4 + 8, "{orders} orders");
        world.time.set_error(0);
        world.pass(70 * DAY).await;
        world.insist_on_manners();
    });
}
