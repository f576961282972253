//! Sessions are resumed, in both versions, and under their own name only.

use std::path::Path;

use super::{DOCUMENT, Front};
use crate::support::openssl::Handshake;

/// A handshake that keeps the last ticket it is given.
#[track_caller]
fn keep_ticket(front: &Front, version: &str, file: &Path) {
    let file = file.to_string_lossy();
    let first = front.handshake().arguments([version, "-sess_out", &file]);
    let first = first.request("one.test", DOCUMENT).perform();
    assert!(first.text.contains("HTTP/1.1 200 OK") && !first.is_resumed(), "{}", first.text);
}

fn with_ticket(handshake: Handshake, version: &str, file: &Path) -> Handshake {
    handshake.arguments([version, "-sess_in", &file.to_string_lossy()])
}

#[test]
fn a_ticket_resumes_the_session() {
    let front = Front::internal();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ticket = folder.path().join("session.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        keep_ticket(&front, version, &ticket);
        let second = with_ticket(front.handshake(), version, &ticket).request("one.test", DOCUMENT).perform();
        assert!(second.is_resumed() && second.text.contains("HTTP/1.1 200 OK"), "{version}: {}", second.text);
    }
}

/// Workers are threads with sessions of nobody's own: a ticket of one must do at all the others.
#[test]
fn a_ticket_does_at_every_worker() {
    let front = Front::internal();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ticket = folder.path().join("session.pem");
    keep_ticket(&front, "-tls1_2", &ticket);
    for round in 0..10 {
        let outcome = with_ticket(front.handshake(), "-tls1_2", &ticket).perform();
        assert!(outcome.is_resumed(), "round {round}: {}", outcome.text);
    }
}

/// Otherwise the certificate of the first name would vouch for the second.
#[test]
fn a_ticket_does_not_do_for_another_name() {
    let front = Front::internal();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ticket = folder.path().join("session.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        keep_ticket(&front, version, &ticket);
        let other = Handshake::with(front.https()).name("two.test");
        let outcome = with_ticket(other, version, &ticket).perform();
        assert!(outcome.agreed().is_some() && !outcome.is_resumed(), "{version}: {}", outcome.text);
        assert_eq!(outcome.names(), ["two.test"]);
    }
}
