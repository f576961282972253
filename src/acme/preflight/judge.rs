//! From what was seen to findings: pure, a small function for each aspect.

use super::facts::{Facts, Lookup, NameFacts, Way};
use super::report::{Aspect, Finding, Report, Verdict};
use crate::config::Challenge;
use crate::dns::permission::{self, Asked, permits};
use crate::dns::{Addresses, CaaSet, Failure, FailureKind, Outcome};
use crate::net::listen::Role;
use crate::probe::Reach;
use std::net::IpAddr;

pub(super) fn judge(facts: &Facts<'_>) -> Report {
    let mut findings = vec![state(facts)];
    for name in &facts.names {
        findings.extend(dns(name, facts.challenges));
        for challenge in facts.challenges {
            findings.extend(reach(name, *challenge));
        }
        findings.extend(caa(name, facts));
    }
    Report { findings, challenges: facts.challenges.to_vec() }
}

fn finding(subject: impl ToString, what: Aspect, verdict: Verdict, detail: impl Into<String>) -> Finding {
    Finding {
        subject: subject.to_string(),
        what,
        verdict,
        detail: detail.into(),
        remedy: String::new(),
        rules_out: Vec::new(),
    }
}

impl Finding {
    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: remedy.into(), ..self }
    }

    fn rules_out(self, challenges: &[Challenge]) -> Self {
        Self { rules_out: challenges.to_vec(), ..self }
    }
}

fn state(facts: &Facts<'_>) -> Finding {
    match &facts.state {
        Ok(()) => finding("state_dir", Aspect::State, Verdict::Good, "state can be written and read"),
        Err(reason) => finding("state_dir", Aspect::State, Verdict::Bad, reason)
            .remedy("see df -h and ls -ld on state_dir: it needs 1 MiB of room, and this user must own it")
            .rules_out(facts.challenges),
    }
}

/// Whether the name leads anywhere.
fn dns(name: &NameFacts, challenges: &[Challenge]) -> Option<Finding> {
    let subject = &name.name;
    let found = |verdict, detail: String| Some(finding(subject, Aspect::Dns, verdict, detail));
    match &name.lookup {
        Lookup::NotNeeded | Lookup::Literal => None,
        Lookup::Dns(Outcome::Found(addresses)) => match &addresses.trouble {
            None => found(Verdict::Good, format!("{subject} is at {}", list(addresses))),
            Some(failure) => found(
                Verdict::Unknown,
                format!("{subject} is at {}, and the other family's lookup failed: {failure}", list(addresses)),
            )
            .map(|finding| finding.remedy(lookup_remedy(subject, failure))),
        },
        Lookup::Dns(Outcome::NoRecords) => {
            let none = finding(subject, Aspect::Dns, Verdict::Bad, format!("{subject} has no address in DNS"));
            let connecting: Vec<_> = challenges.iter().copied().filter(|challenge| connects(*challenge)).collect();
            let remedy = format!("add the record  {subject}. A ADDRESS  (or AAAA) with this machine's public address");
            Some(none.remedy(remedy).rules_out(&connecting))
        }
        Lookup::Dns(Outcome::Failed(failure)) => {
            found(Verdict::Unknown, format!("the addresses of {subject} cannot be looked up: {failure}"))
                .map(|finding| finding.remedy(lookup_remedy(subject, failure)))
        }
        Lookup::HostsFile(addresses, dns) => {
            let dns = match dns.as_ref() {
                Outcome::Failed(failure) => failure.to_string(),
                Outcome::NoRecords | Outcome::Found(_) => "there is no such name".to_owned(),
            };
            let detail = format!(
                "{subject} is at {} by this machine's hosts file, which a public CA does not see; DNS says: {dns}",
                list(addresses)
            );
            found(Verdict::Unknown, detail)
        }
    }
}

fn lookup_remedy(subject: impl ToString, failure: &Failure) -> String {
    match failure.kind {
        FailureKind::ServFail => {
            let subject = subject.to_string();
            format!("see dig {subject} A and dig +cd {subject} A: if only the second answers, DNSSEC is broken")
        }
        FailureKind::Timeout | FailureKind::NoNameServer | FailureKind::Other => {
            "see /etc/resolv.conf: its name servers must answer".to_owned()
        }
    }
}

