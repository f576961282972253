//! Explicit routes, the worker map, and what happens when a pool is down.

use super::{ask, endpoints, origins, said};
use crate::support::front::{Front, url};
use crate::support::origin::Origin;
use crate::support::ports;

fn pool<const N: usize>(name: &str, origins: [&Origin; N], more: &str) -> String {
    format!("[[upstream]]\nname = \"{name}\"\n{}{more}", endpoints(origins))
}

fn route(path: &str, upstream: &str) -> String {
    format!("[[route]]\npath = '{path}'\nupstream = \"{upstream}\"\n")
}

#[test]
fn the_first_route_that_matches_wins_and_opens_paths() {
    let [main, one, two] = origins();
    let config = [
        pool("one", [&one], ""),
        pool("two", [&two], ""),
        route(r"^/_matrix/client/v3/rooms/[^/]+/messages$", "one"),
        route(r"^/_matrix/client/v3/rooms/", "two"),
        route("^/_bridge/", "two"),
        route("^/_synapse/admin/v1/rooms", "one"),
        route("^/_synapse/mas/", "two"),
        route("/deep$", "one"),
        route("^/own$", "homeserver"),
    ];
    let front = Front::with(&main, &config.concat());
    for (path, expected) in [
        ("/_matrix/client/v3/rooms/!a/messages", "1"),
        ("/_matrix/client/v3/rooms/!a/messages?from=/x", "1"),
        ("/_matrix/client/v3/rooms/%21a%3Ab/messages", "1"),
        ("/_matrix/client/v3/rooms/!a/members", "2"),
        ("/_matrix/client/v3/sync?x=/_bridge/", "0"),
        ("/_bridge/login", "2"),
        ("/_bridge", "404"),
        ("/x/_bridge/", "404"),
        ("/any/where/deep", "1"),
        ("/own", "0"),
        ("/_synapse/mas/x", "2"),
        // Named or not, the admin API is for the networks that are allowed.
        ("/_synapse/admin/v1/rooms", "403"),
        ("/_synapse/admin/deep", "403"),
        // And a wide pattern is no reason to open what nobody should see.
        ("/_synapse/metrics/deep", "404"),
        ("/_synapse/replication/deep", "404"),
        ("/_dendrite/admin/deep", "404"),
        // Not by a detour either.
        ("/_bridge/../_synapse/admin/v1/rooms", "404"),
        ("/_bridge/%2e%2e/_synapse/admin/v1/rooms", "404"),
        ("/_bridge/..%2f_synapse/replication/x", "404"),
        ("/_matrix/client/v3/rooms/..%2f..%2f..%2f..%2f_synapse/admin/x", "403"),
        // The written form counts first, and an escaped letter does not lead around a route.
        ("/_matrix/client/v3/rooms/!a%2Fb/messages", "1"),
        ("/_matrix/client/v3/ro%6fms/!a/members", "2"),
    ] {
        assert_eq!(ask(&front, path), expected, "{path}");
    }
    assert_eq!(two.requests()[0].target(), "/_matrix/client/v3/rooms/!a/members");
    let allowed = Front::with(&main, &format!("limits.admin_allow = [\"127.0.0.0/8\"]\n{}", config.concat()));
    assert_eq!(ask(&allowed, "/_synapse/admin/v1/rooms"), "1");
    assert_eq!(ask(&allowed, "/_synapse/admin/v1/users"), "0");
}

#[test]
fn targets_stay_as_they_are() {
    let [main, one] = origins();
    let front = Front::with(&main, &(pool("one", [&one], "") + &route("^/_matrix/client/v3/rooms/", "one")));
    let target = "/_matrix/client/v3/rooms/%21a%3Ab/state/m.x/%7E?b=%2F&a=%20";
    assert_eq!(ask(&front, target), "1");
    assert_eq!(one.only_request().target(), target);
}

