//! Standard error bodies (client-server API, "Standard error response").

use serde::Serialize;

/// An `errcode` this program itself answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Access denied here, whatever the homeserver would say.
    Forbidden,
    /// A resource that exists in the protocol but is not set up here.
    NotFound,
    /// No such endpoint, or not with this method.
    Unrecognized,
    /// The body is over the configured limit.
    TooLarge,
    /// Anything else; clients look at the status.
    Unknown,
}

impl ErrorCode {
    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "M_FORBIDDEN",
            Self::NotFound => "M_NOT_FOUND",
            Self::Unrecognized => "M_UNRECOGNIZED",
            Self::TooLarge => "M_TOO_LARGE",
            Self::Unknown => "M_UNKNOWN",
        }
    }
}

/// `{"errcode": …, "error": …}`: both keys always present.
#[derive(Clone, Debug, Serialize)]
pub struct MatrixError {
    errcode: &'static str,
    error: String,
}

impl MatrixError {
    /// An error with a sentence for people.
    pub fn new(code: ErrorCode, error: impl Into<String>) -> Self {
        Self { errcode: code.as_str(), error: error.into() }
    }

    /// The body, UTF-8 JSON.
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keys_are_there() {
        let body = MatrixError::new(ErrorCode::Unrecognized, "no \"such\" endpoint").to_json();
        assert_eq!(body, r#"{"errcode":"M_UNRECOGNIZED","error":"no \"such\" endpoint"}"#);
    }
}
