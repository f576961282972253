//! `[log]` and `[check]`.

use super::reader::{Reader, Wrong};
use super::values;
use std::time::Duration;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text with times on a terminal or in a file, text without times under systemd.
    Auto,
    /// Text with times.
    Text,
    /// One JSON object a line.
    Json,
    /// Text with the priority prefixes that the journal reads (sd-daemon(3)).
    Journald,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or a filter such as `info,vestibule::acme=debug`.
    pub level: String,
    /// The form of the lines.
    pub format: LogFormat,
}

/// Reads `[log]`.
pub fn read_log(reader: &Reader) -> Log {
    let level = reader.read("level", "\"info\"", |node| {
        let text = values::string(node)?;
        match text.parse::<tracing_subscriber::filter::Targets>() {
            Ok(_) => Ok(text),
            Err(error) => Err(Wrong::new(error.to_string(), "write error, warn, info, debug or trace")),
        }
    });
    let formats = [
        ("auto", LogFormat::Auto),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
        ("journald", LogFormat::Journald),
    ];
    let format = reader.read("format", "\"auto\"", |node| values::word(node, &formats));
    let access = [("off", false), ("combined", true), ("json", true)];
    if reader.read("access", "\"off\"", |node| values::word(node, &access)) {
        reader.without_effect("access");
    }
    Log { level, format }
}

/// Which findings count against a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckNetwork {
    /// The Internet: public addresses and public CAs are demanded.
    Public,
    /// A closed network: findings about those are information.
    Private,
}

/// `[check]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Time between two self-checks.
    pub interval: Duration,
    /// What is demanded.
    pub network: CheckNetwork,
    /// Whether the status page has a form that checks other servers.
    pub status_check: bool,
}

/// Reads `[check]`.
pub fn read_check(reader: &Reader) -> Check {
    let networks = [("public", CheckNetwork::Public), ("private", CheckNetwork::Private)];
    Check {
        interval: reader.read("interval", "\"6h\"", |node| {
            let interval = values::wait(node)?;
            // A check is a dozen connections to oneself: more often than once a minute helps nobody.
            let floor = Duration::from_secs(60);
            if interval < floor { Err(Wrong::new("too often", "write at least \"1m\"")) } else { Ok(interval) }
        }),
        network: reader.read("network", "\"public\"", |node| values::word(node, &networks)),
        status_check: reader.read("status_check", "false", values::boolean),
    }
}
