//! Requests whose body is announced and never sent: does anything refuse the size?
//!
//! `Expect: 100-continue` (RFC 9110 §10.1.1) lets a server refuse a body by its length before it
//! comes. The head is written by hand, as no client library sends one without its body.

use super::http::USER_AGENT;
use super::tls::{self, Offer};
use crate::check::network::Network;
use crate::http1::ResponseHead;
use crate::matrix::Host;
use bytes::BytesMut;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

/// A server that takes no notice of the expectation waits for the body. Who refuses, refuses at once.
const PATIENCE: Duration = Duration::from_secs(3);

/// A body's announcement, and where to make it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcement<'a> {
    pub(super) address: SocketAddr,
    pub(super) name: &'a Host,
    pub(super) host_header: &'a str,
    pub(super) method: &'static str,
    pub(super) target: &'a str,
    pub(super) media_type: &'static str,
    /// Bytes announced.
    pub(super) length: u64,
}

/// What a server said to an announced body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Bytes announced.
    pub length: u64,
    /// The status, 100 included; `None` where nothing came in time or no connection was possible.
    pub status: Option<u16>,
    /// Its `Server`.
    pub server: Option<String>,
    /// It is JSON: the homeserver's own word.
    pub json: bool,
}

/// Announces, and hears what the server says to it. Ends the connection in any case.
pub(super) async fn announce(network: &Network, announcement: &Announcement<'_>) -> Announced {
    let mut announced = Announced { length: announcement.length, status: None, server: None, json: false };
    if let Some(head) = answer(network, announcement).await {
        let text = |name| head.fields().first(name).map(|value| String::from_utf8_lossy(value).into_owned());
        announced.status = Some(head.status());
        announced.server = text("server");
        announced.json = text("content-type").is_some_and(|kind| kind.to_ascii_lowercase().contains("json"));
    }
    announced
}

async fn answer(network: &Network, announcement: &Announcement<'_>) -> Option<ResponseHead> {
    let Announcement { address, name, host_header, method, target, media_type, length } = announcement;
    let (mut stream, _) = tls::open(network, *address, name, Offer::HTTP1).await.ok()?;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host_header}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n\
         Content-Type: {media_type}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    );
    let heard = async {
        stream.write_all(head.as_bytes()).await.ok()?;
        let (mut buffer, mut searched) = (BytesMut::new(), 0);
        loop {
            // The codec refuses a head that is too long.
            if let Some(head) = ResponseHead::read(&mut buffer, &mut searched, false).ok()? {
                return Some(head);
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
    };
    timeout(PATIENCE.min(network.limits.exchange), heard).await.ok().flatten()
}
