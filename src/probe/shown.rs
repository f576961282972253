//! Which certificate do our own listeners show?

use super::connection::{leaf, tls_name};
use super::own::{OwnListeners, from_here};
use crate::certs::x509;
use crate::matrix::Host;
use crate::net::listen::Role;
use futures_util::future::join_all;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// For one handshake over loopback, on a machine that is busy.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(1);

/// Listeners are asked until then: a new snapshot is there a moment after it was published.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);

/// A listener that does not show the certificate that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// What the listener is for.
    pub role: Role,
    /// Where it is bound.
    pub address: SocketAddr,
    /// What it shows.
    pub seen: Seen,
}

/// What a listener shows in place of what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A certificate with this serial number, in lower-case hexadecimal.
    Serial(String),
    /// None; why not, in words.
    Nothing(String),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} listener at {} ", self.role, self.address)?;
        match &self.seen {
            Seen::Serial(serial) => write!(f, "shows the certificate {serial}"),
            Seen::Nothing(why) => write!(f, "shows no certificate: {why}"),
        }
    }
}

/// Connects to every TLS listener as a client of `name` (without SNI if that is an address) and
/// compares the serial number of the certificate shown with `expected_serial`, written as in
/// [`x509::Facts::serial`]. Listeners are asked again for three seconds before they count as
/// mismatches; empty means that all of them show it.
pub async fn shown(own: &OwnListeners, name: &Host, expected_serial: &str) -> Vec<Mismatch> {
    let listeners = own.listeners.iter().filter(|(role, _)| *role != Role::Http);
    let asked = listeners.map(async |(role, address)| {
        let seen = insist(own, *address, name, expected_serial).await?;
        Some(Mismatch { role: *role, address: *address, seen })
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// What is seen at last, unless it is what was expected.
async fn insist(own: &OwnListeners, bound: SocketAddr, name: &Host, expected: &str) -> Option<Seen> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look(own, bound, name).await;
        if seen == Seen::Serial(expected.to_owned()) {
            return None;
        }
        if Instant::now() >= deadline {
            return Some(seen);
        }
        sleep(PAUSE).await;
    }
}

async fn look(own: &OwnListeners, bound: SocketAddr, name: &Host) -> Seen {
    let mut failure = String::new();
    for address in from_here(bound) {
        match timeout(HANDSHAKE_LIMIT, serial(own, address, name)).await {
            Ok(Ok(serial)) => return Seen::Serial(serial),
            Ok(Err(error)) => failure = error.to_string(),
            Err(_) => failure = format!("no handshake within {HANDSHAKE_LIMIT:?}"),
        }
    }
    Seen::Nothing(failure)
}

async fn serial(own: &OwnListeners, address: SocketAddr, name: &Host) -> io::Result<String> {
    let leaf = leaf(own, address, tls_name(name)?, &[]).await?;
    Ok(x509::facts(&leaf).map_err(io::Error::other)?.serial)
}
