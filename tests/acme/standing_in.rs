//! Other CAs: those that stand in when the first fails, and the stage on which a failure is rehearsed.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::lab::{self, HTTP, Lab, PATIENCE, asks, assert_pleased, assert_unsaid, made};
use super::{ADDRESS, CLOSED, HOSTS, LIMIT, NAMES, handshake, stop};
use crate::support::faulty_ca::{Fault, FaultyCa, Kind, Matcher, Problem, RetryAfter};
use crate::support::faulty_server::FaultyServer;
use crate::support::ports;
use crate::support::sandbox;
use crate::support::vestibule::quoted;

/// Settings with a CA and one that stands in for it, each with a root of its own.
fn both(first: &str, second: &FaultyServer) -> String {
    format!("{first}{HTTP}[[acme.fallback]]\n{}", asks(second))
}

#[track_caller]
fn assert_shown_from(server: &FaultyServer, lab: &Lab) {
    let outcome = handshake(NAMES[0]).trust(&server.save_issuing_root(lab.folder())).perform();
    assert!(outcome.is_verified(), "{}", outcome.text);
}

#[test]
fn a_ca_that_cannot_work_is_stood_in_for_at_once() {
    sandbox::run(module_path!(), "a_ca_that_cannot_work_is_stood_in_for_at_once", &HOSTS, LIMIT, || {
        let busy = || Fault::Html { status: 503, retry_after: RetryAfter::None };
        let limited = Problem::rate_limited(RetryAfter::Seconds(3600));
        let closed = Problem::new(403, "unauthorized", "the account is closed");
        let troubles = [
            (Kind::Directory, busy()),
            (Kind::Directory, Fault::Reset),
            (Kind::NewNonce, busy()),
            (Kind::NewAccount, busy()),
            (Kind::NewOrder, Fault::Problem(limited)),
            (Kind::NewOrder, Fault::Problem(closed)),
            (Kind::Finalize, busy()),
        ];
        for (kind, fault) in troubles {
            let (first, second, lab) = (lab::good_ca(), lab::good_ca(), Lab::new());
            first.ca().fault(Matcher::of(kind), fault.clone());
            let acme = both(&asks(&first), &second);
            let mut vestibule = lab.issue(&acme);
            assert_shown_from(&second, &lab);
            let failed = vestibule.process().wait_for_line("ordering a certificate failed", PATIENCE);
            assert!(failed.contains(&first.directory()), "{failed}");
            assert_eq!((made(&first).2, made(&second)), (0, (1, 1, 1)), "{kind:?} {fault:?}");
            // An account of each, and nothing of one at the other.
            let accounts = lab.files().keys().filter(|name| name.ends_with("account.json")).count();
            assert_eq!(accounts, if kind == Kind::Directory { 1 } else { 2 }, "{kind:?}");
            stop(vestibule);
            // The certificate of the second is as good as one of the first.
            let mut vestibule = lab.start(&acme);
            lab.assert_nothing_due();
            assert_unsaid(&mut vestibule, "ordering a certificate");
            stop(vestibule);
            assert_pleased(&second);
        }
    });
}

/// The first CA is the one: what stands in is replaced by the first CA's at its renewal, with no word of it to either.
#[test]
fn the_next_renewal_is_the_first_ca_s_again() {
    sandbox::run(module_path!(), "the_next_renewal_is_the_first_ca_s_again", &HOSTS, LIMIT, || {
        let (second, lab) = (lab::good_ca(), Lab::new());
        // Nobody there at first.
        let nobody = format!("directory = \"https://127.0.0.1:{}/directory\"\n", ports::free());
        stop(lab.issue(&both(&nobody, &second)));
        assert_shown_none(&second);

        let first = lab::good_ca();
        let vestibule = lab.start(&both(&asks(&first), &second));
        let renewed = lab.renew(&["--force"]);
        assert!(renewed.good, "{renewed:?}");
        assert_shown_from(&first, &lab);
        assert_eq!((made(&first), made(&second)), ((1, 1, 1), (1, 1, 1)));
        assert_eq!(first.ca().records().orders[0].replaces, None, "it is another CA's");
        assert_pleased(&first);
        stop(vestibule);
    });
}

/// It ended; nobody shows anything.
#[track_caller]
fn assert_shown_none(second: &FaultyServer) {
    assert_eq!(made(second), (1, 1, 1));
    assert!(TcpStream::connect((ADDRESS, 443)).is_err());
}

