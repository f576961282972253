//! The operator's files, watched: a new pair comes into service by itself once it is whole.
//!
//! By asking, not by inotify: that says nothing of changes on network and overlay file systems, nor
//! of the target of a symbolic link, and certbot's files are links. Asking costs a `stat` of each
//! file. Only a pair that belongs together, is valid now and has stood still between two looks is
//! published; until then the last good one stays, whatever the files have become.

use super::files::{self, FilesError, Loaded};
use super::keyring::Slot;
use super::{Certificate, Published};
use crate::clock::Clock;
use crate::config::CertificateFiles;
use crate::matrix::Host;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How often the files are looked at. Renewals come days before they are needed: this is for the
/// person who waits at a terminal.
pub const INTERVAL: Duration = Duration::from_secs(5);

/// A new pair is looked at once more after this part of the interval.
const CONFIRMATION: u32 = 5;

/// At every so many looks the files are read although nothing seems to have changed: a rewrite in
/// place can leave size and times alone where the file system counts in whole seconds.
const READ_ANYWAY: u32 = 12;

/// How long the content may be wrong before anybody is told. Files are copied one after the other,
/// sometimes by hand.
const HALF_WRITTEN: Duration = Duration::from_secs(60);

/// The same for files that are gone or may not be read. A replacement leaves that for an instant.
const ABSENT: Duration = Duration::from_secs(10);

/// How long a file system may take before somebody is told.
const SLOW: Duration = Duration::from_secs(60);

/// Watches every pair and publishes what they become.
#[derive(Debug)]
pub struct Watch {
    published: Arc<Published>,
    served: Vec<Host>,
    clock: Clock,
    interval: Duration,
    pairs: Vec<Pair>,
}

/// One pair of files.
#[derive(Debug)]
struct Pair {
    index: usize,
    files: CertificateFiles,
    state: State,
}

/// What is known of a pair.
#[derive(Debug, Default)]
struct State {
    /// The last good one.
    current: Option<Arc<Certificate>>,
    /// Read once; published if the next look finds it unchanged.
    candidate: Option<Certificate>,
    /// The files as they were before the last reading.
    read: Option<Fingerprint>,
    /// Looks since then.
    looks: u32,
    /// What is wrong, and since when.
    wrong: Option<(String, Instant)>,
    /// What of that has been told.
    told: Option<String>,
    /// Repairs that have been told.
    repairs: Vec<String>,
}

/// What a reading comes to.
#[derive(Debug)]
enum Outcome {
    /// As it was.
    Same,
    /// As it was, after something had been told to be wrong.
    Mended,
    /// A pair that must be seen once more.
    Unconfirmed,
    /// A pair to publish, and the repairs in it that are news.
    New(Arc<Certificate>, Vec<String>),
    /// Wrong, but not for long, or told already.
    Wrong,
    /// Wrong, and to be told.
    Complaint(String),
}

/// The chain, the key, and the `fullchain.pem` that may complete the chain, as `stat` describes
/// what the links lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint([Result<Seen, io::ErrorKind>; 3]);

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    device: u64,
    inode: u64,
    size: u64,
    /// Content: seconds and nanoseconds.
    modified: (i64, i64),
    /// Content, owner and mode; nobody can set it back.
    changed: (i64, i64),
}

impl Fingerprint {
    fn of(files: &CertificateFiles) -> Self {
        let see = |path: &Path| {
            let seen = path.metadata().map_err(|error| error.kind())?;
            Ok(Seen {
                device: seen.dev(),
                inode: seen.ino(),
                size: seen.size(),
                modified: (seen.mtime(), seen.mtime_nsec()),
                changed: (seen.ctime(), seen.ctime_nsec()),
            })
        };
        Self([see(&files.chain), see(&files.key), see(&files::fullchain(files))])
    }
}

impl State {
    /// Whether the files must be read again, given what they look like.
    fn must_read(&mut self, seen: Fingerprint) -> bool {
        self.looks += 1;
        let unsettled = self.candidate.is_some() || self.wrong.is_some();
        let must = unsettled || self.looks >= READ_ANYWAY || self.read.as_ref() != Some(&seen);
        if must {
            self.looks = 0;
            self.read = Some(seen);
        }
        must
    }

