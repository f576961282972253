//! Rules about the bytes of a path: homeservers route on them and signatures cover them, so they
//! must arrive as they were sent.
//!
//! Refusals of unsigned requests are compared with each other and not with a list: Synapse refuses
//! with 401 `M_UNAUTHORIZED`, Conduit's descendants with 403 `M_FORBIDDEN`, Dendrite with 401 and no
//! code at all. Whatever it is, an event ID with unusual bytes must be refused as one without them.

use super::connection::each;
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::observe::federation::Connection;
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::requests::{CHARACTERS, Requests, same};
use crate::check::observe::session::Reply;
use crate::check::observe::signed::Signed;
use crate::matrix::version::ServerVersion;
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[slash, characters, double_slash, dot_segment, signed];

/// Whether a refusal is a homeserver's: a JSON object, and a status for what is not allowed.
pub(super) fn refused(reply: Option<&Reply>) -> bool {
    reply.and_then(Reply::ok).is_some_and(|answer| {
        matches!(answer.status, 401 | 403) && serde_json::from_slice::<Value>(&answer.body).is_ok_and(|v| v.is_object())
    })
}

/// What came instead of an answer, in a few words.
pub(super) fn describe(reply: &Reply) -> String {
    match &reply.answer {
        Ok(answer) => status(answer),
        Err(trouble) => trouble.to_string(),
    }
}

/// `404 M_UNRECOGNIZED`, or `400 (text/html from nginx)`.
pub(super) fn status(answer: &HttpAnswer) -> String {
    if let Some(code) = answer.errcode() {
        return format!("{} {code}", answer.status);
    }
    let kind = answer.media_type().unwrap_or_else(|| "no content type".to_owned());
    let from = answer.header("server").map(|server| format!(" from {server}")).unwrap_or_default();
    format!("{} ({kind}{from})", answer.status)
}

/// What each address did with requests, where an ordinary path is refused as a homeserver refuses.
fn comparable(seen: &Connection) -> Option<&Requests> {
    seen.requests().filter(|requests| refused(requests.plain.as_ref()))
}

fn differs(plain: Option<&Reply>, reply: Option<&Reply>) -> Option<String> {
    // A server that wants fewer requests says nothing about paths.
    let reply = reply.filter(|reply| reply.ok().is_none_or(|answer| answer.status != 429))?;
    if same(plain, Some(reply)) {
        return None;
    }
    Some(format!("{}, and {} without it", describe(reply), describe(plain?)))
}

fn slash(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::UriEncSlash, |seen| {
        let requests = comparable(seen)?;
        let said = differs(requests.plain.as_ref(), requests.slash.as_ref())?;
        Some(format!("%2F in an event ID is answered {said}: something in front decodes or refuses it"))
    })
}

fn characters(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::UriChars, |seen| {
        if is_version(seen.requests()?.decoded.as_ref()) {
            return Some("version%3Fx is answered like version?x: something in front decodes paths".to_owned());
        }
        let requests = comparable(seen)?;
        let plain = requests.plain.as_ref();
        let together = differs(plain, requests.characters.as_ref())?;
        let alone = CHARACTERS.iter().zip(&requests.each_character);
        let bad: Vec<_> = alone.filter(|(_, reply)| !same(plain, Some(reply))).map(|((name, _), _)| *name).collect();
        if bad.is_empty() {
            return Some(format!("%23 %3B %25 %3F %5C together are answered {together}"));
        }
        Some(format!("{} in an event ID: {together}", bad.join(" ")))
    })
}

/// The version reply, where nothing but the version endpoint gives one.
fn is_version(reply: Option<&Reply>) -> bool {
    let answer = reply.and_then(Reply::ok).filter(|answer| answer.status == 200);
    answer.is_some_and(|answer| ServerVersion::parse(&answer.body).is_ok())
}

/// What is wrong where `path` is taken for the version endpoint.
fn cleaned(path: &str, reply: Option<&Reply>) -> Option<String> {
    if is_version(reply) {
        return Some(format!("{path} is answered like version: something in front cleans paths"));
    }
    let answer = reply?.ok().filter(|answer| (300..400).contains(&answer.status))?;
    let location = answer.header("location").filter(|location| location.ends_with("/v1/version"))?;
    Some(format!("{path} is redirected to {location}: something in front cleans paths"))
}

fn double_slash(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::UriDblSlash, |seen| cleaned("v1//version", seen.requests()?.double_slash.as_ref()))
}

fn dot_segment(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::UriDotSeg, |seen| cleaned("v1/x/../version", seen.requests()?.dot_segment.as_ref()))
}

fn signed(case: &Case<'_>) -> Vec<Finding> {
    let rejected = |reply: &Reply| reply.ok().is_some_and(|answer| matches!(answer.status, 401 | 403));
    let mut findings = each(case, Code::UriSigned, |seen| match seen.requests()?.signed.as_ref()? {
        Signed::Sent { plain, special } if rejected(special) && !rejected(plain) => Some(format!(
            "a signed request with %24 %21 %40 %3A in its path is answered {}, one without them {}: the path is altered",
            describe(special),
            describe(plain)
        )),
        Signed::Sent { plain, .. } if rejected(plain) => Some(format!(
            "signed requests are answered {} whatever their path: the Authorization header is altered on the way",
            describe(plain)
        )),
        Signed::Sent { .. } | Signed::Foreign(_) | Signed::Unproved => None,
    });
    // Not the server's fault: it was not tried.
    let untried = each(case, Code::UriSigned, |seen| match seen.requests()?.signed.as_ref()? {
        Signed::Foreign(id) => Some(format!("not tried: the server publishes no key {id} with that public half")),
        Signed::Unproved => Some("not tried: the server's certificate did not verify".to_owned()),
        Signed::Sent { .. } => None,
    });
    findings.extend(untried.into_iter().map(|finding| finding.at(Severity::Info)));
    findings
}
