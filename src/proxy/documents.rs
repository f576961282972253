//! The well-known answers, made once and served from memory whatever the homeserver does.

use super::services::RTC_JWT_PATH;
use crate::config::Server;
use crate::matrix::well_known::{self, CLIENT_PATH, RTC_FOCI, SERVER_PATH, SUPPORT_PATH};
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
        let public = &server.public_host;
        let support = server.support.as_ref().map(|support| serde_json::json!(support).to_string());
        let age = server.cache_max_age.as_secs();
        Self {
            server: Bytes::from(well_known::server_document(&public.host, public.port).to_string()),
            client: Bytes::from(client_document(server).to_string()),
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

/// The client document. Calls are announced where their authorisation service is, unless the operator
/// has announced something already.
fn client_document(server: &Server) -> serde_json::Value {
    let public = &server.public_host;
    let mut keys = server.client.clone();
    if server.services.rtc_jwt.is_some() {
        let foci = || well_known::rtc_foci(&public.host, public.port, RTC_JWT_PATH);
        keys.entry(RTC_FOCI).or_insert_with(foci);
    }
    well_known::client_document(&public.host, public.port, &keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn foci(more: &str) -> serde_json::Value {
        let text = format!("server_name = \"a.example\"\npublic_host = \"m.a.example:8443\"\n{more}");
        let config = Config::parse(&text, Path::new("t")).unwrap();
        client_document(&config.servers[0])[RTC_FOCI].clone()
    }

    #[test]
    fn calls_are_announced() {
        let service = "[rtc]\njwt = \"http://127.0.0.1:1\"\n";
        let expected = "https://m.a.example:8443/livekit/jwt";
        assert_eq!(foci(service)[0]["livekit_service_url"], expected);
        assert_eq!(foci(service)[0]["type"], "livekit");
        let own = format!("{service}[well_known]\nclient = {{ \"{RTC_FOCI}\" = [] }}\n");
        assert_eq!(foci(&own), serde_json::json!([]));
        assert!(foci("[rtc]\nsfu = \"http://127.0.0.1:1\"\n").is_null());
    }
}
