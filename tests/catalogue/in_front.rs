//! What stands in front of a homeserver and means well.

use super::lab;
use super::site::{MATRIX, Site};
use super::{Bad, Case, Good};

#[test]
fn in_front_of_the_homeserver() {
    lab::run(module_path!(), "in_front_of_the_homeserver", CASES);
}

/// Adds directives to what forwards.
fn also(site: &mut Site<'_>, directives: &str) {
    let pass = format!("{}\n{directives}", site.pass_text());
    site.matrix.location(MATRIX, &pass);
}

const CASES: &[Case] = &[
    Case {
        name: "a path after the port in proxy_pass",
        build: |site| {
            site.matrix.remove(MATRIX);
            let pass = site.pass_text();
            let target = format!("proxy_pass http://{}", site.homeserver.address());
            site.matrix.location("/_matrix/", &pass.replace(&target, &format!("{target}/_matrix/")));
        },
        finds: &[
            ("uri.encslash", "nginx: `proxy_pass http://127.0.0.1:8008;` with nothing after the port"),
            ("uri.dblslash", "nginx `merge_slashes off;`"),
            ("uri.dotseg", "nginx nothing after the port in proxy_pass"),
        ],
        verdict: "fails",
        go: Good("path unseen"),
        rust: Good("path unseen"),
    },
    Case {
        name: "a firewall that refuses %2F",
        build: |site| site.matrix.directives.push_str("\nif ($request_uri ~* \"%2f\") { return 403; }"),
        finds: &[("uri.encslash", "Apache: `AllowEncodedSlashes NoDecode`")],
        verdict: "fails",
        go: Good("path unseen"),
        rust: Good("path unseen"),
    },
    Case {
        name: "a firewall that refuses %23",
        build: |site| site.matrix.directives.push_str("\nif ($request_uri ~* \"%23\") { return 400; }"),
        finds: &[("uri.chars", "allowEncodedHash")],
        verdict: "fails",
        go: Good("path unseen"),
        rust: Good("path unseen"),
    },
    Case {
        name: "HAProxy merges slashes",
        build: |site| {
            site.haproxy(
                "    http-request normalize-uri path-merge-slashes\n    use_backend b4 if { path_beg /_matrix }",
            )
        },
        finds: &[("uri.dblslash", "HAProxy no `normalize-uri path-merge-slashes`")],
        verdict: "degraded",
        go: Good("path unseen"),
        rust: Good("path unseen"),
    },
    Case {
        name: "HAProxy resolves dot segments",
        build: |site| {
            site.haproxy(
                "    http-request normalize-uri path-strip-dotdot\n    use_backend b5 if { path_beg /_matrix }",
            )
        },
        finds: &[("uri.dotseg", "HAProxy no `normalize-uri path-strip-dotdot`")],
        verdict: "degraded",
        go: Good("path unseen"),
        rust: Good("path unseen"),
    },
    Case {
        name: "the limit of 1 MB that nginx brings along",
        build: |site| {
            let pass = site.pass_text().replace("client_max_body_size 50M;", "");
            site.matrix.location(MATRIX, &pass);
        },
        finds: &[("body.limit", "nginx `client_max_body_size 50m;`"), ("body.media", "client_max_body_size 50m;")],
        verdict: "fails",
        go: Good("no bodies"),
        rust: Good("no bodies"),
    },
    Case {
        name: "a lower limit for media alone",
        build: |site| {
            let pass = site.pass_text().replace("50M", "1M");
            site.matrix.location("^~ /_matrix/media/", &pass);
        },
        finds: &[("body.media", "nginx `client_max_body_size 50m;`")],
        verdict: "degraded",
        go: Good("no bodies"),
        rust: Good("no bodies"),
    },
    Case {
        name: "only GET and POST are let through",
        build: |site| also(site, "limit_except GET POST OPTIONS { deny all; }"),
        finds: &[("waf", "exempt /_matrix/* and /.well-known/matrix/*")],
        verdict: "fails",
        go: Good("GET only"),
        rust: Good("GET only"),
    },
    Case {
        name: "Go's and Synapse's agents are refused at the apex",
        build: |site| {
            site.apex.directives.push_str("\nif ($http_user_agent ~* \"go-http-client|synapse\") { return 403; }");
        },
        finds: &[("wk.server.bot", "firewalls that look at the User-Agent")],
        verdict: "degraded",
        go: Bad("its own agent"),
        rust: Good("another agent"),
    },
    Case {
        name: "Go's and Synapse's agents are refused",
        build: |site| {
            site.matrix.directives.push_str("\nif ($http_user_agent ~* \"go-http-client|synapse\") { return 403; }");
        },
        finds: &[("waf", "exempt /_matrix/* and /.well-known/matrix/*")],
        verdict: "fails",
        go: Bad("its own agent"),
        rust: Good("another agent"),
    },
    Case {
        name: "a challenge page for the keys",
        build: |site| {
            let page = "add_header cf-mitigated challenge always;\ndefault_type text/html;\nreturn 403 '<p>Just a moment...</p>';";
            site.matrix.location("^~ /_matrix/key/", page);
        },
        finds: &[("fed.keys", "forward /_matrix/"), ("waf", "Cloudflare: a skip rule")],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "the client API without CORS",
        build: |site| also(site, "proxy_hide_header Access-Control-Allow-Origin;"),
        finds: &[("cors.cs", "leave the homeserver's header alone")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "CORS of the homeserver and of nginx",
        build: |site| also(site, "add_header Access-Control-Allow-Origin * always;"),
        finds: &[("cors.dup", "Access-Control-Allow-Origin")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("its UI only"),
    },
    Case {
        name: "OPTIONS is refused",
        build: |site| site.matrix.directives.push_str("\nif ($request_method = OPTIONS) { return 405; }"),
        finds: &[("cors.preflight", "forward OPTIONS to the homeserver")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "everything is forwarded",
        build: |site| {
            site.matrix.remove(MATRIX);
            let pass = site.pass_text();
            site.matrix.location("/", &pass);
        },
        finds: &[
            ("expose.admin", "nginx `location ^~ /_synapse/admin { return 403; }`"),
            ("expose.metrics", "nginx `location ^~ /_synapse/metrics { return 403; }`"),
            ("expose.replication", "nginx `location ^~ /_synapse/replication { return 403; }`"),
            ("expose.mas", "nginx `location ^~ /_synapse/mas { return 403; }`"),
        ],
        verdict: "fails",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "a virtual host that wants the port in Host",
        build: |site| site.matrix.directives.push_str("\nif ($http_host ~ \"^[^:]+$\") { return 421; }"),
        finds: &[("fed.host", "match the name alone"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Good("Host with port"),
        rust: Bad("Host without port"),
    },
    Case {
        name: "HTTP/2 leads to another place",
        build: |site| site.matrix.directives.push_str("\nif ($server_protocol = HTTP/2.0) { return 404; }"),
        finds: &[("fed.h2", "or stop offering HTTP/2: nginx `http2 off;`")],
        verdict: "degraded",
        go: Good("HTTP/1.1"),
        rust: Bad("offers h2"),
    },
    Case {
        name: "a login page before unsigned requests",
        build: |site| site.matrix.location("^~ /_matrix/federation/v1/query/", "return 302 /login;"),
        finds: &[("fed.unsigned", "without logins, rewrites or error pages")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "a retired key without its date",
        build: |site| site.homeserver.publish(super::homeserver::KeyFault::Undated),
        finds: &[("fed.keys.old", "old_signing_keys")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
];
