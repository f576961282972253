//! What DNS says where the name server does not validate it.
//!
//! A validating name server answers SERVFAIL both where a zone's servers are away and where its
//! signatures are wrong. The bit CD ("checking disabled", RFC 4035 §3.2.2) tells the two apart: only
//! in the second case is there an answer with it.

use super::direct::exchange;
use super::{QUERY_LIMIT, Resolver, absolute};
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::proto::op::{Message, Query, ResponseCode};
use hickory_resolver::proto::rr::RecordType;
use std::net::SocketAddr;
use std::sync::Arc;

impl Resolver {
    /// Whether a name server has an answer about `name`, a host or an SRV name, if it does not
    /// validate it. To be asked where the ordinary question brought SERVFAIL. Takes at most five
    /// seconds.
    pub async fn answers_unvalidated(&self, name: &str) -> bool {
        let Some(request) = request(name) else {
            return false;
        };
        let asking = async {
            for server in self.servers.iter() {
                let Ok(answer) = exchange(*server, &request).await else { continue };
                if answered(&answer) {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(QUERY_LIMIT, asking).await.unwrap_or(false)
    }
}

/// The addresses of the name servers, in order, each once.
pub(super) fn servers(config: &ResolverConfig) -> Arc<[SocketAddr]> {
    let servers = config.name_servers().iter();
    servers.filter_map(|server| Some(SocketAddr::new(server.ip, server.connections.first()?.port))).collect()
}

fn request(name: &str) -> Option<Vec<u8>> {
    let kind = if name.starts_with('_') { RecordType::SRV } else { RecordType::A };
    let mut name = absolute(name).ok()?;
    name.set_fqdn(true);
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.metadata.checking_disabled = true;
    question.add_query(Query::query(name, kind));
    question.to_vec().ok()
}

fn answered(answer: &[u8]) -> bool {
    let code = Message::from_vec(answer).map(|answer| answer.metadata.response_code);
    matches!(code, Ok(ResponseCode::NoError | ResponseCode::NXDomain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    /// A name server that answers SERVFAIL, or what it has if nobody is to check it.
    async fn ask(name: &str, only_unchecked: bool) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolver = Resolver::from_server(socket.local_addr().unwrap());
        let serve = async {
            let mut buffer = [0; 512];
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..length]).unwrap();
            assert!(question.metadata.recursion_desired);
            let fine = question.metadata.checking_disabled && only_unchecked;
            let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
            answer.add_query(question.queries[0].clone());
            answer.metadata.response_code = if fine { ResponseCode::NoError } else { ResponseCode::ServFail };
            socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
        };
        tokio::join!(resolver.answers_unvalidated(name), serve).0
    }

    #[tokio::test]
    async fn what_only_validation_forbids_has_an_answer_without() {
        assert!(ask("a.test", true).await);
        assert!(ask("_matrix-fed._tcp.a.test", true).await);
        assert!(!ask("a.test", false).await);
        assert!(!Resolver::offline().answers_unvalidated("a.test").await);
    }
}
