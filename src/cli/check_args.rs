//! The command line of the check, as clap sees it.

use super::args::ConfigArguments;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// The server name to check; without one, the configured servers
    #[arg(value_name = "SERVER_NAME")]
    pub name: Option<String>,
    /// How to print the report
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    pub format: Format,
    /// A degraded server counts as failing; no effect on nagios, which has a state for it
    #[arg(long)]
    pub strict: bool,
    /// Look for what only time shows as well: does a connection survive an idle minute
    #[arg(long)]
    pub deep: bool,
    /// Prove with this signing key of the homeserver that signed requests arrive unchanged
    ///
    /// The file as Synapse keeps it (signing_key_path). The key is used on this machine and never
    /// sent; requests signed with it go to the server checked and nowhere else.
    #[arg(long, value_name = "FILE")]
    pub signing_key: Option<PathBuf>,
    /// Explain a finding instead of checking; without an ID, list all of them
    #[arg(long, value_name = "ID", conflicts_with = "name", num_args = 0..=1, default_missing_value = LIST)]
    pub explain: Option<String>,
    /// Print the JSON Schema of --format json instead of checking
    #[arg(long, conflicts_with_all = ["name", "explain"])]
    pub schema: bool,
    #[command(flatten)]
    pub network: NetworkArguments,
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// How other servers are reached and judged.
#[derive(Debug, Args)]
pub(super) struct NetworkArguments {
    /// A closed network: findings about public addresses and public CAs are information
    #[arg(long)]
    pub private: bool,
    /// Trust these roots too, PEM
    #[arg(long, value_name = "PEM")]
    pub ca_file: Option<PathBuf>,
    /// Ask this name server instead of the system's
    #[arg(long, value_name = "IP:PORT", value_parser = name_server)]
    pub resolver: Option<SocketAddr>,
    /// Connect to ADDR:PORT instead of HOST:PORT, as curl does; may be repeated
    #[arg(long, value_name = "HOST:PORT:ADDR:PORT")]
    pub connect_to: Vec<String>,
    /// How long the whole look at a server may take
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Format {
    /// For people: the verdict, a line for each area, then what to do
    Pretty,
    /// For programs: an object for each server, one a line; --schema describes it
    Json,
    /// For test harnesses: the Test Anything Protocol, a test point for each rule and server
    Tap,
    /// For monitoring: state, performance data and status of a Nagios plugin
    Nagios,
    /// The report of the public Go federation tester, field for field; an object for each server
    Go,
}

/// What `--explain` without an ID means.
pub(super) const LIST: &str = "list";

fn name_server(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write IP:PORT, such as 192.0.2.53:53 or [2001:db8::53]:53".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::values::parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "write a number and a unit (ms, s, m, h, d), such as 30s".to_owned())
}
