//! `certs list`, `certs renew` and `certs rehearse`, with a CA and with a vestibule that runs, or none.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::{CERTIFICATE, Count, HOSTS, LIMIT, NAMES, ONE_ORDER, SOON, Scene, config, handshake, stop};
use crate::support::openssl;
use crate::support::pebble::Pebble;
use crate::support::process::Process;
use crate::support::sandbox;
use crate::support::vestibule::{Vestibule, command, quoted};

impl Scene {
    fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// A configuration with an admin socket, and with these lines more in `[acme]`.
    fn settings(&self, more: &str) -> String {
        let acme = format!(
            "directory = {:?}\nca_file = {}\nchallenges = [\"tls-alpn-01\"]\n{more}",
            self.pebble.directory(),
            quoted(&self.pebble.endpoint_root())
        );
        let names = format!("[[server]]\nserver_name = {:?}\npublic_host = {:?}", NAMES[0], NAMES[1]);
        let admin = format!("status = \"off\"\nadmin = \"unix:{}\"", self.socket().display());
        config(&self.state(), &acme, &names).replacen("status = \"off\"", &admin, 1)
    }

    /// Runs `vestibule certs` to its end.
    #[track_caller]
    fn certs(&self, words: &[&str]) -> Said {
        self.certs_with(words, "")
    }

    #[track_caller]
    fn certs_with(&self, words: &[&str], more: &str) -> Said {
        let file = self.folder.path().join("commands.toml");
        fs::write(&file, self.settings(more)).expect("a writable folder");
        let mut certs = command(["certs"]);
        Said::from(certs.args(words).arg("--config").arg(&file).output().expect("the program starts"))
    }
}

#[derive(Debug)]
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// The one certificate of a list in JSON.
    #[track_caller]
    fn row(&self) -> Value {
        let mut list: Value = serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let rows = list["certificates"].as_array_mut().expect("a list");
        assert_eq!(rows.len(), 1, "{self:?}");
        rows.remove(0)
    }
}

/// The serial number of what is served now, as the list writes it.
#[track_caller]
fn served_serial() -> String {
    let outcome = handshake(NAMES[0]).perform();
    let serial = openssl::must(["x509", "-noout", "-serial"], outcome.leaf());
    serial.trim().trim_start_matches("serial=").to_ascii_lowercase()
}

#[test]
fn the_list_shows_what_is_served() {
    sandbox::run(module_path!(), "the_list_shows_what_is_served", &HOSTS, LIMIT, || {
        let scene = Scene::new(Pebble::settings());
        let nothing = scene.certs(&["list"]);
        assert_eq!(nothing.status, Some(1), "{nothing:?}");
        assert!(nothing.out.contains("there is no certificate yet"), "{nothing:?}");
        assert!(!scene.state().exists(), "a list makes nothing");

        let vestibule = Vestibule::start(&scene.settings(""));
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        let serial = served_serial();
        let listed = scene.certs(&["list", "--json"]);
        assert_eq!(listed.status, Some(0), "{listed:?}");
        let row = listed.row();
        let mut names: Vec<_> = row["names"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, NAMES);
        assert_eq!(
            row["serial"].as_str().map(|serial| serial.trim_start_matches('0')),
            Some(serial.trim_start_matches('0'))
        );
        assert_eq!((row["source"].as_str(), row["valid"].as_bool()), (Some("acme"), Some(true)));
        assert!(row["issuer"].as_str().is_some_and(|issuer| issuer.contains("Pebble")), "{row}");
        assert!(row["days_left"].as_i64().is_some_and(|days| (88..=90).contains(&days)), "{row}");
        assert!(row["life_left"].as_f64().is_some_and(|share| (0.99..=1.0).contains(&share)), "{row}");
        assert!(row["renewal"]["at"].as_str() < row["not_after"].as_str(), "{row}");
        assert!(row["last_failure"].is_null() && row["problems"].as_array().is_some_and(Vec::is_empty), "{row}");

        // The same without anybody there to ask.
        stop(vestibule);
        assert_eq!(scene.certs(&["list", "--json"]).row()["serial"], row["serial"]);
        let text = scene.certs(&["list"]);
        assert_eq!(text.status, Some(0), "{text:?}");
        assert!(text.out.contains(&serial) && text.out.contains("100 % of its life"), "{text:?}");
        assert!(text.out.lines().all(|line| line.chars().count() <= 60), "{text:?}");

        // A damaged file is no certificate, and the list leaves it as it is.
        fs::write(scene.certificate_file(), "nothing").expect("a writable folder");
        let damaged = scene.certs(&["list"]);
        assert_eq!(damaged.status, Some(1), "{damaged:?}");
        assert!(damaged.out.contains("is damaged"), "{damaged:?}");
        assert!(scene.certificate_file().exists());
    });
}

