//! That the CA of our own speaks ACME, counts right, and fails as it is told to: seen by the ACME library.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::support::faulty_ca::{
    Answer, DAY, DateHeader, Fault, FaultyCa, Flaw, InProcess, Kind, Matcher, Problem, Renewal, RetryAfter, Rule,
    Settings,
};

/// 2026-11-23 12:00 UTC.
const BEGIN: i64 = 1_795_435_200;
const NAMES: [&str; 2] = ["a.test", "matrix.a.test"];

/// A CA, a clock, and whether challenges are met.
struct Life {
    ca: FaultyCa,
    now: Arc<AtomicI64>,
    met: Arc<AtomicBool>,
}

impl Life {
    fn new(settings: Settings) -> Self {
        let met = Arc::new(AtomicBool::new(true));
        let looked_at = Arc::clone(&met);
        let ca = settings.start(move |validation| {
            assert!(validation.key_authorization.starts_with(&format!("{}.", validation.token)));
            looked_at.load(Ordering::Relaxed).then_some(()).ok_or_else(|| "nothing there".to_owned())
        });
        Self { ca, now: Arc::new(AtomicI64::new(BEGIN)), met }
    }

    fn usual() -> Self {
        Self::new(FaultyCa::settings())
    }

    fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    fn client(&self) -> Box<InProcess> {
        let now = Arc::clone(&self.now);
        Box::new(InProcess::new(self.ca.clone(), move || now.load(Ordering::Relaxed)))
    }

    async fn account(&self) -> Account {
        self.register("mailto:a@a.test", None).await.expect("an account")
    }

    async fn register(&self, contact: &str, external: Option<&ExternalAccountKey>) -> Result<Account, Error> {
        let new = NewAccount { contact: &[contact], terms_of_service_agreed: true, only_return_existing: false };
        let created = Account::builder_with_http(self.client()).create(&new, self.ca.directory(), external).await;
        created.map(|(account, _)| account)
    }

    fn get(&self, path: &str) -> (u16, http::HeaderMap, Bytes) {
        let request = Request::get(path).body(Bytes::new()).expect("a request");
        match self.ca.answer(&request, self.now()) {
            Answer::Respond(response) => {
                let (parts, body) = response.into_parts();
                (parts.status.as_u16(), parts.headers, body)
            }
            other => panic!("{other:?}"),
        }
    }

    fn ari_id(&self) -> String {
        self.ca.with_records(|records| records.certificates.last().expect("a certificate").ari_id.clone())
    }
}

fn identifiers(names: &[&str]) -> Vec<Identifier> {
    names.iter().map(|name| Identifier::Dns((*name).to_owned())).collect()
}

/// Announces a challenge for each name that is not authorised yet.
async fn announce(order: &mut Order, kind: ChallengeType) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Pending {
            let mut challenge = authorization.challenge(kind.clone()).expect("this type is on offer");
            challenge.set_ready().await?;
        }
    }
    Ok(())
}

/// From a placed order to the chain, and its key.
async fn complete(order: &mut Order, kind: ChallengeType, names: &[&str]) -> Result<(String, KeyPair), Error> {
    announce(order, kind).await?;
    let policy = RetryPolicy::new().initial_delay(Duration::from_millis(1)).timeout(Duration::from_secs(2));
    let status = order.poll_ready(&policy).await?;
    if status != OrderStatus::Ready {
        return Err(Error::Str("the order is not ready"));
    }
    let key = KeyPair::generate().expect("a key");
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let request = CertificateParams::new(names).expect("names").serialize_request(&key).expect("a request");
    order.finalize_csr(request.der()).await?;
    Ok((order.poll_certificate(&policy).await?, key))
}

async fn issue(account: &Account, names: &[&str]) -> Result<(String, KeyPair), Error> {
    let mut order = account.new_order(&NewOrder::new(&identifiers(names))).await?;
    complete(&mut order, ChallengeType::Http01, names).await
}

