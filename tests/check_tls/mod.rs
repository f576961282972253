//! TLS as others see it: `check` against servers of other makes, with real faults.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::openssl_ca::{KeyKind, Leaf, OpensslCa};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::sandbox;
use crate::support::vestibule::command;

const NAME: &str = "hs.test";
const SOON: Duration = Duration::from_secs(10);
/// Suites that nobody finds fault with; Debian's OpenSSL loads weak keys and signatures at level 0 only.
const TIGHT: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=0";

/// A CA and what it has signed.
struct Lab {
    folder: TempDir,
    ca: OpensslCa,
}

/// A TLS server and where it is.
struct Server {
    _process: Process,
    address: SocketAddr,
}

/// What `check` says, as JSON.
struct Report(Value);

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = OpensslCa::new(folder.path());
        Self { folder, ca }
    }

    /// `openssl s_server` with a chain and further arguments. Every path answers with a page of its own, so whatever is
    /// found besides TLS is of no interest here.
    fn openssl(&self, leaf: &Leaf, arguments: &[&str]) -> Server {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_server", "-www", "-cert"]).arg(&leaf.certificate).arg("-key").arg(&leaf.key);
        openssl.args(arguments);
        Server::start("s_server", openssl, "-accept", "127.0.0.1:")
    }

    /// The same with the intermediate.
    fn openssl_chain(&self, leaf: &Leaf, arguments: &[&str]) -> Server {
        let intermediate = self.ca.intermediate();
        let chain = ["-cert_chain", intermediate.to_str().expect("a path in UTF-8")];
        self.openssl(leaf, &[&chain, arguments].concat())
    }

    /// `gnutls-serv` with a chain and a priority string. It listens on every address: for a sandbox only.
    fn gnutls(&self, leaf: &Leaf, priority: &str) -> Server {
        let chain = self.ca.concatenate("chain.pem", &[&leaf.certificate, &self.ca.intermediate()]);
        let mut gnutls = Command::new("gnutls-serv");
        gnutls.args(["--http", "--x509certfile"]).arg(chain).arg("--x509keyfile").arg(&leaf.key);
        gnutls.args(["--priority", priority]);
        Server::start("gnutls-serv", gnutls, "--port", "")
    }

    /// A check that trusts this CA.
    fn check(&self, server: &Server) -> Report {
        server.check(&["--ca-file".into(), self.ca.root().into()], None)
    }
}

impl Server {
    fn start(name: &str, mut program: Command, option: &str, before_port: &str) -> Self {
        let port = ports::free();
        let mut process = Process::spawn(name, program.args([option, &format!("{before_port}{port}")]));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        process.wait_until_listening(address, SOON);
        Self { _process: process, address }
    }

    fn command(&self, arguments: &[OsString], roots: Option<PathBuf>) -> Command {
        let mut check = command(["check", &format!("{NAME}:8448"), "--connect-to"]);
        check.arg(format!("{NAME}:8448:{}", self.address)).args(arguments).env("NO_COLOR", "1");
        // Whatever this machine trusts is no matter of these tests.
        if let Some(roots) = roots {
            check.env("SSL_CERT_FILE", roots);
        }
        check
    }

    fn check(&self, arguments: &[OsString], roots: Option<PathBuf>) -> Report {
        let output = self.command(arguments, roots).args(["--format", "json"]).output().expect("the program runs");
        let text = String::from_utf8_lossy(&output.stdout);
        Report(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {output:?}")))
    }
}

impl Report {
    /// Ids of the findings about TLS, the worst first: with `?` for warnings, with `.` for remarks.
    fn told(&self) -> String {
        let findings = self.0["findings"].as_array().expect("a list").iter();
        let told = findings.filter_map(|finding| {
            let id = finding["id"].as_str().filter(|id| id.starts_with("tls."))?;
            let mark = match finding["severity"].as_str()? {
                "fail" => "",
                "warn" => "?",
                _ => ".",
            };
            Some(format!("{id}{mark}"))
        });
        told.collect::<Vec<_>>().join(" ")
    }

    fn detail(&self, id: &str) -> &str {
        let findings = self.0["findings"].as_array().expect("a list");
        let finding = findings.iter().find(|finding| finding["id"] == id);
        finding.and_then(|finding| finding["detail"].as_str()).unwrap_or_else(|| panic!("no {id} in {}", self.0))
    }

    fn tls(&self) -> &Value {
        &self.0["connections"][0]["tls"]
    }

    fn list(&self, key: &str) -> Vec<&str> {
        self.tls()[key].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
    }

