//! Two processes with one state folder.

use std::time::Duration;

use super::{CERTIFICATE, HOSTS, LIMIT, NAMES, SOON, Scene, stop};
use crate::support::eventually::settled;
use crate::support::sandbox;
use crate::support::vestibule::Vestibule;

/// The second serves what the first has stored, orders nothing, and takes over when the first is killed.
#[test]
fn of_two_processes_one_orders() {
    sandbox::run(module_path!(), "of_two_processes_one_orders", &HOSTS, LIMIT, || {
        let scene = Scene::new();
        // Held up, so that both would be at it.
        scene.ca().validation_delay(1);
        let first = scene.start();
        let apart = scene.config().replace("127.0.0.2:443", "127.0.0.3:443").replace("admin.sock", "other.sock");
        let mut second = Vestibule::start(&apart);
        second.process().wait_for_line("another process orders with this state directory", SOON);
        first.wait_for_certificate(NAMES[0], CERTIFICATE);
        scene.wait_for_record();
        assert_eq!((scene.served(), scene.count()), (Some(0), [1, 1, 1]));

        scene.demand_replacement();
        let requests = || scene.ca().with_records(|records| records.requests.len());
        settled("requests to the CA", Duration::from_secs(1), SOON, requests);
        // SIGKILL: the kernel lets the lock go.
        drop(first);
        second.wait_for_certificate(NAMES[0], CERTIFICATE);
        stop(second);
        scene.assert_rules_kept();
        assert_eq!(scene.count()[0], 1, "accounts");
    });
}
