//! The command line: arguments → command → exit status. The only module that prints.

mod args;
mod certs;
mod check;
mod check_args;
mod delegate;
mod demo;
mod explain;
mod import;
mod loop_back;
mod man;
mod network;
mod output;
mod progress;
mod run;
mod workers;

use args::{
    Arguments, CertsCommand, Command, ConfigArguments, ConfigCommand, DelegateCommand, ManPage, WorkersCommand,
};
use clap::{CommandFactory as _, Parser as _};
use std::ffi::OsString;
use std::process::ExitCode;

use crate::config::{Config, show};
use output::{error, failure, print};

/// Usage and configuration errors: EX_USAGE of sysexits(3).
const USAGE: u8 = 64;

/// Something is wrong with what was asked about.
const NOT_OK: u8 = 1;

/// Runs the program with these arguments, the first of which is its name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(refused) => {
            // --help and --version come this way too, and go to standard output.
            let status = if refused.use_stderr() { USAGE } else { 0 };
            output::rendered(&refused);
            return ExitCode::from(status);
        }
    };
    ExitCode::from(match arguments.command {
        Command::Run { config } => with_config(&config, run::run),
        Command::Demo { once } => demo::demo(once),
        Command::Validate { config } => with_config(&config, |config| run::validate(&config)),
        Command::Check(check) => check::check(&check),
        Command::Config { command: ConfigCommand::Show { config } } => with_config(&config, |config| {
            print(&show::render(&config));
            0
        }),
        Command::Workers { command: WorkersCommand::Show { config } } => {
            if Config::is_absent(&config.sources(|name| std::env::var(name).ok())) {
                print(&workers::render(None));
                0
            } else {
                with_config(&config, |config| {
                    print(&workers::render(Some(&config)));
                    0
                })
            }
        }
        Command::Delegate { command } => match command {
            DelegateCommand::Plan(plan) => delegate::print_plan(&plan),
            DelegateCommand::Snippet(snippet) => delegate::print_snippet(&snippet),
        },
        Command::Certs { command } => match command {
            CertsCommand::List { json, config } => with_config(&config, |config| certs::list(&config, json)),
            CertsCommand::Renew { names, force, config } => {
                with_config(&config, |config| certs::renew(config, names, force))
            }
            CertsCommand::Rehearse { names, config } => with_config(&config, |config| certs::rehearse(config, names)),
            CertsCommand::Import(import) => with_config(&import.config, |config| import::import(&import, &config)),
            CertsCommand::Root { config } => with_config(&config, |config| run::root(&config)),
        },
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "vestibule", &mut script);
            print(&String::from_utf8_lossy(&script));
            0
        }
        Command::Man { page: ManPage::Vestibule } => man(),
        Command::Man { page: ManPage::Findings } => {
            print(&crate::check::explain::roff());
            0
        }
    })
}

/// Loads the configuration and goes on, or tells every mistake in it.
fn with_config(arguments: &ConfigArguments, go_on: impl FnOnce(Config) -> u8) -> u8 {
    match Config::load(&arguments.sources(|name| std::env::var(name).ok())) {
        Ok(config) => go_on(config),
        Err(mistakes) => {
            for mistake in &mistakes {
                error(mistake);
            }
            USAGE
        }
    }
}

fn man() -> u8 {
    match man::page() {
        Ok(page) => {
            print(&page);
            0
        }
        Err(failed) => failure(&failed),
    }
}
