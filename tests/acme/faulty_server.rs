//! That the CA of our own is one for the real program as well: over TLS, with challenges looked at over the network.

use std::time::Duration;

use super::{ADDRESS, CERTIFICATE, CLOSED, HOSTS, LIMIT, NAMES, config, handshake};
use crate::support::curl::Curl;
use crate::support::eventually::eventually;
use crate::support::faulty_ca::{DateHeader, Fault, FaultyCa, Matcher};
use crate::support::faulty_server::FaultyServer;
use crate::support::origin::Origin;
use crate::support::sandbox;
use crate::support::vestibule::{Vestibule, quoted};

/// curl's exit statuses.
const TIMED_OUT: i32 = 28;
const RECEIVING_FAILED: i32 = 56;

fn vestibule(server: &FaultyServer, folder: &std::path::Path, challenge: &str) -> Vestibule {
    let acme = format!(
        "directory = {:?}\nca_file = {}\nchallenges = [{challenge:?}]",
        server.directory(),
        quoted(&server.endpoint_root())
    );
    let names = format!("[[server]]\nserver_name = {:?}\npublic_host = {:?}", NAMES[0], NAMES[1]);
    Vestibule::start(&config(&folder.join("state"), &acme, &names))
}

#[test]
fn issues_to_the_real_program() {
    sandbox::run(module_path!(), "issues_to_the_real_program", &HOSTS, LIMIT, || {
        for (challenge, ports) in [("http-01", (80, CLOSED)), ("tls-alpn-01", (CLOSED, 443))] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let server = FaultyServer::settings(FaultyCa::settings()).challenge_ports(ports.0, ports.1).start();
            let vestibule = vestibule(&server, folder.path(), challenge);
            vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
            let root = server.save_issuing_root(folder.path());
            for name in NAMES {
                let outcome = handshake(name).trust(&root).arguments(["-verify_hostname", name]).perform();
                assert!(outcome.is_verified(), "{name}: {}", outcome.text);
            }
            let records = server.ca().records();
            assert_eq!((records.accounts.len(), records.orders.len(), records.certificates.len()), (1, 1, 1));
            assert!(records.breaches.is_empty() && records.failures.is_empty(), "{records:?}");
        }
    });
}

#[test]
fn believes_nothing_it_has_not_seen() {
    sandbox::run(module_path!(), "believes_nothing_it_has_not_seen", &HOSTS, LIMIT, || {
        let stranger = Origin::start_at((ADDRESS, 0).into(), |talk| talk.answer_all("token.thumbprint"));
        // Nothing that answers there, somebody else who does, and a listener of the other kind.
        let places = [
            ("http-01", (CLOSED, CLOSED), "refused"),
            ("http-01", (stranger.address().port(), CLOSED), "the key authorization is"),
            ("tls-alpn-01", (CLOSED, 80), "a.test:80"),
        ];
        for (challenge, (http, tls), reason) in places {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let server = FaultyServer::settings(FaultyCa::settings()).challenge_ports(http, tls).start();
            let _vestibule = vestibule(&server, folder.path(), challenge);
            eventually("a failed validation", CERTIFICATE, || {
                server.ca().with_records(|records| !records.failures.is_empty()).then_some(()).ok_or("none")
            });
            let records = server.ca().records();
            assert_eq!(records.certificates.len(), 0);
            let failure = &records.failures[0];
            assert_eq!(failure.kind, challenge);
            assert!(failure.identifier.ends_with("a.test") && failure.reason.contains(reason), "{failure:?}");
        }
    });
}

#[test]
fn can_hang_cut_off_and_be_wrong_about_the_time() {
    let server = FaultyServer::settings(FaultyCa::settings()).start();
    let ask = || {
        let curl = Curl::new().trust(&server.endpoint_root()).limit(Duration::from_secs(2));
        curl.try_send(&server.directory())
    };
    let answer = ask().expect("an answer").expect_status(200);
    assert!(answer.json()["meta"]["profiles"]["classic"].is_string());
    let date = |answer: &crate::support::curl::Response| {
        answer.header("date").map(|date| httpdate::parse_http_date(date).expect("a date"))
    };
    let before = date(&answer).expect("a date");
    server.pass(1000);
    let after = date(&ask().expect("an answer")).expect("a date");
    let passed = after.duration_since(before).expect("time does not go back");
    assert!((1000..1030).contains(&passed.as_secs()), "{passed:?}");
    server.ca().date(DateHeader::Absent);
    assert_eq!(date(&ask().expect("an answer")), None);

    server.ca().fault(Matcher::any().times(1), Fault::Reset);
    let error = ask().expect_err("no answer");
    assert_eq!(error.code, RECEIVING_FAILED, "{error}");
    server.ca().fault(Matcher::any().times(1), Fault::Hang);
    let error = ask().expect_err("no answer");
    assert_eq!(error.code, TIMED_OUT, "{error}");
    server.ca().outage(server.now(), server.now() + 100);
    assert!(ask().is_err());
    server.pass(100);
    ask().expect("an answer").expect_status(200);
}
