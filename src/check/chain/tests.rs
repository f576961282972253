//! Chains of every kind, made with a CA of the moment.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};

type Ca = CertifiedIssuer<'static, KeyPair>;

const PRIVATE: Policy = Policy { private: true, roots_given: false };

/// 2026-01-21, within the dates of everything below unless it says otherwise.
const NOW: Timestamp = Timestamp(1_769_000_000);

fn ca(name: &str, parent: Option<&Ca>) -> Ca {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    match parent {
        Some(parent) => CertifiedIssuer::signed_by(params, key, parent).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    for name in names {
        params.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        });
    }
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 4, 1);
    params
}

fn leaf(params: CertificateParams, issuer: &Ca) -> CertificateDer<'static> {
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap().der().clone()
}

fn examine(presented: &[CertificateDer<'static>], name: &str, trusted: &[&Ca]) -> Chain {
    let mut roots = RootCertStore::empty();
    for root in trusted {
        roots.add(root.der().clone()).unwrap();
    }
    let roots = TrustSets::of(roots, RootCertStore::empty());
    Chain::examine(presented, &Host::parse(name).unwrap(), &roots, NOW)
}

#[test]
fn trust_is_told_in_its_kinds() {
    let (root, other) = (ca("Root", None), ca("Other", None));
    let (middle, same_name) = (ca("Middle", Some(&root)), ca("Root", None));
    let stranger = ca("Middle", Some(&other));
    let key = KeyPair::generate().unwrap();
    let own = params(&["ex.org"]).self_signed(&key).unwrap().der().clone();
    let through = leaf(params(&["ex.org"]), &middle);
    let direct = leaf(params(&["ex.org"]), &root);
    let (m, r, s) = (middle.der().clone(), root.der().clone(), stranger.der().clone());
    let unknown = |issuer: &str| format!("unknown root {issuer}");
    let table: [(&[CertificateDer<'static>], &[&Ca], String); 13] = [
        (&[through.clone(), m.clone()], &[&root], "verified".to_owned()),
        (&[through.clone(), m.clone(), r.clone()], &[&root], "verified".to_owned()),
        (&[through.clone(), r.clone(), m.clone()], &[&root], "verified".to_owned()),
        (std::slice::from_ref(&direct), &[&root], "verified".to_owned()),
        (std::slice::from_ref(&through), &[&root], "incomplete Middle".to_owned()),
        (&[through.clone(), r.clone()], &[&root], "incomplete Middle".to_owned()),
        (&[through.clone(), m.clone()], &[&other], unknown("Root")),
        (&[through.clone(), m.clone(), r.clone()], &[&other], unknown("Root")),
        (&[through.clone(), m.clone()], &[&same_name], unknown("Root")),
        (std::slice::from_ref(&direct), &[&same_name], unknown("Root")),
        (&[through.clone(), s], &[&root], "refused".to_owned()),
        (&[own], &[&root], "self-signed".to_owned()),
        (&[through.clone(), m], &[], unknown("Root")),
    ];
    for (row, (presented, trusted, expected)) in table.into_iter().enumerate() {
        let chain = examine(presented, "ex.org", trusted);
        let cn = |name: &str| name.rsplit("CN=").next().unwrap_or_default().to_owned();
        let told = match &chain.trust {
            Trust::Verified => "verified".to_owned(),
            Trust::SelfSigned => "self-signed".to_owned(),
            Trust::UnknownRoot { issuer } => unknown(&cn(issuer)),
            Trust::Incomplete { issuer, .. } => format!("incomplete {}", cn(issuer)),
            Trust::Refused(_) => "refused".to_owned(),
        };
        assert_eq!(told, expected, "row {row}: {:?}", chain.trust);
        assert!(chain.covers_name && chain.expired.is_empty() && chain.not_yet.is_empty(), "row {row}");
    }
}

#[test]
fn dates_do_not_pass_for_trust_and_the_certificate_at_fault_is_known() {
    let root = ca("Root", None);
    let dated = |from: (i32, u8), to: (i32, u8)| {
        let mut params = params(&["ex.org"]);
        params.not_before = date_time_ymd(from.0, from.1, 1);
        params.not_after = date_time_ymd(to.0, to.1, 1);
        leaf(params, &root)
    };
    let expired = examine(&[dated((2025, 1), (2025, 4))], "ex.org", &[&root]);
    assert_eq!((expired.trust.clone(), expired.expired.as_slice()), (Trust::Verified, &[0][..]));
    assert!(!expired.accepted(PRIVATE));
    let early = examine(&[dated((2027, 1), (2027, 4))], "ex.org", &[&root]);
    assert_eq!((early.trust, early.not_yet.as_slice(), early.expired.len()), (Trust::Verified, &[0][..], 0));
    let both = examine(&[dated((2025, 1), (2025, 4))], "ex.org", &[&ca("Other", None)]);
    assert!(matches!(both.trust, Trust::Incomplete { .. }) && both.expired == [0], "{both:?}");
}

#[test]
fn names_wildcards_addresses_and_common_names() {
    let root = ca("Root", None);
    let mut only_cn = params(&[]);
    only_cn.distinguished_name.push(DnType::CommonName, "ex.org");
    let only_cn = leaf(only_cn, &root);
    let table = [
        (vec!["ex.org"], "ex.org", true),
        (vec!["ex.org"], "EX.org", true),
        (vec!["*.ex.org"], "m.ex.org", true),
        (vec!["*.ex.org"], "ex.org", false),
        (vec!["*.ex.org"], "a.m.ex.org", false),
        (vec!["192.0.2.1"], "192.0.2.1", true),
        (vec!["192.0.2.1"], "192.0.2.2", false),
        (vec!["2001:db8::1"], "[2001:db8::1]", true),
        (vec!["ex.org", "m.ex.org"], "m.ex.org", true),
    ];
    for (names, wanted, covered) in table {
        let chain = examine(&[leaf(params(&names), &root)], wanted, &[&root]);
        assert_eq!(chain.covers_name, covered, "{names:?} for {wanted}");
        assert_eq!(chain.leaf().unwrap().names, names);
    }
    let chain = examine(&[only_cn], "ex.org", &[&root]);
    assert!(!chain.covers_name && chain.leaf().unwrap().only_common_name());
}

#[test]
fn order_and_superfluous_certificates() {
    let root = ca("Root", None);
    let (upper, stray) = (ca("Upper", Some(&root)), ca("Stray", Some(&root)));
    let lower = ca("Lower", Some(&upper));
    let server = leaf(params(&["ex.org"]), &lower);
    let [u, l, s, r] = [&upper, &lower, &stray, &root].map(|ca| ca.der().clone());
    let table: [(&[CertificateDer<'static>], bool, &[usize]); 4] = [
        (&[server.clone(), l.clone(), u.clone()], true, &[]),
        (&[server.clone(), u.clone(), l.clone()], false, &[]),
        (&[server.clone(), l.clone(), u.clone(), r], true, &[3]),
        (&[server.clone(), s, l, u], true, &[1]),
    ];
    for (presented, in_order, extra) in table {
        let chain = examine(presented, "ex.org", &[&root]);
        assert_eq!((chain.in_order, chain.extra.as_slice(), chain.trust), (in_order, extra, Trust::Verified));
    }
}

#[test]
fn rubbish_is_refused_and_never_panics() {
    let root = ca("Root", None);
    for presented in [vec![], vec![CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])], vec![CertificateDer::from(vec![])]]
    {
        let chain = examine(&presented, "ex.org", &[&root]);
        assert!(matches!(chain.trust, Trust::Refused(_)) && chain.leaf().is_none() && !chain.accepted(PRIVATE));
    }
}

#[test]
fn a_chain_is_held_against_each_list() {
    let (ours, theirs) = (ca("Ours", None), ca("Theirs", None));
    let store = |trusted: &[&Ca]| {
        let mut roots = RootCertStore::empty();
        for root in trusted {
            roots.add(root.der().clone()).unwrap();
        }
        roots
    };
    let by = |system, mozilla, given| TrustedBy { system, mozilla, given };
    type Row<'a> = (&'a [&'a Ca], &'a [&'a Ca], Option<&'a Ca>, TrustedBy, bool);
    let table: [Row<'_>; 6] = [
        (&[&ours], &[&ours], None, by(true, true, false), true),
        (&[&ours], &[&theirs], None, by(true, false, false), false),
        (&[&theirs], &[&ours], None, by(false, true, false), false),
        (&[], &[&ours, &theirs], None, by(false, true, false), false),
        (&[&theirs], &[&theirs], Some(&ours), by(false, false, true), true),
        (&[&theirs], &[&theirs], None, by(false, false, false), false),
    ];
    let chain = [leaf(params(&["ex.org"]), &ours)];
    for (row, (system, mozilla, given, expected, everywhere)) in table.into_iter().enumerate() {
        let mut sets = TrustSets::of(store(system), store(mozilla));
        if let Some(given) = given {
            sets.add_pem(given.pem().as_bytes()).unwrap();
        }
        let chain = Chain::examine(&chain, &Host::parse("ex.org").unwrap(), &sets, NOW);
        assert_eq!((chain.trusted_by, chain.trusted_by.everywhere()), (expected, everywhere), "row {row}");
        assert_eq!(chain.trust == Trust::Verified, expected != TrustedBy::default(), "row {row}");
    }
}

#[test]
fn lists_differ_in_an_expired_chain_as_well() {
    let root = ca("Root", None);
    let mut params = params(&["ex.org"]);
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2025, 4, 1));
    let chain = examine(&[leaf(params, &root)], "ex.org", &[&root]);
    assert_eq!((chain.trusted_by.names(), chain.expired.as_slice()), (vec!["system"], &[0][..]));
}

#[test]
fn a_chain_without_end_is_cut() {
    let root = ca("Root", None);
    let mut presented = vec![leaf(params(&["ex.org"]), &root)];
    presented.extend(std::iter::repeat_n(root.der().clone(), 200));
    let chain = examine(&presented, "ex.org", &[&root]);
    assert_eq!((chain.certificates.len(), chain.trust), (MAX_CERTIFICATES, Trust::Verified));
}
