//! `certs renew` and `certs rehearse`: done by the vestibule that runs, or else by this process alone.

use super::row::plain;
use crate::acme::ask::Ask;
use crate::admin::socket::{AdminError, Command, call};
use crate::app::{App, StartError, check_files, control_plane, objection, uncovered};
use crate::certs::{Published, StateLock, Store};
use crate::cli::NOT_OK;
use crate::cli::output::{error, failure, line};
use crate::clock::Clock;
use crate::config::{Config, Origin};
use crate::matrix::Host;
use crate::telemetry::log;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Orders what is due, or whatever is named if it is forced.
pub(in crate::cli) fn renew(config: Config, names: Vec<Host>, force: bool) -> u8 {
    let command = Command::CertsRenew { names: texts(&names), force };
    ask(config, &command, Ask::Renew { names, force })
}

/// Tries an order at a staging CA.
pub(in crate::cli) fn rehearse(config: Config, names: Vec<Host>) -> u8 {
    let command = Command::CertsRehearse { names: texts(&names) };
    ask(config, &command, Ask::Rehearse { names })
}

fn texts(names: &[Host]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

/// The same wish in two forms: for another process, and for this one.
fn ask(config: Config, command: &Command, ask: Ask) -> u8 {
    let done = control_plane(async {
        if let Some(address) = &config.listen.admin {
            match call(&address.path, command, |text| line(plain(text))).await {
                Ok(status) => return status,
                // Then nobody is in the way, or the lock will tell.
                Err(AdminError::NotRunning(_)) => {}
                Err(failed) => return failure(&failed),
            }
        }
        alone(config, command, ask).await
    });
    done.unwrap_or_else(|failed| failure(&failed))
}

/// Binds the listeners, does it, and ends: what works before the first start, and while vestibule is
/// stopped.
async fn alone(mut config: Config, command: &Command, ask: Ask) -> u8 {
    let published = Published::default();
    check_files(&config, Clock::System.now(), |slot, certificate| published.publish(slot, certificate));
    if let Some(reason) = objection(&config, &uncovered(&config, &published, Clock::System.now()), &ask) {
        error(&reason);
        return NOT_OK;
    }
    if let Some(owner) = foreign_owner(&config.state_dir) {
        error(&format!(
            "{} belongs to another user (uid {owner}), to whom new files in it would be closed; start vestibule first, or \
             run: systemd-run --wait --pipe -p User={owner} -p AmbientCapabilities=CAP_NET_BIND_SERVICE vestibule {}",
            config.state_dir.display(),
            command.name()
        ));
        return NOT_OK;
    }
    match StateLock::try_take(&config.state_dir) {
        // Let go at once: the manager takes it as it does in `run`.
        Ok(Some(_)) => {}
        Ok(None) => {
            error(&occupied(&config));
            return NOT_OK;
        }
        Err(failed) => return failure(&failed),
    }
    if config.shown.iter().any(|shown| shown.table == "log" && shown.key == "level" && shown.origin == Origin::Default)
    {
        // The lines of the answer say what happens; that listeners open and close is no news here.
        "warn".clone_into(&mut config.log.level);
    }
    log::start(&config.log);
    // It ends by itself, and its folder may be there only while the service runs; whoever comes meanwhile
    // is told of the lock.
    config.listen.admin = None;
    let done = async {
        let store = Store::directory(&config.state_dir)?;
        let app = App::build(config, store, Clock::System).await?;
        app.run_once(ask, |text| line(plain(&text))).await
    };
    let done: Result<Option<bool>, StartError> = done.await;
    match done {
        Ok(Some(true)) => 0,
        Ok(Some(false)) => NOT_OK,
        Ok(None) => {
            error(&"it was interrupted before it was done");
            NOT_OK
        }
        Err(failed) => failure(&failed),
    }
}

fn occupied(config: &Config) -> String {
    let state = config.state_dir.display();
    let at = match &config.listen.admin {
        Some(address) => format!("nobody answers at listen.admin {}", address.path.display()),
        None => "listen.admin is \"off\"".to_owned(),
    };
    format!(
        "another process orders with {state}, and {at}; name the configuration that it runs with (--config FILE), or stop \
         it: systemctl stop vestibule"
    )
}

/// Who owns the state directory, if it is somebody else.
fn foreign_owner(state: &Path) -> Option<u32> {
    let owner = state.metadata().ok()?.uid();
    (owner != rustix::process::geteuid().as_raw()).then_some(owner)
}
