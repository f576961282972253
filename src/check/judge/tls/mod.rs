//! Rules about TLS as a protocol: who can shake hands at all, and who still can that should not.

use crate::check::catalogue::Code;
use crate::check::finding::{Finding, Severity};
use crate::check::hello::Weakness;
use crate::check::judge::connection::{each, tries};
use crate::check::judge::{Case, Rule};
use crate::check::observe::federation::Connection;
use crate::check::observe::tls::Trouble;

pub(in crate::check::judge) const RULES: &[Rule] =
    &[handshake, alpn, version_12, version_13, legacy, weak, no_sni, wrong_sni, must_staple];

/// The trouble of the handshake without ALPN, if that is where it failed.
fn plain_failure(seen: &Connection) -> Option<&Trouble> {
    seen.version.answer.as_ref().err().filter(|trouble| trouble.in_tls())
}

fn any_handshake(seen: &Connection) -> bool {
    seen.handshake().is_some()
}

fn handshake(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TlsHandshake, |seen| {
        let failure = plain_failure(seen)?;
        let trouble = tries(&seen.version, failure);
        if only_old(seen) {
            return Some(format!(
                "{trouble}; only clients that stop at TLS 1.2 get through: it stumbles over what newer ones send, such as \
                 post-quantum key exchange"
            ));
        }
        if any_handshake(seen) {
            return None;
        }
        let outdated = seen.more.as_ref().and_then(|more| more.outdated.as_ref());
        Some(match outdated {
            // Peers would offer this one, but they offer more besides.
            Some(outdated) if outdated.suite.is_usual() => {
                format!("{trouble}; a hello of TLS 1.2 and older gets {} as an answer", outdated.suite)
            }
            Some(outdated) => format!(
                "{trouble}; it agrees to {} with {}, which many peers do not offer",
                outdated.version, outdated.suite
            ),
            None => trouble,
        })
    })
}

/// The trouble of the handshake with ALPN http/1.1.
fn named_failure(seen: &Connection) -> Option<&Trouble> {
    seen.more.as_ref()?.keys.answer.as_ref().err().filter(|trouble| trouble.in_tls())
}

/// Whether nothing comes of a handshake with TLS 1.3 in it, whatever the ALPN, and TLS 1.2 alone
/// works: then TLS 1.3 is not refused but stumbled over.
fn only_old(seen: &Connection) -> bool {
    let Some(more) = &seen.more else { return false };
    plain_failure(seen).is_some() && named_failure(seen).is_some() && more.only_12.is_ok() && more.only_13.is_err()
}

/// What is wrong with HTTP/1.1 under one of the three ways in which peers ask for it.
pub(in crate::check::judge) fn alpn_trouble(seen: &Connection) -> Option<String> {
    if !any_handshake(seen) || only_old(seen) {
        return None;
    }
    let more = seen.more.as_ref()?;
    match (plain_failure(seen), named_failure(seen)) {
        (Some(trouble), None) => return Some(format!("without ALPN: {trouble}")),
        (Some(trouble), Some(_)) => return Some(format!("without ALPN, and with http/1.1 alone: {trouble}")),
        (None, Some(trouble)) => return Some(format!("with ALPN http/1.1: {trouble}")),
        (None, None) => {}
    }
    if let Some(trouble) = neither_version(seen) {
        return Some(format!("with ALPN h2 and http/1.1: {trouble}"));
    }
    // A server that goes on in HTTP/2 unasked: hyper meets a frame where the status line should be.
    let trouble = seen.version.answer.as_ref().err().filter(|_| more.keys.answer.is_ok())?;
    matches!(trouble, Trouble::Exchange(text) if text.contains(OTHER_PROTOCOL))
        .then(|| format!("without ALPN: {trouble}, but there is one with ALPN http/1.1"))
}

/// In what hyper says of an answer that does not begin as HTTP/1 does.
const OTHER_PROTOCOL: &str = "invalid HTTP version";

