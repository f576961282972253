//! Rules about who answers requests: the homeserver, for every method, host, protocol and agent, and
//! nothing in front of it.

use super::connection::{each, not_json};
use super::paths::{describe, refused, status};
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::observe::federation::Connection;
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::requests::{AGENTS, Requests, same};
use crate::check::observe::session::Replied;
use crate::check::observe::tls::Trouble;
use crate::matrix::version::ServerVersion;

pub(super) const RULES: &[Rule] = &[unsigned, method, host, http2, wall, cdn];

fn unsigned(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedUnsigned, |seen| {
        // Where not even the version comes, nothing is routed, and that is said.
        let reply = seen.requests().filter(|_| has_version(seen))?.unsigned.as_ref()?;
        if refused(Some(reply)) || walled(seen).is_some() {
            return None;
        }
        match &reply.answer {
            Ok(answer) if answer.status == 429 => None,
            Ok(answer) => Some(format!("an unsigned profile query is answered {}", status(answer))),
            // A handshake knows nothing of requests.
            Err(trouble) if trouble.in_tls() => None,
            Err(trouble) => Some(format!("an unsigned profile query: {trouble}")),
        }
    })
}

fn method(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedMethod, |seen| {
        let answer = seen.requests().filter(|_| has_version(seen))?.put.as_ref()?.ok()?;
        // Older homeservers say 404 here too. A refusal by rule is `waf`'s.
        let unrecognized = answer.errcode().as_deref() == Some("M_UNRECOGNIZED");
        let by_homeserver = unrecognized && matches!(answer.status, 404 | 405);
        if by_homeserver || answer.status == 429 || walled(seen).is_some() {
            return None;
        }
        Some(format!("PUT to the version endpoint is answered {}", status(answer)))
    })
}

fn version_ok(answer: &HttpAnswer) -> bool {
    not_json(answer).is_none() && ServerVersion::parse(&answer.body).is_ok()
}

/// Whether the first question, with the right host, has the answer that it should have.
pub(super) fn has_version(seen: &Connection) -> bool {
    seen.version.answer.as_ref().is_ok_and(version_ok)
}

fn host(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in case.seen.connections.iter().filter(|seen| has_version(seen)) {
        let Some(requests) = seen.requests() else { continue };
        let wrong = |(host, reply): &(String, Replied)| {
            let unasked = reply.answer.as_ref().is_err_and(Trouble::in_tls);
            let fine = unasked || reply.ok().is_some_and(|answer| version_ok(answer) || answer.status == 429);
            (!fine).then(|| (host.clone(), format!("Host: {host} is answered {}", describe(reply))))
        };
        let wrong: Vec<_> = requests.hosts.iter().filter_map(wrong).collect();
        if wrong.is_empty() {
            continue;
        }
        // Peers write the name as the delegation does; only where that has capitals does case matter.
        let only_case = wrong.iter().all(|(host, _)| *host == host.to_ascii_uppercase());
        let detail = wrong.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; ");
        let name = case.seen.plan.as_ref().map(|plan| plan.certificate_name.to_string()).unwrap_or_default();
        let finding = case.finding(Code::FedHost, seen.address, detail).for_host(name);
        findings.push(if only_case { finding.at(Severity::Warn) } else { finding });
    }
    findings
}

fn http2(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::FedHttp2, |seen| {
        let requests = seen.requests().filter(|requests| requests.http2.spoken && has_version(seen))?;
        // What is wrong with the slash over HTTP/1.1 already is no matter of HTTP/2.
        let slash = requests.slash.as_ref().filter(|slash| same(requests.plain.as_ref(), Some(slash)));
        let over_1 = [seen.version.answer.as_ref().ok(), slash.and_then(Replied::ok)];
        requests.http2.answers.iter().zip(over_1).find_map(|(over_2, over_1)| {
            let over_1 = over_1?;
            match over_2 {
                Ok(over_2) if over_2.status == 429 => None,
                Ok(over_2) if (over_2.status, over_2.errcode()) == (over_1.status, over_1.errcode()) => None,
                Ok(over_2) => {
                    Some(format!("answered {} over HTTP/2, and {} over HTTP/1.1", status(over_2), status(over_1)))
                }
                Err(error) => Some(format!("no answer over HTTP/2, which it offers: {error}")),
            }
        })
    })
}

