//! Cipher suites from before TLS 1.3, and what is wrong with them.

use std::fmt;

/// Why a suite should not be agreed to any more. In this order they are told, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weakness {
    /// Nothing is encrypted.
    Null,
    /// Nobody proves who it is: no certificate.
    Anonymous,
    /// Keys of 40 or 56 bits, from the days of export control.
    Export,
    /// RC4, prohibited by RFC 7465.
    Rc4,
    /// DES or IDEA, removed by RFC 5469; RC2.
    Des,
    /// Triple DES: blocks of 64 bits (Sweet32).
    TripleDes,
    /// CBC with an HMAC of SHA-1, open to padding oracles (Lucky 13).
    CbcSha1,
}

impl Weakness {
    /// All, the worst first.
    pub const ALL: [Self; 7] =
        [Self::Null, Self::Anonymous, Self::Export, Self::Rc4, Self::Des, Self::TripleDes, Self::CbcSha1];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "no encryption (NULL)",
            Self::Anonymous => "no certificate (anonymous)",
            Self::Export => "export keys",
            Self::Rc4 => "RC4",
            Self::Des => "DES, IDEA or RC2",
            Self::TripleDes => "3DES",
            Self::CbcSha1 => "CBC with SHA-1",
        }
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A cipher suite by its number in the IANA registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite(pub u16);

impl Suite {
    fn entry(self) -> Option<&'static Entry> {
        TABLE.iter().find(|(number, _, _)| *number == self.0)
    }

    /// What is wrong with it; `None` for what is sound enough, and for unknown ones.
    pub fn weakness(self) -> Option<Weakness> {
        self.entry().and_then(|(_, _, weakness)| *weakness)
    }

    /// Whether every peer of today offers it: ECDHE with an AEAD.
    pub fn is_usual(self) -> bool {
        let usual = |name: &str| name.starts_with("ECDHE") && (name.contains("GCM") || name.contains("POLY1305"));
        self.entry().is_some_and(|(_, name, _)| usual(name))
    }

    /// The suites with one of these weaknesses.
    pub fn weak(which: impl Fn(Weakness) -> bool) -> Vec<Self> {
        TABLE.iter().filter(|(_, _, weakness)| weakness.is_some_and(&which)).map(|(n, _, _)| Self(*n)).collect()
    }

    /// Everything known here, the sound ones first.
    pub fn all() -> Vec<Self> {
        let sound = TABLE.iter().filter(|(_, _, weakness)| weakness.is_none()).map(|(n, _, _)| Self(*n));
        sound.chain(Self::weak(|_| true)).collect()
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry() {
            Some((_, name, _)) => write!(f, "TLS_{name}"),
            None => write!(f, "suite 0x{:04x}", self.0),
        }
    }
}

