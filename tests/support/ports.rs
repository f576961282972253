//! Port numbers for peers that cannot be asked to choose one themselves.

use std::net::{Ipv4Addr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the kernel's ephemeral ports (32768 and up unless somebody changed it): from there every outgoing connection
/// takes its own end, and one that is being opened is enough to refuse a server its port.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of 127.0.0.1 that nobody listens on, and that this process has not given out before.
///
/// Somebody else may take it before its user binds it, but only on purpose. vestibule itself takes port 0 and reports
/// what it got, and needs none of this.
pub fn free() -> u16 {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    // Processes that test at the same time begin at different places.
    let begin = process::id().wrapping_mul(97) % u32::from(COUNT);
    let begin = u16::try_from(begin).expect("less than the count");
    for _ in 0..COUNT {
        let offset = (begin + GIVEN.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)).is_ok() {
            return FIRST + offset;
        }
    }
    panic!("all of {COUNT} ports of 127.0.0.1 are taken");
}
