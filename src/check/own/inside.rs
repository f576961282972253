//! What answers behind this program: the homeserver, its workers, the authentication service; and
//! whether the homeserver can be reached past this program.
//!
//! Each connection is used once and every one is bounded; they are opened side by side.

use super::files::FileSeen;
use super::settings::{At, Listener, Purpose};
use crate::check::network::Network;
use crate::config::{Pool, Server, UpstreamAddress, WorkerKind};
use crate::net::exchange::{Bounds, exchange};
use crate::net::stream::Stream;
use crate::telemetry::log::Chain;
use bytes::Bytes;
use futures_util::future::join_all;
use http::header::{CONNECTION, HOST, SERVER, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Empty;
use serde_json::Value;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout};

/// Answers that matter are a few kilobytes.
const MAX_BODY: usize = 256 * 1024;

/// How long an answer may take: as long as the data plane gives `/health`.
const PATIENCE: Duration = Duration::from_secs(5);

/// What failed sooner is asked again: a homeserver may just be restarting. What took longer would again.
const QUICK: Duration = Duration::from_secs(1);

/// More endpoints than this are not asked: a check is no load test.
const MAX_ENDPOINTS: usize = 64;

/// More of this machine's addresses than this are not tried.
const MAX_ADDRESSES: usize = 4;

/// More ports than this are not tried at them.
const MAX_PORTS: usize = 8;

/// "API versions", which every homeserver answers without a token.
const VERSIONS: &str = "/_matrix/client/versions";
/// "Publishing keys": says whose homeserver it is.
const KEYS: &str = "/_matrix/key/v2/server";
/// "Supported login flows".
pub const LOGIN: &str = "/_matrix/client/v3/login";
/// "Server metadata discovery" (client-server API v1.15), and its name before that (MSC2965).
const METADATA: [&str; 2] =
    ["/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata"];
/// The authentication service's own metadata (OpenID Connect Discovery).
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// What every process of Synapse answers.
const HEALTH: &str = "/health";

/// An answer, as far as it matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The `Server` header.
    pub server: Option<String>,
    /// The body as JSON, where it is some.
    pub json: Option<Value>,
}

/// An answer, or why there is none.
pub type Reply = Result<Answer, Trouble>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No connection.
    Connect(String),
    /// This user may not open the socket.
    Denied,
    /// A connection, but no answer.
    Silent(String),
}

/// What answers behind this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside {
    /// The homeserver's API versions.
    pub versions: Reply,
    /// Its key document.
    pub keys: Reply,
    /// Its own login flows, asked of it and not of the authentication service.
    pub login: Reply,
    /// Its authentication metadata.
    pub metadata: Reply,
    /// Every endpoint of every pool.
    pub endpoints: Vec<Endpoint>,
    /// The authentication service, where one is configured.
    pub mas: Option<Mas>,
    /// Listeners of the homeserver that answer at addresses which are not loopback.
    pub open: Vec<Open>,
}

/// An endpoint of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The pool.
    pub pool: String,
    /// Whether it takes kinds of the worker map; otherwise it is some other service, and only a connection is tried.
    pub is_worker: bool,
    /// Where it is.
    pub address: UpstreamAddress,
    /// `/health`.
    pub health: Reply,
    /// One path for each resource it needs, and the answer.
    pub resources: Vec<(Resource, Reply)>,
}

/// What a worker's listener must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `client`.
    Client,
    /// `federation`.
    Federation,
    /// `media`.
    Media,
}

/// The authentication service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mas {
    /// Its login flows, which it has for clients that know no OAuth.
    pub login: Reply,
    /// Its metadata.
    pub discovery: Reply,
}

/// A listener that answers past this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// What it is.
    pub purpose: Purpose,
    /// Where it answered.
    pub addresses: Vec<SocketAddr>,
}

impl Resource {
    /// Its name in the worker's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Federation => "federation",
            Self::Media => "media",
        }
    }

    /// A path that a worker with the resource has, and one without it answers with 404.
    pub fn path(self) -> &'static str {
        match self {
            Self::Client => "/_matrix/client/v3/sync",
            Self::Federation => "/_matrix/federation/v1/version",
            Self::Media => "/_matrix/media/v3/config",
        }
    }

    /// The resource that requests of `kind` need.
    fn of(kind: WorkerKind) -> Self {
        match kind {
            WorkerKind::FederationInbound | WorkerKind::FederationReader => Self::Federation,
            WorkerKind::Media => Self::Media,
            _ => Self::Client,
        }
    }
}

impl Inside {
    /// The server name by the homeserver's own account.
    pub fn server_name(&self) -> Option<&str> {
        let answer = self.keys.as_ref().ok().filter(|answer| answer.status == 200)?;
        answer.json.as_ref()?.get("server_name")?.as_str()
    }
}

