//! Where requests go: an allow-list for homeservers, everything for sites, and nobody gets another's.

use std::net::SocketAddr;

use crate::support::front::{Front, url};
use crate::support::origin::Origin;

/// What homeservers serve to the public.
const PUBLIC: [&str; 12] = [
    "/_matrix",
    "/_matrix/",
    "/_matrix/client/versions",
    "/_matrix/federation/v1/version",
    "/_matrix/key/v2/server",
    "/_matrix/media/v3/config",
    "/_matrix/policy/v1/sign",
    "/_synapse/client/oidc/callback?code=x",
    "/_tuwunel/oidc/authorize",
    "/_tuwunel/sso/x",
    "/_continuwuity/oauth2/token",
    "/.well-known/openid-configuration",
];

/// What else they have, and what they may have tomorrow.
const CLOSED: [&str; 14] = [
    "/",
    "/index.html",
    "/health",
    "/_synapse",
    "/_synapse/metrics",
    "/_synapse/replication/x",
    "/_synapse/mas/x",
    "/_synapse/clientx",
    "/_dendrite/admin/x",
    "/_dendrite/monitor/up",
    "/_tuwunel/server_version",
    "/_matrixx/client",
    "/metrics",
    "//_matrix/client",
];

/// Ways of writing an admin path that a careless server might read as one.
const DISGUISED: [&str; 9] = [
    "/_synapse/admin/v1/users",
    "/_synapse/admin",
    "/_matrix/../_synapse/admin/v1/users",
    "/_matrix/%2e%2e/_synapse/admin/v1/users",
    "/_matrix/%2E%2e%2F_synapse%2fadmin/v1/users",
    "/_matrix/..%5C_synapse%5Cadmin/v1/users",
    "/_synapse/client/../admin/v1/users",
    "/_synapse/client/%2e%2e/admin/v1/users",
    "/_matrix/a/..//../_synapse/./admin/v1/users",
];