/// The trouble that TLS 1.2 and TLS 1.3 have alike when each is asked for alone. One of them served
/// the plain handshake, so it is not the version but the ALPN that goes with these.
fn neither_version(seen: &Connection) -> Option<&Trouble> {
    let more = seen.more.as_ref().filter(|_| any_handshake(seen))?;
    let (old, new) = (more.only_12.as_ref().err()?, more.only_13.as_ref().err()?);
    (old.in_tls() && new.in_tls()).then_some(new)
}

fn alpn(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TlsAlpn, alpn_trouble)
}

fn version_12(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TlsV12, |seen| {
        let trouble = seen.more.as_ref()?.only_12.as_ref().err().filter(|t| t.in_tls() && any_handshake(seen))?;
        // There an uncommon curve in the certificate must be offered by the client as well: tls.key.
        let uncommon = seen.chain().and_then(|chain| chain.leaf()).is_some_and(|leaf| !leaf.key.is_usual());
        let elsewhere = uncommon || neither_version(seen).is_some();
        (!elsewhere).then(|| format!("TLS 1.2 alone: {trouble}"))
    })
}

fn version_13(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TlsV13, |seen| {
        let trouble = seen.more.as_ref()?.only_13.as_ref().err().filter(|t| t.in_tls() && any_handshake(seen))?;
        let elsewhere = only_old(seen) || neither_version(seen).is_some();
        (!elsewhere).then(|| format!("TLS 1.3 alone: {trouble}"))
    })
}

fn legacy(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TlsLegacy, |seen| {
        let versions = &seen.more.as_ref()?.habits.old.versions;
        let list: Vec<_> = versions.iter().map(|version| version.name()).collect();
        (!list.is_empty()).then(|| format!("accepted: {}", list.join(", ")))
    })
}

fn weak(case: &Case<'_>) -> Vec<Finding> {
    let listed = |seen: &Connection, only_cbc: bool| {
        let mut weak: Vec<_> = seen.more.as_ref()?.habits.old.weak().collect();
        weak.sort_by_key(|(weakness, _)| *weakness);
        let is_only_cbc = weak.iter().all(|(weakness, _)| *weakness == Weakness::CbcSha1);
        let list: Vec<_> = weak.iter().map(|(weakness, suite)| format!("{weakness}: {suite}")).collect();
        (!list.is_empty() && is_only_cbc == only_cbc).then(|| format!("accepted: {}", list.join("; ")))
    };
    // Every stock OpenSSL accepts these, and no peer of today chooses them: worth knowing, no fault.
    let old =
        each(case, Code::TlsWeak, |seen| listed(seen, true)).into_iter().map(|finding| finding.at(Severity::Info));
    each(case, Code::TlsWeak, |seen| listed(seen, false)).into_iter().chain(old).collect()
}

fn no_sni(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TlsNoSni, |seen| match seen.more.as_ref()?.habits.no_sni.as_ref()? {
        Ok(handshake) if handshake.chain.covers_name => None,
        Ok(handshake) => {
            let names = handshake.chain.leaf().map(|leaf| leaf.names.join(", ")).unwrap_or_default();
            Some(format!("a client without SNI is shown a certificate for {names}"))
        }
        // Whether a connection comes about at all has its own rule.
        Err(trouble) if trouble.before_tls() => None,
        Err(trouble) => any_handshake(seen).then(|| format!("without SNI: {trouble}")),
    })
}

fn wrong_sni(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TlsBadSni, |seen| match seen.more.as_ref()?.habits.wrong_sni.as_ref() {
        // A certificate that does not fit and an alert both tell the client what is wrong.
        Ok(_) | Err(Trouble::Refused(_)) => None,
        Err(trouble) if trouble.before_tls() => None,
        Err(trouble) => any_handshake(seen).then(|| format!("for a name that it does not have: {trouble}")),
    })
}

fn must_staple(case: &Case<'_>) -> Vec<Finding> {
    each(case, Code::TlsMustStaple, |seen| {
        let leaf = seen.chain()?.leaf()?;
        // Some servers fetch the response when the first client asks, and have it for the second.
        let stapled = seen.handshakes().any(|handshake| handshake.stapled);
        (leaf.must_staple && !stapled)
            .then(|| "the certificate demands a stapled OCSP response, and none was sent".to_owned())
    })
}

#[cfg(test)]
mod tests;
