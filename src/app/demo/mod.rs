//! `vestibule demo`: the whole program on loopback, with nothing else on the machine.
//!
//! Everything is the real thing (configuration, internal CA, TLS, request path, check) except the
//! homeserver, which is [`homeserver`]: a stub with a real signing key of its own.

mod homeserver;

use super::{App, Ended, StartError};
use crate::admin::status::Checks;
use crate::certs::Store;
use crate::check::check;
use crate::check::network::{Network, Override};
use crate::check::report::Report;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::drain::Drain;
use crate::net::listen::Role;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use tokio::task::JoinSet;

/// The demo's server name. `.test` is reserved for this (RFC 6761), so it leads nowhere else.
pub const SERVER_NAME: &str = "demo.test";

/// Why the demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its own configuration is wrong.
    #[error("the demo's configuration is wrong: {0}")]
    Config(ConfigError),
    /// It cannot start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No socket for the stub homeserver.
    #[error("the stub homeserver cannot listen on 127.0.0.1")]
    Homeserver(#[from] io::Error),
    /// No key for it.
    #[error("the stub homeserver has no signing key")]
    Key,
    /// The listeners are not where they should be.
    #[error("the demo lacks a listener")]
    NoListener,
}

/// A running demo.
pub struct Demo {
    /// Where https is served.
    pub https: SocketAddr,
    /// Where federation without delegation is served.
    pub federation: SocketAddr,
    /// Where plain http is answered.
    pub http: SocketAddr,
    /// Where the status page is.
    pub status: SocketAddr,
    /// The root that its certificate ends in.
    pub root_pem: String,
    network: Network,
    clock: Clock,
    checks: Checks,
    drain: Drain,
    tasks: JoinSet<Result<Ended, StartError>>,
}

impl Demo {
    /// Starts everything. Must run inside a `LocalSet`.
    pub async fn start() -> Result<Self, DemoError> {
        let (drain, watch) = Drain::new();
        let (homeserver, serving) = homeserver::start(SERVER_NAME, watch.clone()).await?;
        let text = format!(
            "server_name = \"{SERVER_NAME}\"\nhomeserver = \"http://{homeserver}\"\n\
             [listen]\nhttps = [\"127.0.0.1:0\"]\nfederation = [\"127.0.0.1:0\"]\nhttp = [\"127.0.0.1:0\"]\nadmin = \"off\"\nstatus = \"127.0.0.1:0\"\n\
             [tls]\nissuer = \"internal\"\n\
             [well_known]\nsupport = {{ contacts = [{{ role = \"m.role.admin\", matrix_id = \"@admin:{SERVER_NAME}\" }}] }}\n\
             [check]\nnetwork = \"private\"\nstatus_check = true\n[limits]\ndrain = \"1s\"\n"
        );
        let config = Config::parse(&text, Path::new("demo"));
        let config = config.map_err(|mut errors| DemoError::Config(errors.remove(0)))?;
        let clock = Clock::System;
        let app = App::build(config, Store::memory(), clock.clone()).await?;
        let bound =
            |role| app.listeners().iter().find(|listener| listener.role == role).map(|listener| listener.address);
        let (Some(https), Some(federation), Some(http), Some(status)) =
            (bound(Role::Https), bound(Role::Federation), bound(Role::Http), app.status_address())
        else {
            return Err(DemoError::NoListener);
        };
        let root_pem = app.internal_root().unwrap_or_default().to_owned();
        let checks = app.checks();
        let network = network(&root_pem, https, federation, clock.clone());
        let mut tasks = JoinSet::new();
        let mut stop = watch;
        tasks.spawn_local(app.run_unchecked(async move { stop.started().await }));
        tasks.spawn_local(async move {
            serving.await;
            Ok(Ended::Clean)
        });
        Ok(Self { https, federation, http, status, root_pem, network, clock, checks, drain, tasks })
    }

    /// Checks the demo as a peer would, and has the status page say so.
    pub async fn check(&self) -> Report {
        let report = check(SERVER_NAME, &self.network).await;
        self.checks.ended(self.clock.now(), report.clone());
        report
    }

    /// Returns when the demo has ended by itself, as a signal makes it.
    pub async fn ended(&mut self) {
        // Taken from the set: what `stop` waits for is what is left.
        let _ = self.tasks.join_next().await;
    }

    /// Ends everything.
    pub async fn stop(mut self) -> Result<(), DemoError> {
        self.drain.start();
        while let Some(ended) = self.tasks.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    }
}

/// The real check, with the demo's name led to its listeners.
fn network(root_pem: &str, https: SocketAddr, federation: SocketAddr, clock: Clock) -> Network {
    let network = Network::from_system(clock).with_private(true);
    let network = network.clone().with_ca_pem(root_pem.as_bytes()).unwrap_or(network);
    let lead =
        |network: Network, from: u16, to: SocketAddr| match format!("{SERVER_NAME}:{from}:{}:{}", to.ip(), to.port())
            .parse::<Override>()
        {
            Ok(replacement) => network.with_override(replacement),
            Err(_) => network,
        };
    lead(lead(network, 443, https), 8448, federation)
}
