//! What is seen, judged by a table; and real sockets and a real lookup below the same judgement.

use super::*;
use crate::dns::tests::name_server;
use crate::dns::{Addresses, CaaRecord, CaaSet, Failure, FailureKind};
use crate::probe::Reach;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::{A, AAAA, CAA};
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const BOTH: [Challenge; 2] = [Challenge::TlsAlpn01, Challenge::Http01];

fn pattern(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

fn failure(kind: FailureKind) -> Failure {
    Failure { kind, detail: "it failed".to_owned() }
}

fn at(addresses: &[&str]) -> Addresses {
    let mut found = Addresses::default();
    for address in addresses {
        match address.parse().unwrap() {
            std::net::IpAddr::V4(address) => found.v4.push(address),
            std::net::IpAddr::V6(address) => found.v6.push(address),
        }
    }
    found
}

/// A name that leads to 8.8.8.8, with nothing amiss.
fn name() -> NameFacts {
    NameFacts {
        name: pattern("a.test"),
        wildcard: false,
        lookup: Lookup::Dns(Outcome::Found(at(&["8.8.8.8"]))),
        ways: Vec::new(),
        caa: Some(Outcome::NoRecords),
    }
}

fn judged(name: NameFacts) -> Report {
    judged_for(name, &BOTH)
}

fn judged_for(name: NameFacts, challenges: &[Challenge]) -> Report {
    let ca = ["ca.test".to_owned()];
    let facts = Facts { names: vec![name], state: Ok(()), challenges, ca_identities: &ca, account_uri: None };
    judge::judge(&facts)
}

fn only(report: &Report, what: Aspect) -> &Finding {
    let mut findings = report.findings.iter().filter(|finding| finding.what == what);
    let first = findings.next().unwrap_or_else(|| panic!("no finding about {what}"));
    assert!(findings.next().is_none(), "several findings about {what}");
    first
}

#[test]
fn names_that_lead_nowhere() {
    use FailureKind::{NoNameServer, ServFail, Timeout};
    let dns = |outcome| Lookup::Dns(outcome);
    let mut half = at(&["8.8.8.8"]);
    half.trouble = Some(failure(ServFail));
    let table = [
        (dns(Outcome::Found(at(&["8.8.8.8", "2a00::1"]))), Verdict::Good, "a.test is at 8.8.8.8, 2a00::1", ""),
        (dns(Outcome::Found(half)), Verdict::Unknown, "the other family's lookup failed", "DNSSEC"),
        (dns(Outcome::NoRecords), Verdict::Bad, "a.test has no address in DNS", "a.test. A ADDRESS"),
        (dns(Outcome::Failed(failure(ServFail))), Verdict::Unknown, "cannot be looked up", "dig +cd a.test A"),
        (dns(Outcome::Failed(failure(Timeout))), Verdict::Unknown, "it failed", "/etc/resolv.conf"),
        (dns(Outcome::Failed(failure(NoNameServer))), Verdict::Unknown, "it failed", "/etc/resolv.conf"),
        (Lookup::HostsFile(at(&["127.0.1.1"]), Box::new(Outcome::NoRecords)), Verdict::Unknown, "hosts file", ""),
    ];
    for (lookup, verdict, detail, remedy) in table {
        let shown = format!("{lookup:?}");
        let report = judged(NameFacts { lookup, ..name() });
        let finding = only(&report, Aspect::Dns);
        assert_eq!((finding.verdict, finding.subject.as_str()), (verdict, "a.test"), "{shown}");
        assert!(finding.detail.contains(detail), "{finding:?}");
        assert!(finding.remedy.contains(remedy), "{finding:?}");
        assert_eq!(report.blocks(), verdict == Verdict::Bad, "{shown}");
    }
    // A challenge over DNS needs no address.
    let report = judged_for(NameFacts { lookup: Lookup::NotNeeded, ..name() }, &[]);
    assert!(report.findings.iter().all(|finding| finding.what != Aspect::Dns));
}

/// `8.8.8.8 own listened: reached` and so on, one way each, at port 443.
fn way(text: &str) -> Way {
    let (place, reach) = text.split_once(": ").unwrap();
    let mut words = place.split(' ');
    let address: std::net::IpAddr = words.next().unwrap().parse().unwrap();
    let words: Vec<_> = words.collect();
    let reach = match reach {
        "reached" => Reach::Reached,
        "other" => Reach::Other("HTTP status 200, nginx".to_owned()),
        "redirected" => Reach::Redirected("https://b.test/".to_owned()),
        "refused" => Reach::Refused,
        "timeout" => Reach::TimedOut,
        "failed" => Reach::Failed("no route".to_owned()),
        "busy" => Reach::Busy,
        other => panic!("{other}"),
    };
    Way {
        challenge: Challenge::TlsAlpn01,
        role: Role::Https,
        address: SocketAddr::new(address, 443),
        own: words.contains(&"own"),
        public: not_public(address).is_none(),
        listened: words.contains(&"listened"),
        reach,
    }
}

#[test]
fn only_what_is_certain_rules_a_type_out() {
    use Verdict::{Bad, Good, Unknown};
    let see = "see ss -ltnp 'sport = :443', stop that program, and give the port to listen.https";
    let bind = "write listen.https = [\"[::]:443\"], or add 8.8.8.8:443";
    let outside = "from another network, openssl s_client -connect a.test:443 -alpn acme-tls/1";
    let table: &[(&[&str], Verdict, &str, &str)] = &[
        (&["8.8.8.8 own listened: reached"], Good, "port 443 of 8.8.8.8 reaches this process", ""),
        (&["8.8.8.8: reached", "2a00::1: reached"], Good, "2a00::1 reaches this process", ""),
        // Its own address: nobody else could answer there.
        (&["8.8.8.8 own listened: other"], Bad, "answered by another program (HTTP status 200, nginx)", see),
        (&["8.8.8.8 own: other"], Bad, "this machine's own address: port 443 of 8.8.8.8 is answered", see),
        (&["8.8.8.8 own listened: refused"], Bad, "this machine's own address: port 443 of 8.8.8.8 refuses", bind),
        (&["8.8.8.8 own listened: reached", "2a00::1 own listened: other"], Bad, "443 of 2a00::1", see),
        // A CA that is refused tries the other family.
        (&["8.8.8.8 own listened: reached", "2a00::1 own listened: refused"], Unknown, "not every address", "2a00::1"),
        (
            &["8.8.8.8 own listened: refused", "2a00::1 own listened: refused"],
            Bad,
            "own addresses: port 443 of 8.8.8.8 refuses connections; port 443 of 2a00::1 refuses",
            bind,
        ),
        (&["8.8.8.8 own listened: refused", "2a00::1: timeout"], Unknown, "8.8.8.8 refuses", bind),
        // A firewall of this machine may redirect what comes from outside.
        (&["8.8.8.8 own: refused"], Unknown, "refuses connections", "no address in listen.https has port 443"),
        (&["8.8.8.8 own listened: timeout"], Unknown, "does not answer within 5 s", "nft list ruleset"),
        (&["8.8.8.8 own listened: redirected"], Unknown, "redirects to https://b.test/", see),
        (&["8.8.8.8 own listened: failed"], Unknown, "cannot be asked (no route)", "nft list ruleset"),
        (&["8.8.8.8 own listened: busy"], Unknown, "is being validated right now", ""),
        // Behind a private address DNS may have another view, and the router another port.
        (&["10.0.0.1 own listened: other"], Unknown, "answered by another program", see),
        (&["127.0.1.1 own listened: refused"], Unknown, "refuses", "write listen.https"),
        (&["192.168.1.1 own listened: reached"], Good, "reaches this process", ""),
        // Somebody else's address: a router need not lead back.
        (&["8.8.8.8: other"], Unknown, "answered by another program", outside),
        (&["8.8.8.8: refused"], Unknown, "refuses", outside),
        (&["8.8.8.8: timeout"], Unknown, "does not answer", outside),
        // The classic.
        (
            &["8.8.8.8 own listened: reached", "2a00::1: other"],
            Unknown,
            "not every address leads here: port 443 of 8.8.8.8 reaches this process; port 443 of 2a00::1 is answered",
            "if 2a00::1 is not an address of this machine, remove the AAAA record of a.test",
        ),
    ];
    for (ways, verdict, detail, remedy) in table {
        let report = judged(NameFacts { ways: ways.iter().map(|text| way(text)).collect(), ..name() });
        let finding = only(&report, Aspect::Reach);
        assert_eq!(finding.verdict, *verdict, "{ways:?}: {finding:?}");
        assert!(finding.detail.contains(detail), "{ways:?}: {}", finding.detail);
        assert!(finding.remedy.contains(remedy), "{ways:?}: {}", finding.remedy);
        assert_eq!(remedy.is_empty(), finding.remedy.is_empty(), "{ways:?}: {}", finding.remedy);
        // The other type is left.
        let left = if *verdict == Bad { &BOTH[1..] } else { &BOTH[..] };
        assert_eq!(report.usable(&BOTH), left, "{ways:?}");
        assert!(!report.blocks());
        let ways = ways.iter().map(|text| way(text)).collect();
        let report = judged_for(NameFacts { ways, ..name() }, &[Challenge::TlsAlpn01]);
        assert_eq!(report.blocks(), *verdict == Bad);
    }
}

#[test]
fn records_that_forbid() {
    let set = |value: &str| {
        let records = vec![CaaRecord::new(0, "issue", value.as_bytes())];
        Outcome::Found(CaaSet { owner: "test".to_owned(), records })
    };
    let table = [
        (Outcome::NoRecords, Verdict::Good, "every CA may issue", "", &BOTH[..]),
        (set("ca.test"), Verdict::Good, "the CAA records of test let the CA issue", "", &BOTH),
        (set("other.test"), Verdict::Bad, "over tls-alpn-01, http-01", "test. CAA 0 issue \"ca.test\"", &[]),
        (
            set("ca.test; validationmethods=http-01"),
            Verdict::Bad,
            "may not issue over tls-alpn-01: test has CAA 0 issue",
            "add tls-alpn-01 to validationmethods",
            &BOTH[1..],
        ),
        (set("ca.test; accounturi=https://x"), Verdict::Unknown, "no account yet", "", &BOTH),
        (
            Outcome::Failed(failure(FailureKind::ServFail)),
            Verdict::Unknown,
            "it failed; while the CA gets no answer either, it refuses to issue",
            "dig a.test CAA",
            &BOTH,
        ),
        (Outcome::Failed(failure(FailureKind::Timeout)), Verdict::Unknown, "it failed", "/etc/resolv.conf", &BOTH),
    ];
    for (caa, verdict, detail, remedy, left) in table {
        let report = judged(NameFacts { caa: Some(caa), ..name() });
        let finding = only(&report, Aspect::Caa);
        assert_eq!(finding.verdict, verdict, "{finding:?}");
        assert!(finding.detail.contains(detail), "{finding:?}");
        assert!(finding.remedy.contains(remedy), "{finding:?}");
        assert_eq!(report.usable(&BOTH), left, "{finding:?}");
        assert_eq!(report.blocks(), left.is_empty());
    }
    assert!(judged(NameFacts { caa: None, ..name() }).findings.iter().all(|finding| finding.what != Aspect::Caa));
}

/// Different types that are ruled out by different faults leave nothing.
#[test]
fn faults_add_up() {
    let methods = CaaRecord::new(0, "issue", b"ca.test; validationmethods=tls-alpn-01");
    let caa = Some(Outcome::Found(CaaSet { owner: "a.test".to_owned(), records: vec![methods] }));
    let ways = vec![way("8.8.8.8 own listened: other")];
    assert!(judged(NameFacts { ways, caa, ..name() }).blocks());
}

fn preflight(resolver: Resolver, store: Store) -> Preflight {
    Preflight {
        resolver,
        challenges: Challenges::default(),
        store,
        own: OwnListeners::default(),
        ports: ValidationPorts::default(),
    }
}

/// Answers HTTP-01 challenges on one connection after the other.
async fn serve(listener: TcpListener, challenges: Challenges) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        assert!(request.to_ascii_lowercase().contains("\r\nhost: a.test\r\n"), "{request}");
        let token = request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap();
        let answer = challenges.answer_http(token).unwrap_or_default();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_is_followed_to_its_addresses() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (resolver, _server) = name_server(vec![
        ("a.test.", RData::A(A::new(127, 0, 0, 1))),
        ("a.test.", RData::A(A::new(127, 0, 0, 9))),
        ("six.test.", RData::AAAA(AAAA::new(0xff00, 0, 0, 0, 0, 0, 0, 1))),
    ])
    .await;
    let ports = ValidationPorts { http: port, tls: 1 };
    let preflight = Preflight { ports, ..preflight(resolver, Store::memory()) };
    let examined = async {
        let found =
            preflight.examine(&[pattern("a.test"), pattern("nobody.test")], &[Challenge::Http01], &[], None).await;
        (found, preflight.challenges.clone())
    };
    let (report, challenges) = tokio::select! {
        examined = examined => examined,
        () = serve(listener, preflight.challenges.clone()) => unreachable!(),
    };
    let told: Vec<_> = report.findings.iter().map(|finding| (finding.what, finding.verdict)).collect();
    use Verdict::{Bad, Good, Unknown};
    let expected = [
        (Aspect::State, Good),
        (Aspect::Dns, Good),
        (Aspect::Reach, Unknown),
        (Aspect::Caa, Good),
        (Aspect::Dns, Bad),
        (Aspect::Caa, Good),
    ];
    assert_eq!(told, expected, "{report:#?}");
    let reach = only(&report, Aspect::Reach);
    let seen = format!("port {port} of 127.0.0.1 reaches this process; port {port} of 127.0.0.9 refuses connections");
    assert!(reach.detail.ends_with(&seen), "{}", reach.detail);
    assert!(report.blocks());
    assert!(format!("{challenges:?}").contains("by_token: {}"), "every challenge is closed again");
}

