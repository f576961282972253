//! Dynamic updates (RFC 2136) signed with TSIG.

use super::key::{self, KeyError};
use super::tsig::{FUDGE, Key};
use super::{Action, Record};
use crate::clock::Clock;
use crate::dns::{Failure, direct};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::rdata::tsig::{TSIG, TsigError};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record as ResourceRecord, RecordType};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Seconds that others may keep the record. It lives for minutes.
const TTL: u32 = 60;

/// Why a record was not written or removed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The message could not be made: a name that DNS cannot hold.
    #[error("the update cannot be written")]
    Message(#[from] ProtoError),
    /// The server could not be asked. The update may have arrived.
    #[error("the name server {server} (acme.dns.server) does not answer updates; see that it runs and that port {} is open for TCP and UDP", server.port())]
    Unreachable {
        /// Which server.
        server: SocketAddr,
        /// How it failed.
        #[source]
        source: Failure,
    },
    /// The answer is not the server's: it is unsigned, or signed by somebody else.
    #[error(
        "what came back from {server} is not signed with the key; see that acme.dns.server is the name server itself and nothing in between answers"
    )]
    Untrusted {
        /// Which server.
        server: SocketAddr,
    },
    /// The server said no.
    #[error("the name server {server} refused the update: {reason}")]
    Refused {
        /// Which server.
        server: SocketAddr,
        /// What it said, and the remedy.
        reason: String,
    },
}

/// The primary server of the zones that records are written to.
pub(super) struct Primary {
    server: SocketAddr,
    key_name: Option<String>,
    key_file: PathBuf,
    clock: Clock,
    /// Whether it has been told that others can read the key file.
    told: AtomicBool,
}

impl Primary {
    pub(super) fn new(server: SocketAddr, key_name: Option<String>, key_file: PathBuf, clock: Clock) -> Self {
        Self { server, key_name, key_file, clock, told: AtomicBool::new(false) }
    }

    /// Adds the record to what stands there, or removes exactly this value. Either is the same when
    /// done twice, so a lost answer does no harm.
    pub(super) async fn write(&self, record: &Record, action: Action) -> Result<(), UpdateError> {
        let server = self.server;
        let key = key::load(&self.key_file, self.key_name.as_deref())?;
        if let Some(exposure) = key::exposure(&self.key_file)
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("{exposure}");
        }
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        let (request, mac) = key.sign(update(record, action)?, now)?;
        let answer = direct::exchange(server, &request).await;
        let answer = answer.map_err(|source| UpdateError::Unreachable { server, source })?;
        judge(&answer, &key, &mac, now).map_err(|trouble| match trouble {
            Trouble::Untrusted => UpdateError::Untrusted { server },
            Trouble::Tsig(error) => UpdateError::Refused { server, reason: tsig_reason(&error, &key.name) },
            Trouble::Code(code) => UpdateError::Refused { server, reason: reason(code, record, &key.name) },
        })
    }
}

/// The message (RFC 2136 §2.5.1 and §2.5.4).
fn update(record: &Record, action: Action) -> Result<Message, ProtoError> {
    let name = |text: &str| Name::from_ascii(format!("{text}."));
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    message.add_query(Query::query(name(&record.zone)?, RecordType::SOA));
    let txt = RData::TXT(TXT::new(vec![record.value.clone()]));
    let mut change = ResourceRecord::from_rdata(name(&record.name)?, TTL, txt);
    if action == Action::CleanUp {
        (change.dns_class, change.ttl) = (DNSClass::NONE, 0);
    }
    message.add_authority(change);
    Ok(message)
}

#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    Untrusted,
    /// The server could not accept the signature (RFC 8945 §5.2).
    Tsig(Refusal),
    /// The server has understood and said no.
    Code(ResponseCode),
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    BadKey,
    BadSignature,
    /// Seconds by which this machine is ahead of the server.
    BadTime(i64),
    Other(u16),
}

