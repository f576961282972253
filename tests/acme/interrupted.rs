//! Answers that are lost, accounts that are lost, and ends that nobody could prepare for: nothing is done twice.

use std::fs;

use super::lab::{
    self, HTTP, Lab, PATIENCE, asks, assert_pleased, assert_unsaid, kill, made, next_attempt_in, wait_for, wait_until,
};
use super::{CLOSED, HOSTS, LIMIT, NAMES, handshake, stop};
use crate::support::faulty_ca::{Fault, FaultyCa, Kind, Matcher};
use crate::support::faulty_server::FaultyServer;
use crate::support::process::Mark;
use crate::support::sandbox;

const TAKEN_UP: &str = "an order that was under way is taken up again";

/// The request arrived, and the connection broke.
#[test]
fn a_lost_answer_costs_no_second_request() {
    sandbox::run(module_path!(), "a_lost_answer_costs_no_second_request", &HOSTS, LIMIT, || {
        let steps =
            [Kind::NewAccount, Kind::NewOrder, Kind::Authorization, Kind::Challenge, Kind::Finalize, Kind::Certificate];
        for step in steps {
            let (server, lab) = (lab::good_ca(), Lab::new());
            server.ca().fault(Matcher::of(step).times(1), Fault::LostAnswer);
            let acme = format!("{}{HTTP}", asks(&server));
            let mut vestibule = lab.start(&acme);
            let ended =
                |line: &str| line.contains("waiting for a certificate") || line.contains("certificate published");
            vestibule.process().find_line(Mark::default(), PATIENCE, ended).expect("an end");
            if made(&server).2 == 0 || !lab.certificate_file().exists() {
                let again = lab.renew(&[]);
                assert!(again.good, "{step:?}: {again:?}");
            }
            vestibule.wait_for_certificate(NAMES[0], PATIENCE);
            assert_eq!(made(&server), (1, 1, 1), "{step:?}");
            let records = server.ca().records();
            assert_eq!((records.count(Kind::Challenge), records.count(Kind::Finalize)), (2, 1), "{step:?}");
            assert_pleased(&server);
            stop(vestibule);
        }
    });
}

/// A look costs nothing, so it is repeated, and the order does not end with a connection.
#[test]
fn a_look_that_fails_is_no_failure() {
    sandbox::run(module_path!(), "a_look_that_fails_is_no_failure", &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        server.ca().fault(Matcher::of(Kind::Order).times(1), Fault::Reset);
        let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        assert_unsaid(&mut vestibule, "ordering a certificate failed");
        assert_eq!(made(&server), (1, 1, 1));
        assert_pleased(&server);
        stop(vestibule);
    });
}

/// RFC 8555 §7.3.1: the key is the account, and the account's URL is only a way to say so.
#[test]
fn a_forgotten_account_is_registered_again_with_its_key() {
    let name = "a_forgotten_account_is_registered_again_with_its_key";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        let key = |lab: &Lab| {
            let (_, account) = lab.file("account.json");
            let account: serde_json::Value = serde_json::from_str(&account).expect("JSON");
            (account["key_pkcs8"].clone(), account["id"].clone())
        };
        let (first_key, first_url) = key(&lab);
        server.ca().forget_accounts();
        // The certificate is another account's now, as far as the CA knows.
        let renewed = lab.renew(&["--force"]);
        assert!(renewed.good, "{renewed:?}");
        let told = vestibule.process().wait_for_line("the CA does not know the account any more", PATIENCE);
        assert!(told.contains(" WARN "), "{told}");
        let (second_key, second_url) = key(&lab);
        assert_eq!(first_key, second_key);
        assert_ne!(first_url, second_url);
        assert_eq!(made(&server), (2, 2, 2));
        stop(vestibule);
    });
}

/// The order of an account that is no more cannot be taken up; the next one takes the same challenge type.
#[test]
fn an_order_of_a_forgotten_account_gives_way_to_a_new_one() {
    let name = "an_order_of_a_forgotten_account_gives_way_to_a_new_one";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        // Only the first type works, so that a change of type would show.
        let settings = FaultyCa::settings().validation_delay(1000);
        let server = FaultyServer::settings(settings).challenge_ports(80, CLOSED).start();
        let lab = Lab::new();
        let acme = format!("{}challenges = [\"http-01\", \"tls-alpn-01\"]\n", asks(&server));
        let vestibule = lab.start(&acme);
        wait_for(&server, Kind::Challenge, 2);
        kill(vestibule);
        server.ca().forget_accounts();
        server.ca().validation_delay(0);
        let mut vestibule = lab.issue(&acme);
        assert_eq!(made(&server), (2, 2, 1));
        assert_unsaid(&mut vestibule, "ordering a certificate failed");
        assert!(lab.files().keys().all(|name| !name.contains("pending")), "{:?}", lab.files().keys());
        stop(vestibule);
    });
}

