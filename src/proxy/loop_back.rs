//! Requests of the loop-back proof: kept as they arrived, for whoever sent them.

use super::answer::Answer;
use super::body::RequestBody;
use super::headers::{Onward, write_request};
use super::respond;
use super::service::{Arrival, Service};
use crate::http1::RequestHead;
use crate::probe::loopback::{self, ArrivedTls, MAX_BODY, Visit};
use crate::upstream::Source as _;
use bytes::{Bytes, BytesMut};
use std::future::poll_fn;
use std::net::IpAddr;
use tokio::time::sleep;

impl Service {
    /// Hands over what arrived, and answers after the silence that was asked for.
    pub(super) async fn loop_back(
        &self,
        visit: Visit,
        client: IpAddr,
        head: &RequestHead,
        body: Option<RequestBody>,
    ) -> Answer {
        let arrival = self.arrived(client, head, collect(body).await);
        let silence = visit.silence();
        visit.arrived(arrival);
        if !silence.is_zero() {
            let mut drain = self.local.drain.clone();
            tokio::select! {
                () = sleep(silence) => {}
                // Nobody stops the program to learn how patient a proxy is.
                () = drain.started() => {}
            }
        }
        Answer::ours(respond::loop_back())
    }

    fn arrived(&self, client: IpAddr, head: &RequestHead, body: Bytes) -> loopback::Arrival {
        let line = head.fields().first("host").map(String::from_utf8_lossy);
        let host = line.as_deref().or(head.authority()).unwrap_or_default().to_owned();
        let mut onward = Vec::new();
        let request_id = self.local.request_ids.fresh();
        let going = Onward { client, host: &host, target: head.target(), request_id: &request_id, websocket: false };
        write_request(head, &going, &mut onward);
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        loopback::Arrival {
            method: head.method().to_owned(),
            target: head.target().to_owned(),
            tls: match &self.arrival {
                Arrival::Tls(name) => Some(ArrivedTls {
                    sni: name.sni.clone(),
                    alpn: name.alpn.map(str::to_owned),
                    serial: name.certificate.facts().serial.clone(),
                }),
                Arrival::Plain => None,
            },
            peer: self.peer.to_canonical(),
            client,
            lines: head.fields().iter().map(|(name, value)| (copy(name), copy(value))).collect(),
            body,
            onward: onward.into(),
            host,
        }
    }
}

/// The body, as much of it as anybody sends with a proof. What breaks off is what has come.
async fn collect(body: Option<RequestBody>) -> Bytes {
    let Some(mut body) = body else { return Bytes::new() };
    let mut collected = BytesMut::new();
    while let Some(Ok(piece)) = poll_fn(|cx| body.poll_data(cx)).await {
        let room = MAX_BODY.saturating_sub(collected.len());
        collected.extend_from_slice(piece.get(..room).unwrap_or(&piece));
        if collected.len() >= MAX_BODY {
            break;
        }
    }
    collected.freeze()
}
