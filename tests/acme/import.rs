//! Taking over from certbot and Caddy: both really get a certificate, and vestibule then serves it without an order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::{ADDRESS, CERTIFICATE, Count, HOSTS, LIMIT, NAMES, ONE_ORDER, Scene, config, stop};
use crate::support::pebble::Pebble;
use crate::support::process::Process;
use crate::support::sandbox;
use crate::support::vestibule::{command, quoted};

const ONE_NAME: &str = "[[server]]\nserver_name = \"a.test\"";

const BOTH_NAMES: &str = "[[server]]\nserver_name = \"a.test\"\npublic_host = \"matrix.a.test\"";

const CHALLENGES: [&str; 1] = ["tls-alpn-01"];

impl Scene {
    /// `certs import` with a configuration for these names.
    #[track_caller]
    fn import(&self, program: &str, from: &Path, names: &str, more: &[&str]) -> Said {
        let file = self.folder.path().join("import.toml");
        let acme =
            format!("directory = {:?}\nca_file = {}", self.pebble.directory(), quoted(&self.pebble.endpoint_root()));
        fs::write(&file, config(&self.state(), &acme, names)).expect("a writable folder");
        let mut import = command(["certs", "import", program]);
        Said::by(import.arg(from).args(more).arg("--config").arg(&file).output().expect("the binary runs"))
    }

    fn account_file(&self) -> PathBuf {
        let authority = self.pebble.directory().replace("https://", "").replace([':', '/'], "_");
        self.state().join(format!("acme/{authority}/account.json"))
    }

    /// vestibule serves what was imported, and orders nothing. (The self-check, which would be later, waits long for name
    /// servers that are not there.)
    #[track_caller]
    fn assert_serves_without_an_order(&mut self, names: &str, expected: &[&str], before: Count) {
        let mut vestibule = self.vestibule_for(&CHALLENGES, names);
        for name in expected {
            self.assert_served(name, expected);
        }
        assert!(vestibule.process().terminate(CERTIFICATE).success());
        let ordering = vestibule.process().lines().into_iter().find(|line| line.contains("ordering a certificate"));
        assert_eq!(ordering, None);
        assert_eq!(self.count(), before);
    }
}

/// What an import printed, and how it ended.
#[derive(Debug)]
struct Said {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn by(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The rows with this verdict.
    fn rows(&self, verdict: &str) -> Vec<&str> {
        self.out.lines().filter(|line| line.starts_with(verdict)).collect()
    }
}

/// Caddy's data folder after it has got a certificate for each of these names.
#[track_caller]
fn caddy(scene: &Scene, names: &[&str]) -> PathBuf {
    let home = scene.folder.path().join("caddy-home");
    fs::create_dir_all(&home).expect("a writable folder");
    let settings = home.join("Caddyfile");
    let text = format!(
        "{{\n email admin@a.test\n acme_ca {}\n acme_ca_root {}\n admin off\n default_bind {ADDRESS}\n}}\n{} {{\n respond x\n}}\n",
        scene.pebble.directory(),
        scene.pebble.endpoint_root().display(),
        names.join(", "),
    );
    fs::write(&settings, text).expect("a writable folder");
    let mut run = Command::new("caddy");
    run.args(["run", "--adapter", "caddyfile", "--config"]).arg(&settings);
    run.env("HOME", &home).env("XDG_DATA_HOME", &home).env("XDG_CONFIG_HOME", &home);
    let mut caddy = Process::spawn("caddy", &mut run);
    for name in names {
        let obtained =
            |line: &str| line.contains("certificate obtained successfully") && line.contains(&format!("{name:?}"));
        caddy.find_line(Default::default(), CERTIFICATE, obtained).unwrap_or_else(|reason| panic!("{name}: {reason}"));
    }
    caddy.terminate(CERTIFICATE);
    home.join("caddy")
}

/// certbot's configuration folder after it has got one certificate for these names.
#[track_caller]
fn certbot(scene: &Scene, names: &[&str]) -> PathBuf {
    let folder = scene.folder.path().join("certbot");
    let below = |name: &str| folder.join(name).display().to_string();
    let mut run = Command::new("certbot");
    run.args(["certonly", "--non-interactive", "--agree-tos", "--email", "admin@a.test", "--standalone"]);
    run.args(["--http-01-address", &ADDRESS.to_string(), "--server", &scene.pebble.directory()]);
    run.args(["--config-dir", &below("etc"), "--work-dir", &below("work"), "--logs-dir", &below("log")]);
    for name in names {
        run.args(["--domain", name]);
    }
    run.env("REQUESTS_CA_BUNDLE", scene.pebble.endpoint_root());
    let said = Said::by(run.output().expect("certbot is installed; tests/peers/setup.sh sees to it"));
    assert_eq!(said.status, Some(0), "{said:?}");
    folder.join("etc")
}

/// Every file below a folder with its content.
fn everything(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    super::issue::walk(folder, &mut |path| {
        if path.is_file() {
            found.push((path.to_owned(), fs::read(path).expect("a readable file")));
        }
    });
    found.sort();
    found
}

#[test]
fn from_caddy() {
    sandbox::run(module_path!(), "from_caddy", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let data = caddy(&scene, &NAMES[..1]);
        let (before, files) = (scene.count(), everything(&data));
        assert_eq!(before, ONE_ORDER);

        let dry = scene.import("caddy", &data, ONE_NAME, &["--dry-run"]);
        assert_eq!((dry.status, dry.rows("taken").len()), (Some(0), 2), "{dry:?}");
        assert!(!scene.state().exists(), "a dry run writes nothing");

        let said = scene.import("caddy", &data, ONE_NAME, &[]);
        assert_eq!((said.status, said.rows("taken").len(), said.err.as_str()), (Some(0), 2, ""), "{said:?}");
        super::issue::assert_modes(&scene);
        let state = everything(&scene.state());
        let again = scene.import("caddy", &data, ONE_NAME, &[]);
        assert_eq!((again.status, again.rows("kept").len()), (Some(0), 2), "{again:?}");
        assert_eq!(everything(&scene.state()), state, "a second import changes nothing");
        assert_eq!(everything(&data), files, "the source is as it was");

        scene.assert_serves_without_an_order(ONE_NAME, &NAMES[..1], before);

        // Without the certificate there is an order, by the account that came along.
        fs::remove_file(scene.certificate_file()).expect("the imported certificate");
        let account = fs::read_to_string(scene.account_file()).expect("the imported account");
        let vestibule = scene.vestibule_for(&CHALLENGES, ONE_NAME);
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        scene.assert_served(NAMES[0], &NAMES[..1]);
        stop(vestibule);
        assert_eq!(scene.count(), Count { accounts: 1, orders: 2, issued: 2 });
        let known = format!("{:?}", fs::read_to_string(scene.account_file()).expect("the account"));
        let key = account.split('"').find(|part| part.len() > 100).expect("the key");
        assert!(known.contains(key), "{known}");
    });
}

