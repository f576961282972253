//! Rules about certificates, wherever they were presented.

use super::{Case, Presented, Rule};
use crate::check::catalogue::Code;
use crate::check::chain::{Certificate, Chain, Trust};
use crate::check::finding::{Finding, Severity};
use crate::matrix::{Host, ServerName};
use std::collections::BTreeSet;

pub(super) const RULES: &[Rule] = &[verdict, roots, order, extra, expiring, key, signature, timestamps, same];

/// Fourteen days: enough to notice and to act, whatever the lifetime.
const NOTICE: i64 = 14 * 86_400;

/// Browsers want timestamps of two logs at least, from certificates of any lifetime.
const FEW_TIMESTAMPS: usize = 2;

/// Why peers refuse `chain` for `host`, each reason with its rule. Reasons stand on their own: a
/// chain can be expired and for another name at once, but it is never both incomplete and
/// untrusted.
pub(super) fn reasons(case: &Case<'_>, chain: &Chain, host: &str) -> Vec<(Code, String)> {
    let mut reasons = Vec::new();
    match &chain.trust {
        Trust::Verified => {}
        Trust::SelfSigned => reasons.push((Code::TlsSelfSigned, "the certificate is self-signed".to_owned())),
        Trust::UnknownRoot { issuer } => {
            reasons.push((Code::TlsUntrusted, format!("issued under {issuer:?}, which is no trusted root here")));
        }
        Trust::Incomplete { issuer, .. } if case.policy.child_of_a_root(&chain.trust) => {
            reasons.push((Code::TlsUntrusted, format!("issued by {issuer:?}, which is no trusted root here")));
        }
        Trust::Incomplete { issuer, .. } => reasons.push((
            Code::TlsChain,
            format!("the certificate is issued by {issuer:?}, which was not presented and is no trusted root"),
        )),
        Trust::Refused(_) if !chain.broken_signatures.is_empty() => {
            reasons.extend(broken(chain).map(|detail| (Code::TlsSig, detail)));
        }
        Trust::Refused(why) => reasons.push((Code::TlsChain, why.clone())),
    }
    if let Some(why) = &chain.unproved {
        reasons.push(match chain.leaf().filter(|leaf| !leaf.key.is_usual()) {
            Some(leaf) => {
                (Code::TlsKey, format!("the key of {} is {}, too weak for peers: {why}", leaf.label(), leaf.key))
            }
            None => (Code::TlsHandshake, format!("the server does not prove that it has the key: {why}")),
        });
    }
    if !chain.covers_name {
        let leaf = chain.leaf();
        if leaf.is_some_and(|leaf| leaf.only_common_name()) {
            let subject = leaf.map(|leaf| leaf.subject.as_str()).unwrap_or_default();
            reasons.push((Code::TlsCnOnly, format!("there is no subjectAltName, only {subject}; {host} is needed")));
        } else {
            let names = leaf.map(|leaf| leaf.names.join(", ")).unwrap_or_default();
            reasons.push((Code::TlsName, format!("the certificate covers {names}, not {host}")));
        }
    }
    let expired = chain.expired.iter().filter_map(|index| chain.certificates.get(*index));
    reasons.extend(expired.map(|c| (Code::TlsExpired, format!("{} expired on {}", c.label(), c.not_after))));
    let not_yet = chain.not_yet.iter().filter_map(|index| chain.certificates.get(*index));
    reasons.extend(not_yet.map(|c| {
        let detail = format!("{} is not valid before {} (here it is {})", c.label(), c.not_before, case.now);
        (Code::TlsNotYet, detail)
    }));
    reasons
}

/// The certificates whose signature can be forged, each in a sentence.
fn broken(chain: &Chain) -> impl Iterator<Item = String> {
    let certificates = chain.broken_signatures.iter().filter_map(|index| chain.certificates.get(*index));
    certificates.map(|certificate| {
        let digest = certificate.signature.broken.unwrap_or_default();
        format!("{} is signed with {} ({digest})", certificate.label(), certificate.signature.name)
    })
}

