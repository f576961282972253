//! CAA records (RFC 8659): which CAs may issue for a name.

use super::records::Failure;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::CAA;
use std::fmt;

/// The records that count for a name: its own, or those of the nearest ancestor that has any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaaSet {
    /// Whose they are, in lower case without a trailing dot.
    pub owner: String,
    /// Never empty.
    pub records: Vec<CaaRecord>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaaRecord {
    /// Whether a CA that does not know the property must not issue.
    pub critical: bool,
    /// What it says.
    pub property: CaaProperty,
    /// As it stands in a zone file: `0 issue "letsencrypt.org"`.
    pub text: String,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaaProperty {
    /// This CA may issue (§4.2).
    Issue(CaaIssuer),
    /// This CA may issue for wildcard names (§4.3).
    IssueWild(CaaIssuer),
    /// Anything else, by its tag in lower case.
    Other(String),
}

/// The CA of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaaIssuer {
    /// Its name in lower case; `None` is nobody at all. A value that breaks the grammar is one of
    /// nobody, as §4.2 asks.
    pub domain: Option<String>,
    /// Tags in lower case, and values.
    pub parameters: Vec<(String, String)>,
}

impl CaaIssuer {
    /// Reads the value of an `issue` or `issuewild` property. hickory's own reader takes no blank
    /// between the name and the semicolon, which the grammar allows and people write.
    pub fn parse(value: &[u8]) -> Self {
        std::str::from_utf8(value).ok().and_then(parse_issuer).unwrap_or_default()
    }

    /// Every value of a parameter (RFC 8657 has `accounturi` and `validationmethods`).
    pub fn parameter<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a str> {
        self.parameters.iter().filter(move |(name, _)| name == tag).map(|(_, value)| value.as_str())
    }
}

/// White space of the grammar, which is ABNF's.
const WSP: [char; 2] = [' ', '\t'];

fn parse_issuer(text: &str) -> Option<CaaIssuer> {
    let (domain, rest) = text.split_once(';').unwrap_or((text, ""));
    let domain = domain.trim_matches(WSP);
    if !domain.is_empty() && !domain.split('.').all(is_label) {
        return None;
    }
    let mut parameters = Vec::new();
    for parameter in rest.split(';').map(|parameter| parameter.trim_matches(WSP)) {
        // A semicolon at the end separates nothing, and is common.
        if parameter.is_empty() {
            continue;
        }
        let (tag, value) = parameter.split_once('=')?;
        let (tag, value) = (tag.trim_end_matches(WSP), value.trim_start_matches(WSP));
        if !is_label(tag) || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        parameters.push((tag.to_ascii_lowercase(), value.to_owned()));
    }
    Some(CaaIssuer { domain: (!domain.is_empty()).then(|| domain.to_ascii_lowercase()), parameters })
}

fn is_label(text: &str) -> bool {
    let edge = |end: Option<char>| end.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next())
        && edge(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

impl CaaRecord {
    /// Makes one of its three fields on the wire.
    pub fn new(flags: u8, tag: &str, value: &[u8]) -> Self {
        let tag = tag.to_ascii_lowercase();
        // What a stranger wrote goes into logs: nothing in it may act on a terminal.
        let text = format!("{flags} {} \"{}\"", tag.escape_default(), value.escape_ascii());
        let property = match tag.as_str() {
            "issue" => CaaProperty::Issue(CaaIssuer::parse(value)),
            "issuewild" => CaaProperty::IssueWild(CaaIssuer::parse(value)),
            _ => CaaProperty::Other(tag),
        };
        Self { critical: flags & 0x80 != 0, property, text }
    }
}

impl fmt::Display for CaaRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The records of one answer.
pub(super) fn records(lookup: &Lookup) -> Vec<CaaRecord> {
    let records = lookup.answers().iter().filter_map(|record| match &record.data {
        RData::CAA(caa) => Some(record_of(caa)),
        _ => None,
    });
    records.collect()
}

fn record_of(caa: &CAA) -> CaaRecord {
    CaaRecord::new(caa.flags(), &caa.tag, &caa.value)
}

/// A failure with the name whose records could not be had: it may be an ancestor.
pub(super) fn at(owner: &str, failure: Failure) -> Failure {
    Failure { detail: format!("CAA records of {owner}: {}", failure.detail), ..failure }
}

/// `name` and its ancestors up to the top-level domain, nearest first (§3).
pub(super) fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> (Option<String>, String) {
        let issuer = CaaIssuer::parse(value.as_bytes());
        let parameters = issuer.parameters.iter().map(|(tag, value)| format!("{tag}={value}"));
        (issuer.domain.clone(), parameters.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn values_follow_the_grammar_and_what_breaks_it_allows_nobody() {
        let good = [
            ("letsencrypt.org", Some("letsencrypt.org"), ""),
            (" LetsEncrypt.org\t", Some("letsencrypt.org"), ""),
            (
                "letsencrypt.org ; AccountURI=https://ca/acct/1?x=y;",
                Some("letsencrypt.org"),
                "accounturi=https://ca/acct/1?x=y",
            ),
            (
                "ca.test; validationmethods=http-01,dns-01 ; a = b",
                Some("ca.test"),
                "validationmethods=http-01,dns-01 a=b",
            ),
            ("ca.test; empty=", Some("ca.test"), "empty="),
            (";", None, ""),
            ("", None, ""),
            ("; account=1", None, "account=1"),
        ];
        for (text, domain, parameters) in good {
            assert_eq!(read(text), (domain.map(str::to_owned), parameters.to_owned()), "{text:?}");
        }
        for text in [
            "%%%%%",
            "a..b",
            "-a.b",
            "a b",
            "ca.test; x",
            "ca.test; =x",
            "ca.test; x=y z",
            "ca.test; x_y=z",
            "ca.test.",
        ] {
            assert_eq!(read(text), (None, String::new()), "{text:?}");
        }
        assert_eq!(CaaIssuer::parse(b"\xff"), CaaIssuer::default());
    }

    #[test]
    fn a_record_is_shown_as_in_a_zone_file_and_cannot_act_on_a_terminal() {
        let record = CaaRecord::new(128, "ISSUE", b"ca.test");
        assert!(record.critical);
        assert_eq!(record.to_string(), "128 issue \"ca.test\"");
        assert_eq!(CaaRecord::new(0, "x", b"\x1b[2J\n").to_string(), "0 x \"\\x1b[2J\\n\"");
    }

    #[test]
    fn the_tree_is_climbed_to_the_top_level_domain() {
        let climbed: Vec<_> = ancestors("a.b.test").collect();
        assert_eq!(climbed, ["a.b.test", "b.test", "test"]);
    }
}
