//! A CA that is down, at the first start: everything works that can, and the CA is left in peace.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::{HOSTS, LIMIT, NAMES, SOON, config, field, handshake, stop};
use crate::support::curl::Curl;
use crate::support::eventually::eventually;
use crate::support::openssl::Handshake;
use crate::support::process::Signal;
use crate::support::sandbox;
use crate::support::vestibule::Vestibule;

const UNRECOGNIZED_NAME: u8 = 112;

/// Accepts connections, counts them, and ends each at once.
struct BrokenCa {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl BrokenCa {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        // Ends with the sandbox.
        thread::spawn(move || {
            for connection in listener.incoming() {
                counter.fetch_add(1, Ordering::SeqCst);
                drop(connection);
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn vestibule(&self, folder: &tempfile::TempDir) -> Vestibule {
        let acme = format!("directory = \"https://{}/directory\"", self.address);
        let names = format!("[[server]]\nserver_name = {:?}", NAMES[0]);
        Vestibule::start(&config(&folder.path().join("state"), &acme, &names))
    }
}

#[test]
fn everything_works_that_needs_no_certificate() {
    sandbox::run(module_path!(), "everything_works_that_needs_no_certificate", &HOSTS, LIMIT, || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = BrokenCa::start();
        let mut vestibule = ca.vestibule(&folder);

        let plain = |path: &str| Curl::new().send(&format!("http://{}{path}", NAMES[0]));
        let redirect = plain("/some/where?x=1").expect_status(301);
        assert_eq!(redirect.header("location"), Some("https://a.test/some/where?x=1"));
        plain("/.well-known/acme-challenge/unknown").expect_status(404);
        plain("/_matrix/client/versions").expect_status(403);
        handshake(NAMES[0]).perform().assert_refused(UNRECOGNIZED_NAME);
        Handshake::with(vestibule.address("https")).no_name().perform().assert_refused(UNRECOGNIZED_NAME);

        let process = vestibule.process();
        process.wait_for_line("no certificate yet: handshakes for these names are refused", SOON);
        let failed = process.wait_for_line("ordering a certificate failed", SOON);
        let waiting = process.wait_for_line("waiting for a certificate", SOON);
        for line in [&failed, &waiting] {
            assert_eq!(field(line, "names"), NAMES[0]);
        }
        assert_eq!(field(&failed, "next_attempt"), field(&waiting, "next_attempt"));
        stop(vestibule);
    });
}

#[test]
fn a_restart_does_not_hammer() {
    sandbox::run(module_path!(), "a_restart_does_not_hammer", &HOSTS, LIMIT, || {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = BrokenCa::start();
        let mut vestibule = ca.vestibule(&folder);
        let first = vestibule.process().wait_for_line("waiting for a certificate", SOON);
        eventually("the CA was asked", SOON, || if ca.connections() > 0 { Ok(()) } else { Err("nobody came") });
        let asked = ca.connections();
        // A crash loop is what this is for.
        vestibule.process().signal(Signal::Kill);
        vestibule.process().wait(SOON);
        for _ in 0..3 {
            let mut vestibule = ca.vestibule(&folder);
            let line = vestibule.process().wait_for_line("waiting for a certificate", SOON);
            assert_eq!(field(&line, "next_attempt"), field(&first, "next_attempt"));
            vestibule.process().signal(Signal::Kill);
            vestibule.process().wait(SOON);
        }
        assert_eq!(ca.connections(), asked);
    });
}
