//! The resolver against a name server of a few lines, over real sockets.

use super::*;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, SRV};
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::proto::serialize::binary::{BinDecoder, Restrict};
use tokio::net::UdpSocket;

/// Answers from `zone` until dropped; a name that is not in it does not exist, `broken.` gets a
/// SERVFAIL and `mute.` no answer at all.
pub(crate) async fn name_server(zone: Vec<(&'static str, RData)>) -> (Resolver, tokio::task::JoinSet<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..length]).unwrap();
            if let Some(answer) = answer(&question, &zone) {
                socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
            }
        }
    });
    (Resolver::from_server(address), task)
}

fn answer(question: &Message, zone: &[(&'static str, RData)]) -> Option<Message> {
    let query = question.queries[0].clone();
    let mut name = query.name().to_ascii().to_lowercase();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.add_query(query.clone());
    answer.metadata.response_code = match name.as_str() {
        "mute." => return None,
        "broken." => ResponseCode::ServFail,
        _ if zone.iter().any(|(owner, _)| *owner == name) => ResponseCode::NoError,
        _ => ResponseCode::NXDomain,
    };
    for (owner, data) in zone {
        if *owner == name && (data.record_type() == query.query_type() || matches!(data, RData::CNAME(_))) {
            if let RData::CNAME(target) = data {
                name = target.to_ascii();
            }
            answer.add_answer(Record::from_rdata(Name::from_ascii(owner).unwrap(), 60, data.clone()));
        }
    }
    Some(answer)
}

#[tokio::test]
async fn addresses_aliases_and_services_are_told_apart_from_absence_and_failure() {
    let (resolver, _server) = name_server(vec![
        ("alias.example.", RData::CNAME(CNAME(Name::from_ascii("host.example.").unwrap()))),
        ("host.example.", RData::A(A::new(192, 0, 2, 1))),
        ("host.example.", RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
        ("only4.example.", RData::A(A::new(192, 0, 2, 4))),
        ("_matrix-fed._tcp.example.", RData::SRV(SRV::new(20, 0, 8448, Name::from_ascii("b.example.").unwrap()))),
        ("_matrix-fed._tcp.example.", RData::SRV(SRV::new(10, 5, 443, Name::from_ascii("A.example.").unwrap()))),
        ("_matrix._tcp.example.", RData::SRV(SRV::new(0, 0, 0, Name::root()))),
    ])
    .await;

    let Outcome::Found(found) = resolver.addresses("alias.example").await.outcome else { panic!("not found") };
    assert_eq!(found.canonical.as_deref(), Some("host.example"));
    assert_eq!(found.all().map(|a| a.to_string()).collect::<Vec<_>>(), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!((found.ttl, found.source), (Some(60), Source::Dns));

    let Outcome::Found(found) = resolver.addresses("only4.example").await.outcome else { panic!("not found") };
    assert_eq!((found.v4.len(), found.v6.len(), found.canonical, found.trouble), (1, 0, None, None));

    assert_eq!(resolver.addresses("nowhere.example").await.outcome, Outcome::NoRecords);
    let failed = resolver.addresses("broken").await.outcome;
    assert!(matches!(&failed, Outcome::Failed(failure) if failure.kind == FailureKind::ServFail), "{failed:?}");
    let failed = resolver.srv("mute").await;
    assert!(matches!(&failed.outcome, Outcome::Failed(f) if f.kind == FailureKind::Timeout), "{failed:?}");
    assert!(failed.took < Duration::from_secs(6));

    let Outcome::Found(records) = resolver.srv("_matrix-fed._tcp.example").await.outcome else { panic!("not found") };
    let order: Vec<_> = records.iter().map(|r| (r.priority, r.port, r.target.as_str())).collect();
    assert_eq!(order, [(10, 443, "a.example"), (20, 8448, "b.example")]);
    let Outcome::Found(records) = resolver.srv("_matrix._tcp.example").await.outcome else { panic!("not found") };
    assert_eq!(records[0].target, ".");
    assert_eq!(resolver.srv("_matrix._tcp.other.example").await.outcome, Outcome::NoRecords);
}

#[tokio::test]
async fn zones_their_servers_and_aliases() {
    let name = |text: &str| Name::from_ascii(text).unwrap();
    let soa = || RData::SOA(SOA::new(name("ns1.example."), name("root.example."), 1, 2, 3, 4, 5));
    let (resolver, _server) = name_server(vec![
        ("example.", soa()),
        ("example.", RData::NS(NS(name("NS1.example.")))),
        ("example.", RData::NS(NS(name("ns2.other.")))),
        ("sub.example.", soa()),
        ("_acme-challenge.example.", RData::CNAME(CNAME(name("a.sub.example.")))),
        ("a.sub.example.", soa()),
    ])
    .await;
    let found = |text: &str| Outcome::Found(text.to_owned());
    assert_eq!(resolver.zone_of("x.y.Example").await, found("example"));
    assert_eq!(resolver.zone_of("x.sub.example.").await, found("sub.example"));
    assert_eq!(resolver.zone_of("_acme-challenge.example").await, found("example"), "an alias is in its own zone");
    assert_eq!(resolver.zone_of("nowhere.test").await, Outcome::NoRecords);
    assert!(matches!(resolver.zone_of("x.broken").await, Outcome::Failed(_)));
    let servers = vec!["ns1.example".to_owned(), "ns2.other".to_owned()];
    assert_eq!(resolver.name_servers("example").await, Outcome::Found(servers));
    assert_eq!(resolver.alias("_acme-challenge.example").await, found("a.sub.example"));
    assert_eq!(resolver.alias("example").await, Outcome::NoRecords);
}

#[tokio::test]
async fn without_a_name_server_localhost_still_resolves_and_the_rest_says_why_not() {
    let resolver = Resolver::offline();
    for name in ["localhost", "LOCALHOST.", "demo.localhost"] {
        let Outcome::Found(found) = resolver.addresses(name).await.outcome else { panic!("{name} not found") };
        assert_eq!((found.v4.len(), found.v6.len(), found.source), (1, 1, Source::Localhost));
    }
    for name in ["example.com", "nope", "bad..name"] {
        let Outcome::Failed(failure) = resolver.addresses(name).await.outcome else { panic!("{name} answered") };
        assert_eq!(failure.kind, FailureKind::NoNameServer);
    }
    let _ = Resolver::from_system().has_name_server();
}

fn caa(flags: u8, tag: &str, value: &str) -> RData {
    // hickory's type has no constructor for tags it does not know; the wire has.
    let wire = [&[flags, u8::try_from(tag.len()).unwrap()], tag.as_bytes(), value.as_bytes()].concat();
    let mut decoder = BinDecoder::new(&wire);
    let length = Restrict::new(u16::try_from(wire.len()).unwrap());
    RData::read(&mut decoder, RecordType::CAA, length).unwrap()
}

#[tokio::test]
async fn caa_records_are_looked_for_up_the_tree() {
    let (resolver, _server) = name_server(vec![
        ("example.", caa(0, "issue", "top.test")),
        ("a.example.", caa(0, "issue", "letsencrypt.org; validationmethods=http-01")),
        ("a.example.", caa(128, "tbs", "Unknown")),
        ("deep.b.a.example.", RData::A(A::new(192, 0, 2, 1))),
        ("alias.example.", RData::CNAME(CNAME(Name::from_ascii("elsewhere.test.").unwrap()))),
        ("elsewhere.test.", caa(0, "issue", "other.test")),
        ("alias2.example.", RData::CNAME(CNAME(Name::from_ascii("sub.elsewhere.test.").unwrap()))),
        ("sub.elsewhere.test.", RData::A(A::new(192, 0, 2, 1))),
    ])
    .await;
    let asked = async |name: &str| match resolver.caa(name).await.outcome {
        Outcome::Found(set) => {
            let records: Vec<_> = set.records.iter().map(ToString::to_string).collect();
            format!("{} {}", set.owner, records.join(", "))
        }
        other => format!("{other:?}"),
    };
    let of_a = "a.example 0 issue \"letsencrypt.org; validationmethods=http-01\", 128 tbs \"Unknown\"";
    for name in ["a.example", "A.example.", "deep.b.a.example", "not.there.a.example"] {
        assert_eq!(asked(name).await, of_a, "{name}");
    }
    assert_eq!(asked("b.example").await, "example 0 issue \"top.test\"");
    assert_eq!(asked("alias.example").await, "alias.example 0 issue \"other.test\"");
    // The parents of an alias's target do not count (RFC 8659 §3).
    assert_eq!(asked("alias2.example").await, "example 0 issue \"top.test\"");
    assert_eq!(asked("nothing.test").await, "NoRecords");
    let Outcome::Failed(failure) = resolver.caa("sub.broken").await.outcome else { panic!("broken answered") };
    assert_eq!(failure.kind, FailureKind::ServFail);
    assert!(failure.detail.starts_with("CAA records of broken: "), "{failure}");
    let Outcome::Failed(failure) = resolver.caa("mute").await.outcome else { panic!("mute answered") };
    assert_eq!(failure.kind, FailureKind::Timeout, "{failure}");
}