/// It would fail there as well, and cost there as well.
#[test]
fn a_name_that_cannot_be_validated_is_not_taken_elsewhere() {
    let name = "a_name_that_cannot_be_validated_is_not_taken_elsewhere";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let first = FaultyServer::settings(FaultyCa::settings()).challenge_ports(CLOSED, CLOSED).start();
        let (second, lab) = (lab::good_ca(), Lab::new());
        let mut vestibule = lab.start(&both(&asks(&first), &second));
        let waiting = vestibule.process().wait_for_line("waiting for a certificate", PATIENCE);
        assert!((45..=67).contains(&lab::next_attempt_in(&waiting)), "{waiting}");
        assert_eq!((made(&first), made(&second)), ((1, 1, 0), (0, 0, 0)));
        assert!(second.ca().records().requests.is_empty());
        stop(vestibule);
    });
}

/// Settings with a CA and its stage, behind one file of roots.
fn staged(production: &FaultyServer, staging: &FaultyServer, lab: &Lab) -> String {
    let roots = lab.folder().join("roots.pem");
    let pem = [production, staging].map(|ca| fs::read_to_string(ca.endpoint_root()).expect("a root"));
    fs::write(&roots, pem.concat()).expect("a writable folder");
    let (directory, stage) = (production.directory(), staging.directory());
    format!("directory = {directory:?}\nca_file = {}\nstaging = {stage:?}\n{HTTP}", quoted(&roots))
}

/// Lets connections to a port of ours lead to another, as somebody does who mends a firewall.
fn forward(from: u16, to: u16) {
    let listener = TcpListener::bind((ADDRESS, from)).expect("a free port");
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect((ADDRESS, to))) else { continue };
            let pump = |from: &TcpStream, to: &TcpStream| {
                let pair = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                thread::spawn(move || io::copy(&mut &pair.0, &mut &pair.1))
            };
            drop((pump(&client, &server), pump(&server, &client)));
        }
    });
}

/// After a failure, production is asked again only when the stage has shown that it works.
#[test]
fn a_failure_is_rehearsed_before_production_is_asked_again() {
    let name = "a_failure_is_rehearsed_before_production_is_asked_again";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let port = 81;
        let closed = || FaultyServer::settings(FaultyCa::settings()).challenge_ports(port, CLOSED).start();
        let (production, staging, lab) = (closed(), closed(), Lab::new());
        let mut vestibule = lab.start(&staged(&production, &staging, &lab));
        vestibule.process().wait_for_line("waiting for a certificate", PATIENCE);
        assert_eq!((made(&production), made(&staging)), ((1, 1, 0), (0, 0, 0)), "production comes first");

        // Nothing is mended yet, and a person is impatient.
        let early = lab.renew(&[]);
        assert!(!early.good, "{early:?}");
        let failed = vestibule.process().wait_for_line("the rehearsal failed, so nothing is ordered", PATIENCE);
        assert!(failed.contains(" ERROR ") && failed.contains("let TCP port 80 of every address"), "{failed}");
        assert_eq!((made(&production), made(&staging)), ((1, 1, 0), (1, 1, 0)));

        forward(port, 80);
        let mended = lab.renew(&[]);
        assert!(mended.good, "{mended:?}");
        assert_eq!((made(&production), made(&staging)), ((1, 2, 1), (1, 2, 1)));
        assert_shown_from(&production, &lab);
        let files = lab.files();
        assert_eq!(files.keys().filter(|name| name.starts_with("certificates/")).count(), 1, "{:?}", files.keys());
        assert_pleased(&production);
        stop(vestibule);
    });
}

/// A stage that is away proves nothing, so production is asked all the same.
#[test]
fn a_stage_that_is_away_stops_nobody() {
    sandbox::run(module_path!(), "a_stage_that_is_away_stops_nobody", &HOSTS, LIMIT, || {
        let port = 81;
        let settings = || FaultyServer::settings(FaultyCa::settings()).challenge_ports(port, CLOSED);
        let (production, staging, lab) = (settings().start(), settings().start(), Lab::new());
        staging.ca().fault(Matcher::any(), Fault::Reset);
        let mut vestibule = lab.start(&staged(&production, &staging, &lab));
        vestibule.process().wait_for_line("waiting for a certificate", PATIENCE);
        forward(port, 80);
        let mended = lab.renew(&[]);
        assert!(mended.good, "{mended:?}");
        assert_eq!((made(&production), made(&staging)), ((1, 2, 1), (0, 0, 0)));
        stop(vestibule);
    });
}
