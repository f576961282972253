//! Where a request goes: pure.

use super::class::Class;
use super::destination::{Destination, Step, Steps};
use super::documents::Document;
use super::error::ProxyError;
use super::services::Service;
use super::serving::{ServedRoute, ServedServer, Serving};
use super::target::{Access, Target};
use crate::matrix::Host;
use crate::net::admit::contains;
use http::HeaderValue;
use std::net::IpAddr;

/// A request as far as routing looks at it.
pub(super) struct Asked<'a> {
    pub method: &'a str,
    pub host: &'a Host,
    /// The raw path, without the query.
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub client: IpAddr,
}

/// The decision.
#[derive(Debug)]
pub(super) enum Route<'a> {
    WellKnown(&'a ServedServer, Document),
    Forward(Destination),
    Refuse(ProxyError),
}

/// Routes a request on a TLS listener.
pub(super) fn route<'a>(serving: &'a Serving, asked: &Asked<'_>) -> Route<'a> {
    let Some(owner) = serving.names.owner(asked.host) else {
        return Route::Refuse(ProxyError::Misdirected);
    };
    let server = owner.server.and_then(|index| serving.servers.get(index));
    let site = owner.site.and_then(|index| serving.sites.get(index));
    let site = site.map(|site| Destination::to(*site, Class::Site));
    match (server, site) {
        (Some(server), site) => route_server(serving, server, site, asked),
        (None, Some(site)) => Route::Forward(site),
        (None, None) => Route::Refuse(ProxyError::Misdirected),
    }
}

/// Documents come from memory whatever else is configured. Then, in this order: who may ask at all,
/// explicit routes, side services, the homeserver's public paths. An apex site gets what is left and
/// does not look like Matrix.
fn route_server<'a>(
    serving: &Serving,
    server: &'a ServedServer,
    site: Option<Destination>,
    asked: &Asked<'_>,
) -> Route<'a> {
    if let Some(document) = Document::at(asked.path) {
        return Route::WellKnown(server, document);
    }
    let target = Target::new(asked.path);
    let access = target.access();
    let stranger = target.is_admin() && !contains(&serving.limits.admin_allow, asked.client);
    if stranger {
        // A form that is neither public nor admin is nobody's, and no route makes it somebody's.
        let closed = access == Access::Closed;
        return Route::Refuse(if closed { ProxyError::NotRouted } else { ProxyError::AdminClosed });
    }
    let class = Class::of(&target.literal());
    if let Some(route) = explicit(server, &target, access) {
        return Route::Forward(Destination { class, strip: 0, steps: by_route(server, route, access, &target) });
    }
    if let Some((service, upstream)) = target.agreed(|path| server.service_at(path)) {
        let class = if service == Service::Mas { class } else { Class::Rtc };
        return Route::Forward(Destination { strip: service.strip(), ..Destination::to(upstream, class) });
    }
    match (access, site) {
        (Access::Public | Access::Admin, _) => {
            let steps = target.agreed(|path| server.workers.as_ref()?.at(asked.method, path, asked.query));
            let steps = steps.unwrap_or_else(|| Steps::only(server.homeserver));
            Route::Forward(Destination { class, strip: 0, steps })
        }
        (Access::Closed, Some(site)) if !target.is_matrix() => Route::Forward(site),
        (Access::Closed, _) => Route::Refuse(ProxyError::NotRouted),
    }
}

/// The first explicit route that matches. On a public path it is the first that matches it as it was
/// written, and else the first that matches what a server may read in it: what stands guard before a
/// path must not be led around. Any other path a route opens only if all that may be read in it leads
/// there, and what is private only if it names it.
fn explicit<'s>(server: &'s ServedServer, target: &Target<'_>, access: Access) -> Option<&'s ServedRoute> {
    if server.routes.is_empty() {
        return None;
    }
    let private = target.private();
    let opens = |route: &ServedRoute| private.is_none_or(|prefix| route.rule.path.as_str().contains(prefix));
    let mut routes = server.routes.iter().filter(|route| opens(route));
    if access == Access::Public {
        let written = routes.clone().find(|route| route.rule.path.matches(target.raw()));
        return written.or_else(|| routes.find(|route| target.otherwise(|form| route.rule.path.matches(form))));
    }
    let position = |path: &str| server.routes.iter().position(|route| route.rule.path.matches(path) && opens(route));
    target.agreed(position).and_then(|position| server.routes.get(position))
}