fn list(addresses: &Addresses) -> String {
    addresses.all().map(|address| address.to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether a CA connects to the name for this type.
fn connects(challenge: Challenge) -> bool {
    challenge == Challenge::Http01 || challenge == Challenge::TlsAlpn01
}

/// Whether the addresses of a name lead to this process, for one challenge type.
fn reach(name: &NameFacts, challenge: Challenge) -> Option<Finding> {
    let ways: Vec<_> = name.ways.iter().filter(|way| way.challenge == challenge).collect();
    let found = |verdict, detail| finding(&name.name, Aspect::Reach, verdict, detail);
    let first = ways.first()?;
    // A CA goes to one of the addresses and takes what answers there. Only where nobody answers does
    // it try the other family.
    if let Some(way) = ways.iter().find(|way| way.certainly_other()) {
        let detail = format!("this machine's own address: {}", sentence(way));
        return Some(found(Verdict::Bad, detail).remedy(taken(way)).rules_out(&[challenge]));
    }
    if ways.iter().all(|way| way.certainly_refused()) {
        let own = if ways.len() == 1 { "address" } else { "addresses" };
        let detail = format!("this machine's own {own}: {}", sentences(&ways));
        return Some(found(Verdict::Bad, detail).remedy(unbound(first)).rules_out(&[challenge]));
    }
    let amiss: Vec<_> = ways.iter().copied().filter(|way| way.reach != Reach::Reached).collect();
    let Some(worst) = amiss.first() else {
        return Some(found(Verdict::Good, sentences(&ways)));
    };
    let detail = match amiss.len() == ways.len() {
        true => sentences(&ways),
        // The classic: an AAAA record that was forgotten.
        false => format!("not every address leads here: {}", sentences(&ways)),
    };
    Some(found(Verdict::Unknown, detail).remedy(doubt(name, worst, amiss.len() < ways.len())))
}

fn sentence(way: &Way) -> String {
    format!("port {} of {} {}", way.address.port(), way.address.ip(), way.reach)
}

fn sentences(ways: &[&Way]) -> String {
    ways.iter().map(|way| sentence(way)).collect::<Vec<_>>().join("; ")
}

/// For a port that another program has.
fn taken(way: &Way) -> String {
    let port = way.address.port();
    format!("see ss -ltnp 'sport = :{port}', stop that program, and give the port to listen.{}", way.role)
}

/// For a port that no listener has at this address.
fn unbound(way: &Way) -> String {
    let port = way.address.port();
    format!("write listen.{} = [\"[::]:{port}\"], or add {}", way.role, way.address)
}

/// For what may or may not be wrong.
fn doubt(name: &NameFacts, way: &Way, partly: bool) -> String {
    let (subject, address) = (&name.name, way.address);
    if !way.own && partly {
        let kind = record_kind(address.ip());
        return format!("if {} is not an address of this machine, remove the {kind} record of {subject}", address.ip());
    }
    match (&way.reach, way.own) {
        // Nothing to mend: it will be asked again.
        (Reach::Reached | Reach::Busy, _) => String::new(),
        (Reach::Refused, true) if !way.listened => format!(
            "no address in listen.{} has port {}: let this machine's firewall redirect the port, or {}",
            way.role,
            address.port(),
            unbound(way)
        ),
        (Reach::Other(_) | Reach::Redirected(_), true) => taken(way),
        (Reach::Refused, true) => unbound(way),
        (Reach::TimedOut | Reach::Failed(_), true) => {
            format!("see the firewall: nft list ruleset, for port {}", address.port())
        }
        (_, false) => outside(subject, way),
    }
}

fn record_kind(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "A" } else { "AAAA" }
}

/// How to look at it from where the CA is. This machine may see something else: a router need not
/// lead back to where a connection came from.
fn outside(subject: impl ToString, way: &Way) -> String {
    let subject = subject.to_string();
    match way.role {
        Role::Http => format!(
            "from another network, curl -i http://{subject}/.well-known/acme-challenge/x must answer 404 M_UNRECOGNIZED"
        ),
        _ => format!(
            "from another network, openssl s_client -connect {subject}:{} -alpn acme-tls/1 must end in alert 112 \
             (unrecognized name)",
            way.address.port()
        ),
    }
}

/// Whether the CA may issue for the name.
fn caa(name: &NameFacts, facts: &Facts<'_>) -> Option<Finding> {
    let found = |verdict, detail: String| finding(&name.name, Aspect::Caa, verdict, detail);
    Some(match name.caa.as_ref()? {
        Outcome::NoRecords => found(Verdict::Good, "no CAA record: every CA may issue".to_owned()),
        Outcome::Failed(failure) => {
            // Let's Encrypt takes a failed lookup for a refusal.
            let detail = format!("{failure}; while the CA gets no answer either, it refuses to issue");
            let remedy = match failure.kind {
                FailureKind::ServFail => format!("see dig {} CAA: its name servers must answer", name.name),
                _ => lookup_remedy(&name.name, failure),
            };
            found(Verdict::Unknown, detail).remedy(remedy)
        }
        Outcome::Found(set) => permission(name, set, facts),
    })
}

fn permission(name: &NameFacts, set: &CaaSet, facts: &Facts<'_>) -> Finding {
    let found = |verdict, detail| finding(&name.name, Aspect::Caa, verdict, detail);
    let mut forbidden: Option<(String, String)> = None;
    let mut ruled_out = Vec::new();
    let mut doubt = None;
    for challenge in facts.challenges {
        let asked = Asked {
            ca_identities: facts.ca_identities,
            wildcard: name.wildcard,
            account_uri: facts.account_uri,
            method: Some(*challenge),
        };
        match permits(set, &asked) {
            permission::Verdict::Allowed => {}
            permission::Verdict::Forbidden { by, remedy } => {
                forbidden.get_or_insert((by, remedy));
                ruled_out.push(*challenge);
            }
            permission::Verdict::Unknown(why) => doubt = Some(why),
        }
    }
    match (forbidden, doubt) {
        (Some((by, remedy)), _) => {
            let types: Vec<_> = ruled_out.iter().map(|challenge| challenge.as_str()).collect();
            let detail = format!("the CA may not issue over {}: {by}", types.join(", "));
            found(Verdict::Bad, detail).remedy(remedy).rules_out(&ruled_out)
        }
        (None, Some(why)) => found(Verdict::Unknown, why),
        (None, None) => found(Verdict::Good, format!("the CAA records of {} let the CA issue", set.owner)),
    }
}
