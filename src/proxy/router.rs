//! Where a request goes: pure.

use super::documents::Document;
use super::error::ProxyError;
use super::serving::{ServedServer, Serving};
use super::target::{self, Access};
use crate::config::UpstreamAddress;
use crate::matrix::Host;
use http::Method;
use std::net::IpAddr;

/// A request as far as routing looks at it.
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    pub host: &'a Host,
    /// The raw path, without the query.
    pub path: &'a str,
    pub client: IpAddr,
}

/// The decision.
#[derive(Debug)]
pub(super) enum Route<'a> {
    WellKnown(&'a ServedServer, Document),
    Forward(&'a UpstreamAddress),
    Refuse(ProxyError),
}

/// Routes a request on a TLS listener.
pub(super) fn route<'a>(serving: &'a Serving, asked: &Asked<'_>) -> Route<'a> {
    let Some(owner) = serving.names.owner(asked.host) else {
        return Route::Refuse(ProxyError::Misdirected);
    };
    let server = owner.server.and_then(|index| serving.servers.get(index));
    let site = owner.site.and_then(|index| serving.sites.get(index));
    match (server, site) {
        (Some(server), Some(site)) if !target::is_matrix(asked.path) => route_site(server, site, asked),
        (Some(server), _) => route_matrix(serving, server, asked),
        (None, Some(site)) => Route::Forward(site),
        (None, None) => Route::Refuse(ProxyError::Misdirected),
    }
}

/// At an apex site the homeserver keeps its public paths outside the Matrix namespaces too.
fn route_site<'a>(server: &'a ServedServer, site: &'a UpstreamAddress, asked: &Asked<'_>) -> Route<'a> {
    match target::access(asked.path) {
        Access::Public => Route::Forward(&server.homeserver),
        Access::Admin | Access::Closed => Route::Forward(site),
    }
}

fn route_matrix<'a>(serving: &Serving, server: &'a ServedServer, asked: &Asked<'_>) -> Route<'a> {
    if let Some(document) = Document::at(asked.path) {
        return Route::WellKnown(server, document);
    }
    match target::access(asked.path) {
        Access::Public => Route::Forward(&server.homeserver),
        Access::Admin if serving.limits.admin_allow.iter().any(|network| network.contains(&asked.client)) => {
            Route::Forward(&server.homeserver)
        }
        Access::Admin => Route::Refuse(ProxyError::AdminClosed),
        Access::Closed => Route::Refuse(ProxyError::NotRouted),
    }
}

/// The decision for a request on port 80 that is no challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PlainRoute {
    /// To this origin (`https://host[:port]`).
    Redirect(String),
    Refuse(ProxyError),
}

/// Routes a request on port 80: a redirect for served names, except for APIs. A client that sends
/// its token in plain text must notice, not be led on to do so with every request.
pub(super) fn route_plain(serving: &Serving, asked: &Asked<'_>) -> PlainRoute {
    let Some(owner) = serving.names.owner(asked.host) else {
        return PlainRoute::Refuse(ProxyError::Misdirected);
    };
    let is_api = target::is_matrix(asked.path) && Document::at(asked.path).is_none();
    if owner.server.is_some() && (is_api || target::access(asked.path) != Access::Closed) {
        return PlainRoute::Refuse(ProxyError::PlainText);
    }
    if !matches!(*asked.method, Method::GET | Method::HEAD) {
        return PlainRoute::Refuse(ProxyError::PlainText);
    }
    let server = owner.server.and_then(|index| serving.servers.get(index));
    let public = server.filter(|server| server.public_host == *asked.host).map(|server| server.public_port);
    PlainRoute::Redirect(crate::matrix::well_known::base_url(asked.host, public.unwrap_or(443)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tls::TlsTable;
    use std::path::Path;

    fn serving() -> Serving {
        let text = r#"
            [limits]
            admin_allow = ["10.0.0.0/8"]
            [[server]]
            server_name = "one.example"
            homeserver = "http://127.0.0.1:1"
            public_host = "matrix.one.example:8443"
            [[server]]
            server_name = "two.example"
            homeserver = "http://127.0.0.1:2"
            [[site]]
            host = "one.example"
            upstream = "http://127.0.0.1:3"
            [[site]]
            host = "chat.example"
            upstream = "http://127.0.0.1:4"
        "#;
        Serving::new(&Config::parse(text, Path::new("t")).unwrap(), TlsTable::default())
    }

    fn decide(method: Method, host: &str, path: &str, client: &str) -> String {
        let serving = serving();
        let host = Host::parse(host).unwrap();
        let asked = Asked { method: &method, host: &host, path, client: client.parse().unwrap() };
        match route(&serving, &asked) {
            Route::WellKnown(_, document) => format!("{document:?}"),
            Route::Forward(address) => address.to_string(),
            Route::Refuse(error) => error.status().as_str().to_owned(),
        }
    }

    #[test]
    fn table() {
        for (host, path, expected) in [
            ("two.example", "/_matrix/client/versions", "http://127.0.0.1:2"),
            ("matrix.one.example", "/_matrix/client/versions", "http://127.0.0.1:1"),
            ("one.example", "/_matrix/client/versions", "http://127.0.0.1:1"),
            ("one.example", "/index.html", "http://127.0.0.1:3"),
            ("one.example", "/_synapse/admin/x", "403"),
            ("one.example", "/.well-known/matrix/server", "Server"),
            ("two.example", "/.well-known/matrix/client", "Client"),
            ("two.example", "/.well-known/matrix/policy_server", "Other"),
            ("two.example", "/", "404"),
            ("two.example", "/_synapse/metrics", "404"),
            ("chat.example", "/anything", "http://127.0.0.1:4"),
            ("chat.example", "/_matrix/client/versions", "http://127.0.0.1:4"),
            ("three.example", "/", "421"),
        ] {
            assert_eq!(decide(Method::GET, host, path, "192.0.2.1"), expected, "{host}{path}");
        }
        assert_eq!(decide(Method::GET, "two.example", "/_synapse/admin/x", "10.1.2.3"), "http://127.0.0.1:2");
        assert_eq!(decide(Method::PUT, "two.example", "/.well-known/matrix/server", "192.0.2.1"), "Server");
        assert_eq!(decide(Method::OPTIONS, "two.example", "/.well-known/matrix/server", "192.0.2.1"), "Server");
    }

    #[test]
    fn port_80() {
        let serving = serving();
        let plain = |method: Method, host: &str, path| {
            let host = Host::parse(host).unwrap();
            route_plain(&serving, &Asked { method: &method, host: &host, path, client: [192, 0, 2, 1].into() })
        };
        let redirect = |origin: &str| PlainRoute::Redirect(origin.to_owned());
        assert_eq!(plain(Method::GET, "two.example", "/"), redirect("https://two.example"));
        assert_eq!(plain(Method::GET, "matrix.one.example", "/x"), redirect("https://matrix.one.example:8443"));
        assert_eq!(plain(Method::GET, "one.example", "/.well-known/matrix/server"), redirect("https://one.example"));
        let refused = PlainRoute::Refuse(ProxyError::PlainText);
        assert_eq!(plain(Method::GET, "two.example", "/_matrix/client/versions"), refused);
        assert_eq!(plain(Method::GET, "two.example", "/%5Fmatrix/x"), refused);
        assert_eq!(plain(Method::GET, "two.example", "/_synapse/client/x"), refused);
        assert_eq!(plain(Method::POST, "chat.example", "/form"), refused);
        assert_eq!(plain(Method::GET, "nobody.example", "/"), PlainRoute::Refuse(ProxyError::Misdirected));
    }
}
