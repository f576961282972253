//! The outcomes as a table.

use std::time::Duration;

use crate::case::{Case, LIMIT, Outcome};
use crate::client::Client;
use crate::counts::Counts;

const HEADS: [&str; 8] = [
    "what goes wrong",
    "client",
    "certificate in service",
    "an error is told",
    "orders",
    "challenge POSTs",
    "new accounts",
    "failed authorisations",
];

/// All runs of one client in one case.
pub struct Row([String; 8]);

impl Row {
    pub fn new(case: Case, client: Client, outcomes: &[Outcome]) -> Self {
        let moments = |of: fn(&Outcome) -> Option<Duration>| moments(outcomes, of);
        let never = format!("never in {} s", LIMIT.as_secs());
        let well = outcomes.iter().all(|outcome| outcome.seen.served.is_some());
        let count = |of: fn(&Counts) -> usize| range(outcomes.iter().map(|outcome| of(&outcome.counts)));
        let replaced = outcomes.iter().any(|outcome| outcome.account_replaced);
        let accounts = count(|counts| counts.accounts);
        Self([
            case.name().to_owned(),
            client.name().to_owned(),
            moments(|outcome| outcome.seen.served).unwrap_or_else(|| never.clone()),
            moments(|outcome| outcome.seen.told.as_ref().map(|(at, _)| *at)).unwrap_or_else(|| match well {
                true => "there is none".to_owned(),
                false => never.clone(),
            }),
            count(|counts| counts.orders),
            count(|counts| counts.challenges),
            if replaced { format!("{accounts}, the stored key overwritten") } else { accounts },
            count(|counts| counts.failed),
        ])
    }
}

/// In how many runs, and when: the median, and the range if there is one.
fn moments(outcomes: &[Outcome], of: impl Fn(&Outcome) -> Option<Duration>) -> Option<String> {
    let mut times: Vec<_> = outcomes.iter().filter_map(of).collect();
    times.sort();
    let (first, last) = (times.first()?, times.last()?);
    let median = times.get(times.len() / 2)?;
    let [first, median, last] = [first, median, last].map(|at| format!("{:.1}", at.as_secs_f64()));
    let range = if first == last { String::new() } else { format!(" ({first}–{last})") };
    Some(format!("{} of {}: {median} s{range}", times.len(), outcomes.len()))
}

fn range(numbers: impl Iterator<Item = usize>) -> String {
    let numbers: Vec<_> = numbers.collect();
    match (numbers.iter().min(), numbers.iter().max()) {
        (Some(least), Some(most)) if least != most => format!("{least}–{most}"),
        (Some(number), _) => number.to_string(),
        (None, _) => String::new(),
    }
}

/// With columns of equal width.
pub fn text(rows: &[Row]) -> String {
    let heads = Row(HEADS.map(str::to_owned));
    let width = |column: usize| {
        let cells = std::iter::once(&heads).chain(rows).filter_map(|Row(cells)| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..HEADS.len()).map(width).collect();
    let line = |Row(cells): &Row| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    std::iter::once(&heads).chain(rows).map(line).collect()
}

/// For the README.
pub fn markdown(rows: &[Row]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rule = format!("|{}\n", "---|".repeat(HEADS.len()));
    let rows = rows.iter().map(|Row(cells)| line(cells));
    line(&HEADS.map(str::to_owned)) + &rule + &rows.collect::<String>()
}
