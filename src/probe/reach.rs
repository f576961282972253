//! Does an address lead to this very process? Asked as a CA asks: a challenge with a one-time token
//! is opened, and looked for over that address.

use super::connection::{describe, leaf, quote, tls_error};
use super::nonce::nonce;
use super::own::OwnListeners;
use crate::certs::Challenges;
use crate::matrix::Host;
use crate::net::exchange::{Bounds, ExchangeError, exchange};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::header::{CONNECTION, HOST, LOCATION, SERVER, USER_AGENT};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use http_body_util::Empty;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// For one address, all of it. Let's Encrypt's validation gives up after ten seconds, and neighbours
/// that need five are close to that.
const ADDRESS_LIMIT: Duration = Duration::from_secs(5);

/// Addresses that are tried at a time, and so, with [`MAX_ADDRESSES`], ten seconds for a name.
const PARALLEL: usize = 8;

/// More addresses of one name are not tried. Few names have more than four.
pub const MAX_ADDRESSES: usize = 2 * PARALLEL;

/// A stranger's whole page, so that its status can be told; ours is 32 bytes.
const MAX_BODY: usize = 256 * 1024;

/// What was found at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This process.
    Reached,
    /// Somebody else answered; what, in words.
    Other(String),
    /// Somebody else answered with a redirect, which a CA follows (RFC 8555 §8.3): whether it ends
    /// here is not known.
    Redirected(String),
    /// Nobody listens there.
    Refused,
    /// Nothing came within five seconds.
    TimedOut,
    /// The connection failed in another way; how, in words.
    Failed(String),
    /// Not tried, because a CA may be looking at this name's challenge right now.
    Busy,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reached => f.write_str("reaches this process"),
            Self::Other(what) => write!(f, "is answered by another program ({what})"),
            Self::Redirected(to) => write!(f, "redirects to {to}"),
            Self::Refused => f.write_str("refuses connections"),
            Self::TimedOut => write!(f, "does not answer within {} s", ADDRESS_LIMIT.as_secs()),
            Self::Failed(how) => write!(f, "cannot be asked ({how})"),
            Self::Busy => f.write_str("is being validated right now"),
        }
    }
}

/// Asks each of `addresses`, as HTTP-01 does (RFC 8555 §8.3). Addresses after the first
/// [`MAX_ADDRESSES`] are left out of the answer.
pub async fn over_http(
    own: &OwnListeners,
    challenges: &Challenges,
    name: &Host,
    addresses: &[SocketAddr],
) -> Vec<(SocketAddr, Reach)> {
    let (Ok(token), Ok(secret)) = (nonce(), nonce()) else {
        return all(addresses, &Reach::Failed("this machine gives no random numbers".to_owned()));
    };
    let _open = challenges.open_http(&token, &secret);
    each(addresses, |address| ask_http(own, name, &token, &secret, address)).await
}

/// Asks each of `addresses`, as TLS-ALPN-01 does (RFC 8737). Addresses after the first
/// [`MAX_ADDRESSES`] are left out of the answer.
pub async fn over_tls(
    own: &OwnListeners,
    challenges: &Challenges,
    name: &Host,
    addresses: &[SocketAddr],
) -> Vec<(SocketAddr, Reach)> {
    let sni = sni(name);
    let (certificate, asked_for) = match (throw_away(&sni), ServerName::try_from(sni.clone())) {
        (Ok(certificate), Ok(asked_for)) => (certificate, asked_for),
        (Err(error), _) => return all(addresses, &Reach::Failed(error.to_string())),
        (_, Err(error)) => return all(addresses, &Reach::Failed(error.to_string())),
    };
    let (shown, key) = certificate;
    let Some(_open) = challenges.open_tls_if_free(&sni, key) else {
        return all(addresses, &Reach::Busy);
    };
    each(addresses, |address| ask_tls(own, asked_for.clone(), &shown, address)).await
}

fn all(addresses: &[SocketAddr], reach: &Reach) -> Vec<(SocketAddr, Reach)> {
    addresses.iter().take(MAX_ADDRESSES).map(|address| (*address, reach.clone())).collect()
}

async fn each<F: Future<Output = Reach>>(
    addresses: &[SocketAddr],
    ask: impl Fn(SocketAddr) -> F,
) -> Vec<(SocketAddr, Reach)> {
    let ask = &ask;
    let bounded = async |address| (address, timeout(ADDRESS_LIMIT, ask(address)).await.unwrap_or(Reach::TimedOut));
    stream::iter(addresses.iter().copied().take(MAX_ADDRESSES)).map(bounded).buffered(PARALLEL).collect().await
}

