//! A page about every rule: what it means, how peers behave, how to see it yourself, how to mend
//! it, and where it is written. Shown by `check --explain`, and the manual page
//! vestibule-findings(7).
//!
//! The pages are data, kept by id: the catalogue says what a rule is in a sentence, a page says the
//! rest. In all of them example.com is the server name, matrix.example.com the host it delegates to
//! and 192.0.2.7 one of its addresses.

mod certificates;
mod clients;
mod dns;
mod federation;
mod homeserver;
mod loopback;
mod machine;
mod render;
mod requests;
mod tls;
mod well_known;

pub use render::{index, page, roff};

/// What there is to know about a rule.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its id.
    pub id: &'static str,
    /// What it means, and how it comes about.
    pub about: &'static str,
    /// What peers or clients do when they meet it.
    pub peers: &'static str,
    /// Commands that show it.
    pub see: &'static [&'static str],
    /// How to mend it: in what, and what to write there. Empty where the remedy says it all.
    pub fixes: &'static [(&'static str, &'static str)],
    /// Where it is written.
    pub written: &'static str,
}

/// All pages, in the order of the areas.
const SETS: &[&[Page]] = &[
    dns::PAGES,
    well_known::PAGES,
    clients::PAGES,
    tls::PAGES,
    certificates::PAGES,
    federation::PAGES,
    requests::PAGES,
    loopback::PAGES,
    homeserver::PAGES,
    machine::PAGES,
];

/// The page about the rule `id`.
pub fn find(id: &str) -> Option<&'static Page> {
    pages().find(|page| page.id == id)
}

fn pages() -> impl Iterator<Item = &'static Page> {
    SETS.iter().copied().flatten()
}

#[cfg(test)]
mod tests;
