//! Flipped bits in every file of the state folder, as the real program meets them.
//!
//! Every position of every file is tried where the files are read (`no_flipped_bit_…` beside the code); here it is a
//! handful for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{CERTIFICATE, HOSTS, LIMIT, SOON, Scene, look, stop};
use crate::support::eventually::{eventually, settled};
use crate::support::faulty_ca::{Fault, Kind, Matcher};
use crate::support::sandbox;
use crate::support::vestibule::Vestibule;

/// Positions in each file.
const PLACES: usize = 5;

/// A copy of a folder to come back to.
struct Copy(PathBuf);

impl Copy {
    #[track_caller]
    fn of(scene: &Scene, name: &str) -> Self {
        let copy = Self(scene.folder.path().join(name));
        cp(&scene.state(), &copy.0);
        copy
    }

    #[track_caller]
    fn restore(&self, scene: &Scene) {
        fs::remove_dir_all(scene.state()).expect("our own folder");
        cp(&self.0, &scene.state());
    }
}

#[track_caller]
fn cp(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--archive").args([from, to]).status();
    assert!(copied.is_ok_and(|status| status.success()), "cannot copy {}", from.display());
}

/// Restores the copy and flips a bit at each of some positions of `file`.
fn each_flip(scene: &Scene, copy: &Copy, file: &Path, mut check: impl FnMut(&str)) {
    let whole = fs::read(file).expect("a readable file");
    for place in 0..PLACES {
        copy.restore(scene);
        let at = (2 * place + 1) * whole.len() / (2 * PLACES);
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (place % 7);
        fs::write(file, flipped).expect("a writable file");
        check(&format!("byte {at} of {}", file.display()));
    }
    copy.restore(scene);
}

fn panicked(vestibule: &mut Vestibule) -> bool {
    vestibule.process().lines().iter().any(|line| line.contains("panicked"))
}

#[test]
fn a_damaged_certificate_is_set_aside_and_ordered_anew() {
    const NAME: &str = "a_damaged_certificate_is_set_aside_and_ordered_anew";
    sandbox::run(module_path!(), NAME, &HOSTS, LIMIT, || {
        let scene = Scene::new();
        scene.issue_once();
        let copy = Copy::of(&scene, "copy");
        each_flip(&scene, &copy, &scene.certificate_file(), |what| {
            let [_, _, before] = scene.count();
            let mut vestibule = scene.start();
            vestibule.wait_for_certificate("a.test", CERTIFICATE);
            let served = scene.served();
            let damaged = scene.state().join("certificates/a.test.pem.damaged");
            match scene.count()[2] - before {
                // Harmless: what is served is what was stored.
                0 => assert!(served == Some(0) && !damaged.exists(), "{what}"),
                1 => assert!(served == Some(before) && damaged.exists(), "{what}"),
                more => panic!("{what}: {more} certificates"),
            }
            assert!(!panicked(&mut vestibule), "{what}");
            stop(vestibule);
            look::assert_private(&scene.state());
        });
        assert_eq!(scene.count()[0], 1, "accounts");

        // Where the record permits nothing, nothing is ordered, or a disk that damages everything would spend the week's
        // certificates.
        fs::write(scene.certificate_file(), "nothing").expect("a writable file");
        fs::write(scene.orders_file(), "nothing").expect("a writable file");
        let before = scene.count();
        let vestibule = scene.start();
        let requests = || scene.ca().with_records(|records| records.orders.len());
        settled("orders at the CA", Duration::from_secs(2), SOON, requests);
        assert_eq!((scene.count(), scene.served()), (before, None));
        stop(vestibule);
    });
}

#[test]
fn a_damaged_account_is_never_a_second_one() {
    sandbox::run(module_path!(), "a_damaged_account_is_never_a_second_one", &HOSTS, LIMIT, || {
        let scene = Scene::new();
        scene.issue_once();
        let copy = Copy::of(&scene, "copy");
        let mut renewed = 0;
        each_flip(&scene, &copy, &scene.ca_folder().join("account.json"), |what| {
            let mut vestibule = scene.start();
            assert_eq!(scene.served(), Some(0), "{what}");
            let said = scene.renew_by_force().output().expect("it starts");
            if said.status.success() {
                renewed += 1;
                assert_eq!(scene.served(), Some(scene.count()[2] - 1), "{what}");
            } else {
                vestibule.process().wait_for_line("is damaged", SOON);
                assert_eq!(scene.served(), Some(0), "{what}");
            }
            assert!(!panicked(&mut vestibule), "{what}");
            stop(vestibule);
        });
        assert_eq!(scene.count(), [1, 1 + renewed, 1 + renewed]);
        scene.assert_rules_kept();
    });
}

#[test]
fn a_damaged_record_of_orders_permits_none() {
    sandbox::run(module_path!(), "a_damaged_record_of_orders_permits_none", &HOSTS, LIMIT, || {
        let scene = Scene::new();
        scene.issue_once();
        let copy = Copy::of(&scene, "copy");
        each_flip(&scene, &copy, &scene.orders_file(), |what| {
            let mut vestibule = scene.start();
            assert_eq!(scene.served(), Some(0), "{what}");
            let said = scene.renew_by_force().output().expect("it starts");
            assert!(!said.status.success(), "{what}: {said:?}");
            assert_eq!((scene.served(), scene.count()), (Some(0), [1, 1, 1]), "{what}");
            assert!(!panicked(&mut vestibule), "{what}");
            stop(vestibule);
        });
    });
}

/// The order is taken up, or given up and told; it never stands in the way for good.
#[test]
fn a_damaged_order_under_way_is_given_up() {
    sandbox::run(module_path!(), "a_damaged_order_under_way_is_given_up", &HOSTS, LIMIT, || {
        let scene = Scene::new();
        scene.issue_once();
        scene.demand_replacement();
        // Killed while the CA takes its time.
        scene.ca().fault(Matcher::of(Kind::Finalize).times(1), Fault::Stuck(Some(1)));
        let vestibule = scene.start();
        eventually("the order is finalised", SOON, || {
            scene.ca().with_records(|records| records.count(Kind::Finalize) > 1).then_some(()).ok_or("not yet")
        });
        drop(vestibule);
        let copy = Copy::of(&scene, "copy");
        each_flip(&scene, &copy, &scene.pending_file(), |what| {
            let mut vestibule = scene.start();
            assert!(scene.served().is_some(), "{what}");
            eventually("the order is no more", SOON, || match scene.pending_file().exists() {
                true => Err(format!("{what}: it is still there")),
                false => Ok(()),
            });
            assert!(!panicked(&mut vestibule), "{what}");
            stop(vestibule);
        });
        scene.assert_rules_kept();
    });
}