async fn ask_http(own: &OwnListeners, name: &Host, token: &str, secret: &str, address: SocketAddr) -> Reach {
    let request = Request::get(format!("/.well-known/acme-challenge/{token}"))
        .header(HOST, name.to_string())
        .header(USER_AGENT, "vestibule, asking whether this is itself")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let request = match request {
        Ok(request) => request,
        Err(error) => return Reach::Failed(error.to_string()),
    };
    let stream = match own.connect(address).await {
        Ok(stream) => stream,
        Err(error) => return failed(&error),
    };
    match exchange(stream, request, Bounds { deadline: ADDRESS_LIMIT, max_body: MAX_BODY }).await {
        Ok(response) => judge_http(&response, secret),
        Err(ExchangeError::Timeout(_)) => Reach::TimedOut,
        Err(ExchangeError::TooLarge(limit)) => Reach::Other(format!("an answer of more than {limit} bytes")),
        Err(ExchangeError::Http(error)) if error.is_parse() => Reach::Other("not HTTP".to_owned()),
        Err(ExchangeError::Http(_)) => Reach::Failed("the connection ended without an answer".to_owned()),
    }
}

fn judge_http(response: &Response<Bytes>, secret: &str) -> Reach {
    let (status, headers) = (response.status(), response.headers());
    if status == StatusCode::OK && response.body().trim_ascii_end() == secret.as_bytes() {
        return Reach::Reached;
    }
    match header(headers, &LOCATION) {
        Some(to) if status.is_redirection() => Reach::Redirected(to),
        _ => {
            let server = header(headers, &SERVER).map(|server| format!(", {server}")).unwrap_or_default();
            Reach::Other(format!("HTTP status {}{server}", status.as_u16()))
        }
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| quote(&String::from_utf8_lossy(value.as_bytes())))
}

async fn ask_tls(
    own: &OwnListeners,
    name: ServerName<'static>,
    expected: &CertificateDer<'_>,
    address: SocketAddr,
) -> Reach {
    match leaf(own, address, name, &["acme-tls/1"]).await {
        Ok(shown) if shown == *expected => Reach::Reached,
        Ok(shown) => Reach::Other(describe(&shown)),
        Err(error) => match tls_error(&error) {
            Some(rustls::Error::InvalidMessage(_)) => Reach::Other("not TLS".to_owned()),
            Some(error) => Reach::Other(format!("TLS: {}", quote(&error.to_string()))),
            None => failed(&error),
        },
    }
}

fn failed(error: &io::Error) -> Reach {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Reach::Refused,
        io::ErrorKind::TimedOut => Reach::TimedOut,
        io::ErrorKind::UnexpectedEof => Reach::Failed("the connection ended without an answer".to_owned()),
        _ => Reach::Failed(error.to_string()),
    }
}

