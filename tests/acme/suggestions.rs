//! When Pebble wants its certificates renewed (RFC 9773), and which kinds of them it has: the newer one only.
//!
//! A window is told again after six hours, and no test waits for that. What these tests need told is told between the
//! first certificate, which `certs renew` orders with nobody running, and the first start, which then asks.

use std::fs;
use std::process::Command;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::lab::{HTTP, Lab, PATIENCE, assert_unsaid, served_serial};
use super::{CLOSED, HOSTS, LIMIT, NAMES, handshake, stop};
use crate::support::openssl;
use crate::support::pebble::{Pebble, Settings};
use crate::support::sandbox;
use crate::support::vestibule::{Vestibule, quoted};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn newer() -> Option<Settings> {
    Some(Pebble::newer()?.challenge_ports(80, CLOSED).profiles(&[("classic", 90 * DAY), ("brief", 10 * DAY)]))
}

fn asks(pebble: &Pebble) -> String {
    format!("directory = {:?}\nca_file = {}\n{HTTP}", pebble.directory(), quoted(&pebble.endpoint_root()))
}

fn logged(pebble: &mut Pebble, what: &str) -> usize {
    pebble.process().lines().iter().filter(|line| line.contains(what)).count()
}

/// Days that what is shown lives.
fn lifetime() -> i64 {
    let outcome = handshake(NAMES[0]).perform();
    let dates = openssl::must(["x509", "-noout", "-dates", "-dateopt", "iso_8601"], outcome.leaf());
    let date = |name: &str| -> Timestamp {
        let line = dates.lines().find_map(|line| line.strip_prefix(name)).expect("a date");
        line.trim().replacen(' ', "T", 1).parse().expect("a date")
    };
    (date("notAfter=").as_second() - date("notBefore=").as_second() + 1) / (24 * 60 * 60)
}

#[test]
fn a_profile_is_asked_for_by_name() {
    sandbox::run(module_path!(), "a_profile_is_asked_for_by_name", &HOSTS, LIMIT, || {
        let Some(settings) = newer() else { return };
        let mut pebble = settings.start();
        let plain = asks(&pebble);

        // What there is not is not ordered, and what there is is told.
        let lab = Lab::new();
        let mut vestibule = lab.start(&format!("{plain}profile = \"shortlived\"\n"));
        let line = vestibule.process().wait_for_line("acme.profile", PATIENCE);
        assert!(line.contains(" ERROR ") && line.contains("does not offer \"shortlived\""), "{line}");
        assert!(line.contains("it offers brief, classic"), "{line}");
        let typed = lab.renew(&[]);
        assert!(!typed.good, "{typed:?}");
        stop(vestibule);
        assert_eq!(logged(&mut pebble, "Added order "), 0);

        // Unset is the one that every order had before there were any; Pebble would take any.
        for (profile, days) in [("", 90), ("", 90), ("profile = \"brief\"\n", 10)] {
            let lab = Lab::new();
            let vestibule = lab.issue(&format!("{plain}{profile}"));
            assert_eq!(lifetime(), days, "{profile:?}");
            stop(vestibule);
        }
    });
}

/// A certificate, and what is told about it before anybody asks.
struct Told {
    pebble: Pebble,
    lab: Lab,
    leaf: String,
}

impl Told {
    #[track_caller]
    fn about_a_certificate(settings: Settings, body: &str) -> Self {
        let (pebble, lab) = (settings.start(), Lab::new());
        let ordered = lab.renew_alone(&asks(&pebble));
        assert!(ordered.good, "{ordered:?}");
        let stored = fs::read_to_string(lab.certificate_file()).expect("a certificate");
        let leaf = openssl::must(["x509"], &stored);
        pebble.set_renewal_info(&leaf, body);
        Self { pebble, lab, leaf }
    }

    #[track_caller]
    fn start(&self) -> Vestibule {
        self.lab.start(&asks(&self.pebble))
    }

    fn serial(&self) -> String {
        openssl::must(["x509", "-noout", "-serial"], &self.leaf).trim().to_owned()
    }
}

/// A window so many hours from now.
fn window(start: i64, end: i64) -> String {
    let at = |hours| Timestamp::now() + SignedDuration::from_hours(hours);
    let window = json!({"start": at(start).to_string(), "end": at(end).to_string()});
    json!({"suggestedWindow": window, "explanationURL": "https://ca.test/incident"}).to_string()
}

#[test]
fn a_window_in_the_past_means_now() {
    sandbox::run(module_path!(), "a_window_in_the_past_means_now", &HOSTS, LIMIT, || {
        let Some(settings) = newer() else { return };
        let mut told = Told::about_a_certificate(settings, &window(-48, -24));
        let mut vestibule = told.start();
        let wanted = vestibule.process().wait_for_line("the CA wants this certificate replaced now", PATIENCE);
        assert!(wanted.contains(" WARN ") && wanted.contains("explanation=https://ca.test/incident"), "{wanted}");
        let ordering = vestibule.process().wait_for_line("ordering a certificate", PATIENCE);
        assert!(ordering.contains("the CA wants it replaced now, see https://ca.test/incident"), "{ordering}");
        // For the new one there is a window like any other.
        vestibule.process().wait_for_line("the CA suggests when to renew", PATIENCE);
        assert_ne!(served_serial(NAMES[0]), told.serial());
        let replacement = told.pebble.process().wait_for_line("is a replacement of", PATIENCE);
        assert!(replacement.contains("ARI: order"), "{replacement}");
        assert_eq!((logged(&mut told.pebble, "POST /sign-me-up "), logged(&mut told.pebble, "Added order ")), (1, 2));
        stop(vestibule);
    });
}