/// What the answer to the request with `request_mac`, sent at `now`, says. A refusal may come
/// unsigned, since the server may not know the key; success may not.
fn judge(answer: &[u8], key: &Key, request_mac: &[u8], now: u64) -> Result<(), Trouble> {
    let message = Message::from_vec(answer).map_err(|_| Trouble::Untrusted)?;
    let code = message.metadata.response_code;
    let signature = message.additionals.last().and_then(|record| match &record.data {
        RData::TSIG(tsig) => Some((&record.name, tsig)),
        _ => None,
    });
    let Some((name, tsig)) = signature else {
        return Err(if code == ResponseCode::NoError { Trouble::Untrusted } else { Trouble::Code(code) });
    };
    if let Some(refusal) = refusal(tsig, now) {
        return Err(Trouble::Tsig(refusal));
    }
    if !key.verifies(answer, name, tsig, request_mac) || tsig.time.abs_diff(now) > u64::from(FUDGE) {
        return Err(Trouble::Untrusted);
    }
    if code == ResponseCode::NoError { Ok(()) } else { Err(Trouble::Code(code)) }
}

fn refusal(tsig: &TSIG, now: u64) -> Option<Refusal> {
    Some(match tsig.error? {
        TsigError::BadKey => Refusal::BadKey,
        TsigError::BadSig => Refusal::BadSignature,
        TsigError::BadTime => {
            // The server's time is 48 bits of other data.
            let server = tsig.other.iter().fold(0_u64, |time, byte| (time << 8) | u64::from(*byte));
            Refusal::BadTime(i64::try_from(now).unwrap_or(0).saturating_sub(i64::try_from(server).unwrap_or(0)))
        }
        TsigError::Unknown(0) => return None,
        other => Refusal::Other(other.into()),
    })
}

fn tsig_reason(refusal: &Refusal, key: &Name) -> String {
    let key = key.to_ascii();
    let key = key.trim_end_matches('.');
    match refusal {
        Refusal::BadKey => format!(
            "it does not know the key \"{key}\" with this algorithm (BADKEY); put the key file's text into its configuration, or correct acme.dns.key_name"
        ),
        Refusal::BadSignature => format!(
            "its secret for the key \"{key}\" is another one (BADSIG); copy the secret from its configuration into acme.dns.key_file"
        ),
        Refusal::BadTime(ahead) => {
            let (by, way) = (ahead.unsigned_abs(), if *ahead > 0 { "ahead of" } else { "behind" });
            format!(
                "this machine's clock is {by} s {way} the server's (BADTIME); set this machine's clock: timedatectl set-ntp true"
            )
        }
        Refusal::Other(code) => {
            format!("it does not accept the signature (TSIG error {code}); see the name server's log")
        }
    }
}

