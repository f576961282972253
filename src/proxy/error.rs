//! A request that this program answers with an error, and whose fault it is.

use crate::matrix::MatrixError;
use crate::matrix::error::ErrorCode;
use http::{Method, StatusCode};
use std::time::Duration;

/// An error answer. Status, errcode and sentence are decided here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    // The client's fault.
    #[error("the Host header is missing, repeated or not a host")]
    BadHost,
    #[error("CONNECT and other targets than a path are not served")]
    BadTarget,
    #[error("this name is not served on this connection")]
    Misdirected,
    #[error("the request body is over the limit")]
    TooLarge,
    #[error("no such endpoint")]
    NotRouted,
    #[error("this document is not set up")]
    NotSetUp,
    #[error("only GET, HEAD and OPTIONS are answered here")]
    MethodNotAllowed,
    #[error("the admin API is closed to your network")]
    AdminClosed,
    #[error("use https: nothing with a token belongs on port 80")]
    PlainText,
    #[error("too many requests")]
    Limited { retry_after: Duration },
    // The upstream's fault.
    #[error("the homeserver cannot be reached")]
    Unreachable,
    #[error("the homeserver broke off or did not answer in HTTP")]
    BadAnswer,
    #[error("the homeserver did not answer in time")]
    Timeout,
}

impl ProxyError {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::BadHost | Self::BadTarget => StatusCode::BAD_REQUEST,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotRouted | Self::NotSetUp => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::AdminClosed | Self::PlainText => StatusCode::FORBIDDEN,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unreachable | Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// The body, per "Standard error response" of the client-server API.
    pub(super) fn body(self) -> String {
        let code = match self {
            Self::TooLarge => ErrorCode::TooLarge,
            Self::NotRouted | Self::MethodNotAllowed => ErrorCode::Unrecognized,
            Self::NotSetUp => ErrorCode::NotFound,
            Self::AdminClosed | Self::PlainText => ErrorCode::Forbidden,
            Self::Limited { .. } => ErrorCode::LimitExceeded,
            _ => ErrorCode::Unknown,
        };
        let error = MatrixError::new(code, self.to_string());
        match self {
            Self::Limited { retry_after } => error.retry_after(retry_after).to_json(),
            _ => error.to_json(),
        }
    }

    /// Whether a preflight can be answered in the homeserver's stead: it says nothing about state.
    pub(super) fn answers_preflight(self, method: &Method) -> bool {
        method == Method::OPTIONS && matches!(self, Self::Unreachable | Self::BadAnswer | Self::Timeout)
    }
}