/// Looks at everything that answers for `server`.
pub(super) async fn look(network: &Network, server: &Server, file: Option<&FileSeen>) -> Inside {
    let homeserver = &server.homeserver;
    let endpoints: Vec<_> = server
        .pools
        .iter()
        .flat_map(|pool| pool.endpoints.iter().map(move |address| endpoint(network, pool, address)))
        .take(MAX_ENDPOINTS)
        .collect();
    // They stand on this machine or beside it, and each gets a few small requests.
    let endpoints = join_all(endpoints);
    let mas = async {
        let address = server.services.mas.as_ref()?;
        let (login, discovery) = tokio::join!(ask(network, address, LOGIN), ask(network, address, DISCOVERY));
        Some(Mas { login, discovery })
    };
    let (versions, keys, login, metadata, endpoints, mas, open) = tokio::join!(
        ask(network, homeserver, VERSIONS),
        ask(network, homeserver, KEYS),
        ask(network, homeserver, LOGIN),
        metadata(network, homeserver),
        endpoints,
        mas,
        open(network, homeserver, file),
    );
    Inside { versions, keys, login, metadata, endpoints, mas, open }
}

async fn metadata(network: &Network, address: &UpstreamAddress) -> Reply {
    let [stable, unstable] = METADATA;
    let reply = ask(network, address, stable).await;
    match &reply {
        Ok(answer) if answer.status == 404 => ask(network, address, unstable).await,
        _ => reply,
    }
}

async fn endpoint(network: &Network, pool: &Pool, address: &UpstreamAddress) -> Endpoint {
    let mut needed: Vec<Resource> = Vec::new();
    for resource in pool.serves.iter().map(|kind| Resource::of(*kind)) {
        if !needed.contains(&resource) {
            needed.push(resource);
        }
    }
    let is_worker = !needed.is_empty();
    let health = async {
        match is_worker {
            true => ask(network, address, HEALTH).await,
            // Some other service: that it takes connections is all that is known to be right.
            false => connect(network, address).await.map(|_| Answer { status: 200, server: None, json: None }),
        }
    };
    let resources = needed.iter().map(|resource| ask(network, address, resource.path()));
    let (health, replies) = tokio::join!(health, join_all(resources));
    let resources = needed.into_iter().zip(replies).collect();
    Endpoint { pool: pool.name.clone(), is_worker, address: address.clone(), health, resources }
}

/// Where the homeserver's listeners answer at this machine's own addresses other than loopback.
async fn open(network: &Network, homeserver: &UpstreamAddress, file: Option<&FileSeen>) -> Vec<Open> {
    let mut ports: Vec<(u16, Purpose)> = Vec::new();
    let matrix = Purpose::Matrix { client: true, federation: true };
    ports.extend(loopback_port(homeserver).map(|port| (port, matrix)));
    let listeners = file.and_then(|file| file.content.as_ref().ok()).into_iter().flat_map(|file| &file.listeners);
    for Listener { at, purpose, .. } in listeners.filter(|listener| listener.is_open()) {
        if let (At::Tcp(_, port), Purpose::Internal(_)) = (at, purpose)
            && !ports.iter().any(|(known, _)| known == port)
        {
            ports.push((*port, *purpose));
        }
    }
    let addresses = own_addresses();
    let looks = ports.into_iter().take(MAX_PORTS).map(|(port, purpose)| {
        let tries = addresses.iter().map(move |address| answers(network, SocketAddr::new(*address, port), purpose));
        let tries: Vec<_> = tries.collect();
        async move { Open { purpose, addresses: join_all(tries).await.into_iter().flatten().collect() } }
    });
    let looks: Vec<_> = looks.collect();
    join_all(looks).await.into_iter().filter(|open| !open.addresses.is_empty()).collect()
}

async fn answers(network: &Network, address: SocketAddr, purpose: Purpose) -> Option<SocketAddr> {
    let upstream = UpstreamAddress::Tcp(address);
    let there = match purpose {
        // Something else may have the port at that address.
        Purpose::Matrix { .. } => ask_once(network, &upstream, VERSIONS).await.is_ok_and(|answer| is_versions(&answer)),
        Purpose::Internal(_) => connect(network, &upstream).await.is_ok(),
    };
    there.then_some(address)
}

/// The port of an upstream on this machine's loopback.
fn loopback_port(homeserver: &UpstreamAddress) -> Option<u16> {
    match homeserver {
        UpstreamAddress::Tcp(address) => address.ip().is_loopback().then(|| address.port()),
        UpstreamAddress::Name(name, port) => (name == "localhost").then_some(*port),
        UpstreamAddress::Unix(_) => None,
    }
}

/// This machine's addresses that others may reach.
fn own_addresses() -> Vec<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let addresses = interfaces.into_iter().map(|interface| interface.ip());
    // A link-local address needs a zone, and nobody but a neighbour could use it.
    let reachable = addresses.filter(|address| match address {
        IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    });
    reachable.take(MAX_ADDRESSES).collect()
}

/// Whether an answer to "API versions" is a homeserver's.
pub fn is_versions(answer: &Answer) -> bool {
    let versions = answer.json.as_ref().and_then(|json| json.get("versions"));
    answer.status == 200 && versions.is_some_and(Value::is_array)
}