    fn weaknesses(&self) -> Vec<&str> {
        let weak = self.tls()["weak"].as_array().expect("a list");
        let mut weak: Vec<_> = weak.iter().filter_map(|entry| entry["weakness"].as_str()).collect();
        weak.sort_unstable();
        weak
    }
}

/// Versions and suites as OpenSSL has them.
#[test]
fn what_openssl_agrees_to() {
    type Row = (&'static [&'static str], &'static str, &'static [&'static str], &'static [&'static str]);
    const ALL: &str = "ALL:COMPLEMENTOFALL:@SECLEVEL=0";
    const CBC: &str = "CBC with SHA-1";
    const NULL: &str = "no encryption (NULL)";
    const ANONYMOUS: &str = "no certificate (anonymous)";
    let lab = Lab::new();
    let leaf = lab.ca.issue(&[NAME], KeyKind::Rsa2048);
    let rows: [Row; 7] = [
        (&["-cipher", TIGHT], "", &["TLSv1.2", "TLSv1.3"], &[]),
        (&[], "tls.weak.", &["TLSv1.2", "TLSv1.3"], &[CBC]),
        (
            &["-cipher", ALL],
            "tls.legacy? tls.weak?",
            &["TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"],
            &[CBC, ANONYMOUS, NULL],
        ),
        (&["-tls1_3"], "tls.v12?", &["TLSv1.3"], &[]),
        (&["-cipher", TIGHT, "-tls1_2"], "tls.v13?", &["TLSv1.2"], &[]),
        (&["-cipher", "ECDHE+AES:@SECLEVEL=0", "-tls1"], "tls.handshake tls.legacy? tls.weak.", &["TLSv1.0"], &[CBC]),
        // No weakness, and yet of no use to peers that are built on rustls.
        (&["-cipher", "DHE+AESGCM", "-tls1_2"], "tls.handshake", &["TLSv1.2"], &[]),
    ];
    for (arguments, told, versions, weaknesses) in rows {
        let report = lab.check(&lab.openssl_chain(&leaf, arguments));
        assert_eq!(
            (report.told().as_str(), report.list("accepts").as_slice(), report.weaknesses().as_slice()),
            (told, versions, weaknesses),
            "{arguments:?}: {}",
            report.0
        );
        // The chain is shown, whether or not a handshake came off.
        assert_eq!(report.tls()["certificates"].as_array().map(Vec::len), Some(2), "{arguments:?}");
        assert_eq!(report.list("trusted_by"), ["ca-file"], "{arguments:?}");
        if told.contains("tls.handshake") {
            let detail = report.detail("tls.handshake");
            assert!(detail.contains(&format!("it agrees to {} with TLS_", versions[0])), "{detail}");
        }
    }
}

/// Keys, signatures and staples.
#[test]
fn what_is_wrong_with_a_certificate() {
    const STAPLE: &str = "tlsfeature=status_request";
    let lab = Lab::new();
    let rows: [(KeyKind, &str, &[&str], &str); 6] = [
        (KeyKind::P256, "", &[], ""),
        (KeyKind::Rsa2048, "", &[], ""),
        (KeyKind::P521, "", &[], "tls.key?"),
        (KeyKind::Rsa1024, "", &[], "tls.key"),
        (KeyKind::P256, "", &["-sha1"], "tls.sig"),
        (KeyKind::P256, STAPLE, &[], "tls.muststaple"),
    ];
    for (kind, rules, signing, told) in rows {
        let leaf = lab.ca.issue_with(&[NAME], kind, rules, signing);
        let report = lab.check(&lab.openssl_chain(&leaf, &["-cipher", TIGHT]));
        assert_eq!(report.told(), told, "{kind:?} {rules} {signing:?}: {}", report.0);
    }

    let leaf = lab.ca.issue_with(&[NAME], KeyKind::P256, STAPLE, &[]);
    let response = lab.ca.ocsp_response(&leaf);
    let response = response.to_str().expect("a path in UTF-8");
    let report = lab.check(&lab.openssl_chain(&leaf, &["-cipher", TIGHT, "-status_file", response]));
    assert_eq!(report.told(), "", "{}", report.0);
    assert_eq!((&report.tls()["stapled"], &report.tls()["must_staple"]), (&Value::Bool(true), &Value::Bool(true)));
}

/// What a chain looks like is printed with what is wrong with it.
#[test]
fn a_chain_without_its_intermediate_is_shown() {
    let lab = Lab::new();
    let leaf = lab.ca.issue(&[NAME], KeyKind::P256);
    let server = lab.openssl(&leaf, &["-cipher", TIGHT]);
    let trust = ["--ca-file".into(), lab.ca.root().into()];
    assert_eq!(server.check(&trust, None).told(), "tls.chain");
    let output = server.command(&trust, None).output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let block = format!(
        "chain presented by {}\n  0  CN={NAME}\n     issued by CN=operator intermediate\n     valid from ",
        server.address
    );
    assert!(text.contains(&block), "{text}");
}

/// A root that somebody installed on this machine is no root elsewhere.
#[test]
fn the_lists_of_roots_differ() {
    let lab = Lab::new();
    let leaf = lab.ca.issue(&[NAME], KeyKind::P256);
    let server = lab.openssl_chain(&leaf, &["-cipher", TIGHT]);
    let installed = || Some(lab.ca.root());
    let report = server.check(&[], installed());
    assert_eq!((report.told().as_str(), report.list("trusted_by").as_slice()), ("tls.roots", &["system"][..]));
    assert_eq!(
        report.detail("tls.roots"),
        "\"CN=operator root\" is trusted by this machine's system and is not on Mozilla's list: peers with that list refuse \
         the chain, as do all where nobody has installed this root"
    );
    assert_eq!(server.check(&["--private".into()], installed()).told(), "tls.roots.");
    let given = server.check(&["--ca-file".into(), lab.ca.root().into()], installed());
    assert_eq!((given.told().as_str(), given.list("trusted_by").as_slice()), ("", &["system", "ca-file"][..]));

    // Another system, where nobody has installed it.
    let elsewhere = Lab::new();
    let report = server.check(&[], Some(elsewhere.ca.root()));
    assert_eq!((report.told().as_str(), report.list("trusted_by").len()), ("tls.untrusted", 0));
}

/// A name that the server does not have, and none at all.
#[test]
fn other_server_names() {
    let lab = Lab::new();
    let fallback = lab.ca.issue(&["other.test"], KeyKind::P256);
    let leaf = lab.ca.issue(&[NAME], KeyKind::P256);
    let (certificate, key) = (leaf.certificate.to_string_lossy(), leaf.key.to_string_lossy());
    let named = ["-cipher", TIGHT, "-servername", NAME, "-cert2", &certificate, "-key2", &key];

    // s_server presents its second certificate without a chain.
    let report = lab.check(&lab.openssl_chain(&fallback, &named));
    assert_eq!(report.told(), "tls.chain tls.nosni.", "{}", report.0);
    assert_eq!(report.detail("tls.nosni"), "a client without SNI is shown a certificate for other.test");
    for way in ["without_sni", "wrong_sni"] {
        assert_eq!(
            (&report.tls()[way]["answer"], &report.tls()[way]["names"][0]),
            (&"other".into(), &"other.test".into())
        );
    }

    let strict = [&named[..], &["-servername_fatal"]].concat();
    let report = lab.check(&lab.openssl_chain(&fallback, &strict));
    assert_eq!(report.tls()["wrong_sni"]["answer"], "refused", "{}", report.0);
    assert!(report.tls()["wrong_sni"]["error"].as_str().is_some_and(|error| error.contains("UnrecognisedName")));
}

/// GnuTLS in Debian has what OpenSSL there was built without: RC4 and triple DES.
#[test]
fn what_gnutls_agrees_to() {
    sandbox::run(module_path!(), "what_gnutls_agrees_to", &[], Duration::from_secs(60), || {
        let lab = Lab::new();
        let leaf = lab.ca.issue(&[NAME], KeyKind::Rsa2048);
        let report = lab.check(&lab.gnutls(&leaf, "NORMAL:-CIPHER-ALL:+AES-128-GCM:+3DES-CBC:+ARCFOUR-128"));
        assert_eq!(report.told(), "tls.legacy? tls.weak?", "{}", report.0);
        assert_eq!((report.weaknesses(), report.list("accepts").len()), (vec!["3DES", "RC4"], 4));

        let ancient = "NONE:+VERS-TLS1.0:+RSA:+ARCFOUR-128:+SHA1:+MD5:+COMP-ALL:+SIGN-ALL:+CURVE-ALL:+CTYPE-ALL";
        let report = lab.check(&lab.gnutls(&leaf, ancient));
        assert_eq!(report.told(), "tls.handshake tls.legacy? tls.weak?", "{}", report.0);
        let detail = report.detail("tls.handshake");
        assert!(detail.ends_with("it agrees to TLSv1.0 with TLS_RSA_WITH_RC4_128_SHA, which many peers do not offer"));
        assert_eq!(report.tls()["certificates"].as_array().map(Vec::len), Some(2));
    });
}
