//! What the form leads to.

use super::parts::{badge, findings, verdict_state};
use super::{banner, document};
use crate::admin::status::view::State;
use crate::check::finding::Severity;
use crate::check::report::{Report, Verdict};
use maud::{Markup, html};

/// The outcome of a check.
pub(in crate::admin::status) fn result(report: &Report) -> String {
    let name = &report.server_name;
    let headline = match report.verdict {
        Verdict::Federates => format!("{name} federates"),
        Verdict::Degraded => format!("{name} federates, with something to mend"),
        Verdict::Fails => format!("{name} does not federate"),
        Verdict::Unknown => format!("It could not be told whether {name} federates"),
    };
    let seconds = format!("{}.{}", report.took_ms / 1000, report.took_ms % 1000 / 100);
    let below = html! { p { "Checked in " (seconds) " s" } };
    let (notes, rest): (Vec<_>, Vec<_>) =
        report.findings.iter().partition(|finding| finding.severity == Severity::Info);
    let body = html! {
        @if !rest.is_empty() { h2 { "Findings" } (findings(&rest)) }
        @if !notes.is_empty() { h2 { "Notes" } (findings(&notes)) }
        (seen(report))
        p { a href="/#check" { "Check another server" } }
    };
    document(&headline, &banner(verdict_state(Some(report.verdict)), &headline, &below), &body)
}

/// What there is to see besides: where peers are led, and what is there.
fn seen(report: &Report) -> Markup {
    html! {
        @if let Some(found) = &report.discovery {
            h2 { "How peers find it" }
            div .card {
                dl {
                    dt { "Step " (found.step) } dd { (found.meaning) }
                    dt { "Leads to" } dd { (found.targets.join(", ")) }
                    dt { "Certificate" } dd { "for " (found.certificate_name) }
                }
            }
        }
        @if !report.connections.is_empty() {
            h2 { "What is there" }
            div .cards {
                @for connection in &report.connections {
                    article .card {
                        div .title {
                            h3 { (connection.address) }
                            @if connection.error.is_some() { (badge(State::Bad, "no answer")) }
                            @else { (badge(State::Good, "answers")) }
                        }
                        dl {
                            dt { "Target" } dd { (connection.target) }
                            @if let Some(error) = &connection.error { dt { "Error" } dd { (error) } }
                            @if let Some(tls) = &connection.tls {
                                dt { "TLS" }
                                dd { (tls.version) ", " @if tls.trusted { "trusted" } @else { "not trusted" } }
                                @if let Some(leaf) = tls.certificates.first() {
                                    dt { "Issuer" } dd { (leaf.issuer) }
                                    dt { "Valid until" } dd { (leaf.not_after) }
                                }
                            }
                            @if let Some(version) = &connection.version {
                                dt { "Software" }
                                dd {
                                    (version.name.as_deref().unwrap_or("unknown")) " "
                                    (version.version.as_deref().unwrap_or_default())
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Why nothing was checked.
pub(in crate::admin::status) fn refused(reason: &str) -> String {
    let below = html! { p { (reason) } };
    let body = html! { p { a href="/" { "Back to the status page" } } };
    document("Not checked", &banner(State::Attention, "Not checked", &below), &body)
}