fn reason(code: ResponseCode, record: &Record, key: &Name) -> String {
    let Record { zone, name, .. } = record;
    let key = key.to_ascii();
    match code {
        ResponseCode::NotAuth => {
            format!("it is not in charge of the zone {zone} (NOTAUTH); set acme.dns.server to the zone's primary")
        }
        ResponseCode::NotZone => {
            format!("{name} is not in its zone {zone} (NOTZONE); set acme.dns.server to the zone's primary")
        }
        ResponseCode::Refused => format!(
            "the key \"{}\" may not change TXT records at {name} (REFUSED); with BIND, put into the zone {zone}: update-policy {{ grant {key} name {name}. TXT; }};",
            key.trim_end_matches('.')
        ),
        ResponseCode::NotImp => {
            "it does not take dynamic updates (NOTIMP); use provider = \"exec\" with a program that speaks to it"
                .to_owned()
        }
        ResponseCode::ServFail => format!(
            "it failed (SERVFAIL); see its log: often it may not write the folder of the zone {zone}, where its journal goes"
        ),
        code => format!("it answered {code}; see the name server's log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acme::dns01::tsig::Algorithm;

    fn record() -> Record {
        let [zone, name, value] = ["a.test", "_acme-challenge.a.test", "v"].map(str::to_owned);
        Record { zone, name, value }
    }

    fn key() -> Key {
        Key { name: Name::from_ascii("k.").unwrap(), algorithm: Algorithm::Sha256, secret: b"secret".to_vec() }
    }

    #[test]
    fn one_value_comes_and_goes() {
        let message = update(&record(), Action::Present).unwrap();
        let change = &message.authorities[0];
        assert_eq!(
            (change.dns_class, change.ttl, change.name.to_ascii()),
            (DNSClass::IN, TTL, "_acme-challenge.a.test.".into())
        );
        assert_eq!(
            (message.queries[0].query_type(), message.queries[0].name().to_ascii()),
            (RecordType::SOA, "a.test.".into())
        );
        let message = update(&record(), Action::CleanUp).unwrap();
        let change = &message.authorities[0];
        // Class NONE with the data removes this value; ANY would remove its neighbours.
        assert_eq!((change.dns_class, change.ttl), (DNSClass::NONE, 0));
        assert!(matches!(&change.data, RData::TXT(txt) if &*txt.txt_data[0] == b"v"));
    }

    fn unsigned(code: ResponseCode, error: Option<TsigError>, other: Vec<u8>) -> Vec<u8> {
        use hickory_resolver::proto::rr::rdata::tsig::{TsigAlgorithm, make_tsig_record};
        let mut message = Message::response(1, OpCode::Update);
        message.metadata.response_code = code;
        if error.is_some() {
            let tsig = TSIG::new(TsigAlgorithm::HmacSha256, 0, 300, Vec::new(), 1, error, other);
            message.signature = Some(Box::new(make_tsig_record(key().name, tsig)));
        }
        message.to_vec().unwrap()
    }

    #[test]
    fn only_a_signed_answer_is_success_and_refusals_are_told_apart() {
        let judged = |bytes: &[u8]| judge(bytes, &key(), b"mac", 1_000);
        assert_eq!(judged(b"nonsense"), Err(Trouble::Untrusted));
        assert_eq!(judged(&unsigned(ResponseCode::NoError, None, vec![])), Err(Trouble::Untrusted));
        assert_eq!(judged(&unsigned(ResponseCode::Refused, None, vec![])), Err(Trouble::Code(ResponseCode::Refused)));
        let tsig = |error| judged(&unsigned(ResponseCode::NotAuth, Some(error), vec![0, 0, 0, 0, 0, 250]));
        assert_eq!(tsig(TsigError::BadKey), Err(Trouble::Tsig(Refusal::BadKey)));
        assert_eq!(tsig(TsigError::BadSig), Err(Trouble::Tsig(Refusal::BadSignature)));
        assert_eq!(tsig(TsigError::BadTime), Err(Trouble::Tsig(Refusal::BadTime(750))));
        assert_eq!(tsig(TsigError::Unknown(0)), Err(Trouble::Untrusted), "a signature of nobody");
    }

    #[test]
    fn refusals_name_the_remedy() {
        let name = key().name;
        for (refusal, expected) in [
            (
                Refusal::BadKey,
                "the key \"k\" with this algorithm (BADKEY); put the key file's text into its configuration",
            ),
            (Refusal::BadSignature, "(BADSIG); copy the secret"),
            (
                Refusal::BadTime(750),
                "this machine's clock is 750 s ahead of the server's (BADTIME); set this machine's clock",
            ),
            (Refusal::BadTime(-750), "750 s behind"),
        ] {
            let said = tsig_reason(&refusal, &name);
            assert!(said.contains(expected), "{said}");
        }
        for (code, expected) in [
            (ResponseCode::NotAuth, "not in charge of the zone a.test (NOTAUTH); set acme.dns.server"),
            (ResponseCode::NotZone, "(NOTZONE)"),
            (ResponseCode::Refused, "update-policy { grant k. name _acme-challenge.a.test. TXT; };"),
            (ResponseCode::NotImp, "provider = \"exec\""),
            (ResponseCode::ServFail, "(SERVFAIL); see its log"),
            (ResponseCode::FormErr, "see the name server's log"),
        ] {
            let said = reason(code, &record(), &name);
            assert!(said.contains(expected), "{said}");
        }
    }
}
