//! `issuer = "files"`: what can be repaired is served and told, what cannot is refused with the remedy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, date_time_ymd};

use super::{Said, config, pair, run};
use crate::support::ca::TestCa;
use crate::support::openssl::Handshake;
use crate::support::openssl_ca::{KeyKind, Leaf, OpensslCa};
use crate::support::vestibule::{Vestibule, quoted};

/// A folder with a CA and its leaf for `a.test`.
struct Desk {
    folder: tempfile::TempDir,
    ca: OpensslCa,
    leaf: Leaf,
}

impl Desk {
    #[track_caller]
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = OpensslCa::new(folder.path());
        let leaf = ca.issue(&["a.test"], KeyKind::P256);
        Self { folder, ca, leaf }
    }

    fn config(&self, chain: &Path, key: &Path) -> String {
        config(self.folder.path(), &format!("issuer = \"files\"\n{}", pair(chain, key)))
    }

    #[track_caller]
    fn validate(&self, chain: &Path, key: &Path) -> Said {
        run(&["validate"], self.folder.path(), &self.config(chain, key))
    }

    /// `validate` and `run` both refuse these files with this reason and remedy.
    #[track_caller]
    fn assert_refused(&self, chain: &Path, key: &Path, message: &str) {
        let said = self.validate(chain, key);
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(said.err.contains(&format!("tls.certificates: {message}")), "{message:?} is not in {said:?}");
        let said = run(&["run"], self.folder.path(), &self.config(chain, key));
        assert_eq!(said.status, Some(1), "{said:?}");
        // The log quotes nothing in the middle of a sentence.
        let log = format!("{}{}", said.out, said.err);
        assert!(log.contains(message), "{message:?} is not in {log}");
        assert!(log.contains("cannot start: tls.issuer is \"files\" and none of the files can be used"), "{log}");
    }

    /// `validate` is content with these files, warns of this, and they are served so that the chain verifies.
    #[track_caller]
    fn assert_served(&self, chain: &Path, repair: Option<&str>) {
        let said = self.validate(chain, &self.leaf.key);
        assert_eq!(said.status, Some(0), "{said:?}");
        let mut vestibule = Vestibule::start(&self.config(chain, &self.leaf.key));
        let outcome = Handshake::with(vestibule.address("https")).name("a.test").trust(&self.ca.root()).perform();
        assert!(outcome.is_verified(), "{}", outcome.text);
        let log = vestibule.process().lines().join("\n");
        match repair {
            Some(repair) => {
                assert!(said.out.contains(&format!("warning: {repair}")), "{said:?}");
                assert!(log.contains(repair), "{log}");
            }
            None => assert!(!said.out.contains("warning") && !log.contains(" WARN "), "{said:?}\n{log}"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn a_whole_chain_is_served_as_it_is() {
    let desk = Desk::new();
    let chain = desk.ca.concatenate("chain.pem", &[&desk.leaf.certificate, &desk.ca.intermediate()]);
    desk.assert_served(&chain, None);
}

#[test]
fn a_leaf_alone_is_completed_from_the_fullchain_beside_it() {
    let desk = Desk::new();
    let whole = desk.ca.concatenate("fullchain.pem", &[&desk.leaf.certificate, &desk.ca.intermediate()]);
    let repair = format!(
        "{}: it holds 1 certificate, its issuer (CN=operator intermediate) is missing; {} is used instead, name it in \
         the configuration",
        desk.leaf.certificate.display(),
        whole.display()
    );
    desk.assert_served(&desk.leaf.certificate, Some(&repair));
}

#[test]
fn a_leaf_alone_is_refused_where_nothing_completes_it() {
    let desk = Desk::new();
    let message = format!(
        "{}: it holds 1 certificate, its issuer (CN=operator intermediate) is missing; name the full chain (certbot \
         calls it fullchain.pem)",
        desk.leaf.certificate.display()
    );
    desk.assert_refused(&desk.leaf.certificate, &desk.leaf.key, &message);
    // Nor does somebody else's.
    let other = desk.ca.issue(&["b.test"], KeyKind::P256);
    desk.ca.concatenate("fullchain.pem", &[&other.certificate, &desk.ca.intermediate()]);
    desk.assert_refused(&desk.leaf.certificate, &desk.leaf.key, &message);
}

#[test]
fn a_chain_in_any_order_is_served_in_order() {
    let desk = Desk::new();
    let (leaf, intermediate, root) = (&desk.leaf.certificate, &desk.ca.intermediate(), &desk.ca.root());
    for (name, parts) in [
        ("reversed.pem", &[intermediate.as_path(), leaf][..]),
        ("with-root.pem", &[root, intermediate, leaf]),
        ("mixed.pem", &[leaf, root, intermediate]),
    ] {
        let chain = desk.ca.concatenate(name, parts);
        let repair = format!("{}: the chain is not in order, leaf first; it is served in order", chain.display());
        desk.assert_served(&chain, Some(&repair));
    }
}

#[test]
fn a_foreign_key_is_refused() {
    let desk = Desk::new();
    let chain = desk.ca.concatenate("chain.pem", &[&desk.leaf.certificate, &desk.ca.intermediate()]);
    let other = desk.ca.issue(&["b.test"], KeyKind::P256);
    let message = format!(
        "{}: the private key belongs to none of the certificates; name the key that {} was made with",
        other.key.display(),
        chain.display()
    );
    desk.assert_refused(&chain, &other.key, &message);
}

#[test]
fn a_certificate_outside_its_time_is_refused() {
    let desk = Desk::new();
    let ca = TestCa::new(desk.folder.path());
    // With the root behind it, as a chain of the leaf alone would be refused for that.
    let issue = |from: i32, until: i32| {
        let mut params = CertificateParams::new(["a.test".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let issued = ca.issue_with(params);
        let chain = desk.ca.concatenate(&format!("chain-{until}.pem"), &[&issued.chain, &ca.root_file()]);
        (chain, issued.key)
    };
    let (chain, key) = issue(2020, 2021);
    let message = format!("{}: expired at 2021-01-01T00:00:00Z; renew it", chain.display());
    desk.assert_refused(&chain, &key, &message);
    let (chain, key) = issue(2090, 2091);
    let message = format!("{}: not valid before 2090-01-01T00:00:00Z; set this machine's clock", chain.display());
    desk.assert_refused(&chain, &key, &message);
}

#[test]
fn files_that_are_something_else_are_refused() {
    let desk = Desk::new();
    let chain = desk.ca.concatenate("chain.pem", &[&desk.leaf.certificate, &desk.ca.intermediate()]);
    let message = format!("{}: there is no certificate in it; name a PEM file", desk.leaf.key.display());
    desk.assert_refused(&desk.leaf.key, &desk.leaf.key, &message);
    let message = format!("{}: there is no private key in it; name a PEM file", chain.display());
    desk.assert_refused(&chain, &chain, &message);
    let missing = desk.path("nowhere.pem");
    let message = format!("{}: No such file or directory (os error 2); correct the path", missing.display());
    desk.assert_refused(&missing, &desk.leaf.key, &message);
    let stray = desk.ca.concatenate("stray.pem", &[&desk.leaf.certificate, &desk.ca.root()]);
    let message = format!("{}: certificate 2 (CN=operator root) did not issue the one before it", stray.display());
    desk.assert_refused(&stray, &desk.leaf.key, &message);
}

#[test]
fn validate_tells_a_bad_configuration_from_bad_files() {
    let desk = Desk::new();
    let chain = desk.ca.concatenate("chain.pem", &[&desk.leaf.certificate, &desk.ca.intermediate()]);
    assert_eq!(desk.validate(&chain, &desk.leaf.key).status, Some(0));
    assert_eq!(desk.validate(&chain, &chain).status, Some(1));
    let wrong = config(desk.folder.path(), &format!("issuer = \"file\"\nchain = {}", quoted(&chain)));
    let said = run(&["validate"], desk.folder.path(), &wrong);
    assert_eq!(said.status, Some(64), "{said:?}");
    assert!(said.err.contains("tls.issuer") && said.err.contains("vestibule.toml:"), "{said:?}");
    let none = config(desk.folder.path(), "issuer = \"files\"");
    assert_eq!(run(&["validate"], desk.folder.path(), &none).status, Some(64), "no file at all");
    assert!(!desk.path("state").exists(), "validate writes nothing");
}

/// One usable pair is enough to start; the bad one is told.
#[test]
fn one_good_pair_of_two_is_served() {
    let desk = Desk::new();
    let chain = desk.ca.concatenate("chain.pem", &[&desk.leaf.certificate, &desk.ca.intermediate()]);
    let both = format!("{}{}", pair(&desk.path("nowhere.pem"), &desk.leaf.key), pair(&chain, &desk.leaf.key));
    let text = config(desk.folder.path(), &format!("issuer = \"files\"\n{both}"));
    let mut vestibule = Vestibule::start(&text);
    vestibule.process().wait_for_line("nowhere.pem: No such file", Duration::from_secs(5));
    let outcome = Handshake::with(vestibule.address("https")).name("a.test").trust(&desk.ca.root()).perform();
    assert!(outcome.is_verified(), "{}", outcome.text);
    assert_eq!(run(&["validate"], desk.folder.path(), &text).status, Some(1));
}

#[test]
fn what_the_files_do_not_cover_comes_from_the_issuer() {
    let desk = Desk::new();
    let chain = desk.ca.concatenate("chain.pem", &[&desk.leaf.certificate, &desk.ca.intermediate()]);
    let tls = format!("issuer = \"internal\"\n{}", pair(&chain, &desk.leaf.key));
    let text = config(desk.folder.path(), &tls).replacen(
        "server_name = \"a.test\"",
        "server_name = \"a.test\"\npublic_host = \"matrix.a.test\"",
        1,
    );
    let vestibule = Vestibule::start(&text);
    let show = |name: &str| Handshake::with(vestibule.address("https")).name(name);
    assert!(show("a.test").trust(&desk.ca.root()).perform().is_verified(), "the file's");
    let issued = show("matrix.a.test").perform();
    // Without the name that the file covers: nothing is ordered that is there.
    assert_eq!(issued.names(), ["matrix.a.test"]);
    let root = desk.path("internal-root.pem");
    fs::write(&root, run(&["certs", "root"], desk.folder.path(), &text).out).expect("a writable folder");
    assert!(show("matrix.a.test").trust(&root).perform().is_verified(), "the internal CA's");
}