async fn replace(account: &Account, ari_id: &str, names: &[&str]) -> Result<Order, Error> {
    let (authority, serial) = ari_id.split_once('.').expect("two halves");
    let id = CertificateIdentifier { authority_key_identifier: authority.into(), serial: serial.into() };
    account.new_order(&NewOrder::new(&identifiers(names)).replaces(id)).await
}

#[track_caller]
fn problem<T>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Api(problem)) => {
            let kind = problem.r#type.unwrap_or_default();
            format!("{} {}", problem.status.unwrap_or_default(), kind.rsplit(':').next().unwrap_or_default())
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("no error"),
    }
}

/// Whether a client of this CA would believe the chain at this time.
fn verify(ca: &FaultyCa, chain: &str, name: &str, at: i64) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(ca.issuing_root().as_bytes()).expect("a root");
    roots.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes()).map(Result::unwrap).collect();
    let name = name.to_owned().try_into().expect("a name");
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.try_into().expect("after 1970")));
    verifier.verify_server_cert(&certificates[0], &certificates[1..], &name, &[], at).map(drop)
}

fn public_key(chain: &str) -> Vec<u8> {
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).expect("a leaf");
    let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).expect("a leaf");
    leaf.public_key().subject_public_key.data.to_vec()
}

#[tokio::test(start_paused = true)]
async fn an_order_becomes_a_certificate_that_verifies() {
    for kind in [ChallengeType::Http01, ChallengeType::TlsAlpn01, ChallengeType::Dns01] {
        let life = Life::usual();
        let account = life.account().await;
        let mut order = account.new_order(&NewOrder::new(&identifiers(&NAMES))).await.expect("an order");
        let (chain, key) = complete(&mut order, kind, &NAMES).await.expect("a certificate");
        for name in NAMES {
            verify(&life.ca, &chain, name, life.now()).expect("a good chain");
            verify(&life.ca, &chain, name, life.now() + 90 * DAY).expect_err("it has expired");
        }
        assert_eq!(public_key(&chain), key.public_key_raw());
        let records = life.ca.records();
        assert_eq!((records.orders.len(), records.certificates.len(), records.failures.len()), (1, 1, 0));
        assert!(records.breaches.is_empty(), "{:?}", records.breaches);
        assert_eq!(records.certificates[0].names, NAMES);
        assert_eq!(records.count(Kind::Challenge), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn wildcards_need_dns_01() {
    let life = Life::usual();
    let account = life.account().await;
    let names = ["*.a.test", "a.test"];
    let mut order = account.new_order(&NewOrder::new(&identifiers(&names))).await.expect("an order");
    let mut authorizations = order.authorizations();
    let authorization = authorizations.next().await.expect("two").expect("an authorisation");
    assert!(authorization.wildcard);
    let kinds: Vec<_> = authorization.challenges.iter().map(|challenge| challenge.r#type.clone()).collect();
    assert_eq!(kinds, [ChallengeType::Dns01]);
    let (chain, _) = complete(&mut order, ChallengeType::Dns01, &names).await.expect("a certificate");
    verify(&life.ca, &chain, "anything.a.test", life.now()).expect("a good chain");
}

#[tokio::test(start_paused = true)]
async fn profiles_choose_lifetimes() {
    let life = Life::usual();
    let account = life.account().await;
    life.ca.lifetime(Some("classic"), 64 * DAY);
    for (profile, days) in [("classic", 64), ("tlsserver", 45)] {
        let mut order =
            account.new_order(&NewOrder::new(&identifiers(&NAMES)).profile(profile)).await.expect("an order");
        complete(&mut order, ChallengeType::Http01, &NAMES).await.expect("a certificate");
        let records = life.ca.records();
        let last = records.certificates.last().expect("a certificate");
        assert_eq!((last.not_after + 1 - last.not_before, last.profile.as_deref()), (days * DAY, Some(profile)));
    }
    life.ca.fault(Matcher::of(Kind::NewOrder), Fault::Problem(Problem::new(400, "invalidProfile", "gone")));
    assert_eq!(problem(account.new_order(&NewOrder::new(&identifiers(&NAMES))).await), "400 invalidProfile");
}

#[tokio::test(start_paused = true)]
async fn a_challenge_is_announced_once_and_decided_later() {
    let life = Life::new(FaultyCa::settings().validation_delay(60));
    let account = life.account().await;
    let mut order = account.new_order(&NewOrder::new(&identifiers(&["a.test"]))).await.expect("an order");
    announce(&mut order, ChallengeType::Http01).await.expect("announced");
    assert_eq!(problem(announce(&mut order, ChallengeType::Http01).await), "409 conflict");
    assert_eq!(life.ca.records().breaches_of(Rule::ChallengeTwice), 1);
    life.pass(59);
    assert_eq!(order.refresh().await.expect("an order").status, OrderStatus::Pending);
    life.pass(1);
    assert_eq!(order.refresh().await.expect("an order").status, OrderStatus::Ready);
}

#[tokio::test(start_paused = true)]
async fn external_accounts_are_verified() {
    let settings = FaultyCa::settings().external_account("kid-1", b"secret").external_account_required();
    let life = Life::new(settings.single_use_bindings());
    assert_eq!(problem(life.register("mailto:a@a.test", None).await), "400 externalAccountRequired");
    let wrong = ExternalAccountKey::new("kid-1".to_owned(), b"guessed");
    assert_eq!(problem(life.register("mailto:a@a.test", Some(&wrong)).await), "403 unauthorized");
    let right = ExternalAccountKey::new("kid-1".to_owned(), b"secret");
    let account = life.register("mailto:a@a.test", Some(&right)).await.expect("an account");
    assert_eq!(life.ca.records().accounts[0].bound.as_deref(), Some("kid-1"));
    issue(&account, &NAMES).await.expect("a certificate");
    assert_eq!(problem(life.register("mailto:a@a.test", Some(&right)).await), "403 unauthorized");
}

#[tokio::test(start_paused = true)]
async fn one_key_has_one_account_and_lost_accounts_are_lost() {
    let life = Life::usual();
    let new = NewAccount { contact: &[], terms_of_service_agreed: true, only_return_existing: false };
    let build = || Account::builder_with_http(life.client());
    let (account, credentials) = build().create(&new, life.ca.directory(), None).await.expect("an account");
    let key = || {
        let der = credentials.private_key().secret_pkcs8_der().to_vec();
        let der = rustls::pki_types::PrivatePkcs8KeyDer::from(der);
        (instant_acme::Key::from_pkcs8_der(der.clone_key()).expect("a key"), der.into())
    };
    let (same, _) = build().from_key(key(), life.ca.directory()).await.expect("it exists");
    assert_eq!(same.id(), account.id());
    life.ca.fault(Matcher::of(Kind::NewOrder).times(1), Fault::AccountGone);
    assert_eq!(problem(issue(&account, &NAMES).await), "400 accountDoesNotExist");
    assert_eq!(problem(build().from_key(key(), life.ca.directory()).await), "400 accountDoesNotExist");
    life.account().await;
    life.account().await;
    assert_eq!(life.ca.records().breaches_of(Rule::SecondAccount), 1);
}

#[tokio::test(start_paused = true)]
async fn renewal_information_names_a_window() {
    let life = Life::usual();
    let account = life.account().await;
    // Serial numbers with and without a zero byte before them.
    for _ in 0..2 {
        let (chain, _) = issue(&account, &NAMES).await.expect("a certificate");
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).expect("a leaf");
        let (_, leaf) = x509_parser::parse_x509_certificate(&leaf).expect("a leaf");
        let extensions = leaf.iter_extensions().map(x509_parser::extensions::X509Extension::parsed_extension);
        let authority = extensions.filter_map(|extension| match extension {
            x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.clone(),
            _ => None,
        });
        let authority = authority.last().expect("a key identifier").0;
        let id = CertificateIdentifier::new(authority.into(), leaf.raw_serial().into());
        assert_eq!(id.to_string(), life.ari_id());
        let (info, retry_after) = account.renewal_info(&id).await.expect("a window");
        assert_eq!(retry_after.as_secs().div_ceil(60), 360);
        // Two thirds through 90 days that began an hour ago, and 0.9 days to either side.
        let ideal = BEGIN - 3600 + 60 * DAY;
        assert_eq!(info.suggested_window.start.unix_timestamp(), ideal - 9 * DAY / 10);
        assert_eq!(info.suggested_window.end.unix_timestamp(), ideal + 9 * DAY / 10);
    }
}

#[tokio::test(start_paused = true)]
async fn renewal_information_can_be_anything() {
    let life = Life::usual();
    issue(&life.account().await, &NAMES).await.expect("a certificate");
    let path = format!("/renewal-info/{}", life.ari_id());
    life.ca.revoke_all(life.now());
    let (_, headers, body) = life.get(&path);
    let body = String::from_utf8(body.to_vec()).expect("text");
    assert!(body.contains("2026-11-23T11:00:00Z") && body.contains("explanationURL"), "{body}");
    assert_eq!(headers["retry-after"], "21600");
    life.ca.renewal_retry_after(RetryAfter::None);
    life.ca.renewal(&life.ari_id(), Renewal::Body("{\"suggestedWindow\":7}".to_owned()));
    let (status, headers, body) = life.get(&path);
    assert_eq!((status, headers.get("retry-after"), &body[..]), (200, None, &b"{\"suggestedWindow\":7}"[..]));
    life.ca.renewal(&life.ari_id(), Renewal::Missing);
    assert_eq!(life.get(&path).0, 404);
    assert_eq!(life.get("/renewal-info/AAAA.BBBB").0, 404);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_has_one_successor_that_is_exempt_inside_the_window() {
    let life = Life::usual();
    let account = life.account().await;
    issue(&account, &NAMES).await.expect("a certificate");
    let first = life.ari_id();
    let stranger = life.register("mailto:b@b.test", None).await.expect("an account");
    assert_eq!(problem(replace(&stranger, &first, &NAMES).await), "403 unauthorized");
    assert_eq!(problem(replace(&account, &first, &["c.test"]).await), "400 malformed");
    assert_eq!(problem(replace(&account, "AAAA.BBBB", &NAMES).await), "404 malformed");

    life.pass(60 * DAY);
    let mut order = replace(&account, &first, &NAMES).await.expect("an order");
    assert_eq!(problem(replace(&account, &first, &NAMES).await), "409 alreadyReplaced");
    complete(&mut order, ChallengeType::Http01, &NAMES).await.expect("a certificate");
    assert_eq!(problem(replace(&account, &first, &NAMES).await), "409 alreadyReplaced");

    // Too early, and given up: once the order has failed there may be another.
    let second = life.ari_id();
    life.met.store(false, Ordering::Relaxed);
    let mut order = replace(&account, &second, &NAMES).await.expect("an order");
    complete(&mut order, ChallengeType::Http01, &NAMES).await.expect_err("nothing there");
    replace(&account, &second, &NAMES).await.expect("an order");
    let exempt: Vec<_> = life.ca.records().orders.iter().map(|order| order.exempt).collect();
    assert_eq!(exempt, [false, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn limits_are_counted_and_enforced() {
    for enforced in [false, true] {
        let settings = FaultyCa::settings();
        let life = Life::new(if enforced { settings.enforce_limits() } else { settings });
        let account = life.account().await;
        for _ in 0..5 {
            issue(&account, &NAMES).await.expect("a certificate");
            life.pass(3600);
        }
        assert_eq!(life.ca.records().over_limits(), [""; 0]);
        let sixth = issue(&account, &NAMES).await;
        let over = life.ca.records().over_limits();
        if enforced {
            assert_eq!((problem(sixth).as_str(), over.len()), ("429 rateLimited", 0));
        } else {
            assert!(sixth.is_ok());
            assert_eq!(
                over,
                ["certificates for exactly a.test, matrix.a.test: 6 within 604800 s, where 5 are allowed"]
            );
        }

        life.met.store(false, Ordering::Relaxed);
        for _ in 0..5 {
            issue(&account, &["b.test"]).await.expect_err("nothing there");
            life.pass(60);
        }
        let sixth = issue(&account, &["b.test"]).await;
        let over = life.ca.records().over_limits();
        match enforced {
            true => assert_eq!((problem(sixth).as_str(), over.len()), ("429 rateLimited", 0)),
            false => {
                assert!(over.iter().any(|line| line.starts_with("failed authorisations of b.test: 6")), "{over:?}")
            }
        }
        // The hour is over for the first of them.
        life.met.store(true, Ordering::Relaxed);
        life.pass(3600 - 5 * 60);
        issue(&account, &["b.test"]).await.expect("a certificate");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_told_to_wait_waits() {
    let life = Life::new(FaultyCa::settings().date(DateHeader::Skewed(-3600)));
    let account = life.account().await;
    let limited = Fault::Problem(Problem::rate_limited(RetryAfter::Date(600)));
    life.ca.fault(Matcher::of(Kind::NewOrder).name("a.test").times(1), limited);
    assert_eq!(problem(issue(&account, &NAMES).await), "429 rateLimited");
    issue(&account, &["c.test"]).await.expect("others are free");
    life.pass(599);
    issue(&account, &NAMES).await.expect("only this once");
    assert_eq!(life.ca.records().breaches_of(Rule::BeforeRetryAfter), 1);
    life.pass(1);
    issue(&account, &NAMES).await.expect("a certificate");
    assert_eq!(life.ca.records().breaches_of(Rule::BeforeRetryAfter), 1);
    let refused = Problem::rate_limited(RetryAfter::Detail(600));
    life.ca.fault(Matcher::of(Kind::Directory), Fault::Problem(refused));
    let (status, headers, body) = life.get("/directory");
    assert_eq!((status, headers.get("retry-after")), (429, None));
    assert_eq!(headers["date"], "Mon, 23 Nov 2026 11:10:00 GMT");
    let body = String::from_utf8(body.to_vec()).expect("text");
    assert!(body.contains("retry after 2026-11-23 12:20:00 UTC"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn certificates_can_have_flaws() {
    let expectations = [
        (Flaw::ForeignChain, false),
        (Flaw::NoChain, false),
        (Flaw::ForeignKey, true),
        (Flaw::Expired, false),
        (Flaw::NotYetValid, false),
        (Flaw::OtherNames, false),
        (Flaw::MissingName, false),
    ];
    for (flaw, verifies) in expectations {
        let life = Life::usual();
        let account = life.account().await;
        life.ca.fault(Matcher::of(Kind::Finalize).times(1), Fault::Certificate(flaw));
        let (chain, key) = issue(&account, &NAMES).await.expect("a certificate");
        let result = NAMES.iter().try_for_each(|name| verify(&life.ca, &chain, name, life.now()));
        assert_eq!(result.is_ok(), verifies, "{flaw:?}: {result:?}");
        assert_eq!(public_key(&chain) == key.public_key_raw(), flaw != Flaw::ForeignKey);
        issue(&account, &NAMES).await.expect("only once");
    }
}

#[tokio::test(start_paused = true)]
async fn orders_can_end_badly() {
    let life = Life::usual();
    let account = life.account().await;
    life.ca.fault(Matcher::of(Kind::Order).times(1), Fault::OrderInvalid);
    issue(&account, &["a.test"]).await.expect_err("invalid instead of ready");
    life.ca.fault(Matcher::of(Kind::Finalize).times(1), Fault::Stuck(Some(60)));
    assert!(matches!(issue(&account, &["b.test"]).await, Err(Error::Timeout(_))));
    life.pass(60);
    let mut order = account.order("https://ca.test/order/1".to_owned()).await.expect("an order");
    assert_eq!(order.state().status, OrderStatus::Valid);
    assert!(order.certificate().await.expect("a chain").is_some());

    let mut replaced = life.ari_id();
    life.ca.fault(Matcher::of(Kind::NewOrder).replacing().times(1), Fault::NoReplacesEcho);
    assert!(matches!(replace(&account, &replaced, &["b.test"]).await, Err(Error::Other(_))));
    replaced.push('x');
    assert_eq!(problem(replace(&account, &replaced, &["b.test"]).await), "404 malformed");

    life.ca.fault(Matcher::of(Kind::Finalize).times(1), Fault::LostAnswer);
    let mut order = account.new_order(&NewOrder::new(&identifiers(&["d.test"]))).await.expect("an order");
    let lost = complete(&mut order, ChallengeType::Http01, &["d.test"]).await;
    assert!(matches!(lost, Err(Error::Other(_))));
    assert_eq!(life.ca.records().certificates.len(), 2);
    assert_eq!(life.ca.records().breaches_of(Rule::FinalizeTwice), 0);
}

#[tokio::test(start_paused = true)]
async fn the_wire_can_fail() {
    let life = Life::usual();
    let account = life.account().await;
    life.ca.fault(Matcher::any().percent(40).times(8), Fault::BadNonce);
    let mut refused = 0;
    while issue(&account, &["a.test"]).await.is_err() {
        refused += 1;
        assert!(refused < 10);
    }
    life.ca.heal();
    life.ca.fault(Matcher::of(Kind::Directory).times(1), Fault::Truncated);
    assert!(serde_json::from_slice::<serde_json::Value>(&life.get("/directory").2).is_err());
    life.ca.fault(Matcher::of(Kind::Directory).times(1), Fault::Huge(2 << 20));
    assert_eq!(life.get("/directory").2.len(), 2 << 20);
    let busy = Fault::Html { status: 503, retry_after: RetryAfter::Seconds(30) };
    life.ca.fault(Matcher::of(Kind::Directory).times(1), busy);
    let (status, headers, body) = life.get("/directory");
    assert_eq!((status, &headers["retry-after"], &body[..5]), (503, &"30".parse().unwrap(), &b"<html"[..]));

    life.ca.outage(life.now() + 10, life.now() + 20);
    let request = Request::get("/directory").body(Bytes::new()).expect("a request");
    for (wait, out) in [(9, false), (1, true), (9, true), (1, false)] {
        life.pass(wait);
        assert_eq!(matches!(life.ca.answer(&request, life.now()), Answer::Reset), out);
    }
    life.ca.fault(Matcher::of(Kind::Directory).between(life.now(), life.now() + 5), Fault::Hang);
    assert!(matches!(life.ca.answer(&request, life.now()), Answer::Hang));
    life.pass(5);
    assert_eq!(life.get("/directory").0, 200);
}

#[test]
#[should_panic(expected = "never meets")]
fn a_fault_that_cannot_act_is_refused() {
    Life::usual().ca.fault(Matcher::of(Kind::NewOrder), Fault::Stuck(None));
}

/// Simulations ask a hundred thousand times. The bounds are far above what it takes: this machine may be busy.
#[tokio::test(start_paused = true)]
async fn it_is_quick() {
    const LOOKS: u32 = 2_000;
    const ISSUANCES: u32 = 20;
    let life = Life::usual();
    let account = life.account().await;
    let begun = Instant::now();
    for _ in 0..ISSUANCES {
        issue(&account, &["a.test"]).await.expect("a certificate");
    }
    let issuance = begun.elapsed() / ISSUANCES;
    let path = format!("/renewal-info/{}", life.ari_id());
    let timed = |path: &str| {
        let begun = Instant::now();
        (0..LOOKS).for_each(|_| assert_eq!(life.get(path).0, 200));
        begun.elapsed() / LOOKS
    };
    let (renewal, directory) = (timed(&path), timed("/directory"));
    println!("an issuance {issuance:?}, renewal information {renewal:?}, directory {directory:?}");
    assert!(issuance < Duration::from_millis(50), "{issuance:?}");
    assert!(renewal < Duration::from_millis(1) && directory < Duration::from_millis(1), "{renewal:?} {directory:?}");
}
