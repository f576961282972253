//! What the check says about the way to a real Synapse: behind vestibule nothing, behind other proxies
//! that do what operators' proxies do, exactly what they spoil.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::front::{Front, NAME, PUBLIC};
use crate::support::openssl_ca::{KeyKind, OpensslCa};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::sandbox::is_root;
use crate::support::synapse::Synapse;
use crate::support::vestibule::command;

const START: Duration = Duration::from_secs(10);

/// What a report is about, worst first.
type Found = Vec<(String, String)>;

/// A proxy between vestibule's well-known documents and a Synapse: it has the certificate for the
/// delegated host, and spoils what it is told to.
struct Outer {
    _process: Process,
    folder: TempDir,
    address: SocketAddr,
    root: PathBuf,
}

impl Outer {
    /// nginx with these lines in its one server.
    fn nginx(upstream: SocketAddr, server: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let (root, chain, key) = certificate(folder.path());
        let user = if is_root() { "user root;" } else { "" };
        let (at, chain, key) = (folder.path().display(), chain.display(), key.display());
        let server = server.replace("UPSTREAM", &upstream.to_string());
        let text = format!(
            "daemon off; worker_processes 1; pid {at}/pid; error_log {at}/error; {user} events {{}}
http {{ access_log off; client_body_temp_path {at}/a; proxy_temp_path {at}/b; fastcgi_temp_path {at}/c;
uwsgi_temp_path {at}/d; scgi_temp_path {at}/e; ssl_certificate {chain}; ssl_certificate_key {key};
proxy_http_version 1.1; server {{ listen {address} ssl; ssl_protocols TLSv1.2 TLSv1.3; {server} }} }}"
        );
        fs::write(folder.path().join("config"), text).expect("a writable folder");
        let mut command = proxy("nginx");
        command.arg("-c").arg(folder.path().join("config"));
        Self::started("nginx", command, folder, address, root)
    }

    /// HAProxy with these lines in its frontend.
    fn haproxy(upstream: SocketAddr, frontend: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let (root, chain, key) = certificate(folder.path());
        let both = folder.path().join("both.pem");
        let parts = [chain, key].map(|part| fs::read_to_string(part).expect("a file of this test"));
        fs::write(&both, parts.concat()).expect("a writable folder");
        let text = format!(
            "global\n expose-experimental-directives\ndefaults\n mode http\n timeout connect 2s\n timeout client 60s\n \
             timeout server 60s\nfrontend f\n bind {address} ssl crt {} alpn h2,http/1.1\n {frontend}\n default_backend b\n\
             backend b\n server s {upstream}\n",
            both.display()
        );
        fs::write(folder.path().join("config"), text).expect("a writable folder");
        let mut command = proxy("haproxy");
        command.arg("-db").arg("-f").arg(folder.path().join("config"));
        Self::started("haproxy", command, folder, address, root)
    }

    fn started(name: &str, mut command: Command, folder: TempDir, address: SocketAddr, root: PathBuf) -> Self {
        let mut process = Process::spawn(name, &mut command);
        process.wait_until_listening(address, START);
        Self { _process: process, folder, address, root }
    }

    /// What a check finds that is led here for federation and for clients.
    fn check(&self, front: &Front, more: &[&str]) -> Found {
        // The documents come from the front, with its own root.
        let roots = self.folder.path().join("roots.pem");
        let both = [&self.root, &front.root()].map(|root| fs::read_to_string(root).expect("a root"));
        fs::write(&roots, both.concat()).expect("a writable folder");
        check(&roots, front.https(), self.address, more)
    }
}