fn by_route(server: &ServedServer, route: &ServedRoute, access: Access, target: &Target<'_>) -> Steps {
    let steps = Steps::default().then(Step { upstream: route.upstream, balance: route.balance });
    let main_can = || server.workers.as_ref().is_some_and(|workers| workers.main_can(target.raw()));
    match route.to_workers && access != Access::Closed && main_can() {
        true => steps.then_only(server.homeserver),
        false => steps,
    }
}

/// The decision for a request on port 80 that is no challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PlainRoute<'a> {
    /// To this origin (`https://host[:port]`). Peers cache the way to a document as long as itself.
    Redirect {
        origin: String,
        cache_control: Option<&'a HeaderValue>,
    },
    Refuse(ProxyError),
}

/// Routes a request on port 80: a redirect for served names, except for APIs. A client that sends
/// its token in plain text must notice, not be led on to do so with every request.
pub(super) fn route_plain<'a>(serving: &'a Serving, asked: &Asked<'_>) -> PlainRoute<'a> {
    let Some(owner) = serving.names.owner(asked.host) else {
        return PlainRoute::Refuse(ProxyError::Misdirected);
    };
    let document = Document::at(asked.path);
    let target = Target::new(asked.path);
    let server = owner.server.and_then(|index| serving.servers.get(index));
    if let Some(server) = server {
        let is_service = server.service_at(asked.path).or_else(|| server.service_at(target.normalised())).is_some();
        let is_api = is_service || (target.is_matrix() && document.is_none());
        if is_api || target.access() != Access::Closed {
            return PlainRoute::Refuse(ProxyError::PlainText);
        }
    }
    if !matches!(asked.method, "GET" | "HEAD") {
        return PlainRoute::Refuse(ProxyError::PlainText);
    }
    let public = server.filter(|server| server.public_host == *asked.host).map(|server| server.public_port);
    PlainRoute::Redirect {
        origin: crate::matrix::well_known::base_url(asked.host, public.unwrap_or(443)),
        cache_control: server.filter(|_| document.is_some()).map(|server| server.documents.cache_control()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tls::TlsTable;
    use proptest::prelude::*;
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

    /// The upstreams' names in the order of trial, or the document, or the status.
    fn decided(serving: &Serving, method: &str, host: &str, target: &str, client: &str) -> String {
        let host = Host::parse(host).unwrap();
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        match route(serving, &Asked { method, host: &host, path, query, client: client.parse().unwrap() }) {
            Route::WellKnown(_, document) => format!("{document:?}"),
            Route::Forward(destination) => {
                let names = destination.steps.iter().map(|step| {
                    let upstream = &serving.upstreams[step.upstream.0];
                    let server = upstream.server.map(|index| format!("{index}/")).unwrap_or_default();
                    format!("{server}{}", upstream.name)
                });
                names.collect::<Vec<_>>().join(" ")
            }
            Route::Refuse(error) => error.status().as_str().to_owned(),
        }
    }

    #[test]
    fn table() {
        let serving = serving();
        for (host, path, expected) in [
            ("two.example", "/_matrix/client/versions", "1/homeserver"),
            ("matrix.one.example", "/_matrix/client/versions", "0/homeserver"),
            ("one.example", "/_matrix/client/versions", "0/homeserver"),
            ("one.example", "/index.html", "one.example"),
            ("one.example", "/_synapse/admin/x", "403"),
            ("one.example", "/.well-known/matrix/server", "Server"),
            ("two.example", "/.well-known/matrix/client", "Client"),
            ("two.example", "/.well-known/matrix/policy_server", "Other"),
            ("two.example", "/", "404"),
            ("two.example", "/_synapse/metrics", "404"),
            ("two.example", "/livekit/jwt/sfu/get", "404"),
            ("chat.example", "/anything", "chat.example"),
            ("chat.example", "/_matrix/client/versions", "chat.example"),
            ("three.example", "/", "421"),
        ] {
            assert_eq!(decided(&serving, "GET", host, path, "192.0.2.1"), expected, "{host}{path}");
        }
        assert_eq!(decided(&serving, "GET", "two.example", "/_synapse/admin/x", "10.1.2.3"), "1/homeserver");
        assert_eq!(decided(&serving, "PUT", "two.example", "/.well-known/matrix/server", "192.0.2.1"), "Server");
        assert_eq!(decided(&serving, "OPTIONS", "two.example", "/.well-known/matrix/server", "192.0.2.1"), "Server");
    }

    const ROUTED: &str = r#"
        server_name = "a.example"
        [limits]
        admin_allow = ["10.0.0.0/8"]
        [[site]]
        host = "a.example"
        upstream = "http://127.0.0.1:1"
        [[upstream]]
        name = "sync"
        endpoints = ["http://127.0.0.1:2", "http://127.0.0.1:3"]
        serves = ["sync", "media"]
        [[upstream]]
        name = "guard"
        endpoints = ["http://127.0.0.1:4"]
        [[route]]
        path = "^/_matrix/client/v3/register$"
        upstream = "guard"
        [[route]]
        path = "^/_matrix/client/v3/(register|search)"
        upstream = "sync"
        [[route]]
        path = "^/_matrix/media/v3/config$"
        upstream = "sync"
        [[route]]
        path = "^/_synapse/mas/"
        upstream = "guard"
        [[route]]
        path = "^/_synapse/admin/"
        upstream = "guard"
        [[route]]
        path = "^/open/"
        upstream = "sync"
        [[route]]
        path = "/wide$"
        upstream = "guard"
        [[route]]
        path = "^/main/"
        upstream = "homeserver"
        [mas]
        url = "http://127.0.0.1:5"
        [rtc]
        jwt = "http://127.0.0.1:6"
        sfu = "http://127.0.0.1:7"
    "#;

    #[test]
    fn routes_services_and_workers() {
        let serving = Serving::new(&Config::parse(ROUTED, Path::new("t")).unwrap(), TlsTable::default());
        for (target, expected) in [
            // The first match wins; a guard has no stand-in, workers have.
            ("/_matrix/client/v3/register", "0/guard"),
            ("/_matrix/client/v3/register/available", "0/sync 0/homeserver"),
            ("/_matrix/client/v3/search?x=/register", "0/sync 0/homeserver"),
            ("/_matrix/media/v3/config", "0/sync"),
            // Opened by a route, and only by name where it is private; admin paths stay the network's.
            ("/open/x", "0/sync"),
            ("/main/x", "0/homeserver"),
            ("/x/wide", "0/guard"),
            ("/_synapse/replication/wide", "404"),
            ("/_synapse/metrics/wide", "404"),
            ("/_dendrite/monitor/wide", "404"),
            ("/_synapse/mas/x", "0/guard"),
            ("/_synapse/admin/x", "403"),
            ("/open/../_synapse/admin/x", "404"),
            ("/x/../_synapse/admin/wide", "404"),
            ("/open/%2e%2e/_synapse/metrics", "404"),
            ("/x/..%2fopen/x", "a.example"),
            // Nobody is led around a guard, neither by an escaped letter nor by what hangs on behind.
            ("/_matrix/client/v3/regis%74er", "0/guard"),
            ("/_matrix/client/v3/search/..%2f..%2f..%2fversions", "0/sync 0/homeserver"),
            ("/_matrix/client/v3/search/x/../../../../versions", "0/sync 0/homeserver"),
            // When the two forms of a path disagree about a kind or a service, the homeserver gets it.
            ("/_matrix/client/v3/%6cogin", "0/homeserver"),
            ("/_matrix/client/v3/syn%63", "0/homeserver"),
            ("/_matrix/client/v3/rooms/%21a/../../sync", "0/homeserver"),
            ("/_matrix/client/v3/sync", "0/sync 0/homeserver"),
            ("/_matrix/client/v3/rooms/%21a%2Fb/initialSync", "0/homeserver"),
            ("/_matrix/client/v3/rooms/%21a%3Ab/initialSync", "0/sync 0/homeserver"),
            ("/_matrix/media/v3/download/a/%41", "0/sync"),
            // Side services.
            ("/_matrix/client/v3/login", "0/mas"),
            ("/_matrix/client/v3/logout/all", "0/mas"),
            ("/_matrix/client/v1/login/get_token", "0/homeserver"),
            ("/livekit/jwt/sfu/get", "0/rtc_jwt"),
            ("/livekit/sfu/rtc?access_token=x", "0/rtc_sfu"),
            ("/livekit/jwt", "a.example"),
            ("/livekit/jwt/../../x", "a.example"),
            // What is left.
            ("/_matrix/client/v3/rooms/%21a/messages", "0/homeserver"),
            ("/index.html", "a.example"),
            ("/_dendrite/admin/x", "404"),
        ] {
            assert_eq!(decided(&serving, "GET", "a.example", target, "192.0.2.1"), expected, "{target}");
        }
        assert_eq!(decided(&serving, "GET", "a.example", "/_synapse/admin/x", "10.1.2.3"), "0/guard");
        assert_eq!(decided(&serving, "GET", "a.example", "/_synapse/%61dmin/x", "10.1.2.3"), "404");
    }

    const WIDE: &str = r#"
        server_name = "a.example"
        [[upstream]]
        name = "any"
        endpoints = ["http://127.0.0.1:2"]
        serves = ["client_reader", "media"]
        [[route]]
        path = "^/"
        upstream = "any"
        [rtc]
        jwt = "http://127.0.0.1:6"
    "#;

    proptest! {
        /// Not even with a route that takes everything, and whatever the path looks like.
        #[test]
        fn no_disguise_opens_what_is_closed(
            start in "(/_matrix|/x|/_synapse/client|/livekit/jwt|/|)",
            noise in r"([/\\][a-z.%0-9]{0,6}){0,3}",
            dots in 0_usize..6,
            closed in "(/_synapse/admin|/_synapse/replication|/_synapse/metrics|/_synapse/mas|/_dendrite)",
            escaped in 0_usize..18,
        ) {
            let serving = Serving::new(&Config::parse(WIDE, Path::new("t")).unwrap(), TlsTable::default());
            let byte = closed.as_bytes()[escaped % closed.len()];
            let disguised = closed.replacen(char::from(byte), &format!("%{byte:02x}"), 1);
            let path = format!("{start}{noise}{}{disguised}/x", "/%2e%2E".repeat(dots));
            let reached = Target::new(&path).normalised().starts_with(&format!("{closed}/"));
            let decided = decided(&serving, "GET", "a.example", &path, "192.0.2.1");
            prop_assert!(!reached || ["403", "404"].contains(&decided.as_str()), "{} goes to {}", path, decided);
        }
    }

    #[test]
    fn class_and_strip() {
        let serving = Serving::new(&Config::parse(ROUTED, Path::new("t")).unwrap(), TlsTable::default());
        let host = Host::parse("a.example").unwrap();
        for (path, expected) in [
            ("/_matrix/client/v3/login", (Class::Login, 0)),
            ("/_matrix/client/v3/%6cogin", (Class::Login, 0)),
            ("/_matrix/client/v3/register", (Class::Register, 0)),
            ("/livekit/jwt/sfu/get", (Class::Rtc, 12)),
            ("/livekit/sfu/rtc", (Class::Rtc, 12)),
            ("/_matrix/federation/v1/send/1", (Class::Federation, 0)),
            ("/index.html", (Class::Site, 0)),
            ("/main/x", (Class::Client, 0)),
        ] {
            let asked = Asked { method: "GET", host: &host, path, query: None, client: [192, 0, 2, 1].into() };
            let Route::Forward(destination) = route(&serving, &asked) else { panic!("{path} is forwarded") };
            assert_eq!((destination.class, destination.strip), expected, "{path}");
        }
        let plain = |path| {
            route_plain(
                &serving,
                &Asked { method: "GET", host: &host, path, query: None, client: [192, 0, 2, 1].into() },
            )
        };
        for path in ["/livekit/sfu/rtc", "/livekit/%73fu/rtc"] {
            assert_eq!(plain(path), PlainRoute::Refuse(ProxyError::PlainText), "{path}");
        }
    }

    #[test]
    fn port_80() {
        let serving = serving();
        let plain = |method: &str, host: &str, path| {
            let host = Host::parse(host).unwrap();
            route_plain(&serving, &Asked { method, host: &host, path, query: None, client: [192, 0, 2, 1].into() })
        };
        let redirect = |origin: &str| PlainRoute::Redirect { origin: origin.to_owned(), cache_control: None };
        assert_eq!(plain("GET", "two.example", "/"), redirect("https://two.example"));
        assert_eq!(plain("GET", "matrix.one.example", "/x"), redirect("https://matrix.one.example:8443"));
        let age = HeaderValue::from_static("public, max-age=3600");
        let cached = PlainRoute::Redirect { origin: "https://one.example".to_owned(), cache_control: Some(&age) };
        assert_eq!(plain("GET", "one.example", "/.well-known/matrix/server"), cached);
        let refused = PlainRoute::Refuse(ProxyError::PlainText);
        assert_eq!(plain("GET", "two.example", "/_matrix/client/versions"), refused);
        assert_eq!(plain("GET", "two.example", "/%5Fmatrix/x"), refused);
        assert_eq!(plain("GET", "two.example", "/_synapse/client/x"), refused);
        assert_eq!(plain("POST", "chat.example", "/form"), refused);
        assert_eq!(plain("GET", "nobody.example", "/"), PlainRoute::Refuse(ProxyError::Misdirected));
    }
}
