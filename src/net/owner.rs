//! Which process holds a port, as far as the system lets this one see.

use std::fmt;
use std::fs;
use std::net::SocketAddr;

/// The state of a listening socket in /proc/net/tcp (TCP_LISTEN of the kernel).
const LISTEN: &str = "0A";

/// A process that listens.
#[derive(Debug)]
pub(super) struct Owner {
    pub(super) id: u32,
    command: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.command, self.id)
    }
}

/// Who listens on the port, if it can be told.
pub(super) fn of_port(address: SocketAddr) -> Option<Owner> {
    let inodes: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, address.port()))
        .collect();
    let wanted: Vec<_> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // Other users' descriptors are not ours to read; then the process stays unnamed.
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let mut targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        if targets.any(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str())) {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(Owner { id, command: command.trim().to_owned() });
        }
    }
    None
}

/// The inodes of sockets listening on `port` in a table of /proc/net: `sl local rem st … inode`.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let rows = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (_, hex_port) = columns.get(1)?.rsplit_once(':')?;
        let matches = u16::from_str_radix(hex_port, 16) == Ok(port) && columns.get(3) == Some(&LISTEN);
        matches.then(|| columns.get(9).map(|inode| (*inode).to_owned()))?
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1\n   \
                     1: 0100007F:01BB 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 4343 1\n";
        assert_eq!(listening_inodes(table, 443), ["4242"]);
        assert!(listening_inodes(table, 80).is_empty());
    }
}
