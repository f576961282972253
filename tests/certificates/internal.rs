//! The internal CA, as those who install its root would look at it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{config, run};
use crate::support::openssl::{self, Handshake};
use crate::support::vestibule::Vestibule;

/// A vestibule with an internal CA for `a.test` and `matrix.a.test`.
struct Desk {
    folder: TempDir,
}

impl Desk {
    /// After a first run that made the CA.
    #[track_caller]
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        let status = desk.start().terminate(Duration::from_secs(15));
        assert!(status.success(), "{status}");
        desk
    }

    fn config(&self) -> String {
        config(self.folder.path(), "issuer = \"internal\"").replacen(
            "server_name = \"a.test\"",
            "server_name = \"a.test\"\npublic_host = \"matrix.a.test\"",
            1,
        )
    }

    #[track_caller]
    fn start(&self) -> Vestibule {
        Vestibule::start(&self.config())
    }

    /// The file that `certs root` prints.
    #[track_caller]
    fn root(&self) -> PathBuf {
        let said = run(&["certs", "root"], self.folder.path(), &self.config());
        assert_eq!(said.status, Some(0), "{said:?}");
        self.write("root.pem", &said.out)
    }

    #[track_caller]
    fn stored(&self) -> PathBuf {
        let folder = fs::read_dir(self.folder.path().join("state/internal")).expect("the CA's folder");
        let files: Vec<_> = folder.map(|entry| entry.expect("a readable folder").path()).collect();
        let [file] = files.as_slice() else { panic!("one CA is expected: {files:?}") };
        file.clone()
    }

    #[track_caller]
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let file = self.folder.path().join(name);
        fs::write(&file, content).expect("a writable folder");
        file
    }

    /// Signs a certificate with the CA's key, as a thief of that key would, and returns the file.
    #[track_caller]
    fn forge(&self, name: &str, rules: &str, issuer: &Path, issuer_key: &Path) -> PathBuf {
        let file = |ending: &str| self.folder.path().join(format!("{name}{ending}")).to_string_lossy().into_owned();
        let request = openssl::must(
            ["req", "-new", "-nodes", "-subj", "/", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
                .map(str::to_owned)
                .into_iter()
                .chain(["-keyout".to_owned(), file(".key"), "-out".to_owned(), "-".to_owned()]),
            "",
        );
        let rules = self.write("rules", rules);
        let signing = ["x509", "-req", "-days", "5", "-extfile"].map(Into::into).into_iter().chain([
            rules.into_os_string(),
            "-CA".into(),
            issuer.into(),
            "-CAkey".into(),
            issuer_key.into(),
            "-CAcreateserial".into(),
            "-out".into(),
            file(".pem").into(),
        ]);
        openssl::must(signing, &request);
        file(".pem").into()
    }
}

#[test]
fn the_root_is_for_the_served_names_only_and_for_no_further_ca() {
    let desk = Desk::new();
    let text = openssl::must(["x509", "-noout", "-text"], &fs::read_to_string(desk.root()).expect("the root"));
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let section = |title: &str, length: usize| {
        let start = lines.iter().position(|line| *line == title).unwrap_or_else(|| panic!("no {title:?} in {text}"));
        lines[start + 1..start + 1 + length].to_vec()
    };
    assert_eq!(section("X509v3 Basic Constraints: critical", 1), ["CA:TRUE, pathlen:0"]);
    assert_eq!(
        section("X509v3 Name Constraints: critical", 6),
        [
            "Permitted:",
            "DNS:a.test",
            "DNS:matrix.a.test",
            "Excluded:",
            "IP:0.0.0.0/0.0.0.0",
            "IP:0:0:0:0:0:0:0:0/0:0:0:0:0:0:0:0"
        ]
    );
    assert_eq!(section("X509v3 Key Usage: critical", 1), ["Certificate Sign, CRL Sign"]);
}

