//! Rules about who answers behind this program: workers, and the authentication service.

use super::own::describe;
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::own::Own;
use crate::check::own::inside::{Answer, Inside, LOGIN, Mas, Resource};
use crate::config::{RouteTarget, Server};
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[workers, mas];

/// A flow by which the authentication service says what it is (MSC3824).
const DELEGATED: &str = "org.matrix.msc3824.delegated_oidc_compatibility";

fn inside<'a>(case: &Case<'a>) -> Option<(&'a Own, &'a Inside)> {
    let own = case.own?;
    Some((own, own.inside.as_ref()?))
}

fn workers(case: &Case<'_>) -> Vec<Finding> {
    let Some((_, inside)) = inside(case) else { return Vec::new() };
    let mut findings = Vec::new();
    for endpoint in &inside.endpoints {
        let subject = format!("{} {}", endpoint.pool, endpoint.address);
        let alive = endpoint.health.as_ref().is_ok_and(|answer| answer.status < 500);
        if !alive {
            let detail = format!("it does not answer: {}", describe(&endpoint.health));
            let finding = case.finding(Code::RouteWorker, &subject, detail);
            findings.push(match endpoint.is_worker {
                true => finding,
                false => finding.remedied(format!(
                    "start what listens at {}, or correct the pool {:?}",
                    endpoint.address, endpoint.pool
                )),
            });
            continue;
        }
        for (resource, reply) in &endpoint.resources {
            if reply.as_ref().is_ok_and(|answer| answer.status != 404 && answer.status < 500) {
                continue;
            }
            let detail = format!("it does not serve {} ({})", resource.path(), describe(reply));
            findings.push(case.finding(Code::RouteWorker, &subject, detail).remedied(resource_remedy(*resource)));
        }
    }
    findings
}

fn resource_remedy(resource: Resource) -> String {
    format!(
        "write `- names: [{}]` into the resources of the worker's listener (worker_listeners in its file), and restart it; \
         or leave those kinds out of upstream.serves",
        resource.name()
    )
}

fn mas(case: &Case<'_>) -> Vec<Finding> {
    let Some((own, inside)) = inside(case) else { return Vec::new() };
    match &inside.mas {
        Some(mas) => configured(case, own, inside, mas),
        None => missing(case, own, inside),
    }
}

/// With `[mas]`: is it one, and does the homeserver know?
fn configured(case: &Case<'_>, own: &Own, inside: &Inside, mas: &Mas) -> Vec<Finding> {
    let Some(address) = &own.subject.server.services.mas else { return Vec::new() };
    let issuer = mas.discovery.as_ref().ok().and_then(issuer);
    let flows = mas.login.as_ref().is_ok_and(|answer| answer.status == 200 && flows(answer).is_some());
    let marked = mas.login.as_ref().is_ok_and(is_delegated);
    let finding = |detail: String, remedy: String| vec![case.finding(Code::RouteMas, address, detail).remedied(remedy)];
    if mas.login.is_err() {
        let detail = format!("nothing answers, so that nobody can log in: {}", describe(&mas.login));
        return finding(
            detail,
            "start it: `systemctl status matrix-authentication-service`; or correct mas.url".to_owned(),
        );
    }
    match (flows, issuer.is_some() || marked) {
        (false, true) => {
            let detail = format!("it does not answer {LOGIN} ({})", describe(&mas.login));
            let remedy =
                "write `- name: compat` into the resources of that listener in its config.yaml, and restart it";
            return finding(detail, remedy.to_owned());
        }
        (_, false) => {
            let server = mas.login.as_ref().ok().and_then(|answer| answer.server.clone());
            let who = server.map_or_else(String::new, |server| format!("; it calls itself {server}"));
            let detail = format!("what answers there is no authentication service{who}");
            return finding(detail, "correct mas.url, for instance \"http://127.0.0.1:8080\"".to_owned());
        }
        (true, true) => {}
    }
    // The homeserver may be down, which is a finding of its own.
    let unaware = inside.metadata.as_ref().is_ok_and(|answer| answer.status == 404);
    if unaware {
        let detail = "the homeserver does not leave logins to it, and refuses the tokens that it gives".to_owned();
        let remedy = format!(
            "write `matrix_authentication_service: {{enabled: true, endpoint: \"{address}\", secret_path: …}}` into homeserver.yaml, \
             then `systemctl restart matrix-synapse`; or remove [mas]"
        );
        return finding(detail, remedy);
    }
    Vec::new()
}

/// Without `[mas]`: does the homeserver leave logins to somebody whom nobody asks?
fn missing(case: &Case<'_>, own: &Own, inside: &Inside) -> Vec<Finding> {
    let Some(issuer) = inside.metadata.as_ref().ok().and_then(issuer) else { return Vec::new() };
    // tuwunel and continuwuity are their own authentication service, and answer logins themselves.
    let refuses = inside.login.as_ref().is_ok_and(|answer| answer.status == 404);
    if !refuses || is_routed(&own.subject.server) {
        return Vec::new();
    }
    let file = own.file.as_ref().and_then(|file| file.content.as_ref().ok());
    let endpoint = file.and_then(|file| file.authentication.as_ref()?.value.endpoint.clone());
    // Only what vestibule can speak to: no TLS, no path.
    let endpoint = endpoint.map(|url| url.trim_end_matches('/').to_owned()).filter(|url| url.starts_with("http://"));
    let url = endpoint.unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let detail =
        format!("the homeserver leaves logins to {issuer}, but login, logout and refresh are sent to the homeserver");
    let remedy =
        format!("write `[mas]` and below it `url = \"{url}\"` into vestibule.toml, then `systemctl restart vestibule`");
    vec![case.finding(Code::RouteMas, issuer, detail).remedied(remedy)]
}

/// Whether the operator has sent logins somewhere else than the homeserver already.
fn is_routed(server: &Server) -> bool {
    let rule = server.routes.iter().find(|rule| rule.path.matches(LOGIN));
    rule.is_some_and(|rule| matches!(rule.target, RouteTarget::Pool(_)))
}

fn issuer(answer: &Answer) -> Option<String> {
    let issuer = answer.json.as_ref()?.get("issuer")?.as_str()?;
    (answer.status == 200).then(|| issuer.to_owned())
}

fn flows(answer: &Answer) -> Option<&Vec<Value>> {
    answer.json.as_ref()?.get("flows")?.as_array()
}

fn is_delegated(answer: &Answer) -> bool {
    let marked = |flow: &Value| flow.get(DELEGATED).and_then(Value::as_bool) == Some(true);
    answer.status == 200 && flows(answer).is_some_and(|flows| flows.iter().any(marked))
}
