//! Rules about what should not be public. What counts is what only the homeserver itself would say.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::exposure::{ADMIN, Exposure, MAS, METRICS, REPLICATION};
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::session::Replied;
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[admin, metrics, replication, mas];

/// One finding for each place where `detail` has something to say.
fn each(case: &Case<'_>, code: Code, detail: impl Fn(&Exposure) -> Option<String>) -> Vec<Finding> {
    let host = case.seen.plan.as_ref().map(|plan| plan.certificate_name.to_string()).unwrap_or_default();
    let federation = case.seen.connections.iter().filter_map(|seen| {
        let detail = detail(&seen.requests()?.exposure)?;
        Some(case.finding(code, seen.address, detail).for_host(&host))
    });
    let clients = case.seen.browser.iter().filter_map(|seen| {
        let host = seen.base_url.trim_start_matches("https://");
        Some(case.finding(code, &seen.base_url, detail(&seen.exposure)?).for_host(host))
    });
    federation.chain(clients).collect()
}

fn answer(reply: &Option<Replied>) -> Option<&HttpAnswer> {
    reply.as_ref().and_then(Replied::ok)
}

fn admin(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::ExposeAdmin, |seen| {
        let answer = answer(&seen.admin)?;
        let code = answer.errcode();
        let exposed = match answer.status {
            200 => {
                let value: Option<Value> = serde_json::from_slice(&answer.body).ok();
                value.is_some_and(|value| value.get("server_version").is_some())
            }
            // Homeservers ask for a token; a rule in front refuses with 403 or 404.
            401 => matches!(code.as_deref(), Some("M_MISSING_TOKEN" | "M_UNKNOWN_TOKEN" | "M_UNAUTHORIZED")),
            _ => false,
        };
        exposed.then(|| format!("{ADMIN} is answered {} by the homeserver", answer.status))
    })
}

fn metrics(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::ExposeMetrics, |seen| {
        let answer = answer(&seen.metrics).filter(|answer| answer.status == 200)?;
        let text = answer.body.starts_with(b"# HELP ") || answer.body.starts_with(b"# TYPE ");
        text.then(|| format!("{METRICS} shows the homeserver's metrics to everybody"))
    })
}

fn replication(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::ExposeReplication, |seen| {
        let answer = answer(&seen.replication)?;
        let there = answer.status == 405 && answer.errcode().as_deref() == Some("M_UNRECOGNIZED");
        // Where anything unknown is answered 405, that says nothing.
        let elsewhere = seen.metrics.as_ref().and_then(Replied::ok).is_some_and(|other| other.status == 405);
        (there && !elsewhere).then(|| format!("{REPLICATION} is there: 405 to GET, so it takes POST"))
    })
}

fn mas(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::ExposeMas, |seen| {
        let answer = answer(&seen.mas)?;
        // Synapse's own refusal; a rule in front has another code, or none.
        let there = answer.status == 403 && answer.errcode().as_deref() == Some("M_UNKNOWN");
        there.then(|| format!("{MAS} is answered by the homeserver"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::judge::tests::{JSON, answer, refusal, reply, table};
    use crate::check::observe::Observation;

    const TEXT: &[(&str, &str)] = &[("content-type", "text/plain")];

    fn first(seen: &mut Observation) -> &mut Exposure {
        &mut seen.connections[0].more.as_mut().unwrap().requests.as_mut().unwrap().exposure
    }

    #[test]
    fn what_should_not_be_public() {
        table(&[
            ("expose.admin?", |s| first(s).admin = Some(reply(answer(200, JSON, r#"{"server_version":"1"}"#)))),
            ("expose.admin?", |s| first(s).admin = Some(refusal(401, "M_MISSING_TOKEN"))),
            ("", |s| first(s).admin = Some(refusal(403, "M_FORBIDDEN"))),
            ("", |s| first(s).admin = Some(reply(answer(200, JSON, "{}")))),
            ("", |s| first(s).admin = Some(reply(answer(401, TEXT, "Basic")))),
            ("expose.metrics", |s| first(s).metrics = Some(reply(answer(200, TEXT, "# HELP python_info\n")))),
            ("", |s| first(s).metrics = Some(reply(answer(200, TEXT, "<html>")))),
            ("expose.replication", |s| first(s).replication = Some(refusal(405, "M_UNRECOGNIZED"))),
            ("", |s| first(s).replication = Some(reply(answer(405, TEXT, "")))),
            ("", |s| {
                (first(s).metrics, first(s).replication) =
                    (Some(refusal(405, "M_UNRECOGNIZED")), Some(refusal(405, "M_UNRECOGNIZED")));
            }),
            ("expose.mas?", |s| first(s).mas = Some(refusal(403, "M_UNKNOWN"))),
            ("", |s| first(s).mas = Some(refusal(403, "M_FORBIDDEN"))),
            // At the client API, where that is elsewhere.
            ("expose.admin?", |s| {
                s.browser.as_mut().unwrap().exposure.admin = Some(refusal(401, "M_MISSING_TOKEN"));
            }),
        ]);
    }
}
