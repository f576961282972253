//! What clients find.

use super::lab;
use super::{Case, Good};

#[test]
fn clients() {
    lab::run(module_path!(), "clients", CASES);
}

const CLIENT: &str = "= /.well-known/matrix/client";

const CASES: &[Case] = &[
    Case {
        name: "the client document without CORS",
        build: |site| {
            let file = site.file("client", r#"{"m.homeserver":{"base_url":"https://matrix.s1.example"}}"#);
            site.apex.location(CLIENT, &format!("default_type application/json;\nalias {file};"));
        },
        finds: &[("wk.client.cors", "exactly once on https://s1.example/.well-known/matrix/client")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "CORS of two layers on the client document",
        build: |site| {
            let body = r#"{"m.homeserver":{"base_url":"https://matrix.s2.example"}}"#;
            site.apex.document("client", body, "add_header Access-Control-Allow-Origin *;");
        },
        finds: &[("wk.client.cors", "exactly once on https://s2.example/.well-known/matrix/client")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "503 for the client document",
        build: |site| site.apex.location(CLIENT, "return 503;"),
        finds: &[("wk.client.status", "https://s3.example/.well-known/matrix/client answer 200")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "YAML as client document",
        build: |site| site.apex.document("client", "m.homeserver:\n  base_url: https://matrix.s4.example", ""),
        finds: &[("wk.client.json", "serve {\"m.homeserver\": {\"base_url\": \"https://matrix.s4.example\"}} as JSON")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "the client document has no base_url",
        build: |site| site.apex.document("client", r#"{"m.homeserver":{"url":"https://matrix.s5.example"}}"#, ""),
        finds: &[("wk.client.base_url", "\"base_url\": \"https://HOST\"")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "base_url with http",
        build: |site| site.apex.document("client", r#"{"m.homeserver":{"base_url":"http://matrix.s6.example"}}"#, ""),
        finds: &[("wk.client.base_url", "\"base_url\": \"https://HOST\"")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "no homeserver at base_url",
        build: |site| site.apex.document("client", r#"{"m.homeserver":{"base_url":"https://s7.example/chat"}}"#, ""),
        finds: &[("wk.client.versions", "`curl -i https://s7.example/chat/_matrix/client/versions`")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "a closed port at base_url",
        build: |site| {
            site.apex.document("client", r#"{"m.homeserver":{"base_url":"https://matrix.s8.example:8008"}}"#, "");
        },
        finds: &[("wk.client.versions", "`curl -i https://matrix.s8.example:8008/_matrix/client/versions`")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "an identity server without base_url",
        build: |site| {
            let body = r#"{"m.homeserver":{"base_url":"https://matrix.s9.example"},"m.identity_server":{"url":"https://vector.example"}}"#;
            site.apex.document("client", body, "");
        },
        finds: &[("wk.client.identity", "give m.identity_server a base_url, or remove it")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "an empty support document",
        build: |site| site.apex.document("support", "{}", ""),
        finds: &[("wk.support", "publish https://s10.example/.well-known/matrix/support with at least one contact")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
];
