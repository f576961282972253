//! A machine with a manager on it, its CAs, and the time that passes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use vestibule::acme::ask::Asked;
use vestibule::acme::{Manager, Parts, Transport};
use vestibule::certs::keyring::Slot;
use vestibule::certs::{Certificate, Challenges, Published, Store};
use vestibule::config::{Acme, AcmeCa, CertificateOrder, Challenge};
use vestibule::dns::Resolver;
use vestibule::matrix::HostPattern;

use crate::support::faulty_ca::{Breach, FaultyCa, RequestRecord, Rule, Settings, Validation};

use super::disk::Disk;
use super::life::NOISE_RETRY_AFTER;
use super::oracle::Oracle;
use super::random::Random;
use super::rim::Rim;
use super::road::Road;
use super::time::{HOUR, Time, shown};
use super::troubles::Troubles;

/// The longest time between two looks at what is served. What changes is looked at at once.
const LOOK: i64 = HOUR;

/// How a life is set up.
pub struct Set {
    pub seed: u64,
    pub cas: Vec<Settings>,
    /// The names of each certificate.
    pub names: Vec<Vec<String>>,
    /// Whether the machine verifies the CAs' own certificates by its clock, as HTTPS does.
    pub verifies: bool,
    /// At the start, seconds.
    pub clock_error: i64,
    pub challenges: Vec<Challenge>,
    /// Judged by the general rules; a directed life may have others.
    pub judged: bool,
}

impl Set {
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            cas: vec![FaultyCa::settings().seed(seed)],
            names: vec![vec!["a.test".to_owned(), "matrix.a.test".to_owned()]],
            verifies: false,
            clock_error: 0,
            challenges: vec![Challenge::TlsAlpn01, Challenge::Http01],
            judged: true,
        }
    }
}

/// Which ways to prove control over a name are shut.
#[derive(Default)]
pub struct Doors {
    pub http: AtomicBool,
    pub tls: AtomicBool,
}

impl Doors {
    pub fn shut(&self, http: bool, tls: bool) {
        self.http.store(http, Ordering::Relaxed);
        self.tls.store(tls, Ordering::Relaxed);
    }
}

/// A process.
struct Process {
    published: Arc<Published>,
    changes: watch::Receiver<std::collections::BTreeMap<Slot, Arc<Certificate>>>,
    task: JoinHandle<()>,
    /// Nobody asks while it is held.
    asked: mpsc::Sender<Asked>,
}

/// Everything. Must live inside a `LocalSet`, with tokio's time paused.
pub struct World {
    set: Set,
    pub time: Time,
    pub random: Arc<Random>,
    pub rim: Rim,
    pub disk: Disk,
    pub cas: Vec<FaultyCa>,
    pub doors: Arc<Doors>,
    pub troubles: Troubles,
    pub oracles: Rc<RefCell<Vec<Oracle>>>,
    open: Arc<Mutex<Challenges>>,
    settings: Acme,
    process: Option<Process>,
    /// When processes began.
    pub starts: Vec<i64>,
    pub deaths: usize,
    /// The CAs tell nothing about renewals.
    pub deaf: bool,
}

impl World {
    /// Makes it, and starts nothing yet.
    pub fn new(set: Set) -> Self {
        let time = Time::begin();
        time.set_error(set.clock_error);
        let random = Arc::new(Random::new(set.seed));
        let rim = Rim::new(time.clone());
        let (open, doors) = (Arc::new(Mutex::new(Challenges::default())), Arc::new(Doors::default()));
        let mut cas = Vec::new();
        for (number, settings) in set.cas.iter().enumerate() {
            let (open, doors) = (Arc::clone(&open), Arc::clone(&doors));
            let base = format!("https://ca{number}.test");
            let settings = settings.clone().base(&base);
            cas.push(settings.start(move |validation| is_met(validation, &open, &doors)));
        }
        let authority = |ca: &FaultyCa| AcmeCa {
            directory: ca.directory(),
            ca_file: None,
            profile: None,
            external_account: None,
            staging: None,
        };
        let settings = Acme {
            cas: cas.iter().map(authority).collect(),
            challenges: set.challenges.clone(),
            dns: None,
            wildcards: Vec::new(),
            expiry_hook: None,
        };
        let oracles = set.names.iter().map(|names| Oracle::new(&names[0], time.now())).collect();
        let troubles = Troubles { cas: cas.len(), ..Troubles::default() };
        Self {
            disk: Disk::new(Arc::new(Random::new(set.seed ^ 1)), rim.clone()),
            oracles: Rc::new(RefCell::new(oracles)),
            set,
            time,
            random,
            rim,
            cas,
            doors,
            troubles,
            open,
            settings,
            process: None,
            starts: Vec::new(),
            deaths: 0,
            deaf: false,
        }
    }

