//! Standard error bodies (client-server API, "Standard error response").

use serde::Serialize;
use std::time::Duration;

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
    /// Too many requests.
    LimitExceeded,
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
            Self::LimitExceeded => "M_LIMIT_EXCEEDED",
            Self::Unknown => "M_UNKNOWN",
        }
    }
}

/// `{"errcode": …, "error": …}`: both keys always present, and `retry_after_ms` where it was added.
#[derive(Clone, Debug, Serialize)]
pub struct MatrixError {
    errcode: &'static str,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl MatrixError {
    /// An error with a sentence for people.
    pub fn new(code: ErrorCode, error: impl Into<String>) -> Self {
        Self { errcode: code.as_str(), error: error.into(), retry_after_ms: None }
    }

    /// Adds `retry_after_ms`, which older clients read instead of the `Retry-After` header.
    pub fn retry_after(self, delay: Duration) -> Self {
        Self { retry_after_ms: u64::try_from(delay.as_millis()).ok(), ..self }
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
        let body =
            MatrixError::new(ErrorCode::LimitExceeded, "wait").retry_after(Duration::from_millis(1500)).to_json();
        assert_eq!(body, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"wait","retry_after_ms":1500}"#);
    }
}