/// The constraints hold whoever has the key.
#[test]
fn a_thief_of_the_key_can_forge_nothing_else() {
    let desk = Desk::new();
    let root = desk.root();
    let stored: Value = serde_json::from_slice(&fs::read(desk.stored()).expect("the CA")).expect("JSON");
    let key = desk.write("stolen.key", stored["key_pem"].as_str().expect("a key"));
    let verify = |file: &Path, between: Option<&Path>| {
        let mut arguments = vec!["verify".into(), "-CAfile".into(), root.clone().into_os_string()];
        arguments.extend(between.into_iter().flat_map(|file| ["-untrusted".into(), file.into()]));
        openssl::run(arguments.into_iter().chain([file.into()]), "")
    };
    // First that such a forgery is any good at all.
    let forge = |name: &str, entry: &str| {
        desk.forge(name, &format!("subjectAltName=critical,{entry}\nextendedKeyUsage=serverAuth\n"), &root, &key)
    };
    let (accepted, said) = verify(&forge("own", "DNS:a.test"), None);
    assert!(accepted, "{said}");
    for (name, entry, error) in [
        ("other", "DNS:b.test", "permitted subtree violation"),
        ("parent", "DNS:test", "permitted subtree violation"),
        ("both", "DNS:a.test,DNS:b.test", "permitted subtree violation"),
        ("address", "IP:127.0.0.1", "excluded subtree violation"),
        ("address6", "IP:::1", "excluded subtree violation"),
    ] {
        let (accepted, said) = verify(&forge(name, entry), None);
        assert!(!accepted && said.contains(error), "{entry}: {said}");
    }
    let rules =
        "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\nsubjectAltName=critical,DNS:a.test\n";
    let further = desk.forge("further", rules, &root, &key);
    let rules = "subjectAltName=critical,DNS:a.test\nextendedKeyUsage=serverAuth\n";
    let leaf = desk.forge("below", rules, &further, &desk.folder.path().join("further.key"));
    let (accepted, said) = verify(&leaf, Some(&further));
    assert!(!accepted && said.contains("path length constraint exceeded"), "{said}");
}

#[test]
fn the_key_stays_in_a_private_file() {
    let desk = Desk::new();
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o7777;
    assert_eq!(mode(&desk.stored()), 0o600);
    for folder in desk.stored().ancestors().skip(1).take(2) {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    let printed = fs::read_to_string(desk.root()).expect("the root");
    assert!(printed.starts_with("-----BEGIN CERTIFICATE-----\n"), "{printed}");
    assert!(printed.ends_with("-----END CERTIFICATE-----\n"), "{printed}");
    assert_eq!(printed.matches("-----BEGIN ").count(), 1, "{printed}");
    let key = fs::read_to_string(desk.stored()).expect("the CA");
    let key: Value = serde_json::from_str(&key).expect("JSON");
    let key = key["key_pem"].as_str().expect("a key").lines().nth(1).expect("a key of several lines").to_owned();
    let mut vestibule = desk.start();
    vestibule.process().wait_for_line("self-check", Duration::from_secs(30));
    for command in [&["certs", "root"][..], &["config", "show"], &["validate"]] {
        let said = run(command, desk.folder.path(), &desk.config());
        assert!(!said.out.contains(&key) && !said.err.contains(&key), "{command:?} prints the key");
    }
    assert!(!vestibule.process().lines().iter().any(|line| line.contains(&key)), "the log has the key");
}

#[test]
fn the_root_survives_a_restart_and_new_leaves_lead_to_it() {
    let desk = Desk::new();
    let root = desk.root();
    let before = fs::read(&root).expect("the root");
    let mut serials = Vec::new();
    for _ in 0..2 {
        let vestibule = desk.start();
        let outcome = Handshake::with(vestibule.address("https")).name("matrix.a.test").trust(&root).perform();
        assert!(outcome.is_verified(), "{}", outcome.text);
        assert_eq!(outcome.names(), ["a.test", "matrix.a.test"]);
        serials.push(openssl::must(["x509", "-noout", "-serial"], outcome.leaf()));
        assert!(vestibule.terminate(Duration::from_secs(15)).success());
    }
    assert_ne!(serials[0], serials[1], "leaves are kept in memory only");
    assert_eq!(fs::read(desk.root()).expect("the root"), before);
}

#[test]
fn a_damaged_ca_is_left_alone() {
    let desk = Desk::new();
    fs::write(desk.stored(), "{").expect("a writable file");
    let said = run(&["run"], desk.folder.path(), &desk.config());
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(format!("{}{}", said.out, said.err).contains(".json is damaged; move it away"), "{said:?}");
    assert_eq!(fs::read_to_string(desk.stored()).expect("the CA"), "{");
    assert_eq!(run(&["certs", "root"], desk.folder.path(), &desk.config()).status, Some(1));
}

#[test]
fn without_a_ca_there_is_no_root() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let said = run(&["certs", "root"], folder.path(), &config(folder.path(), "issuer = \"internal\""));
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.out.is_empty() && said.err.contains("there is no internal CA in"), "{said:?}");
    assert!(!folder.path().join("state").exists(), "a command that prints makes nothing");
}
