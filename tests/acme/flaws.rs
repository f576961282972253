//! Certificates that are not what was ordered: whatever comes, what is served stays good.

use std::net::IpAddr;

use super::lab::{self, HTTP, Lab, asks, assert_pleased, assert_unsaid, served_serial};
use super::{ADDRESS, LIMIT, stop};
use crate::support::faulty_ca::{Fault, FaultyCa, Flaw, Kind, Matcher, RetryAfter};
use crate::support::faulty_server::FaultyServer;
use crate::support::sandbox;

/// With what the log says of each. A certificate of two names is the first, so that one can be missing.
const FLAWS: [(Flaw, &str, &str); 6] = [
    (Flaw::MissingName, "a.test", "it does not cover"),
    (Flaw::ForeignChain, "b.test", "chain"),
    (Flaw::ForeignKey, "c.test", "key"),
    (Flaw::Expired, "d.test", "it is valid from"),
    (Flaw::NotYetValid, "e.test", "it is valid from"),
    (Flaw::OtherNames, "f.test", "it does not cover"),
];

fn tables() -> String {
    let site = |(_, name, _): &(Flaw, &str, &str)| match *name {
        "a.test" => lab::SERVER.to_owned(),
        name => format!("\n[[site]]\nhost = {name:?}\nupstream = \"http://127.0.0.1:9\""),
    };
    FLAWS.iter().map(site).collect()
}

fn hosts() -> Vec<(IpAddr, &'static str)> {
    let names = FLAWS.iter().map(|(_, name, _)| *name).chain(["matrix.a.test"]);
    names.map(|name| (ADDRESS, name)).collect()
}

#[test]
fn the_old_certificate_stays() {
    sandbox::run(module_path!(), "the_old_certificate_stays", &hosts(), LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::serving(&tables()));
        let acme = format!("{}{HTTP}", asks(&server));
        let mut vestibule = lab.start(&acme);
        for (_, name, _) in FLAWS {
            vestibule.wait_for_certificate(&format!("names={name}"), lab::PATIENCE);
        }
        let serials = FLAWS.map(|(_, name, _)| served_serial(name));
        let before = lab.files();
        for (flaw, name, _) in FLAWS {
            server.ca().fault(Matcher::of(Kind::Finalize).name(name).times(1), Fault::Certificate(flaw));
        }
        let mark = vestibule.process().mark();
        let renewed = lab.renew(&["--force"]);
        assert!(!renewed.good, "{renewed:?}");
        for (flaw, name, expected) in FLAWS {
            let said =
                |line: &str| line.contains("ordering a certificate failed") && line.contains(&format!("names={name}"));
            let line = vestibule.process().find_line(mark, lab::PATIENCE, said);
            let line = line.unwrap_or_else(|reason| panic!("{flaw:?}: {reason}"));
            assert!(
                line.contains(" ERROR ") && line.contains("unusable") && line.contains(expected),
                "{flaw:?}: {line}"
            );
        }
        let published = vestibule.process().lines_since(mark);
        let published: Vec<_> = published.iter().filter(|line| line.contains("certificate published")).collect();
        assert!(published.is_empty(), "{published:?}");
        assert_eq!(FLAWS.map(|(_, name, _)| served_serial(name)), serials);

        // Certificates as they were, and no file more.
        let after = lab.files();
        assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
        let certificates = |(name, _): &(&String, &Vec<u8>)| name.starts_with("certificates/");
        assert!(before.iter().filter(certificates).eq(after.iter().filter(certificates)));
        stop(vestibule);
        let mut vestibule = lab.start(&acme);
        lab.assert_nothing_due();
        assert_unsaid(&mut vestibule, "ordering a certificate");
        assert_eq!(FLAWS.map(|(_, name, _)| served_serial(name)), serials);
        assert_eq!(server.ca().records().orders.len(), 2 * FLAWS.len());
        assert_pleased(&server);
        stop(vestibule);
    });
}

/// At a first issuance there is nothing to keep, and nothing is shown all the same.
#[test]
fn nothing_is_better_than_a_wrong_one() {
    sandbox::run(module_path!(), "nothing_is_better_than_a_wrong_one", &hosts(), LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::serving(&tables()));
        for (flaw, name, _) in FLAWS {
            server.ca().fault(Matcher::of(Kind::Finalize).name(name).times(1), Fault::Certificate(flaw));
        }
        let mut vestibule = lab.start(&format!("{}{HTTP}", asks(&server)));
        for (_, name, _) in FLAWS {
            let waits =
                |line: &str| line.contains("waiting for a certificate") && line.contains(&format!("names={name}"));
            let line = vestibule.process().find_line(Default::default(), lab::PATIENCE, waits);
            let line = line.unwrap_or_else(|reason| panic!("{name}: {reason}"));
            assert!((45..=67).contains(&lab::next_attempt_in(&line)), "{line}");
            super::handshake(name).perform().assert_refused(112);
        }
        assert_unsaid(&mut vestibule, "certificate published");
        let files = lab.files();
        assert!(!files.keys().any(|name| name.starts_with("certificates/") || name.contains("pending")), "{files:?}");
        stop(vestibule);
    });
}

/// What arrives cut off is asked for again, and nothing is ordered anew for it.
#[test]
fn half_a_chain_is_no_chain() {
    sandbox::run(module_path!(), "half_a_chain_is_no_chain", &hosts(), LIMIT, || {
        let page = || Fault::Html { status: 200, retry_after: RetryAfter::None };
        for (intermediates, fault) in [(3, Fault::Truncated), (1, Fault::Truncated), (1, page())] {
            let settings = FaultyCa::settings().intermediates(intermediates);
            let (server, lab) = (FaultyServer::settings(settings).start(), Lab::new());
            server.ca().fault(Matcher::of(Kind::Certificate).times(1), fault.clone());
            let mut vestibule = lab.start(&format!("{}{HTTP}", asks(&server)));
            let line = vestibule.process().wait_for_line("ordering a certificate failed", lab::PATIENCE);
            assert!(line.contains(" ERROR ") && line.contains("fetching the certificate"), "{fault:?}: {line}");
            let again = lab.renew(&[]);
            assert!(again.good, "{fault:?}: {again:?}");
            let shown = super::handshake("a.test").arguments(["-showcerts"]).perform().text;
            assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 1 + intermediates, "{fault:?}: {shown}");
            assert_eq!(lab::made(&server), (1, 1, 1), "{fault:?}");
            assert_pleased(&server);
            stop(vestibule);
        }
    });
}

/// Where a root signs leaves itself, nothing is missing. Nobody here can know, so it is told.
#[test]
fn a_leaf_alone_is_told() {
    sandbox::run(module_path!(), "a_leaf_alone_is_told", &hosts(), LIMIT, || {
        let (server, lab) = (lab::good_ca(), Lab::new());
        server.ca().fault(Matcher::of(Kind::Finalize).times(1), Fault::Certificate(Flaw::NoChain));
        let mut vestibule = lab.issue(&format!("{}{HTTP}", asks(&server)));
        let line = vestibule.process().wait_for_line("the CA sent no certificate of its issuer", lab::PATIENCE);
        assert!(line.contains(" WARN ") && line.contains("issuer=CN=faulty intermediate 1"), "{line}");
        stop(vestibule);
    });
}
