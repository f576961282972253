//! What is taken over and what is not, and why: pure.

use super::{Found, FoundAccount, FoundCertificate, Stored, account};
use crate::acme;
use crate::certs::Certificate;
use crate::clock::Timestamp;
use crate::config::CertificateOrder;
use crate::matrix::{Host, HostPattern};
use std::collections::BTreeMap;
use std::path::Path;

/// What the configuration asks for.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// The sets of names that certificates are ordered for.
    pub orders: &'a [CertificateOrder],
    /// Every served name.
    pub served: &'a [Host],
    /// The directory URLs of the CAs, the one that is asked first in front.
    pub directories: &'a [String],
    /// The contact, to choose between several accounts.
    pub email: Option<&'a str>,
}

/// What became of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is taken over.
    Taken,
    /// What the state directory has is as good or better.
    Kept,
    /// Something to know.
    Note,
    /// It is left out for a reason that is no fault.
    Skipped,
    /// The configuration asks for it, and it was not found whole.
    Missing,
    /// It could not be read.
    Failed,
}

/// A line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What became of it.
    pub verdict: Verdict,
    /// A set of names, a file or an account.
    pub what: String,
    /// Where from, or why not.
    pub detail: String,
}

/// An entry of the state directory to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub key: String,
    /// What.
    pub content: Vec<u8>,
    /// What is there is damaged and is set aside first.
    pub set_aside: bool,
}

/// What is to be done, and the report on it.
#[derive(Debug, Default)]
pub struct Plan {
    /// The report, in the order of its verdicts.
    pub rows: Vec<Row>,
    /// The work.
    pub writes: Vec<Write>,
    /// Entries that stay; their owner is put right.
    pub kept: Vec<String>,
}

impl Plan {
    /// Whether all that the configuration asks for is there and all that was found could be read.
    pub fn is_complete(&self) -> bool {
        self.rows.iter().all(|row| row.verdict < Verdict::Missing)
    }

    fn row(&mut self, verdict: Verdict, what: impl Into<String>, detail: impl Into<String>) {
        self.rows.push(Row { verdict, what: what.into(), detail: detail.into() });
    }
}

/// Decides what is taken over.
pub fn plan(found: Found, needs: Needs<'_>, stored: &Stored, now: Timestamp) -> Plan {
    let Found { certificates, accounts, notes } = found;
    let usable = certificates.iter().filter(|found| unusable(found, &needs, now).is_none()).collect();
    let plan = Plan { rows: notes, ..Plan::default() };
    let mut planner = Planner { needs, now, usable, uses: BTreeMap::new(), plan };
    for order in needs.orders {
        planner.plan_order(order, stored);
    }
    for found in &certificates {
        let reason = match (unusable(found, &needs, now), planner.uses.get(found.source.as_path())) {
            (Some(reason), _) => reason,
            (None, Some(Use::Taken)) => continue,
            (None, Some(Use::Beaten(reason))) => reason.clone(),
            (None, None) => unneeded(found, needs.served),
        };
        let names = found.certificate.names();
        planner.plan.row(Verdict::Skipped, names, format!("{}: {reason}", found.source.display()));
    }
    let mut plan = planner.plan;
    plan_accounts(accounts, &needs, stored, &mut plan);
    plan.rows.sort_by_key(|row| row.verdict);
    plan
}

/// A decision half made.
struct Planner<'a> {
    needs: Needs<'a>,
    now: Timestamp,
    usable: Vec<&'a FoundCertificate>,
    /// What became of each usable certificate that covers a name of an order, by its file.
    uses: BTreeMap<&'a Path, Use>,
    plan: Plan,
}

/// What became of a certificate.
enum Use {
    Taken,
    Beaten(String),
}

