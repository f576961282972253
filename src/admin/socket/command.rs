//! What can be asked for, and how it is written.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version of the protocol. It changes when an old request would mean something else; commands
/// and keys may be added without.
const VERSION: u64 = 1;

/// The longest request, in bytes: a name for every certificate that the largest configuration has.
pub(super) const LONGEST: usize = 64 * 1024;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", deny_unknown_fields)]
pub enum Command {
    /// Orders certificates that are due.
    #[serde(rename = "certs renew")]
    CertsRenew {
        /// Names whose certificates are meant; none means all.
        #[serde(default)]
        names: Vec<String>,
        /// Orders though nothing is due.
        #[serde(default)]
        force: bool,
    },
    /// Orders from a staging CA and keeps nothing.
    #[serde(rename = "certs rehearse")]
    CertsRehearse {
        /// Names whose certificates are meant; none means all.
        #[serde(default)]
        names: Vec<String>,
    },
    /// Proves that requests over the public addresses of an own server reach this process unchanged.
    /// Each line of the answer is what was seen at an address, as JSON.
    #[serde(rename = "check loop-back")]
    CheckLoopBack {
        /// The server's name.
        name: String,
        /// With an idle minute.
        #[serde(default)]
        deep: bool,
    },
}

/// Why a request is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRequest {
    #[error("the request is longer than {LONGEST} bytes; name fewer names at a time")]
    TooLong,
    #[error("the request is no JSON object on one line ({0}); send one such as {{\"command\":\"certs renew\"}}")]
    NotJson(String),
    #[error(
        "version {0} of the admin protocol is asked for, and this vestibule speaks {VERSION}; use the program that runs, \
         or restart vestibule if it was updated"
    )]
    Version(Value),
    #[error("the request is not understood: {0}; if vestibule was updated, restart it")]
    Unknown(serde_json::Error),
}

impl Command {
    /// Its name, as it is typed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CertsRenew { .. } => "certs renew",
            Self::CertsRehearse { .. } => "certs rehearse",
            Self::CheckLoopBack { .. } => "check loop-back",
        }
    }

    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, BadRequest> {
        let value: Value = serde_json::from_slice(line).map_err(|error| BadRequest::NotJson(error.to_string()))?;
        let Value::Object(mut request) = value else {
            return Err(BadRequest::NotJson("it is something else".to_owned()));
        };
        if let Some(version) = request.remove("version")
            && version.as_u64() != Some(VERSION)
        {
            return Err(BadRequest::Version(version));
        }
        serde_json::from_value(Value::Object(request)).map_err(BadRequest::Unknown)
    }

    /// The line that [`Self::parse`] reads.
    pub(super) fn render(&self) -> Result<String, BadRequest> {
        let mut request = serde_json::to_value(self).map_err(BadRequest::Unknown)?;
        if let Value::Object(request) = &mut request {
            request.insert("version".to_owned(), Value::from(VERSION));
        }
        let line = format!("{request}\n");
        if line.len() <= LONGEST { Ok(line) } else { Err(BadRequest::TooLong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let names = vec!["a.example".to_owned()];
        for command in [
            Command::CertsRenew { names: names.clone(), force: true },
            Command::CertsRehearse { names: Vec::new() },
            Command::CheckLoopBack { name: "a.example".to_owned(), deep: true },
        ] {
            let line = command.render().unwrap();
            assert!(line.contains(command.name()), "{line}");
            assert_eq!(Command::parse(line.as_bytes()).unwrap(), command);
        }
        let short = Command::parse(br#"{"command":"certs renew","names":["a.example"]}"#).unwrap();
        assert_eq!(short, Command::CertsRenew { names, force: false });
        let many = Command::CertsRehearse { names: vec!["a".repeat(200); 400] };
        assert!(matches!(many.render(), Err(BadRequest::TooLong)));
    }

    #[test]
    fn what_is_not_known_is_told() {
        let refusal = |line: &str| Command::parse(line.as_bytes()).unwrap_err().to_string();
        for (line, words) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            ("{", "no JSON object"),
            (r#"{"version":2,"command":"certs renew"}"#, "version 2"),
            (r#"{"version":"1","command":"certs renew"}"#, "version \"1\""),
            (r#"{"names":[]}"#, "command"),
            (r#"{"command":"fly"}"#, "`fly`"),
            (r#"{"command":"certs renew","forced":true}"#, "`forced`"),
            (r#"{"command":"certs renew","names":"a"}"#, "invalid type"),
        ] {
            assert!(refusal(line).contains(words), "{line}: {}", refusal(line));
        }
        assert!(refusal(r#"{"command":"fly"}"#).contains("`certs renew`"), "it says what there is");
    }
}
