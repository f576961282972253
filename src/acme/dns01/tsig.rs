//! TSIG (RFC 8945): a shared key signs a message, and the answer to it.
//!
//! hickory has the record's form and, behind its DNSSEC feature, a signer that knows three of the
//! algorithms that name servers offer and four more crates. What is missing without it is this file:
//! the MAC over the right bytes.

use aws_lc_rs::hmac;
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::proto::rr::rdata::tsig::{TSIG, TsigAlgorithm, make_tsig_record, message_tbs};
use hickory_resolver::proto::serialize::binary::BinEncoder;

/// Seconds that the two clocks may be apart (RFC 8945 §10).
pub(super) const FUDGE: u16 = 300;

/// The algorithms that RFC 8945 §6 does not forbid, without the truncated ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// By the name that BIND's configuration and RFC 8945 use.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name.trim_end_matches('.').to_ascii_lowercase().as_str() {
            "hmac-sha1" => Self::Sha1,
            "hmac-sha224" => Self::Sha224,
            "hmac-sha256" => Self::Sha256,
            "hmac-sha384" => Self::Sha384,
            "hmac-sha512" => Self::Sha512,
            _ => return None,
        })
    }

    fn wire(self) -> TsigAlgorithm {
        match self {
            Self::Sha1 => TsigAlgorithm::HmacSha1,
            Self::Sha224 => TsigAlgorithm::HmacSha224,
            Self::Sha256 => TsigAlgorithm::HmacSha256,
            Self::Sha384 => TsigAlgorithm::HmacSha384,
            Self::Sha512 => TsigAlgorithm::HmacSha512,
        }
    }

    fn hmac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => hmac::HMAC_SHA224,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha384 => hmac::HMAC_SHA384,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// A shared key. Never shown: it has no `Debug`.
pub(super) struct Key {
    /// In lower case, with its last dot.
    pub(super) name: Name,
    pub(super) algorithm: Algorithm,
    pub(super) secret: Vec<u8>,
}

impl Key {
    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(self.algorithm.hmac(), &self.secret)
    }

    /// Signs `message` at `now` (seconds since the epoch). Returns its bytes, and the MAC that the
    /// answer is bound to.
    pub(super) fn sign(&self, mut message: Message, now: u64) -> Result<(Vec<u8>, Vec<u8>), ProtoError> {
        let unsigned = TSIG::new(self.algorithm.wire(), now, FUDGE, Vec::new(), message.metadata.id, None, Vec::new());
        let signed = message_tbs(&message, &unsigned, &self.name)?;
        let mac = hmac::sign(&self.hmac(), &signed).as_ref().to_vec();
        message.signature = Some(Box::new(make_tsig_record(self.name.clone(), unsigned.set_mac(mac.clone()))));
        Ok((message.to_vec()?, mac))
    }

    /// Whether `answer`, which ends in `tsig` signed by a key called `name`, is signed by this key and
    /// belongs to the request with `request_mac` (RFC 8945 §5.3). Truncated MACs are no proof.
    pub(super) fn verifies(&self, answer: &[u8], name: &Name, tsig: &TSIG, request_mac: &[u8]) -> bool {
        if name.to_lowercase() != self.name || tsig.algorithm != self.algorithm.wire() {
            return false;
        }
        self.signed_part(answer, tsig, request_mac)
            .is_some_and(|signed| hmac::verify(&self.hmac(), &signed, &tsig.mac).is_ok())
    }

    /// The bytes that the MAC of an answer is made over: the request's MAC, the answer as it was before
    /// its TSIG was added, and the TSIG's variables.
    fn signed_part(&self, answer: &[u8], tsig: &TSIG, request_mac: &[u8]) -> Option<Vec<u8>> {
        let (start, additionals) = (last_record(answer)?, number(answer, 10)?);
        let mut signed = u16::try_from(request_mac.len()).ok()?.to_be_bytes().to_vec();
        signed.extend(request_mac);
        signed.extend(tsig.oid.to_be_bytes());
        signed.extend(answer.get(2..10)?);
        signed.extend(additionals.checked_sub(1)?.to_be_bytes());
        signed.extend(answer.get(12..start)?);
        let mut variables = Vec::new();
        tsig.emit_tsig_for_mac(&mut BinEncoder::new(&mut variables), &self.name).ok()?;
        signed.extend(variables);
        Some(signed)
    }
}

