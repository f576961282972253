//! The report of the public Go tester (matrix-org/matrix-federation-tester, `/api/report`), field
//! for field, for programs that read that one.
//!
//! Names, order, types and nulls are that program's; so is the judgement: every address must
//! present a valid chain and keys that verify, and the version must be readable. What was looked
//! at is what this check looks at: discovery follows the specification where the tester knows
//! `_matrix._tcp` only, and redirects of the key document are not followed. What the check cannot
//! know stands as in a report of the tester that could not find it out. Sentences of Go's own
//! libraries are given in their shortest form.

mod connection;
mod keys;
mod lookup;

use crate::check::Examined;
use crate::check::observe::federation::Connection;
use crate::clock::Timestamp;
use crate::matrix::ServerName;
use connection::ConnectionReport;
use lookup::{DnsResult, WellKnownReport};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The report.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GoReport {
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    well_known_result: WellKnownReport,
    #[serde(rename = "DNSResult")]
    dns_result: DnsResult,
    connection_reports: BTreeMap<String, ConnectionReport>,
    connection_errors: BTreeMap<String, Message>,
    version: Version,
    #[serde(rename = "FederationOK")]
    federation_ok: bool,
}

/// An error, as the tester writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    message: String,
}

impl From<String> for Message {
    fn from(message: String) -> Self {
        Self { message }
    }
}

/// What runs there.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Version {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

impl GoReport {
    /// The report about what was `examined`, as of `now`.
    pub fn of(examined: &Examined, now: Timestamp) -> Self {
        let name = &examined.report.server_name;
        let Ok(parsed) = ServerName::parse(name) else {
            return Self { error: format!("Invalid server name '{name}'"), ..Self::default() };
        };
        let seen = &examined.seen;
        let (well_known_result, delegate) = lookup::well_known(examined);
        if let Some(delegate) = delegate.as_ref().filter(|text| ServerName::parse(text).is_err()) {
            let error = format!("Invalid server name '{delegate}' in .well-known result");
            return Self { error, well_known_result, ..Self::default() };
        }
        let host = delegate.unwrap_or_else(|| name.clone());
        let mut report = Self {
            well_known_result,
            dns_result: lookup::dns(seen, &host),
            version: version(&seen.connections),
            ..Self::default()
        };
        for connection in &seen.connections {
            let address = connection.address.to_string();
            match connection::report(connection, parsed.as_str(), &host, now) {
                Ok(one) => drop(report.connection_reports.insert(address, one)),
                Err(error) => drop(report.connection_errors.insert(address, error.into())),
            }
        }
        report.federation_ok = report.version.error.is_empty()
            && !report.dns_result.is_empty()
            && report.connection_errors.is_empty()
            && report.connection_reports.values().all(ConnectionReport::all_checks_ok);
        report
    }
}

/// The version from the first address that gives one over a connection that Go's client accepts.
fn version(connections: &[Connection]) -> Version {
    let mut first = None;
    for connection in connections {
        match version_at(connection) {
            Ok(version) => return version,
            Err(error) => first = first.or(Some(error)),
        }
    }
    Version { error: first.unwrap_or_else(|| "no address found".to_owned()), ..Version::default() }
}

fn version_at(connection: &Connection) -> Result<Version, String> {
    if let Some(handshake) = &connection.version.tls {
        connection::verified(&handshake.chain)?;
    }
    let answer = connection.version.answer.as_ref().map_err(ToString::to_string)?;
    if !(200..300).contains(&answer.status) {
        return Err(format!("HTTP {}", answer.status));
    }
    let reply: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let server = reply.as_object().ok_or("the answer is not a JSON object")?.get("server");
    // An absent field reads as empty; one of another type is an error.
    let text = |key| match server.and_then(|server| server.get(key)) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("server.{key} is not a string")),
    };
    match server {
        None | Some(Value::Null | Value::Object(_)) => {
            Ok(Version { name: text("name")?, version: text("version")?, error: String::new() })
        }
        Some(_) => Err("server is not an object".to_owned()),
    }
}