/// Asks, and asks again after a pause where that may help.
async fn ask(network: &Network, address: &UpstreamAddress, path: &'static str) -> Reply {
    let started = Instant::now();
    let first = ask_once(network, address, path).await;
    match first {
        Err(Trouble::Connect(_) | Trouble::Silent(_)) if started.elapsed() < QUICK => {
            tokio::time::sleep(network.limits.retry).await;
            ask_once(network, address, path).await
        }
        _ => first,
    }
}

async fn ask_once(network: &Network, address: &UpstreamAddress, path: &'static str) -> Reply {
    let stream = connect(network, address).await?;
    let host = match address {
        UpstreamAddress::Tcp(address) => address.to_string(),
        UpstreamAddress::Name(name, port) => format!("{name}:{port}"),
        UpstreamAddress::Unix(_) => "localhost".to_owned(),
    };
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("vestibule/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Trouble::Silent(error.to_string()))?;
    let bounds = Bounds { deadline: PATIENCE.min(network.limits.exchange), max_body: MAX_BODY };
    let answer = exchange(stream, request, bounds).await.map_err(|error| Trouble::Silent(Chain(&error).to_string()))?;
    let server = answer.headers().get(SERVER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let json = match answer.status() {
        StatusCode::NO_CONTENT => None,
        _ => serde_json::from_slice(answer.body()).ok(),
    };
    Ok(Answer { status: answer.status().as_u16(), server, json })
}

async fn connect(network: &Network, address: &UpstreamAddress) -> Result<Stream, Trouble> {
    let connecting = async {
        match address {
            UpstreamAddress::Tcp(address) => TcpStream::connect(*address).await.map(Stream::Left),
            UpstreamAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::Right),
            UpstreamAddress::Name(name, port) => {
                let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
                for address in lookup_host((name.as_str(), *port)).await? {
                    match TcpStream::connect(address).await {
                        Ok(stream) => return Ok(Stream::Left(stream)),
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
        }
    };
    match timeout(network.limits.connect, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(Trouble::Denied),
        Ok(Err(error)) => Err(Trouble::Connect(error.to_string())),
        Err(_) => Err(Trouble::Connect(format!("no connection within {} s", network.limits.connect.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::own::Subject;
    use crate::clock::{Clock, Timestamp};
    use crate::config::Config;
    use crate::dns::Resolver;
    use rustls::RootCertStore;
    use std::path::Path;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    fn network() -> Network {
        Network::new(Resolver::offline(), RootCertStore::empty(), Clock::fixed(Timestamp(1_769_000_000)))
    }

    fn server(text: &str) -> Server {
        let config = Config::parse(text, Path::new("v.toml")).unwrap();
        Subject::all(&config).remove(0).server
    }

    /// Answers each connection with this body; `None` takes them and says nothing.
    async fn serve(listener: TcpListener, body: Option<&str>) {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some(body) = body else {
                kept.push(stream);
                continue;
            };
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    }

    /// A homeserver on all addresses is found at each that is not loopback; one on loopback is not.
    #[tokio::test]
    async fn what_listens_everywhere_is_seen() {
        const BODY: &str = r#"{"versions":["v1.11"],"server_name":"ex.org"}"#;
        for (bind, expected) in
            [("0.0.0.0:0", own_addresses().iter().filter(|own| own.is_ipv4()).count()), ("127.0.0.1:0", 0)]
        {
            let listener = TcpListener::bind(bind).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = server(&format!("server_name = \"ex.org\"\nhomeserver = \"http://127.0.0.1:{port}\"\n"));
            let network = network();
            tokio::select! {
                () = serve(listener, Some(BODY)) => unreachable!("it serves for ever"),
                inside = look(&network, &server, None) => {
                    assert_eq!(inside.server_name(), Some("ex.org"));
                    assert!(is_versions(inside.versions.as_ref().unwrap()));
                    let answered: usize = inside.open.iter().map(|open| open.addresses.len()).sum();
                    assert_eq!(answered, expected, "{bind}: {:?}", inside.open);
                }
            }
        }
    }

    /// Whatever hangs, the look ends.
    #[tokio::test(start_paused = true)]
    async fn nobody_answers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let socket = "unix:/does/not/exist.sock";
        let text = format!(
            "server_name = \"ex.org\"\nhomeserver = \"http://{at}\"\nmas.url = \"{socket}\"\n[[upstream]]\nname = \"w\"\n\
             endpoints = [\"http://{at}\", \"{socket}\"]\nserves = [\"sync\", \"media\", \"federation_reader\"]\n"
        );
        let (network, server) = (network(), server(&text));
        let started = Instant::now();
        tokio::select! {
            () = serve(listener, None) => unreachable!("it serves for ever"),
            inside = look(&network, &server, None) => {
                assert!(matches!(inside.versions, Err(Trouble::Silent(_))), "{:?}", inside.versions);
                assert!(matches!(inside.mas.unwrap().login, Err(Trouble::Connect(_))));
                assert_eq!(inside.endpoints.len(), 2);
                assert!(inside.endpoints.iter().all(|endpoint| endpoint.health.is_err() && endpoint.resources.len() == 3));
            }
        }
        assert!(started.elapsed() <= PATIENCE + QUICK, "{:?}", started.elapsed());
    }
}
