//! How one address meets clients other than today's peers: without SNI, with a name it does not
//! know, with old protocol versions, with weak suites. Nothing is asked over these connections.

use super::tcp;
use super::tls::{self, Handshake, Offer, Stage, Trouble};
use crate::check::chain::Chain;
use crate::check::hello::{Question, Reader, Reply, ServerHello, Suite, Version, Weakness};
use crate::check::network::Network;
use crate::matrix::Host;
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes read at once.
const PIECE: usize = 4096;

/// The habits of one address.
#[derive(Clone, Debug)]
pub struct Habits {
    /// A handshake without SNI. `None` for names that are addresses, where none is ever sent.
    pub no_sni: Option<Result<Handshake, Trouble>>,
    /// A handshake for a name that nobody has.
    pub wrong_sni: Result<Handshake, Trouble>,
    /// What it still agrees to.
    pub old: Agreed,
}

/// What an address agrees to that it should not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// Versions before TLS 1.2, the newest first.
    pub versions: Vec<Version>,
    /// A suite of each weakness, in the order the server prefers them.
    pub suites: Vec<Suite>,
}

impl Agreed {
    /// The suites, with what is wrong with each.
    pub fn weak(&self) -> impl Iterator<Item = (Weakness, Suite)> {
        self.suites.iter().filter_map(|suite| Some((suite.weakness()?, *suite)))
    }
}

/// What a server is set up for that agrees to nothing that peers offer.
#[derive(Clone, Debug)]
pub struct Outdated {
    /// The version it chose, of all up to TLS 1.2.
    pub version: Version,
    /// The suite it chose, of all there are.
    pub suite: Suite,
    /// The chain it presents.
    pub chain: Chain,
}

/// Looks at the habits of `address`. Four connections where it agrees to nothing old or weak, and
/// twelve at most, second tries aside: one more for each thing that it agrees to.
pub(super) async fn look(network: &Network, address: SocketAddr, name: &Host) -> Habits {
    let no_sni = async {
        match name {
            Host::Dns(_) => Some(shake(network, address, name, Offer::NO_SNI).await),
            Host::Ip(_) => None,
        }
    };
    let (no_sni, wrong_sni, versions, suites) = tokio::join!(
        no_sni,
        shake(network, address, name, Offer::WRONG_SNI),
        versions(network, address, name),
        suites(network, address, name),
    );
    Habits { no_sni, wrong_sni, old: Agreed { versions, suites } }
}

/// A handshake, after which the connection is closed: some servers have no time for two.
async fn shake(network: &Network, address: SocketAddr, name: &Host, offer: Offer) -> Result<Handshake, Trouble> {
    tls::open(network, address, name, offer).await.map(|(_, handshake)| handshake)
}

/// What the server at `address` agrees to, where that is nothing that rustls could offer.
pub(super) async fn outdated(network: &Network, address: SocketAddr, name: &Host) -> Option<Outdated> {
    let suites = Suite::all();
    let hello = ask(network, address, name, Version::Tls12, &suites).await?;
    let certificates: Vec<_> = hello.certificates.into_iter().map(CertificateDer::from).collect();
    let chain = Chain::examine(&certificates, name, &network.roots, network.clock.now());
    Some(Outdated { version: hello.version, suite: hello.suite, chain })
}

/// Versions before TLS 1.2 that are agreed to. A server answers with its newest one that is not
/// newer than the client's, so each answer leads to the next older question, and a server that has
/// none of them is asked once.
async fn versions(network: &Network, address: SocketAddr, name: &Host) -> Vec<Version> {
    // Few, so that the hello is small: some old load balancers choke on more than 255 bytes.
    let suites = Suite::weak(|weakness| weakness >= Weakness::Rc4 && weakness != Weakness::Des);
    let mut agreed = Vec::new();
    let mut asked = Some(Version::Tls11);
    while let Some(version) = asked {
        let Some(hello) = ask(network, address, name, version, &suites).await else { break };
        agreed.push(hello.version);
        asked = hello.version.older();
    }
    agreed
}