#[test]
fn only_public_prefixes_are_forwarded() {
    let origin = Origin::answering("ok");
    let front = Front::before(&origin);
    for http in ["--http1.1", "--http2"] {
        let ask = |path: &str| front.curl().arguments([http, "--path-as-is"]).send(&url(path));
        for path in PUBLIC {
            assert_eq!(ask(path).expect_status(200).text(), "ok", "{path}");
            assert_eq!(origin.last_request().target(), path);
        }
        let forwarded = origin.requests().len();
        for path in CLOSED {
            let answer = ask(path).expect_status(404);
            assert_eq!(answer.json()["errcode"], "M_UNRECOGNIZED", "{path}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        }
        assert_eq!(origin.requests().len(), forwarded, "none of those reached the homeserver");
    }
}

#[test]
fn admin_paths_are_closed_however_they_are_written() {
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "[limits]\nadmin_allow = [\"192.0.2.0/24\"]\n");
    for http in ["--http1.1", "--http2"] {
        for path in DISGUISED {
            // Nor does a forged address help.
            let request = front.curl().arguments([http, "--path-as-is"]).header("X-Forwarded-For", "192.0.2.1");
            let answer = request.send(&url(path)).expect_status(403);
            assert_eq!(answer.json()["errcode"], "M_FORBIDDEN", "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        }
    }
    assert!(origin.requests().is_empty());
}

#[test]
fn named_networks_reach_admin_paths() {
    let origin = Origin::answering("ok");
    let front = Front::with(&origin, "[limits]\nadmin_allow = [\"192.0.2.0/24\", \"127.0.0.0/8\"]\n");
    front.curl().send(&url("/_synapse/admin/v1/users?from=0")).expect_status(200);
    assert_eq!(origin.only_request().target(), "/_synapse/admin/v1/users?from=0");
    front.curl().send(&url("/_synapse/metrics")).expect_status(404);
}

/// Two homeservers and two sites, one of them at the apex of the first.
struct Village {
    front: Front,
    origins: Vec<Origin>,
}

impl Village {
    fn start() -> Self {
        let origins: Vec<_> = ["one", "two", "web", "chat"].map(Origin::answering).into();
        let [one, two, web, chat] = [0, 1, 2, 3].map(|index: usize| origins[index].url());
        let front = Front::start(&format!(
            r#"
            [[server]]
            server_name = "one.invalid"
            public_host = "matrix.one.invalid"
            homeserver = "{one}"
            [[server]]
            server_name = "two.invalid"
            homeserver = "{two}"
            [[site]]
            host = "one.invalid"
            upstream = "{web}"
            [[site]]
            host = "chat.invalid"
            upstream = "{chat}"
            "#
        ));
        Self { front, origins }
    }

    fn ask(&self, address: SocketAddr, url: &str) -> String {
        let answer = self.front.curl_to(address).arguments(["--path-as-is"]).send(url);
        if answer.status == 200 { answer.text() } else { answer.status.to_string() }
    }
}

#[test]
fn several_servers_and_sites_on_one_address() {
    let village = Village::start();
    for address in [village.front.https(), village.front.federation()] {
        for (url, expected) in [
            ("https://one.invalid/_matrix/client/versions", "one"),
            ("https://matrix.one.invalid/_matrix/client/versions", "one"),
            ("https://two.invalid/_matrix/client/versions", "two"),
            ("https://matrix.one.invalid/", "404"),
            ("https://two.invalid/", "404"),
            // The apex is a site as well: it gets everything but what is Matrix's.
            ("https://one.invalid/", "web"),
            ("https://one.invalid/blog/_matrix?x", "web"),
            ("https://one.invalid/.well-known/webfinger", "web"),
            ("https://one.invalid/_synapse/client/x", "one"),
            ("https://one.invalid/_synapse/metrics", "404"),
            ("https://one.invalid/_synapse/admin/v1/users", "403"),
            ("https://one.invalid/x/../_synapse/admin/v1/users", "404"),
            ("https://one.invalid/%5fsynapse/metrics", "404"),
            ("https://one.invalid/.well-known/matrix/nothing", "404"),
            // Another site gets all of its paths, whatever they are called.
            ("https://chat.invalid/", "chat"),
            ("https://chat.invalid/_matrix/client/versions", "chat"),
            ("https://chat.invalid/.well-known/matrix/server", "chat"),
            ("https://chat.invalid/_synapse/admin", "chat"),
        ] {
            assert_eq!(village.ask(address, url), expected, "{url}");
        }
    }
    let delegation = |name: &str| {
        let answer = village.front.curl().send(&format!("https://{name}/.well-known/matrix/server"));
        answer.expect_status(200).json()["m.server"].clone()
    };
    assert_eq!(delegation("one.invalid"), "matrix.one.invalid:443");
    assert_eq!(delegation("two.invalid"), "two.invalid:443");
}

/// A site is forwarded whole: methods, bodies and addresses as for a homeserver, and nothing rewritten.
#[test]
fn a_site_is_forwarded_like_a_homeserver() {
    let village = Village::start();
    let request = village.front.curl().http2().method("PATCH").arguments(["--data-binary", "body", "--path-as-is"]);
    let request = request.header("X-Forwarded-For", "6.6.6.6").header("Host", "Chat.invalid:443");
    assert_eq!(request.send("https://chat.invalid/a%2Fb/../c?d=%7E").expect_status(200).text(), "chat");
    let received = village.origins[3].only_request();
    assert_eq!(received.request_line(), "PATCH /a%2Fb/../c?d=%7E HTTP/1.1");
    assert_eq!(received.header("host"), Some("Chat.invalid:443"));
    assert_eq!(received.headers("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(received.body, b"body");
}

/// One connection may carry requests for several names, if the certificate that was shown covers them.
#[test]
fn requests_on_one_connection_are_routed_one_by_one() {
    let village = Village::start();
    let mut client =
        crate::support::raw_client::RawClient::tls(village.front.https(), "one.invalid", &village.front.root());
    for (host, path, expected) in [
        ("one.invalid", "/_matrix/a", (200, "one")),
        ("one.invalid", "/a", (200, "web")),
        ("matrix.one.invalid", "/_matrix/b", (200, "one")),
    ] {
        client.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), expected, "{host}{path}");
    }
    client.send("GET /_matrix/a HTTP/1.1\r\nHost: two.invalid\r\n\r\n");
    assert_eq!(client.answer().status, 421);
}
