//! A CA with an intermediate, made by `openssl`, as operators and public CAs have it.

use std::fs;
use std::path::{Path, PathBuf};

use super::openssl;

/// What a CA's certificate must say of its key (RFC 5280 §4.2.1.3).
const USAGE: &str = "keyUsage=critical,keyCertSign,cRLSign";

/// A root, an intermediate, and the folder of everything they sign.
pub struct OpensslCa {
    folder: PathBuf,
}

/// What kind of key a certificate is for.
#[derive(Clone, Copy, Debug)]
pub enum KeyKind {
    P256,
    /// No browser offers it.
    P521,
    /// Too short for everybody.
    Rsa1024,
    Rsa2048,
}

/// A leaf with its key, as files; the chain is left to the test.
pub struct Leaf {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl OpensslCa {
    #[track_caller]
    pub fn new(folder: &Path) -> Self {
        let ca = Self { folder: folder.to_owned() };
        let root = ["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=operator root", "-addext", USAGE]
            .map(str::to_owned);
        let made = ca.key_arguments(KeyKind::P256, "root");
        openssl::must(root.into_iter().chain(made).chain(["-out".to_owned(), ca.path("root.pem")]), "");
        let rules = format!("basicConstraints=critical,CA:TRUE,pathlen:0\n{USAGE}\n");
        ca.sign("intermediate", KeyKind::P256, "root", &rules, &[]);
        ca
    }

    pub fn root(&self) -> PathBuf {
        self.folder.join("root.pem")
    }

    /// A good OCSP response for `leaf`, as its issuer would give it, in a file.
    #[track_caller]
    pub fn ocsp_response(&self, leaf: &Leaf) -> PathBuf {
        let (request, response, index) = (self.path("ocsp.req"), self.path("ocsp.der"), self.path("index.txt"));
        let certificate = leaf.certificate.to_string_lossy().into_owned();
        let (issuer, key) = (self.path("intermediate.pem"), self.path("intermediate.key"));
        fs::write(&index, "").expect("a writable folder");
        openssl::must(["ocsp", "-issuer", &issuer, "-cert", &certificate, "-reqout", &request], "");
        let signing = ["ocsp", "-index", &index, "-CA", &issuer, "-rsigner", &issuer, "-rkey", &key];
        openssl::must(signing.into_iter().chain(["-reqin", &request, "-respout", &response]), "");
        self.folder.join("ocsp.der")
    }

    pub fn intermediate(&self) -> PathBuf {
        self.folder.join("intermediate.pem")
    }

    /// Signs a certificate for `names` with a fresh key; its files begin with the first name.
    #[track_caller]
    pub fn issue(&self, names: &[&str], kind: KeyKind) -> Leaf {
        self.issue_with(names, kind, "", &[])
    }

    /// The same with more extensions, as a configuration of openssl has them, and arguments for the signing.
    #[track_caller]
    pub fn issue_with(&self, names: &[&str], kind: KeyKind, more: &str, arguments: &[&str]) -> Leaf {
        let entries: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let rules = format!("subjectAltName={}\nextendedKeyUsage=serverAuth\n{more}\n", entries.join(","));
        self.sign(names[0], kind, "intermediate", &rules, arguments);
        let file = |ending: &str| self.folder.join(format!("{}{ending}", names[0]));
        Leaf { certificate: file(".pem"), key: file(".key") }
    }

    /// Writes `parts` one after the other.
    #[track_caller]
    pub fn concatenate(&self, name: &str, parts: &[&Path]) -> PathBuf {
        let content: Vec<u8> = parts.iter().flat_map(|part| fs::read(part).expect("a readable part")).collect();
        let file = self.folder.join(name);
        fs::write(&file, content).expect("a writable folder");
        file
    }

    #[track_caller]
    fn sign(&self, name: &str, kind: KeyKind, issuer: &str, rules: &str, arguments: &[&str]) {
        let subject = if issuer == "root" { format!("/CN=operator {name}") } else { format!("/CN={name}") };
        let request = ["req", "-new", "-nodes", "-subj", &subject].map(str::to_owned);
        let request = request.into_iter().chain(self.key_arguments(kind, name));
        let request = openssl::must(request.chain(["-out".to_owned(), "-".to_owned()]), "");
        // Strict verifiers want the identifiers that every public CA writes.
        let rules = format!("{rules}subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n");
        fs::write(self.path("rules"), rules).expect("a writable folder");
        let signing = ["x509", "-req", "-days", "10"].map(str::to_owned).into_iter().chain([
            "-extfile".to_owned(),
            self.path("rules"),
            "-CA".to_owned(),
            self.path(&format!("{issuer}.pem")),
            "-CAkey".to_owned(),
            self.path(&format!("{issuer}.key")),
            "-CAcreateserial".to_owned(),
            "-out".to_owned(),
            self.path(&format!("{name}.pem")),
        ]);
        openssl::must(signing.chain(arguments.iter().map(|word| (*word).to_owned())), &request);
    }

    fn key_arguments(&self, kind: KeyKind, name: &str) -> Vec<String> {
        let kind: &[&str] = match kind {
            KeyKind::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            KeyKind::P521 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-521"],
            KeyKind::Rsa1024 => &["-newkey", "rsa:1024"],
            KeyKind::Rsa2048 => &["-newkey", "rsa:2048"],
        };
        let kind = kind.iter().map(|word| (*word).to_owned());
        kind.chain(["-keyout".to_owned(), self.path(&format!("{name}.key"))]).collect()
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }
}
