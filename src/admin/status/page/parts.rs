//! What several parts of the pages are made of.

use super::text::{clock, relative};
use crate::admin::status::view::{Moment, State};
use crate::check::finding::{Finding, Severity};
use crate::check::report::Verdict;
use crate::clock::Timestamp;
use maud::{Markup, html};

/// A point of time, near `now`.
pub(super) fn time(at: Moment, now: Timestamp) -> Markup {
    html! { time datetime=(at.0) title=(at.0) { (relative(at.0, now)) } }
}

/// A date with its distance.
pub(super) fn date(at: Moment, now: Timestamp) -> Markup {
    html! { time datetime=(at.0) { (clock(at.0)) } " (" (relative(at.0, now)) ")" }
}

/// A word in a coloured shape.
pub(super) fn badge(state: State, word: &str) -> Markup {
    html! { span class={ "badge " (super::class(state)) } { (word) } }
}

/// How a verdict is coloured.
pub(super) fn verdict_state(verdict: Option<Verdict>) -> State {
    match verdict {
        None => State::Waiting,
        Some(Verdict::Federates) => State::Good,
        Some(Verdict::Degraded | Verdict::Unknown) => State::Attention,
        Some(Verdict::Fails) => State::Bad,
    }
}

/// Findings, each with its remedy.
pub(super) fn findings(findings: &[&Finding]) -> Markup {
    html! {
        ol .todo {
            @for finding in findings {
                li .card {
                    div .title { h3 { (finding.subject) } (severity(finding.severity)) }
                    p { (finding.detail) " " span .id .soft { (finding.id.id()) } }
                    code .fix { (finding.remedy) }
                }
            }
        }
    }
}

fn severity(severity: Severity) -> Markup {
    match severity {
        Severity::Fail => badge(State::Bad, "fails"),
        Severity::Warn => badge(State::Attention, "mend"),
        Severity::Info => badge(State::Waiting, "note"),
    }
}
