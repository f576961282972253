//! `check`: the federation check of any server name.

use super::args::{CheckArguments, Format};
use super::loop_back;
use super::output::{colour, error, line, print};
use super::{NOT_OK, USAGE};
use crate::app::{control_plane, own_network};
use crate::certs::{Store, internal};
use crate::check::catalogue::Code;
use crate::check::network::{Limits, Network, Override};
use crate::check::render::{explain, render};
use crate::check::report::{Report, Verdict};
use crate::clock::Clock;
use crate::config::{AdminAddress, Config, Issuer, Log, LogFormat};
use crate::dns::Resolver;
use crate::telemetry::log::{self, Chain};

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
    let (names, network, own) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(mistakes) => {
            mistakes.iter().for_each(error);
            return USAGE;
        }
    };
    log::start(&Log { level: "error".to_owned(), format: LogFormat::Text });
    let reports = control_plane(async {
        let mut reports = Vec::new();
        for name in &names {
            let mut network = network.clone();
            if let Some(Own { admin }) = &own {
                let (deep, limit) = (arguments.deep, arguments.timeout);
                network = network.with_loopback(loop_back::ask(admin.as_ref(), name, deep, limit).await);
            }
            let report = crate::check::check(name, &network).await;
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

/// How the vestibule that runs can be asked about its own servers.
struct Own {
    admin: Option<AdminAddress>,
}

/// Whom to check, and with what.
fn prepare(arguments: &CheckArguments) -> Result<(Vec<String>, Network, Option<Own>), Vec<String>> {
    let (names, mut network, own) = match &arguments.name {
        Some(name) => (vec![name.clone()], Network::from_system(Clock::System), None),
        None => own(arguments).map(|(names, network, own)| (names, network, Some(own)))?,
    };
    if arguments.private {
        network = network.with_private(true);
    }
    if let Some(server) = arguments.resolver {
        network = network.with_resolver(Resolver::from_server(server));
    }
    if let Some(path) = &arguments.ca_file {
        let wrong =
            |reason: String| vec![format!("--ca-file {}: {reason}; name a PEM file of certificates", path.display())];
        let pem = std::fs::read(path).map_err(|failed| wrong(failed.to_string()))?;
        network = network.with_ca_pem(&pem).map_err(|failed| wrong(failed.to_string()))?;
    }
    for text in &arguments.connect_to {
        let replacement: Override = text.parse().map_err(|failed| vec![format!("--connect-to {text}: {failed}")])?;
        network = network.with_override(replacement);
    }
    Ok((names, network.with_limits(Limits { total: arguments.timeout, ..Limits::default() }), own))
}

/// The configured servers, seen with the configured network and the internal CA's root.
fn own(arguments: &CheckArguments) -> Result<(Vec<String>, Network, Own), Vec<String>> {
    let config = Config::load(&arguments.config.sources(|name| std::env::var(name).ok()));
    let config = config.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let names: Vec<_> = config.servers.iter().map(|server| server.server_name.to_string()).collect();
    if names.is_empty() {
        return Err(vec![
            "there is no homeserver in the configuration; name one: vestibule check example.com".to_owned(),
        ]);
    }
    let root = match config.tls.issuer {
        Issuer::Internal => {
            let store = Store::existing(&config.state_dir);
            let stored = control_plane(internal::stored_root(&store, config.names.certificate_names()));
            let stored = stored.map_err(|failed| vec![failed.to_string()])?;
            // Without its root, the check would find faults that are not there.
            stored.map_err(|failed| vec![format!("{}; run the check as the user vestibule runs as", Chain(&failed))])?
        }
        Issuer::Acme | Issuer::Files => None,
    };
    let network = own_network(&config, root.as_deref(), Clock::System);
    Ok((names, network, Own { admin: config.listen.admin }))
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
