//! A state folder that can be read and not written.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use super::{CERTIFICATE, HOSTS, LIMIT, SOON, Scene, stop};
use crate::support::eventually::{eventually, settled};
use crate::support::sandbox;
use crate::support::vestibule::Vestibule;

#[track_caller]
fn mount(arguments: &[&str], scene: &Scene) {
    let mounted = Command::new("mount").args(arguments).arg(scene.state()).status();
    assert!(mounted.is_ok_and(|status| status.success()), "mount {arguments:?}");
}

/// As a disk does it after an error.
#[test]
fn a_read_only_folder_is_served_from_and_nothing_is_ordered() {
    const NAME: &str = "a_read_only_folder_is_served_from_and_nothing_is_ordered";
    sandbox::run(module_path!(), NAME, &HOSTS, LIMIT, || {
        let scene = Scene::new();
        fs::create_dir(scene.state()).expect("a writable folder");
        fs::set_permissions(scene.state(), fs::Permissions::from_mode(0o700)).expect("our own folder");
        let state = scene.state().to_string_lossy().into_owned();
        mount(&["--bind", &state], &scene);
        scene.issue_once();
        scene.demand_replacement();
        mount(&["-o", "remount,bind,ro"], &scene);

        let mut vestibule = scene.start();
        assert_eq!(scene.served(), Some(0));
        let alarm = vestibule.process().find_line(Default::default(), SOON, |line| {
            line.contains("ERROR") && line.contains(&state) && line.contains("Read-only file system")
        });
        alarm.expect("an alarm");
        let requests = || scene.ca().with_records(|records| records.orders.len());
        assert_eq!(settled("orders", Duration::from_secs(1), SOON, requests), 1);
        assert!(!scene.renew_by_force().output().expect("it starts").status.success());
        assert_eq!((scene.count(), scene.served()), ([1, 1, 1], Some(0)));

        // Nobody has to restart anything; it looks once a minute.
        mount(&["-o", "remount,bind,rw"], &scene);
        eventually("the new certificate", CERTIFICATE + Duration::from_secs(30), || match scene.served() {
            Some(1) => Ok(()),
            other => Err(format!("{other:?} is served")),
        });
        scene.wait_for_record();
        stop(vestibule);
        scene.assert_clean();
    });
}

/// Taken away from the user that vestibule runs as, who is not root.
#[test]
fn a_folder_that_was_closed_to_its_user_is_told_and_recovers() {
    const NAME: &str = "a_folder_that_was_closed_to_its_user_is_told_and_recovers";
    sandbox::run(module_path!(), NAME, &HOSTS, LIMIT, || {
        let scene = Scene::new();
        scene.issue_once();
        scene.demand_replacement();
        let mode = |mode: u32| {
            for folder in [scene.state().join("certificates"), scene.ca_folder().join("orders"), scene.state()] {
                fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("our own folder");
            }
        };
        mode(0o500);
        // As root, but without root's right to pass over modes.
        let mut unprivileged = Command::new("setpriv");
        unprivileged.args(["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", "--"]);
        unprivileged.arg(env!("CARGO_BIN_EXE_vestibule"));
        let mut vestibule = Vestibule::start_through(unprivileged, &scene.config());
        assert_eq!(scene.served(), Some(0));
        let alarm = vestibule.process().find_line(Default::default(), SOON, |line| {
            line.contains("ERROR")
                && line.contains(&*scene.state().to_string_lossy())
                && line.contains("Permission denied")
        });
        alarm.expect("an alarm");
        let requests = || scene.ca().with_records(|records| records.orders.len());
        assert_eq!(settled("orders", Duration::from_secs(1), SOON, requests), 1);
        mode(0o700);
        eventually("the new certificate", CERTIFICATE + Duration::from_secs(30), || match scene.served() {
            Some(1) => Ok(()),
            other => Err(format!("{other:?} is served")),
        });
        scene.wait_for_record();
        stop(vestibule);
        scene.assert_clean();
    });
}
