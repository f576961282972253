//! One message to one name server, without recursion and without a cache in between: what the
//! servers of a zone say themselves, and updates of it.

use super::records::{Failure, FailureKind, Outcome};
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

/// Datagrams get lost; one repetition tells a lost one from a server that is away.
const UDP_TRIES: usize = 2;

/// A server across the world answers within half a second.
const UDP_LIMIT: Duration = Duration::from_millis(1500);

/// TCP repeats by itself, and its handshake comes on top.
const TCP_LIMIT: Duration = Duration::from_secs(5);

/// The largest datagram that servers send (without EDNS, which is not asked for, it is 512).
const LARGEST_DATAGRAM: usize = 4096;

/// Sends `request` to `server` and returns the answer to it: over UDP, and over TCP if UDP brings no
/// answer or a truncated one (RFC 7766 §5). Takes at most eight seconds. The answer has the
/// request's id and nothing else is known of it.
pub async fn exchange(server: SocketAddr, request: &[u8]) -> Result<Vec<u8>, Failure> {
    for _ in 0..UDP_TRIES {
        match tokio::time::timeout(UDP_LIMIT, over_udp(server, request)).await {
            Ok(Ok(answer)) if !is_truncated(&answer) => return Ok(answer),
            // Truncated, or nobody there: the next datagram would tell the same.
            Ok(_) => break,
            Err(_) => {}
        }
    }
    match tokio::time::timeout(TCP_LIMIT, over_tcp(server, request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Failure::new(FailureKind::Other, error.to_string())),
        Err(_) => Err(Failure::new(FailureKind::Timeout, "no answer in time, over UDP or TCP")),
    }
}

async fn over_udp(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { IpAddr::from(Ipv4Addr::UNSPECIFIED) } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(request).await?;
    let mut buffer = vec![0; LARGEST_DATAGRAM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = buffer.get(..length).filter(|answer| is_answer(request, answer)) {
            return Ok(answer.to_vec());
        }
    }
}

async fn over_tcp(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(request.len()).map_err(io::Error::other)?;
    // In one write, as RFC 7766 §8 asks.
    let framed: Vec<u8> = length.to_be_bytes().into_iter().chain(request.iter().copied()).collect();
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if is_answer(request, &answer) {
        Ok(answer)
    } else {
        Err(io::Error::other("the answer belongs to another question"))
    }
}

/// Whether `message` is an answer (QR is set) with the id of `request`.
fn is_answer(request: &[u8], message: &[u8]) -> bool {
    message.get(..2) == request.get(..2) && message.get(2).is_some_and(|flags| flags & 0x80 != 0)
}

fn is_truncated(message: &[u8]) -> bool {
    message.get(2).is_some_and(|flags| flags & 0x02 != 0)
}

