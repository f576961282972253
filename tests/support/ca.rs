//! A certificate authority of the tests' own.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A root that signs what a test asks for, and a folder to keep it in.
pub struct TestCa {
    folder: PathBuf,
    root_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate chain and its key, as files.
pub struct Issued {
    pub chain: PathBuf,
    pub key: PathBuf,
}

impl TestCa {
    /// Makes a root; its certificate becomes `ca.pem` in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self::with(folder, CertificateParams::default())
    }

    /// The same by the name of an organisation.
    pub fn of(folder: &Path, organisation: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        Self::with(folder, params)
    }

    fn with(folder: &Path, mut params: CertificateParams) -> Self {
        params.distinguished_name.push(DnType::CommonName, "vestibule tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a fresh key");
        let root_pem = params.self_signed(&key).expect("a root").pem();
        fs::write(folder.join("ca.pem"), &root_pem).expect("a writable folder");
        Self { folder: folder.to_owned(), root_pem, issuer: Issuer::new(params, key) }
    }

    /// The file with the root's certificate.
    pub fn root_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Signs a certificate for `names` (addresses become address entries), valid for as long as rcgen's default says.
    pub fn issue(&self, names: &[&str]) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.issue_with(CertificateParams::new(names).expect("names that fit a certificate"))
    }

    /// Signs whatever `params` ask for: wrong dates, foreign names, missing usages.
    pub fn issue_with(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a fresh key");
        let leaf = params.signed_by(&key, &self.issuer).expect("a leaf");
        // Several leaves may share the folder.
        let number = (1..).find(|n| !self.folder.join(format!("leaf-{n}.pem")).exists()).expect("numbers do not end");
        let chain = self.folder.join(format!("leaf-{number}.pem"));
        let key_file = self.folder.join(format!("leaf-{number}.key"));
        fs::write(&chain, leaf.pem()).expect("a writable folder");
        fs::write(&key_file, key.serialize_pem()).expect("a writable folder");
        Issued { chain, key: key_file }
    }
}