/// A page in place of an answer, or a refusal that depends on who asks.
#[derive(Debug, PartialEq, Eq)]
enum Wall {
    /// Some peers are refused, or all their messages.
    Refuses(String),
    /// Pages for people.
    Page(String),
}

/// What stands in front of an address and turns requests away, if anything does.
fn walled(seen: &Connection) -> Option<Wall> {
    let requests = seen.requests()?;
    let first = seen.exchanges().filter_map(|(path, fetched)| Some((path, fetched.answer.as_ref().ok()?)));
    let others = requests.replies().filter_map(|(path, reply)| Some((path, reply.ok()?)));
    let mitigated = first.chain(others).find_map(|(path, answer)| {
        let value = answer.header("cf-mitigated")?;
        Some(format!("{path}: Cloudflare answers with a {value}"))
    });
    // Only for ordinary paths: pages for unusual ones are what the rules about paths speak of.
    let ordinary = [("an unsigned profile query", &requests.unsigned), ("an unsigned event query", &requests.plain)];
    // A refusal, or a page where others get through. What leads elsewhere, or has no homeserver behind it
    // at all, is a matter of routes, of which fed.version and fed.unsigned speak.
    let wall = |answer: &&HttpAnswer| {
        let refusal = answer.status == 403 || has_version(seen) && !(300..400).contains(&answer.status);
        answer.media_type().as_deref() == Some("text/html") && refusal
    };
    let page = || {
        ordinary.into_iter().find_map(|(what, reply)| {
            let page = reply.as_ref()?.ok().filter(wall)?;
            Some(Wall::Page(format!("{what} is answered with a page for people: {}", status(page))))
        })
    };
    refusals(seen, requests).or(mitigated).map(Wall::Refuses).or_else(page)
}

/// What rules in front answer to what they do not like; 444 is nginx's word in its log.
const REFUSALS: [u16; 6] = [401, 403, 406, 444, 501, 503];

/// What is refused as a PUT or to a peer's agent, and not to this program.
fn refusals(seen: &Connection, requests: &Requests) -> Option<String> {
    if !has_version(seen) {
        return None;
    }
    // Where nothing is answered, it is not for the method or the agent.
    let answers = requests.unsigned.as_ref().is_some_and(|reply| reply.answer.is_ok());
    let blocked = |what: &str, reply: &Replied, homeserver: bool| match &reply.answer {
        Ok(answer) if !homeserver && REFUSALS.contains(&answer.status) => {
            let from = answer.header("server").map(|server| format!(" from Server: {server}")).unwrap_or_default();
            Some(format!("{what} got {}{from}", answer.status))
        }
        Err(trouble) if answers => Some(format!("{what} got no answer ({trouble})")),
        _ => None,
    };
    let agents = AGENTS.iter().zip(&requests.agents).filter_map(|((name, agent), reply)| {
        blocked(&format!("a peer that runs {name} (User-Agent: {agent})"), reply, false)
    });
    let put = requests.put.as_ref().and_then(|reply| {
        let by_homeserver = reply.ok().is_some_and(|answer| answer.errcode().is_some());
        blocked("a PUT", reply, by_homeserver)
    });
    let all: Vec<_> = agents.chain(put).collect();
    (!all.is_empty()).then(|| format!("{}; the same question by GET from this program is answered", all.join(", ")))
}

fn wall(case: &Case<'_>) -> Vec<Finding> {
    let found = |wanted: fn(Wall) -> Option<String>| each(case, Code::Waf, |seen| walled(seen).and_then(wanted));
    let refused = found(|wall| match wall {
        Wall::Refuses(text) => Some(text),
        Wall::Page(_) => None,
    });
    let pages = found(|wall| match wall {
        Wall::Page(text) => Some(text),
        Wall::Refuses(_) => None,
    });
    // Who is refused cannot federate, whatever others can.
    refused.into_iter().map(|finding| finding.at(Severity::Fail)).chain(pages).collect()
}