/// A CA proves a wildcard over DNS alone, and asks the name below the star for its records.
#[tokio::test]
async fn a_wildcard_is_looked_up_for_its_records_only() {
    let (resolver, _server) =
        name_server(vec![("a.test.", RData::CAA(CAA::new_issuewild(false, None, Vec::new())))]).await;
    let names = [pattern("*.a.test"), pattern("a.test")];
    let preflight = preflight(resolver, Store::memory());
    let report = preflight.examine(&names, &[Challenge::Http01], &["ca.test".to_owned()], None).await;
    let told: Vec<_> =
        report.findings.iter().map(|finding| (&*finding.subject, finding.what, finding.verdict)).collect();
    let expected = [
        ("state_dir", Aspect::State, Verdict::Good),
        ("*.a.test", Aspect::Caa, Verdict::Bad),
        ("a.test", Aspect::Dns, Verdict::Bad),
        ("a.test", Aspect::Caa, Verdict::Good),
    ];
    assert_eq!(told, expected, "{report:#?}");
}

#[tokio::test]
async fn state_that_cannot_be_kept_blocks_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::directory(folder.path()).unwrap();
    let names = [pattern("127.0.0.1")];
    let report = preflight(Resolver::offline(), store.clone()).examine(&names, &BOTH, &[], None).await;
    assert_eq!(only(&report, Aspect::State).verdict, Verdict::Good);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let file = tempfile::NamedTempFile::new().unwrap();
    let report = preflight(Resolver::offline(), Store::existing(file.path()));
    let report = report.examine(&names, &BOTH, &[], None).await;
    let finding = only(&report, Aspect::State);
    assert_eq!(finding.verdict, Verdict::Bad);
    assert!(finding.detail.contains(&*file.path().to_string_lossy()), "{finding:?}");
    assert!(report.blocks());
}
