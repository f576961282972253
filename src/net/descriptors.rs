//! How many descriptors the process may have open, and how many connections that makes.

use rustix::process::{Resource, Rlimit, setrlimit};
use std::io;

/// What one connection takes: its own and one to the homeserver.
const PER_CONNECTION: u64 = 2;

/// Kept for everything that serves no client: orders, checks, name lookups, files of the store.
const CONTROL_PLANE: u64 = 64;

/// What a worker has open besides its duplicates of the listeners: the runtime's poll and wake-up
/// descriptors (four), and what its acceptors may have taken past the limit.
const PER_WORKER: u64 = 8;

/// Below this a busy server runs out. Each joined homeserver keeps a connection, and a public room
/// brings thousands.
const ENOUGH: u64 = 8192;

/// The limit on open files (RLIMIT_NOFILE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit {
    /// In force.
    soft: u64,
    /// What the process may raise it to.
    hard: u64,
}

/// Raises the limit on open files as far as it may be, says so if that is not enough, and returns
/// how many connections fit below it.
pub fn prepare(workers: usize, listeners: usize) -> usize {
    let table = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    // Not by the system call: a sandbox may refuse it, and its safe wrapper could not say so.
    let Some(limit) = parse(&table) else {
        tracing::debug!("/proc/self/limits does not tell the limit on open files");
        return usize::MAX;
    };
    let soft = match raise(limit) {
        Ok(soft) => soft,
        Err(error) => {
            tracing::debug!(%error, soft = limit.soft, hard = limit.hard, "the limit on open files cannot be raised");
            limit.soft
        }
    };
    let connections = connections_within(soft, workers, listeners);
    if soft < ENOUGH {
        tracing::warn!(
            open_files = soft,
            connections,
            "the limit on open files is low: set LimitNOFILE=1048576 in the unit, or raise it with ulimit -n"
        );
    }
    connections
}

/// The limit in force afterwards.
fn raise(limit: Limit) -> io::Result<u64> {
    if limit.soft < limit.hard {
        let known = |value| Some(value).filter(|value| *value != u64::MAX);
        setrlimit(Resource::Nofile, Rlimit { current: known(limit.hard), maximum: known(limit.hard) })?;
    }
    Ok(limit.hard.max(limit.soft))
}

/// Pure: what is left for connections, at least one.
fn connections_within(open_files: u64, workers: usize, listeners: usize) -> usize {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let workers = count(workers).saturating_mul(PER_WORKER.saturating_add(count(listeners)));
    let left = open_files.saturating_sub(CONTROL_PLANE.saturating_add(workers));
    usize::try_from(left / PER_CONNECTION).unwrap_or(usize::MAX).max(1)
}

/// Finds the limit in /proc/self/limits: `Max open files  soft  hard  files`.
fn parse(table: &str) -> Option<Limit> {
    let row = table.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut values = row.split_whitespace().map(|word| match word {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(Limit { soft: values.next()??, hard: values.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_table() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max cpu time              unlimited            unlimited            seconds   \n\
                     Max open files            1024                 524288               files     \n";
        assert_eq!(parse(table), Some(Limit { soft: 1024, hard: 524_288 }));
        assert_eq!(parse("Max open files  unlimited unlimited files"), Some(Limit { soft: u64::MAX, hard: u64::MAX }));
        assert_eq!(parse("Max open files  1024"), None);
        assert_eq!(parse(""), None);
        assert!(parse(&std::fs::read_to_string("/proc/self/limits").unwrap()).is_some());
    }

    #[test]
    fn two_descriptors_a_connection_and_a_reserve() {
        for (open_files, workers, listeners, connections) in [
            (256, 2, 3, 85),
            (1024, 2, 3, 469),
            (1_048_576, 8, 3, 524_212),
            (64, 2, 3, 1),
            (0, 1, 1, 1),
            (u64::MAX, usize::MAX, usize::MAX, 1),
        ] {
            let found = connections_within(open_files, workers, listeners);
            assert_eq!(found, connections, "{open_files} {workers} {listeners}");
        }
    }
}
