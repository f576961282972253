//! Names, DNS, and SRV records.

use std::net::Ipv4Addr;

use super::lab;
use super::{Bad, Case, Good};
use crate::support::bind::Bind;

#[test]
fn names_and_dns() {
    lab::run(module_path!(), "names_and_dns", CASES);
}

const CASES: &[Case] = &[
    Case {
        name: "a scheme in the server name",
        build: |site| site.asked = format!("https://{}", site.name),
        finds: &[("name.grammar", "write the bare name, such as example.com")],
        verdict: "fails",
        go: Bad("grammar"),
        rust: Bad("grammar"),
    },
    Case {
        name: "an underscore in the server name",
        build: |site| site.asked = format!("my_server.{}", site.name),
        finds: &[("name.grammar", "no underscore")],
        verdict: "fails",
        go: Bad("grammar"),
        rust: Bad("grammar"),
    },
    Case {
        name: "upper case in the server name",
        build: |site| site.rename(&site.name.to_uppercase()),
        finds: &[("name.case", "use lower case only")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Bad("lower-cases"),
    },
    Case {
        name: "a server name of 238 characters",
        build: |site| {
            let label = "a".repeat(56);
            site.rename(&format!("{label}.{label}.{label}.{label}.{}", site.name));
        },
        finds: &[("name.length", "at most 230 characters")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "the delegated host has no address",
        build: |site| {
            site.without("matrix", "A");
            site.without("matrix", "AAAA");
        },
        finds: &[
            ("dns.resolve", "add an A and an AAAA record for matrix.s5.example"),
            ("wk.client.base_url", "to the URL of the client API"),
        ],
        verdict: "fails",
        go: Bad("addresses"),
        rust: Bad("addresses"),
    },
    Case {
        name: "the federation host has AAAA records only",
        build: |site| site.without("matrix", "A"),
        finds: &[("dns.family", "add the missing record for matrix.s6.example")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("any address"),
    },
    Case {
        name: "the federation host lacks the AAAA of the apex",
        build: |site| site.without("matrix", "AAAA"),
        finds: &[("dns.family", "add the missing record for matrix.s7.example")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "the apex lacks the AAAA of the federation host",
        build: |site| site.without("", "AAAA"),
        finds: &[("dns.family", "add the missing record for")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
    Case {
        name: "a loopback address in DNS, of a split horizon",
        build: |site| {
            site.without("matrix", "A");
            site.record("matrix", "A", "127.0.0.1");
            site.matrix.on.push(([127, 0, 0, 1], 443).into());
        },
        finds: &[("dns.public", "publish the public address of matrix.s9.example in DNS")],
        verdict: "fails",
        go: Bad("every address"),
        rust: Good("any address"),
    },
    Case {
        name: "a unique local AAAA record left over",
        build: |site| {
            site.without("matrix", "AAAA");
            site.record("matrix", "AAAA", "fd12:3456:789a::2");
        },
        finds: &[("dns.public", "publish the public address of matrix.s10.example in DNS")],
        verdict: "fails",
        go: Bad("every address"),
        rust: Good("any address"),
    },
    Case {
        name: "the name servers fail for the delegated host",
        build: |site| {
            site.broken.push("broken.s11.example".to_owned());
            site.delegate("matrix.broken.s11.example:443");
        },
        finds: &[
            ("dns.resolve", "add an A and an AAAA record for matrix.broken.s11.example"),
            ("dns.timeout", "`dig +trace matrix.broken.s11.example`"),
        ],
        verdict: "fails",
        go: Bad("addresses"),
        rust: Bad("addresses"),
    },
    Case {
        name: "SERVFAIL for SRV, no delegation",
        build: |site| {
            site.undelegated();
            site.broken.push("_tcp.s12.example".to_owned());
        },
        finds: &[("dns.timeout", "`dig +cd s12.example`")],
        verdict: "degraded",
        go: Bad("SRV error"),
        rust: Bad("SRV error"),
    },
    Case {
        name: "SRV by its deprecated name only",
        build: |site| {
            site.undelegated();
            let target = site.name.clone();
            site.srv("_matrix._tcp", 8448, &target);
        },
        finds: &[("dns.srv.legacy", "add the same record as _matrix-fed._tcp.s13.example")],
        verdict: "degraded",
        go: Good("looks up only it"),
        rust: Good("merges both"),
    },
    Case {
        name: "the two SRV names lead to different ports",
        build: |site| {
            site.undelegated();
            let target = site.name.clone();
            site.matrix.on.extend(site.both(1, 8449));
            site.srv("_matrix-fed._tcp", 8448, &target);
            site.srv("_matrix._tcp", 8449, &target);
        },
        finds: &[("dns.srv.conflict", "make _matrix-fed._tcp.s14.example and _matrix._tcp.s14.example equal")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("merges both"),
    },
    Case {
        name: "an alias as SRV target",
        build: |site| {
            site.undelegated();
            site.record("alias", "CNAME", "s15.example.");
            site.srv("_matrix-fed._tcp", 8448, "alias.s15.example");
        },
        finds: &[("dns.srv.cname", "point the SRV record at the canonical name")],
        verdict: "fails",
        go: Good("looks up the old"),
        rust: Bad("SRVPointsToCNAME"),
    },
    Case {
        name: "an SRV record that says there is no service",
        build: |site| {
            site.undelegated();
            site.record("_matrix-fed._tcp", "SRV", "0 0 0 .");
        },
        finds: &[("dns.srv.dot", "delete the record _matrix-fed._tcp.s16.example, or give it a real target")],
        verdict: "fails",
        go: Bad("version"),
        rust: Bad("addresses"),
    },
    Case {
        name: "an SRV target without addresses",
        build: |site| {
            site.undelegated();
            site.srv("_matrix-fed._tcp", 8448, "gone.s17.example");
        },
        finds: &[("dns.srv.target", "give gone.s17.example an A or AAAA record, or correct the SRV record")],
        verdict: "fails",
        go: Bad("version"),
        rust: Bad("addresses"),
    },
    Case {
        name: "a resolver that finds the signatures of the zone wrong",
        build: |site| {
            site.at("secure", 2);
            site.matrix.files = site.leaf(&[&site.host("matrix"), &site.host("secure")]);
            site.delegate("secure.s18.example:443");
            // Nobody has the key that it trusts, so nothing below that name is to be believed.
            let digest = "00".repeat(32);
            let config = format!(
                "view validating {{ recursion yes; dnssec-validation yes; forward only; forwarders {{ 127.0.0.1; }}; \
                 trust-anchors {{ \"secure.s18.example.\" static-ds 12345 13 2 \"{digest}\"; }}; }};"
            );
            let address = Ipv4Addr::new(127, 0, 0, 2);
            site.keep.push(Box::new(Bind::start(address.into(), "", &config, &[])));
            site.resolver = (address, 53).into();
        },
        finds: &[
            ("dns.dnssec", "see what is wrong: `delv secure.s18.example`"),
            ("dns.resolve", "add an A and an AAAA record for secure.s18.example"),
        ],
        verdict: "fails",
        go: Bad("addresses"),
        rust: Bad("addresses"),
    },
];
