//! The whole check against small TLS servers in this process, reached by connect overrides.

#[path = "tests_go.rs"]
mod go;

use super::*;
use crate::clock::{Clock, Timestamp};
use crate::dns::Resolver;
use crate::matrix::keys::SigningKey;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "hs.test";

/// Certificates of the tests are valid from 2026-01-01 to 2026-04-01.
const NOW: Timestamp = Timestamp(1_769_000_000);

static ONLY_13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    params
}

fn root() -> Ca {
    CertifiedIssuer::self_signed(ca_params("Test Root"), KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(root: &Ca) -> Ca {
    CertifiedIssuer::signed_by(ca_params("Test Intermediate"), KeyPair::generate().unwrap(), root).unwrap()
}

/// What a test server does. The defaults are those of a healthy one.
struct Homeserver {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    keys: Value,
    delegation: (u16, String),
    client: (u16, String),
    support: (u16, String),
    cors: bool,
    /// Requests for these paths are never answered.
    mute: fn(&str) -> bool,
    /// It speaks the HTTP/2 that it offers.
    http2: bool,
    /// So many connections are dropped before the handshake.
    flaky: usize,
    versions: &'static [&'static rustls::SupportedProtocolVersion],
    /// HTTP/2 goes to clients that send no ALPN.
    http2_unasked: bool,
}

impl Homeserver {
    fn new(issuer: &Ca, name: &str, last: (i32, u8, u8)) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(last.0, last.1, last.2);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, issuer).unwrap();
        let signing = SigningKey::generate("test").unwrap();
        Self {
            chain: vec![leaf.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            keys: signing.document(NAME, (NOW.0 + 86_400) * 1000).unwrap(),
            delegation: (200, json!({ "m.server": format!("{NAME}:443") }).to_string()),
            client: (200, json!({ "m.homeserver": { "base_url": format!("https://{NAME}") } }).to_string()),
            support: (200, json!({ "support_page": "https://hs.test/help" }).to_string()),
            cors: true,
            mute: |_| false,
            http2: true,
            flaky: 0,
            versions: rustls::ALL_VERSIONS,
            http2_unasked: false,
        }
    }

    fn healthy(root: &Ca) -> Self {
        let intermediate = intermediate(root);
        let mut server = Self::new(&intermediate, NAME, (2026, 4, 1));
        server.chain.push(intermediate.der().clone());
        server
    }

    fn answer(&self, method: &http::Method, path: &str) -> (u16, String) {
        let error = |status, code: &str| (status, json!({ "errcode": code, "error": "no" }).to_string());
        let event = path.strip_prefix("/_matrix/federation/v1/event/");
        match path {
            _ if method == http::Method::OPTIONS => (200, String::new()),
            _ if method != http::Method::GET => error(405, "M_UNRECOGNIZED"),
            "/_matrix/federation/v1/query/profile" => error(401, "M_UNAUTHORIZED"),
            _ if event.is_some_and(|event| !event.contains('/')) => error(401, "M_UNAUTHORIZED"),
            "/.well-known/matrix/server" => self.delegation.clone(),
            "/.well-known/matrix/client" => self.client.clone(),
            "/.well-known/matrix/support" => self.support.clone(),
            "/_matrix/client/versions" => (200, json!({ "versions": ["v1.11"] }).to_string()),
            "/_matrix/federation/v1/version" => {
                (200, json!({ "server": { "name": "Stub", "version": "1.0" } }).to_string())
            }
            "/_matrix/key/v2/server" => (200, self.keys.to_string()),
            _ => error(404, "M_UNRECOGNIZED"),
        }
    }

    /// Serves until the set is dropped.
    async fn start(self, tasks: &mut JoinSet<()>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let dropped = AtomicUsize::new(0);
        let server = Arc::new(self);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                if dropped.fetch_add(1, Ordering::Relaxed) < server.flaky {
                    continue;
                }
                let (acceptor, server, speaks_http2) = (acceptor.clone(), Arc::clone(&server), server.http2);
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    if server.http2_unasked && stream.get_ref().1.alpn_protocol().is_none() {
                        let (mut reading, mut writing) = tokio::io::split(stream);
                        // An empty SETTINGS frame.
                        let _ = tokio::io::AsyncWriteExt::write_all(&mut writing, &[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
                        let _ = tokio::io::copy(&mut reading, &mut tokio::io::sink()).await;
                        return;
                    }
                    let service = service_fn(move |request: Request<Incoming>| {
                        let mute = (server.mute)(request.uri().path());
                        let (status, body) = server.answer(request.method(), request.uri().path());
                        let mut response =
                            Response::builder().status(status).header("content-type", "application/json");
                        if server.cors {
                            response = response
                                .header("access-control-allow-origin", "*")
                                .header("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS")
                                .header("access-control-allow-headers", "Authorization, Content-Type");
                        }
                        if (300..400).contains(&status) {
                            response = response.header("location", body.as_str());
                        }
                        // hyper's own Date would be the machine's, not the test's.
                        let response = response.header("date", "Wed, 21 Jan 2026 12:53:20 GMT");
                        let response = response.body(Full::new(Bytes::from(body)));
                        async move {
                            if mute {
                                std::future::pending::<()>().await;
                            }
                            response
                        }
                    });
                    let spoken = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let stream = TokioIo::new(stream);
                    if spoken && speaks_http2 {
                        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = builder.serve_connection(stream, service).await;
                    } else {
                        let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
                    }
                });
            }
        });
        address
    }
}