#[test]
fn workers_by_kind() {
    let [main, sync, initial, federation, media, client] = origins();
    let config = [
        pool("sync", [&sync], "serves = [\"sync\", \"sliding_sync\"]\n"),
        pool("initial", [&initial], "serves = [\"initial_sync\"]\n"),
        pool("federation", [&federation], "serves = [\"federation_inbound\", \"federation_reader\"]\n"),
        pool("media", [&media], "serves = [\"media\"]\n"),
        pool("client", [&client], "serves = [\"client_reader\", \"pagination\"]\n"),
    ];
    let front = Front::with(&main, &config.concat());
    for (method, path, expected) in [
        ("GET", "/_matrix/client/v3/sync?since=s1", "1"),
        ("GET", "/_matrix/client/v3/sync", "2"),
        ("GET", "/_matrix/client/v3/sync?since=s1&full_state=true", "2"),
        ("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?pos=1", "1"),
        ("PUT", "/_matrix/federation/v1/send/1", "3"),
        ("GET", "/_matrix/federation/v1/event/%24a%2Fb", "3"),
        ("GET", "/_matrix/key/v2/server", "0"),
        ("POST", "/_matrix/key/v2/query", "3"),
        ("GET", "/_matrix/media/v3/config", "4"),
        ("GET", "/_matrix/federation/v1/media/download/x", "4"),
        ("GET", "/_matrix/client/versions", "5"),
        ("GET", "/_matrix/client/v3/pushrules/", "5"),
        ("PUT", "/_matrix/client/v3/pushrules/global/x", "0"),
        ("GET", "/_matrix/client/v3/rooms/%21a/messages", "5"),
        ("PUT", "/_matrix/client/v3/rooms/%21a/send/m.x/1", "0"),
        ("POST", "/_matrix/client/v3/login", "0"),
        ("GET", "/_synapse/admin/v1/media/x/y", "403"),
    ] {
        assert_eq!(said(front.curl().method(method).send(&url(path))), expected, "{method} {path}");
    }
}

/// A port at which nobody listens.
fn nobody() -> String {
    format!("endpoints = [\"http://127.0.0.1:{}\"]\n", ports::free())
}

#[test]
fn the_main_process_stands_in_where_it_can() {
    let [main, sync] = origins();
    let config = [
        "limits.hold.client = \"500ms\"\n".to_owned(),
        pool("sync", [&sync], "serves = [\"sync\"]\n"),
        format!("[[upstream]]\nname = \"initial\"\n{}serves = [\"initial_sync\"]\n", nobody()),
        format!("[[upstream]]\nname = \"reader\"\n{}serves = [\"client_reader\", \"media\", \"sso\"]\n", nobody()),
        format!("[[upstream]]\nname = \"guard\"\n{}", nobody()),
        route("^/_matrix/client/v3/register$", "guard"),
        route("^/_matrix/client/v3/account/", "reader"),
        route("^/reader/", "reader"),
    ];
    let front = Front::with(&main, &config.concat());
    for (path, expected) in [
        ("/_matrix/client/v3/sync", "1"),
        ("/_matrix/client/versions", "0"),
        ("/_matrix/media/v3/config", "502"),
        ("/_matrix/client/v3/login/sso/redirect", "502"),
        // A service that is no worker may be there to refuse things.
        ("/_matrix/client/v3/register", "502"),
        ("/_matrix/client/v3/account/password", "0"),
        // The main process knows nothing of a path that only the route opens.
        ("/reader/x", "502"),
    ] {
        assert_eq!(ask(&front, path), expected, "{path}");
    }
    let posted = front.curl().arguments(["--data-binary", "body"]).send(&url("/_matrix/client/v3/search"));
    assert_eq!(said(posted), "0");
    assert_eq!(main.last_request().body, b"body", "a body that nobody has seen goes to the next");
}

#[test]
fn each_server_has_pools_of_its_own() {
    let [one, two, pool] = origins();
    let front = Front::start(&format!(
        "[[server]]\nserver_name = \"one.invalid\"\nhomeserver = \"{}\"\n[[server.upstream]]\nname = \"x\"\n{}serves = [\"sync\"]\n\
         [[server]]\nserver_name = \"two.invalid\"\nhomeserver = \"{}\"\n[[server.upstream]]\nname = \"x\"\n{}",
        one.url(),
        endpoints([&pool]),
        two.url(),
        endpoints([&pool]),
    ));
    for (host, expected) in [("one.invalid", "2"), ("two.invalid", "1")] {
        let answer = front.curl().send(&format!("https://{host}/_matrix/client/v3/sync?since=x"));
        assert_eq!(said(answer), expected, "{host}");
    }
}
