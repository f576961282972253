//! `delegate plan` and `delegate snippet`: changing where a delegation leads, and serving it elsewhere.

use super::args::{ConfigArguments, PlanArguments, SnippetArguments};
use super::network;
use super::output::{error, print};
use super::{NOT_OK, USAGE};
use crate::app::control_plane;
use crate::check::delegate::plan::{Configured, plan};
use crate::check::delegate::snippet::snippet;
use crate::check::delegate::{Wish, look};
use crate::check::discovery::Target;
use crate::check::network::Network;
use crate::clock::Clock;
use crate::config::{Config, Log, LogFormat, Server};
use crate::matrix::ServerName;
use crate::telemetry::log;

/// The port of a target that is written without one: what a well-known document should say.
const HTTPS_PORT: u16 = 443;

/// Looks, plans, prints, and gives the exit status.
pub(super) fn print_plan(arguments: &PlanArguments) -> u8 {
    let (wish, network) = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(mistakes) => return usage(&mistakes),
    };
    log::start(&Log { level: "error".to_owned(), format: LogFormat::Text });
    let facts = match control_plane(look(wish, &network)) {
        Ok(facts) => facts,
        Err(failed) => {
            error(&failed);
            return NOT_OK;
        }
    };
    let Some(facts) = facts else {
        error(&"the present delegation could not be seen in time; try again with --timeout 60s");
        return NOT_OK;
    };
    match plan(&facts) {
        Ok(text) => {
            print(&text);
            0
        }
        Err(none) => {
            error(&none);
            NOT_OK
        }
    }
}

/// Prints what another web server needs.
pub(super) fn print_snippet(arguments: &SnippetArguments) -> u8 {
    let found = load(&arguments.config).and_then(|config| {
        let config = config.ok_or_else(|| vec![NO_CONFIGURATION.to_owned()])?;
        chosen(&config, arguments.name.as_deref()).cloned()
    });
    match found {
        Ok(server) => {
            print(&snippet(arguments.web_server.into(), &server));
            0
        }
        Err(mistakes) => usage(&mistakes),
    }
}

const NO_CONFIGURATION: &str = "there is no configuration to make the documents from; name a file with --config, or a server \
                                with --server-name";

fn usage(mistakes: &[String]) -> u8 {
    mistakes.iter().for_each(error);
    USAGE
}

/// The configuration, if there is one.
fn load(arguments: &ConfigArguments) -> Result<Option<Config>, Vec<String>> {
    let sources = arguments.sources(|name| std::env::var(name).ok());
    if Config::is_absent(&sources) {
        return Ok(None);
    }
    let config = Config::load(&sources);
    config.map(Some).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

/// The server of this name, or the only one.
fn chosen<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Server, Vec<String>> {
    let names: Vec<_> = config.servers.iter().map(|server| server.server_name.as_str()).collect();
    match (name, config.servers.as_slice()) {
        (None, [only]) => Ok(only),
        (None, []) => Err(vec!["there is no homeserver in the configuration".to_owned()]),
        (None, _) => Err(vec![format!("name one of the configured servers: {}", names.join(", "))]),
        (Some(name), servers) => servers
            .iter()
            .find(|server| server.server_name.as_str() == name)
            .ok_or_else(|| vec![format!("{name} is none of the configured servers: {}", names.join(", "))]),
    }
}

fn prepare(arguments: &PlanArguments) -> Result<(Wish, Network), Vec<String>> {
    let config = load(&arguments.config)?;
    // Anybody's server may be planned for; then the plan has no lines for vestibule.toml.
    let server = match (&config, arguments.name.as_deref()) {
        (Some(config), None) => Some(chosen(config, None)?),
        (Some(config), name) => chosen(config, name).ok(),
        (None, _) => None,
    };
    let name = match (server, &arguments.name) {
        (Some(server), _) => server.server_name.clone(),
        (None, Some(name)) => ServerName::parse(name).map_err(|failed| vec![format!("{name}: {failed}")])?,
        (None, None) => return Err(vec!["name the server: vestibule delegate plan --to HOST NAME".to_owned()]),
    };
    let to = match (&arguments.to, server) {
        (Some(to), _) => target("--to", to)?,
        (None, Some(server)) => Target { host: server.public_host.host.clone(), port: server.public_host.port },
        (None, None) => return Err(vec!["say where the delegation is to lead: --to HOST[:PORT]".to_owned()]),
    };
    let from = arguments.from.as_deref().map(|from| target("--from", from)).transpose()?;
    let base = match (&config, server) {
        (Some(config), Some(_)) => network::configured(config)?,
        _ => Network::from_system(Clock::System),
    };
    let network = network::with(base, &arguments.network)?;
    Ok((Wish { server_name: name, from, to, configured: server.map(Configured::from) }, network))
}

fn target(option: &str, text: &str) -> Result<Target, Vec<String>> {
    let parsed =
        ServerName::parse(text).map_err(|failed| vec![format!("{option} {text}: {failed}; write HOST[:PORT]")])?;
    Ok(Target { host: parsed.host().clone(), port: parsed.port().unwrap_or(HTTPS_PORT) })
}
