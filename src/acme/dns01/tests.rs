//! Where a record goes, against a name server of a few lines. That it gets there is shown with real
//! name servers in `tests/acme`.

use super::*;
use crate::dns::tests::name_server;
use hickory_resolver::proto::rr::rdata::{CNAME, SOA};
use hickory_resolver::proto::rr::{Name, RData};

fn hook() -> DnsProvider {
    DnsProvider::Exec { command: vec!["/bin/false".to_owned()] }
}

fn alias(target: &str) -> RData {
    RData::CNAME(CNAME(Name::from_ascii(target).unwrap()))
}

#[tokio::test]
async fn aliases_lead_to_the_place_of_the_record() {
    let (resolver, _server) = name_server(vec![
        ("_acme-challenge.a.test.", alias("b.test.")),
        ("b.test.", alias("challenges.other.")),
        ("_acme-challenge.loop.test.", alias("_acme-challenge.pool.test.")),
        ("_acme-challenge.pool.test.", alias("_acme-challenge.loop.test.")),
    ])
    .await;
    let place = |name: &str| follow(&resolver, format!("{LABEL}.{name}"));
    assert_eq!(place("a.test").await.unwrap(), "challenges.other");
    assert_eq!(place("plain.test").await.unwrap(), "_acme-challenge.plain.test");
    assert!(matches!(place("loop.test").await, Err(Dns01Error::AliasLoop(_))));
}

#[tokio::test]
async fn a_wildcard_for_hosts_delegates_no_challenge() {
    let synthesised = |target| alias(target);
    let (resolver, _server) = name_server(vec![
        ("_acme-challenge.a.test.", synthesised("a.test.")),
        ("_vestibule-asks-for-a-wildcard.a.test.", synthesised("a.test.")),
        ("_acme-challenge.b.test.", alias("challenges.other.")),
        ("_vestibule-asks-for-a-wildcard.b.test.", synthesised("b.test.")),
        ("_acme-challenge.host.c.test.", synthesised("c.test.")),
        ("_vestibule-asks-for-a-wildcard.host.c.test.", synthesised("c.test.")),
        ("host.c.test.", synthesised("c.test.")),
        ("_vestibule-asks-for-a-wildcard.c.test.", synthesised("c.test.")),
    ])
    .await;
    let place = |name: &str| follow(&resolver, format!("{LABEL}.{name}"));
    assert_eq!(place("a.test").await.unwrap(), "_acme-challenge.a.test");
    assert_eq!(place("b.test").await.unwrap(), "challenges.other", "one of its own counts");
    // With a record below it the name would exist, and the wildcard would no longer answer for it.
    let hidden = place("host.c.test").await.unwrap_err().to_string();
    assert!(hidden.starts_with("host.c.test has no record of its own"), "{hidden}");
}

#[tokio::test]
async fn nothing_is_written_before_the_zone_and_its_servers_are_known() {
    let root = Name::from_ascii("root.a.test.").unwrap();
    let soa = RData::SOA(SOA::new(root.clone(), root, 1, 2, 3, 4, 5));
    let (resolver, _server) = name_server(vec![("a.test.", soa)]).await;
    let dns01 = Dns01::new(&hook(), resolver, Clock::System);
    let failed = |outcome: Result<OpenRecord, Dns01Error>| outcome.err().expect("no record").to_string();
    assert_eq!(
        failed(dns01.open("nowhere.example", "v").await),
        "no zone of DNS has _acme-challenge.nowhere.example; register the domain, or correct the name"
    );
    assert!(failed(dns01.open("a.test", "v").await).contains("the zone a.test names no servers"));
    let offline = Dns01::new(&hook(), Resolver::offline(), Clock::System);
    assert!(failed(offline.open("a.test", "v").await).starts_with("DNS cannot be asked about _acme-challenge.a.test"));
}