    /// Ends the process that runs, wherever it is, and starts another.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.rim.note("a process starts");
        self.starts.push(self.time.now());
        self.disk.restarted();
        self.rim.revive();
        let published = Arc::new(Published::default());
        let challenges = Challenges::default();
        *self.open.lock().expect("nobody panics with it") = challenges.clone();
        let random = Arc::clone(&self.random);
        let parts = Parts {
            store: Store::new(self.disk.clone()),
            published: Arc::clone(&published),
            challenges,
            clock: self.time.clock(),
            resolver: Resolver::offline(),
            preflight: None,
            random: Arc::new(move || random.next()),
        };
        let manager = Manager::new(parts, &self.settings, Some("admin@a.test"), |ca| self.road(ca)).expect("a manager");
        let order = |names: &Vec<String>| CertificateOrder {
            names: names.iter().map(|name| HostPattern::parse(name).expect("a name")).collect(),
        };
        let orders: Vec<_> = self.set.names.iter().map(order).collect();
        let (asked, requests) = mpsc::channel(4);
        let task = tokio::task::spawn_local(async move {
            manager.publish_stored(&orders, &[]).await;
            manager.run(orders, requests, true).await;
        });
        let changes = published.subscribe();
        self.process = Some(Process { published, changes, task, asked });
        self.look();
    }

    /// Ends the process.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            self.look();
            process.task.abort();
            let _ = process.task.await;
            // Its tasks end when they are looked at next.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        }
    }

    fn road(&self, ca: &AcmeCa) -> Result<Arc<dyn Transport>, std::convert::Infallible> {
        let number = self.cas.iter().position(|known| known.directory() == ca.directory).expect("a CA of this world");
        Ok(Arc::new(Road {
            ca: self.cas[number].clone(),
            host: format!("ca{number}"),
            time: self.time.clone(),
            rim: self.rim.clone(),
            random: Arc::clone(&self.random),
            verifies: self.set.verifies,
        }))
    }

    /// Whether a process came too early because the one before it had no moment to write down what it was told.
    pub fn was_forgotten(&self, breach: &Breach) -> bool {
        // A directory's is not written down at all: it costs the CA nothing that counts.
        let written_within = if breach.detail.starts_with("Directory") { NOISE_RETRY_AFTER } else { 1 };
        let told = |start: &&i64| {
            let asked = self.cas.iter().any(|ca| {
                ca.with_records(|records| {
                    let refused = |request: &&RequestRecord| request.status == Some(503);
                    let mut before =
                        records.requests.iter().rev().filter(refused).skip_while(|request| request.at > **start);
                    before.next().is_some_and(|request| **start - request.at <= written_within)
                })
            });
            asked && (**start..**start + NOISE_RETRY_AFTER).contains(&breach.at)
        };
        breach.rule == Rule::BeforeRetryAfter && self.starts.iter().any(|start| told(&start))
    }

    /// Lets time pass until this true time. Processes that die are followed by others.
    pub async fn until(&mut self, at: i64) {
        loop {
            self.look();
            let left = at - self.time.now();
            if left <= 0 {
                return;
            }
            let pause = Duration::from_secs(u64::try_from(left.min(LOOK)).unwrap_or(1));
            let changes = self.process.as_mut().map(|process| &mut process.changes);
            let changed = async {
                match changes {
                    Some(changes) => changes.changed().await.expect("the process holds the other end"),
                    None => std::future::pending().await,
                }
            };
            let died = tokio::select! {
                () = tokio::time::sleep(pause) => false,
                () = changed => false,
                () = self.rim.died() => true,
            };
            if died {
                self.deaths += 1;
                self.rim.note("the process dies");
                self.rim.set_back();
                self.restart().await;
            }
        }
    }

    pub async fn pass(&mut self, seconds: i64) {
        self.until(self.time.now() + seconds).await;
    }

    /// Judges what was served up to now, and sees what is served from now on.
    pub fn look(&self) {
        let now = self.time.now();
        let setbacks = || self.rim.setbacks();
        let oracles = Rc::clone(&self.oracles);
        for oracle in oracles.borrow_mut().iter_mut() {
            let read = self.disk.was_read(&oracle.first);
            let judged = oracle.look(now, &self.troubles, &setbacks, read);
            self.insist(&oracle.first, judged);
            let slot = Slot::Issued(oracle.first.clone());
            let served =
                self.process.as_ref().and_then(|process| process.published.subscribe().borrow().get(&slot).cloned());
            let id = served.as_ref().and_then(|served| served.facts().renewal_id.clone());
            if id.as_deref() == oracle.served().map(super::oracle::Served::id) {
                continue;
            }
            let record = id.as_ref().and_then(|id| {
                self.cas.iter().enumerate().find_map(|(number, ca)| {
                    let found = |record: &&crate::support::faulty_ca::CertificateRecord| record.ari_id == *id;
                    ca.with_records(|records| Some((number, records.certificates.iter().rfind(found)?.clone())))
                })
            });
            let shows = served.as_ref().zip(record.as_ref());
            if let Some((_, (ca, record))) = shows {
                self.rim.note(format!("{} serves one of ca{ca} until {}", oracle.first, shown(record.not_after)));
            }
            let shows = shows.map(|(served, (ca, record))| (served.as_ref(), *ca, record));
            let judged = oracle.change(now, shows, &self.troubles, &setbacks);
            self.insist(&oracle.first, judged);
        }
    }

    fn insist(&self, first: &str, judged: Result<(), String>) {
        if let (Err(wrong), true) = (judged, self.set.judged) {
            self.fail(&format!("{first}: {wrong}"));
        }
    }

    /// Ends the life, with all that is needed to live it again.
    pub fn fail(&self, wrong: &str) -> ! {
        panic!(
            "seed {} at {} ({}): {wrong}\nclock error {} s; events before:\n{}\nto see it again: YEARS_SEED={} YEARS_LOG=1",
            self.set.seed,
            shown(self.time.now()),
            self.time.now(),
            self.time.error(),
            self.rim.journal(),
            self.set.seed
        )
    }

    /// What is served for the first names.
    pub fn served(&self) -> Option<super::oracle::Served> {
        self.oracles.borrow()[0].served().cloned()
    }

    /// Where people ask.
    pub fn asked(&self) -> mpsc::Sender<Asked> {
        self.process.as_ref().expect("a process").asked.clone()
    }
}

/// Looks at a challenge as a CA does.
fn is_met(validation: &Validation, open: &Mutex<Challenges>, doors: &Doors) -> Result<(), String> {
    let challenges = open.lock().expect("nobody panics with it").clone();
    match validation.kind.as_str() {
        "http-01" if !doors.http.load(Ordering::Relaxed) => {
            let answer = challenges.answer_http(&validation.token);
            let good = answer.as_ref() == Some(&validation.key_authorization);
            good.then_some(()).ok_or_else(|| format!("the answer is {answer:?}"))
        }
        "tls-alpn-01" if !doors.tls.load(Ordering::Relaxed) => {
            let answer = challenges.answer_tls(&validation.identifier).ok_or("no certificate")?;
            let digest = validation.digest();
            let good = answer.cert[0].windows(digest.len()).any(|part| part == digest);
            good.then_some(()).ok_or_else(|| "another digest".to_owned())
        }
        _ => Err("nobody answers".to_owned()),
    }
}
