//! Certificates and TLS.

use super::authority::{DAY, Leaf, Present};
use super::lab;
use super::site::SUITES;
use super::{Bad, Case, Good};

#[test]
fn certificates() {
    lab::run(module_path!(), "certificates", CASES);
}

const CASES: &[Case] = &[
    Case {
        name: "cert.pem where fullchain.pem belongs",
        build: |site| site.certify(|leaf| leaf.presenting(Present::LeafOnly)),
        finds: &[("tls.chain", "serve the full chain: the file fullchain.pem, not cert.pem")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "the certificate of the apex on the delegated host",
        build: |site| site.matrix.files = site.apex.files.clone(),
        finds: &[("tls.name", "covers matrix.s2.example (a wildcard covers one label only)")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "a wildcard that does not cover the apex",
        build: |site| {
            site.undelegated();
            site.matrix.files = site.leaf(&[&format!("*.{}", site.name)]);
        },
        finds: &[("tls.name", "covers s3.example (a wildcard covers one label only)")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "the SRV target's name in the certificate",
        build: |site| {
            site.undelegated();
            site.at("matrix", 2);
            site.matrix.on = site.both(2, 8448);
            site.certify(|leaf| leaf);
            site.srv("_matrix-fed._tcp", 8448, "matrix.s4.example");
        },
        finds: &[("tls.name", "reissue the certificate so that it covers s4.example")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "a host name's certificate for an IP literal",
        build: |site| {
            let name = site.v4(2).to_string();
            name.clone_into(&mut site.asked);
            site.homeserver.call_itself(&name);
            site.matrix.on = site.both(2, 8448);
        },
        finds: &[("tls.name", "reissue the certificate so that it covers 46.20.5.2")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "a common name and no subjectAltName",
        build: |site| site.certify(Leaf::common_name_only),
        finds: &[("tls.cnonly", "reissue the certificate with a subjectAltName for matrix.s6.example")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "a self-signed certificate",
        build: |site| site.certify(|leaf| leaf.presenting(Present::SelfSigned)),
        finds: &[("tls.selfsigned", "get a certificate for matrix.s7.example from a public CA by ACME")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "intermediates in the wrong order",
        build: |site| site.certify(|leaf| leaf.presenting(Present::OutOfOrder)),
        finds: &[("tls.order", "concatenate the file again")],
        verdict: "degraded",
        go: Good("any order"),
        rust: Good("any order"),
    },
    Case {
        name: "an expired certificate",
        build: |site| site.certify(|leaf| leaf.life(-91 * DAY, -DAY)),
        finds: &[("tls.expired", "renew the certificate for matrix.s9.example and reload the server")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "a certificate of tomorrow",
        build: |site| site.certify(|leaf| leaf.life(DAY, 91 * DAY)),
        finds: &[("tls.notyet", "`timedatectl`")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "an expired intermediate",
        build: |site| site.certify(|leaf| leaf.presenting(Present::StaleIntermediate)),
        finds: &[("tls.expired", "renew the certificate for")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "five days left of ninety",
        build: |site| site.certify(|leaf| leaf.life(-85 * DAY, 5 * DAY)),
        finds: &[("tls.expiring", "check the renewal job for matrix.s12.example")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("an alert only"),
    },
    Case {
        name: "expired, and of another name",
        build: |site| {
            let leaf = Leaf::of(&["old.s13.example"]).life(-91 * DAY, -DAY);
            site.matrix.files = site.ca.issue(&leaf);
        },
        finds: &[("tls.expired", "renew the certificate"), ("tls.name", "covers matrix.s13.example")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "TLS 1.2 alone",
        build: |site| site.matrix.directives = format!("ssl_protocols TLSv1.2;\n{SUITES}"),
        finds: &[("tls.v13", "enable TLS 1.3 next to 1.2")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("cannot be false"),
    },
    Case {
        name: "TLS 1.3 alone",
        build: |site| site.matrix.directives = "ssl_protocols TLSv1.3;".to_owned(),
        finds: &[("tls.v12", "enable TLS 1.2 next to 1.3")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "TLS 1.0 and 1.1 alone",
        build: |site| {
            site.matrix.directives = "ssl_protocols TLSv1 TLSv1.1;\nssl_ciphers DEFAULT@SECLEVEL=0;".to_owned();
        },
        finds: &[
            ("tls.handshake", "`openssl s_client -connect 46.20.16.2:443 -servername matrix.s16.example`"),
            ("tls.legacy", "nginx `ssl_protocols TLSv1.2 TLSv1.3;`"),
            ("wk.client.versions", "curl -i"),
        ],
        verdict: "fails",
        go: Bad("connection"),
        rust: Bad("tls"),
    },
    Case {
        name: "plain HTTP on the federation port",
        build: |site| site.matrix.listen = String::new(),
        finds: &[("tls.handshake", "`openssl s_client -connect"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("connection"),
        rust: Bad("tls"),
    },
    Case {
        name: "a server that does not know the name it is asked for",
        build: |site| site.matrix.directives.push_str("\nssl_reject_handshake on;"),
        finds: &[("tls.handshake", "-servername matrix.s18.example`"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Bad("connection"),
        rust: Bad("tls"),
    },
    Case {
        name: "an old certificate of other names on IPv6",
        build: |site| {
            let mut old = site.matrix.clone();
            old.on = site.matrix.on.split_off(1);
            old.files = site.leaf(&["matrix.s19.example", "chat.s19.example"]);
            site.more.push(old);
        },
        finds: &[("tls.same", "deploy the renewed certificate to every machine behind matrix.s19.example")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "port 8448 closed, no delegation",
        build: |site| {
            site.undelegated();
            site.matrix.on.clear();
        },
        finds: &[("tcp.connect", "let the server listen on 46.20.20.1:8448, or remove this address from DNS")],
        verdict: "fails",
        go: Bad("addresses"),
        rust: Bad("addresses"),
    },
    Case {
        name: "a second A record of a machine long gone",
        build: |site| site.record("matrix", "A", site.v4(9)),
        finds: &[("tcp.connect", "listen on 46.20.21.9:443, or remove this address from DNS")],
        verdict: "fails",
        go: Bad("every address"),
        rust: Good("any address"),
    },
    Case {
        name: "TLS 1.0 and 1.1 next to the others",
        build: |site| {
            site.matrix.directives =
                "ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;\nssl_ciphers DEFAULT@SECLEVEL=0;".to_owned();
        },
        finds: &[("tls.legacy", "nginx `ssl_protocols TLSv1.2 TLSv1.3;`")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "suites without encryption or a certificate",
        build: |site| {
            site.matrix.directives =
                "ssl_protocols TLSv1.2 TLSv1.3;\nssl_ciphers ALL:COMPLEMENTOFALL:@SECLEVEL=0;".to_owned();
        },
        finds: &[("tls.weak", "nginx `ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;`")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "a key on P-521",
        build: |site| site.certify(Leaf::p521),
        finds: &[("tls.key", "--key-type ecdsa --elliptic-curve secp256r1")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "a certificate signed over SHA-1",
        build: |site| {
            let host = site.host("matrix");
            site.matrix.files = site.ca.issue_over_sha1(&host);
            site.matrix.directives =
                "ssl_protocols TLSv1.2 TLSv1.3;\nssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20:@SECLEVEL=0;".to_owned();
        },
        finds: &[("tls.sig", "`-sha256`")],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "must-staple without a staple",
        build: |site| site.certify(Leaf::must_staple),
        finds: &[("tls.muststaple", "without must-staple")],
        verdict: "fails",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "whoever asks for HTTP/1.1 by name is turned away",
        build: |site| {
            let on: String = site.matrix.on.iter().map(|on| format!("    bind {on}\n")).collect();
            site.matrix.on = site.both(5, 443);
            let to = site.matrix.on[0];
            site.sections.push(format!(
                "listen s27\n    mode tcp\n{on}    tcp-request inspect-delay 5s\n    \
                 tcp-request content reject if {{ req.ssl_alpn -m str http/1.1 }} !{{ req.ssl_alpn -m sub h2 }}\n    \
                 tcp-request content accept if {{ req.ssl_hello_type 1 }}\n    server s {to}\n"
            ));
        },
        finds: &[("tls.alpn", "let the server accept http/1.1"), ("wk.client.versions", "curl -i")],
        verdict: "fails",
        go: Good("no ALPN"),
        rust: Good("offers h2 too"),
    },
];
