//! When certificates are renewed: the CA's windows, and its haste.

use crate::support::faulty_ca::{CertificateRecord, DAY, Fault, FaultyCa, Kind, Matcher, Renewal};

use super::directed::{issued, live};
use super::time::{HOUR, MINUTE};
use super::world::Set;

const LIFETIMES: [i64; 3] = [90 * DAY, 45 * DAY, 6 * DAY];

fn of_lifetime(seed: u64, lifetime: i64) -> Set {
    let settings = FaultyCa::settings().seed(seed).enforce_limits().profiles(&[("classic", lifetime)]);
    Set { cas: vec![settings], ..Set::new(seed) }
}

/// Around two thirds of the lifetime, or half of it below ten days: what the CA suggests.
fn window(of: &CertificateRecord) -> (i64, i64) {
    let lifetime = of.not_after - of.not_before + 1;
    let ideal = of.not_after + 1 - if lifetime < 10 * DAY { lifetime / 2 } else { lifetime / 3 };
    (ideal - lifetime / 100, ideal + lifetime / 100)
}

#[test]
fn each_renewal_falls_into_its_window_and_is_exempt() {
    for (seed, lifetime) in LIFETIMES.into_iter().enumerate() {
        live(async {
            let mut world = issued(of_lifetime(seed as u64, lifetime)).await;
            world.pass(10 * lifetime).await;
            let records = world.records(0);
            assert!(records.orders.len() >= 14, "{} orders in ten lifetimes", records.orders.len());
            assert_eq!(records.orders.len(), records.certificates.len());
            for (order, replaced) in records.orders.iter().skip(1).zip(&records.certificates) {
                let (start, end) = window(replaced);
                assert!((start..end).contains(&order.at), "{} s after {start}, before {end}", order.at - start);
                assert!(order.exempt && order.replaces.as_ref() == Some(&replaced.ari_id));
            }
            world.insist_on_manners();
        });
    }
}

#[test]
fn a_revoked_certificate_is_replaced_when_the_ca_is_heard_next() {
    for (seed, lifetime) in LIFETIMES.into_iter().enumerate() {
        live(async {
            let mut world = issued(of_lifetime(seed as u64, lifetime)).await;
            world.pass(lifetime / 4).await;
            let old = world.served().expect("a certificate");
            let now = world.time.now();
            world.cas[0].revoke_all(now);
            world.oracles.borrow_mut()[0].revoked(0, now);
            // The CA asks to be asked every six hours.
            let took = world.wait(6 * HOUR + 5 * MINUTE, "another certificate", |world| {
                world.served().is_some_and(|served| served.id() != old.id())
            });
            took.await;
            assert_eq!(world.last_order(0).replaces.as_deref(), Some(old.id()));
            // The new one is not revoked, and stays.
            world.pass(lifetime / 4).await;
            assert_eq!(world.orders(0).len(), 2);
            world.insist_on_manners();
        });
    }
}

#[test]
fn a_ca_that_calls_every_certificate_revoked_is_not_obeyed_in_a_loop() {
    live(async {
        let mut set = of_lifetime(5, 90 * DAY);
        set.judged = false;
        let mut world = issued(set).await;
        let now = world.time.now();
        for day in 0..28 {
            // The window moves, so that it is another demand each time.
            let start = now + day * DAY - 2 * HOUR;
            world.cas[0].every_renewal(Renewal::Window { start, end: start + HOUR, explanation: None });
            world.pass(DAY).await;
        }
        let orders = world.orders(0).len();
        assert!((3..=17).contains(&orders), "{orders} orders in four weeks");
        world.insist_on_manners();
    });
}

#[test]
fn a_year_of_refused_nonces() {
    live(async {
        let mut world = issued(of_lifetime(6, 90 * DAY)).await;
        world.cas[0].fault(Matcher::any().percent(30), Fault::BadNonce);
        world.pass(365 * DAY).await;
        let records = world.records(0);
        assert_eq!((records.orders.len(), records.certificates.len(), records.failures.len()), (7, 7, 0));
        assert!(records.count(Kind::NewOrder) >= 7, "some of them twice");
        world.insist_on_manners();
    });
}
