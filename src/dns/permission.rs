//! Whether CAA records let a CA issue (RFC 8659, and RFC 8657's parameters): pure.

use super::caa::{CaaIssuer, CaaProperty, CaaRecord, CaaSet};
use crate::config::Challenge;

/// Properties that every CA on the web knows, so that the critical flag on them asks for nothing.
const KNOWN: [&str; 2] = ["iodef", "issuemail"];

/// Properties that are registered (CA/Browser Forum, IANA), and that a CA may know or not.
const REGISTERED: [&str; 4] = ["contactemail", "contactphone", "issuevmc", "security"];

/// What the records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The CA may issue.
    Allowed,
    /// It may not.
    Forbidden {
        /// The record that says so, or what none of them says.
        by: String,
        /// The exact thing to change in the zone.
        remedy: String,
    },
    /// It cannot be told from here; why.
    Unknown(String),
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What the CA calls itself in CAA records (`caaIdentities` of its directory).
    pub ca_identities: &'a [String],
    /// Whether it is for a wildcard name.
    pub wildcard: bool,
    /// The account's URL, once there is one.
    pub account_uri: Option<&'a str>,
    /// How control is to be proved, where that is known: otherwise `validationmethods` forbids nothing.
    pub method: Option<Challenge>,
}

/// Judges the records that count for a name.
pub fn permits(set: &CaaSet, asked: &Asked<'_>) -> Verdict {
    if let Some(verdict) = critical(set) {
        return verdict;
    }
    let relevant = relevant(set, asked.wildcard);
    if relevant.is_empty() {
        return Verdict::Allowed;
    }
    let Some(own) = asked.ca_identities.first() else {
        return Verdict::Unknown("the CA's directory does not say what it is called in CAA records".to_owned());
    };
    let mut refused = None;
    for (record, issuer) in &relevant {
        let is_own = issuer.domain.as_ref().is_some_and(|domain| {
            asked.ca_identities.iter().any(|identity| identity.trim_end_matches('.').eq_ignore_ascii_case(domain))
        });
        if !is_own {
            continue;
        }
        match admits(record, issuer, &set.owner, asked) {
            Verdict::Allowed => return Verdict::Allowed,
            // An account that is not known yet may turn out to be the right one.
            unknown @ Verdict::Unknown(_) => refused = Some(unknown),
            other => refused = refused.or(Some(other)),
        }
    }
    refused.unwrap_or_else(|| {
        let tag = if relevant.iter().any(|(record, _)| is_wild(record)) { "issuewild" } else { "issue" };
        let records: Vec<_> = relevant.iter().map(|(record, _)| record.to_string()).collect();
        Verdict::Forbidden {
            by: format!("{} has CAA {}", set.owner, records.join(", ")),
            remedy: format!("add the record  {}. CAA 0 {tag} \"{own}\"", set.owner),
        }
    })
}

/// A property that must be understood and is not (§4.1).
fn critical(set: &CaaSet) -> Option<Verdict> {
    for record in set.records.iter().filter(|record| record.critical) {
        match &record.property {
            CaaProperty::Other(tag) if REGISTERED.contains(&tag.as_str()) => {
                return Some(Verdict::Unknown(format!("not every CA knows the critical property {record}")));
            }
            CaaProperty::Other(tag) if !KNOWN.contains(&tag.as_str()) => {
                return Some(Verdict::Forbidden {
                    by: format!("{} has CAA {record}, which is critical, and no CA knows it", set.owner),
                    remedy: format!("remove the record  {}. CAA {record}", set.owner),
                });
            }
            _ => {}
        }
    }
    None
}

/// The records that restrict: for a wildcard name `issuewild` where there is any (§4.3).
fn relevant(set: &CaaSet, wildcard: bool) -> Vec<(&CaaRecord, &CaaIssuer)> {
    let wild = set.records.iter().filter_map(|record| match &record.property {
        CaaProperty::IssueWild(issuer) if wildcard => Some((record, issuer)),
        _ => None,
    });
    let wild: Vec<_> = wild.collect();
    if !wild.is_empty() {
        return wild;
    }
    let plain = set.records.iter().filter_map(|record| match &record.property {
        CaaProperty::Issue(issuer) => Some((record, issuer)),
        _ => None,
    });
    plain.collect()
}

