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

/// Lived in every run of the tests.
const SEEDS: [u64; 4] = [1, 2, 3, 4];

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
    for seed in seeds {
        println!("{}", life::life(seed));
    }
}
