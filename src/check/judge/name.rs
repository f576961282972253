//! Rules about the server name itself.

use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::matrix::ServerName;
use crate::matrix::server_name::InvalidName;

pub(super) const RULES: &[Rule] = &[case_of_letters, length, ip, port];

/// A user ID is limited to 255 bytes and holds the name, a sigil, a colon and a localpart.
const MAX_LENGTH: usize = 230;

/// The finding for a name that is none; everything else needs a name.
pub(in crate::check) fn grammar(text: &str, error: &InvalidName) -> Finding {
    Finding::new(Code::NameGrammar, text, text, error.to_string())
}

fn case_of_letters(case: &Case<'_>) -> Vec<Finding> {
    let upper = case.server.chars().any(|c| c.is_ascii_uppercase());
    let ip = ServerName::parse(case.server).is_ok_and(|name| name.host().is_ip());
    let detail = "the name has upper-case letters";
    (upper && !ip).then(|| case.finding(Code::NameCase, case.server, detail)).into_iter().collect()
}

fn length(case: &Case<'_>) -> Vec<Finding> {
    let length = case.server.len();
    let finding = || case.finding(Code::NameLength, case.server, format!("the name has {length} characters"));
    (length > MAX_LENGTH).then(finding).into_iter().collect()
}

fn ip(case: &Case<'_>) -> Vec<Finding> {
    let ip = ServerName::parse(case.server).is_ok_and(|name| name.host().is_ip());
    let detail = "the name is an IP address: well-known and SRV are not used";
    ip.then(|| case.finding(Code::NameIp, case.server, detail)).into_iter().collect()
}

fn port(case: &Case<'_>) -> Vec<Finding> {
    let port = ServerName::parse(case.server).ok().filter(|name| !name.host().is_ip()).and_then(|name| name.port());
    let finding =
        |port| case.finding(Code::NamePort, case.server, format!("port {port}: well-known and SRV are not used"));
    port.map(finding).into_iter().collect()
}
