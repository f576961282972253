//! Orders that a kill leaves behind.

use crate::support::curl::Curl;
use crate::support::eventually::{eventually, settled};
use crate::support::faulty_ca::{Fault, Kind, Matcher, Renewal};
use crate::support::sandbox;
use crate::support::vestibule::Vestibule;

use std::time::Duration;

use super::{CERTIFICATE, HOSTS, LIMIT, NAMES, SOON, Scene, stop};

/// Waits until the CA has seen so many requests of a kind, and kills.
#[track_caller]
fn kill_after(scene: &Scene, vestibule: Vestibule, kind: Kind, count: usize) {
    eventually("requests at the CA", SOON, || match scene.ca().with_records(|records| records.count(kind)) {
        seen if seen >= count => Ok(()),
        seen => Err(format!("{seen} of {count} {kind:?}")),
    });
    drop(vestibule);
}

/// It counts already, so fetching it costs nothing: it must not wait for the week to be over.
#[test]
fn the_last_certificate_of_the_week_is_fetched_at_once() {
    const NAME: &str = "the_last_certificate_of_the_week_is_fetched_at_once";
    sandbox::run(module_path!(), NAME, &HOSTS, LIMIT, || {
        let scene = Scene::new();
        scene.demand_replacement();
        let vestibule = scene.start();
        eventually("two certificates", CERTIFICATE, || match scene.served() {
            Some(1) => Ok(()),
            other => Err(format!("{other:?} is served")),
        });
        // Of the third the CA says so for another reason, or it would be answered already.
        let past = scene.server.now() - 100_000;
        scene.ca().every_renewal(Renewal::Window { start: past, end: past + 1, explanation: None });
        let said = scene.renew_by_force().output().expect("it starts");
        assert!(said.status.success(), "{said:?}");
        scene.wait_for_record();
        scene.ca().fault(Matcher::of(Kind::Finalize).times(1), Fault::Stuck(Some(1)));
        let mut renew = scene.renew_by_force().spawn().expect("it starts");
        kill_after(&scene, vestibule, Kind::Finalize, 4);
        let _asked = renew.wait();
        let vestibule = scene.start();
        assert_eq!(scene.served(), Some(2));
        eventually("the fourth is served", SOON, || match scene.served() {
            Some(3) => Ok(()),
            other => Err(format!("{other:?} is served")),
        });
        stop(vestibule);
        assert_eq!(scene.count(), [1, 4, 4]);
        scene.assert_clean();
    });
}

/// Two validations that were cut short make the hour quiet, and an order that is kept has none before it any more.
#[test]
fn a_certificate_is_fetched_in_a_quiet_hour() {
    sandbox::run(module_path!(), "a_certificate_is_fetched_in_a_quiet_hour", &HOSTS, LIMIT, || {
        let scene = Scene::new();
        // The first order is placed and not written down: its answer never comes.
        scene.ca().fault(Matcher::of(Kind::NewOrder).times(1), Fault::Hang);
        kill_after(&scene, scene.start(), Kind::NewOrder, 1);
        scene.ca().fault(Matcher::of(Kind::Finalize).times(1), Fault::Stuck(Some(1)));
        let vestibule = scene.start();
        let mut renew = scene.renew_by_force().spawn().expect("it starts");
        kill_after(&scene, vestibule, Kind::Finalize, 1);
        let _asked = renew.wait();
        let vestibule = scene.start();
        vestibule.wait_for_certificate(NAMES[0], SOON);
        assert_eq!(scene.served(), Some(0));
        stop(vestibule);
        assert_eq!(scene.count(), [1, 1, 1]);
        scene.assert_clean();
    });
}

/// An order that the CA has given up meanwhile is no permission to place another at once.
#[test]
fn an_order_that_was_given_up_is_not_followed_by_another_at_once() {
    const NAME: &str = "an_order_that_was_given_up_is_not_followed_by_another_at_once";
    sandbox::run(module_path!(), NAME, &HOSTS, LIMIT, || {
        let scene = Scene::new();
        let config = scene.config().replace("[\"tls-alpn-01\"]", "[\"tls-alpn-01\", \"http-01\"]");
        // The CA validates when nobody is there.
        scene.ca().validation_delay(1);
        kill_after(&scene, Vestibule::start(&config), Kind::Challenge, 2);
        eventually("the failure", SOON, || {
            scene.server.pass(2);
            // It looks when somebody asks for anything.
            Curl::new().trust(&scene.server.endpoint_root()).send(&scene.server.directory()).expect_status(200);
            scene.ca().with_records(|records| (!records.failures.is_empty()).then_some(()).ok_or("none yet"))
        });
        let vestibule = Vestibule::start(&config);
        let orders = || scene.ca().with_records(|records| records.orders.len());
        let orders = settled("orders at the CA", Duration::from_secs(3), SOON, orders);
        assert_eq!(orders, 1, "another order within a minute of a failure");
        stop(vestibule);
    });
}
