//! The well-known documents (server-server API, "Resolving server names"; client-server API,
//! "Well-known URIs").
//!
//! The same types are what this program serves and what its check reads.

use super::{Host, ServerName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Path of the federation delegation document.
pub const SERVER_PATH: &str = "/.well-known/matrix/server";
/// Path of the client discovery document.
pub const CLIENT_PATH: &str = "/.well-known/matrix/client";
/// Path of the contact document.
pub const SUPPORT_PATH: &str = "/.well-known/matrix/support";
/// Path of the document of a policy server (since v1.18).
pub const POLICY_PATH: &str = "/.well-known/matrix/policy_server";

/// The three headers the specification recommends for browsers ("Web Browser Clients").
pub const CORS: [(&str, &str); 3] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS"),
    ("access-control-allow-headers", "X-Requested-With, Content-Type, Authorization"),
];

/// `{"m.server": "host:port"}`. The port is always written: without one, peers ask DNS for SRV
/// records first and then fall back to 8448.
pub fn server_document(host: &Host, port: u16) -> Value {
    json!({ "m.server": format!("{host}:{port}") })
}

/// The base URL that clients are sent to.
pub fn base_url(host: &Host, port: u16) -> String {
    match port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

/// The client document: the generated homeserver entry, then `extra` merged over it key by key.
pub fn client_document(host: &Host, port: u16, extra: &Map<String, Value>) -> Value {
    let mut document = Map::new();
    document.insert("m.homeserver".to_owned(), json!({ "base_url": base_url(host, port) }));
    for (key, value) in extra {
        document.insert(key.clone(), value.clone());
    }
    Value::Object(document)
}

/// The client document's list of MatrixRTC back ends (MSC4143).
pub const RTC_FOCI: &str = "org.matrix.msc4143.rtc_foci";

/// The list with one LiveKit authorisation service, which stands at `path` of the base URL (MSC4195).
pub fn rtc_foci(host: &Host, port: u16, path: &str) -> Value {
    json!([{ "type": "livekit", "livekit_service_url": format!("{}{path}", base_url(host, port)) }])
}

/// Why a response is not a delegation. Peers treat each of these as "no delegation".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServerDocument {
    /// Not JSON, or not an object.
    #[error("the answer is not a JSON object")]
    NotAnObject,
    /// No string `m.server`.
    #[error("the object has no string \"m.server\"")]
    NoField,
    /// `m.server` is not a server name.
    #[error("\"m.server\" is {value:?}: {reason}")]
    Value {
        /// What stands there.
        value: String,
        /// Why it is not a server name.
        reason: String,
    },
}

/// Reads `m.server` out of a response body, as peers do: the content type does not matter.
pub fn parse_server_document(body: &[u8]) -> Result<ServerName, InvalidServerDocument> {
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
        return Err(InvalidServerDocument::NotAnObject);
    };
    let Some(value) = object.get("m.server").and_then(Value::as_str) else {
        return Err(InvalidServerDocument::NoField);
    };
    ServerName::parse(value)
        .map_err(|reason| InvalidServerDocument::Value { value: value.to_owned(), reason: reason.to_string() })
}

/// A way to reach the people behind a server (client-server API, "GET /.well-known/matrix/support").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// `m.role.admin`, `m.role.security`, or a namespaced role.
    pub role: String,
    /// A Matrix user ID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix_id: Option<String>,
    /// An e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email_address: Option<String>,
    /// Keys that later versions of the specification may name.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The support document: contacts, a page, or both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SupportDocument {
    /// Contacts, each with at least one address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<Contact>,
    /// A page about getting help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub support_page: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_always_written_for_servers_and_only_when_needed_for_clients() {
        let host = Host::parse("matrix.example.com").unwrap();
        assert_eq!(server_document(&host, 443).to_string(), r#"{"m.server":"matrix.example.com:443"}"#);
        assert_eq!(base_url(&host, 443), "https://matrix.example.com");
        assert_eq!(base_url(&Host::parse("[::1]").unwrap(), 8443), "https://[::1]:8443");
    }

    #[test]
    fn free_keys_are_merged_over_the_generated_ones() {
        let host = Host::parse("example.com").unwrap();
        let extra = json!({"m.identity_server": {"base_url": "https://vector.im"}});
        let document = client_document(&host, 443, extra.as_object().unwrap());
        assert_eq!(document["m.homeserver"]["base_url"], "https://example.com");
        assert_eq!(document["m.identity_server"]["base_url"], "https://vector.im");
    }

    #[test]
    fn delegation_is_read_as_peers_read_it() {
        assert_eq!(parse_server_document(br#"{"m.server":"a.b:443","x":1}"#).unwrap().as_str(), "a.b:443");
        assert_eq!(parse_server_document(b"<html>"), Err(InvalidServerDocument::NotAnObject));
        assert_eq!(parse_server_document(b"{}"), Err(InvalidServerDocument::NoField));
        assert!(parse_server_document(br#"{"m.server":"https://a.b"}"#).is_err());
    }
}