fn is_wild(record: &CaaRecord) -> bool {
    matches!(record.property, CaaProperty::IssueWild(_))
}

/// Whether a record for this CA admits the account and the method. A parameter given twice admits
/// nobody (RFC 8657 §3 and §4).
fn admits(record: &CaaRecord, issuer: &CaaIssuer, owner: &str, asked: &Asked<'_>) -> Verdict {
    let forbidden = |remedy: String| Verdict::Forbidden { by: format!("{owner} has CAA {record}"), remedy };
    let once = |tag| {
        let values: Vec<_> = issuer.parameter(tag).collect();
        if let [_, _, ..] = values[..] { Err(tag) } else { Ok(values.first().copied()) }
    };
    let (account, methods) = match (once("accounturi"), once("validationmethods")) {
        (Ok(account), Ok(methods)) => (account, methods),
        (Err(tag), _) | (_, Err(tag)) => {
            return forbidden(format!("write {tag} once in the record  {owner}. CAA {record}"));
        }
    };
    if let (Some(list), Some(method)) = (methods, asked.method.map(Challenge::as_str))
        && !list.split(',').any(|entry| entry.eq_ignore_ascii_case(method))
    {
        return forbidden(format!("add {method} to validationmethods in the record  {owner}. CAA {record}"));
    }
    match (account, asked.account_uri) {
        (None, _) => Verdict::Allowed,
        (Some(wanted), Some(own)) if wanted == own => Verdict::Allowed,
        (Some(_), Some(own)) => forbidden(format!("write \"accounturi={own}\" in the record  {owner}. CAA {record}")),
        (Some(_), None) => {
            Verdict::Unknown(format!("{owner} has CAA {record}, and there is no account yet to compare with"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as `flags tag value`, one a line.
    fn set(records: &str) -> CaaSet {
        let records = records.split('|').map(|record| {
            let (flags, rest) = record.trim().split_once(' ').unwrap();
            let (tag, value) = rest.split_once(' ').unwrap();
            CaaRecord::new(flags.parse().unwrap(), tag, value.as_bytes())
        });
        CaaSet { owner: "example.com".to_owned(), records: records.collect() }
    }

    /// `allowed`, `forbidden` or `unknown`.
    fn word(verdict: &Verdict) -> &'static str {
        match verdict {
            Verdict::Allowed => "allowed",
            Verdict::Forbidden { .. } => "forbidden",
            Verdict::Unknown(_) => "unknown",
        }
    }

    #[test]
    fn table() {
        const ACCOUNT: &str = "https://ca.test/acct/1";
        let ca = ["ca.test".to_owned(), "CA2.test".to_owned()];
        // Records; the verdicts for a name and for a wildcard name, both over HTTP-01.
        let table = [
            ("0 issue ca.test", "allowed", "allowed"),
            ("0 issue CA.Test", "allowed", "allowed"),
            ("0 issue ca2.test", "allowed", "allowed"),
            ("0 issue other.test", "forbidden", "forbidden"),
            ("0 issue other.test | 0 issue ca.test", "allowed", "allowed"),
            ("0 issue ;", "forbidden", "forbidden"),
            ("0 issue ; | 0 issue ca.test", "allowed", "allowed"),
            ("0 issue %%%%%", "forbidden", "forbidden"),
            ("0 issue sub.ca.test", "forbidden", "forbidden"),
            ("0 iodef mailto:a@b.test", "allowed", "allowed"),
            ("128 iodef mailto:a@b.test | 128 issue ca.test", "allowed", "allowed"),
            ("0 issuewild ca.test", "allowed", "allowed"),
            ("0 issuewild other.test", "allowed", "forbidden"),
            ("0 issue other.test | 0 issuewild ca.test", "forbidden", "allowed"),
            ("0 issue ca.test | 0 issuewild ;", "allowed", "forbidden"),
            ("0 issue ca.test | 0 tbs x", "allowed", "allowed"),
            ("0 issue ca.test | 128 tbs x", "forbidden", "forbidden"),
            ("0 issue ca.test | 128 contactemail x", "unknown", "unknown"),
            ("0 issue ca.test; accounturi=https://ca.test/acct/1", "allowed", "allowed"),
            ("0 issue ca.test; accounturi=https://ca.test/acct/2", "forbidden", "forbidden"),
            ("0 issue ca.test; accounturi=https://ca.test/acct/2 | 0 issue ca.test", "allowed", "allowed"),
            ("0 issue ca.test; accounturi=https://ca.test/acct/1; accounturi=x", "forbidden", "forbidden"),
            ("0 issue ca.test; validationmethods=dns-01,HTTP-01", "allowed", "allowed"),
            ("0 issue ca.test; validationmethods=dns-01", "forbidden", "forbidden"),
            ("0 issue ca.test; validationmethods=", "forbidden", "forbidden"),
            ("0 issue other.test; validationmethods=http-01", "forbidden", "forbidden"),
            ("0 issue ca.test; policy=ev", "allowed", "allowed"),
        ];
        for (records, plain, wild) in table {
            let set = set(records);
            for (wildcard, expected) in [(false, plain), (true, wild)] {
                let asked =
                    Asked { ca_identities: &ca, wildcard, account_uri: Some(ACCOUNT), method: Some(Challenge::Http01) };
                assert_eq!(word(&permits(&set, &asked)), expected, "{records:?}, wildcard {wildcard}");
            }
        }
    }

    #[test]
    fn what_is_not_known_yet_does_not_forbid() {
        let ca = ["ca.test".to_owned()];
        let asked =
            |account_uri| Asked { ca_identities: &ca, wildcard: false, account_uri, method: Some(Challenge::Http01) };
        let bound = set("0 issue ca.test; accounturi=https://ca.test/acct/1 | 0 issue ca.test; validationmethods=x");
        assert_eq!(word(&permits(&bound, &asked(None))), "unknown");
        assert_eq!(word(&permits(&bound, &asked(Some("https://ca.test/acct/1")))), "allowed");
        let nameless = Asked { ca_identities: &[], ..asked(None) };
        assert_eq!(word(&permits(&set("0 issue ca.test"), &nameless)), "unknown");
        assert_eq!(word(&permits(&set("0 iodef mailto:a@b.test"), &nameless)), "allowed");
        let methods = set("0 issue ca.test; validationmethods=dns-01");
        assert_eq!(word(&permits(&methods, &asked(None))), "forbidden");
        assert_eq!(word(&permits(&methods, &Asked { method: None, ..asked(None) })), "allowed");
    }

    #[test]
    fn remedies_are_the_very_records() {
        let ca = ["letsencrypt.org".to_owned()];
        let table = [
            ("0 issue other.test", false, "add the record  example.com. CAA 0 issue \"letsencrypt.org\""),
            ("0 issuewild ;", true, "add the record  example.com. CAA 0 issuewild \"letsencrypt.org\""),
            ("128 tbs x", false, "remove the record  example.com. CAA 128 tbs \"x\""),
            (
                "0 issue letsencrypt.org; validationmethods=dns-01",
                false,
                "add http-01 to validationmethods in the record  example.com. CAA 0 issue \"letsencrypt.org; validationmethods=dns-01\"",
            ),
            (
                "0 issue letsencrypt.org; accounturi=https://b",
                false,
                "write \"accounturi=https://a\" in the record  example.com. CAA 0 issue \"letsencrypt.org; accounturi=https://b\"",
            ),
        ];
        for (records, wildcard, expected) in table {
            let asked =
                Asked { ca_identities: &ca, wildcard, account_uri: Some("https://a"), method: Some(Challenge::Http01) };
            let Verdict::Forbidden { remedy, by } = permits(&set(records), &asked) else { panic!("{records}") };
            assert_eq!(remedy, expected, "{records}");
            assert!(by.starts_with("example.com has CAA "), "{by}");
        }
    }
}
