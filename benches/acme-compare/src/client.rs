//! The two clients, each set up as its own documentation has it, on the same listener and the same kind of store.

use std::fmt::{self, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::{AcmeConfig, EventOk};
use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use vestibule::acme::{Https, Manager, Parts};
use vestibule::certs::{Challenges, Published, Store};
use vestibule::clock::Clock;
use vestibule::config::Config;
use vestibule::dns::Resolver;

use crate::listener;
use crate::shelf::Shelf;

/// The name that is ordered.
const NAME: &str = "compared.test";

/// After a certificate is in service, for what is still written.
const SETTLE: Duration = Duration::from_secs(1);

/// Whose life it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    RustlsAcme,
    Vestibule,
}

impl Client {
    pub const ALL: [Self; 2] = [Self::RustlsAcme, Self::Vestibule];

    pub fn name(self) -> &'static str {
        match self {
            Self::RustlsAcme => "rustls-acme",
            Self::Vestibule => "vestibule",
        }
    }
}

/// From one start to one stop.
pub struct Life {
    pub directory: String,
    /// Trusted for the directory.
    pub root: PathBuf,
    /// Where challenges are answered.
    pub socket: TcpListener,
    pub shelf: Shelf,
    /// When it is given up.
    pub limit: Duration,
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// When a certificate was in service.
    pub served: Option<Duration>,
    /// The first thing that an operator is told to be wrong.
    pub told: Option<(Duration, String)>,
}

type Notes = Arc<Mutex<Seen>>;

impl Life {
    /// Lives until a certificate is in service, or until the limit. Blocks its thread, which both clients share with
    /// nobody.
    pub fn live(&self, client: Client) -> Seen {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let notes = Notes::default();
        let tasks = tokio::task::LocalSet::new();
        let life = async {
            let run = async {
                match client {
                    Client::RustlsAcme => self.rustls_acme(&notes).await,
                    Client::Vestibule => self.vestibule(&notes).await,
                }
            };
            // Out of time is one of the outcomes.
            let _ended = tokio::time::timeout(self.limit, run).await;
        };
        tasks.block_on(&runtime, life);
        drop(tasks);
        drop(runtime);
        notes.lock().expect("nobody panics while holding it").clone()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(&self.root).expect("Pebble's root") {
            roots.add(root.expect("a certificate")).expect("a root");
        }
        roots
    }

    async fn rustls_acme(&self, notes: &Notes) {
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(self.roots())
            .with_no_client_auth();
        let config = AcmeConfig::new_with_client_config([NAME], Arc::new(tls))
            .directory(&self.directory)
            .contact_push("mailto:admin@compared.test")
            .cache(self.shelf.clone());
        let begin = Instant::now();
        let mut state = config.state();
        let challenges = listener::serve(&self.socket, state.resolver());
        let events = async {
            while let Some(event) = state.next().await {
                match event {
                    Ok(EventOk::DeployedCachedCert | EventOk::DeployedNewCert) => {
                        note_served(notes, begin);
                        // What it does next, such as writing the certificate, is done in here.
                        let _ended =
                            tokio::time::timeout(SETTLE, async { while state.next().await.is_some() {} }).await;
                        return;
                    }
                    Ok(EventOk::CertCacheStore | EventOk::AccountCacheStore) => {}
                    Err(error) => note_told(notes, begin, error.to_string()),
                }
            }
        };
        tokio::select! {
            () = challenges => {}
            () = events => {}
        }
    }

    async fn vestibule(&self, notes: &Notes) {
        let begin = Instant::now();
        let log = tracing_subscriber::registry().with(Log { begin, notes: Arc::clone(notes) });
        // For this thread, where all of this life is.
        let _log = tracing::subscriber::set_default(log);
        let text = format!(
            "server_name = \"{NAME}\"\nemail = \"admin@compared.test\"\n\
             [acme]\ndirectory = \"{}\"\nca_file = \"{}\"\nchallenges = [\"tls-alpn-01\"]\n",
            self.directory,
            self.root.display(),
        );
        let config = Config::parse(&text, Path::new("compared.toml")).expect("a configuration");
        let parts = Parts {
            store: Store::new(self.shelf.clone()),
            published: Arc::new(Published::default()),
            challenges: Challenges::default(),
            clock: Clock::System,
            resolver: Resolver::offline(),
            // It keeps orders back that cannot succeed; here it is what happens at the CA that counts.
            preflight: None,
            random: Arc::new(|| 0),
        };
        let mut published = parts.published.subscribe();
        let resolver = Arc::new(Answers(parts.challenges.clone()));
        let transport = |_: &_| Https::new(self.roots()).map(|https| Arc::new(https) as Arc<_>);
        let manager = Manager::new(parts, &config.acme, config.email.as_deref(), transport).expect("a manager");
        let served = async {
            let there = published.wait_for(|slots| !slots.is_empty()).await.is_ok();
            assert!(there, "the manager ended");
            note_served(notes, begin);
            tokio::time::sleep(SETTLE).await;
        };
        let run = async {
            let orders = config.names.orders();
            manager.publish_stored(orders, config.names.certificate_names()).await;
            let (_asks, asked) = mpsc::channel(1);
            manager.run(orders.to_vec(), asked, true).await;
        };
        tokio::select! {
            () = listener::serve(&self.socket, resolver) => {}
            () = run => {}
            () = served => {}
        }
    }
}

fn note_served(notes: &Notes, begin: Instant) {
    notes.lock().expect("nobody panics while holding it").served.get_or_insert(begin.elapsed());
}

fn note_told(notes: &Notes, begin: Instant, text: String) {
    notes.lock().expect("nobody panics while holding it").told.get_or_insert((begin.elapsed(), text));
}

/// What vestibule's listeners show to a CA.
#[derive(Debug)]
struct Answers(Challenges);

impl ResolvesServerCert for Answers {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.answer_tls(hello.server_name()?)
    }
}

/// Notes the first warning of vestibule's log, which is how it tells.
struct Log {
    begin: Instant,
    notes: Notes,
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target().starts_with("vestibule") && *metadata.level() <= Level::WARN {
            let mut line = Line::default();
            event.record(&mut line);
            note_told(&self.notes, self.begin, line.0);
        }
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "{name}={value:?} "),
        };
    }
}
