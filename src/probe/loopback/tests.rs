//! The prover against a listener that spoils what it is told to.

use super::*;
use crate::certs::x509;
use crate::clock::{Clock, Timestamp};
use crate::matrix::Host;
use crate::probe::own::OwnListeners;
use bytes::Bytes;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

const NAME: &str = "a.test";

/// What happens to a request on its way: an answer by somebody else, or whatever it is made of it.
type Spoil = fn(&mut Arrival) -> Option<&'static str>;

/// A certificate for `name`, as a server's configuration, and its serial number.
fn certificate(name: &str) -> (rustls::ServerConfig, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let serial = x509::facts(certificate.der()).unwrap().serial;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    (config, serial)
}

/// One request of `bytes`, which has all of it.
fn read(bytes: &[u8]) -> Option<Arrival> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(bytes).ok()?;
    let lines: Vec<_> = request
        .headers
        .iter()
        .map(|header| (Bytes::from(header.name.to_owned()), Bytes::copy_from_slice(header.value)))
        .collect();
    let first = |name: &str| lines.iter().find(|(line, _)| line.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v);
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let length = first("content-length").map_or(0, |length| text(length).parse().unwrap());
    let body = bytes.get(end..end + length)?;
    Some(Arrival {
        method: request.method?.to_owned(),
        target: request.path?.to_owned(),
        host: first("host").map(text).unwrap_or_default(),
        body: Bytes::copy_from_slice(body),
        lines,
        ..Arrival::default()
    })
}

