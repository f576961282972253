//! The throw-away CA of a group: a root, an intermediate below it, and every kind of chain that operators present.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::support::openssl;

/// A day in seconds.
pub const DAY: i64 = 86_400;

/// What an ordinary CA of today gives: valid since ten days, for ninety.
const ORDINARY: (i64, i64) = (-10 * DAY, 80 * DAY);

/// A root and what is below it.
pub struct Authority {
    folder: PathBuf,
    issued: Cell<u32>,
    root: Node,
    intermediate: Node,
    /// Expired since yesterday.
    stale: Node,
    /// Below the intermediate.
    lower: Node,
    /// Named as a well-known CA names its own.
    famous: Node,
}

struct Node {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A chain and its key as files, alone and in one.
#[derive(Clone, Debug)]
pub struct Files {
    pub chain: PathBuf,
    pub key: PathBuf,
    pub both: PathBuf,
}

/// Which certificates are presented, the leaf being always the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// `fullchain.pem`.
    Full,
    /// `cert.pem`.
    LeafOnly,
    /// Issued by the lower intermediate; the two above it are swapped.
    OutOfOrder,
    /// Issued by an intermediate that has expired.
    StaleIntermediate,
    /// Issued by an intermediate that has the name of a public CA.
    FamousIntermediate,
    /// Nobody issued it but itself.
    SelfSigned,
}

/// What a leaf is to be.
#[derive(Clone, Debug)]
pub struct Leaf {
    names: Vec<String>,
    common_name: String,
    life: (i64, i64),
    present: Present,
    must_staple: bool,
    p521: bool,
}

impl Leaf {
    /// An ordinary one for these names and addresses.
    pub fn of(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        // Longer ones are not allowed (RFC 5280, A.1).
        let common_name = names.first().filter(|name| name.len() <= 64).cloned().unwrap_or_default();
        Self { names, common_name, life: ORDINARY, present: Present::Full, must_staple: false, p521: false }
    }

    /// Without subjectAltName; the common name stays.
    pub fn common_name_only(self) -> Self {
        Self { names: Vec::new(), ..self }
    }

    /// Valid from and until so many seconds from now.
    pub fn life(self, from: i64, until: i64) -> Self {
        Self { life: (from, until), ..self }
    }

    pub fn presenting(self, present: Present) -> Self {
        Self { present, ..self }
    }

    /// With the TLS feature extension (RFC 7633) that demands a stapled OCSP response.
    pub fn must_staple(self) -> Self {
        Self { must_staple: true, ..self }
    }

    /// With a key on a curve that few have.
    pub fn p521(self) -> Self {
        Self { p521: true, ..self }
    }
}

impl Authority {
    /// Makes one; its files go to `folder`, the root to `ca.pem` there.
    pub fn new(folder: &Path) -> Self {
        let root = Node::root("Catalogue Root");
        let intermediate = root.below("Catalogue R1", (-1000 * DAY, 1000 * DAY));
        let stale = root.below("Catalogue R0", (-1000 * DAY, -DAY));
        let lower = intermediate.below("Catalogue E1", (-500 * DAY, 500 * DAY));
        let mut famous = Node::params("R12", (-1000 * DAY, 1000 * DAY));
        famous.distinguished_name.push(DnType::OrganizationName, "Let's Encrypt");
        let famous = root.sign(famous);
        fs::write(folder.join("ca.pem"), &root.pem).expect("a writable folder");
        Self { folder: folder.to_owned(), issued: Cell::new(0), root, intermediate, stale, lower, famous }
    }

