//! The well-known documents: answered from memory, the same everywhere, whatever the homeserver does.

use std::net::SocketAddr;

use serde_json::json;

use crate::support::curl::Response;
use crate::support::front::{Front, NAME, PUBLIC};
use crate::support::origin::Origin;
use crate::support::ports;

const PATHS: [&str; 3] = ["server", "client", "support"];

const DOCUMENTS: &str = r#"
    [well_known]
    cache_max_age = "10m"
    client = { "m.identity_server" = { base_url = "https://vector.im" }, "org.matrix.msc4143.rtc_foci" = [{ type = "livekit", livekit_service_url = "https://rtc.invalid" }] }
    support = { contacts = [{ role = "m.role.admin", email_address = "admin@hs.invalid" }], support_page = "https://hs.invalid/help" }
"#;

/// Nobody listens there: these answers need no homeserver.
fn nowhere() -> String {
    format!("http://127.0.0.1:{}", ports::free())
}

/// Each listener with each name and each protocol.
fn ways(front: &Front) -> Vec<(SocketAddr, &'static str, &'static str)> {
    let mut ways = Vec::new();
    for address in [front.https(), front.federation()] {
        for name in [NAME, PUBLIC] {
            ways.extend(["--http1.1", "--http2"].map(|http| (address, name, http)));
        }
    }
    ways
}

#[track_caller]
fn assert_public(answer: &Response, cached: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, PUT, DELETE, OPTIONS"));
    let headers = "X-Requested-With, Content-Type, Authorization";
    assert_eq!(answer.header("access-control-allow-headers"), Some(headers));
    assert_eq!(answer.header("cache-control"), Some(cached), "{answer:?}");
}

#[test]
fn every_document_by_every_way_while_the_homeserver_is_down() {
    let front = Front::at(&nowhere(), DOCUMENTS);
    for (address, name, http) in ways(&front) {
        let get = |document: &str| {
            let request = front.curl_to(address).arguments([http]);
            let answer = request.send(&format!("https://{name}/.well-known/matrix/{document}")).expect_status(200);
            assert_public(&answer, "public, max-age=600");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
            answer.json()
        };
        assert_eq!(get("server"), json!({ "m.server": "matrix.hs.invalid:443" }));
        assert_eq!(
            get("client"),
            json!({
                "m.homeserver": { "base_url": "https://matrix.hs.invalid" },
                "m.identity_server": { "base_url": "https://vector.im" },
                "org.matrix.msc4143.rtc_foci": [{ "type": "livekit", "livekit_service_url": "https://rtc.invalid" }],
            })
        );
        assert_eq!(
            get("support"),
            json!({
                "contacts": [{ "role": "m.role.admin", "email_address": "admin@hs.invalid" }],
                "support_page": "https://hs.invalid/help",
            })
        );
    }
}

/// A homeserver that takes connections and says nothing is worse than none, and changes as little.
#[test]
fn a_hung_homeserver_changes_nothing() {
    let origin = Origin::start(|talk| {
        talk.until_closed();
        Ok(())
    });
    let front = Front::with(&origin, DOCUMENTS);
    for document in PATHS {
        front.curl().send(&format!("https://{NAME}/.well-known/matrix/{document}")).expect_status(200);
    }
    assert_eq!(origin.connections(), 0, "these paths are never the homeserver's");
}

/// What is not set is a clean 404: anything else makes clients and testers report a broken server.
#[test]
fn what_is_not_set_is_not_found() {
    let front = Front::at(&nowhere(), "");
    for (address, name, http) in ways(&front) {
        for document in ["support", "policy_server", "anything", "server/", "server/x", ""] {
            let request = front.curl_to(address).arguments([http]);
            let answer = request.send(&format!("https://{name}/.well-known/matrix/{document}")).expect_status(404);
            assert_public(&answer, "public, max-age=3600");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let error = answer.json();
            assert_eq!(error["errcode"], "M_NOT_FOUND", "{document}");
            assert!(error["error"].is_string());
        }
    }
}

#[test]
fn other_methods() {
    let front = Front::at(&nowhere(), "");
    for (address, name, http) in ways(&front) {
        for document in PATHS {
            let url = format!("https://{name}/.well-known/matrix/{document}");
            let send = |method: &str| front.curl_to(address).arguments([http]).method(method).send(&url);
            let preflight = send("OPTIONS").expect_status(204);
            assert_public(&preflight, "public, max-age=3600");
            assert!(preflight.body.is_empty());
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                let refused = send(method).expect_status(405);
                assert_public(&refused, "public, max-age=3600");
                assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS"));
                assert_eq!(refused.json()["errcode"], "M_UNRECOGNIZED");
            }
        }
    }
}

/// The head of a GET, and nothing after it: a body would be a fault of protocol, which curl reports.
#[test]
fn head_is_get_without_its_body() {
    let front = Front::at(&nowhere(), "");
    for (address, name, http) in ways(&front) {
        for (path, status) in [("server", 200), ("client", 200), ("support", 404)] {
            let url = format!("https://{name}/.well-known/matrix/{path}");
            let request = || front.curl_to(address).arguments([http]);
            let whole = request().send(&url).expect_status(status);
            let head = request().arguments(["--head"]).send(&url).expect_status(status);
            assert_public(&head, "public, max-age=3600");
            assert_eq!(head.header("content-length"), Some(whole.body.len().to_string().as_str()), "{http}");
            assert_eq!(head.header("content-type"), whole.header("content-type"));
        }
    }
}

#[test]
fn the_port_of_the_public_host_is_the_worlds_and_not_the_listeners() {
    for (lines, server, client) in [
        ("server_name = \"hs.invalid\"", "hs.invalid:443", "https://hs.invalid"),
        ("server_name = \"hs.invalid:8449\"", "hs.invalid:8449", "https://hs.invalid:8449"),
        ("server_name = \"hs.invalid\"\npublic_host = \"m.invalid:8443\"", "m.invalid:8443", "https://m.invalid:8443"),
        ("server_name = \"hs.invalid\"\npublic_host = \"m.invalid:443\"", "m.invalid:443", "https://m.invalid"),
    ] {
        let front = Front::start(&format!("{lines}\nhomeserver = \"{}\"\n", nowhere()));
        let get = |document: &str| front.curl().send(&format!("https://hs.invalid/.well-known/matrix/{document}"));
        assert_eq!(get("server").json()["m.server"], server, "{lines}");
        assert_eq!(get("client").json()["m.homeserver"]["base_url"], client, "{lines}");
    }
}

/// A query changes nothing, and other spellings of the path are other paths.
#[test]
fn paths_are_compared_byte_for_byte() {
    let front = Front::at(&nowhere(), "");
    for (path, status) in [
        ("/.well-known/matrix/server?x=y", 200),
        ("/.well-known/matrix/serve%72", 404),
        ("/.well-known/Matrix/server", 404),
        ("/x/../.well-known/matrix/server", 404),
    ] {
        front.curl().arguments(["--path-as-is"]).send(&format!("https://{NAME}{path}")).expect_status(status);
    }
}
