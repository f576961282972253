//! What public mode fails and `--private` only remarks.

use super::lab;
use super::site::Site;
use super::{Bad, Case, Good};

#[test]
fn public_and_private() {
    lab::run(module_path!(), "public_and_private", CASES);
}

/// A homeserver at a private address.
fn inside(site: &mut Site<'_>) {
    site.without("matrix", "A");
    site.record("matrix", "A", site.private_v4(2));
    site.matrix.on.push((site.private_v4(2), 443).into());
}

/// A CA that nobody else knows.
fn own_ca(site: &mut Site<'_>) {
    site.undelegated();
    site.trusted = false;
}

const CASES: &[Case] = &[
    Case {
        name: "a private address, in public",
        build: inside,
        finds: &[("dns.public", "publish the public address of matrix.s1.example in DNS, or use --private")],
        verdict: "fails",
        go: Bad("every address"),
        rust: Good("any address"),
    },
    Case {
        name: "a private address, with --private",
        build: |site| {
            inside(site);
            site.arguments.push("--private".to_owned());
        },
        finds: &[],
        verdict: "federates",
        go: Bad("every address"),
        rust: Good("any address"),
    },
    Case {
        name: "a private CA, in public",
        build: own_ca,
        finds: &[
            ("tls.untrusted", "get a certificate for s3.example from a public CA by ACME"),
            ("wk.server.tls", "get a certificate that covers s3.example"),
        ],
        verdict: "fails",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
    Case {
        name: "a private CA, with --private",
        build: |site| {
            own_ca(site);
            site.arguments.push("--private".to_owned());
        },
        finds: &[],
        verdict: "federates",
        go: Bad("certificates"),
        rust: Bad("tls"),
    },
];