/// A network in which everything is at `address` and `root`, if any, is trusted.
fn network(address: SocketAddr, root: Option<&Ca>) -> Network {
    let limits = Limits { retry: Duration::from_millis(10), ..Limits::default() };
    let network = Network::new(Resolver::offline(), RootCertStore::empty(), Clock::fixed(NOW))
        .with_override(format!("::{address}").parse().unwrap())
        .with_private(true)
        .with_limits(limits);
    match root {
        Some(root) => network.with_ca_pem(root.pem().as_bytes()).unwrap(),
        None => network,
    }
}

/// Ids of the findings above a remark.
fn above_info(report: &Report) -> Vec<&'static str> {
    report.findings.iter().filter(|f| f.severity > Severity::Info).map(|f| f.id.id()).collect()
}

async fn run(server: Homeserver, root: Option<&Ca>) -> Report {
    let mut tasks = JoinSet::new();
    let address = server.start(&mut tasks).await;
    check(NAME, &network(address, root)).await
}

#[tokio::test]
async fn a_healthy_server_federates_without_a_word() {
    let root = root();
    let report = run(Homeserver::healthy(&root), Some(&root)).await;
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
    assert_eq!(report.verdict, Verdict::Federates);
    let discovery = report.discovery.as_ref().unwrap();
    assert_eq!((discovery.step, discovery.targets.as_slice()), ("3.2", &["hs.test:443".to_owned()][..]));
    let [connection] = report.connections.as_slice() else { panic!("{:?}", report.connections) };
    assert_eq!(connection.tls.as_ref().unwrap().accepts, ["TLSv1.2", "TLSv1.3"]);
    assert_eq!(connection.tls.as_ref().unwrap().certificates.len(), 2);
    assert_eq!(connection.version.as_ref().unwrap().name.as_deref(), Some("Stub"));
    assert_eq!(connection.keys.as_ref().unwrap().server_name, NAME);
    let json = serde_json::to_value(&report).unwrap();
    let contract = ["server_name", "verdict", "findings", "discovery", "connections", "took_ms"];
    assert!(contract.iter().all(|key| json.get(key).is_some()), "{json}");
    assert_eq!(json["verdict"], "federates");
    let text = render::render(&report, render::Look::PLAIN);
    assert!(text.starts_with("hs.test federates\n  -> hs.test:443 (step 3.2: "), "{text}");
    assert!(text.trim_end().lines().last().unwrap().starts_with("verdict=federates fail=0 warn=0 info=0"), "{text}");
}

#[tokio::test]
async fn the_public_view_of_the_same_server_is_as_good_when_its_root_is_trusted() {
    let root = root();
    let mut tasks = JoinSet::new();
    let address = Homeserver::healthy(&root).start(&mut tasks).await;
    let report = check(NAME, &network(address, Some(&root)).with_private(false)).await;
    assert_eq!((report.verdict, above_info(&report)), (Verdict::Federates, Vec::new()));
}

