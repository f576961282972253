//! [`FaultyCa`] on a socket, for the real program: HTTPS on a port of its own, and challenges looked at over the network.

mod validation;

use std::convert::Infallible;
use std::fs;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket2::SockRef;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::ca::TestCa;
use super::faulty_ca::{Answer, FaultyCa, Settings, Validation, Validator};

/// A listening CA. Dropping it closes the listener and every connection.
pub struct FaultyServer {
    ca: FaultyCa,
    folder: TempDir,
    offset: Arc<AtomicI64>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// Begun by [`FaultyServer::settings`], ended by [`ServerSettings::start`].
pub struct ServerSettings {
    ca: Settings,
    http_port: u16,
    tls_port: u16,
    dns: Arc<Validator>,
}

impl ServerSettings {
    /// Where HTTP-01 and TLS-ALPN-01 are tried, on whatever addresses the machine has for the name.
    pub fn challenge_ports(mut self, http: u16, tls: u16) -> Self {
        (self.http_port, self.tls_port) = (http, tls);
        self
    }

    /// Who looks whether dns-01 is met; if not set, it never is.
    pub fn dns(mut self, look: impl Fn(&Validation) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.dns = Arc::new(look);
        self
    }

    /// Listens on a port of 127.0.0.1 of its own.
    #[track_caller]
    pub fn start(self) -> FaultyServer {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endpoint = TestCa::new(folder.path()).issue(&["127.0.0.1", "localhost"]);
        let tls = acceptor(&endpoint.chain, &endpoint.key);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on 127.0.0.1");
        let address = listener.local_addr().expect("a bound socket has an address");
        let Self { ca, http_port, tls_port, dns } = self;
        let ca = ca.base(&format!("https://{address}")).start(move |challenge| match challenge.kind.as_str() {
            "http-01" => validation::http_01(challenge, http_port),
            "tls-alpn-01" => validation::tls_alpn_01(challenge, tls_port),
            _ => dns(challenge),
        });
        let offset = Arc::new(AtomicI64::new(0));
        let (stop, stopped) = oneshot::channel();
        let server = Server { ca: ca.clone(), offset: Arc::clone(&offset), tls };
        let thread = thread::spawn(move || server.run(listener, stopped));
        FaultyServer { ca, folder, offset, stop: Some(stop), thread: Some(thread) }
    }
}

impl FaultyServer {
    /// On the ports of the real challenges.
    pub fn settings(ca: Settings) -> ServerSettings {
        let dns = Arc::new(|challenge: &Validation| Err(format!("no TXT record for {}", challenge.identifier)));
        ServerSettings { ca, http_port: 80, tls_port: 443, dns }
    }

    /// The CA itself, for its faults and records.
    pub fn ca(&self) -> &FaultyCa {
        &self.ca
    }

    /// The URL that goes into `[acme] directory`.
    pub fn directory(&self) -> String {
        self.ca.directory()
    }

    /// The root of the directory's own certificate: what goes into `[acme] ca_file`.
    pub fn endpoint_root(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The root that issued certificates lead to, written to `folder`.
    #[track_caller]
    pub fn save_issuing_root(&self, folder: &Path) -> PathBuf {
        let file = folder.join("issuing-root.pem");
        fs::write(&file, self.ca.issuing_root()).expect("a writable folder");
        file
    }

    /// The true time as the CA sees it, in seconds since 1970.
    pub fn now(&self) -> i64 {
        now(&self.offset)
    }

    /// Lets so many seconds pass at once, for the CA alone.
    pub fn pass(&self, seconds: i64) {
        self.offset.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Drop for FaultyServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Whoever listens there next must not meet this one's listener.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

fn now(offset: &AtomicI64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(now.as_secs()).expect("a clock before the end of time") + offset.load(Ordering::Relaxed)
}

fn acceptor(chain: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(chain).expect("a chain").collect::<Result<_, _>>().expect("a chain");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("the provider's versions").with_no_client_auth().with_single_cert(chain, key);
    TlsAcceptor::from(Arc::new(config.expect("a certificate that was just made")))
}

/// What the serving thread works with.
#[derive(Clone)]
struct Server {
    ca: FaultyCa,
    offset: Arc<AtomicI64>,
    tls: TlsAcceptor,
}

impl Server {
    fn run(self, listener: TcpListener, stopped: oneshot::Receiver<Infallible>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut connections = JoinSet::new();
            tokio::select! {
                error = self.accept(listener, &mut connections) => panic!("the CA cannot accept: {error}"),
                _ = stopped => {}
            }
        });
        // A challenge that is being looked at has deadlines of its own.
        runtime.shutdown_background();
    }

    async fn accept(&self, listener: TcpListener, connections: &mut JoinSet<()>) -> io::Error {
        let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
        let listener = match listener {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let server = self.clone();
                    connections.spawn(async move { drop(server.serve(stream).await) });
                    while connections.try_join_next().is_some() {}
                }
                Err(error) => return error,
            }
        }
    }

    async fn serve(self, stream: TcpStream) -> io::Result<()> {
        let stream = stream.into_std()?;
        // A second handle, to cut the connection off under the TLS.
        let socket = Arc::new(stream.try_clone()?);
        let stream = self.tls.accept(TcpStream::from_std(stream)?).await?;
        let service = service_fn(|request: Request<Incoming>| {
            let (server, socket) = (self.clone(), Arc::clone(&socket));
            async move {
                let (head, body) = request.into_parts();
                let request = Request::from_parts(head, body.collect().await.map_err(io::Error::other)?.to_bytes());
                // Challenges may be looked at meanwhile.
                let answer = tokio::task::spawn_blocking(move || server.answer(&request)).await?;
                match answer {
                    Answer::Respond(response) => Ok(response.map(Full::new)),
                    Answer::Hang => pending().await,
                    Answer::Reset => {
                        SockRef::from(&*socket).set_linger(Some(Duration::ZERO))?;
                        Err(io::Error::from(io::ErrorKind::ConnectionReset))
                    }
                }
            }
        });
        // The CA says itself what time it is, or does not.
        let connection = http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(stream), service);
        connection.await.map_err(io::Error::other)
    }

    fn answer(&self, request: &Request<Bytes>) -> Answer {
        self.ca.answer(request, now(&self.offset))
    }
}
