//! What the federation endpoints answer.

use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use super::homeserver::{Homeserver, KeyFault, answer, page};
use super::lab;
use super::site::{MATRIX, pass_to};
use super::{Bad, Case, Good};
use crate::support::origin::Received;

#[test]
fn answers_of_the_homeserver() {
    lab::run(module_path!(), "answers_of_the_homeserver", CASES);
}

/// Whether the version is asked for as peers do.
fn asks_version(request: &Received) -> bool {
    request.request_line().starts_with("GET /_matrix/federation/v1/version HTTP")
}

const CASES: &[Case] = &[
    Case {
        name: "the default host of nginx answers",
        build: |site| {
            site.matrix.remove(MATRIX);
            site.matrix.location("/", "return 404;");
        },
        finds: &[
            ("fed.version", "forward /_matrix/ to the homeserver"),
            ("fed.keys", "forward /_matrix/ to the homeserver"),
            ("fed.404", "leave errors to the homeserver"),
            ("wk.client.versions", "`curl -i https://matrix.s1.example/_matrix/client/versions`"),
        ],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "only the client API is forwarded",
        build: |site| {
            site.matrix.remove(MATRIX);
            let pass = site.pass_text();
            site.matrix.location("/_matrix/client/", &pass);
        },
        finds: &[
            ("fed.version", "see what answers with"),
            ("fed.keys", "curl -ik"),
            ("body.media", "client_max_body_size 50m"),
            ("fed.404", "forward all of /_matrix/"),
        ],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "/_matrix/key is not forwarded",
        build: |site| site.matrix.location("^~ /_matrix/key/", "return 404;"),
        finds: &[("fed.keys", "https://matrix.s3.example:443/_matrix/key/v2/server`")],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "the keys are behind a redirect",
        build: |site| site.matrix.location("= /_matrix/key/v2/server", "return 301 /_matrix/key/v2/server/;"),
        finds: &[("fed.keys", "forward /_matrix/ to the homeserver")],
        verdict: "fails",
        go: Good("follows"),
        rust: Bad("keys"),
    },
    Case {
        name: "the keys as text/plain",
        build: |site| {
            let pass =
                format!("{}\nproxy_hide_header Content-Type;\nadd_header Content-Type text/plain;", site.pass_text());
            site.matrix.location("^~ /_matrix/key/", &pass);
        },
        finds: &[("fed.keys", "forward /_matrix/ to the homeserver")],
        verdict: "fails",
        go: Good("unseen"),
        rust: Bad("content type"),
    },
    Case {
        name: "the homeserver is down",
        build: |site| {
            let pass = pass_to(([127, 0, 0, 1], 9).into());
            site.matrix.location(MATRIX, &pass);
        },
        finds: &[
            ("fed.version", "see what answers"),
            ("fed.keys", "see what answers"),
            ("fed.404", "forward all of /_matrix/"),
            ("wk.client.versions", "curl -i"),
        ],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "every request is sent to https once more",
        build: |site| {
            site.matrix.remove(MATRIX);
            site.matrix.location("/", "return 301 https://$host$request_uri;");
        },
        finds: &[
            ("fed.version", "forward /_matrix/"),
            ("fed.keys", "forward /_matrix/"),
            ("fed.404", "forward all of /_matrix/"),
            ("wk.client.versions", "curl -i"),
        ],
        verdict: "fails",
        go: Bad("redirects"),
        rust: Bad("keys"),
    },
    Case {
        name: "a password in front of everything",
        build: |site| {
            let file = site.file("htpasswd", "a:{PLAIN}b\n");
            site.matrix.directives.push_str(&format!("\nauth_basic closed;\nauth_basic_user_file {file};"));
        },
        finds: &[
            ("fed.version", "forward /_matrix/"),
            ("fed.keys", "forward /_matrix/"),
            ("fed.404", "forward all of /_matrix/"),
            ("wk.client.versions", "curl -i"),
        ],
        verdict: "fails",
        go: Bad("keys"),
        rust: Bad("keys"),
    },
    Case {
        name: "pages of nginx in place of the homeserver's errors",
        build: |site| {
            let pass = format!("{}\nproxy_intercept_errors on;\nerror_page 404 /404.html;", site.pass_text());
            site.matrix.location(MATRIX, &pass);
            site.matrix.location("= /404.html", "internal;\nreturn 404;");
        },
        finds: &[("fed.404", "leave errors to the homeserver")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "a version reply without a server",
        build: |site| {
            site.homeserver.instead(|request| {
                asks_version(request).then(|| answer("200 OK", "application/json", "", r#"{"name":"x"}"#))
            });
        },
        finds: &[("fed.version", "forward /_matrix/ to the homeserver")],
        verdict: "fails",
        go: Bad("version"),
        rust: Bad("version"),
    },
    Case {
        name: "HTML in place of the version, with 200",
        build: |site| {
            site.homeserver.instead(|request| asks_version(request).then(|| page("200 OK", "<p>It works!</p>")));
        },
        finds: &[("fed.version", "forward /_matrix/ to the homeserver")],
        verdict: "fails",
        go: Bad("version"),
        rust: Bad("content type"),
    },
    Case {
        name: "the keys of another server name",
        build: |site| site.homeserver.call_itself("localhost"),
        finds: &[("fed.keys.name", "set server_name to s12.example in the homeserver")],
        verdict: "fails",
        go: Bad("server name"),
        rust: Bad("server name"),
    },
    Case {
        name: "the name of the host as server_name",
        build: |site| site.homeserver.call_itself(&site.host("matrix")),
        finds: &[("fed.keys.name", "set server_name to s13.example in the homeserver")],
        verdict: "fails",
        go: Bad("server name"),
        rust: Bad("server name"),
    },
    Case {
        name: "keys that have expired",
        build: |site| site.homeserver.valid_for(-3600),
        finds: &[("fed.keys.expired", "check the clock of the homeserver (`timedatectl`)")],
        verdict: "fails",
        go: Bad("valid_until_ts"),
        rust: Bad("valid_until_ts"),
    },
    Case {
        name: "keys valid for ten minutes",
        build: |site| site.homeserver.valid_for(600),
        finds: &[("fed.keys.soon", "raise key_refresh_interval in the homeserver")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("not counted"),
    },
    Case {
        name: "no ed25519 key",
        build: |site| site.homeserver.publish(KeyFault::NoEd25519),
        finds: &[("fed.keys.ed25519", "check the signing key file of the homeserver")],
        verdict: "fails",
        go: Bad("ed25519"),
        rust: Bad("ed25519"),
    },
    Case {
        name: "an ed25519 key of the wrong length",
        build: |site| site.homeserver.publish(KeyFault::ShortKey),
        finds: &[("fed.keys.ed25519", "check the signing key file of the homeserver")],
        verdict: "fails",
        go: Bad("ed25519"),
        rust: Bad("ed25519"),
    },
    Case {
        name: "a key document changed on its way",
        build: |site| site.homeserver.publish(KeyFault::Altered),
        finds: &[("fed.keys.sig", "let nothing rewrite the answer on its way")],
        verdict: "fails",
        go: Bad("signature"),
        rust: Bad("signature"),
    },
    Case {
        name: "a key document without a signature",
        build: |site| site.homeserver.publish(KeyFault::Unsigned),
        finds: &[("fed.keys.sig", "check the signing key file of the homeserver")],
        verdict: "fails",
        go: Bad("signature"),
        rust: Bad("signature"),
    },
    Case {
        name: "a fraction in the signed document",
        build: |site| site.homeserver.publish(KeyFault::Fraction),
        finds: &[("fed.keys.canonical", "upgrade the homeserver")],
        verdict: "fails",
        go: Bad("canonical JSON"),
        rust: Bad("canonical JSON"),
    },
    Case {
        name: "another homeserver on IPv6",
        build: |site| {
            let other = Homeserver::start(&site.name);
            let mut web = site.matrix.clone();
            web.on = site.matrix.on.split_off(1);
            web.location(MATRIX, &pass_to(other.address()));
            site.more.push(web);
            site.keep.push(Box::new(other));
        },
        finds: &[("fed.keys.same", "find the address that belongs to another server")],
        verdict: "fails",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "a clock an hour slow",
        build: |site| {
            site.homeserver.instead(|request| {
                // The rest comes from the stub; one late header is enough.
                asks_version(request).then(|| {
                    let body = r#"{"server":{"name":"Synapse","version":"1.157.1"}}"#;
                    answer("200 OK", "application/json", "Date: Mon, 21 Sep 2026 14:13:20 GMT\r\n", body)
                })
            });
            let pass = format!("{}\nproxy_pass_header Date;", site.pass_text());
            site.matrix.location(MATRIX, &pass);
        },
        finds: &[("time.skew", "`timedatectl set-ntp true`")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "HAProxy that compares Host with the bare name",
        build: |site| {
            let host = site.host("matrix");
            site.haproxy(&format!(
                "    acl matrix hdr(host) -i {host}\n    use_backend b23 if matrix {{ path_beg /_matrix }}"
            ));
        },
        finds: &[
            ("fed.version", "forward /_matrix/"),
            ("fed.keys", "forward /_matrix/"),
            ("fed.404", "forward all of /_matrix/"),
        ],
        verdict: "fails",
        go: Bad("Host with port"),
        rust: Good("Host without port"),
    },
    Case {
        name: "a balancer whose first machine is dead",
        build: |site| {
            let behind = site.both(5, 443);
            let to = behind[0];
            for address in std::mem::replace(&mut site.matrix.on, behind) {
                let listener = TcpListener::bind(address).expect("a free address");
                thread::spawn(move || {
                    // Whoever comes first is not served.
                    for stream in listener.incoming().map_while(Result::ok).skip(1) {
                        let server = TcpStream::connect(to).expect("nginx is there");
                        for (mut from, mut to) in [
                            (stream.try_clone().expect("a socket"), server.try_clone().expect("a socket")),
                            (server, stream),
                        ] {
                            thread::spawn(move || {
                                let _broken = std::io::copy(&mut from, &mut to);
                                let _closed = to.shutdown(Shutdown::Write);
                            });
                        }
                    }
                });
            }
        },
        finds: &[("retry", "look for a flapping backend or overload behind 46.20.24.2:443")],
        verdict: "degraded",
        go: Bad("no second try"),
        rust: Good("one retry"),
    },
];
