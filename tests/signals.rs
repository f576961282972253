//! Signals mean the same at every moment: none is lost, and none ends the program the hard way.

use std::process::Command;
use std::time::Duration;

use crate::support::front::Front;
use crate::support::vestibule::Vestibule;

const SOON: Duration = Duration::from_secs(15);

/// The homeserver is not there: nothing here needs one.
fn config() -> String {
    format!("server_name = \"a.test\"\nhomeserver = \"http://127.0.0.1:9\"\n{}", Front::LOOPBACK)
}

/// A race by nature; each round is a chance to lose it.
const ROUNDS: usize = 10;

/// One shell, so that hardly any time lies between two signals.
#[track_caller]
fn send(vestibule: &mut Vestibule, signals: &[&str]) {
    let process = vestibule.process().id();
    let lines: Vec<_> = signals.iter().map(|signal| format!("kill -{signal} {process}")).collect();
    let status = Command::new("sh").args(["-ec", &lines.join("\n")]).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot send {signals:?}");
}

#[test]
fn a_stop_right_after_the_start_is_clean() {
    for _ in 0..ROUNDS {
        let mut vestibule = Vestibule::spawn(&config());
        // The first of the three lines before READY.
        vestibule.process().wait_for_line("listening", SOON);
        assert_eq!(vestibule.terminate(SOON).code(), Some(0));
    }
}

#[test]
fn a_stop_right_behind_a_hangup_is_not_lost() {
    for _ in 0..ROUNDS {
        let mut vestibule = Vestibule::start(&config());
        // Told, and survived.
        send(&mut vestibule, &["HUP"]);
        vestibule.process().wait_for_line("SIGHUP: this version reads its configuration at start only", SOON);
        send(&mut vestibule, &["HUP", "TERM"]);
        assert_eq!(vestibule.process().wait(SOON).code(), Some(0));
    }
}