#[test]
fn a_crash_while_the_ca_validates_costs_nothing() {
    sandbox::run(module_path!(), "a_crash_while_the_ca_validates_costs_nothing", &HOSTS, LIMIT, || {
        for challenges in ["challenges = [\"http-01\"]", "challenges = [\"tls-alpn-01\"]"] {
            let server = FaultyServer::settings(FaultyCa::settings().validation_delay(3)).start();
            let lab = Lab::new();
            let acme = format!("{}{challenges}\n", asks(&server));
            let vestibule = lab.start(&acme);
            wait_for(&server, Kind::Challenge, 2);
            kill(vestibule);
            let mut vestibule = lab.issue(&acme);
            vestibule.process().wait_for_line(TAKEN_UP, PATIENCE);
            assert_eq!(made(&server), (1, 1, 1), "{challenges}");
            assert_eq!(server.ca().records().count(Kind::Challenge), 2, "{challenges}");
            assert_pleased(&server);
            let files = lab.files();
            assert!(!files.keys().any(|name| name.contains("pending")), "{:?}", files.keys());
            stop(vestibule);
        }
    });
}

/// The CA takes its time to sign, the process ends meanwhile: the certificate is fetched, not ordered anew.
#[test]
fn an_order_that_is_being_signed_is_taken_up_again() {
    sandbox::run(module_path!(), "an_order_that_is_being_signed_is_taken_up_again", &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        server.ca().fault(Matcher::of(Kind::Finalize).times(1), Fault::Stuck(Some(1000)));
        let acme = format!("{}{HTTP}", asks(&server));
        let vestibule = lab.start(&acme);
        wait_for(&server, Kind::Finalize, 1);
        kill(vestibule);
        // Still at it, and an orderly end is no other.
        let mut vestibule = lab.start(&acme);
        vestibule.process().wait_for_line(TAKEN_UP, PATIENCE);
        stop(vestibule);
        server.pass(1000);
        let mut vestibule = lab.issue(&acme);
        assert_eq!(made(&server), (1, 1, 1));
        assert_eq!(server.ca().records().count(Kind::Finalize), 1);
        assert_unsaid(&mut vestibule, "ordering a certificate failed");
        stop(vestibule);
        assert_pleased(&server);
    });
}

/// Nobody knows whether the order is there, so it counts, and the next one waits as after a failure.
#[test]
fn a_crash_while_ordering_counts() {
    sandbox::run(module_path!(), "a_crash_while_ordering_counts", &HOSTS, LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        server.ca().fault(Matcher::of(Kind::NewOrder).times(1), Fault::Hang);
        let acme = format!("{}{HTTP}", asks(&server));
        let vestibule = lab.start(&acme);
        wait_for(&server, Kind::NewOrder, 1);
        kill(vestibule);
        for _ in 0..3 {
            let mut vestibule = lab.start(&acme);
            let line = vestibule.process().wait_for_line("waiting for a certificate", PATIENCE);
            assert!((40..=67).contains(&next_attempt_in(&line)), "{line}");
            kill(vestibule);
        }
        assert_eq!(server.ca().records().count(Kind::NewOrder), 1);
        // A person may know better.
        let vestibule = lab.start(&acme);
        assert!(lab.renew(&[]).good);
        assert_eq!(made(&server), (1, 1, 1));
        stop(vestibule);
    });
}

/// What was served is served through all of it: a renewal that is killed at each of its steps.
#[test]
fn a_renewal_that_is_killed_at_any_step_leaves_what_was_there() {
    let name = "a_renewal_that_is_killed_at_any_step_leaves_what_was_there";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        for step in [Kind::NewOrder, Kind::Authorization, Kind::Challenge, Kind::Finalize, Kind::Certificate] {
            let (server, lab) = (lab::good_ca(), Lab::new());
            let acme = format!("{}{HTTP}", asks(&server));
            let vestibule = lab.issue(&acme);
            let serial = lab::served_serial(NAMES[0]);
            let stored = fs::read(lab.certificate_file()).expect("the certificate");
            let before = server.ca().records().count(step);
            server.ca().fault(Matcher::of(step).times(1), Fault::Hang);
            let typed = std::thread::scope(|scope| {
                let typed = scope.spawn(|| lab.renew(&["--force"]));
                wait_until(&server, "the step", |records| records.count(step) > before);
                kill(vestibule);
                typed.join().expect("no panic")
            });
            assert!(!typed.good, "{step:?}: {typed:?}");
            assert_eq!(fs::read(lab.certificate_file()).expect("the certificate"), stored, "{step:?}");
            let mut vestibule = lab.start(&acme);
            assert_eq!(lab::served_serial(NAMES[0]), serial, "{step:?}");
            lab.assert_nothing_due();
            assert_unsaid(&mut vestibule, "ordering a certificate");
            let outcome = handshake(NAMES[0]).trust(&server.save_issuing_root(lab.folder())).perform();
            assert!(outcome.is_verified(), "{}", outcome.text);
            stop(vestibule);
        }
    });
}