    /// The file with the root.
    pub fn root_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Where its files are, with room for others.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Signs `leaf` and writes its files.
    pub fn issue(&self, leaf: &Leaf) -> Files {
        let mut params = CertificateParams::new(leaf.names.clone()).expect("names that fit a certificate");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, &leaf.common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = leaf.present != Present::SelfSigned;
        if leaf.must_staple {
            // SEQUENCE { INTEGER 5 }: status_request.
            let feature = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
            params.custom_extensions.push(feature);
        }
        set_life(&mut params, leaf.life);
        let kind = if leaf.p521 { &rcgen::PKCS_ECDSA_P521_SHA512 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
        let key = KeyPair::generate_for(kind).expect("a fresh key");
        let signed = |node: &Node| params.signed_by(&key, &node.issuer).expect("a leaf").pem();
        let chain = match leaf.present {
            Present::Full => [signed(&self.intermediate), self.intermediate.pem.clone()].concat(),
            Present::LeafOnly => signed(&self.intermediate),
            Present::OutOfOrder => {
                [signed(&self.lower), self.intermediate.pem.clone(), self.lower.pem.clone()].concat()
            }
            Present::StaleIntermediate => [signed(&self.stale), self.stale.pem.clone()].concat(),
            Present::FamousIntermediate => [signed(&self.famous), self.famous.pem.clone()].concat(),
            Present::SelfSigned => params.self_signed(&key).expect("a certificate").pem(),
        };
        self.write(&chain, &key.serialize_pem())
    }

    /// Signs a certificate for `host` over SHA-1, which only `openssl` still does.
    pub fn issue_over_sha1(&self, host: &str) -> Files {
        let path = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        fs::write(path("r1.pem"), &self.intermediate.pem).expect("a writable folder");
        fs::write(path("r1.key"), self.intermediate.issuer.key().serialize_pem()).expect("a writable folder");
        fs::write(path("sha1.ext"), format!("subjectAltName=DNS:{host}\nextendedKeyUsage=serverAuth\n"))
            .expect("a writable folder");
        let (subject, key) = (format!("/CN={host}"), path("sha1.key"));
        let new = ["req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj"];
        let request = openssl::must(new.into_iter().chain([subject.as_str(), "-keyout", &key, "-out", "-"]), "");
        let (extensions, r1, r1_key) = (path("sha1.ext"), path("r1.pem"), path("r1.key"));
        let sign = [
            "x509",
            "-req",
            "-sha1",
            "-days",
            "80",
            "-set_serial",
            "77",
            "-extfile",
            &extensions,
            "-CA",
            &r1,
            "-CAkey",
            &r1_key,
        ];
        let leaf = openssl::must(sign, &request);
        let begin = leaf.find("-----BEGIN").expect("a certificate");
        let chain = [&leaf[begin..], &self.intermediate.pem].concat();
        self.write(&chain, &fs::read_to_string(key).expect("just written"))
    }

    fn write(&self, chain: &str, key: &str) -> Files {
        let number = self.issued.get();
        self.issued.set(number + 1);
        let file = |ending: &str| self.folder.join(format!("leaf-{number}.{ending}"));
        let files = Files { chain: file("pem"), key: file("key"), both: file("both") };
        let both = [chain, key].concat();
        for (file, content) in [(&files.chain, chain), (&files.key, key), (&files.both, &both)] {
            fs::write(file, content).expect("a writable folder");
        }
        files
    }
}

impl Node {
    fn root(name: &str) -> Self {
        let (params, key) = (Self::params(name, (-2000 * DAY, 2000 * DAY)), KeyPair::generate().expect("a fresh key"));
        let pem = params.self_signed(&key).expect("a root").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn below(&self, name: &str, life: (i64, i64)) -> Self {
        self.sign(Self::params(name, life))
    }

    fn sign(&self, mut params: CertificateParams) -> Self {
        let key = KeyPair::generate().expect("a fresh key");
        params.use_authority_key_identifier_extension = true;
        let pem = params.signed_by(&key, &self.issuer).expect("an intermediate").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn params(name: &str, life: (i64, i64)) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_life(&mut params, life);
        params
    }
}

/// Sets the validity to these seconds from now.
fn set_life(params: &mut CertificateParams, (from, until): (i64, i64)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let at = |offset: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs(now.saturating_add_signed(offset));
    (params.not_before, params.not_after) = (at(from), at(until));
}