#[tokio::test]
async fn each_certificate_fault_is_named_and_only_that_one() {
    let root = root();
    let middle = intermediate(&root);
    let mut other_name = Homeserver::new(&middle, "other.test", (2026, 4, 1));
    other_name.chain.push(middle.der().clone());
    let mut expired = Homeserver::new(&middle, NAME, (2026, 1, 10));
    expired.chain.push(middle.der().clone());
    let alone = Homeserver::new(&middle, NAME, (2026, 4, 1));
    let mut expiring = Homeserver::new(&middle, NAME, (2026, 1, 25));
    expiring.chain.push(middle.der().clone());
    for (server, fault) in [(other_name, "tls.name"), (expired, "tls.expired"), (alone, "tls.chain")] {
        // Peers ignore the delegation of such a host too, and go on to port 8448: the same server.
        let report = run(server, Some(&root)).await;
        assert_eq!(above_info(&report), ["wk.server.tls", fault], "{:#?}", report.findings);
        assert_eq!(report.verdict, Verdict::Fails);
        assert_eq!(report.discovery.as_ref().unwrap().step, "6");
        assert!(!report.connections[0].tls.as_ref().unwrap().certificates.is_empty(), "the bad chain is shown");
    }
    let report = run(expiring, Some(&root)).await;
    assert_eq!((above_info(&report), report.verdict), (vec!["tls.expiring"], Verdict::Degraded));
}

#[tokio::test]
async fn an_unknown_root_is_a_failure_in_public_and_a_remark_in_private() {
    let (ours, theirs) = (root(), root());
    let mut tasks = JoinSet::new();
    let address = Homeserver::healthy(&theirs).start(&mut tasks).await;
    let network = network(address, Some(&ours));
    let private = check(NAME, &network).await;
    assert_eq!((private.verdict, above_info(&private)), (Verdict::Federates, Vec::new()));
    assert!(private.findings.iter().any(|finding| finding.id == Code::TlsUntrusted), "{:#?}", private.findings);
    let public = check(NAME, &network.with_private(false)).await;
    assert_eq!((public.verdict, above_info(&public)), (Verdict::Fails, vec!["wk.server.tls", "tls.untrusted"]));
}

#[tokio::test]
async fn a_machine_without_roots_judges_by_mozillas_and_says_so() {
    let root = root();
    let report = run(Homeserver::healthy(&root), None).await;
    let ids: Vec<_> = report.findings.iter().map(|finding| finding.id.id()).collect();
    assert_eq!(
        (ids.as_slice(), report.verdict),
        (&["wk.server.tls", "tls.untrusted", "check.roots"][..], Verdict::Federates)
    );
    let tls = report.connections[0].tls.as_ref().unwrap();
    assert!(!tls.trusted && tls.certificates.len() == 2);
}

#[tokio::test]
async fn faults_of_the_keys() {
    let root = root();
    let with = |change: fn(&mut Value)| {
        let mut server = Homeserver::healthy(&root);
        change(&mut server.keys);
        server
    };
    let cases: [(Homeserver, &[&str]); 6] = [
        (with(|keys| keys["valid_until_ts"] = json!((NOW.0 + 7200) * 1000)), &["fed.keys.sig"]),
        (with(|keys| keys["server_name"] = json!("evil.test")), &["fed.keys.name", "fed.keys.sig"]),
        (with(|keys| keys["extra"] = serde_json::from_str("1.5").unwrap()), &["fed.keys.canonical"]),
        (with(|keys| keys["verify_keys"] = json!({})), &["fed.keys.ed25519"]),
        (with(|keys| *keys = json!([])), &["fed.keys"]),
        (
            with(|keys| *keys = SigningKey::generate("x").unwrap().document(NAME, (NOW.0 - 5) * 1000).unwrap()),
            &["fed.keys.expired"],
        ),
    ];
    for (server, faults) in cases {
        let report = run(server, Some(&root)).await;
        assert_eq!(
            (above_info(&report).as_slice(), report.verdict),
            (faults, Verdict::Fails),
            "{:#?}",
            report.findings
        );
    }
}

