//! `[acme.dns]`: who writes the TXT records of DNS-01.

use super::reader::{Reader, Wrong};
use super::tree::Node;
use super::values;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// The port of DNS (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

/// Who writes the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsProvider {
    /// A name server that takes dynamic updates (RFC 2136) signed with TSIG (RFC 8945).
    Rfc2136 {
        /// The primary server of the zone.
        server: SocketAddr,
        /// The key's name. A key file as `tsig-keygen` prints it says it as well.
        key_name: Option<String>,
        /// Where the key is: `tsig-keygen`'s output, or the bare secret in base64.
        key_file: PathBuf,
    },
    /// A program of the operator's.
    Exec {
        /// Its absolute path, and arguments that come before ours. Never empty.
        command: Vec<String>,
    },
}

#[derive(Clone, Copy)]
enum Kind {
    Rfc2136,
    Exec,
}

/// Reads `[acme.dns]`. `None` when no provider is set, or not completely.
pub(super) fn read(reader: &Reader) -> Option<DnsProvider> {
    let kinds = [("rfc2136", Kind::Rfc2136), ("exec", Kind::Exec)];
    let is_set = ["server", "key_name", "key_file", "command"].into_iter().any(|key| reader.is_set(key));
    let provider = match reader.read_optional("provider", |node| values::word(node, &kinds)) {
        None if is_set && !reader.is_set("provider") => {
            reader.refuse("provider", Wrong::new("missing", "write provider = \"rfc2136\" or \"exec\""));
            None
        }
        provider => provider,
    };
    // A key of the other provider is a misunderstanding that would otherwise show at the first order.
    let foreign = |keys: &[&str], right: &str| {
        for key in keys.iter().filter(|key| reader.is_set(key)) {
            reader.refuse(key, Wrong::new("this belongs to the other provider", right));
        }
    };
    match provider {
        Some(Kind::Rfc2136) => {
            foreign(&["command"], "remove it, or set provider = \"exec\"");
            reader.known("command");
            let server = reader.read_required("server", "write server = \"192.0.2.53:53\"", name_server);
            let key_name = reader.read_optional("key_name", key_name);
            let right = "write key_file = \"/etc/vestibule/tsig.key\", what tsig-keygen prints";
            let key_file = reader.read_required("key_file", right, values::path);
            Some(DnsProvider::Rfc2136 { server: server?, key_name, key_file: key_file? })
        }
        Some(Kind::Exec) => {
            foreign(&["server", "key_name", "key_file"], "remove it, or set provider = \"rfc2136\"");
            ["server", "key_name", "key_file"].into_iter().for_each(|key| reader.known(key));
            let right = "write command = [\"/etc/vestibule/dns-hook\"]";
            let command = reader.read_required("command", right, command);
            Some(DnsProvider::Exec { command: command? })
        }
        None => {
            reader.read_optional("server", name_server);
            reader.read_optional("key_name", key_name);
            reader.read_optional("key_file", values::path);
            reader.read_optional("command", command);
            None
        }
    }
}

fn name_server(node: &Node) -> Result<SocketAddr, Wrong> {
    let text = values::string(node)?;
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, DNS_PORT)),
        Err(_) => text.parse().map_err(|_| {
            Wrong::new(format!("{text:?} is not an address"), "write address and port such as \"192.0.2.53:53\"")
        }),
    }
}

fn key_name(node: &Node) -> Result<String, Wrong> {
    let text = values::string(node)?;
    let name = text.trim_end_matches('.');
    let is_name = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    if name.len() <= 253 && name.split('.').all(is_name) {
        return Ok(text);
    }
    let right = "write the name in the quotes after \"key\" in the name server's configuration";
    Err(Wrong::new(format!("{text:?} is not a key's name"), right))
}

fn command(node: &Node) -> Result<Vec<String>, Wrong> {
    let command = values::list(node, values::string)?;
    match command.first() {
        Some(program) if program.starts_with('/') => Ok(command),
        // There is no shell, so there is no search path that a person could predict.
        Some(program) => {
            let right = "write the program's absolute path first, such as [\"/etc/vestibule/dns-hook\"]";
            Err(Wrong::new(format!("{program:?} is not an absolute path"), right))
        }
        None => Err(Wrong::new("the list is empty", "write command = [\"/etc/vestibule/dns-hook\"]")),
    }
}
