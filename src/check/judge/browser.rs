//! Rules about what a browser lets a web client read (client-server API, "Web Browser Clients").

use super::client::unusable;
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::client_api::{Homeserver, PAGE};
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::well_known::Visit;
use crate::matrix::ServerName;
use crate::matrix::well_known::{CLIENT_PATH, POLICY_PATH, SUPPORT_PATH};

pub(super) const RULES: &[Rule] = &[documents, redirects, homeserver, preflight];

const ALLOW_ORIGIN: &str = "access-control-allow-origin";

/// Every value of a header that lists things, in lower case.
fn list(answer: &HttpAnswer, name: &str) -> Vec<String> {
    let values = answer.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|value| value.trim().to_ascii_lowercase()).collect()
}

/// Why a page elsewhere cannot read an answer, and whether it is for too many headers.
pub(super) fn unreadable(answer: &HttpAnswer) -> Option<(bool, String)> {
    let values: Vec<_> = answer.headers.get_all(ALLOW_ORIGIN).iter().collect();
    match values.as_slice() {
        [] => Some((false, "no Access-Control-Allow-Origin".to_owned())),
        [only] if only.as_bytes() == b"*" => None,
        // Any page's own name, and caches know that it differs.
        [only] if only.as_bytes() == PAGE.as_bytes() && list(answer, "vary").iter().any(|name| name == "origin") => {
            None
        }
        [only] if only.as_bytes().contains(&b',') => Some((true, format!("Access-Control-Allow-Origin is {only:?}"))),
        [other] => Some((false, format!("Access-Control-Allow-Origin is {other:?}, not *"))),
        many => Some((true, format!("Access-Control-Allow-Origin is sent {} times", many.len()))),
    }
}

/// The documents of the server name that browsers read, with their paths.
fn visits<'a>(case: &'a Case<'_>) -> impl Iterator<Item = (&'static str, &'a Visit)> {
    let seen = case.seen.client.iter();
    seen.flat_map(|seen| [(CLIENT_PATH, &seen.document), (SUPPORT_PATH, &seen.support), (POLICY_PATH, &seen.policy)])
}

fn documents(case: &Case<'_>) -> Vec<Finding> {
    let host = ServerName::parse(case.server).map(|name| name.host().to_string()).unwrap_or_default();
    let finding = |(path, visit): (&str, &Visit)| {
        let answer = visit.last()?.answer.as_ref().ok().filter(|answer| answer.status == 200)?;
        let (_, detail) = unreadable(answer)?;
        Some(case.finding(Code::WkClientCors, format!("https://{host}{path}"), detail).for_host(&host))
    };
    visits(case).filter_map(finding).collect()
}

fn redirects(case: &Case<'_>) -> Vec<Finding> {
    let finding = |(_, visit): (&str, &Visit)| {
        visit.hops.iter().find_map(|hop| {
            let answer = hop.fetched.answer.as_ref().ok().filter(|answer| (300..400).contains(&answer.status))?;
            let (_, detail) = unreadable(answer)?;
            let to = answer.header("location").unwrap_or("nowhere");
            let detail = format!("status {} to {to}: {detail}, so browsers stop here", answer.status);
            Some(case.finding(Code::WkClientRedirectCors, &hop.url, detail))
        })
    };
    visits(case).filter_map(finding).collect()
}

/// The homeserver at base_url, as far as it answers at all: otherwise wk.client.versions speaks.
fn reached<'a>(case: &'a Case<'_>) -> Option<(&'a Homeserver, &'a HttpAnswer)> {
    let seen = case.seen.client.as_ref()?.homeserver.as_ref()?;
    if unusable(case, &seen.versions).is_some() {
        return None;
    }
    Some((seen, seen.versions.as_ref().ok()?.answer.as_ref().ok()?))
}

fn url(seen: &Homeserver) -> String {
    format!("{}/_matrix/client/versions", seen.base_url.trim_end_matches('/'))
}

fn homeserver(case: &Case<'_>) -> Vec<Finding> {
    let finding = |(seen, answer): (&Homeserver, &HttpAnswer)| {
        let (twice, detail) = unreadable(answer)?;
        let code = if twice { Code::CorsDup } else { Code::CorsCs };
        Some(case.finding(code, url(seen), detail))
    };
    reached(case).and_then(finding).into_iter().collect()
}

fn preflight(case: &Case<'_>) -> Vec<Finding> {
    let finding = |(seen, _): (&Homeserver, &HttpAnswer)| {
        let detail = match &seen.preflight.as_ref()?.answer {
            Err(trouble) => trouble.to_string(),
            Ok(answer) if !(200..300).contains(&answer.status) => format!("OPTIONS is answered with {}", answer.status),
            Ok(answer) => refused(answer)?,
        };
        Some(case.finding(Code::CorsPreflight, url(seen), detail))
    };
    reached(case).and_then(finding).into_iter().collect()
}

/// What a browser that asks before a `PUT` with a token is refused.
fn refused(answer: &HttpAnswer) -> Option<String> {
    if let Some((_, detail)) = unreadable(answer) {
        return Some(format!("OPTIONS: {detail}"));
    }
    let (methods, headers) =
        (list(answer, "access-control-allow-methods"), list(answer, "access-control-allow-headers"));
    if !methods.iter().any(|method| method == "put" || method == "*") {
        return Some("OPTIONS: Access-Control-Allow-Methods lacks PUT".to_owned());
    }
    // "*" does not cover this one (Fetch standard, "CORS non-wildcard request-header name").
    let missing = !headers.iter().any(|header| header == "authorization");
    missing.then(|| "OPTIONS: Access-Control-Allow-Headers lacks Authorization".to_owned())
}
