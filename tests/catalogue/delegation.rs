//! The delegation document.

use super::authority::{Leaf, Present};
use super::lab;
use super::site::{MATRIX, Web};
use super::{Bad, Case, Good};

#[test]
fn delegation_documents() {
    lab::run(module_path!(), "delegation_documents", CASES);
}

const SERVER: &str = "= /.well-known/matrix/server";

const CASES: &[Case] =
    &[
        Case {
            name: "the apex does not listen on IPv6",
            build: |site| site.apex.on.truncate(1),
            finds: &[("wk.server.reach", "open port 443 on [2a0f:ca7a:1::1]:443, or remove this address")],
            verdict: "degraded",
            go: Good("one family"),
            rust: Good("any address"),
        },
        Case {
            name: "the apex has the certificate of the delegated host",
            build: |site| {
                site.apex.files = site.matrix.files.clone();
                site.fallback();
                site.more[0].files = site.leaf(&[&site.name]);
            },
            finds: &[("wk.server.tls", "get a certificate that covers s2.example for port 443")],
            verdict: "fails",
            go: Good("fallback"),
            rust: Good("fallback"),
        },
        Case {
            name: "cert.pem on the apex, 8448 closed",
            build: |site| {
                let leaf = Leaf::of(&[&site.name]);
                site.apex.files = site.ca.issue(&leaf.presenting(Present::LeafOnly));
            },
            finds: &[("wk.server.tls", "serve its full chain"), ("tcp.connect", "open the port in firewall and NAT")],
            verdict: "fails",
            go: Bad("addresses"),
            rust: Bad("addresses"),
        },
        Case {
            name: "a bot rule answers 403, 8448 open",
            build: |site| {
                site.apex.location(SERVER, "return 403;");
                site.fallback();
            },
            finds: &[("wk.server.status", "exempt it from logins, bot rules and catch-all pages")],
            verdict: "degraded",
            go: Good("fallback"),
            rust: Good("fallback"),
        },
        Case {
            name: "a failing application answers 500, 8448 closed",
            build: |site| site.apex.location(SERVER, "return 500;"),
            finds: &[("wk.server.status", "answer 200 with the document, or 404"), ("tcp.connect", "open the port")],
            verdict: "fails",
            go: Bad("addresses"),
            rust: Bad("addresses"),
        },
        Case {
            name: "broken JSON as delegation",
            build: |site| {
                site.apex.document("server", "{\"m.server\": \"matrix.s6.example:443\",}", "");
                site.fallback();
            },
            finds: &[("wk.server.json", "serve exactly {\"m.server\": \"matrix.s6.example:443\"}")],
            verdict: "fails",
            go: Good("fallback"),
            rust: Good("fallback"),
        },
        Case {
            name: "a page of a single-page application for every path",
            build: |site| {
                for which in ["server", "client", "support"] {
                    site.apex.remove(&format!("= /.well-known/matrix/{which}"));
                }
                site.apex.location("/", "default_type text/html;\nreturn 200 '<!doctype html><title>App</title>';");
                site.fallback();
            },
            finds: &[
                ("wk.server.json", "serve exactly"),
                ("wk.client.json", "as JSON"),
                ("wk.client.cors", "Access-Control-Allow-Origin: * exactly once"),
                ("wk.support", "matrix/support with at least one contact"),
                ("wk.policy", "or 404"),
            ],
            verdict: "fails",
            go: Good("fallback"),
            rust: Good("fallback"),
        },
        Case {
            name: "a delegation without m.server",
            build: |site| {
                site.apex.document("server", r#"{"m.homeserver":{"base_url":"https://matrix.s8.example"}}"#, "");
                site.fallback();
            },
            finds: &[("wk.server.field", "serve exactly {\"m.server\"")],
            verdict: "fails",
            go: Good("fallback"),
            rust: Good("fallback"),
        },
        Case {
            name: "a scheme in m.server",
            build: |site| {
                site.delegate("https://matrix.s9.example");
                site.fallback();
            },
            finds: &[("wk.server.value", "no https://, no path")],
            verdict: "fails",
            go: Bad("m.server"),
            rust: Bad("m.server"),
        },
        Case {
            name: "a slash at the end of m.server",
            build: |site| {
                site.delegate("matrix.s10.example:443/");
                site.fallback();
            },
            finds: &[("wk.server.value", "no slash at the end")],
            verdict: "fails",
            go: Bad("m.server"),
            rust: Bad("m.server"),
        },
        Case {
            name: "no port in m.server, homeserver on 443 only",
            build: |site| site.delegate("matrix.s11.example"),
            finds: &[
                ("wk.server.port", "write \"m.server\": \"matrix.s11.example:443\""),
                ("tcp.connect", "open the port in firewall and NAT"),
            ],
            verdict: "fails",
            go: Bad("addresses"),
            rust: Bad("addresses"),
        },
        Case {
            name: "a document of 20 KiB",
            build: |site| {
                let body = format!(r#"{{"m.server":"matrix.s12.example:443","note":"{}"}}"#, "x".repeat(20_000));
                let file = site.file("server.json", &body);
                site.apex.location(SERVER, &format!("default_type application/json;\nalias {file};"));
            },
            finds: &[("wk.server.size", "shrink the document to its one key")],
            verdict: "degraded",
            go: Good("under 50 KiB"),
            rust: Good("under 1 MiB"),
        },
        Case {
            name: "a document of 60 KiB",
            build: |site| {
                let body = format!(r#"{{"m.server":"matrix.s13.example:443","note":"{}"}}"#, "x".repeat(60_000));
                let file = site.file("server.json", &body);
                site.apex.location(SERVER, &format!("default_type application/json;\nalias {file};"));
                site.fallback();
            },
            finds: &[("wk.server.size", "shrink the document to its one key")],
            verdict: "fails",
            go: Good("fallback"),
            rust: Good("under 1 MiB"),
        },
        Case {
            name: "the document as text/plain",
            build: |site| {
                let file = site.file("server", r#"{"m.server":"matrix.s14.example:443"}"#);
                site.apex.location(SERVER, &format!("default_type text/plain;\nalias {file};"));
            },
            finds: &[("wk.server.ctype", "Content-Type: application/json")],
            verdict: "degraded",
            go: Good("unseen"),
            rust: Good("unseen"),
        },
        Case {
            name: "308 from the apex to www",
            build: |site| {
                site.at("www", 3);
                let mut www = site.apex.clone();
                (www.on, www.files) = (site.both(3, 443), site.leaf(&[&site.host("www")]));
                site.more.push(www);
                site.apex.location(SERVER, "return 308 https://www.s15.example$request_uri;");
            },
            finds: &[("wk.server.redirect", "or redirect once with 302 to an https URL")],
            verdict: "degraded",
            go: Good("follows"),
            rust: Good("follows"),
        },
        Case {
            name: "five redirects to the document",
            build: |site| {
                let document = site.apex.clone();
                site.apex.location(SERVER, "return 302 /1;");
                for hop in 1..4 {
                    site.apex.location(&format!("= /{hop}"), &format!("return 302 /{};", hop + 1));
                }
                site.apex.location("= /4", "return 302 https://www.s16.example/.well-known/matrix/server;");
                site.at("www", 3);
                let www = Web { on: site.both(3, 443), files: site.leaf(&[&site.host("www")]), ..document };
                site.more.push(www);
            },
            finds: &[("wk.server.redirect", "or redirect once with 302")],
            verdict: "degraded",
            go: Good("follows ten"),
            rust: Good("follows ten"),
        },
        Case {
            name: "redirects in a circle, 8448 open",
            build: |site| {
                site.apex.location(SERVER, "return 302 /again;");
                site.apex.location("= /again", "return 302 /.well-known/matrix/server;");
                site.fallback();
            },
            finds: &[(
                "wk.server.redirect",
                "serve the document itself at https://s17.example/.well-known/matrix/server",
            )],
            verdict: "degraded",
            go: Good("fallback"),
            rust: Good("fallback"),
        },
        Case {
            name: "a redirect from https to http",
            build: |site| {
                site.apex.location(SERVER, "return 301 http://s18.example/.well-known/matrix/server;");
                site.fallback();
            },
            finds: &[("wk.server.redirect", "redirect once with 302 to an https URL")],
            verdict: "degraded",
            go: Good("fallback"),
            rust: Good("fallback"),
        },
        Case {
            name: "a document that may not be stored",
            build: |site| {
                let more = r#"add_header Cache-Control "no-store";"#;
                site.apex.location(SERVER, &format!(
                "default_type application/json;\n{more}\nreturn 200 '{{\"m.server\":\"matrix.s19.example:443\"}}';"
            ));
            },
            finds: &[("wk.server.cache", "Cache-Control: public, max-age=3600")],
            verdict: "degraded",
            go: Good("unseen"),
            rust: Good("unseen"),
        },
        Case {
            name: "a document kept for a year",
            build: |site| {
                let more = r#"add_header Cache-Control "max-age=31536000";"#;
                site.apex.location(SERVER, &format!(
                "default_type application/json;\n{more}\nreturn 200 '{{\"m.server\":\"matrix.s20.example:443\"}}';"
            ));
            },
            finds: &[("wk.server.cache", "Cache-Control: public, max-age=3600")],
            verdict: "degraded",
            go: Good("unseen"),
            rust: Good("unseen"),
        },
        Case {
            name: "another delegation by IPv6 than by IPv4",
            build: |site| {
                let mut old = site.apex.clone();
                old.on = site.apex.on.split_off(1);
                old.document("server", r#"{"m.server":"matrix.s21.example:8448"}"#, "");
                site.more.push(old);
                site.matrix.on.extend(site.both(2, 8448));
            },
            finds: &[("wk.server.split", "deploy the same document on every address of s21.example")],
            verdict: "fails",
            go: Good("one family"),
            rust: Good("split-brain warning"),
        },
        Case {
            name: "no delegation by IPv6",
            build: |site| {
                let mut old = site.apex.clone();
                old.on = site.apex.on.split_off(1);
                old.remove(SERVER);
                site.more.push(old);
            },
            finds: &[("wk.server.split", "deploy the same document on every address of s22.example")],
            verdict: "fails",
            go: Good("one family"),
            rust: Good("split-brain warning"),
        },
        Case {
            name: "plain HTTP on port 8448 next to the delegation",
            build: |site| {
                site.without("matrix", "A");
                site.without("matrix", "AAAA");
                site.at("matrix", 1);
                site.apex.files = site.leaf(&[&site.name, &site.host("matrix")]);
                let pass = site.pass_text();
                site.apex.location(MATRIX, &pass);
                site.matrix.on.clear();
                site.fallback();
                site.more[0].listen = String::new();
            },
            finds: &[("wk.fallback8448", "serve federation there with a certificate for s23.example")],
            verdict: "degraded",
            go: Good("unseen"),
            rust: Good("unseen"),
        },
        Case {
            name: "CAA records that forbid the CA in use",
            build: |site| {
                site.certify(|leaf| leaf.presenting(Present::FamousIntermediate));
                site.record("matrix", "CAA", "0 issue \"digicert.com\"");
            },
            finds: &[("dns.caa", "letsencrypt.org")],
            verdict: "degraded",
            go: Good("unseen"),
            rust: Good("unseen"),
        },
    ];