/// Where the last record of a message begins, if the message ends with it.
fn last_record(message: &[u8]) -> Option<usize> {
    let questions = number(message, 4)?;
    let records = u32::from(number(message, 6)?) + u32::from(number(message, 8)?) + u32::from(number(message, 10)?);
    let mut at = 12;
    for _ in 0..questions {
        at = after_name(message, at)? + 4;
    }
    let mut start = None;
    for _ in 0..records {
        start = Some(at);
        let fixed = after_name(message, at)?;
        at = fixed + 10 + usize::from(number(message, fixed + 8)?);
    }
    start.filter(|_| at == message.len())
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// Where the name at `at` ends: at its root, or after a pointer (RFC 1035 §4.1.4).
fn after_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            pointer if pointer >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{OpCode, Query};
    use hickory_resolver::proto::rr::{RData, RecordType};
    use proptest::prelude::*;

    fn key(algorithm: Algorithm, secret: &[u8]) -> Key {
        Key { name: Name::from_ascii("vestibule.").unwrap(), algorithm, secret: secret.to_vec() }
    }

    fn other_secret(algorithm: Algorithm) -> Key {
        key(algorithm, b"other")
    }

    /// The answer of a server that has `key`, made by hickory's own encoding.
    fn answer(key: &Key, request_mac: &[u8], id: u16) -> Vec<u8> {
        let mut message = Message::response(id, OpCode::Update);
        message.add_query(Query::query(Name::from_ascii("example.com.").unwrap(), RecordType::SOA));
        let tsig = TSIG::new(key.algorithm.wire(), 7, FUDGE, Vec::new(), id, None, Vec::new());
        let mut signed = u16::try_from(request_mac.len()).unwrap().to_be_bytes().to_vec();
        signed.extend(request_mac);
        signed.extend(message_tbs(&message, &tsig, &key.name).unwrap());
        let mac = hmac::sign(&key.hmac(), &signed).as_ref().to_vec();
        message.signature = Some(Box::new(make_tsig_record(key.name.clone(), tsig.set_mac(mac))));
        message.to_vec().unwrap()
    }

    fn verifies(key: &Key, answer: &[u8], request_mac: &[u8]) -> bool {
        let message = Message::from_vec(answer).unwrap();
        let record = message.additionals.last().expect("the TSIG record");
        let RData::TSIG(tsig) = &record.data else { panic!("no TSIG") };
        key.verifies(answer, &record.name, tsig, request_mac)
    }

    #[test]
    fn an_answer_is_bound_to_key_request_and_content() {
        use Algorithm::{Sha1, Sha224, Sha256, Sha384, Sha512};
        for algorithm in [Sha1, Sha224, Sha256, Sha384, Sha512] {
            let key = key(algorithm, b"secret");
            let good = answer(&key, b"mac", 9);
            assert!(verifies(&key, &good, b"mac"), "{algorithm:?}");
            assert!(!verifies(&key, &good, b"another"));
            assert!(!verifies(&other_secret(algorithm), &good, b"mac"));
            let mut changed = good.clone();
            changed[3] ^= 5;
            assert!(!verifies(&key, &changed, b"mac"), "another response code");
            // A forwarder may change the id; the original one is inside (RFC 8945 §4.2).
            let mut forwarded = good.clone();
            forwarded[0] ^= 1;
            assert!(verifies(&key, &forwarded, b"mac"));
        }
        let (good, other) = (answer(&key(Sha256, b"s"), b"m", 9), key(Sha384, b"s"));
        assert!(!verifies(&other, &good, b"m"));
    }

    #[test]
    fn a_signed_request_reads_back() {
        let key = key(Algorithm::Sha256, b"secret");
        let mut message = Message::query();
        message.metadata.op_code = OpCode::Update;
        let (bytes, mac) = key.sign(message, 1_700_000_000).unwrap();
        let read = Message::from_vec(&bytes).unwrap();
        let RData::TSIG(tsig) = &read.additionals[0].data else { panic!("no TSIG") };
        assert_eq!((&tsig.mac, tsig.time, tsig.fudge, mac.len()), (&mac, 1_700_000_000, FUDGE, 32));
        assert_eq!(last_record(&bytes), Some(12));
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_walk(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = last_record(&bytes);
        }
    }
}