/// Caddy has a certificate for each name, vestibule one for both: the one that is there is served while the order for
/// both is under way.
#[test]
fn from_caddy_in_part() {
    sandbox::run(module_path!(), "from_caddy_in_part", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let data = caddy(&scene, &NAMES);
        // Caddy makes an account for each of two orders that begin together, and keeps one: sometimes the URL of
        // one and the key of the other.
        let before = scene.count();
        let said = scene.import("caddy", &data, BOTH_NAMES, &[]);
        assert_eq!(said.status, Some(1), "{said:?}");
        let missing = said.rows("MISSING").join("\n");
        assert!(missing.contains("no certificate covers matrix.a.test; vestibule orders one"), "{said:?}");
        let vestibule = scene.vestibule_for(&CHALLENGES, BOTH_NAMES);
        scene.assert_served(NAMES[0], &NAMES[..1]);
        vestibule.wait_for_certificate(NAMES[1], CERTIFICATE);
        scene.assert_served(NAMES[1], &NAMES);
        stop(vestibule);
        assert_eq!(scene.count(), Count { orders: before.orders + 1, issued: before.issued + 1, ..before });
    });
}

#[test]
fn from_certbot() {
    sandbox::run(module_path!(), "from_certbot", &HOSTS, LIMIT, || {
        let mut scene = Scene::new(Pebble::settings());
        let settings = certbot(&scene, &NAMES);
        let (before, files) = (scene.count(), everything(&settings));
        // As if a vestibule ran, which does not look until it is started again.
        fs::create_dir(scene.state()).expect("a writable folder");
        let mut flock = Command::new("flock");
        flock.arg("--no-fork").arg(scene.state().join("lock")).args(["sh", "-c", "echo locked; exec sleep 100"]);
        let mut running = Process::spawn("the holder of the lock", &mut flock);
        running.wait_for_line("locked", CERTIFICATE);
        let said = scene.import("certbot", &settings, BOTH_NAMES, &[]);
        assert_eq!((said.status, said.rows("taken").len(), said.err.as_str()), (Some(0), 1, ""), "{said:?}");
        assert!(said.out.contains("type: systemctl restart vestibule"), "{said:?}");
        running.terminate(CERTIFICATE);
        let skipped = said.rows("skipped").join("\n");
        assert!(skipped.contains("its key is RSA") && skipped.contains("A new account is made"), "{said:?}");
        assert!(!scene.account_file().exists());
        assert_eq!(everything(&settings), files, "the source is as it was");
        let again = scene.import("certbot", &settings, BOTH_NAMES, &[]);
        assert_eq!((again.status, again.rows("kept").len()), (Some(0), 1), "{again:?}");
        assert!(!again.out.contains("restart"), "{again:?}");
        scene.assert_serves_without_an_order(BOTH_NAMES, &NAMES, before);
    });
}