impl Planner<'_> {
    /// Decides about one set of names.
    fn plan_order(&mut self, order: &CertificateOrder, stored: &Stored) {
        let Some(first) = order.names.first() else { return };
        let key = acme::stored::key(first);
        let shown = HostPattern::list(&order.names);
        let covered = |certificate: &Certificate| order.names.iter().filter(|name| certificate.includes(name)).count();
        // The most names first, then the longest life.
        let rank = |certificate: &Certificate| (covered(certificate), certificate.facts().not_after);
        let there = Existing::read(stored.get(&key), &self.needs);
        let there_rank = there.usable(self.now).map(rank).filter(|(covered, _)| *covered > 0);
        let helpful: Vec<_> = self.usable.iter().copied().filter(|found| covered(&found.certificate) > 0).collect();
        // Of equal ones the first.
        let best = helpful.iter().copied().rev().max_by_key(|found| rank(&found.certificate));
        let taken = best.filter(|best| there_rank.is_none_or(|there| rank(&best.certificate) > there));
        for found in &helpful {
            let reason = match taken {
                Some(taken) if taken.source == found.source => {
                    self.uses.insert(&found.source, Use::Taken);
                    continue;
                }
                Some(taken) => format!("{} is better for {shown}", taken.source.display()),
                None => format!("what the state directory has for {shown} is as good or better"),
            };
            // One that another order takes is taken.
            self.uses.entry(&found.source).or_insert(Use::Beaten(reason));
        }
        if let Some(found) = taken {
            let (until, source) = (found.certificate.facts().not_after, found.source.display());
            self.plan.row(Verdict::Taken, &shown, format!("valid until {until}, from {source}"));
            let content = content(found, &self.needs);
            self.plan.writes.push(Write { key, content, set_aside: there.is_damaged() });
        } else if let Some((_, until)) = there_rank {
            self.plan.row(Verdict::Kept, &shown, format!("the state directory has one valid until {until}"));
            self.plan.kept.push(key);
        }
        let served = taken.map(|found| &found.certificate).or_else(|| there.usable(self.now));
        let is_bare = |name: &&HostPattern| served.is_none_or(|certificate| !certificate.includes(name));
        let bare: Vec<_> = order.names.iter().filter(is_bare).cloned().collect();
        if !bare.is_empty() {
            let detail = missing(order, &bare, &self.usable);
            self.plan.row(Verdict::Missing, &shown, detail);
        }
    }
}

/// Why a certificate cannot be served, whatever is asked for.
fn unusable(found: &FoundCertificate, needs: &Needs<'_>, now: Timestamp) -> Option<String> {
    let facts = found.certificate.facts();
    let configured = found.directory.as_ref().is_some_and(|directory| needs.directories.contains(directory));
    // Let's Encrypt writes it into the names of its test CA; other CAs into their address.
    let is_staging =
        facts.issuer.contains("(STAGING)") || found.directory.as_deref().is_some_and(|url| url.contains("staging"));
    if is_staging && !configured {
        Some("from a staging CA, which no client trusts".to_owned())
    } else if facts.not_after < now {
        Some(format!("expired at {}", facts.not_after))
    } else if facts.not_before > now {
        Some(format!("not valid before {}; is this machine's clock right?", facts.not_before))
    } else {
        let links = found.certificate.verify_links(now);
        links.err().map(|error| error.to_string())
    }
}

/// What it means that no certificate covers a whole order.
fn missing(order: &CertificateOrder, bare: &[HostPattern], usable: &[&FoundCertificate]) -> String {
    let covers = |name: &HostPattern| usable.iter().find(|found| found.certificate.includes(name));
    let one_each: Option<Vec<_>> = order.names.iter().map(covers).collect();
    let mut text = format!("no certificate covers {}; vestibule orders one when it runs", HostPattern::list(bare));
    if let Some(each) = one_each {
        let files: Vec<_> = each.iter().map(|found| found.source.display().to_string()).collect();
        text.push_str(&format!(
            ", for all these names at once. To put that off, name the old files in [[tls.certificates]]: {}",
            files.join(", ")
        ));
    }
    text
}

/// Why nobody asked for a usable certificate.
fn unneeded(found: &FoundCertificate, served: &[Host]) -> String {
    let certificate = &found.certificate;
    if served.iter().any(|name| certificate.covers(name)) {
        return "[[tls.certificates]] covers its names".to_owned();
    }
    let host = certificate.facts().names.iter().find_map(|name| match name {
        HostPattern::Exact(host) => Some(host.to_string()),
        HostPattern::Wildcard(_) => None,
    });
    let host = host.unwrap_or_else(|| "NAME".to_owned());
    format!("the configuration serves none of its names; to serve one: [[site]] with host = \"{host}\" and upstream")
}

