//! Where requests go when there is more than a homeserver: pools, routes, side services.

mod balance;
mod held;
mod pools;
mod services;
mod workers_show;

use std::borrow::Borrow;

use crate::support::curl::Response;
use crate::support::front::{Front, url};
use crate::support::origin::Origin;

/// So many origins that answer with their number.
fn origins<const N: usize>() -> [Origin; N] {
    const NAMES: [&str; 6] = ["0", "1", "2", "3", "4", "5"];
    std::array::from_fn(|index| Origin::answering(NAMES[index]))
}

/// `endpoints = […]` for these origins.
fn endpoints<O: Borrow<Origin>>(origins: impl IntoIterator<Item = O>) -> String {
    let urls: Vec<_> = origins.into_iter().map(|origin| format!("{:?}", origin.borrow().url())).collect();
    format!("endpoints = [{}]\n", urls.join(", "))
}

/// Who answers: an origin's number, or the status.
fn ask(front: &Front, path: &str) -> String {
    said(front.curl().arguments(["--path-as-is"]).send(&url(path)))
}

fn said(answer: Response) -> String {
    if answer.status == 200 { answer.text() } else { answer.status.to_string() }
}