/// The TXT records that `server` itself holds at `name`, each with its strings joined. A server that
/// does not answer for the zone with authority has failed: what it heard elsewhere says nothing.
pub async fn txt(server: SocketAddr, name: &str) -> Outcome<Vec<String>> {
    match ask_txt(server, name).await {
        Ok(values) if values.is_empty() => Outcome::NoRecords,
        Ok(values) => Outcome::Found(values),
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn ask_txt(server: SocketAddr, name: &str) -> Result<Vec<String>, Failure> {
    let other = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Other, error.to_string());
    let mut name = Name::from_ascii(name).map_err(|error| other(&error))?;
    name.set_fqdn(true);
    let mut question = Message::query();
    question.metadata.recursion_desired = false;
    question.add_query(Query::query(name.clone(), RecordType::TXT));
    let request = question.to_vec().map_err(|error| other(&error))?;
    let answer = exchange(server, &request).await?;
    let answer = Message::from_vec(&answer).map_err(|error| other(&error))?;
    match answer.metadata.response_code {
        ResponseCode::NoError | ResponseCode::NXDomain if answer.metadata.authoritative => {}
        ResponseCode::NoError | ResponseCode::NXDomain => {
            return Err(Failure::new(FailureKind::Other, "it answers without authority for this zone"));
        }
        ResponseCode::ServFail => return Err(Failure::new(FailureKind::ServFail, "it answered SERVFAIL")),
        code => return Err(Failure::new(FailureKind::Other, format!("it answered {code}"))),
    }
    let values = answer.answers.iter().filter(|record| record.name == name).filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(txt.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect::<String>()),
        _ => None,
    });
    Ok(values.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Record;
    use hickory_resolver::proto::rr::rdata::TXT;
    use tokio::net::TcpListener;

    /// What the server of a test answers to `request`.
    fn answer(request: &[u8], change: impl Fn(&mut Message)) -> Vec<u8> {
        let question = Message::from_vec(request).unwrap();
        assert!(!question.metadata.recursion_desired);
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.add_query(question.queries[0].clone());
        answer.metadata.authoritative = true;
        change(&mut answer);
        answer.to_vec().unwrap()
    }

    fn record(name: &str, parts: &[&str]) -> Record {
        let txt = TXT::new(parts.iter().map(ToString::to_string).collect());
        Record::from_rdata(Name::from_ascii(name).unwrap(), 60, RData::TXT(txt))
    }

    /// Answers one question over UDP, after a datagram that answers another one.
    async fn ask(change: impl Fn(&mut Message)) -> Outcome<Vec<String>> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let serve = async {
            let mut buffer = [0; 512];
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let stray = answer(&buffer[..length], |answer| answer.metadata.id ^= 1);
            socket.send_to(&stray, peer).await.unwrap();
            socket.send_to(&answer(&buffer[..length], &change), peer).await.unwrap();
        };
        tokio::join!(txt(address, "_acme-challenge.a.test"), serve).0
    }

    #[tokio::test]
    async fn only_the_word_of_a_server_with_authority_counts() {
        let full = |answer: &mut Message| {
            answer.add_answer(record("_ACME-challenge.a.test.", &["one ", "value"]));
            answer.add_answer(record("_acme-challenge.a.test.", &["two"]));
            answer.add_answer(record("elsewhere.test.", &["three"]));
        };
        assert_eq!(ask(full).await, Outcome::Found(vec!["one value".to_owned(), "two".to_owned()]));
        assert_eq!(ask(|_| {}).await, Outcome::NoRecords);
        assert_eq!(ask(|answer| answer.metadata.response_code = ResponseCode::NXDomain).await, Outcome::NoRecords);
        for (code, authoritative) in
            [(ResponseCode::NoError, false), (ResponseCode::Refused, true), (ResponseCode::ServFail, true)]
        {
            let outcome = ask(|answer| {
                full(answer);
                (answer.metadata.response_code, answer.metadata.authoritative) = (code, authoritative);
            });
            assert!(matches!(outcome.await, Outcome::Failed(_)), "{code}");
        }
    }

    #[tokio::test]
    async fn a_truncated_answer_is_fetched_over_tcp() {
        // A port that is free for datagrams may be somebody's for connections.
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (socket, listener);
            }
        };
        let address = socket.local_addr().unwrap();
        let serve = async {
            let mut buffer = [0; 512];
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let truncated = answer(&buffer[..length], |answer| answer.metadata.truncation = true);
            socket.send_to(&truncated, peer).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = usize::from(stream.read_u16().await.unwrap());
            stream.read_exact(&mut buffer[..length]).await.unwrap();
            let whole =
                answer(&buffer[..length], |answer| answer.answers.push(record("_acme-challenge.a.test.", &["v"])));
            stream.write_u16(u16::try_from(whole.len()).unwrap()).await.unwrap();
            stream.write_all(&whole).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(txt(address, "_acme-challenge.a.test."), serve);
        assert_eq!(outcome, Outcome::Found(vec!["v".to_owned()]));
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        drop(socket);
        assert!(matches!(txt(address, "a.test").await, Outcome::Failed(_)));
    }
}