/// What the state directory has for an order.
enum Existing {
    Nothing,
    Damaged,
    /// Of a CA that the configuration does not name: it would be replaced at once.
    OtherCa,
    Certificate(Box<Certificate>),
}

impl Existing {
    fn read(content: Option<&[u8]>, needs: &Needs<'_>) -> Self {
        let Some(content) = content else { return Self::Nothing };
        let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let ca = line.strip_prefix(acme::stored::CA_LINE.as_bytes());
        let is_configured = |ca: &[u8]| needs.directories.iter().any(|url| acme::ca_key(url).as_bytes() == ca);
        match Certificate::from_pem(content, content) {
            Err(_) => Self::Damaged,
            Ok(_) if !ca.is_none_or(is_configured) => Self::OtherCa,
            Ok(certificate) => Self::Certificate(Box::new(certificate)),
        }
    }

    fn usable(&self, now: Timestamp) -> Option<&Certificate> {
        match self {
            Self::Certificate(certificate) if certificate.is_valid_at(now) => Some(certificate),
            _ => None,
        }
    }

    fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged)
    }
}

/// The entry for a certificate. One of a CA that the configuration does not name goes without the line
/// that says so: it is served until it is due, instead of being replaced at once.
fn content(found: &FoundCertificate, needs: &Needs<'_>) -> Vec<u8> {
    let ca = found.directory.as_ref().filter(|directory| needs.directories.contains(directory));
    let line = ca.map(|directory| format!("{}{}\n", acme::stored::CA_LINE, acme::ca_key(directory)));
    [line.unwrap_or_default().as_bytes(), &found.pem].concat()
}

fn plan_accounts(mut accounts: Vec<FoundAccount>, needs: &Needs<'_>, stored: &Stored, plan: &mut Plan) {
    let is_contact =
        |account: &FoundAccount| needs.email.is_some_and(|email| account.contacts.iter().any(|c| c == email));
    // One that can be taken first, and of several the one with the configured address.
    accounts.sort_by_key(|account| (account.key.is_err(), !is_contact(account)));
    let mut settled: Vec<String> = Vec::new();
    for found in accounts {
        let what = format!("account {}", found.url);
        let source = found.source.display();
        let Some(directory) = found.directory else {
            let detail = format!("{source}: which CA it belongs to cannot be told; acme.directory has to name it");
            plan.row(Verdict::Skipped, what, detail);
            continue;
        };
        let key = account_key(&directory);
        if directory.contains("staging") && !needs.directories.contains(&directory) {
            plan.row(Verdict::Skipped, what, format!("{source}: an account of a staging CA"));
        } else if stored.get(&key).is_some() {
            plan.row(Verdict::Kept, what, format!("there is an account for {directory} already: {key}"));
            plan.kept.push(key);
        } else if settled.contains(&key) {
            plan.row(Verdict::Skipped, what, format!("{source}: another account for {directory} is taken"));
        } else {
            match found.key {
                Ok(pkcs8) => {
                    let content = account::credentials(&pkcs8, &directory);
                    plan.writes.push(Write { key: key.clone(), content, set_aside: false });
                    plan.row(Verdict::Taken, what, format!("for {directory}, from {source}"));
                    settled.push(key);
                }
                Err(reason) => plan.row(Verdict::Skipped, what, format!("{source}: {reason}")),
            }
        }
    }
}

