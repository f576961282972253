//! `/`: whether all is well, what to type if not, and then everything else.

use super::parts::{badge, date, findings, time, verdict_state};
use super::text::{clock, count, span};
use super::{Token, banner, class, document};
use crate::admin::status::view::{
    BudgetView, CertificateState, CertificateView, HeldView, Problem, ServerView, Source, State, UpstreamState,
    UpstreamView, View,
};
use crate::check::finding::Severity;
use crate::clock::Timestamp;
use maud::{Markup, html};

/// For so many seconds a long outage is something to act on; after a day everybody has come back.
const RECENT: i64 = 86_400;

/// The page for `view`, with the form if there is a token for it.
pub(in crate::admin::status) fn overview(view: &View, form: Token<'_>) -> String {
    let now = view.now.0;
    let checked = view.servers.iter().filter_map(|server| server.checked).min();
    let next = view.servers.iter().find_map(|server| server.next_check);
    let below = html! {
        p {
            @if let Some(checked) = checked { "Checked " (time(checked, now)) }
            @if let (Some(_), Some(next)) = (checked, next) { @if next.0 > now { ", next " (time(next, now)) } }
            @if checked.is_some() { ". " }
            span .small { "As of " (clock(now)) "." }
        }
    };
    let body = html! {
        @if !view.summary.problems.is_empty() { (todo(&view.summary.problems)) }
        @if !view.servers.is_empty() {
            h2 { "Federation" }
            div .cards { @for server in &view.servers { (server_card(server, now)) } }
        }
        h2 { "Homeserver" }
        div .cards { @for upstream in &view.upstreams { (upstream_card(upstream, now)) } }
        h2 { "Certificates" }
        div .cards { @for certificate in &view.certificates { (certificate_card(certificate, now)) } }
        h2 { "Listeners" }
        div .card { (listeners(view)) }
        h2 { "Program" }
        div .card { (process(view)) }
        @if let Some(token) = form { (check_form(token)) }
    };
    let title = match view.servers.first() {
        Some(server) => format!("{}: {}", view.summary.headline, server.server_name),
        None => view.summary.headline.clone(),
    };
    document(&title, &banner(view.summary.state, &view.summary.headline, &below), &body)
}

fn todo(problems: &[Problem]) -> Markup {
    html! {
        h2 { "What to do" }
        ol .todo {
            @for problem in problems {
                li .card {
                    div .title {
                        h3 { (problem.about) }
                        (badge(problem.state, if problem.state == State::Bad { "broken" } else { "mend" }))
                    }
                    p { (problem.what) " " span .id .soft { (problem.id) } }
                    code .fix { (problem.fix) }
                }
            }
        }
    }
}

fn server_card(server: &ServerView, now: Timestamp) -> Markup {
    let verdict = server.verdict.map_or("not checked yet", |verdict| verdict.as_str());
    let notes: Vec<_> = server.findings.iter().filter(|finding| finding.severity == Severity::Info).collect();
    html! {
        article .card {
            div .title { h3 { (server.server_name) } (badge(verdict_state(server.verdict), verdict)) }
            dl {
                dt { "Delegates to" } dd { (server.public_host) }
                dt { "Checked" }
                dd {
                    @match server.checked {
                        Some(checked) => {
                            (date(checked, now))
                            @if let Some(took) = server.took_ms { ", took " (took) " ms" }
                        }
                        None => "not yet",
                    }
                }
                @if let Some(next) = server.next_check { dt { "Next check" } dd { (time(next, now)) } }
                dt { "Answered" }
                dd {
                    @match (server.origins.last_hour, server.origins.last_24_hours) {
                        (_, 0) => "no other server within 24 hours",
                        (hour, day) => {
                            "about " (count(hour, "server", "servers")) " in the last hour, " (day) " in 24 hours"
                        }
                    }
                }
            }
            @if !notes.is_empty() {
                details {
                    summary { (count(u64::try_from(notes.len()).unwrap_or(0), "note", "notes")) }
                    (findings(&notes))
                }
            }
        }
    }
}

fn upstream_card(upstream: &UpstreamView, now: Timestamp) -> Markup {
    let (state, word) = match upstream.state {
        UpstreamState::Up => (State::Good, "up"),
        UpstreamState::Down => (State::Bad, "down"),
        UpstreamState::Unused => (State::Waiting, "not used yet"),
    };
    html! {
        article .card {
            div .title { h3 { (upstream.name) } (badge(state, word)) }
            dl {
                @if let Some(server) = &upstream.server { dt { "Of" } dd { (server) } }
                dt { "Address" } dd { (upstream.address) }
                @if let Some(since) = upstream.since { dt { "Down" } dd { "since " (date(since, now)) } }
                @if let Some(why) = &upstream.why { dt { "Because" } dd { (why) } }
                @if upstream.state != UpstreamState::Unused { dt { "Held" } dd { (held(upstream.held)) } }
                @if let Some(last) = &upstream.last_outage {
                    dt { "Last outage" }
                    dd {
                        (time(last.ended, now)) ", " (span(i64::try_from(last.seconds).unwrap_or(i64::MAX))) " long, "
                        (count(last.saved, "request", "requests")) " saved"
                        @if last.long && now.since(last.ended.0) < RECENT {
                            ". Other servers have given up meanwhile. They come back when they hear from yours: "
                            "send a message to a large room"
                        }
                    }
                }
            }
        }
    }
}

