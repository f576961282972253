//! A request that this program answers with an error, and whose fault it is.

use crate::http1::{Malformed, RequestError};
use crate::matrix::MatrixError;
use crate::matrix::error::ErrorCode;
use http::StatusCode;

use std::time::Duration;

/// An error answer. Status, errcode and sentence are decided here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ProxyError {
    // The client's fault.
    #[error(transparent)]
    Request(RequestError),
    #[error("the request body is malformed: {0}")]
    BadBody(Malformed),
    #[error("the request head did not arrive in time")]
    HeadTooSlow,
    #[error("the request body does not arrive")]
    BodyTooSlow,
    /// Nobody reads this one.
    #[error("the client is gone")]
    ClientGone,
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
    #[error("the homeserver cannot be reached, and too many requests wait for it")]
    Crowded,
    #[error("the homeserver broke off or did not answer in HTTP")]
    BadAnswer,
    #[error("the homeserver did not answer in time")]
    Timeout,
}

impl ProxyError {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Request(error) => match error {
                RequestError::Malformed(_) => StatusCode::BAD_REQUEST,
                RequestError::TargetTooLong => StatusCode::URI_TOO_LONG,
                RequestError::TooLarge | RequestError::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                RequestError::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
                RequestError::UnknownVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            },
            Self::BadBody(_) | Self::ClientGone | Self::BadHost | Self::BadTarget => StatusCode::BAD_REQUEST,
            Self::HeadTooSlow | Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NotRouted | Self::NotSetUp => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::AdminClosed | Self::PlainText => StatusCode::FORBIDDEN,
            Self::Limited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unreachable | Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::Crowded => StatusCode::SERVICE_UNAVAILABLE,
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

    /// Whether it says something about the upstream and nothing about the request.
    pub(super) fn is_the_upstreams(self) -> bool {
        matches!(self, Self::Unreachable | Self::Crowded | Self::BadAnswer | Self::Timeout)
    }
}
