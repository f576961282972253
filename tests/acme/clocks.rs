//! A CA whose clock is not this machine's: certificates go by the CA's, and the difference is told.

use super::lab::{HTTP, Lab, PATIENCE, asks, assert_unsaid, made};
use super::{HOSTS, LIMIT, stop};
use crate::support::faulty_ca::{DateHeader, FaultyCa};
use crate::support::faulty_server::FaultyServer;
use crate::support::sandbox;

const HOUR: i64 = 3600;

#[test]
fn a_clock_that_is_ahead_is_told_and_orders_nothing() {
    sandbox::run(module_path!(), "a_clock_that_is_ahead_is_told_and_orders_nothing", &HOSTS, LIMIT, || {
        // Three hours of life, of which nearly two are over by this machine's clock and nearly one by the CA's.
        let settings = FaultyCa::settings().profiles(&[]).without_renewal_info().lifetime(3 * HOUR);
        let settings = settings.backdate(110 * 60).date(DateHeader::Skewed(-HOUR));
        let (server, lab) = (FaultyServer::settings(settings).start(), Lab::new());
        let acme = format!("{}{HTTP}", asks(&server));
        let mut vestibule = lab.issue(&acme);
        let alarm = vestibule.process().wait_for_line("this machine's clock is ahead of the CA's", PATIENCE);
        assert!(alarm.contains(" ERROR ") && alarm.contains("timedatectl set-ntp true"), "{alarm}");
        let seconds: i64 = super::field(&alarm, "seconds").parse().expect("a number");
        assert!((HOUR - 5..=HOUR + 5).contains(&seconds), "{alarm}");
        stop(vestibule);

        // Nobody has told it the time yet, and it asks before it orders.
        let mut vestibule = lab.start(&acme);
        vestibule.process().wait_for_line("this machine's clock is ahead of the CA's", PATIENCE);
        lab.assert_nothing_due();
        assert_unsaid(&mut vestibule, "ordering a certificate");
        assert_eq!(made(&server), (1, 1, 1));
        stop(vestibule);
    });
}

/// What is not valid yet by this machine's clock is good all the same if the CA says that it is.
#[test]
fn a_clock_that_is_behind_refuses_no_certificate() {
    sandbox::run(module_path!(), "a_clock_that_is_behind_refuses_no_certificate", &HOSTS, LIMIT, || {
        let server = FaultyServer::settings(FaultyCa::settings().backdate(60)).start();
        let lab = Lab::new();
        server.pass(2 * HOUR);
        let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        vestibule.process().wait_for_line("this machine's clock is behind the CA's", PATIENCE);
        lab.assert_nothing_due();
        assert_unsaid(&mut vestibule, "ordering a certificate failed");
        assert_eq!(made(&server), (1, 1, 1));
        stop(vestibule);
    });
}
