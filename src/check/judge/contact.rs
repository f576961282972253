//! Rules about the documents for people and for policy servers (client-server API, "Well-known
//! URIs").

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::observe::http::HttpAnswer;
use crate::check::observe::well_known::Visit;
use crate::matrix::ServerName;
use crate::matrix::well_known::{POLICY_PATH, SUPPORT_PATH};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::Uri;
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[support, policy];

/// Bytes of an ed25519 key.
const KEY: usize = 32;

fn answer(visit: &Visit) -> Option<&HttpAnswer> {
    visit.last()?.answer.as_ref().ok()
}

fn finding(case: &Case<'_>, code: Code, path: &str, detail: String) -> Finding {
    let host = ServerName::parse(case.server).map(|name| name.host().to_string()).unwrap_or_default();
    case.finding(code, format!("https://{host}{path}"), detail).for_host(&host)
}

fn support(case: &Case<'_>) -> Vec<Finding> {
    let Some(answer) = case.seen.client.as_ref().and_then(|seen| answer(&seen.support)) else {
        return Vec::new();
    };
    if answer.status != 200 {
        return vec![finding(case, Code::WkSupport, SUPPORT_PATH, format!("there is none (status {})", answer.status))];
    }
    let fault = match serde_json::from_slice(&answer.body) {
        Err(error) => Some(format!("not a support document: {error}")),
        Ok(document) => support_fault(&document),
    };
    let finding = |detail| finding(case, Code::WkSupport, SUPPORT_PATH, detail).at(Severity::Warn);
    fault.map(finding).into_iter().collect()
}

fn support_fault(document: &Value) -> Option<String> {
    let Some(document) = document.as_object() else {
        return Some("it is JSON, but not an object".to_owned());
    };
    let (contacts, page) = (document.get("contacts"), document.get("support_page"));
    if contacts.is_none() && page.is_none() {
        return Some("it has neither contacts nor a support page".to_owned());
    }
    if let Some(page) = page {
        let uri = page.as_str().and_then(|text| text.parse::<Uri>().ok());
        if !uri.is_some_and(|uri| matches!(uri.scheme_str(), Some("https" | "http"))) {
            return Some(format!("support_page is {page}, not a URL"));
        }
    }
    match contacts?.as_array().map(Vec::as_slice) {
        None => Some("contacts is not a list".to_owned()),
        Some([]) => Some("contacts is an empty list: name somebody, or leave it out".to_owned()),
        Some(contacts) => contacts.iter().find_map(contact_fault),
    }
}

fn contact_fault(contact: &Value) -> Option<String> {
    let Some(role) = contact.get("role").and_then(Value::as_str) else {
        return Some("a contact has no string \"role\"".to_owned());
    };
    if !role.contains('.') {
        return Some(format!(
            "the role {role:?} is neither m.role.admin, nor m.role.security, nor like org.example.role"
        ));
    }
    let (id, mail) = (contact.get("matrix_id"), contact.get("email_address"));
    if id.is_none() && mail.is_none() {
        return Some(format!("the contact {role:?} has no address"));
    }
    let is_id = |value: &Value| value.as_str().is_some_and(|text| text.starts_with('@') && text.contains(':'));
    if let Some(id) = id.filter(|id| !is_id(id)) {
        return Some(format!("matrix_id is {id}, not like @name:server"));
    }
    let is_mail = |value: &Value| value.as_str().is_some_and(|text| text.contains('@'));
    mail.filter(|mail| !is_mail(mail)).map(|mail| format!("email_address is {mail}, not an address"))
}

/// Only where there is a document: hardly anybody runs a policy server.
fn policy(case: &Case<'_>) -> Vec<Finding> {
    let served = case.seen.client.as_ref().and_then(|seen| answer(&seen.policy)).filter(|answer| answer.status == 200);
    let fault = served.and_then(|answer| policy_fault(&answer.body));
    fault.map(|detail| finding(case, Code::WkPolicy, POLICY_PATH, detail)).into_iter().collect()
}

fn policy_fault(body: &[u8]) -> Option<String> {
    let Ok(Value::Object(document)) = serde_json::from_slice(body) else {
        return Some("the answer is not a JSON object".to_owned());
    };
    let Some(key) = document.get("public_keys").and_then(|keys| keys.get("ed25519")).and_then(Value::as_str) else {
        return Some("there is no string public_keys.ed25519".to_owned());
    };
    // The specification says the one alphabet and shows the other.
    let standard = key.trim_end_matches('=').replace('-', "+").replace('_', "/");
    let right = STANDARD_NO_PAD.decode(standard).is_ok_and(|bytes| bytes.len() == KEY);
    (!right).then(|| format!("public_keys.ed25519 is {key:?}, not {KEY} bytes in base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_documents() {
        let table = [
            (r#"{"support_page":"https://a.test/"}"#, ""),
            (r#"{"contacts":[{"role":"m.role.admin","email_address":"a@b.test"}]}"#, ""),
            (r#"{"contacts":[{"role":"m.role.dpo","matrix_id":"@a:b.test"}],"x":1}"#, ""),
            ("[]", "not an object"),
            ("{}", "neither"),
            (r#"{"support_page":"a.test"}"#, "not a URL"),
            (r#"{"support_page":7}"#, "not a URL"),
            (r#"{"support_page":"https://a.test/","contacts":[]}"#, "empty"),
            (r#"{"contacts":{}}"#, "not a list"),
            (r#"{"contacts":[{"email_address":"a@b.test"}]}"#, "no string \"role\""),
            (r#"{"contacts":[{"role":"admin","email_address":"a@b.test"}]}"#, "neither"),
            (r#"{"contacts":[{"role":"m.role.admin"}]}"#, "no address"),
            (r#"{"contacts":[{"role":"m.role.admin","matrix_id":"a:b.test"}]}"#, "matrix_id"),
            (r#"{"contacts":[{"role":"m.role.admin","email_address":"b.test"}]}"#, "email_address"),
        ];
        for (document, expected) in table {
            let fault = support_fault(&serde_json::from_str(document).unwrap()).unwrap_or_default();
            assert_eq!(fault.is_empty(), expected.is_empty(), "{document}: {fault}");
            assert!(fault.contains(expected), "{document}: {fault}");
        }
    }

    #[test]
    fn policy_documents() {
        let key = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI";
        let with = |key: &str| format!(r#"{{"public_keys":{{"ed25519":"{key}","x":"y"}}}}"#);
        let table = [
            (with(key), ""),
            (with(&format!("{key}=")), ""),
            (with("6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s"), ""),
            (with("AAAA"), "32 bytes"),
            (with("!"), "32 bytes"),
            (r#"{"public_keys":{}}"#.to_owned(), "no string"),
            ("<html>".to_owned(), "not a JSON object"),
        ];
        for (document, expected) in table {
            let fault = policy_fault(document.as_bytes()).unwrap_or_default();
            assert_eq!(fault.is_empty(), expected.is_empty(), "{document}: {fault}");
            assert!(fault.contains(expected), "{document}: {fault}");
        }
    }
}