fn proxy(name: &str) -> Command {
    let mut command = Command::new(name);
    // Debian keeps servers where ordinary users do not look.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// A root, and a certificate of its intermediate's with its key.
fn certificate(folder: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let ca = OpensslCa::new(folder);
    let leaf = ca.issue(&[PUBLIC], KeyKind::P256);
    let chain = ca.concatenate("chain.pem", &[&leaf.certificate, &ca.intermediate()]);
    (ca.root(), chain, leaf.key)
}

/// The findings above a remark, with what was seen.
fn check(roots: &Path, documents: SocketAddr, endpoint: SocketAddr, more: &[&str]) -> Found {
    let mut command = command(["check", NAME, "--private", "--format", "json", "--ca-file"]);
    command.arg(roots);
    for (name, address) in [(NAME, documents), (PUBLIC, endpoint)] {
        command.args(["--connect-to", &format!("{name}:443:{}:{}", address.ip(), address.port())]);
    }
    let output = command.args(more).output().expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    println!("{}", report["took_ms"]);
    let findings = report["findings"].as_array().expect("a list").iter();
    let told = findings.filter(|finding| finding["severity"] != "info");
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    told.map(|finding| (word(finding, "id"), word(finding, "detail"))).collect()
}

/// Everything in one test: a Synapse takes seconds to start.
#[test]
#[expect(clippy::too_many_lines, reason = "a table, and each row is a proxy's configuration")]
fn the_way_to_a_synapse() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // It calls nobody here, and wants a root all the same.
    let synapse = Synapse::start(NAME, &OpensslCa::new(folder.path()).root());
    let front = Front::at(&synapse.url(), "[well_known]\nsupport = { support_page = \"https://hs.invalid/\" }\n");
    let key = synapse.signing_key().display().to_string();
    let signed = ["--signing-key", key.as_str()];
    let other = folder.path().join("other.key");
    fs::write(&other, format!("ed25519 a_test {}\n", "A".repeat(43))).expect("a writable folder");
    let other = ["--signing-key".to_owned(), other.display().to_string()];
    let direct = |more: &[&str]| check(&front.root(), front.https(), front.https(), more);
    let nginx = |server: &str| Outer::nginx(synapse.address(), server).check(&front, &signed);
    let haproxy = |frontend: &str| Outer::haproxy(synapse.address(), frontend).check(&front, &signed);

    // Every case is looked at, as each takes a start of its own to look at again.
    let mut wrong = Vec::new();
    let mut case = |what: &str, found: Found, expected: &[&str], words: &[&str]| {
        let ids: Vec<_> = found.iter().map(|(id, _)| id.as_str()).collect();
        let said = |word: &&&str| found.iter().any(|(_, detail)| detail.contains(**word));
        if ids != expected || words.iter().filter(said).count() != words.len() {
            wrong.push(format!("{what}: expected {expected:?} with {words:?}, found {found:#?}"));
        }
    };
    case("vestibule alone", direct(&signed), &[], &[]);
    // Not even tried.
    case("a key of another server", direct(&[&other[0], &other[1]]), &[], &[]);
    // As Synapse's documentation has it, with the lines that hide what is not public.
    case("a faithful nginx", nginx(&format!("{HIDDEN} location / {{ proxy_pass http://UPSTREAM; }}")), &[], &[]);
    case(
        "one slash too many",
        nginx(&format!("{HIDDEN} location / {{ proxy_pass http://UPSTREAM/; }}")),
        &["uri.encslash", "uri.signed", "uri.dblslash", "uri.dotseg"],
        &["404 M_UNRECOGNIZED, and 401 M_UNAUTHORIZED without it", "the path is altered"],
    );
    case(
        "nginx without any limits of its own",
        nginx("location / { proxy_pass http://UPSTREAM; }"),
        &["body.limit", "body.media", "expose.admin"],
        &["12.5 MiB is refused with 413 by nginx", "50 MiB is refused with 413"],
    );
    case(
        "rules against what peers do, and a header of its own",
        nginx(&format!(
            "{HIDDEN} if ($request_method = PUT) {{ return 403; }} if ($http_user_agent ~ Go-http) {{ return 403; }}
             location / {{ proxy_pass http://UPSTREAM; add_header Access-Control-Allow-Origin * always; }}"
        )),
        &["waf", "cors.dup"],
        &["Go-http-client/1.1) got 403 from Server: nginx", "a PUT got 403"],
    );
    case(
        "virtual hosts compared byte for byte",
        haproxy(&format!(
            "acl ours req.hdr(host) -m str {PUBLIC}:443\n acl peers path_beg /_matrix/federation\n \
             http-request deny if peers !ours {{ fc_http_major 1 }}\n {DENIED}"
        )),
        &["fed.host"],
        &[&format!("Host: {PUBLIC} is answered 403")],
    );
    case(
        "a path that is decoded",
        haproxy(&format!("http-request set-path %[path,url_dec]\n {DENIED}")),
        &["uri.encslash", "uri.chars", "uri.signed"],
        &["version%3Fx is answered like version?x"],
    );
    case(
        "paths that are cleaned",
        haproxy(&format!(
            "http-request normalize-uri path-merge-slashes\n http-request normalize-uri path-strip-dotdot\n {DENIED}"
        )),
        &["uri.dblslash", "uri.dotseg"],
        &[],
    );
    case(
        "encoded characters refused, as Traefik 3.6.4 does",
        haproxy(&format!("http-request deny deny_status 400 if {{ path -m sub %23 }}\n {DENIED}")),
        &["uri.chars"],
        &["%23 in an event ID"],
    );
    case(
        "OPTIONS refused, and an HTTP/2 that leads elsewhere",
        haproxy(&format!(
            "http-request deny deny_status 405 if METH_OPTIONS\n http-request deny if {{ fc_http_major 2 }}\n {DENIED}"
        )),
        &["fed.h2", "cors.preflight"],
        &["answered 403", "OPTIONS is answered 405"],
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_key_file_that_is_none_is_told_without_its_content() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("signing.key");
    fs::write(&file, "ed25519 a_1 c2VjcmV0c2VjcmV0\n").expect("a writable folder");
    let output = command(["check", NAME, "--signing-key"]).arg(&file).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("lets others read this key") && said.contains("is not 32 bytes of base64"), "{said}");
    assert!(!said.contains("c2VjcmV0"), "{said}");
}

/// What no proxy should let through, and Synapse's own limit on uploads: for nginx.
const HIDDEN: &str = "location ~ ^/_synapse/(admin|metrics|replication|mas) { return 403; } client_max_body_size 50m;";

/// The same for HAProxy, which has no limit.
const DENIED: &str =
    "http-request deny if { path_beg /_synapse/admin /_synapse/metrics /_synapse/replication /_synapse/mas }";