/// Another process with the lock: nothing is ordered, by a command or otherwise, until it ends.
#[test]
fn two_processes_do_not_order_with_one_state_folder() {
    sandbox::run(module_path!(), "two_processes_do_not_order_with_one_state_folder", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        fs::create_dir(scene.state()).expect("a writable folder");
        let mut flock = Command::new("flock");
        flock.args(["--no-fork", "--nonblock"]).arg(scene.state().join("lock"));
        flock.args(["sh", "-c", "echo locked; exec sleep 100"]);
        let holder = Process::spawn("the holder of the lock", &mut flock);
        holder.wait_for_line("locked", SOON);
        for words in [&["renew"][..], &["renew", "--force"], &["rehearse"]] {
            let refused = scene.certs(words);
            assert_eq!((refused.status, refused.out.as_str()), (Some(1), ""), "{words:?}: {refused:?}");
            for part in ["another process orders with", "nobody answers at listen.admin", "systemctl stop vestibule"] {
                assert!(refused.err.contains(part), "{part:?}: {refused:?}");
            }
        }
        // One that starts serves what it has, waits, and says so.
        let mut waiting = Vestibule::start(&scene.settings(""));
        waiting.process().wait_for_line("another process orders with this state directory", SOON);
        let told = scene.certs(&["renew"]);
        assert_eq!(told.status, Some(1), "{told:?}");
        assert!(told.out.contains("another process orders with"), "{told:?}");
        assert_eq!(scene.count(), Count { accounts: 0, orders: 0, issued: 0 });
        drop(holder);
        waiting.wait_for_certificate(NAMES[0], CERTIFICATE);
        assert_eq!(scene.count(), ONE_ORDER);
        stop(waiting);
    });
}

/// What root writes into vestibule's folder, vestibule could not read.
#[test]
fn a_folder_of_somebody_else_is_left_to_them() {
    sandbox::run(module_path!(), "a_folder_of_somebody_else_is_left_to_them", &HOSTS, LIMIT, || {
        let scene = Scene::new(Pebble::settings());
        fs::create_dir(scene.state()).expect("a writable folder");
        if std::os::unix::fs::chown(scene.state(), Some(65534), None).is_err() {
            // A user namespace with one user in it has nobody else to give the folder to.
            return;
        }
        let refused = scene.certs(&["renew", "--force"]);
        assert_eq!(refused.status, Some(1), "{refused:?}");
        for part in ["belongs to another user (uid 65534)", "-p User=65534", "vestibule certs renew"] {
            assert!(refused.err.contains(part), "{part:?}: {refused:?}");
        }
        assert!(!scene.state().join("lock").exists(), "nothing is written");
    });
}

/// A name that no certificate is ordered for is told before anything is done, by whoever is asked.
#[test]
fn a_name_that_is_not_ours_is_refused() {
    sandbox::run(module_path!(), "a_name_that_is_not_ours_is_refused", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let alone = scene.certs(&["renew", "b.test"]);
        assert_eq!(alone.status, Some(1), "{alone:?}");
        assert!(alone.err.contains("no certificate is ordered for b.test"), "{alone:?}");
        let vestibule = Vestibule::start(&scene.settings(""));
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        let running = scene.certs(&["renew", "--force", NAMES[0], "b.test"]);
        assert_eq!(running.status, Some(1), "{running:?}");
        assert!(running.out.contains("no certificate is ordered for b.test"), "{running:?}");
        assert_eq!(scene.count(), ONE_ORDER);
        stop(vestibule);
    });
}

