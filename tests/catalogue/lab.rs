//! Builds the sites of a group side by side in one sandbox, checks each, and compares.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::authority::Authority;
use super::site::{self, RANGES, Site};
use super::{Case, Row};
use crate::support::bind::Bind;
use crate::support::process::Process;
use crate::support::sandbox;

/// A whole group, on a busy machine.
const GROUP: Duration = Duration::from_secs(240);
const START: Duration = Duration::from_secs(20);
/// Checks side by side: more than that only wait for each other on a small machine.
const PARALLEL: usize = 4;

/// Runs `cases` as the test `name` of `module`, and prints them as a table.
#[track_caller]
pub fn run(module: &str, name: &str, cases: &[Case]) {
    run_side_by_side(module, name, PARALLEL, cases);
}

/// The same with so many checks at a time.
#[track_caller]
pub fn run_side_by_side(module: &str, name: &str, parallel: usize, cases: &[Case]) {
    sandbox::run(module, name, &[], GROUP, || {
        let started = Instant::now();
        let lab = Lab::build(cases);
        let built = started.elapsed();
        let rows = lab.check_all(cases, parallel);
        println!("\n{}", Row::table(name, &rows));
        println!("built in {built:.1?}, all checked in {:.1?}\n", started.elapsed() - built);
        let wrong: Vec<_> = rows.iter().filter_map(|row| row.wrong.clone()).collect();
        assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    });
}

/// What runs for the sites of a group.
struct Lab<'a> {
    sites: Vec<Site<'a>>,
    root: PathBuf,
    _bind: Bind,
    _servers: Vec<Process>,
    _folder: TempDir,
}

impl Lab<'static> {
    fn build(cases: &[Case]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // For the life of the sandbox, which is this process.
        let ca: &'static Authority = Box::leak(Box::new(Authority::new(folder.path())));
        // What a site starts may listen there.
        furnish(cases.len());
        let sites: Vec<_> = (1..=u8::MAX)
            .zip(cases)
            .map(|(number, case)| {
                let mut site = Site::new(ca, number);
                (case.build)(&mut site);
                site
            })
            .collect();
        assert_eq!(sites.len(), cases.len(), "a group has at most 255 cases");

        let zone = "$TTL 300\n@ SOA ns.example. admin.example. 1 3600 600 86400 300\n@ NS ns.example.\nns.example. A 46.20.0.1\n";
        let zone = sites.iter().fold(zone.to_owned(), |zone, site| zone + &site.zone());
        let broken = sites.iter().flat_map(|site| &site.broken);
        let config = broken.fold("zone \"example\" { type primary; file \"zone\"; };\n".to_owned(), |config, zone| {
            config + &format!("zone \"{zone}\" {{ type primary; file \"missing\"; }};\n")
        });
        let options = "check-names primary ignore; recursion no; max-records-per-type 0;";
        let bind = Bind::start(Ipv4Addr::LOCALHOST.into(), options, &config, &[("zone", &zone)]);
        // The first that each has to listen on says when it runs.
        let watched = SocketAddr::from(([46, 20, 0, 1], 80));
        let stats = format!("server {{ listen {watched}; }}\n");
        let text = sites.iter().map(Site::nginx).fold(stats, |text, site| text + &site);
        let config = folder.path().join("nginx.conf");
        fs::write(&config, site::nginx(folder.path(), &text)).expect("a writable folder");
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.args(["-e", "stderr", "-p"]).arg(folder.path()).arg("-c").arg(&config);
        let mut servers = vec![start("nginx", &mut nginx, watched)];
        let sections: Vec<_> = sites.iter().flat_map(|site| &site.sections).cloned().collect();
        if !sections.is_empty() {
            let watched = SocketAddr::from(([46, 20, 0, 1], 81));
            let sections = format!("listen ready\n    bind {watched}\n{}", sections.join("\n"));
            let config = folder.path().join("haproxy.cfg");
            fs::write(&config, site::haproxy(&sections)).expect("a writable folder");
            servers.push(start(
                "haproxy",
                Command::new("/usr/sbin/haproxy").arg("-db").arg("-f").arg(&config),
                watched,
            ));
        }
        Self { sites, root: ca.root_file(), _bind: bind, _servers: servers, _folder: folder }
    }

    fn check_all(&self, cases: &[Case], parallel: usize) -> Vec<Row> {
        let errands: Vec<_> = self.sites.iter().map(|site| self.errand(site)).collect();
        let (next, errands) = (AtomicUsize::new(0), &errands);
        let work = || {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let (Some(case), Some(arguments)) = (cases.get(at), errands.get(at)) else { return done };
                done.push((at, Row::of(case, arguments)));
            }
        };
        let mut done: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..parallel).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().expect("a failed case is a row")).collect()
        });
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().map(|(_, row)| row).collect()
    }

    /// What the program is given for a site.
    fn errand(&self, site: &Site<'_>) -> Vec<String> {
        let mut arguments: Vec<_> =
            ["check", &site.asked, "--format", "json", "--resolver"].map(str::to_owned).to_vec();
        arguments.push(site.resolver.to_string());
        if site.trusted {
            arguments.extend(["--ca-file".to_owned(), self.root.to_string_lossy().into_owned()]);
        }
        arguments.extend(site.arguments.iter().cloned());
        arguments
    }
}

/// Starts a server, and waits until it listens.
#[track_caller]
fn start(name: &str, command: &mut Command, listens: SocketAddr) -> Process {
    let mut process = Process::spawn(name, command);
    process.wait_until_listening(listens, START);
    process
}

/// Gives this sandbox the addresses of so many sites.
#[track_caller]
fn furnish(count: usize) {
    for range in RANGES {
        ip(&["route", "add", "local", range, "dev", "lo"], "");
    }
    // IPv6 has no such route for those who listen; each address is added.
    let batch: String =
        site::addresses(count).map(|address| format!("address add {address}/128 dev lo nodad\n")).collect();
    ip(&["-6", "-batch", "-"], &batch);
}

#[track_caller]
fn ip(arguments: &[&str], input: &str) {
    let mut child = Command::new("ip").args(arguments).stdin(Stdio::piped()).spawn().expect("iproute2 is installed");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    assert!(child.wait().is_ok_and(|status| status.success()), "ip {arguments:?} failed");
}

/// Checks the only one of `cases` again and again, alone, and prints how long that takes.
#[track_caller]
pub fn time(module: &str, name: &str, cases: &[Case], at_most: Duration) {
    /// An odd number, so that there is one in the middle.
    const TIMES: usize = 5;
    sandbox::run(module, name, &[], GROUP, || {
        let lab = Lab::build(cases);
        let arguments = lab.errand(&lab.sites[0]);
        let rows: Vec<_> = (0..TIMES).map(|_| Row::of(&cases[0], &arguments)).collect();
        let wrong: Vec<_> = rows.iter().filter_map(|row| row.wrong.clone()).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let mut took: Vec<_> = rows.iter().map(|row| row.took).collect();
        took.sort();
        let build = if cfg!(debug_assertions) { "unoptimised" } else { "optimised" };
        println!(
            "\na whole check of a healthy local server, start and end of an {build} program included: median {:.0?} of {took:.0?}\n",
            took[TIMES / 2]
        );
        assert!(took[TIMES / 2] < at_most, "{took:?}");
    });
}