/// Where the account of a CA is kept.
pub(super) fn account_key(directory: &str) -> String {
    format!("acme/{}/account.json", acme::ca_key(directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use rcgen::{CertificateParams, DnType, KeyPair};
    use std::path::PathBuf;
    use std::time::Duration;

    const CA: &str = "https://ca.example/directory";
    const DAY: i64 = 86_400;

    fn host(name: &str) -> Host {
        Host::parse(name).unwrap()
    }

    /// A certificate for these names that lives so many days from now.
    fn made(source: &str, names: &[&str], days: i64, directory: Option<&str>, issuer: &str) -> FoundCertificate {
        let now = Clock::System.now();
        let at = |time: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(time.0.unsigned_abs());
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = at(now.plus(-100 * DAY));
        params.not_after = at(now.plus(days * DAY));
        params.distinguished_name.push(DnType::CommonName, issuer);
        let key = KeyPair::generate().unwrap();
        let pem = format!("{}{}", key.serialize_pem(), params.self_signed(&key).unwrap().pem()).into_bytes();
        let certificate = Certificate::from_pem(&pem, &pem).unwrap();
        FoundCertificate { source: PathBuf::from(source), directory: directory.map(str::to_owned), pem, certificate }
    }

    fn good(source: &str, names: &[&str], days: i64) -> FoundCertificate {
        made(source, names, days, Some(CA), "ca")
    }

    fn account(url: &str, directory: Option<&str>, contact: &str, key: Result<Vec<u8>, String>) -> FoundAccount {
        let contacts = vec![contact.to_owned()];
        FoundAccount { source: url.into(), directory: directory.map(str::to_owned), url: url.to_owned(), contacts, key }
    }

    /// The plan for the orders `a.test,m.a.test` and `b.test`, as `verdict what` lines and the keys written.
    fn decide(
        certificates: Vec<FoundCertificate>,
        accounts: Vec<FoundAccount>,
        stored: &Stored,
    ) -> (Plan, Vec<String>) {
        let order = |names: &[&str]| CertificateOrder { names: names.iter().map(|name| host(name).into()).collect() };
        let orders = [order(&["a.test", "m.a.test"]), order(&["b.test"])];
        let served = [host("a.test"), host("m.a.test"), host("b.test"), host("file.test")];
        let directories = [CA.to_owned()];
        let needs = Needs { orders: &orders, served: &served, directories: &directories, email: Some("me@a.test") };
        let found = Found { certificates, accounts, notes: Vec::new() };
        let plan = plan(found, needs, stored, Clock::System.now());
        let rows = plan.rows.iter().map(|row| format!("{:?} {}", row.verdict, row.what)).collect();
        (plan, rows)
    }

    fn detail<'a>(plan: &'a Plan, what: &str) -> &'a str {
        let row = plan.rows.iter().find(|row| row.detail.starts_with(what));
        row.map(|row| row.detail.as_str()).unwrap_or_else(|| panic!("no {what} in {:?}", plan.rows))
    }

    #[test]
    fn the_certificate_with_the_names_and_the_longest_life() {
        let found = vec![
            good("short", &["a.test", "m.a.test"], 10),
            good("wild", &["a.test", "*.a.test"], 20),
            good("part", &["a.test"], 80),
            good("b", &["b.test", "c.test"], 5),
            good("over", &["a.test", "m.a.test"], -1),
            good("stranger", &["c.test"], 50),
            good("file", &["file.test"], 50),
            made("staging", &["a.test", "m.a.test"], 70, None, "(STAGING) Riddling Rhubarb"),
            made("staging-too", &["b.test"], 70, Some("https://acme-staging.example/directory"), "x"),
        ];
        let (plan, rows) = decide(found, Vec::new(), &Stored::default());
        assert!(plan.is_complete(), "{rows:?}");
        assert_eq!(rows[..2], ["Taken a.test,m.a.test", "Taken b.test"]);
        assert!(plan.rows[0].detail.ends_with("from wild"), "{:?}", plan.rows);
        let keys: Vec<_> = plan.writes.iter().map(|write| write.key.as_str()).collect();
        assert_eq!(keys, ["certificates/a.test.pem", "certificates/b.test.pem"]);
        assert!(plan.writes[0].content.starts_with(b"ca: ca.example_directory\n-----BEGIN PRIVATE KEY"));
        for (source, reason) in [
            ("short: ", "wild is better for a.test,m.a.test"),
            ("part: ", "wild is better for a.test,m.a.test"),
            ("over: ", "expired at "),
            ("stranger: ", "[[site]] with host = \"c.test\""),
            ("file: ", "[[tls.certificates]] covers its names"),
            ("staging: ", "from a staging CA"),
            ("staging-too: ", "from a staging CA"),
        ] {
            assert!(detail(&plan, source).contains(reason), "{source}{}", detail(&plan, source));
        }
    }

    #[test]
    fn a_part_is_served_and_the_rest_is_told() {
        let found = vec![good("a", &["a.test"], 50), good("m", &["m.a.test"], 40)];
        let (plan, rows) = decide(found, Vec::new(), &Stored::default());
        assert!(!plan.is_complete());
        assert_eq!(rows, ["Taken a.test,m.a.test", "Skipped m.a.test", "Missing a.test,m.a.test", "Missing b.test"]);
        assert!(
            plan.rows[2].detail.contains("covers m.a.test") && plan.rows[2].detail.ends_with("certificates]]: a, m")
        );
        assert_eq!(plan.writes.len(), 1);
    }

    #[test]
    fn one_of_another_ca_is_served_until_it_is_due() {
        for directory in [Some("https://acme.zerossl.com/v2/DV90"), None] {
            let found = vec![made("other", &["b.test"], 50, directory, "x")];
            let (plan, _) = decide(found, Vec::new(), &Stored::default());
            assert!(plan.writes[0].content.starts_with(b"-----BEGIN PRIVATE KEY"), "no line names another CA");
        }
    }

    #[test]
    fn what_is_there_and_better_stays() {
        let there = |ca: &str, days| {
            let pem = good("there", &["b.test"], days).pem;
            Stored::of("certificates/b.test.pem", [format!("ca: {ca}\n").as_bytes(), &pem].concat())
        };
        let mine = "ca.example_directory";
        for (stored, found, verdict) in [
            (there(mine, 40), 30, "Kept b.test"),
            (there(mine, 40), 50, "Taken b.test"),
            (there(mine, -1), 50, "Taken b.test"),
            // A rehearsal with another CA before the migration.
            (there("acme-staging.example_directory", 90), 50, "Taken b.test"),
            (Stored::of("certificates/b.test.pem", b"damaged".to_vec()), 50, "Taken b.test"),
        ] {
            let damaged = stored.get("certificates/b.test.pem") == Some(b"damaged");
            let (plan, rows) = decide(vec![good("found", &["b.test"], found)], Vec::new(), &stored);
            assert!(rows.contains(&verdict.to_owned()), "{verdict}: {rows:?}");
            assert_eq!(plan.writes.iter().any(|write| write.set_aside), damaged);
            assert_eq!(plan.kept.is_empty(), verdict.starts_with("Taken"));
        }
        // Exactly as long is no reason to write: importing twice is importing once.
        let same = good("same", &["b.test"], 40);
        let stored = Stored::of("certificates/b.test.pem", same.pem.clone());
        let (plan, _) = decide(vec![same], Vec::new(), &stored);
        assert!(plan.writes.is_empty());
    }

    #[test]
    fn one_account_for_each_ca() {
        let zerossl = "https://acme.zerossl.com/v2/DV90";
        let accounts = || {
            vec![
                account("rsa", Some(CA), "me@a.test", Err("its key is RSA".to_owned())),
                account("other", Some(CA), "x@a.test", Ok(vec![1])),
                account("mine", Some(CA), "me@a.test", Ok(vec![2])),
                account("zero", Some(zerossl), "me@a.test", Ok(vec![3])),
                account("test", Some("https://acme-staging.example/d"), "me@a.test", Ok(vec![4])),
                account("lost", None, "me@a.test", Ok(vec![5])),
            ]
        };
        let (plan, rows) = decide(Vec::new(), accounts(), &Stored::default());
        let taken: Vec<_> = rows.iter().filter(|row| row.starts_with("Taken")).collect();
        assert_eq!(taken, ["Taken account mine", "Taken account zero"]);
        let keys: Vec<_> = plan.writes.iter().map(|write| write.key.as_str()).collect();
        assert_eq!(keys, ["acme/ca.example_directory/account.json", "acme/acme.zerossl.com_v2_DV90/account.json"]);

        let stored = Stored::of("acme/ca.example_directory/account.json", b"{}".to_vec());
        let (plan, rows) = decide(Vec::new(), accounts(), &stored);
        assert!(rows.contains(&"Kept account mine".to_owned()), "{rows:?}");
        assert_eq!(plan.writes.len(), 1);

        // Alone, an account that cannot be used is no failure of the import.
        let (plan, rows) = decide(Vec::new(), accounts()[..1].iter().map(same).collect(), &Stored::default());
        assert_eq!((rows[0].as_str(), plan.writes.len()), ("Skipped account rsa", 0));
    }

    fn same(other: &FoundAccount) -> FoundAccount {
        account(&other.url, other.directory.as_deref(), &other.contacts[0], other.key.clone())
    }
}
