//! The page, written on the server: no script, nothing from elsewhere, one style sheet inside that the
//! Content-Security-Policy names by its hash. maud escapes whatever is put into it.

mod overview;
mod parts;
mod result;
mod text;

pub(super) use overview::overview;
pub(super) use result::{refused, result};

use super::view::State;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// A form that starts checks: what it sends back to show that it came from this page.
pub(super) type Token<'a> = Option<&'a str>;

/// The policy for every page here (Content Security Policy Level 3): only the style sheet that is in
/// it, no scripts, no frames, and forms lead back to this listener.
pub(super) fn policy() -> String {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

fn document(title: &str, banner: &Markup, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                // Nothing in the style sheet ends it early: it is a constant.
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p .brand { a href="/" { "vestibule" } a .again href="/" { "Refresh" } }
                    (banner)
                }
                main { (body) }
                footer {
                    p {
                        "vestibule " (env!("CARGO_PKG_VERSION")) " · the same as data: "
                        a href="/status.json" { "status.json" } ", " a href="/metrics" { "metrics" }
                    }
                }
            }
        }
    };
    page.into_string()
}

/// The line that is read first.
fn banner(state: State, headline: &str, below: &Markup) -> Markup {
    html! {
        div class={ "banner " (class(state)) } {
            (icon(state))
            div { h1 { (headline) } (below) }
        }
    }
}

fn class(state: State) -> &'static str {
    match state {
        State::Good => "good",
        State::Waiting => "waiting",
        State::Attention => "attention",
        State::Bad => "bad",
    }
}

/// A shape besides the colour: not everybody sees that, and nobody in the dark.
fn icon(state: State) -> Markup {
    let path = match state {
        State::Good => "M7 12.5l3.5 3.5L17 9",
        State::Waiting => "M12 7v5.5l3.5 2",
        State::Attention => "M12 6.5v7M12 17v.5",
        State::Bad => "M8 8l8 8M16 8l-8 8",
    };
    html! {
        svg viewBox="0 0 24 24" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="2.2"
            stroke-linecap="round" stroke-linejoin="round" {
            circle cx="12" cy="12" r="10" {}
            path d=(path) {}
        }
    }
}
