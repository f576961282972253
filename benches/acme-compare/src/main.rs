//! rustls-acme's `AcmeState` and vestibule's certificate manager side by side: the same Pebble, the same faults.
//!
//! `make acme-compare` runs every case five times (`RUNS`) with each client, every run with a Pebble, a listener and a
//! store of its own, and prints what became of them, as text and as Markdown. Every run has an end, so this takes less
//! than two minutes after the build. It fails if vestibule does not do what it promises; what the other does is only
//! told.
//!
//! vestibule is here its `acme::Manager`, not the whole program: rustls-acme is a certificate manager for other people's
//! listeners, and so both get the same small listener, which leaves nothing but the two managers to differ.

mod case;
mod client;
mod counts;
mod listener;
mod shelf;
#[allow(dead_code, reason = "made for the tests, which use all of it")]
mod support;
mod table;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use case::{Case, Outcome};
use client::Client;
use support::ports;
use support::process::Process;
use table::Row;

/// Runs of each client in each case, unless RUNS says otherwise.
const RUNS: usize = 5;

/// Runs at once. They mostly wait; with more, two cores would be busy starting Pebbles.
const AT_ONCE: usize = 12;

fn main() -> ExitCode {
    let runs = std::env::var("RUNS").map_or(RUNS, |runs| runs.parse().expect("RUNS is a number"));
    let (mut name_server, address) = name_server();
    // The longest first.
    let jobs = [Case::Mute, Case::Unreachable, Case::Delay, Case::Nonces, Case::Store]
        .into_iter()
        .flat_map(|case| Client::ALL.map(|client| (case, client)))
        .flat_map(|job| std::iter::repeat_n(job, runs));
    let jobs: Mutex<VecDeque<_>> = Mutex::new(jobs.collect());
    let done: Mutex<Vec<(Case, Client, Outcome)>> = Mutex::default();
    let next = || jobs.lock().expect("nobody panics while holding it").pop_front();
    thread::scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some((case, client)) = next() {
                    let outcome = case::run(case, client, address);
                    report(case, client, &outcome);
                    done.lock().expect("nobody panics while holding it").push((case, client, outcome));
                }
            });
        }
    });
    assert!(name_server.try_wait().is_none(), "the name server ended early, so nothing here means anything");
    let done = done.into_inner().expect("no thread panicked");
    let rows = Case::ALL.into_iter().flat_map(|case| Client::ALL.map(|client| (case, client)));
    let rows: Vec<_> = rows
        .map(|(case, client)| {
            let outcomes = done.iter().filter(|(of, by, _)| (*of, *by) == (case, client));
            Row::new(case, client, &outcomes.map(|(_, _, outcome)| outcome.clone()).collect::<Vec<_>>())
        })
        .collect();
    println!("\n{} runs each; {}\n", runs, versions());
    println!("{}", table::text(&rows));
    println!("{}", table::markdown(&rows));
    let ours = done.iter().filter(|(_, client, _)| *client == Client::Vestibule);
    let broken: Vec<_> = ours
        .filter_map(|(case, _, outcome)| Some(format!("{}: {}", case.name(), outcome.broken_promise(*case)?)))
        .collect();
    for promise in &broken {
        println!("vestibule does not keep its promise: {promise}");
    }
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says that 127.0.0.1 is where every name is.
fn name_server() -> (Process, SocketAddr) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
    let management = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
    let mut command = Command::new("pebble-challtestsrv");
    command.arg("-dns01").arg(address.to_string()).arg("-management").arg(management.to_string());
    command.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
    let mut process = Process::spawn("pebble-challtestsrv", &mut command);
    process.wait_until_listening(address, Duration::from_secs(10));
    (process, address)
}

/// One run, as it ends.
fn report(case: Case, client: Client, outcome: &Outcome) {
    let served = outcome.seen.served.map_or("never".to_owned(), |at| format!("{:.1} s", at.as_secs_f64()));
    println!("{}, {}: in service {served}, {:?}", case.name(), client.name(), outcome.counts);
    if let Some((at, text)) = &outcome.seen.told {
        println!(
            "    told after {:.1} s: {}",
            at.as_secs_f64(),
            text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
        );
    }
}

/// Of what is compared, and of the CA.
fn versions() -> String {
    let lock = include_str!("../Cargo.lock");
    let locked = |name: &str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).expect("it is locked");
        format!("{name} {}", rest.split('"').next().unwrap_or_default())
    };
    let [theirs, ours, protocol] = ["rustls-acme", "vestibule", "instant-acme"].map(locked);
    // As setup.sh leaves it, or as Debian calls its own.
    let newer = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/pebble-next/version");
    let pebble = std::fs::read_to_string(newer).unwrap_or_else(|_| {
        let asked = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "pebble"]).output();
        asked.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    format!("{theirs}, {ours} with {protocol}, both on aws-lc-rs, Pebble {}", pebble.trim())
}