/// What a CA asks for: the name, or an address in reverse notation (RFC 8738 §6).
fn sni(name: &Host) -> String {
    match name {
        Host::Dns(name) => name.clone(),
        Host::Ip(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Host::Ip(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}

/// A certificate that no CA would take, with its key.
fn throw_away(name: &str) -> Result<(CertificateDer<'static>, Arc<CertifiedKey>), io::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
    let certificate = CertificateParams::new([name.to_owned()]).and_then(|params| params.self_signed(&key));
    let certificate = certificate.map_err(io::Error::other)?.der().clone();
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    let private = any_supported_type(&private).map_err(io::Error::other)?;
    Ok((certificate.clone(), Arc::new(CertifiedKey::new(vec![certificate], private))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::server::{ClientHello, ResolvesServerCert};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    fn host(text: &str) -> Host {
        Host::parse(text).unwrap()
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// What is found where these bytes answer every request; `SECRET` stands for what is expected.
    async fn http(answer: Option<&'static [u8]>) -> Reach {
        let challenges = Challenges::default();
        let (listener, address) = listener().await;
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 2048];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]);
            let path = request.split(' ').nth(1).unwrap();
            let token = path.strip_prefix("/.well-known/acme-challenge/").unwrap();
            let secret = challenges.answer_http(token).unwrap();
            let answer = String::from_utf8_lossy(answer.unwrap_or_default()).replace("SECRET", &secret);
            let _ = stream.write_all(answer.as_bytes()).await;
        };
        let own = OwnListeners::default();
        let name = host("a.test");
        let (found, ()) = tokio::join!(over_http(&own, &challenges, &name, std::slice::from_ref(&address)), serve);
        assert_eq!(found[0].0, address);
        assert_eq!(format!("{challenges:?}"), format!("{:?}", Challenges::default()), "the challenge is closed");
        found[0].1.clone()
    }

    #[tokio::test]
    async fn answers_over_http() {
        let other = |what: &str| Reach::Other(what.to_owned());
        let table: [(&'static [u8], Reach); 8] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\nSECRET", Reach::Reached),
            (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nSECRET\n", Reach::Reached),
            (b"HTTP/1.1 404 No\r\nContent-Length: 32\r\n\r\nSECRET", other("HTTP status 404")),
            (b"HTTP/1.1 200 OK\r\nServer: nginx\x1b[2J\r\nContent-Length: 2\r\n\r\nhi", other("not HTTP")),
            (b"HTTP/1.1 200 OK\r\nServer: nginx/1\r\nContent-Length: 2\r\n\r\nhi", other("HTTP status 200, nginx/1")),
            (
                b"HTTP/1.1 301 No\r\nLocation: https://b.test/x\r\nContent-Length: 0\r\n\r\n",
                Reach::Redirected("https://b.test/x".to_owned()),
            ),
            (b"SSH-2.0-OpenSSH\r\n", other("not HTTP")),
            (b"", Reach::Failed("the connection ended without an answer".to_owned())),
        ];
        for (answer, expected) in table {
            assert_eq!(http(Some(answer)).await, expected, "{:?}", String::from_utf8_lossy(answer));
        }
    }

    /// Shows the open challenge, or else this certificate.
    #[derive(Debug)]
    struct Server(Challenges, Option<Arc<CertifiedKey>>);

    impl ResolvesServerCert for Server {
        fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            assert!(hello.alpn().unwrap().any(|protocol| protocol == b"acme-tls/1"));
            self.1.clone().or_else(|| self.0.answer_tls(hello.server_name().unwrap()))
        }
    }

    /// What is found where this certificate is shown, or the one of the open challenge.
    async fn tls(name: &str, shown: Option<Arc<CertifiedKey>>, alpn: &[u8]) -> Reach {
        let challenges = Challenges::default();
        let (listener, address) = listener().await;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config =
            config.unwrap().with_no_client_auth().with_cert_resolver(Arc::new(Server(challenges.clone(), shown)));
        config.alpn_protocols = vec![alpn.to_vec()];
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await {
                let _ = stream.shutdown().await;
            }
        };
        let own = OwnListeners::default();
        let name = host(name);
        let (found, ()) = tokio::join!(over_tls(&own, &challenges, &name, std::slice::from_ref(&address)), serve);
        assert!(challenges.answer_tls(&sni(&name)).is_none(), "the challenge is closed");
        found[0].1.clone()
    }

    #[tokio::test]
    async fn answers_over_tls() {
        for name in ["a.test", "192.0.2.1", "[2001:db8::1]"] {
            assert_eq!(tls(name, None, b"acme-tls/1").await, Reach::Reached, "{name}");
        }
        // Another's certificate for the same name is not this process.
        let (_, other) = throw_away("a.test").unwrap();
        let Reach::Other(what) = tls("a.test", Some(other), b"acme-tls/1").await else { panic!("not told apart") };
        assert!(what.starts_with("a certificate for a.test from "), "{what}");
        let Reach::Other(what) = tls("a.test", None, b"h2").await else { panic!("a refusal is an answer") };
        assert!(what.starts_with("TLS: ") && what.contains("NoApplicationProtocol"), "{what}");
    }

    #[tokio::test]
    async fn nobody_and_no_tls() {
        let (listener, address) = listener().await;
        let (own, challenges, name) = (OwnListeners::default(), Challenges::default(), host("a.test"));
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            let _ = stream.read(&mut [0; 2048]).await;
        };
        let (found, ()) = tokio::join!(over_tls(&own, &challenges, &name, std::slice::from_ref(&address)), serve);
        assert_eq!(found[0].1, Reach::Other("not TLS".to_owned()));
        drop(listener);
        assert_eq!(over_tls(&own, &challenges, &name, &[address]).await, [(address, Reach::Refused)]);
        assert_eq!(over_http(&own, &challenges, &name, &[address]).await, [(address, Reach::Refused)]);
    }

    #[tokio::test]
    async fn an_order_under_way_is_left_alone() {
        let (own, challenges, name) = (OwnListeners::default(), Challenges::default(), host("a.test"));
        let (der, key) = throw_away("a.test").unwrap();
        let _order = challenges.open_tls("a.test", key);
        let address = "127.0.0.1:1".parse().unwrap();
        assert_eq!(over_tls(&own, &challenges, &name, &[address]).await, [(address, Reach::Busy)]);
        assert_eq!(challenges.answer_tls("a.test").unwrap().cert, [der]);
    }

    /// Five seconds for an address that never answers, however many there are.
    #[tokio::test(start_paused = true)]
    async fn silence_is_bounded() {
        let (listener, address) = listener().await;
        let (own, challenges, name) = (OwnListeners::default(), Challenges::default(), host("a.test"));
        let started = tokio::time::Instant::now();
        let found = over_http(&own, &challenges, &name, &[address; 40]).await;
        assert_eq!(found, vec![(address, Reach::TimedOut); MAX_ADDRESSES]);
        assert!(started.elapsed() <= 2 * ADDRESS_LIMIT + Duration::from_secs(1), "{:?}", started.elapsed());
        drop(listener);
    }

    #[test]
    fn addresses_are_asked_for_in_reverse() {
        assert_eq!(sni(&host("192.0.2.1")), "1.2.0.192.in-addr.arpa");
        let v6 = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(sni(&host("[2001:db8::1]")), v6);
    }
}
