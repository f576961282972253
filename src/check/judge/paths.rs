//! Rules about the bytes of a path: homeservers route on them and signatures cover them, so they
//! must arrive as they were sent.
//!
//! Refusals of unsigned requests are compared with each other and not with a list: Synapse refuses
//! with 401 `M_UNAUTHORIZED`, Conduit's descendants with 403 `M_FORBIDDEN`, Dendrite with 401 and no
//! code at all. Whatever it is, an event ID with unusual bytes must be refused as one without them.

use super::connection::each;
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::federation::Connection;
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::requests::{CHARACTERS, Requests, same};
use crate::check::observe::session::Replied;
use crate::check::observe::signed::Signed;
use crate::matrix::version::ServerVersion;
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[slash, characters, double_slash, dot_segment, signed, untried];

/// Whether a refusal is a homeserver's: a JSON object, and a status for what is not allowed.
pub(super) fn refused(reply: Option<&Replied>) -> bool {
    reply.and_then(Replied::ok).is_some_and(|answer| {
        matches!(answer.status, 401 | 403) && serde_json::from_slice::<Value>(&answer.body).is_ok_and(|v| v.is_object())
    })
}

/// What came instead of an answer, in a few words.
pub(super) fn describe(reply: &Replied) -> String {
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

fn differs(plain: Option<&Replied>, reply: Option<&Replied>) -> Option<String> {
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
fn is_version(reply: Option<&Replied>) -> bool {
    let answer = reply.and_then(Replied::ok).filter(|answer| answer.status == 200);
    answer.is_some_and(|answer| ServerVersion::parse(&answer.body).is_ok())
}

/// What is wrong where `path` is taken for the version endpoint.
fn cleaned(path: &str, reply: Option<&Replied>) -> Option<String> {
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
    let rejected = |reply: &Replied| reply.ok().is_some_and(|answer| matches!(answer.status, 401 | 403));
    each(case, Code::UriSigned, |seen| match seen.requests()?.signed.as_ref()? {
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
    })
}

/// The signature was not tried, which is not the server's fault.
fn untried(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::CheckSigningKey, |seen| match seen.requests()?.signed.as_ref()? {
        Signed::Foreign(id) => Some(format!("not used: the server publishes no key {id} with that public half")),
        Signed::Unproved => Some("not used: the server's certificate did not verify".to_owned()),
        Signed::Sent { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::judge::tests::{JSON, answer, refusal, reply, table};
    use crate::check::observe::Observation;
    use crate::check::observe::tls::Trouble;

    const HTML: &[(&str, &str)] = &[("content-type", "text/html"), ("server", "nginx")];

    fn first(seen: &mut Observation) -> &mut Requests {
        seen.connections[0].more.as_mut().unwrap().requests.as_mut().unwrap()
    }

    /// Every unsigned request is refused like this.
    fn refuse(seen: &mut Observation, reply: &Replied) {
        let requests = first(seen);
        for place in [&mut requests.plain, &mut requests.slash, &mut requests.characters, &mut requests.unsigned] {
            *place = Some(reply.clone());
        }
        requests.http2.answers[1] = reply.answer.clone().map_err(|trouble| trouble.to_string());
    }

    fn version() -> Option<Replied> {
        Some(reply(answer(200, JSON, r#"{"server":{}}"#)))
    }

    #[test]
    fn encoded_bytes() {
        table(&[
            // What other homeservers say to an unsigned request: Dendrite, Conduit's descendants.
            ("", |s| refuse(s, &reply(answer(401, JSON, r#"{"message":"Missing X-Matrix"}"#)))),
            ("", |s| refuse(s, &refusal(403, "M_FORBIDDEN"))),
            ("uri.encslash", |s| first(s).slash = Some(refusal(404, "M_UNRECOGNIZED"))),
            ("uri.encslash", |s| first(s).slash = Some(reply(answer(400, HTML, "<h1>")))),
            ("uri.encslash", |s| {
                let trouble = Trouble::Exchange("connection closed".to_owned());
                first(s).slash = Some(Replied { answer: Err(trouble), first_try: None });
            }),
            // Nothing to compare with: somebody in front answers, which has its own finding.
            ("fed.unsigned?", |s| {
                let page = || Some(reply(answer(404, JSON, "")));
                (first(s).unsigned, first(s).plain, first(s).slash) = (page(), page(), None);
            }),
            // Enough is enough.
            ("check.cut?", |s| {
                first(s).slash = Some(reply(answer(429, JSON, "")));
                (first(s).characters, first(s).finished) = (None, false);
            }),
            ("uri.chars", |s| {
                first(s).characters = Some(reply(answer(400, HTML, "")));
                first(s).each_character = [401, 401, 400, 401, 401]
                    .map(|status| match status {
                        401 => refusal(401, "M_UNAUTHORIZED"),
                        status => reply(answer(status, HTML, "")),
                    })
                    .to_vec();
            }),
            ("uri.chars", |s| first(s).characters = Some(refusal(404, "M_UNRECOGNIZED"))),
            ("uri.chars", |s| first(s).decoded = version()),
        ]);
    }

    #[test]
    fn the_refused_character_is_named() {
        let mut requests = Requests { plain: Some(refusal(401, "M_UNAUTHORIZED")), ..Requests::default() };
        requests.characters = Some(reply(answer(400, HTML, "")));
        let said = differs(requests.plain.as_ref(), requests.characters.as_ref());
        assert_eq!(said.as_deref(), Some("400 (text/html from nginx), and 401 M_UNAUTHORIZED without it"));
    }

    #[test]
    fn cleaned_paths() {
        table(&[
            ("uri.dblslash?", |s| first(s).double_slash = version()),
            ("uri.dotseg?", |s| first(s).dot_segment = version()),
            ("uri.dblslash?", |s| {
                let headers = &[("location", "/_matrix/federation/v1/version")];
                first(s).double_slash = Some(reply(answer(301, headers, "")));
            }),
            // A refusal is no cleaning.
            ("", |s| first(s).dot_segment = Some(reply(answer(400, HTML, "")))),
        ]);
    }

    #[test]
    fn signatures() {
        fn sent(plain: u16, special: u16) -> Option<Signed> {
            let reply = |status| Box::new(reply(answer(status, JSON, r#"{"errcode":"M_UNAUTHORIZED"}"#)));
            Some(Signed::Sent { plain: reply(plain), special: reply(special) })
        }
        table(&[
            ("", |s| first(s).signed = sent(404, 404)),
            ("uri.signed", |s| first(s).signed = sent(404, 401)),
            ("uri.signed", |s| first(s).signed = sent(404, 403)),
            ("uri.signed", |s| first(s).signed = sent(401, 401)),
            ("check.signing_key.", |s| first(s).signed = Some(Signed::Foreign("ed25519:x".to_owned()))),
            ("check.signing_key.", |s| first(s).signed = Some(Signed::Unproved)),
        ]);
    }
}