#[test]
fn a_window_to_come_is_kept() {
    sandbox::run(module_path!(), "a_window_to_come_is_kept", &HOSTS, LIMIT, || {
        let Some(settings) = newer() else { return };
        let told = Told::about_a_certificate(settings, &window(24, 48));
        let mut chosen = None;
        for _ in 0..2 {
            let mut vestibule = told.start();
            if chosen.is_none() {
                let line = vestibule.process().wait_for_line("the CA suggests when to renew", PATIENCE);
                chosen = Some(super::field(&line, "chosen").to_owned());
                let at: Timestamp = super::field(&line, "chosen").parse().expect("a time");
                let hours = (at.as_second() - Timestamp::now().as_second()) / 3600;
                assert!((23..=48).contains(&hours), "{line}");
            }
            // A restart chooses no other.
            let said = told.lab.renew(&[]);
            assert!(said.good && said.text.contains(chosen.as_deref().expect("a time")), "{chosen:?}: {said:?}");
            assert_eq!(served_serial(NAMES[0]), told.serial());
            assert_unsaid(&mut vestibule, "ordering a certificate");
            stop(vestibule);
        }
    });
}

#[test]
fn a_window_that_is_none_leaves_it_to_the_lifetime() {
    let name = "a_window_that_is_none_leaves_it_to_the_lifetime";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        for body in ["{\"suggestedWindow\":{}}", "<html>", &window(48, 24)] {
            let Some(settings) = newer() else { return };
            let told = Told::about_a_certificate(settings, body);
            let mut vestibule = told.start();
            let line = vestibule.process().wait_for_line("renewal information is of no use", PATIENCE);
            assert!(line.contains(" WARN ") && line.contains("the lifetime decides"), "{body}: {line}");
            // A third of it is left then, and up to a twentieth more.
            let said = told.lab.renew(&[]);
            let due = said.text.split("not due before ").nth(1).and_then(|rest| rest.split(';').next());
            let due: Timestamp = due.unwrap_or_else(|| panic!("{said:?}")).parse().expect("a time");
            let days = (due.as_second() - Timestamp::now().as_second()) / (24 * 60 * 60);
            assert!((54..=60).contains(&days), "{body}: {said:?}");
            assert_unsaid(&mut vestibule, "ordering a certificate");
            stop(vestibule);
        }
    });
}

/// An operator puts back a backup from before a renewal: the CA knows of a successor that is lost here.
#[test]
fn a_certificate_that_has_a_successor_already_gets_another() {
    let name = "a_certificate_that_has_a_successor_already_gets_another";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let Some(settings) = newer() else { return };
        let (mut pebble, lab) = (settings.start(), Lab::new());
        let acme = asks(&pebble);
        stop(lab.issue(&acme));
        let copy = |from: &std::path::Path, to: &std::path::Path| {
            let copied = Command::new("cp").arg("-a").args([from, to]).status();
            assert!(copied.is_ok_and(|status| status.success()));
        };
        let backup = lab.folder().join("backup");
        copy(&lab.state(), &backup);
        let vestibule = lab.start(&acme);
        assert!(lab.renew(&["--force"]).good);
        stop(vestibule);
        fs::remove_dir_all(lab.state()).expect("the state");
        copy(&backup, &lab.state());

        let mut vestibule = lab.start(&acme);
        let before = served_serial(NAMES[0]);
        let renewed = lab.renew(&["--force"]);
        assert!(renewed.good, "{renewed:?}");
        assert_ne!(served_serial(NAMES[0]), before);
        let line = vestibule.process().wait_for_line("as a replacement", PATIENCE);
        assert!(line.contains("already has a replacement"), "{line}");
        assert_eq!((logged(&mut pebble, "Added order "), logged(&mut pebble, "is a replacement of")), (3, 1));
        stop(vestibule);
    });
}

/// Pebble's own Retry-After, in both its places, only makes it slower.
#[test]
fn a_ca_that_asks_to_wait_between_looks_is_heard() {
    sandbox::run(module_path!(), "a_ca_that_asks_to_wait_between_looks_is_heard", &HOSTS, LIMIT, || {
        let Some(settings) = newer() else { return };
        let mut pebble = settings.retry_after(1, 1).validation_delay(2).start();
        let lab = Lab::new();
        let vestibule = lab.issue(&asks(&pebble));
        let looks = logged(&mut pebble, "POST /my-order/");
        assert!((2..=8).contains(&looks), "{looks}");
        stop(vestibule);
    });
}