/// Which step of discovery asks for the name, and for which the certificate was made instead, if
/// that can be told.
fn step(case: &Case<'_>, leaf: Option<&Certificate>) -> String {
    let Some(plan) = &case.seen.plan else { return String::new() };
    let step = format!(" (step {}: {})", plan.step, plan.step.meaning());
    let Some(leaf) = leaf else { return step };
    let fits = |host: &Host| *host != plan.certificate_name && host.dns().is_some_and(|host| leaf.names_host(host));
    let own = ServerName::parse(case.server).ok().map(|name| name.host().clone());
    if let Some(target) = plan.targets.iter().find(|target| fits(&target.host)) {
        return format!("{step}; it covers {}, but peers never ask for the target of an SRV record", target.host);
    }
    match own.filter(fits) {
        Some(own) => format!("{step}; it covers {own}, which would do if nothing were delegated"),
        None => step,
    }
}

/// The faults of the chains of federation addresses; those of the well-known host are one finding
/// of their own, wk.server.tls.
fn verdict(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in case.chains().into_iter().filter(|seen| seen.federation) {
        for (code, detail) in reasons(case, seen.chain, &seen.host.to_string()) {
            let about_name = matches!(code, Code::TlsName | Code::TlsCnOnly);
            let detail = if about_name { format!("{detail}{}", step(case, seen.chain.leaf())) } else { detail };
            let public_ca = matches!(code, Code::TlsSelfSigned | Code::TlsUntrusted);
            let finding = case.finding(code, &seen.place, detail).for_host(seen.host);
            // Whatever the rule says otherwise: for this reason peers do refuse the chain.
            findings.push(finding.at(Severity::Fail).info_if(case.policy.private && public_ca));
        }
    }
    findings
}

/// Each distinct leaf once: the same certificate on four addresses is one matter.
fn leaves<'a>(case: &'a Case<'a>) -> Vec<(Presented<'a>, &'a Certificate)> {
    let mut known = BTreeSet::new();
    let chains = case.chains().into_iter().filter_map(|seen| Some((seen.chain.leaf()?, seen)));
    chains.filter(|(leaf, _)| known.insert(leaf.sha256.as_str())).map(|(leaf, seen)| (seen, leaf)).collect()
}

/// One finding per distinct leaf that `detail` has something to say about.
fn per_leaf(case: &Case<'_>, code: Code, detail: impl Fn(&Presented<'_>) -> Option<String>) -> Vec<Finding> {
    let leaves = leaves(case).into_iter();
    leaves.filter_map(|(seen, _)| Some(case.finding(code, &seen.place, detail(&seen)?).for_host(seen.host))).collect()
}

/// Trusted by one list and not by the other. A root that only this machine knows was most likely
/// installed here by hand: then all is well here, and nowhere else.
fn roots(case: &Case<'_>) -> Vec<Finding> {
    let differs = |(seen, _): &(Presented<'_>, _)| {
        seen.chain.trust == Trust::Verified && !seen.chain.trusted_by.everywhere() && case.system_roots
    };
    let finding = |(seen, _): (Presented<'_>, _)| {
        let root = seen.chain.top().map(|top| top.issuer.as_str()).unwrap_or_default();
        let (severity, detail) = match seen.chain.trusted_by.system {
            true => (
                Severity::Fail,
                "is trusted by this machine's system and is not on Mozilla's list: peers with that list refuse the chain, as do all where nobody has installed this root",
            ),
            false => (
                Severity::Warn,
                "is on Mozilla's list and not trusted by this machine's system: peers with roots as old as those refuse the chain",
            ),
        };
        let finding = case.finding(Code::TlsRoots, &seen.place, format!("{root:?} {detail}")).for_host(seen.host);
        finding.at(severity).info_if(case.policy.private)
    };
    leaves(case).into_iter().filter(differs).map(finding).collect()
}

