//! Layouts in which nothing is wrong.

use std::time::Duration;

use super::authority::{DAY, Leaf};
use super::homeserver::Homeserver;
use super::lab;
use super::site::Site;
use super::{Bad, Case, Good};

#[test]
fn healthy_layouts() {
    lab::run(module_path!(), "healthy_layouts", CASES);
}

/// Prints how long the check of a healthy server takes whose every answer comes at once.
#[test]
fn a_check_of_a_healthy_server_is_quick() {
    lab::time(module_path!(), "a_check_of_a_healthy_server_is_quick", &CASES[..1], Duration::from_secs(10));
}

const SUPPORT: &str =
    "[well_known]\nsupport = { contacts = [{ role = \"m.role.admin\", matrix_id = \"@admin:s.example\" }] }";

/// vestibule serves all there is: the documents, and the homeserver on both ports.
fn all_by_vestibule(site: &mut Site<'_>, more: &str) {
    site.apex.on.clear();
    site.without("", "A");
    site.without("", "AAAA");
    site.at("", 2);
    site.matrix.files = site.leaf(&[&site.name, &site.host("matrix")]);
    site.vestibule(&format!("{more}\n{SUPPORT}"));
}

const CASES: &[Case] = &[
    Case {
        name: "delegation with a port",
        build: |_| {},
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "no delegation",
        build: |site| site.undelegated(),
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    // The rule's own definition: without a port peers make two more lookups and end on 8448.
    Case {
        name: "delegation without a port",
        build: |site| {
            site.delegate("matrix.s3.example");
            site.matrix.on.extend(site.both(2, 8448));
        },
        finds: &[("wk.server.port", "write \"m.server\": \"matrix.s3.example:443\"")],
        verdict: "degraded",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "both SRV names, equal",
        build: |site| {
            site.undelegated();
            let target = site.name.clone();
            site.srv("_matrix-fed._tcp", 8448, &target);
            site.srv("_matrix._tcp", 8448, &target);
        },
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "an IPv4 address as server name",
        build: |site| {
            let name = site.v4(2).to_string();
            name.clone_into(&mut site.asked);
            site.homeserver.call_itself(&name);
            site.matrix.files = site.leaf(&[&name]);
            site.matrix.on = site.both(2, 8448);
        },
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "an IPv6 address as server name",
        build: |site| {
            let address = site.v6(2).to_string();
            site.asked = format!("[{address}]");
            site.homeserver.call_itself(&site.asked);
            site.matrix.files = site.leaf(&[&address]);
            site.matrix.on = site.both(2, 8448);
        },
        finds: &[],
        verdict: "federates",
        go: Bad("literal without port"),
        rust: Good("all"),
    },
    // The rule's own definition: most of the network has no IPv6.
    Case {
        name: "IPv6 only",
        build: |site| {
            site.without("", "A");
            site.without("matrix", "A");
        },
        finds: &[("dns.family", "add the missing record for matrix.s7.example")],
        verdict: "degraded",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "an explicit port in the server name",
        build: |site| {
            site.undelegated();
            site.asked = format!("{}:8448", site.name);
            site.homeserver.call_itself(&site.asked);
        },
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "several addresses, certificates of two renewals",
        build: |site| {
            site.record("matrix", "A", site.v4(3));
            site.at("matrix", 4);
            let mut renewed = site.matrix.clone();
            renewed.on = site.both(4, 443);
            renewed.files = site.ca.issue(&Leaf::of(&[&site.host("matrix")]).life(-DAY, 89 * DAY));
            site.matrix.on.push((site.v4(3), 443).into());
            site.more.push(renewed);
        },
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "vestibule, apex elsewhere",
        build: |site| site.vestibule("apex = \"elsewhere\""),
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "vestibule, all on one address",
        build: |site| all_by_vestibule(site, ""),
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "vestibule, workers",
        build: |site| {
            let worker = Homeserver::start(&site.name);
            let pool = format!(
                "[[upstream]]\nname = \"readers\"\nendpoints = [\"http://{}\"]\nserves = [\"federation_reader\", \"client_reader\"]",
                worker.address()
            );
            site.keep.push(Box::new(worker));
            all_by_vestibule(site, &pool);
        },
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "vestibule, Matrix Authentication Service",
        build: |site| {
            let mas = Homeserver::start(&site.name);
            let table = format!("[mas]\nurl = \"http://{}\"", mas.address());
            site.keep.push(Box::new(mas));
            all_by_vestibule(site, &table);
        },
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
];
