//! The rule about the chain to the login of servers with OAuth 2.0. Each link is judged only where
//! the one before it holds.

use super::browser::unreadable;
use super::client::{object, unusable};
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::client_api::Homeserver;
use crate::check::observe::http::Fetched;
use crate::check::observe::login::{self, Login};
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[agreement, metadata, issuer, keys];

fn homeserver<'a>(case: &'a Case<'_>) -> Option<&'a Homeserver> {
    let seen = case.seen.client.as_ref()?.homeserver.as_ref()?;
    unusable(case, &seen.versions).is_none().then_some(seen)
}

fn chain<'a>(case: &'a Case<'_>) -> Option<&'a Login> {
    case.seen.client.as_ref()?.login.as_ref()
}

fn text<'a>(document: &'a Value, key: &str) -> &'a str {
    document.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Two issuers that are not the same string, in words.
fn differ(one: &str, other: &str) -> String {
    let slash = one.trim_end_matches('/') == other.trim_end_matches('/');
    let why = if slash { " (they differ in the slash at the end, and that counts)" } else { "" };
    format!("{one:?}, not {other:?}{why}")
}

fn endpoint(seen: &Homeserver, path: &str) -> String {
    format!("{}{path}", seen.base_url.trim_end_matches('/'))
}

/// The document and the homeserver's endpoints name one issuer.
fn agreement(case: &Case<'_>) -> Vec<Finding> {
    let Some(seen) = homeserver(case) else {
        return Vec::new();
    };
    let document = object(case).unwrap_or_default();
    let named = login::issuer(&document);
    let served: Vec<_> = seen.metadata().filter_map(|(path, f)| Some((path, login::object(f)?))).collect();
    let first = served.first().map(|(_, document)| text(document, "issuer"));
    if let (Some(named), None) = (named, first) {
        let asked = seen.metadata().next();
        let what = asked.map(|(_, fetched)| match &fetched.answer {
            Ok(answer) => format!("status {}", answer.status),
            Err(trouble) => trouble.to_string(),
        });
        let detail = format!(
            "the client document names the issuer {named:?}, and the homeserver has no metadata of the login: {}",
            what.unwrap_or_default()
        );
        let url = endpoint(seen, asked.map(|(path, _)| path).unwrap_or_default());
        let remedy = "switch on matrix_authentication_service in the homeserver, and forward all of /_matrix/client/";
        return vec![case.finding(Code::WkClientAuth, url, detail).fix(remedy)];
    }
    let Some(wanted) = named.or(first) else {
        return Vec::new();
    };
    let other = served.iter().find(|(_, document)| text(document, "issuer") != wanted);
    let finding = |(path, document): &(&str, Value)| {
        let detail = format!("the issuer is {} as elsewhere", differ(text(document, "issuer"), wanted));
        let remedy = format!("name one issuer everywhere, slash included: \"issuer\": {wanted:?}");
        case.finding(Code::WkClientAuth, endpoint(seen, path), detail).fix(remedy)
    };
    other.map(finding).into_iter().collect()
}

/// The homeserver's metadata can be read by browsers, and has PKCE.
fn metadata(case: &Case<'_>) -> Vec<Finding> {
    let Some(seen) = homeserver(case) else {
        return Vec::new();
    };
    let served = seen.metadata().find_map(|(path, fetched)| Some((path, fetched, login::object(fetched)?)));
    let Some((path, fetched, document)) = served else {
        return Vec::new();
    };
    let finding = |detail| case.finding(Code::WkClientAuth, endpoint(seen, path), detail);
    let readable = fetched.answer.as_ref().ok().and_then(unreadable);
    let readable = readable.map(|detail| finding(detail).fix("leave the headers of the homeserver as they are"));
    let methods = document.get("code_challenge_methods_supported").and_then(Value::as_array);
    let s256 = methods.is_some_and(|methods| methods.iter().any(|method| method == "S256"));
    let pkce = (!s256).then(|| {
        finding("code_challenge_methods_supported lacks S256, which clients must use".to_owned())
            .fix("upgrade the authentication service: it must offer PKCE with S256")
    });
    readable.into_iter().chain(pkce).collect()
}

/// The issuer publishes its metadata, for browsers too, and calls itself what others call it.
fn issuer(case: &Case<'_>) -> Vec<Finding> {
    let Some(login) = chain(case) else {
        return Vec::new();
    };
    let url = format!("{}/.well-known/openid-configuration", login.issuer.trim_end_matches('/'));
    let finding = |detail: String| case.finding(Code::WkClientAuth, &url, detail);
    if let Some(why) = unusable(case, &login.discovery) {
        return vec![finding(why).fix(format!("make it answer: `curl -i {url}`"))];
    }
    let Ok(fetched) = &login.discovery else {
        return Vec::new();
    };
    let Some(document) = login::object(fetched) else {
        return vec![
            finding("the answer is no JSON object".to_owned()).fix(format!("make it answer: `curl -i {url}`")),
        ];
    };
    let own = text(&document, "issuer");
    let name = (own != login.issuer).then(|| {
        let remedy = format!("name one issuer everywhere, slash included: \"issuer\": {own:?}");
        finding(format!("the issuer calls itself {}", differ(own, &login.issuer))).fix(remedy)
    });
    let readable = fetched.answer.as_ref().ok().and_then(unreadable).map(|detail| {
        finding(detail).fix(format!("send the header Access-Control-Allow-Origin: * exactly once on {url}"))
    });
    name.into_iter().chain(readable).collect()
}

/// The issuer's keys can be had.
fn keys(case: &Case<'_>) -> Vec<Finding> {
    let Some((url, found)) = chain(case).and_then(|login| login.keys.as_ref()) else {
        return Vec::new();
    };
    let listed =
        |fetched: &Fetched| login::object(fetched).is_some_and(|keys| keys.get("keys").is_some_and(Value::is_array));
    let fault = unusable(case, found).or_else(|| {
        let listed = found.as_ref().is_ok_and(listed);
        (!listed).then(|| "the answer has no list \"keys\"".to_owned())
    });
    let finding = |detail: String| {
        case.finding(Code::WkClientAuth, url, detail).fix(format!("make jwks_uri answer: `curl -i {url}`"))
    };
    fault.map(finding).into_iter().collect()
}