#[tokio::test]
async fn faults_of_the_documents() {
    let root = root();
    let with = |change: fn(&mut Homeserver)| {
        let mut server = Homeserver::healthy(&root);
        change(&mut server);
        server
    };
    let cases: [(Homeserver, &[&str], &str); 8] = [
        (with(|s| s.delegation = (404, "{}".to_owned())), &[], "6"),
        (with(|s| s.delegation = (503, "busy".to_owned())), &["wk.server.status"], "6"),
        (with(|s| s.delegation.1 = "<html>".to_owned()), &["wk.server.json"], "6"),
        (with(|s| s.delegation.1 = "{}".to_owned()), &["wk.server.field"], "6"),
        (with(|s| s.delegation.1 = r#"{"m.server":"https://hs.test"}"#.to_owned()), &["wk.server.value"], "6"),
        (with(|s| s.delegation.1 = r#"{"m.server":"m.hs.test"}"#.to_owned()), &["tls.name", "wk.server.port"], "3.5"),
        (with(|s| s.client.1 = "<html>".to_owned()), &["wk.client.json"], "3.2"),
        (with(|s| s.cors = false), &["wk.client.cors", "wk.client.cors", "cors.cs"], "3.2"),
    ];
    for (server, faults, step) in cases {
        let report = run(server, Some(&root)).await;
        assert_eq!(above_info(&report).as_slice(), faults, "{:#?}", report.findings);
        assert_eq!(report.discovery.as_ref().unwrap().step, step);
    }
}

#[tokio::test]
async fn redirects_are_followed_and_circles_are_not() {
    let root = root();
    let with = |delegation: (u16, &str)| {
        let mut server = Homeserver::healthy(&root);
        server.delegation = (delegation.0, delegation.1.to_owned());
        server
    };
    let report = run(with((302, "https://elsewhere.test/moved")), Some(&root)).await;
    // The stub answers every host with one certificate, and that does not cover the new one.
    assert_eq!(above_info(&report), ["wk.server.tls"], "{:#?}", report.findings);
    assert!(
        render::render(&report, render::Look::PLAIN).contains("\nchain presented by 127.0.0.1:"),
        "the bad chain is shown"
    );
    let report = run(with((302, "/.well-known/matrix/client")), Some(&root)).await;
    assert_eq!(above_info(&report), ["wk.server.field"], "{:#?}", report.findings);
    let report = run(with((302, "/.well-known/matrix/server")), Some(&root)).await;
    assert_eq!(above_info(&report), ["wk.server.redirect"], "{:#?}", report.findings);
    let report = run(with((302, "http://hs.test/plain")), Some(&root)).await;
    assert_eq!(above_info(&report), ["wk.server.redirect"], "{:#?}", report.findings);
}

#[tokio::test]
async fn a_name_with_srv_and_without_addresses_is_found_by_srv_and_proved_by_its_own_name() {
    use hickory_resolver::proto::rr::rdata::{A, SRV};
    use hickory_resolver::proto::rr::{Name, RData};
    let root = root();
    let mut tasks = JoinSet::new();
    let address = Homeserver::healthy(&root).start(&mut tasks).await;
    let target = Name::from_ascii("node.test.").unwrap();
    let (resolver, _name_server) = crate::dns::tests::name_server(vec![
        ("_matrix-fed._tcp.hs.test.", RData::SRV(SRV::new(1, 1, address.port(), target))),
        ("node.test.", RData::A(A::new(127, 0, 0, 1))),
    ])
    .await;
    let network = Network::new(resolver, RootCertStore::empty(), Clock::fixed(NOW)).with_private(true);
    let report = check(NAME, &network.with_ca_pem(root.pem().as_bytes()).unwrap()).await;
    assert_eq!((report.verdict, above_info(&report)), (Verdict::Federates, Vec::new()), "{:#?}", report.findings);
    let discovery = report.discovery.unwrap();
    assert_eq!((discovery.step, discovery.host_header.as_str()), ("4", "hs.test"));
    assert_eq!(discovery.targets, [format!("node.test:{}", address.port())]);
}

#[tokio::test]
async fn a_check_can_be_owned_by_any_task() {
    fn send<T: Send>(value: T) -> T {
        value
    }
    let network = Network::new(Resolver::offline(), RootCertStore::empty(), Clock::fixed(NOW));
    let report = send(check("", &network)).await;
    assert_eq!(report.verdict, Verdict::Fails);
}

#[tokio::test]
async fn a_second_try_is_made_and_told() {
    let root = root();
    let mut server = Homeserver::healthy(&root);
    server.flaky = 1;
    let report = run(server, Some(&root)).await;
    assert_eq!((above_info(&report), report.verdict), (vec!["retry"], Verdict::Degraded));
}

#[tokio::test]
async fn a_server_with_one_protocol_version() {
    let root = root();
    let mut server = Homeserver::healthy(&root);
    server.versions = ONLY_13;
    let report = run(server, Some(&root)).await;
    assert_eq!((above_info(&report), report.verdict), (vec!["tls.v12"], Verdict::Degraded));
}

#[tokio::test]
async fn a_server_that_speaks_http2_unasked_is_of_no_use_to_peers_without_alpn() {
    let root = root();
    let mut server = Homeserver::healthy(&root);
    server.http2_unasked = true;
    let report = run(server, Some(&root)).await;
    // The document is read with ALPN http/1.1 only by some peers; this one asks without.
    assert!(above_info(&report).contains(&"tls.alpn"), "{:#?}", report.findings);
    assert!(!above_info(&report).contains(&"fed.version"), "{:#?}", report.findings);
}

#[tokio::test]
async fn http2_that_is_offered_must_be_spoken() {
    let root = root();
    let server = Homeserver { http2: false, ..Homeserver::healthy(&root) };
    let report = run(server, Some(&root)).await;
    assert_eq!((above_info(&report), report.verdict), (vec!["fed.h2"], Verdict::Degraded), "{:#?}", report.findings);
}

#[tokio::test]
async fn requests_that_are_never_answered_cost_a_part_of_the_time() {
    let root = root();
    let mute = |path: &str| path.starts_with("/_matrix/federation/v1/event/");
    let mut tasks = JoinSet::new();
    let address = Homeserver { mute, ..Homeserver::healthy(&root) }.start(&mut tasks).await;
    let limits = Limits { total: Duration::from_secs(3), ..Limits::default() };
    let started = Instant::now();
    let report = check(NAME, &network(address, Some(&root)).with_limits(limits)).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    // What was answered counts all the same.
    assert_eq!((above_info(&report), report.verdict), (vec!["check.cut"], Verdict::Degraded), "{:#?}", report.findings);
    assert!(report.findings[0].detail.contains(&format!("some requests to {address}")), "{:#?}", report.findings);
    assert!(report.connections[0].keys.is_some());
}

#[tokio::test]
async fn a_closed_port_fails_and_a_port_without_tls_says_so() {
    let root = root();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let report = check("hs.test:443", &network(address, Some(&root))).await;
    assert_eq!((above_info(&report), report.verdict), (vec!["tcp.connect"], Verdict::Fails));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let report = check("hs.test:443", &network(address, Some(&root))).await;
    assert_eq!((above_info(&report), report.verdict), (vec!["tls.handshake"], Verdict::Fails));
}

#[tokio::test]
async fn a_check_for_strangers_connects_to_nobody_inside() {
    let root = root();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let network = network(listener.local_addr().unwrap(), Some(&root)).with_guard(Guard::PublicOnly);
    let report = check(NAME, &network).await;
    assert_eq!(report.verdict, Verdict::Unknown, "{:#?}", report.findings);
    let ids: Vec<_> = report.findings.iter().map(|finding| finding.id.id()).collect();
    assert_eq!(ids, ["check.guard"], "{:#?}", report.findings);
    assert!(timeout(Duration::from_millis(50), listener.accept()).await.is_err());
}

#[tokio::test]
async fn a_mute_server_ends_at_the_deadline_and_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let root = root();
    let limits = Limits { total: Duration::from_millis(200), ..Limits::default() };
    let started = Instant::now();
    let report = check("hs.test:443", &network(address, Some(&root)).with_limits(limits)).await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!((above_info(&report), report.verdict), (vec!["check.cut"], Verdict::Unknown));
    assert!(report.findings[0].detail.contains(&address.to_string()), "{}", report.findings[0].detail);
}

#[tokio::test]
async fn without_a_name_server_the_verdict_is_unknown_and_says_why() {
    let network = Network::new(Resolver::offline(), RootCertStore::empty(), Clock::fixed(NOW));
    let report = check("example.com", &network).await;
    assert_eq!((above_info(&report), report.verdict), (vec!["check.network"], Verdict::Unknown));
}

#[tokio::test]
async fn a_name_that_is_none_fails_without_a_look() {
    let network = Network::new(Resolver::offline(), RootCertStore::empty(), Clock::fixed(NOW));
    let report = check("https://example.com", &network).await;
    assert_eq!((above_info(&report), report.verdict), (vec!["name.grammar"], Verdict::Fails));
    assert!(report.discovery.is_none());
}