    /// What to make of what has been read.
    fn judge(&mut self, read: Result<Loaded, FilesError>, now: Instant) -> Outcome {
        let Loaded { certificate, repairs } = match read {
            Ok(loaded) => loaded,
            Err(error) => return self.complain(&error, now),
        };
        self.wrong = None;
        if self.current.as_ref().is_some_and(|current| current.has_chain_of(&certificate)) {
            self.candidate = None;
            return if self.told.take().is_some() { Outcome::Mended } else { Outcome::Same };
        }
        if !self.candidate.take().is_some_and(|candidate| candidate.has_chain_of(&certificate)) {
            self.candidate = Some(certificate);
            return Outcome::Unconfirmed;
        }
        self.told = None;
        let news = repairs.iter().filter(|repair| !self.repairs.contains(repair)).cloned().collect();
        self.repairs = repairs;
        let certificate = Arc::new(certificate);
        self.current = Some(Arc::clone(&certificate));
        Outcome::New(certificate, news)
    }

    /// Says what is wrong once it has stayed so for a while, and once.
    fn complain(&mut self, error: &FilesError, now: Instant) -> Outcome {
        self.candidate = None;
        let patience = match error {
            FilesError::Unreadable { .. } => ABSENT,
            FilesError::Invalid { .. } | FilesError::Unfit { .. } => HALF_WRITTEN,
        };
        let error = error.to_string();
        let since = match &self.wrong {
            Some((before, since)) if *before == error => *since,
            _ => now,
        };
        let due = now.duration_since(since) >= patience && self.told.as_ref() != Some(&error);
        self.wrong = Some((error.clone(), since));
        if !due {
            return Outcome::Wrong;
        }
        self.told = Some(error.clone());
        Outcome::Complaint(error)
    }
}

impl Watch {
    /// Nothing is watched yet. The names in `served` are those that a certificate is missed for.
    pub fn new(published: Arc<Published>, served: Vec<Host>, clock: Clock, interval: Duration) -> Self {
        Self { published, served, clock, interval, pairs: Vec::new() }
    }

    /// Adds the pair of `Slot::Files(index)` with what has been told of it already: why it could not
    /// be used, or what had to be repaired. What is published in the slot is its last good one.
    pub fn add(&mut self, index: usize, files: CertificateFiles, refused: Option<String>, repairs: Vec<String>) {
        let current = self.published.subscribe().borrow().get(&Slot::Files(index)).cloned();
        let state = State { current, told: refused, repairs, ..State::default() };
        self.pairs.push(Pair { index, files, state });
    }

    /// Never returns, unless there is nothing to watch.
    pub async fn run(mut self) {
        let pairs = std::mem::take(&mut self.pairs);
        // Side by side: a network file system that hangs holds up its own pair only.
        futures_util::future::join_all(pairs.into_iter().map(|pair| self.follow(pair))).await;
    }

    async fn follow(&self, mut pair: Pair) {
        let mut wait = self.interval;
        loop {
            sleep(wait).await;
            let outcome = self.look(&mut pair).await;
            wait = match &outcome {
                Some(Outcome::Unconfirmed) => self.interval / CONFIRMATION,
                _ => self.interval,
            };
            if let Some(outcome) = outcome {
                self.act(&pair, outcome);
            }
        }
    }

    async fn look(&self, pair: &mut Pair) -> Option<Outcome> {
        let files = pair.files.clone();
        let seen = blocking(&pair.files, move || Fingerprint::of(&files)).await?;
        if !pair.state.must_read(seen) {
            return None;
        }
        let (files, now) = (pair.files.clone(), self.clock.now());
        let read = blocking(&pair.files, move || files::load(&files, now)).await?;
        Some(pair.state.judge(read, Instant::now()))
    }

    fn act(&self, pair: &Pair, outcome: Outcome) {
        let path = pair.files.chain.display();
        match outcome {
            Outcome::Same | Outcome::Unconfirmed | Outcome::Wrong => {}
            Outcome::Mended => tracing::info!("tls.certificates: {path}: it can be read again"),
            Outcome::New(certificate, repairs) => {
                repairs.iter().for_each(|repair| tracing::warn!("{repair}"));
                let slot = Slot::Files(pair.index);
                let before = self.published.subscribe().borrow().get(&slot).cloned();
                self.published.publish(slot, Arc::clone(&certificate));
                let lost = lost(before.as_deref(), &certificate, &self.served);
                if !lost.is_empty() {
                    tracing::warn!(
                        names = %Host::list(&lost),
                        "tls.certificates: {path} no longer covers these names; where no other certificate does, \
                         their handshakes are refused"
                    );
                } else if !self.served.iter().any(|host| certificate.covers(host)) {
                    tracing::warn!("tls.certificates: {path} covers no served name, only {}", certificate.names());
                }
            }
            Outcome::Complaint(reason) => match &pair.state.current {
                // The reason ends in what to type, so it stands at the end.
                Some(last) if last.is_valid_at(self.clock.now()) => {
                    let until = last.facts().not_after;
                    tracing::warn!("tls.certificates: the last good pair stays in service, until {until}: {reason}");
                }
                Some(_) | None => tracing::error!("tls.certificates: {reason}"),
            },
        }
    }
}

