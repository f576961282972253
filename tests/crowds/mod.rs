//! Thousands of connections that do nothing, or next to nothing: each is gone within its limit, and nobody else
//! notices.

mod idler;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;

use crate::support::eventually::eventually;
use crate::support::front::{Front, NAME, get};
use crate::support::origin::Origin;
use crate::support::raw_client::RawClient;
use idler::{Arrivals, BIG, Ended, LIMIT, MARKER, Tls, idlers};

const CROWD: usize = 3000;

/// How many connect at a time.
const AT_ONCE: usize = 64;

const MINUTE: Duration = Duration::from_secs(60);

/// What closing may take beyond a limit on a busy machine.
const MARGIN: Duration = Duration::from_secs(4);

/// How many requests are timed without a crowd.
const CALM: usize = 150;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(15);

/// Below this nobody calls an answer late, and a machine with two busy cores cannot tell more.
const PROMPT: Duration = Duration::from_millis(50);

/// What one more connection may take in the program's memory: TLS's buffers and a debug build's futures, with those of
/// a connection to the homeserver for every sixth.
const CONNECTION_KIB: u64 = 36;

/// What a closed connection may still be read from, so that its last answer arrives.
const LINGER: Duration = Duration::from_secs(10);

#[test]
fn three_thousand_idlers_are_gone_in_time_and_nobody_notices() {
    // This side needs as many descriptors as the other.
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).expect("its own limit");
    let big = vec![b'x'; BIG];
    let origin = Origin::start(move |talk| {
        loop {
            let request = talk.head()?;
            match request.target() {
                "/_matrix/client/v3/sync" => {
                    talk.until_closed();
                    return Ok(());
                }
                "/_matrix/client/v3/big" => {
                    talk.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\n\r\n"))?;
                    talk.send(&big)?;
                }
                // Without a look at the body: it does not come.
                _ if request.header("content-length").is_some() => {
                    talk.until_closed();
                    return Ok(());
                }
                _ => talk.answer(MARKER)?,
            }
        }
    });
    let limit = LIMIT.as_secs();
    let mut front = Front::with(
        &origin,
        &format!(
            "[limits]\nper_ip_connections = 4000\nheader_timeout = \"{limit}s\"\nidle_timeout = \"{limit}s\"\n\
             stall_timeout = \"{limit}s\"\n"
        ),
    );
    let (address, root) = (front.https(), front.root());
    let process = front.vestibule().process().id();
    let calm = percentile(&mut (0..CALM).map(|_| timed(address, &root)).collect::<Vec<_>>());
    let (memory_before, open_before) = (front.vestibule().process().memory_kib(), open_files(process));

    let arrivals = Arc::new(Arrivals { turns: Semaphore::new(AT_ONCE), opened: AtomicUsize::new(0) });
    let crowd = Crowd::start(address, root.clone(), process, &arrivals);
    let ended = stand(&arrivals, address, &root);
    let seen = crowd.finish();
    // What the program still reads from connections that it has closed.
    eventually("every connection's descriptor is free", LINGER + MARGIN, || match held(address) {
        0 => Ok(()),
        held => Err(format!("{held} connections")),
    });
    let memory_after = front.vestibule().process().memory_kib();

    let connections = u64::try_from(ended.len()).expect("thousands");
    let crowded = percentile(&mut seen.times.clone());
    println!(
        "{connections} connections, {} at once; p99 of {} requests {crowded:?}, {calm:?} without; \
         memory {memory_before} KiB before, {} at most, {memory_after} after",
        seen.most_open.saturating_sub(open_before),
        seen.times.len(),
        seen.most_memory,
    );
    for idler in idlers() {
        let longest = ended.iter().filter(|one| one.name == idler.name).map(|one| one.after).max();
        println!("{:>5} {:<52} gone after {longest:?} at most", idler.count, idler.name);
    }
    let wrong: Vec<_> = ended.iter().filter(|one| !one.is_in_time(MARGIN)).collect();
    assert!(wrong.is_empty(), "{} of {connections} not in time, the first {:?}", wrong.len(), wrong[0]);
    assert_eq!(ended.len(), CROWD);
    assert!(seen.most_open > open_before + 2000, "only {} at once", seen.most_open);
    assert!(crowded <= (calm * 5).max(PROMPT), "{crowded:?} with the crowd, {calm:?} without");
    // The allocator keeps what it has for the next crowd.
    let grown = seen.most_memory.saturating_sub(memory_before);
    assert!(
        grown.max(memory_after.saturating_sub(memory_before)) < connections * CONNECTION_KIB,
        "{grown} KiB more memory for {connections} connections"
    );
}

