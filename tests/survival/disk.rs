//! A disk that is full, or fills up between a finalised order and its certificate.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::{CERTIFICATE, HOSTS, LIMIT, NAMES, SOON, Scene, stop};
use crate::support::eventually::{eventually, settled};
use crate::support::faulty_ca::{Fault, Kind, Matcher};
use crate::support::sandbox;

/// The state folder on a disk of its own, of 4 MiB.
struct Disk<'a>(&'a Scene);

impl<'a> Disk<'a> {
    #[track_caller]
    fn mount(scene: &'a Scene) -> Self {
        fs::create_dir(scene.state()).expect("a writable folder");
        let options = ["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"];
        let mounted = Command::new("mount").args(options).arg(scene.state()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "no disk");
        Self(scene)
    }

    /// Writes until nothing fits any more.
    #[track_caller]
    fn fill(&self) {
        let filled = fs::write(self.0.state().join("filler"), vec![0; 8 << 20]);
        assert!(filled.is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull));
    }

    #[track_caller]
    fn make_room(&self) {
        fs::remove_file(self.0.state().join("filler")).expect("the filler");
    }
}

fn orders(scene: &Scene) -> usize {
    scene.ca().with_records(|records| records.orders.len())
}

/// It costs the CA nothing, and the pair that is there is served.
#[test]
fn with_a_full_disk_nothing_is_ordered() {
    sandbox::run(module_path!(), "with_a_full_disk_nothing_is_ordered", &HOSTS, LIMIT, || {
        let scene = Scene::new();
        let disk = Disk::mount(&scene);
        scene.issue_once();
        let stored = fs::read(scene.certificate_file()).expect("the certificate");
        scene.demand_replacement();
        disk.fill();
        for _restart in 0..2 {
            let mut vestibule = scene.start();
            assert_eq!(scene.served(), Some(0));
            let alarm = vestibule.process().find_line(Default::default(), SOON, |line| {
                line.contains("ERROR") && line.contains("No space left on device")
            });
            assert!(alarm.is_ok_and(|line| line.contains(&*scene.state().to_string_lossy())));
            assert_eq!(settled("orders", Duration::from_secs(1), SOON, || orders(&scene)), 1);
            let said = scene.renew_by_force().output().expect("it starts");
            assert!(!said.status.success(), "{said:?}");
            assert_eq!((orders(&scene), scene.served()), (1, Some(0)));
            stop(vestibule);
        }
        assert_eq!(fs::read(scene.certificate_file()).expect("the certificate"), stored);

        disk.make_room();
        let vestibule = scene.start();
        eventually("the new certificate", CERTIFICATE, || match scene.served() {
            Some(1) => Ok(()),
            other => Err(format!("{other:?} is served")),
        });
        scene.wait_for_record();
        stop(vestibule);
        scene.assert_clean();
    });
}

/// A record that is set aside and cannot be written anew is still no permission: nothing to read is not nothing done.
#[test]
fn a_damaged_record_on_a_full_disk_permits_no_order_afterwards() {
    const NAME: &str = "a_damaged_record_on_a_full_disk_permits_no_order_afterwards";
    sandbox::run(module_path!(), NAME, &HOSTS, LIMIT, || {
        let scene = Scene::new();
        let disk = Disk::mount(&scene);
        scene.issue_once();
        scene.demand_replacement();
        fs::write(scene.orders_file(), "nothing").expect("a writable file");
        disk.fill();
        let mut vestibule = scene.start();
        vestibule.process().wait_for_line("No space left on device", SOON);
        stop(vestibule);
        disk.make_room();
        for _restart in 0..2 {
            let vestibule = scene.start();
            assert_eq!(settled("orders", Duration::from_secs(1), SOON, || orders(&scene)), 1);
            assert_eq!(scene.served(), Some(0));
            stop(vestibule);
        }
        assert!(scene.orders_file().with_extension("json.damaged").exists());
    });
}

/// The order is finalised, and then nothing can be written any more.
#[test]
fn a_disk_that_fills_up_meanwhile_costs_no_second_order() {
    const NAME: &str = "a_disk_that_fills_up_meanwhile_costs_no_second_order";
    sandbox::run(module_path!(), NAME, &HOSTS, LIMIT, || {
        let scene = Scene::new();
        let disk = Disk::mount(&scene);
        scene.issue_once();
        scene.demand_replacement();
        scene.ca().fault(Matcher::of(Kind::Finalize).times(1), Fault::Stuck(Some(1)));
        let mut vestibule = scene.start();
        eventually("the order is finalised", SOON, || {
            scene.ca().with_records(|records| records.count(Kind::Finalize) > 1).then_some(()).ok_or("not yet")
        });
        disk.fill();
        vestibule.process().wait_for_line("it is served from memory", SOON);
        eventually("the new certificate from memory", SOON, || match scene.served() {
            Some(1) => Ok(()),
            other => Err(format!("{other:?} is served")),
        });
        stop(vestibule);

        // A restart has the old one, and can do nothing about it.
        let vestibule = scene.start();
        assert_eq!(scene.served(), Some(0));
        settled("orders", Duration::from_secs(1), SOON, || orders(&scene));
        stop(vestibule);

        // With room, the new one is fetched from the order that was kept.
        disk.make_room();
        let vestibule = scene.start();
        vestibule.wait_for_certificate(NAMES[0], SOON);
        eventually("the new certificate", SOON, || match scene.served() {
            Some(1) => Ok(()),
            other => Err(format!("{other:?} is served")),
        });
        scene.wait_for_record();
        stop(vestibule);
        assert_eq!(scene.count(), [1, 2, 2]);
        scene.assert_clean();
    });
}

/// The same without a restart: it is stored as soon as there is room.
#[test]
fn what_was_served_from_memory_is_stored_when_there_is_room() {
    const NAME: &str = "what_was_served_from_memory_is_stored_when_there_is_room";
    sandbox::run(module_path!(), NAME, &HOSTS, LIMIT, || {
        let scene = Scene::new();
        let disk = Disk::mount(&scene);
        scene.issue_once();
        scene.demand_replacement();
        scene.ca().fault(Matcher::of(Kind::Finalize).times(1), Fault::Stuck(Some(1)));
        let mut vestibule = scene.start();
        eventually("the order is finalised", SOON, || {
            scene.ca().with_records(|records| records.count(Kind::Finalize) > 1).then_some(()).ok_or("not yet")
        });
        disk.fill();
        vestibule.process().wait_for_line("it is served from memory", SOON);
        disk.make_room();
        // It looks once a minute.
        eventually("the new certificate is stored", Duration::from_secs(90), || match scene.pending_file().exists() {
            true => Err("the order is still kept"),
            false => Ok(()),
        });
        assert_eq!(scene.served(), Some(1));
        scene.wait_for_record();
        stop(vestibule);
        let vestibule = scene.start();
        assert_eq!(scene.served(), Some(1), "after a restart");
        assert_eq!(settled("orders", Duration::from_secs(1), SOON, || orders(&scene)), 2);
        stop(vestibule);
        scene.assert_clean();
    });
}
