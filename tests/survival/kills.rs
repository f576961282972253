//! Kills at random moments of first orders and of renewals.

use std::env;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{HOSTS, LIMIT, NAMES, SOON, Scene, stop};
use crate::support::eventually::settled;
use crate::support::sandbox;
use crate::support::vestibule::Vestibule;

/// In the gate; `make release-check` asks for 200.
const KILLS: usize = 40;

/// Certificates of one life: what a client of Let's Encrypt has in a week, and vestibule takes no more.
const CERTIFICATES: usize = 4;

/// Starts of one life. An order that is cut short in its first milliseconds counts as an attempt, and two of them make
/// the rest of the hour quiet.
const STARTS: usize = 12;

/// Longer than a start and a whole order take.
const LONGEST: Duration = Duration::from_secs(3);

/// Between two looks for the moment.
const LOOK: Duration = Duration::from_micros(500);

/// When to kill.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the process began.
    After(Duration),
    /// So long after the CA saw so many requests.
    Request(usize, Duration),
    /// So long after an order was written down.
    Placed(Duration),
    /// So long after the CA made a certificate.
    Issued(Duration),
    /// So long after a new certificate was shown.
    Shown(Duration),
}

/// SplitMix64: a seed that is printed brings the same moments back.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn moment(&mut self) -> Moment {
        let requests = usize::try_from(self.below(24)).expect("a small number");
        match self.below(8) {
            0 => Moment::After(Duration::from_millis(self.below(600))),
            1..=3 => Moment::Request(requests, Duration::from_micros(self.below(6_000))),
            4 => Moment::Placed(Duration::from_micros(self.below(60_000))),
            5 | 6 => Moment::Issued(Duration::from_micros(self.below(40_000))),
            _ => Moment::Shown(Duration::from_millis(self.below(1000))),
        }
    }
}

/// What one state folder has been through.
#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    /// Kills with an order under way in the state folder.
    under_way: usize,
    lives: usize,
    /// Lives that ended with an order held back by the record of orders.
    held: usize,
    issued: usize,
    orders: usize,
}

/// A life, from an empty state folder on.
struct Life {
    scene: Scene,
    /// The newest certificate that was ever shown.
    newest: Option<usize>,
}

impl Life {
    fn new() -> Self {
        let scene = Scene::new();
        scene.demand_replacement();
        Self { scene, newest: None }
    }

    /// Checks what is shown: never nothing where something was shown before, never what had been replaced.
    #[track_caller]
    fn look(&mut self) {
        let served = self.scene.served();
        assert!(served >= self.newest, "{served:?} is served after {:?}", self.newest);
        self.newest = served;
    }

    /// Starts, and kills at the moment. Returns whether it came.
    #[track_caller]
    fn kill_at(&mut self, moment: Moment) -> bool {
        let began = Instant::now();
        let issued_before = self.scene.count()[2];
        let requests_before = self.scene.ca().with_records(|records| records.requests.len());
        let newest_before = self.newest;
        let mut vestibule = Vestibule::spawn(&self.scene.config());
        let mut seen = false;
        let mut since = None;
        let mut asked: Option<Asked> = None;
        loop {
            let now = Instant::now();
            if !seen && self.scene.trust.handshake().is_ok() {
                self.look();
                seen = true;
            }
            if seen && asked.is_none() && issued_before >= 2 {
                // The CA's demand is met once in two days, that of a person at once.
                asked = Some(Asked::new(&self.scene));
            }
            let (come, delay) = match moment {
                Moment::After(delay) => (true, delay),
                Moment::Request(count, delay) => {
                    let requests = self.scene.ca().with_records(|records| records.requests.len());
                    (requests >= requests_before + count, delay)
                }
                Moment::Placed(delay) => {
                    // Its folder may not be there yet.
                    let acme = self.scene.state().join("acme");
                    (acme.exists() && self.scene.pending_file().exists(), delay)
                }
                Moment::Issued(delay) => (self.scene.count()[2] > issued_before, delay),
                Moment::Shown(delay) => {
                    if seen && since.is_none() && self.scene.count()[2] > issued_before {
                        self.look();
                    }
                    (self.newest > newest_before, delay)
                }
            };
            if come && since.is_none() {
                since = Some(if matches!(moment, Moment::After(_)) { began } else { now });
            }
            if since.is_some_and(|since| now.duration_since(since) >= delay) || began.elapsed() > LONGEST {
                break;
            }
            assert!(vestibule.process().try_wait().is_none(), "it ended by itself");
            thread::sleep(LOOK);
        }
        // SIGKILL.
        drop(vestibule);
        since.is_some()
    }

    /// One more run that nobody disturbs. Returns whether the record of orders holds anything back.
    #[track_caller]
    fn run_in_peace(&mut self) -> bool {
        let began = Instant::now();
        let vestibule = Vestibule::spawn(&self.scene.config());
        while self.scene.trust.handshake().is_err() {
            assert!(began.elapsed() < SOON, "nobody listens");
            thread::sleep(LOOK);
        }
        self.look();
        let scene = &self.scene;
        let requests = || scene.ca().with_records(|records| records.requests.len());
        settled("requests to the CA", Duration::from_millis(1500), SOON, requests);
        self.look();
        let [_, orders, issued] = self.scene.count();
        // What the CA has made is fetched, whenever the process was killed.
        assert_eq!(self.newest, issued.checked_sub(1), "the newest certificate is not served");
        assert!(!self.scene.ca_folder().join("pending").join(format!("{}.json", NAMES[0])).exists());
        stop(vestibule);
        orders > issued || issued == 0
    }
}

/// Somebody who has the certificate renewed, in the background.
struct Asked(Child);

impl Asked {
    #[track_caller]
    fn new(scene: &Scene) -> Self {
        let mut renew = scene.renew_by_force();
        Self(renew.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[test]
fn killed_at_any_moment_it_serves_the_old_or_the_new() {
    const NAME: &str = "killed_at_any_moment_it_serves_the_old_or_the_new";
    let number = |name: &str| env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: {text}")));
    let kills = number("KILLS").map_or(KILLS, |kills| usize::try_from(kills).expect("a small number"));
    let limit = LIMIT + Duration::from_secs(5) * u32::try_from(kills).expect("a small number");
    sandbox::run(module_path!(), NAME, &HOSTS, limit, || {
        let seed = number("KILLS_SEED").unwrap_or(1);
        println!("KILLS={kills} KILLS_SEED={seed}");
        let mut random = Random(seed);
        let mut tally = Tally::default();
        while tally.kills < kills {
            let mut life = Life::new();
            for _ in 0..STARTS {
                if tally.kills == kills || life.scene.count()[2] == CERTIFICATES {
                    break;
                }
                let moment = random.moment();
                let came = life.kill_at(moment);
                println!("life {}, kill {} {moment:?}: {:?} made", tally.lives, tally.kills, life.scene.count());
                tally.kills += 1;
                let acme = life.scene.state().join("acme").exists();
                tally.under_way += usize::from(acme && life.scene.pending_file().exists());
                if !came {
                    break;
                }
            }
            tally.held += usize::from(life.run_in_peace());
            life.scene.assert_clean();
            let [_, orders, issued] = life.scene.count();
            (tally.lives, tally.orders, tally.issued) = (tally.lives + 1, tally.orders + orders, tally.issued + issued);
        }
        println!("{tally:?}");
        assert!(tally.under_way * 10 >= tally.kills, "too few kills met an order: {tally:?}");
        assert!(tally.issued >= tally.lives, "too little was issued: {tally:?}");
    });
}