fn order(case: &Case<'_>) -> Vec<Finding> {
    per_leaf(case, Code::TlsOrder, |seen| {
        let order: Vec<_> = seen.chain.certificates.iter().map(|certificate| certificate.label()).collect();
        (!seen.chain.in_order).then(|| format!("presented in the order {}", order.join(" | ")))
    })
}

fn extra(case: &Case<'_>) -> Vec<Finding> {
    per_leaf(case, Code::TlsExtra, |seen| {
        let extra: Vec<_> = seen
            .chain
            .extra
            .iter()
            .filter_map(|index| seen.chain.certificates.get(*index))
            .map(|c| c.label())
            .collect();
        (!extra.is_empty()).then(|| format!("not needed: {}", extra.join(", ")))
    })
}

fn expiring(case: &Case<'_>) -> Vec<Finding> {
    per_leaf(case, Code::TlsExpiring, |seen| {
        let leaf = seen.chain.leaf()?;
        let left = leaf.not_after.since(case.now);
        let notice = NOTICE.min(leaf.not_after.since(leaf.not_before) / 3);
        (left > 0 && left < notice).then(|| format!("expires in {} ({})", span(left), leaf.not_after))
    })
}

/// A key that some peers refuse; one that all refuse is among the [`reasons`].
fn key(case: &Case<'_>) -> Vec<Finding> {
    per_leaf(case, Code::TlsKey, |seen| {
        let chain = seen.chain;
        let told = |index: usize| index == 0 && chain.unproved.is_some();
        let root = |index: usize, certificate: &Certificate| index > 0 && certificate.self_issued;
        let odd = chain.certificates.iter().enumerate().filter(|(index, certificate)| {
            !certificate.key.is_usual() && !told(*index) && !root(*index, certificate) && !chain.extra.contains(index)
        });
        let list: Vec<_> = odd.map(|(_, c)| format!("the key of {} is {}", c.label(), c.key)).collect();
        (!list.is_empty()).then(|| list.join("; "))
    })
}

/// A signature that can be forged, where the chain is refused for something else, or not yet.
fn signature(case: &Case<'_>) -> Vec<Finding> {
    per_leaf(case, Code::TlsSig, |seen| {
        let list: Vec<_> = broken(seen.chain).collect();
        let told = matches!(seen.chain.trust, Trust::Refused(_));
        (!list.is_empty() && !told).then(|| list.join("; "))
    })
}

/// Only public CAs have to log what they issue.
fn timestamps(case: &Case<'_>) -> Vec<Finding> {
    per_leaf(case, Code::TlsCt, |seen| {
        let leaf = seen.chain.leaf().filter(|_| seen.chain.trusted_by.mozilla)?;
        (leaf.scts < FEW_TIMESTAMPS).then(|| format!("the certificate carries {} timestamps", leaf.scts))
    })
}

/// Days, or hours where there are few.
fn span(seconds: i64) -> String {
    if seconds >= 2 * 86_400 { format!("{} days", seconds / 86_400) } else { format!("{} hours", seconds / 3600) }
}

fn same(case: &Case<'_>) -> Vec<Finding> {
    let leaves: Vec<_> = case.chains();
    let leaves: Vec<_> =
        leaves.iter().filter(|seen| seen.federation).filter_map(|seen| Some((seen, seen.chain.leaf()?))).collect();
    let Some((first, leaf)) = leaves.first() else {
        return Vec::new();
    };
    let names = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    let differs = |other: &Certificate| other.sha256 != leaf.sha256 && names(&other.names) != names(&leaf.names);
    let others: Vec<_> = leaves.iter().filter(|(_, other)| differs(other)).collect();
    if others.is_empty() {
        return Vec::new();
    }
    let show = |place: &str, certificate: &Certificate| {
        format!("{place} has {} until {}", certificate.names.join(", "), certificate.not_after)
    };
    let mut detail = vec![show(&first.place, leaf)];
    detail.extend(others.iter().map(|(seen, other)| show(&seen.place, other)));
    vec![case.finding(Code::TlsSame, first.host, detail.join("; ")).for_host(first.host)]
}