/// Lets all of them connect, and waits until the last one is gone.
#[track_caller]
fn stand(arrivals: &Arc<Arrivals>, address: SocketAddr, root: &Path) -> Vec<Ended> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let tls = Tls::new(root);
    let ended = runtime.expect("a runtime").block_on(async {
        let mut tasks = Vec::new();
        for idler in idlers() {
            let idler = Arc::new(idler);
            for number in 0..idler.count {
                let (idler, tls, arrivals) = (Arc::clone(&idler), tls.clone(), Arc::clone(arrivals));
                tasks.push(tokio::spawn(async move { idler.run(number, address, &tls, &arrivals).await }));
            }
        }
        tokio::time::timeout(MINUTE, join_all(tasks)).await
    });
    let ended = ended.expect("all of them are gone within a minute");
    ended.into_iter().map(|ended| ended.expect("no idler panics")).collect()
}

/// A look at the program and at others' requests while the crowd is there.
struct Crowd {
    over: Arc<AtomicBool>,
    watching: thread::JoinHandle<(usize, u64)>,
    timing: thread::JoinHandle<Vec<Duration>>,
}

struct Seen {
    times: Vec<Duration>,
    most_open: usize,
    most_memory: u64,
}

impl Crowd {
    fn start(address: SocketAddr, root: PathBuf, process: u32, arrivals: &Arc<Arrivals>) -> Self {
        let over = Arc::<AtomicBool>::default();
        let ended = Arc::clone(&over);
        let watching = thread::spawn(move || {
            let (mut most_open, mut most_memory) = (0, 0);
            while !ended.load(Ordering::Relaxed) {
                most_open = most_open.max(open_files(process));
                most_memory = most_memory.max(memory_kib(process));
                thread::sleep(Duration::from_millis(50));
            }
            (most_open, most_memory)
        });
        let (arrivals, ended) = (Arc::clone(arrivals), Arc::clone(&over));
        let timing = thread::spawn(move || {
            let mut times = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                if arrivals.opened.load(Ordering::Relaxed) == CROWD {
                    times.push(timed(address, &root));
                }
                thread::sleep(PAUSE);
            }
            times
        });
        Self { over, watching, timing }
    }

    #[track_caller]
    fn finish(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        let (most_open, most_memory) = self.watching.join().expect("it only looks");
        let times = self.timing.join().expect("every request is answered");
        Seen { times, most_open, most_memory }
    }
}

/// How long a request on a connection of its own takes, handshake included.
fn timed(address: SocketAddr, root: &Path) -> Duration {
    let started = Instant::now();
    let mut client = RawClient::tls(address, NAME, root);
    client.send(get("/_matrix/client/versions"));
    assert_eq!(client.answer().status, 200);
    started.elapsed()
}

/// The 99th percentile.
fn percentile(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).expect("it runs").count()
}

/// Connections to `address` that its process has not closed, as the kernel has them.
fn held(address: SocketAddr) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let local = format!(":{:04X}", address.port());
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    // 0A is the listener; without a process a socket has no inode.
    rows.filter(|columns| columns[1].ends_with(&local) && columns[3] != "0A" && columns[9] != "0").count()
}

fn memory_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}