#[test]
fn a_renewal_is_made_when_it_is_forced() {
    sandbox::run(module_path!(), "a_renewal_is_made_when_it_is_forced", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let vestibule = Vestibule::start(&scene.settings(""));
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        let first = served_serial();

        let early = scene.certs(&["renew"]);
        assert_eq!(early.status, Some(0), "{early:?}");
        assert!(early.out.contains("not due"), "{early:?}");
        assert_eq!((scene.count(), served_serial()), (ONE_ORDER, first.clone()));

        let forced = scene.certs(&["renew", "--force", NAMES[1]]);
        assert_eq!(forced.status, Some(0), "{forced:?}");
        assert!(forced.out.contains("five certificates a week"), "what it costs is said: {forced:?}");
        assert_eq!(scene.count(), Count { accounts: 1, orders: 2, issued: 2 });
        let renewed = served_serial();
        assert_ne!(renewed, first);
        let row = scene.certs(&["list", "--json"]).row();
        let listed = row["serial"].as_str().map(|serial| serial.trim_start_matches('0').to_owned());
        assert_eq!(listed.as_deref(), Some(renewed.trim_start_matches('0')));
        stop(vestibule);
    });
}

#[test]
fn an_order_is_made_before_the_first_start() {
    sandbox::run(module_path!(), "an_order_is_made_before_the_first_start", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let ordered = scene.certs(&["renew"]);
        assert_eq!(ordered.status, Some(0), "{ordered:?}");
        assert_eq!(scene.count(), ONE_ORDER);
        assert!(!scene.socket().exists(), "it ended and tidied up");
        assert_eq!(scene.certs(&["list"]).status, Some(0));

        let mut vestibule = Vestibule::start(&scene.settings(""));
        vestibule.process().wait_for_line("certificate published", SOON);
        scene.assert_served(NAMES[0], &NAMES);
        assert_eq!(scene.count(), ONE_ORDER, "the run finds it");
        stop(vestibule);
    });
}

/// The staging directory is another Pebble: what it issues is nowhere afterwards.
#[test]
fn a_rehearsal_leaves_nothing() {
    sandbox::run(module_path!(), "a_rehearsal_leaves_nothing", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let mut staging = Pebble::settings().start();
        // One file of roots for both directories.
        let roots = scene.folder.path().join("roots.pem");
        let both = [scene.pebble.endpoint_root(), staging.endpoint_root()];
        let pem: Vec<_> = both.iter().map(|root| fs::read_to_string(root).expect("a root")).collect();
        fs::write(&roots, pem.concat()).expect("a writable folder");
        let file = scene.folder.path().join("rehearsal.toml");
        let settings = scene.settings(&format!("staging = {:?}", staging.directory()));
        let settings = settings.replace(&quoted(&scene.pebble.endpoint_root()), &quoted(&roots));
        fs::write(&file, settings).expect("a writable folder");
        let rehearse = || Said::from(command(["certs", "rehearse", "--config"]).arg(&file).output().expect("a start"));

        let good = rehearse();
        assert_eq!(good.status, Some(0), "{good:?}");
        assert!(good.out.lines().next().is_some_and(|line| line.contains(": rehearsing at ")), "{good:?}");
        let issued = |pebble: &mut Pebble| {
            pebble.process().lines().iter().filter(|line| line.contains("Issued certificate ")).count()
        };
        assert_eq!(issued(&mut staging), 1);
        assert_eq!(scene.count(), Count { accounts: 0, orders: 0, issued: 0 }, "production is not asked");
        assert!(!scene.certificate_file().exists());
        assert_eq!(scene.certs(&["list"]).status, Some(1));
        drop(staging);
        let unreachable = rehearse();
        assert_eq!(unreachable.status, Some(1), "{unreachable:?}");
    });
}