/// The served names that the new certificate has lost.
fn lost(before: Option<&Certificate>, new: &Certificate, served: &[Host]) -> Vec<Host> {
    let Some(before) = before else { return Vec::new() };
    served.iter().filter(|host| before.covers(host) && !new.covers(host)).cloned().collect()
}

/// Asks the file system, which may take its time. At most one question is open for each pair.
async fn blocking<T: Send + 'static>(files: &CertificateFiles, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let mut work = tokio::task::spawn_blocking(work);
    let done = match timeout(SLOW, &mut work).await {
        Ok(done) => done,
        Err(_) => {
            let path = files.chain.display();
            tracing::warn!("tls.certificates: {path}: no answer from the file system within {SLOW:?}; see if it hangs");
            work.await
        }
    };
    done.inspect_err(|error| tracing::error!(%error, "the operator's files cannot be looked at")).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests rewrite files as operators do")]

    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use std::path::PathBuf;

    /// A folder with `chain.pem` and `key.pem`, watched.
    struct Desk {
        folder: tempfile::TempDir,
        published: Arc<Published>,
        clock: Clock,
    }

    /// A self-signed certificate valid for ninety days, and its key.
    fn made(names: &[&str]) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(Clock::System.now().0.unsigned_abs());
        params.not_before = now - Duration::from_secs(3_600);
        params.not_after = now + Duration::from_secs(90 * 86_400);
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    impl Desk {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { folder, published: Arc::default(), clock: Clock::fixed(Clock::System.now()) }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, content: &str) {
            std::fs::write(self.path(name), content).unwrap();
        }

        fn files(&self) -> CertificateFiles {
            CertificateFiles { chain: self.path("chain.pem"), key: self.path("key.pem") }
        }

        fn load(&self) -> Result<Loaded, FilesError> {
            files::load(&self.files(), self.clock.now())
        }

        fn serial(&self) -> Option<String> {
            let slots = self.published.subscribe().borrow().clone();
            slots.get(&Slot::Files(0)).map(|certificate| certificate.facts().serial.clone())
        }

        /// Watches while `script` runs. Time stands still but for what everybody waits for.
        async fn while_watched(&self, script: impl AsyncFnOnce()) {
            let mut watch = Watch::new(Arc::clone(&self.published), Vec::new(), self.clock.clone(), INTERVAL);
            watch.add(0, self.files(), None, Vec::new());
            tokio::select! {
                () = watch.run() => unreachable!("it watches for ever"),
                () = script() => {}
            }
        }
    }

    fn serial_of(pem: &str, key: &str) -> Option<String> {
        Some(Certificate::from_pem(pem.as_bytes(), key.as_bytes()).unwrap().facts().serial.clone())
    }

    /// Longer than a look and its confirmation.
    const SOON: Duration = Duration::from_secs(7);

    #[tokio::test(start_paused = true)]
    async fn a_pair_comes_into_service_once_it_is_whole() {
        let desk = Desk::new();
        let (first, first_key) = made(&["a.test"]);
        let (second, second_key) = made(&["a.test"]);
        let (one, two) = (serial_of(&first, &first_key), serial_of(&second, &second_key));
        desk.while_watched(async || {
            sleep(SOON).await;
            assert_eq!(desk.serial(), None, "there is nothing yet");
            desk.write("chain.pem", &first);
            desk.write("key.pem", &first_key);
            sleep(SOON).await;
            assert_eq!(desk.serial(), one);
            // New chain and old key, for as long as it takes; then half a key.
            desk.write("chain.pem", &second);
            sleep(HALF_WRITTEN * 3).await;
            assert_eq!(desk.serial(), one);
            desk.write("key.pem", second_key.split_at(second_key.len() / 2).0);
            sleep(SOON).await;
            assert_eq!(desk.serial(), one);
            desk.write("key.pem", &second_key);
            sleep(SOON).await;
            assert_eq!(desk.serial(), two);
            std::fs::remove_file(desk.path("chain.pem")).unwrap();
            sleep(SOON).await;
            assert_eq!(desk.serial(), two, "the last good one stays");
            // Back to the first, by renaming.
            desk.write("chain.new", &first);
            desk.write("key.new", &first_key);
            std::fs::rename(desk.path("chain.new"), desk.path("chain.pem")).unwrap();
            std::fs::rename(desk.path("key.new"), desk.path("key.pem")).unwrap();
            sleep(SOON).await;
            assert_eq!(desk.serial(), one);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_pair_outside_its_time_waits_for_it() {
        let mut desk = Desk::new();
        let (first, first_key) = made(&["a.test"]);
        desk.write("chain.pem", &first);
        desk.write("key.pem", &first_key);
        let now = desk.clock.now();
        let seconds = Arc::new(std::sync::atomic::AtomicI64::new(now.plus(-86_400).0));
        desk.clock = Clock::Fixed(Arc::clone(&seconds));
        desk.while_watched(async || {
            sleep(SOON * 20).await;
            assert_eq!(desk.serial(), None);
            seconds.store(now.0, std::sync::atomic::Ordering::Relaxed);
            sleep(SOON).await;
            assert_eq!(desk.serial(), serial_of(&first, &first_key), "its files have not changed, but the time");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wrong_is_told_once_it_stays_so_and_when_it_changes() {
        let desk = Desk::new();
        let mut state = State::default();
        let start = Instant::now();
        let told = |outcome: Outcome| match outcome {
            Outcome::Complaint(reason) => Some(reason),
            Outcome::Wrong => None,
            other => panic!("{other:?}"),
        };
        let mut judge = |seconds: u64| told(state.judge(desk.load(), start + Duration::from_secs(seconds)));
        assert_eq!(judge(0), None);
        assert_eq!(judge(9), None);
        assert!(judge(10).unwrap().contains("chain.pem: No such file"));
        assert_eq!(judge(1_000), None, "once");
        let (chain, key) = made(&["a.test"]);
        desk.write("chain.pem", &chain);
        assert_eq!(judge(1_005), None, "another reason has its own time");
        assert!(judge(1_015).unwrap().contains("key.pem: No such file"));
        desk.write("key.pem", &made(&["b.test"]).1);
        assert_eq!(judge(1_020), None);
        assert_eq!(judge(1_079), None);
        assert!(judge(1_080).unwrap().contains("the private key belongs to none"));
        desk.write("key.pem", &key);
        assert!(matches!(state.judge(desk.load(), start), Outcome::Unconfirmed));
        assert!(matches!(state.judge(desk.load(), start), Outcome::New(_, repairs) if repairs.is_empty()));
        assert!(matches!(state.judge(desk.load(), start), Outcome::Same));
        // What was told at start is not told again, and its end is.
        state.told = Some("told at start".to_owned());
        assert!(matches!(state.judge(desk.load(), start), Outcome::Mended));
    }

    #[test]
    fn files_are_read_when_they_change_and_now_and_then() {
        let desk = Desk::new();
        let mut state = State::default();
        let mut must_read = |path: &str| {
            let seen = Fingerprint::of(&CertificateFiles { chain: desk.path(path), key: desk.path("key.pem") });
            state.must_read(seen)
        };
        assert!(must_read("chain.pem"), "the first time");
        assert!(!must_read("chain.pem"));
        desk.write("chain.pem", "1");
        assert!(must_read("chain.pem") && !must_read("chain.pem"));
        // Same size; the time may be the same too, so that a second inode stands for it here.
        desk.write("new", "2");
        std::fs::rename(desk.path("new"), desk.path("chain.pem")).unwrap();
        assert!(must_read("chain.pem"));
        // A link's target counts, not the link.
        std::os::unix::fs::symlink("chain.pem", desk.path("link.pem")).unwrap();
        assert!(!must_read("link.pem"));
        let calm = (0..READ_ANYWAY * 2).filter(|_| must_read("link.pem")).count();
        assert_eq!(calm, 2, "although nothing has changed");
    }

    #[test]
    fn names_that_a_new_pair_loses() {
        let host = |name: &str| Host::parse(name).unwrap();
        let certificate = |names: &[&str]| {
            let (chain, key) = made(names);
            Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap()
        };
        let (both, one) = (certificate(&["a.test", "b.test", "c.test"]), certificate(&["b.test"]));
        let served = [host("a.test"), host("b.test"), host("d.test")];
        assert_eq!(lost(Some(&both), &one, &served), [host("a.test")]);
        assert!(lost(Some(&one), &both, &served).is_empty() && lost(None, &one, &served).is_empty());
    }
}
