//! Rules about what clients find. None of them keeps servers from federating.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::client_api::ClientSeen;
use crate::check::observe::http::{Fetched, HttpAnswer};
use crate::check::observe::well_known::{Stop, Url, Visit};
use crate::matrix::ServerName;
use crate::matrix::well_known::CLIENT_PATH;
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[status, json, base_url, versions, identity, retired];

fn host(case: &Case<'_>) -> String {
    ServerName::parse(case.server).map(|name| name.host().to_string()).unwrap_or_default()
}

fn one(case: &Case<'_>, code: Code, path: &str, detail: Option<String>) -> Vec<Finding> {
    let host = host(case);
    let finding = |detail| case.finding(code, format!("https://{host}{path}"), detail).for_host(&host);
    detail.map(finding).into_iter().collect()
}

fn answer(visit: &Visit) -> Option<&HttpAnswer> {
    visit.last()?.answer.as_ref().ok()
}

/// The client document as JSON, where it is served.
fn document(seen: &ClientSeen) -> Option<Result<Value, serde_json::Error>> {
    let answer = answer(&seen.document).filter(|answer| answer.status == 200)?;
    Some(serde_json::from_slice(&answer.body))
}

/// The client document, where it is an object.
pub(super) fn object(case: &Case<'_>) -> Option<Value> {
    document(case.seen.client.as_ref()?)?.ok().filter(Value::is_object)
}

fn status(case: &Case<'_>) -> Vec<Finding> {
    let detail = case.seen.client.as_ref().and_then(|seen| {
        if let Some(stop) = &seen.document.stopped {
            return Some(stop.to_string());
        }
        match &seen.document.last()?.answer {
            Ok(answer) if matches!(answer.status, 200 | 404) => None,
            Ok(answer) => Some(format!("status {}: clients ask the user for the server", answer.status)),
            Err(trouble) => Some(trouble.to_string()),
        }
    });
    one(case, Code::WkClientStatus, CLIENT_PATH, detail)
}

fn json(case: &Case<'_>) -> Vec<Finding> {
    let detail = case.seen.client.as_ref().and_then(document).and_then(|document| match document {
        Ok(Value::Object(_)) => None,
        Ok(_) => Some("the document is JSON, but not an object".to_owned()),
        Err(error) => Some(format!("the document is not JSON: {error}")),
    });
    one(case, Code::WkClientJson, CLIENT_PATH, detail)
}

fn base_url(case: &Case<'_>) -> Vec<Finding> {
    let detail = object(case).and_then(|document| {
        let base_url = document.get("m.homeserver").and_then(|entry| entry.get("base_url")).and_then(Value::as_str);
        match base_url {
            None => Some("there is no m.homeserver.base_url".to_owned()),
            Some(url) => {
                let seen = case.seen.client.as_ref()?.homeserver.as_ref()?;
                let stop = seen.versions.as_ref().err()?;
                Some(format!("base_url {url:?}: {}", describe(stop)))
            }
        }
    });
    one(case, Code::WkClientBaseUrl, CLIENT_PATH, detail)
}

/// The reasons for not following a redirect, in the words for a base URL.
fn describe(stop: &Stop) -> String {
    match stop {
        Stop::NotHttps(_) => "not https".to_owned(),
        Stop::NoAddress(host) => format!("{host} has no address"),
        Stop::Loop(_) | Stop::TooMany | Stop::TooSlow(_) | Stop::BadLocation(_) => "not a URL".to_owned(),
    }
}

/// Why clients cannot use what is found at a URL, if so; only an answer of 200 is of use.
pub(super) fn unusable(case: &Case<'_>, seen: &Result<Fetched, Stop>) -> Option<String> {
    let fetched = match seen {
        Ok(fetched) => fetched,
        Err(stop) => return Some(describe(stop)),
    };
    // A certificate that was also seen elsewhere has its findings already.
    let leaf = fetched.tls.as_ref().and_then(|tls| tls.chain.leaf());
    let known = case.chains().iter().any(|seen| leaf.is_some() && seen.chain.leaf() == leaf);
    let refused = !known && fetched.tls.as_ref().is_some_and(|tls| !tls.chain.accepted(case.policy));
    match &fetched.answer {
        Ok(_) if refused => Some("clients do not accept the certificate there".to_owned()),
        Ok(answer) if (300..400).contains(&answer.status) => {
            Some(format!("status {}, a redirect to {}", answer.status, answer.header("location").unwrap_or("nowhere")))
        }
        Ok(answer) => (answer.status != 200).then(|| format!("status {}", answer.status)),
        Err(trouble) => Some(trouble.to_string()),
    }
}

fn versions(case: &Case<'_>) -> Vec<Finding> {
    let Some(seen) = case.seen.client.as_ref().and_then(|seen| seen.homeserver.as_ref()) else {
        return Vec::new();
    };
    // A URL that cannot be asked is spoken of by wk.client.base_url.
    let Ok(fetched) = &seen.versions else {
        return Vec::new();
    };
    let detail = unusable(case, &seen.versions).or_else(|| {
        let document: Option<Value> = serde_json::from_slice(&fetched.answer.as_ref().ok()?.body).ok();
        let versions = document.as_ref().and_then(|document| document.get("versions")).and_then(Value::as_array);
        versions.is_none().then(|| "the answer has no list \"versions\"".to_owned())
    });
    let url = format!("{}/_matrix/client/versions", seen.base_url.trim_end_matches('/'));
    detail.map(|detail| case.finding(Code::WkClientVersions, url, detail)).into_iter().collect()
}

fn identity(case: &Case<'_>) -> Vec<Finding> {
    let detail = object(case).and_then(|document| {
        let server = document.get("m.identity_server")?;
        let Some(url) = server.get("base_url").and_then(Value::as_str) else {
            return Some("m.identity_server has no base_url".to_owned());
        };
        let stop = Url::parse(url).err()?;
        Some(format!("the base_url of m.identity_server is {url:?}: {}", describe(&stop)))
    });
    one(case, Code::WkClientIdentity, CLIENT_PATH, detail)
}

fn retired(case: &Case<'_>) -> Vec<Finding> {
    let proxy = object(case).and_then(|document| document.get("org.matrix.msc3575.proxy").cloned());
    let detail = proxy.map(|proxy| format!("there is an entry org.matrix.msc3575.proxy: {proxy}"));
    one(case, Code::WkClientMsc3575, CLIENT_PATH, detail)
}
