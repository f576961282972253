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
    Case {
        name: "a redirect of the client document without CORS",
        build: |site| {
            site.at("www", 3);
            let mut www = site.apex.clone();
            (www.on, www.files) = (site.both(3, 443), site.leaf(&[&site.host("www")]));
            site.more.push(www);
            site.apex.location(CLIENT, "return 302 https://www.s11.example$request_uri;");
        },
        finds: &[("wk.client.redirect_cors", "on the redirect of https://s11.example/.well-known/matrix/client too")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "a call back end without its URL",
        build: |site| {
            let body = r#"{"m.homeserver":{"base_url":"https://matrix.s12.example"},"org.matrix.msc4143.rtc_foci":[{"type":"livekit"}]}"#;
            site.apex.document("client", body, "");
        },
        finds: &[("wk.client.rtc", "\"livekit_service_url\": \"https://rtc.s12.example/livekit/jwt\"")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "no call service behind its URL",
        build: |site| {
            let body = r#"{"m.homeserver":{"base_url":"https://matrix.s13.example"},"org.matrix.msc4143.rtc_foci":[{"type":"livekit","livekit_service_url":"https://matrix.s13.example/livekit/jwt"}]}"#;
            site.apex.document("client", body, "");
        },
        finds: &[("wk.client.rtc", "`curl -i https://matrix.s13.example/livekit/jwt/healthz`")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "an issuer that the homeserver does not know",
        build: |site| {
            let body = r#"{"m.homeserver":{"base_url":"https://matrix.s14.example"},"org.matrix.msc2965.authentication":{"issuer":"https://matrix.s14.example/"}}"#;
            site.apex.document("client", body, "");
        },
        finds: &[("wk.client.auth", "switch on matrix_authentication_service in the homeserver")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "a policy server without a key",
        build: |site| site.apex.document("policy_server", r#"{"public_keys":{}}"#, ""),
        finds: &[("wk.policy", "\"ed25519\": \"BASE64\"")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
];
