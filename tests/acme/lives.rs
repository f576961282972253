//! The manager in this process, on a paused clock, between a CA and a store that outlive it: what a crash, a wrong
//! record or a silent CA leaves behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use tokio::time::Instant;
use vestibule::acme::{Manager, Parts, Transport, WireError};
use vestibule::certs::keyring::Slot;
use vestibule::certs::{Certificate, Challenges, Keyring, Published, Store};
use vestibule::clock::{Clock, Timestamp};
use vestibule::config::{AcmeCa, Config};
use vestibule::dns::Resolver;
use vestibule::matrix::Host;

use crate::support::faulty_ca::{Answer, Fault, FaultyCa, Kind, Matcher, Problem, Settings};

/// 2026-11-23 12:00 UTC.
const BEGIN: i64 = 1_795_435_200;

const HOUR: u64 = 3_600;

/// A store and a clock; processes come and go.
struct Life {
    store: Store,
    begin: Instant,
    met: Arc<AtomicBool>,
    /// Of the last process.
    published: Mutex<Arc<Published>>,
}

/// Hands requests to the CA whose host they name. What is not answered ends after the half minute that a real exchange has.
struct InProcess {
    cas: Vec<FaultyCa>,
    begin: Instant,
    answered: Arc<Notify>,
}

impl Transport for InProcess {
    fn exchange(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<Bytes>, WireError>> {
        let now = BEGIN + i64::try_from(self.begin.elapsed().as_secs()).unwrap();
        let host = request.uri().host().expect("a host").to_owned();
        let ca = self.cas.iter().find(|ca| ca.directory().starts_with(&format!("https://{host}/"))).expect("its CA");
        let answer = ca.answer(&request, now);
        self.answered.notify_one();
        Box::pin(async move {
            let silence = Duration::from_secs(30);
            tokio::time::sleep(Duration::from_millis(20)).await;
            match answer {
                Answer::Respond(response) => Ok(response),
                Answer::Hang | Answer::Reset => {
                    tokio::time::sleep(silence).await;
                    Err(WireError::Timeout("ca.test".to_owned(), silence))
                }
            }
        })
    }
}

impl Life {
    fn new() -> Self {
        Self {
            store: Store::memory(),
            begin: Instant::now(),
            met: Arc::new(AtomicBool::new(true)),
            published: Mutex::default(),
        }
    }

    /// A CA that validates as `met` says.
    fn ca(&self, settings: Settings) -> FaultyCa {
        let met = Arc::clone(&self.met);
        settings.start(move |_| met.load(Ordering::Relaxed).then_some(()).ok_or_else(|| "nothing there".to_owned()))
    }

    /// What the last process served at its end.
    fn slots(&self) -> BTreeMap<Slot, Arc<Certificate>> {
        self.published.lock().unwrap().subscribe().borrow().clone()
    }

