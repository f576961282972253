//! `check`: the federation check of any server name.

use super::args::{CheckArguments, Format};
use super::network;
use super::output::{colour, error, line, print};
use super::{NOT_OK, USAGE};
use crate::app::control_plane;
use crate::check::catalogue::Code;
use crate::check::network::Network;
use crate::check::own::Subject;
use crate::check::render::{explain, render};
use crate::check::report::{Report, Verdict};
use crate::clock::Clock;
use crate::config::{Config, Log, LogFormat};
use crate::telemetry::log;

/// Could not tell.
const UNKNOWN: u8 = 2;

/// Checks, prints, and gives the exit status.
pub(super) fn check(arguments: &CheckArguments) -> u8 {
    if let Some(id) = &arguments.explain {
        return match Code::parse(id) {
            Some(code) => {
                print(&explain(code));
                0
            }
            None => {
                error(&format!("{id:?} is no finding; in a report, the id stands behind the severity"));
                USAGE
            }
        };
    }
    let (targets, network) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(mistakes) => {
            mistakes.iter().for_each(error);
            return USAGE;
        }
    };
    log::start(&Log { level: "error".to_owned(), format: LogFormat::Text });
    let reports = control_plane(async {
        let mut reports = Vec::new();
        for target in targets {
            let report = match target {
                Target::Any(name) => crate::check::check(&name, &network).await,
                Target::Own(subject) => crate::check::check_own(*subject, &network).await,
            };
            show(&report, arguments.format);
            reports.push(report);
        }
        reports
    });
    match reports {
        Ok(reports) => {
            reports.iter().map(|report| status(report.verdict, arguments.strict)).max_by_key(rank).unwrap_or(0)
        }
        Err(failed) => {
            error(&failed);
            UNKNOWN
        }
    }
}

/// Whom to check.
enum Target {
    /// Anybody's server, as everybody sees it.
    Any(String),
    /// An own one, from inside as well.
    Own(Box<Subject>),
}

/// Whom to check, and with what.
fn prepare(arguments: &CheckArguments) -> Result<(Vec<Target>, Network), Vec<String>> {
    let (targets, network) = match &arguments.name {
        Some(name) => (vec![Target::Any(name.clone())], Network::from_system(Clock::System)),
        None => own(arguments)?,
    };
    Ok((targets, network::with(network, &arguments.network)?))
}

/// The configured servers, seen with the configured network.
fn own(arguments: &CheckArguments) -> Result<(Vec<Target>, Network), Vec<String>> {
    let config = Config::load(&arguments.config.sources(|name| std::env::var(name).ok()));
    let config = config.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let targets: Vec<_> = Subject::all(&config).into_iter().map(|subject| Target::Own(Box::new(subject))).collect();
    if targets.is_empty() {
        return Err(vec![
            "there is no homeserver in the configuration; name one: vestibule check example.com".to_owned(),
        ]);
    }
    Ok((targets, network::configured(&config)?))
}

fn show(report: &Report, format: Format) {
    match format {
        Format::Json => line(serde_json::json!(report)),
        Format::Pretty => print(&render(report, colour())),
    }
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
