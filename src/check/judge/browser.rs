//! Rules about what a browser lets a web client read (client-server API, "Web Browser Clients").

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::client_api::PAGE;
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::well_known::Visit;
use crate::matrix::ServerName;
use crate::matrix::well_known::{CLIENT_PATH, POLICY_PATH, SUPPORT_PATH};

pub(super) const RULES: &[Rule] = &[documents, redirects];

const ALLOW_ORIGIN: &str = "access-control-allow-origin";

/// Every value of a header that lists things, in lower case.
fn list(answer: &HttpAnswer, name: &str) -> Vec<String> {
    let values = answer.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|value| value.trim().to_ascii_lowercase()).collect()
}

/// Why a page elsewhere cannot read an answer.
pub(super) fn unreadable(answer: &HttpAnswer) -> Option<String> {
    let values: Vec<_> = answer.headers.get_all(ALLOW_ORIGIN).iter().collect();
    match values.as_slice() {
        [] => Some("no Access-Control-Allow-Origin".to_owned()),
        [only] if only.as_bytes() == b"*" => None,
        // Any page's own name, and caches know that it differs.
        [only] if only.as_bytes() == PAGE.as_bytes() && list(answer, "vary").iter().any(|name| name == "origin") => {
            None
        }
        [other] => Some(format!("Access-Control-Allow-Origin is {other:?}, not *")),
        many => Some(format!("Access-Control-Allow-Origin is sent {} times", many.len())),
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
        let detail = unreadable(answer)?;
        Some(case.finding(Code::WkClientCors, format!("https://{host}{path}"), detail).for_host(&host))
    };
    visits(case).filter_map(finding).collect()
}

fn redirects(case: &Case<'_>) -> Vec<Finding> {
    let finding = |(_, visit): (&str, &Visit)| {
        visit.hops.iter().find_map(|hop| {
            let answer = hop.fetched.answer.as_ref().ok().filter(|answer| (300..400).contains(&answer.status))?;
            let detail = unreadable(answer)?;
            let to = answer.header("location").unwrap_or("nowhere");
            let detail = format!("status {} to {to}: {detail}, so browsers stop here", answer.status);
            Some(case.finding(Code::WkClientRedirectCors, &hop.url, detail))
        })
    };
    visits(case).filter_map(finding).collect()
}