    /// Runs the manager for so long, or until `end` says that it crashes.
    async fn run(&self, cas: &[&FaultyCa], config: &str, longest: Duration, end: impl Fn() -> bool) {
        let config = Config::parse(config, Path::new("t.toml")).expect("a configuration");
        let clock = Clock::Shifted { at: self.begin, shown: Timestamp(BEGIN), ahead: Arc::new(AtomicI64::new(0)) };
        let published = Arc::<Published>::default();
        *self.published.lock().unwrap() = Arc::clone(&published);
        let parts = Parts {
            store: self.store.clone(),
            published,
            challenges: Challenges::default(),
            clock,
            resolver: Resolver::from_system(),
            preflight: None,
            random: Arc::new(|| 7),
        };
        let answered = Arc::new(Notify::new());
        let cas: Vec<FaultyCa> = cas.iter().map(|ca| (*ca).clone()).collect();
        let transport = |_: &AcmeCa| -> Result<Arc<dyn Transport>, std::convert::Infallible> {
            Ok(Arc::new(InProcess { cas: cas.clone(), begin: self.begin, answered: Arc::clone(&answered) }))
        };
        let Ok(manager) = Manager::new(parts, &config.acme, None, transport);
        let orders = config.names.orders().to_vec();
        manager.publish_stored(&orders, config.names.certificate_names()).await;
        let (_asking, asked) = mpsc::channel(1);
        let process = LocalSet::new();
        process.spawn_local(manager.run(orders, asked, true));
        let until = Instant::now() + longest;
        process
            .run_until(async { while !end() && tokio::time::timeout_at(until, answered.notified()).await.is_ok() {} })
            .await;
    }
}

fn config(cas: &[&FaultyCa], challenges: &[&str], servers: usize) -> String {
    let (first, others) = cas.split_first().expect("a CA");
    let mut text = format!("[acme]\ndirectory = {:?}\nchallenges = {challenges:?}\n", first.directory());
    for other in others {
        text += &format!("[[acme.fallback]]\ndirectory = {:?}\n", other.directory());
    }
    for server in 0..servers {
        text += &format!("[[server]]\nserver_name = \"s{server}.test\"\npublic_host = \"matrix.s{server}.test\"\n");
    }
    text
}

/// Fifty names behind a CA that says nothing: each is at the next CA within minutes.
#[tokio::test(start_paused = true)]
async fn a_silent_ca_holds_nobody_up() {
    let life = Life::new();
    let (silent, next) = (life.ca(FaultyCa::settings()), life.ca(FaultyCa::settings().base("https://next.test")));
    silent.fault(Matcher::any(), Fault::Hang);
    let config = config(&[&silent, &next], &["http-01"], 50);
    life.run(&[&silent, &next], &config, Duration::from_secs(300), || false).await;
    assert_eq!(next.records().certificates.len(), 50);
}

/// A program that dies whenever the CA has looked in vain must not spend the CA's patience by being started again.
#[tokio::test(start_paused = true)]
async fn a_crash_loop_stays_within_the_limit_on_failed_validations() {
    let life = Life::new();
    life.met.store(false, Ordering::Relaxed);
    let ca = life.ca(FaultyCa::settings());
    let config = config(&[&ca], &["http-01"], 1);
    for _ in 0..100 {
        let before = ca.with_records(|records| records.count(Kind::Challenge));
        let announced = || ca.with_records(|records| records.count(Kind::Challenge)) > before;
        life.run(&[&ca], &config, Duration::from_secs(HOUR / 10), announced).await;
    }
    let records = ca.records();
    assert!(records.over_limits().is_empty(), "{:?}", records.over_limits());
    assert!(records.orders.len() > 2, "it goes on trying");
}

/// The certificate that an order of days ago led to is about to expire, and is replaced although it has just arrived.
#[tokio::test(start_paused = true)]
async fn an_order_that_was_left_behind_opens_no_gap() {
    const LIFETIME: i64 = 160 * 3_600;
    let life = Life::new();
    let ca = life.ca(FaultyCa::settings().profiles(&[]).lifetime(LIFETIME).without_renewal_info());
    let config = config(&[&ca], &["http-01"], 1);
    let finalised = || ca.with_records(|records| records.count(Kind::Finalize)) > 0;
    life.run(&[&ca], &config, Duration::from_secs(HOUR), finalised).await;
    assert_eq!(ca.records().certificates.len(), 1, "issued, and nobody heard of it");
    // The machine is off until a few hours are left.
    tokio::time::sleep(Duration::from_secs(156 * HOUR)).await;
    for _ in 0..40 {
        life.run(&[&ca], &config, Duration::from_secs(HOUR), || false).await;
        let now = BEGIN + i64::try_from(life.begin.elapsed().as_secs()).unwrap();
        let slots = life.slots();
        assert!(slots.values().any(|certificate| certificate.is_valid_at(Timestamp(now))), "a gap");
    }
    assert!(ca.records().over_limits().is_empty());
}

/// What is wrong with the account at the rehearsal stage keeps nobody from ordering.
#[tokio::test(start_paused = true)]
async fn a_stage_without_an_account_is_no_stage() {
    let life = Life::new();
    let ca = life.ca(FaultyCa::settings());
    let stage = life.ca(FaultyCa::settings().base("https://stage.test"));
    let config = config(&[&ca], &["http-01"], 1);
    let config = config.replacen("challenges", &format!("staging = {:?}\nchallenges", stage.directory()), 1);
    life.store.store("acme/stage.test_directory/account.json", b"{}").await.unwrap();
    life.met.store(false, Ordering::Relaxed);
    life.run(&[&ca, &stage], &config, Duration::from_secs(30), || false).await;
    assert_eq!(ca.records().failures.len(), 2, "one for each name");
    life.met.store(true, Ordering::Relaxed);
    life.run(&[&ca, &stage], &config, Duration::from_secs(HOUR), || false).await;
    assert_eq!(ca.records().certificates.len(), 1);
}

/// A name that moves into another name's certificate shows what an earlier configuration left for it only until the
/// new one is there, whichever of the two names comes first in the alphabet.
#[tokio::test(start_paused = true)]
async fn what_is_left_of_another_configuration_gives_way() {
    let life = Life::new();
    let ca = life.ca(FaultyCa::settings());
    let now = config(&[&ca], &["http-01"], 1);
    let before = format!("{now}apex = \"elsewhere\"\n");
    life.run(&[&ca], &before, Duration::from_secs(HOUR), || false).await;
    ca.outage(0, BEGIN + 7_200);
    let served = [Host::parse("matrix.s0.test").unwrap()];
    let shown = || {
        let keyring = Keyring::new(&life.slots(), &served, None, Timestamp(0));
        keyring.for_name("matrix.s0.test").expect("a certificate").names()
    };
    life.run(&[&ca], &now, Duration::from_secs(60), || false).await;
    assert_eq!(shown(), "matrix.s0.test");
    life.run(&[&ca], &now, Duration::from_secs(3 * HOUR), || false).await;
    assert_eq!(shown(), "matrix.s0.test,s0.test");
}

/// A name whose certificate bore another name first is served from it until it has one of its own.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_left_alone_keeps_its_certificate() {
    let life = Life::new();
    let ca = life.ca(FaultyCa::settings());
    let both = config(&[&ca], &["http-01"], 1);
    life.run(&[&ca], &both, Duration::from_secs(HOUR), || false).await;
    ca.outage(0, i64::MAX);
    life.run(&[&ca], &format!("{both}apex = \"elsewhere\"\n"), Duration::from_secs(HOUR), || false).await;
    let host = Host::parse("matrix.s0.test").unwrap();
    assert!(life.slots().values().any(|certificate| certificate.covers(&host)));
}

