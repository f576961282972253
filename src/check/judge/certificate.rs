//! Rules about certificates, wherever they were presented.

use super::{Case, Presented, Rule};
use crate::check::catalogue::Code;
use crate::check::chain::{Certificate, Chain, Trust};
use crate::check::finding::{Finding, Severity};
use std::collections::BTreeSet;

pub(super) const RULES: &[Rule] = &[verdict, roots, order, extra, expiring, same];

/// Fourteen days: enough to notice and to act, whatever the lifetime.
const NOTICE: i64 = 14 * 86_400;

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
        Trust::Refused(why) => reasons.push((Code::TlsChain, why.clone())),
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

/// What the federation step needs to be named for, in a sentence.
fn step(case: &Case<'_>) -> String {
    let step = case.seen.plan.as_ref().map(|plan| plan.step);
    step.map(|step| format!(" (step {step}: {})", step.meaning())).unwrap_or_default()
}

/// The faults of the chains of federation addresses; those of the well-known host are one finding
/// of their own, wk.server.tls.
fn verdict(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for seen in case.chains().into_iter().filter(|seen| seen.federation) {
        for (code, detail) in reasons(case, seen.chain, &seen.host.to_string()) {
            let detail = if code == Code::TlsName { format!("{detail}{}", step(case)) } else { detail };
            let public_ca = matches!(code, Code::TlsSelfSigned | Code::TlsUntrusted);
            let finding = case.finding(code, &seen.place, detail).for_host(seen.host);
            findings.push(finding.info_if(case.policy.private && public_ca));
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
                "is trusted by this machine's system and is not on Mozilla's list: peers elsewhere refuse the chain",
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
