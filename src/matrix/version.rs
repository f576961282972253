//! `GET /_matrix/federation/v1/version` (server-server API, "Server Implementation").

use serde_json::Value;

/// What runs there, as far as it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerVersion {
    /// Name of the software.
    pub name: Option<String>,
    /// Its version, in a form of its own.
    pub version: Option<String>,
}

/// Why a response is not a version reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVersion {
    /// Not a JSON object.
    #[error("the answer is not a JSON object")]
    NotAnObject,
    /// No object `server`.
    #[error("the answer has no object \"server\"")]
    NoServer,
}

impl ServerVersion {
    /// Reads a response body. Name and version are both optional.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidVersion> {
        let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
            return Err(InvalidVersion::NotAnObject);
        };
        let server = object.get("server").and_then(Value::as_object).ok_or(InvalidVersion::NoServer)?;
        let text = |key| server.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(Self { name: text("name"), version: text("version") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_are_optional_and_the_object_is_not() {
        let full = ServerVersion::parse(br#"{"server":{"name":"Synapse","version":"1.157.1"}}"#).unwrap();
        assert_eq!((full.name.as_deref(), full.version.as_deref()), (Some("Synapse"), Some("1.157.1")));
        assert_eq!(ServerVersion::parse(br#"{"server":{}}"#), Ok(ServerVersion::default()));
        assert_eq!(ServerVersion::parse(b"{}"), Err(InvalidVersion::NoServer));
        assert_eq!(ServerVersion::parse(b"<html>"), Err(InvalidVersion::NotAnObject));
    }
}
