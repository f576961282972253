//! Rules about CORS at the client API: without it, no client in a browser works.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::browser::BrowserSeen;
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::session::Replied;

pub(super) const RULES: &[Rule] = &[missing, preflight, twice];

const ALLOW: &str = "access-control-allow-origin";

/// One finding about the client API, if `detail` has one. Where the API itself does not answer,
/// `wk.client.versions` says so.
fn one(case: &Case<'_>, code: Code, detail: impl Fn(&BrowserSeen) -> Option<String>) -> Vec<Finding> {
    let answers = |seen: &&BrowserSeen| seen.versions.as_ref().and_then(Replied::ok).is_some_and(|a| a.status == 200);
    let Some(seen) = case.seen.browser.as_ref().filter(answers) else {
        return Vec::new();
    };
    detail(seen).map(|detail| case.finding(code, &seen.base_url, detail)).into_iter().collect()
}

/// The answers that a script must be able to read.
fn answers(seen: &BrowserSeen) -> impl Iterator<Item = (&'static str, &HttpAnswer)> {
    let replies = [("/_matrix/client/versions", &seen.versions), ("an error without a token", &seen.error)];
    replies.into_iter().filter_map(|(what, reply)| Some((what, reply.as_ref().and_then(Replied::ok)?)))
}

fn missing(case: &Case<'_>) -> Vec<Finding> {
    one(case, Code::CorsCs, |seen| {
        answers(seen).filter(|(_, answer)| answer.status != 429).find_map(|(what, answer)| {
            let values: Vec<_> = answer.headers.get_all(ALLOW).iter().collect();
            match values.as_slice() {
                [] => Some(format!("{what} ({}) has no Access-Control-Allow-Origin", answer.status)),
                [only] if only.as_bytes() == b"*" || only.as_bytes().contains(&b',') => None,
                [only] => Some(format!("{what} has Access-Control-Allow-Origin {only:?}, not *")),
                _ => None,
            }
        })
    })
}

fn preflight(case: &Case<'_>) -> Vec<Finding> {
    one(case, Code::CorsPreflight, |seen| {
        let answer = seen.preflight.as_ref()?.ok().filter(|answer| answer.status != 429)?;
        if !(200..300).contains(&answer.status) {
            return Some(format!("OPTIONS is answered {}", answer.status));
        }
        let allowed = |name: &str, wanted: &str| {
            let values = answer.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|value| {
                let value = value.trim();
                value == "*" && wanted != "authorization" || value.eq_ignore_ascii_case(wanted)
            })
        };
        if !allowed(ALLOW, "*") {
            // Where no answer has the header, `cors.cs` has said it.
            let anywhere = answers(seen).any(|(_, answer)| answer.headers.contains_key(ALLOW));
            return anywhere.then(|| "the answer to OPTIONS does not allow every origin".to_owned());
        }
        let headers = "access-control-allow-headers";
        let refused = ["authorization", "content-type"].into_iter().find(|name| !allowed(headers, name));
        // Simple methods need no permission; PUT and DELETE do.
        let methods = "access-control-allow-methods";
        let method = ["PUT", "DELETE"].into_iter().find(|name| !allowed(methods, name));
        match (refused, method) {
            (Some(name), _) => Some(format!("the answer to OPTIONS does not allow the header {name}")),
            (None, Some(name)) => Some(format!("the answer to OPTIONS does not allow {name}")),
            (None, None) => None,
        }
    })
}

fn twice(case: &Case<'_>) -> Vec<Finding> {
    one(case, Code::CorsDup, |seen| {
        let preflight = seen.preflight.as_ref().and_then(Replied::ok).map(|answer| ("the answer to OPTIONS", answer));
        answers(seen).chain(preflight).find_map(|(what, answer)| {
            let values = answer.headers.get_all(ALLOW).iter();
            let count: usize = values.map(|value| value.as_bytes().split(|byte| *byte == b',').count()).sum();
            (count > 1).then(|| format!("{what} has Access-Control-Allow-Origin {count} times"))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::judge::tests::{answer, reply, table};
    use crate::check::observe::Observation;

    const BARE: &[(&str, &str)] = &[("content-type", "application/json")];
    const TWO: &[(&str, &str)] = &[("access-control-allow-origin", "*"), ("access-control-allow-origin", "*")];

    fn browser(seen: &mut Observation) -> &mut BrowserSeen {
        seen.browser.as_mut().unwrap()
    }

    #[test]
    fn headers_for_browsers() {
        table(&[
            ("cors.cs?", |s| browser(s).versions = Some(reply(answer(200, BARE, "")))),
            ("cors.cs?", |s| browser(s).error = Some(reply(answer(401, BARE, "")))),
            ("cors.cs?", |s| {
                let one = &[("access-control-allow-origin", "https://app.ex.org")];
                browser(s).versions = Some(reply(answer(200, one, "")));
            }),
            ("cors.dup?", |s| browser(s).versions = Some(reply(answer(200, TWO, "")))),
            ("cors.dup?", |s| {
                let list = &[("access-control-allow-origin", "*, *")];
                browser(s).error = Some(reply(answer(401, list, "")));
            }),
            // Where the API is not there at all, that is what counts.
            ("", |s| browser(s).versions = Some(reply(answer(404, BARE, "")))),
        ]);
    }

    #[test]
    fn preflights() {
        table(&[
            ("cors.preflight?", |s| browser(s).preflight = Some(reply(answer(401, BARE, "")))),
            ("cors.preflight?", |s| browser(s).preflight = Some(reply(answer(204, BARE, "")))),
            ("cors.preflight?", |s| {
                let headers = &[
                    ("access-control-allow-origin", "*"),
                    ("access-control-allow-methods", "GET, PUT, DELETE"),
                    // The star never stands for Authorization (Fetch standard).
                    ("access-control-allow-headers", "*"),
                ];
                browser(s).preflight = Some(reply(answer(204, headers, "")));
            }),
            ("cors.preflight?", |s| {
                let headers = &[
                    ("access-control-allow-origin", "*"),
                    ("access-control-allow-methods", "GET, POST"),
                    ("access-control-allow-headers", "authorization, content-type"),
                ];
                browser(s).preflight = Some(reply(answer(204, headers, "")));
            }),
            // One cause, one finding.
            ("cors.cs?", |s| {
                let bare = |status| Some(reply(answer(status, BARE, "")));
                (browser(s).versions, browser(s).error, browser(s).preflight) = (bare(200), bare(401), bare(204));
            }),
        ]);
    }
}