/// Cloudflare in front, and nothing wrong: its limits are worth knowing.
fn cdn(case: &Case<'_>) -> Vec<Finding> {
    let findings = each(case, Code::Waf, |seen| {
        let answer = seen.version.answer.as_ref().ok()?;
        let there = answer.header("cf-ray").is_some() || answer.header("server") == Some("cloudflare");
        (there && walled(seen).is_none()).then(|| {
            "Cloudflare is in front: requests over 100 s and uploads over 100 MB fail there, and port 8448 is not served"
                .to_owned()
        })
    });
    findings.into_iter().map(|finding| finding.at(Severity::Info)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::judge::tests::{JSON, answer, refusal, reply, table};
    use crate::check::observe::Observation;

    const HTML: &[(&str, &str)] = &[("content-type", "text/html"), ("server", "nginx")];

    fn first(seen: &mut Observation) -> &mut Requests {
        seen.connections[0].more.as_mut().unwrap().requests.as_mut().unwrap()
    }

    fn broken() -> Replied {
        Replied { answer: Err(Trouble::Exchange("connection closed".to_owned())), first_try: None }
    }

    #[test]
    fn who_answers() {
        table(&[
            ("", |s| first(s).unsigned = Some(refusal(403, "M_FORBIDDEN"))),
            ("fed.unsigned?", |s| first(s).unsigned = Some(refusal(404, "M_UNRECOGNIZED"))),
            ("fed.unsigned?", |s| first(s).unsigned = Some(reply(answer(200, JSON, "{}")))),
            ("fed.unsigned?", |s| first(s).unsigned = Some(reply(answer(401, JSON, "Unauthorized")))),
            ("waf?", |s| first(s).unsigned = Some(reply(answer(401, HTML, "<h1>Login</h1>")))),
            ("", |s| first(s).put = Some(refusal(404, "M_UNRECOGNIZED"))),
            ("fed.405?", |s| first(s).put = Some(reply(answer(405, HTML, "")))),
            ("fed.405?", |s| first(s).put = Some(reply(answer(200, JSON, r#"{"server":{}}"#)))),
        ]);
    }

    #[test]
    fn hosts_and_protocols() {
        table(&[
            ("fed.host", |s| first(s).hosts[0].1 = reply(answer(421, HTML, ""))),
            ("fed.host?", |s| first(s).hosts[1].1 = reply(answer(404, HTML, ""))),
            ("fed.host", |s| first(s).hosts[0].1 = broken()),
            ("", |s| first(s).hosts[0].1 = reply(answer(429, HTML, ""))),
            ("fed.h2?", |s| first(s).http2.answers = vec![Err("reset".to_owned())]),
            ("fed.h2?", |s| first(s).http2.answers[0] = Ok(answer(404, HTML, ""))),
            ("fed.h2?", |s| first(s).http2.answers[1] = Ok(answer(404, JSON, r#"{"errcode":"M_UNRECOGNIZED"}"#))),
            ("", |s| (first(s).http2.spoken, first(s).http2.answers) = (false, Vec::new())),
            ("retry?", |s| {
                first(s).plain.as_mut().unwrap().first_try = Some(Trouble::Exchange("connection closed".to_owned()));
            }),
        ]);
    }

    #[test]
    fn walls() {
        table(&[
            ("waf", |s| first(s).agents[0] = reply(answer(403, HTML, ""))),
            ("waf", |s| first(s).agents[1] = reply(answer(403, JSON, "{}"))),
            ("waf", |s| first(s).put = Some(reply(answer(403, HTML, "")))),
            ("waf", |s| first(s).put = Some(broken())),
            // Nothing is answered at all: not the method's fault.
            ("fed.unsigned?", |s| (first(s).unsigned, first(s).put) = (Some(broken()), Some(broken()))),
            // A homeserver's own word.
            ("fed.405?", |s| first(s).put = Some(refusal(403, "M_FORBIDDEN"))),
            ("waf", |s| {
                let headers = &[("cf-mitigated", "challenge"), ("content-type", "text/html")];
                first(s).unsigned = Some(reply(answer(403, headers, "")));
            }),
            ("waf.", |s| {
                let headers = &[("content-type", "application/json"), ("cf-ray", "1-AMS"), ("server", "cloudflare")];
                s.connections[0].version.answer = Ok(answer(200, headers, r#"{"server":{}}"#));
            }),
        ]);
    }
}
