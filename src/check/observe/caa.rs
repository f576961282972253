//! CAA records of the names that certificates were presented for.

use super::federation::Connection;
use super::well_known::Visit;
use crate::check::discovery::{Plan, Target};
use crate::check::network::Network;
use crate::dns::{Answer, CaaSet};
use crate::matrix::Host;
use futures_util::future::join_all;

/// The records that count for a certificate that is in use.
#[derive(Clone, Debug)]
pub struct CaaSeen {
    /// The name in the certificate, without `*.`.
    pub name: String,
    /// Whether it stands there with `*.`.
    pub wildcard: bool,
    /// Who issued the certificate: the distinguished name as text.
    pub issuer: String,
    /// The records.
    pub answer: Answer<CaaSet>,
}

/// Asks about the certificate of the federation endpoint and that of the delegation's host.
pub(super) async fn look(
    network: &Network,
    plan: &Plan,
    connections: &[Connection],
    well_known: (&Host, &[Visit]),
) -> Vec<CaaSeen> {
    if !network.resolver.has_name_server() {
        return Vec::new();
    }
    let federation = connections.iter().find_map(|seen| seen.handshake()?.chain.leaf());
    let (host, visits) = well_known;
    let first = visits.iter().filter_map(|visit| visit.hops.first());
    let document = first.filter_map(|hop| hop.fetched.tls.as_ref()?.chain.leaf()).next();
    // Where an override leads, DNS is not asked.
    let federation = federation.filter(|_| !plan.targets.iter().any(|target| network.route(target).overridden));
    let document = document.filter(|_| !network.route(&Target { host: host.clone(), port: 443 }).overridden);
    let mut names: Vec<(String, bool, String)> = Vec::new();
    for (host, leaf) in [(&plan.certificate_name, federation), (host, document)] {
        let Some(leaf) = leaf else { continue };
        let found = host.dns().and_then(|host| certified(&leaf.names, host));
        let found = found.map(|(name, wildcard)| (name, wildcard, leaf.issuer.clone()));
        names.extend(found.filter(|found| !names.contains(found)));
    }
    let answers = join_all(names.iter().map(|(name, ..)| network.resolver.caa(name))).await;
    let seen = names.into_iter().zip(answers);
    seen.map(|((name, wildcard, issuer), answer)| CaaSeen { name, wildcard, issuer, answer }).collect()
}

/// The one of `names` in a certificate that covers `host`, and whether it is a wildcard.
fn certified(names: &[String], host: &str) -> Option<(String, bool)> {
    let parent = host.split_once('.').map(|(_, parent)| parent);
    let covers = |name: &String| {
        let wild = name.strip_prefix("*.").is_some_and(|base| parent.is_some_and(|p| p.eq_ignore_ascii_case(base)));
        wild || name.eq_ignore_ascii_case(host)
    };
    let names: Vec<_> = names.iter().filter(|name| covers(name)).collect();
    // Its own name counts first: it is the one that will be asked for again.
    let name = names.iter().find(|name| !name.starts_with("*.")).or(names.first())?;
    Some(match name.strip_prefix("*.") {
        Some(base) => (base.to_owned(), true),
        None => ((**name).clone(), false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_counts() {
        let table = [
            ("m.ex.org", "m.ex.org"),
            ("M.ex.org *.ex.org", "M.ex.org"),
            ("*.ex.org m.ex.org", "m.ex.org"),
            ("ex.org *.Ex.org", "*.Ex.org"),
            ("ex.org *.m.ex.org", ""),
            ("other.org", ""),
        ];
        for (names, expected) in table {
            let names: Vec<_> = names.split(' ').map(str::to_owned).collect();
            let found = certified(&names, "m.ex.org");
            let found = found.map(|(name, wildcard)| if wildcard { format!("*.{name}") } else { name });
            assert_eq!(found.unwrap_or_default(), expected, "{names:?}");
        }
    }
}
