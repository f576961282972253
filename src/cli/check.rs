//! `check`: the federation check of any server name.

use super::check_args::{CheckArguments, Format};
use super::explain::explain;
use super::loop_back;
use super::network;
use super::output::{error, line, look, print, progress_width};
use super::progress::watch;
use super::{NOT_OK, USAGE};
use crate::app::control_plane;
use crate::check::Background;
use crate::check::network::Network;
use crate::check::own::Subject;
use crate::check::progress::Progress;
use crate::check::render::{GoReport, SCHEMA, json, json_pretty, nagios, nagios_status, render, several, tap};
use crate::check::report::{Report, Verdict};
use crate::check::{Examined, examine};
use crate::clock::Clock;
use crate::config::{AdminAddress, Config, Log, LogFormat};
use crate::matrix::keys::SigningKey;
use crate::matrix::signing_key_file;
use crate::telemetry::log;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Could not tell.
const UNKNOWN: u8 = 2;

/// Checks, prints, and gives the exit status.
pub(super) fn check(arguments: &CheckArguments) -> u8 {
    if let Some(id) = &arguments.explain {
        return explain(id);
    }
    if arguments.schema {
        print(SCHEMA);
        return 0;
    }
    let (targets, network) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(mistakes) => {
            mistakes.iter().for_each(error);
            return USAGE;
        }
    };
    log::start(&Log { level: "error".to_owned(), format: LogFormat::Text });
    let reports = control_plane(look_at(targets, network, arguments));
    match reports {
        Ok(reports) => {
            all(&reports, arguments);
            match arguments.format {
                Format::Nagios => nagios_status(&reports),
                _ => {
                    reports.iter().map(|report| status(report.verdict, arguments.strict)).max_by_key(rank).unwrap_or(0)
                }
            }
        }
        Err(failed) => {
            error(&failed);
            UNKNOWN
        }
    }
}

/// Checks one server after the other, and prints each report as soon as it is there where the
/// format allows it.
async fn look_at(targets: Vec<Target>, network: Network, arguments: &CheckArguments) -> Vec<Report> {
    let width = progress_width();
    let progress = if width.is_some() { Progress::watched() } else { Progress::default() };
    let network = network.with_progress(progress.clone());
    let mut reports = Vec::new();
    for target in targets {
        let mut network = network.clone();
        let (name, own) = match target {
            Target::Any(name) => (name, None),
            Target::Own { subject, admin } => {
                let name = subject.server.server_name.to_string();
                let (deep, limit) = (arguments.deep, arguments.network.timeout);
                network = network.with_loopback(loop_back::ask(admin.as_ref(), &name, deep, limit).await);
                (name, Some(*subject))
            }
        };
        // Boxed: it holds the buffers of several connections.
        let looking = Box::pin(examine(&name, &network, Background { own, pinned: None }));
        let examined = match width {
            Some(width) => watch(looking, &name, &progress, width).await,
            None => looking.await,
        };
        one(&examined, arguments.format, !reports.is_empty());
        reports.push(examined.report);
    }
    reports
}

/// Prints what belongs to one server.
fn one(examined: &Examined, format: Format, more: bool) {
    match format {
        Format::Pretty => {
            if more {
                line("");
            }
            print(&render(&examined.report, look()));
        }
        Format::Json => line(json(&examined.report)),
        Format::Go => line(json_pretty(&GoReport::of(examined, Clock::System.now()))),
        Format::Tap | Format::Nagios => {}
    }
}

/// Prints what belongs to all servers together.
fn all(reports: &[Report], arguments: &CheckArguments) {
    match arguments.format {
        Format::Pretty if reports.len() > 1 => print(&format!("\n{}", several(reports, look()))),
        Format::Tap => print(&tap(reports, arguments.strict)),
        Format::Nagios => print(&nagios(reports, Clock::System.now())),
        Format::Pretty | Format::Json | Format::Go => {}
    }
}

/// Whom to check.
enum Target {
    /// Anybody's server, as everybody sees it.
    Any(String),
    /// An own one, from inside as well.
    Own {
        subject: Box<Subject>,
        /// Where the vestibule that runs can be asked about it.
        admin: Option<AdminAddress>,
    },
}

/// Whom to check, and with what.
fn prepare(arguments: &CheckArguments) -> Result<(Vec<Target>, Network), Vec<String>> {
    let (targets, network) = match &arguments.name {
        Some(name) => (vec![Target::Any(name.clone())], Network::from_system(Clock::System)),
        None => own(arguments)?,
    };
    let mut network = network::with(network, &arguments.network)?;
    if let Some(path) = &arguments.signing_key {
        if targets.len() != 1 {
            return Err(vec![
                "--signing-key: a key belongs to one server; name it: vestibule check example.com".to_owned(),
            ]);
        }
        network = network.with_signing_keys(signing_keys(path)?);
    }
    Ok((targets, network))
}

/// The keys in a homeserver's key file. Nothing of it is ever printed.
fn signing_keys(path: &Path) -> Result<Vec<SigningKey>, Vec<String>> {
    let wrong = |reason: String| {
        vec![format!("--signing-key {}: {reason}; name the file of signing_key_path (homeserver.yaml)", path.display())]
    };
    let text = std::fs::read_to_string(path).map_err(|failed| wrong(failed.to_string()))?;
    let mode = path.metadata().map_or(0, |data| data.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        error(&format!("{}: mode {mode:o} lets others read this key: `chmod 600 {}`", path.display(), path.display()));
    }
    signing_key_file::read(&text).map_err(|failed| wrong(failed.to_string()))
}

/// The configured servers, seen with the configured network.
fn own(arguments: &CheckArguments) -> Result<(Vec<Target>, Network), Vec<String>> {
    let config = Config::load(&arguments.config.sources(|name| std::env::var(name).ok()));
    let config = config.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let admin = config.listen.admin.clone();
    let own = |subject| Target::Own { subject: Box::new(subject), admin: admin.clone() };
    let targets: Vec<_> = Subject::all(&config).into_iter().map(own).collect();
    if targets.is_empty() {
        return Err(vec![
            "there is no homeserver in the configuration; name one: vestibule check example.com".to_owned(),
        ]);
    }
    Ok((targets, network::configured(&config)?))
}

fn status(verdict: Verdict, strict: bool) -> u8 {
    match verdict {
        Verdict::Federates => 0,
        Verdict::Degraded if !strict => 0,
        Verdict::Degraded | Verdict::Fails => NOT_OK,
        Verdict::Unknown => UNKNOWN,
    }
}

/// A failure says more than not knowing.
fn rank(status: &u8) -> u8 {
    match *status {
        NOT_OK => 2,
        UNKNOWN => 1,
        _ => 0,
    }
}