/// Number, IANA name without `TLS_`, weakness.
type Entry = (u16, &'static str, Option<Weakness>);

/// What servers in the field can be set up with: the suites that OpenSSL, GnuTLS, NSS, Java and
/// Schannel have or had. Pre-shared keys, Kerberos and the like need a set-up that no public server
/// has.
const TABLE: &[Entry] = {
    use Weakness::{Anonymous, CbcSha1, Des, Export, Null, Rc4, TripleDes};
    &[
        (0xc02b, "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", None),
        (0xc02f, "ECDHE_RSA_WITH_AES_128_GCM_SHA256", None),
        (0xc02c, "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", None),
        (0xc030, "ECDHE_RSA_WITH_AES_256_GCM_SHA384", None),
        (0xcca9, "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", None),
        (0xcca8, "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", None),
        (0xccaa, "DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", None),
        (0x009e, "DHE_RSA_WITH_AES_128_GCM_SHA256", None),
        (0x009f, "DHE_RSA_WITH_AES_256_GCM_SHA384", None),
        (0xc023, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", None),
        (0xc027, "ECDHE_RSA_WITH_AES_128_CBC_SHA256", None),
        (0xc024, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", None),
        (0xc028, "ECDHE_RSA_WITH_AES_256_CBC_SHA384", None),
        (0x0067, "DHE_RSA_WITH_AES_128_CBC_SHA256", None),
        (0x006b, "DHE_RSA_WITH_AES_256_CBC_SHA256", None),
        (0x009c, "RSA_WITH_AES_128_GCM_SHA256", None),
        (0x009d, "RSA_WITH_AES_256_GCM_SHA384", None),
        (0x003c, "RSA_WITH_AES_128_CBC_SHA256", None),
        (0x003d, "RSA_WITH_AES_256_CBC_SHA256", None),
        (0xc009, "ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Some(CbcSha1)),
        (0xc013, "ECDHE_RSA_WITH_AES_128_CBC_SHA", Some(CbcSha1)),
        (0xc00a, "ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Some(CbcSha1)),
        (0xc014, "ECDHE_RSA_WITH_AES_256_CBC_SHA", Some(CbcSha1)),
        (0x0033, "DHE_RSA_WITH_AES_128_CBC_SHA", Some(CbcSha1)),
        (0x0039, "DHE_RSA_WITH_AES_256_CBC_SHA", Some(CbcSha1)),
        (0x0032, "DHE_DSS_WITH_AES_128_CBC_SHA", Some(CbcSha1)),
        (0x0038, "DHE_DSS_WITH_AES_256_CBC_SHA", Some(CbcSha1)),
        (0xc004, "ECDH_ECDSA_WITH_AES_128_CBC_SHA", Some(CbcSha1)),
        (0xc005, "ECDH_ECDSA_WITH_AES_256_CBC_SHA", Some(CbcSha1)),
        (0xc00e, "ECDH_RSA_WITH_AES_128_CBC_SHA", Some(CbcSha1)),
        (0xc00f, "ECDH_RSA_WITH_AES_256_CBC_SHA", Some(CbcSha1)),
        (0x002f, "RSA_WITH_AES_128_CBC_SHA", Some(CbcSha1)),
        (0x0035, "RSA_WITH_AES_256_CBC_SHA", Some(CbcSha1)),
        (0x0045, "DHE_RSA_WITH_CAMELLIA_128_CBC_SHA", Some(CbcSha1)),
        (0x0088, "DHE_RSA_WITH_CAMELLIA_256_CBC_SHA", Some(CbcSha1)),
        (0x0041, "RSA_WITH_CAMELLIA_128_CBC_SHA", Some(CbcSha1)),
        (0x0084, "RSA_WITH_CAMELLIA_256_CBC_SHA", Some(CbcSha1)),
        (0x009a, "DHE_RSA_WITH_SEED_CBC_SHA", Some(CbcSha1)),
        (0x0096, "RSA_WITH_SEED_CBC_SHA", Some(CbcSha1)),
        (0xc008, "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", Some(TripleDes)),
        (0xc012, "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Some(TripleDes)),
        (0x0016, "DHE_RSA_WITH_3DES_EDE_CBC_SHA", Some(TripleDes)),
        (0x0013, "DHE_DSS_WITH_3DES_EDE_CBC_SHA", Some(TripleDes)),
        (0xc003, "ECDH_ECDSA_WITH_3DES_EDE_CBC_SHA", Some(TripleDes)),
        (0xc00d, "ECDH_RSA_WITH_3DES_EDE_CBC_SHA", Some(TripleDes)),
        (0x000a, "RSA_WITH_3DES_EDE_CBC_SHA", Some(TripleDes)),
        (0x0007, "RSA_WITH_IDEA_CBC_SHA", Some(Des)),
        (0x0015, "DHE_RSA_WITH_DES_CBC_SHA", Some(Des)),
        (0x0012, "DHE_DSS_WITH_DES_CBC_SHA", Some(Des)),
        (0x0009, "RSA_WITH_DES_CBC_SHA", Some(Des)),
        (0xc007, "ECDHE_ECDSA_WITH_RC4_128_SHA", Some(Rc4)),
        (0xc011, "ECDHE_RSA_WITH_RC4_128_SHA", Some(Rc4)),
        (0xc002, "ECDH_ECDSA_WITH_RC4_128_SHA", Some(Rc4)),
        (0xc00c, "ECDH_RSA_WITH_RC4_128_SHA", Some(Rc4)),
        (0x0066, "DHE_DSS_WITH_RC4_128_SHA", Some(Rc4)),
        (0x0005, "RSA_WITH_RC4_128_SHA", Some(Rc4)),
        (0x0004, "RSA_WITH_RC4_128_MD5", Some(Rc4)),
        (0x0014, "DHE_RSA_EXPORT_WITH_DES40_CBC_SHA", Some(Export)),
        (0x0011, "DHE_DSS_EXPORT_WITH_DES40_CBC_SHA", Some(Export)),
        (0x0008, "RSA_EXPORT_WITH_DES40_CBC_SHA", Some(Export)),
        (0x0006, "RSA_EXPORT_WITH_RC2_CBC_40_MD5", Some(Export)),
        (0x0003, "RSA_EXPORT_WITH_RC4_40_MD5", Some(Export)),
        (0x0062, "RSA_EXPORT1024_WITH_DES_CBC_SHA", Some(Export)),
        (0x0064, "RSA_EXPORT1024_WITH_RC4_56_SHA", Some(Export)),
        (0x0017, "DH_anon_EXPORT_WITH_RC4_40_MD5", Some(Export)),
        (0x0019, "DH_anon_EXPORT_WITH_DES40_CBC_SHA", Some(Export)),
        (0x00a6, "DH_anon_WITH_AES_128_GCM_SHA256", Some(Anonymous)),
        (0x00a7, "DH_anon_WITH_AES_256_GCM_SHA384", Some(Anonymous)),
        (0x006c, "DH_anon_WITH_AES_128_CBC_SHA256", Some(Anonymous)),
        (0x006d, "DH_anon_WITH_AES_256_CBC_SHA256", Some(Anonymous)),
        (0xc018, "ECDH_anon_WITH_AES_128_CBC_SHA", Some(Anonymous)),
        (0xc019, "ECDH_anon_WITH_AES_256_CBC_SHA", Some(Anonymous)),
        (0x0034, "DH_anon_WITH_AES_128_CBC_SHA", Some(Anonymous)),
        (0x003a, "DH_anon_WITH_AES_256_CBC_SHA", Some(Anonymous)),
        (0x0046, "DH_anon_WITH_CAMELLIA_128_CBC_SHA", Some(Anonymous)),
        (0x0089, "DH_anon_WITH_CAMELLIA_256_CBC_SHA", Some(Anonymous)),
        (0xc017, "ECDH_anon_WITH_3DES_EDE_CBC_SHA", Some(Anonymous)),
        (0x001b, "DH_anon_WITH_3DES_EDE_CBC_SHA", Some(Anonymous)),
        (0xc016, "ECDH_anon_WITH_RC4_128_SHA", Some(Anonymous)),
        (0x0018, "DH_anon_WITH_RC4_128_MD5", Some(Anonymous)),
        (0x001a, "DH_anon_WITH_DES_CBC_SHA", Some(Anonymous)),
        (0xc006, "ECDHE_ECDSA_WITH_NULL_SHA", Some(Null)),
        (0xc010, "ECDHE_RSA_WITH_NULL_SHA", Some(Null)),
        (0xc001, "ECDH_ECDSA_WITH_NULL_SHA", Some(Null)),
        (0xc00b, "ECDH_RSA_WITH_NULL_SHA", Some(Null)),
        (0xc015, "ECDH_anon_WITH_NULL_SHA", Some(Null)),
        (0x003b, "RSA_WITH_NULL_SHA256", Some(Null)),
        (0x0002, "RSA_WITH_NULL_SHA", Some(Null)),
        (0x0001, "RSA_WITH_NULL_MD5", Some(Null)),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_suite_stands_once_and_is_what_its_name_says() {
        let numbers: BTreeSet<_> = TABLE.iter().map(|(number, _, _)| number).collect();
        let names: BTreeSet<_> = TABLE.iter().map(|(_, name, _)| name).collect();
        assert_eq!((numbers.len(), names.len()), (TABLE.len(), TABLE.len()));
        for (_, name, weakness) in TABLE {
            let expected = match *name {
                name if name.contains("NULL") => Some(Weakness::Null),
                name if name.contains("EXPORT") => Some(Weakness::Export),
                name if name.contains("anon") => Some(Weakness::Anonymous),
                name if name.contains("RC4") => Some(Weakness::Rc4),
                name if name.contains("3DES") => Some(Weakness::TripleDes),
                name if name.contains("_DES_") || name.contains("IDEA") => Some(Weakness::Des),
                name if name.ends_with("_CBC_SHA") => Some(Weakness::CbcSha1),
                _ => None,
            };
            assert_eq!(*weakness, expected, "{name}");
        }
    }

    #[test]
    fn suites_are_named_and_chosen_by_weakness() {
        assert_eq!(Suite(0x0005).to_string(), "TLS_RSA_WITH_RC4_128_SHA");
        assert_eq!((Suite(0xbeef).to_string().as_str(), Suite(0xbeef).weakness()), ("suite 0xbeef", None));
        assert_eq!(Suite(0xc02f).weakness(), None);
        let usual: Vec<_> = TABLE.iter().filter(|(number, _, _)| Suite(*number).is_usual()).collect();
        assert_eq!(usual.len(), 6, "those that rustls has: {usual:?}");
        assert!(Weakness::ALL.is_sorted());
        assert!(Weakness::ALL.into_iter().all(|one| !Suite::weak(|weakness| weakness == one).is_empty()));
        assert_eq!(Suite::all().len(), TABLE.len());
        assert_eq!(Suite::all()[0].weakness(), None);
    }
}
