//! Port numbers for peers that cannot be asked to choose one themselves.

use std::net::{Ipv4Addr, TcpListener};

/// A port of 127.0.0.1 that was free a moment ago.
///
/// Somebody else may take it before its user binds it. The kernel hands out ephemeral ports far apart, so this is
/// rare; vestibule itself takes port 0 and reports what it got, and needs none of this.
pub fn free() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on 127.0.0.1");
    listener.local_addr().expect("a bound socket has an address").port()
}
