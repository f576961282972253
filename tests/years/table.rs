//! What came of a life, as a line of a table.

use std::fmt;
use std::time::Duration;

use crate::support::faulty_ca::{Breach, Kind};

use super::life::RESTARTS;
use super::oracle::Why;
use super::time::{DAY, HOUR, shown};
use super::world::World;

/// One life.
pub struct Row {
    pub seed: u64,
    cas: usize,
    starts: usize,
    deaths: usize,
    orders: usize,
    certificates: usize,
    unused: usize,
    failures: usize,
    exempt: usize,
    requests: usize,
    busiest: usize,
    disk_errors: usize,
    least_left: (i64, i64),
    /// Seconds without a certificate, by excuse.
    gaps: [i64; 3],
    took: Duration,
}

/// The head of the table.
pub const HEAD: &str = "seed  CAs  starts  died  orders  certs  unused  failed  exempt  requests  busiest day  disk errors  \
                        least left h (0/00)  gaps h: outage  clock  unreadable  seconds";

impl Row {
    /// Judges what the CAs saw, and adds it all up.
    pub fn new(world: &World, seed: u64, took: Duration) -> Self {
        let oracles = world.oracles.borrow();
        let mut row = Self {
            seed,
            cas: world.cas.len(),
            starts: world.starts.len(),
            deaths: world.deaths,
            orders: 0,
            certificates: 0,
            unused: 0,
            failures: 0,
            exempt: 0,
            requests: 0,
            busiest: 0,
            disk_errors: world.disk.errors(),
            least_left: oracles
                .iter()
                .filter_map(|oracle| oracle.least_left)
                .min_by_key(|(_, share)| *share)
                .unwrap_or_default(),
            gaps: [0; 3],
            took,
        };
        let planned = 1 + usize::try_from(RESTARTS).expect("a count");
        if row.starts < planned {
            world.fail(&format!("{} starts, {planned} were planned", row.starts));
        }
        for gap in oracles.iter().flat_map(|oracle| &oracle.gaps) {
            let at = match gap.why {
                Why::Outage => 0,
                Why::Clock => 1,
                Why::Unreadable => 2,
            };
            row.gaps[at] += gap.to - gap.from;
        }
        for ca in &world.cas {
            let records = ca.records();
            let over = records.over_limits();
            if !over.is_empty() {
                world.fail(&format!("over the limits: {over:?}"));
            }
            let breaches: Vec<_> = records.breaches.iter().filter(|breach| !world.was_forgotten(breach)).collect();
            if !breaches.is_empty() {
                let told = |breach: &&&Breach| format!("{} {:?}: {}\n", shown(breach.at), breach.rule, breach.detail);
                let told: String = breaches.iter().take(40).map(|breach| told(&breach)).collect();
                world.fail(&format!("{} rules broken:\n{told}", breaches.len()));
            }
            if let Some(refused) = records.requests.iter().find(|request| request.status == Some(429)) {
                world.fail(&format!("a limit was met: {refused:?}"));
            }
            row.orders += records.orders.len();
            row.certificates += records.certificates.len();
            row.failures += records.failures.len();
            row.exempt += records.orders.iter().filter(|order| order.exempt).count();
            row.requests += records.requests.iter().filter(|request| request.kind != Kind::Unknown).count();
            let unused = records
                .certificates
                .iter()
                .filter(|record| !oracles.iter().any(|oracle| oracle.history.contains(&record.ari_id)));
            row.unused += unused.count();
            let mut days = std::collections::BTreeMap::<i64, usize>::new();
            for request in &records.requests {
                *days.entry(request.at / DAY).or_default() += 1;
            }
            row.busiest = row.busiest.max(days.into_values().max().unwrap_or_default());
        }
        // Four looks an hour while a CA is away and the clock wrong; two every six hours otherwise. A certificate that
        // one CA has made and does not hand out is given up when another stands in: once for each of the two mass
        // revocations, which are no time to wait.
        let given_up = if row.cas > 1 { 2 } else { 0 };
        if row.busiest > 1_000 || row.requests > 60_000 || row.unused > given_up {
            world.fail(&format!(
                "{} requests, {} in a day; {} certificates that nobody used",
                row.requests, row.busiest, row.unused
            ));
        }
        row
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [outage, clock, unreadable] = self.gaps.map(|seconds| (seconds + HOUR - 1) / HOUR);
        let (left, share) = self.least_left;
        write!(
            out,
            "{:4}  {:3}  {:6}  {:4}  {:6}  {:5}  {:6}  {:6}  {:6}  {:8}  {:11}  {:11}  {:12} ({share:4})  {outage:14}  {clock:5}  {unreadable:10}  {:7.1}",
            self.seed,
            self.cas,
            self.starts,
            self.deaths,
            self.orders,
            self.certificates,
            self.unused,
            self.failures,
            self.exempt,
            self.requests,
            self.busiest,
            self.disk_errors,
            left / HOUR,
            self.took.as_secs_f64(),
        )
    }
}