/// What became of the requests that had to wait.
fn held(held: HeldView) -> String {
    let HeldView { waiting, saved, lost, left, refused } = held;
    let parts =
        [(waiting, "wait now"), (saved, "saved"), (lost, "waited in vain"), (left, "left"), (refused, "found no room")];
    let parts = parts.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}"));
    match parts.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "no request had to wait".to_owned(),
        some => some,
    }
}

fn certificate_card(certificate: &CertificateView, now: Timestamp) -> Markup {
    let (state, word) = match certificate.state {
        CertificateState::Fine => (State::Good, "fine"),
        CertificateState::Third => (State::Good, "renewal due"),
        CertificateState::Sixth => (State::Attention, "renewal late"),
        CertificateState::Twelfth => (State::Bad, "about to expire"),
        CertificateState::Early => (State::Bad, "not valid yet"),
        CertificateState::Expired => (State::Bad, "expired"),
        CertificateState::Missing => (State::Bad, "missing"),
    };
    let names = match (certificate.names.as_slice(), &certificate.file) {
        ([], Some(file)) => file.clone(),
        (names, _) => names.join(", "),
    };
    html! {
        article .card {
            div .title { h3 { (names) } (badge(state, word)) }
            (bar(certificate, state, now))
            dl {
                @if let Some(end) = certificate.not_after { dt { "Valid until" } dd { (date(end, now)) } }
                dt { "Issuer" }
                dd {
                    @match (&certificate.issuer, certificate.source) {
                        (Some(issuer), Source::Internal) => { (issuer) " (vestibule's own CA)" }
                        (Some(issuer), _) => (issuer),
                        (None, _) => "none yet",
                    }
                }
                @if let Some(file) = &certificate.file { dt { "File" } dd { (file) } }
                @if let Some(renewal) = &certificate.renewal {
                    dt { "Next order" }
                    dd {
                        (date(renewal.at, now)) ", " (renewal.reason)
                        @if let Some(hold) = &renewal.held_by { "; held by " (hold) }
                    }
                }
                @if let Some(window) = &certificate.window {
                    dt { "CA's window" }
                    dd {
                        (clock(window.start.0)) " to " (clock(window.end.0))
                        @if let Some(why) = &window.explanation { ", see " (why) }
                    }
                }
                @for budget in &certificate.budgets { dt { "Budget" } dd { (budget_line(budget, now)) } }
                @if let Some(failure) = &certificate.last_failure {
                    dt { "Last failure" } dd { (time(failure.at, now)) ": " (failure.detail) }
                }
            }
        }
    }
}

fn budget_line(budget: &BudgetView, now: Timestamp) -> Markup {
    let host = budget.ca.trim_start_matches("https://").split('/').next().unwrap_or_default();
    html! {
        (budget.certificates_left_this_week) " of " (budget.certificates_a_week) " certificates left this week, "
        (budget.failures_left_this_hour) " of " (budget.failures_an_hour) " failures this hour at " (host)
        @if let Some(free) = budget.next_free { "; one more " (time(free, now)) }
    }
}

/// Life passes from the left to the right: what is left is coloured, a tick is the planned order, a
/// tinted stretch the CA's window.
fn bar(certificate: &CertificateView, state: State, now: Timestamp) -> Markup {
    let Some(bar) = certificate.bar(now) else { return html! {} };
    let left = 1000_u16.saturating_sub(bar.now);
    let said = format!("{} % of its life is left", left.div_ceil(10));
    html! {
        svg .bar viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" aria-label=(said) {
            rect .life x="0" y="4" width="1000" height="12" rx="4" {}
            rect class={ "left " (class(state)) } x=(bar.now) y="4" width=(left) height="12" rx="4" {}
            @if let Some((from, to)) = bar.window {
                rect .window x=(from) y="0" width=(to.saturating_sub(from).max(4)) height="20" {}
            }
            @if let Some(at) = bar.renewal { rect .renewal x=(at.min(995)) y="0" width="5" height="20" {} }
        }
        p .small .soft { (said) @if bar.renewal.is_some() { "; the tick is the next order" } }
    }
}

fn listeners(view: &View) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Listener" } th scope="col" { "Address" } th scope="col" { "Reaches" } } }
            tbody {
                @for listener in &view.listeners {
                    tr {
                        td { (listener.listener) }
                        td { (listener.address) }
                        td { (listener.families.join(" and ")) }
                    }
                }
            }
        }
    }
}

fn process(view: &View) -> Markup {
    let (process, now) = (&view.process, view.now.0);
    html! {
        dl {
            dt { "Version" } dd { (process.version) ", " (process.phase) }
            dt { "Up" } dd { (span(process.uptime_seconds)) ", since " (clock(process.started.0)) }
            dt { "Settings" }
            dd {
                @if process.configured == process.started { "read at the start" }
                @else { "reloaded " (date(process.configured, now)) }
            }
            dt { "Connections" } dd { (view.connections) " of clients and peers" }
        }
    }
}

fn check_form(token: &str) -> Markup {
    html! {
        h2 id="check" { "Check any server" }
        div .card {
            form method="post" action="/check" {
                input type="hidden" name="token" value=(token);
                label {
                    "Server name, what stands after the colon in user IDs"
                    input type="text" name="server_name" required maxlength="255" placeholder="example.org"
                        autocapitalize="none" autocomplete="off" spellcheck="false" inputmode="url";
                }
                button type="submit" { "Check" }
            }
            p .small .soft { "Takes up to 30 seconds. Only public addresses are connected to." }
        }
    }
}