/// Serves as this process would, with `spoil` in front, until it is dropped.
async fn serve(listener: TcpListener, desk: Loopback, spoil: Spoil, config: rustls::ServerConfig, serial: String) {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, peer) = listener.accept().await.unwrap();
        let (desk, acceptor, serial) = (desk.clone(), acceptor.clone(), serial.clone());
        connections.spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let sni = stream.get_ref().1.server_name().map(str::to_owned);
            let mut bytes = Vec::new();
            let mut arrival = loop {
                if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                    return;
                }
                if let Some(arrival) = read(&bytes) {
                    break arrival;
                }
            };
            (arrival.peer, arrival.client) = (peer.ip(), peer.ip());
            arrival.tls = Some(ArrivedTls { sni, alpn: Some("http/1.1".to_owned()), serial });
            let answer = spoil(&mut arrival);
            let mut onward = format!("X-Forwarded-For: {}\r\nX-Forwarded-Proto: https\r\n", peer.ip()).into_bytes();
            for (name, value) in arrival.lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case(b"authorization")) {
                onward.extend([&name[..], b": ", &value[..], b"\r\n"].concat());
            }
            arrival.onward = onward.into();
            let path = arrival.target.clone();
            let visit = desk.visit(&path).filter(|_| answer.is_none_or(|answer| answer.is_empty()));
            let answer = match (visit, answer) {
                (Some(visit), answer) => {
                    let silence = visit.silence();
                    visit.arrived(arrival);
                    sleep(silence).await;
                    // An empty answer of another's is a connection that is cut.
                    answer.map_or("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", |_| "")
                }
                (None, answer) => answer.unwrap_or("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// What is seen where `spoil` stands in front.
async fn seen(spoil: Spoil, covers: &str) -> LoopSeen {
    let (prover, address, serving) = set_up(spoil, covers).await;
    let name = Host::parse(NAME).unwrap();
    let place = Place { name: &name, host_header: "a.test:8448" };
    tokio::select! {
        seen = prover.prove(&place, address) => seen,
        () = serving => unreachable!("it serves for ever"),
    }
}

async fn set_up(spoil: Spoil, covers: &str) -> (Prover, SocketAddr, impl Future<Output = ()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let desk = Loopback::default();
    let (config, serial) = certificate(covers);
    let clock = Clock::fixed(Timestamp(1_790_000_000));
    let prover = Prover::new(desk.clone(), OwnListeners::default(), &[], clock);
    (prover, address, serve(listener, desk, spoil, config, serial))
}

fn changes(seen: &LoopSeen) -> Vec<(Item, How, &str)> {
    let Outcome::Ours { changes, .. } = &seen.outcome else { panic!("{seen:?}") };
    changes.iter().map(|change| (change.item, change.how, change.detail.as_str())).collect()
}

#[tokio::test]
async fn nothing_in_between_is_proven() {
    let seen = seen(|_| None, NAME).await;
    assert!(seen.is_proven(), "{seen:?}");
    let Outcome::Ours { ends, source, client, .. } = &seen.outcome else { panic!("{seen:?}") };
    assert_eq!((ends, source, seen.hop), (&Ends::Here, client, None));
    assert!(!seen.again && seen.idle.is_none());
}

#[tokio::test]
async fn what_is_altered_is_told_once() {
    let seen = seen(
        |arrival| {
            arrival.target = arrival.target.replace("%2F", "/").replace("//", "/");
            arrival.host = "backend".to_owned();
            let mut joined: Vec<_> = Vec::new();
            arrival.lines.retain(|(name, value)| {
                let own = name.eq_ignore_ascii_case(b"authorization");
                if own {
                    joined.push(String::from_utf8_lossy(value).into_owned());
                }
                !own
            });
            arrival.lines.extend((!joined.is_empty()).then(|| ("Authorization".into(), joined.join(", ").into())));
            None
        },
        NAME,
    )
    .await;
    let changes = changes(&seen);
    let items: Vec<_> = changes.iter().map(|(item, how, _)| (*item, *how)).collect();
    let altered = How::Altered;
    assert_eq!(items, [(Item::Target, altered), (Item::Host, altered), (Item::Authorizations, altered)], "{changes:?}");
    assert!(changes[0].2.starts_with("%2F // changed; sent …/a%2Fb"), "{changes:?}");
    assert!(changes[2].2.contains("joined by a comma"), "{changes:?}");
}

/// A refusal is put down to the part that is refused by itself.
#[tokio::test]
async fn what_is_refused_is_found_out() {
    const FORBIDDEN: Option<&str> = Some("HTTP/1.1 403 Forbidden\r\nServer: nginx/1.22.1\r\nContent-Length: 0\r\n\r\n");
    let table: [(Spoil, Item, &str); 6] = [
        (
            |arrival| FORBIDDEN.filter(|_| arrival.method == "PUT"),
            Item::Method,
            "PUT is answered with HTTP status 403, nginx/1.22.1",
        ),
        (
            |arrival| FORBIDDEN.filter(|_| arrival.target.contains("%2F") || arrival.target.contains("%23")),
            Item::Target,
            "%2F %23 is answered with HTTP status 403, nginx/1.22.1",
        ),
        (
            |arrival| FORBIDDEN.filter(|_| arrival.all("authorization").count() > 1),
            Item::Authorizations,
            "two lines of Authorization: X-Matrix is answered with",
        ),
        (
            |arrival| FORBIDDEN.filter(|_| arrival.all("user-agent").any(|agent| agent.starts_with(b"Go-http"))),
            Item::Agent,
            "Go-http-client/1.1 is answered with",
        ),
        (
            |arrival| FORBIDDEN.filter(|_| arrival.lines.iter().any(|(_, value)| value.len() > 4096)),
            Item::Header,
            "a header line of 7 KiB is answered with",
        ),
        (
            |arrival| FORBIDDEN.filter(|_| arrival.target.len() > 110),
            Item::Target,
            "a request with all marks in its path",
        ),
    ];
    for (spoil, item, words) in table {
        let seen = seen(spoil, NAME).await;
        let changes = changes(&seen);
        let [(found, How::Refused, detail)] = changes[..] else { panic!("{words}: {changes:?}") };
        assert_eq!(found, item, "{detail}");
        assert!(detail.starts_with(words), "{detail}");
        assert_eq!(seen.hop.map(|hop| hop.kind), Some(HopKind::Nginx), "{words}");
    }
}

#[tokio::test]
async fn others_and_nobody() {
    let page: Spoil = |_| Some("HTTP/1.1 200 OK\r\nServer: Apache/2.4\r\nContent-Length: 2\r\n\r\nhi");
    let met = seen(page, NAME).await;
    assert_eq!(met.outcome, Outcome::Other("HTTP status 200, Apache/2.4".to_owned()));
    // Loopback is behind no NAT, so this is somebody else as well.
    let met = seen(page, "router.test").await;
    let Outcome::Other(what) = &met.outcome else { panic!("{met:?}") };
    assert!(what.starts_with("a certificate for router.test from ") && what.contains("200, Apache"), "{what}");

    let (prover, address, serving) = set_up(|_| None, NAME).await;
    drop(serving);
    let name = Host::parse(NAME).unwrap();
    let nobody = prover.prove(&Place { name: &name, host_header: NAME }, address).await;
    assert_eq!(nobody.outcome, Outcome::Unknown { why: "refuses connections".to_owned(), nat: false });
    assert!(!nobody.is_hidden_by_nat());
}

#[tokio::test]
async fn what_fails_once_is_tried_again() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let first: Spoil = |_| {
        let bad = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
        (ASKED.fetch_add(1, Ordering::Relaxed) == 0).then_some(bad)
    };
    let seen = seen(first, NAME).await;
    assert!(seen.is_proven() && seen.again, "{seen:?}");
}

/// The idle minute with a scaled-down limit.
#[tokio::test]
async fn silence_is_sat_through_or_cut() {
    let silence = Duration::from_millis(1200);
    for (spoil, survived) in [(|_: &mut Arrival| None) as Spoil, |_| Some("")].into_iter().zip([true, false]) {
        let (prover, address, serving) = set_up(spoil, NAME).await;
        let prover = prover.with_silence(silence);
        let name = Host::parse(NAME).unwrap();
        let place = Place { name: &name, host_header: NAME };
        let ask = async {
            let idle = prover.sit_through(&place, address).await.unwrap();
            assert_eq!(idle.at, Timestamp(1_790_000_000));
            match &idle.end {
                IdleEnd::Answered(after) => assert!(survived && *after == 1, "{idle:?}"),
                IdleEnd::Cut { after, with } => {
                    assert!(!survived && *after == 1 && with.starts_with("no answer"), "{idle:?}");
                }
            }
            // The next proof shows it.
            assert_eq!(prover.prove(&place, address).await.idle, Some(idle));
        };
        tokio::select! {
            () = ask => {}
            () = serving => unreachable!("it serves for ever"),
        }
    }
}

/// Facts go to another process as JSON.
#[test]
fn facts_survive_the_way() {
    let ip = "192.0.2.7".parse().unwrap();
    let change = Change { item: Item::Target, how: How::Refused, detail: "%2F".to_owned() };
    let ours =
        Outcome::Ours { changes: vec![change], ends: Ends::Before("x".to_owned()), source: ip, peer: ip, client: ip };
    for outcome in [ours, Outcome::Other("x".to_owned()), Outcome::Unknown { why: "x".to_owned(), nat: true }] {
        let seen = LoopSeen {
            address: "[2001:db8::1]:443".parse().unwrap(),
            outcome,
            hop: Some(Hop { kind: HopKind::Nginx, sign: "server: nginx".to_owned() }),
            again: true,
            idle: Some(Idle { at: Timestamp(5), end: IdleEnd::Cut { after: 3, with: "x".to_owned() } }),
        };
        let text = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<LoopSeen>(&text).unwrap(), seen, "{text}");
    }
}
