//! The well-known answers, made once and served from memory whatever the homeserver does.

use crate::config::Server;
use crate::matrix::well_known::{CLIENT_PATH, SERVER_PATH, SUPPORT_PATH};
use bytes::Bytes;
use http::HeaderValue;

/// One server's documents.
#[derive(Debug)]
pub(super) struct Documents {
    server: Bytes,
    client: Bytes,
    support: Option<Bytes>,
    cache_control: HeaderValue,
}

/// Which document a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Server,
    Client,
    Support,
    /// Any other path below `/.well-known/matrix/`: not set here, and not the homeserver's either.
    Other,
}

impl Document {
    /// The document at `path`, which is compared byte for byte.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            SERVER_PATH => Some(Self::Server),
            CLIENT_PATH => Some(Self::Client),
            SUPPORT_PATH => Some(Self::Support),
            path if path.starts_with("/.well-known/matrix/") => Some(Self::Other),
            _ => None,
        }
    }
}

impl Documents {
    pub(super) fn new(server: &Server) -> Self {
        let support = server.support_document().map(|support| support.to_string());
        let age = server.cache_max_age.as_secs();
        Self {
            server: Bytes::from(server.server_document().to_string()),
            client: Bytes::from(server.client_document().to_string()),
            support: support.map(Bytes::from),
            cache_control: HeaderValue::from_str(&format!("public, max-age={age}"))
                .unwrap_or(HeaderValue::from_static("public, max-age=3600")),
        }
    }

    /// The body, or `None` where it is not set: a clean 404.
    pub(super) fn body(&self, document: Document) -> Option<Bytes> {
        match document {
            Document::Server => Some(self.server.clone()),
            Document::Client => Some(self.client.clone()),
            Document::Support => self.support.clone(),
            Document::Other => None,
        }
    }

    /// How long the answer, present or not, may be kept.
    pub(super) fn cache_control(&self) -> &HeaderValue {
        &self.cache_control
    }
}
