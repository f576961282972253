//! Connections to ourselves, over the real listeners and workers.

use super::*;
use crate::acme::preflight::{Aspect, Preflight, ValidationPorts, Verdict};
use crate::config::Challenge;
use crate::dns::Resolver;
use crate::matrix::Host;
use crate::probe::shown::Seen;
use crate::probe::{Mismatch, OwnListeners, Reach, reach, shown};
use std::net::SocketAddr;
use std::path::Path;

const NAME: &str = "a.test";

/// A running program with a certificate of its own CA.
struct Running {
    own: OwnListeners,
    challenges: Challenges,
    serial: String,
    drain: Drain,
    _workers: Workers,
}

impl Running {
    async fn start(listen: &str) -> Self {
        let text = format!("server_name = {NAME:?}\n[tls]\nissuer = \"internal\"\n[listen]\n{listen}");
        let config = Config::parse(&text, Path::new("vestibule.toml")).unwrap();
        let proxy_protocol_from = config.listen.proxy_protocol_from.clone();
        let app = App::build(config, Store::memory(), Clock::System).await.unwrap();
        let own = OwnListeners {
            listeners: app.listeners.iter().map(|listener| (listener.role, listener.address)).collect(),
            proxy_protocol_from,
        };
        let serial = app.published().subscribe().borrow().values().next().unwrap().facts().serial.clone();
        let (drain, watch) = Drain::new();
        let workers = Workers::start(&app.shared, &app.listeners, &watch).unwrap();
        Self { own, challenges: app.shared.challenges.clone(), serial, drain, _workers: workers }
    }

    fn address(&self, role: Role) -> SocketAddr {
        let (_, address) = self.own.listeners.iter().find(|(listener, _)| *listener == role).unwrap();
        *address
    }

    async fn stop(self) {
        self.drain.start();
        self.drain.finished().await;
    }
}

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

/// With a header asked for, and without.
const LISTEN: [&str; 2] = [
    "https = [\"127.0.0.1:0\", \"[::]:0\"]\nfederation = [\"0.0.0.0:0\"]\nhttp = [\"127.0.0.1:0\"]",
    "https = [\"127.0.0.1:0\", \"[::]:0\"]\nfederation = [\"0.0.0.0:0\"]\nhttp = [\"127.0.0.1:0\"]\n\
     proxy_protocol_from = [\"127.0.0.0/8\", \"::1/128\"]",
];

#[tokio::test]
async fn this_process_is_told_from_others() {
    for listen in LISTEN {
        let running = Running::start(listen).await;
        let Running { own, challenges, .. } = &running;
        let name = host(NAME);
        let (http, https) = (running.address(Role::Http), running.address(Role::Https));
        assert_eq!(reach::over_http(own, challenges, &name, &[http]).await, [(http, Reach::Reached)]);
        for name in [name.clone(), host("not.served.test"), host("192.0.2.1")] {
            assert_eq!(reach::over_tls(own, challenges, &name, &[https]).await, [(https, Reach::Reached)]);
        }
        // Another process like this one knows nothing of the challenge.
        let elsewhere = Challenges::default();
        let other = Reach::Other("HTTP status 404".to_owned());
        assert_eq!(reach::over_http(own, &elsewhere, &name, &[http]).await, [(http, other)]);
        let refusal = Reach::Other("TLS: received fatal alert: UnrecognisedName".to_owned());
        assert_eq!(reach::over_tls(own, &elsewhere, &name, &[https]).await, [(https, refusal)]);
        running.stop().await;
    }
}

#[tokio::test]
async fn every_tls_listener_is_looked_at() {
    for listen in LISTEN {
        let running = Running::start(listen).await;
        let Running { own, serial, .. } = &running;
        assert_eq!(shown(own, &host(NAME), serial).await, []);
        // Without SNI there is the default certificate.
        assert_eq!(shown(own, &host("192.0.2.1"), serial).await, []);
        running.stop().await;
    }
}

/// Whoever has to say so waits three seconds: the listeners may have yet to hear of the certificate.
#[tokio::test]
async fn listeners_that_show_something_else_are_told() {
    let running = Running::start(LISTEN[1]).await;
    let Running { own, serial, .. } = &running;
    let (unknown, expected) = (host("b.test"), host(NAME));
    let (nothing, another) = tokio::join!(shown(own, &unknown, serial), shown(own, &expected, "00"));
    let told = |mismatches: &[Mismatch]| mismatches.iter().map(|found| found.address).collect::<Vec<_>>();
    let tls = own.listeners.iter().filter(|(role, _)| *role != Role::Http).map(|(_, address)| *address);
    let tls: Vec<_> = tls.collect();
    assert_eq!((told(&nothing), told(&another)), (tls.clone(), tls));
    for mismatch in nothing {
        assert!(mismatch.to_string().contains("shows no certificate: received fatal alert"), "{mismatch}");
    }
    assert!(another.iter().all(|mismatch| mismatch.seen == Seen::Serial(serial.clone())), "{another:?}");
    running.stop().await;
}

#[tokio::test]
async fn an_order_for_this_process_may_go_ahead() {
    let running = Running::start(LISTEN[1]).await;
    let preflight = Preflight {
        resolver: Resolver::offline(),
        challenges: running.challenges.clone(),
        store: Store::memory(),
        own: running.own.clone(),
        ports: ValidationPorts { http: running.address(Role::Http).port(), tls: running.address(Role::Https).port() },
    };
    let both = [Challenge::TlsAlpn01, Challenge::Http01];
    let report = preflight.examine(&[host("127.0.0.1").into()], &both, &[], None).await;
    let told: Vec<_> = report.findings.iter().map(|finding| (finding.what, finding.verdict)).collect();
    let good = [Aspect::State, Aspect::Reach, Aspect::Reach].map(|what| (what, Verdict::Good));
    assert_eq!(told, good, "{report:#?}");
    assert_eq!(report.usable(&both), both);
    running.stop().await;
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the time that passes outside the runtime is what counts")]
fn a_thread_that_hangs_in_the_system_holds_up_no_end() {
    let begun = std::time::Instant::now();
    let done = control_plane(async {
        // As a lookup does whose name server is silent.
        drop(tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_secs(60))));
        tokio::task::yield_now().await;
    });
    assert!(done.is_ok() && begun.elapsed() < Duration::from_secs(30));
}
