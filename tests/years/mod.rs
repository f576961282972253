//! Years of renewal with nobody there: the real manager, CAs of our own, and a clock that runs ahead.

mod clocks;
mod directed;
mod disk;
mod failover;
mod life;
mod limits;
mod oracle;
mod random;
mod renewals;
mod rim;
mod road;
mod table;
mod time;
mod troubles;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// Lived in every run of the tests. The last two found faults that a thousand others did not.
const SEEDS: [u64; 6] = [1, 2, 3, 4, 193, 263];

/// Five years each. `YEARS_SEED=7` lives one life again; `YEARS=1000` lives that many; `YEARS_LOG=1` tells all.
#[test]
fn five_years() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds: Vec<u64> = match (number("YEARS_SEED"), number("YEARS")) {
        (Some(seed), _) => vec![seed],
        (None, Some(count)) => (1..=count).collect(),
        (None, None) => SEEDS.to_vec(),
    };
    println!("{}", table::HEAD);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    let (next, (rows, lived)) = (AtomicUsize::new(0), mpsc::channel());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (seeds, next, rows) = (&seeds, &next, rows.clone());
            scope.spawn(move || {
                while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    rows.send(life::life(*seed)).expect("somebody prints it");
                }
            });
        }
        drop(rows);
        lived.iter().for_each(|row| println!("{row}"));
    });
}