/// A suite of each weakness that is agreed to: all weak suites at once, then without the kind that
/// was chosen, until nothing is.
async fn suites(network: &Network, address: SocketAddr, name: &Host) -> Vec<Suite> {
    let mut agreed: Vec<Suite> = Vec::new();
    let mut left = Weakness::ALL.to_vec();
    while !left.is_empty() {
        let offered = Suite::weak(|weakness| left.contains(&weakness));
        let Some(hello) = ask(network, address, name, Version::Tls12, &offered).await else { break };
        left.retain(|weakness| hello.suite.weakness() != Some(*weakness));
        agreed.push(hello.suite);
    }
    agreed
}

/// What the server agrees to of `suites` in `version` or below. `None` where it does not, whatever
/// the reason: what cannot be seen is not held against anybody.
async fn ask(
    network: &Network,
    address: SocketAddr,
    name: &Host,
    version: Version,
    suites: &[Suite],
) -> Option<ServerHello> {
    let name = name.dns().map(|name| name.trim_end_matches('.'));
    let question = Question { version, suites, name };
    let reply = match exchange(network, address, &question).await {
        Err(trouble) if trouble.worth_a_retry() => {
            tokio::time::sleep(network.limits.retry).await;
            exchange(network, address, &question).await
        }
        reply => reply,
    };
    match reply {
        Ok(Reply::Hello(hello)) => is_answer(&question, &hello).then_some(hello),
        _ => None,
    }
}

/// Whether `hello` answers `question`: servers with faults of their own choose what was not offered.
fn is_answer(question: &Question<'_>, hello: &ServerHello) -> bool {
    hello.version <= question.version && question.suites.contains(&hello.suite)
}

async fn exchange(network: &Network, address: SocketAddr, question: &Question<'_>) -> Result<Reply, Trouble> {
    let mut random = [0; 32];
    // Nothing is derived from it, so whatever stands there serves.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let record = question.record(random);
    let mut stream = tcp::connect(network, address).await?;
    let mut reader = Reader::default();
    let reading = converse(&mut stream, &record, &mut reader);
    match timeout(network.limits.connect, reading).await {
        Ok(Some(reply)) => Ok(reply),
        // A reset after the hello is a refusal like any other.
        Ok(None) => Ok(reader.finish()),
        Err(_) => match reader.finish() {
            Reply::Hello(hello) => Ok(Reply::Hello(hello)),
            _ => Err(Trouble::Timeout(Stage::Handshake, network.limits.connect)),
        },
    }
}

/// Sends `record` and reads until the outcome is known; `None` at the end of the stream.
async fn converse(stream: &mut TcpStream, record: &[u8], reader: &mut Reader) -> Option<Reply> {
    stream.write_all(record).await.ok()?;
    let mut piece = vec![0; PIECE];
    loop {
        let length = stream.read(&mut piece).await.ok().filter(|length| *length > 0)?;
        if let Some(reply) = reader.feed(piece.get(..length)?) {
            return Some(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_within_the_question() {
        let suites = [Suite(0x0005), Suite(0x000a)];
        let question = Question { version: Version::Tls11, suites: &suites, name: None };
        let hello = |version, suite| ServerHello { version, suite: Suite(suite), certificates: Vec::new() };
        for (version, suite, expected) in [
            (Version::Tls11, 0x0005, true),
            (Version::Ssl3, 0x000a, true),
            (Version::Tls12, 0x0005, false),
            (Version::Tls11, 0xc02f, false),
        ] {
            assert_eq!(is_answer(&question, &hello(version, suite)), expected, "{version} {suite:x}");
        }
    }

    #[test]
    fn the_question_about_versions_is_small() {
        let suites = Suite::weak(|weakness| weakness >= Weakness::Rc4 && weakness != Weakness::Des);
        let name = "a-name-of-usual-length.matrix.example.com";
        let record = Question { version: Version::Tls11, suites: &suites, name: Some(name) }.record([0; 32]);
        assert!(record.len() < 256, "{}", record.len());
    }
}
