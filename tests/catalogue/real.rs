//! The same with Synapse behind, where what a homeserver makes of a request decides.

use super::lab;
use super::site::{MATRIX, Site, pass_to};
use super::{Case, Good};
use crate::support::synapse::Synapse;

#[test]
fn in_front_of_synapse() {
    lab::run(module_path!(), "in_front_of_synapse", CASES);
}

/// Puts Synapse in the stub's place, and gives what forwards to it.
fn synapse(site: &mut Site<'_>) -> String {
    let synapse = Synapse::start(&site.name, &site.ca.root_file());
    let pass = pass_to(synapse.address());
    site.keep.push(Box::new(synapse));
    site.matrix.location(MATRIX, &pass);
    pass
}

const CASES: &[Case] = &[
    Case {
        name: "Synapse behind nginx, by its documentation",
        build: |site| drop(synapse(site)),
        finds: &[],
        verdict: "federates",
        go: Good("all"),
        rust: Good("all"),
    },
    Case {
        name: "Synapse, and a path after the port in proxy_pass",
        build: |site| {
            let pass = synapse(site);
            site.matrix.remove(MATRIX);
            let (target, rest) = pass.split_once(';').expect("a directive");
            site.matrix.location("/_matrix/", &format!("{target}/_matrix/;{rest}"));
        },
        finds: &[
            ("uri.encslash", "with nothing after the port"),
            ("uri.dblslash", "nginx `merge_slashes off;`"),
            ("uri.dotseg", "nginx nothing after the port in proxy_pass"),
        ],
        verdict: "fails",
        go: Good("path unseen"),
        rust: Good("path unseen"),
    },
    Case {
        name: "Synapse, with everything forwarded",
        build: |site| {
            let pass = synapse(site);
            site.matrix.remove(MATRIX);
            site.matrix.location("/", &pass);
        },
        finds: &[("expose.admin", "nginx `location ^~ /_synapse/admin { return 403; }`")],
        verdict: "degraded",
        go: Good("unseen"),
        rust: Good("unseen"),
    },
];