/// An order that ends before every name is answered for has the CA look for none of them.
#[tokio::test(start_paused = true)]
async fn nothing_is_announced_before_everything_is_open() {
    let life = Life::new();
    let ca = life.ca(FaultyCa::settings());
    let broken = Fault::Problem(Problem::new(500, "serverInternal", "no"));
    ca.fault(Matcher::of(Kind::Authorization).skip(1).times(1), broken);
    let config = config(&[&ca], &["http-01"], 1);
    life.run(&[&ca], &config, Duration::from_secs(30), || false).await;
    assert_eq!(ca.records().count(Kind::Challenge), 0);
    life.run(&[&ca], &config, Duration::from_secs(300), || false).await;
    assert_eq!((ca.records().orders.len(), ca.records().certificates.len()), (1, 1));
}

/// A CA withdraws the profile that is asked for, as they do.
#[tokio::test(start_paused = true)]
async fn a_withdrawn_profile_leads_to_the_next_ca() {
    let life = Life::new();
    let (first, next) = (life.ca(FaultyCa::settings()), life.ca(FaultyCa::settings().base("https://next.test")));
    let config = config(&[&first, &next], &["http-01"], 1);
    let config = config.replacen("challenges", "profile = \"tlsclient\"\nchallenges", 1);
    life.run(&[&first, &next], &config, Duration::from_secs(60), || false).await;
    assert_eq!((first.records().orders.len(), next.records().certificates.len()), (0, 1));
}
