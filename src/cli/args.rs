//! The arguments, as clap reads them. Help texts are the doc comments.

use super::check_args::{CheckArguments, NetworkArguments};
use crate::check::delegate::snippet::WebServer;
use crate::config::{ENVIRONMENT, Origin, Override, Sources};
use crate::matrix::Host;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Put TLS and federation in front of a Matrix homeserver
///
/// One binary that gets and renews its own certificates, answers the well-known documents,
/// forwards Matrix traffic to the homeserver byte for byte, and checks itself the way the rest of
/// the federation sees it. One line of configuration is enough: server_name = "example.com".
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, disable_help_subcommand = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve in the foreground
    ///
    /// Exit status: 0 stopped cleanly, 1 cannot start, 3 the drain limit cut connections off,
    /// 64 configuration error.
    Run {
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Run everything on loopback with a CA in memory and a stub homeserver
    ///
    /// Prints the self-check and the commands to try, then serves until Ctrl-C.
    Demo {
        /// End with the verdict: 0 when the demo federates
        #[arg(long)]
        once: bool,
    },
    /// Check configuration, keys and chains; no network, no writes
    ///
    /// Exit status: 0 good, 1 a key or chain cannot be used, 64 configuration error.
    Validate {
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Check the federation of the own servers, or of any server name
    ///
    /// Exit status: 0 federates or degraded, 1 fails, 2 could not tell, 64 usage error; with
    /// --format nagios 0 federates, 1 degraded, 2 fails, 3 could not tell. Of several servers the
    /// worst decides.
    Check(CheckArguments),
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look at the worker pools
    Workers {
        #[command(subcommand)]
        command: WorkersCommand,
    },
    /// Change where a delegation leads, or serve it from another web server
    Delegate {
        #[command(subcommand)]
        command: DelegateCommand,
    },
    /// Look at certificates, and order them
    Certs {
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Print a completion script
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page, in roff
    Man {
        /// vestibule(1), or vestibule-findings(7) about what the check finds
        #[arg(value_enum, default_value_t = ManPage::Vestibule)]
        page: ManPage,
    },
}

/// A manual page.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ManPage {
    Vestibule,
    Findings,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print the effective configuration, each value with its origin
    Show {
        #[command(flatten)]
        config: ConfigArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkersCommand {
    /// Print the Synapse worker map: each kind of request, its paths, and which pool serves it
    ///
    /// Works without a configuration too: then it is the map alone, with the words that
    /// upstream.serves takes.
    Show {
        #[command(flatten)]
        config: ConfigArguments,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum DelegateCommand {
    /// Print the safe order of steps for a change of delegation
    ///
    /// Looks at where the delegation leads now, for how long peers keep it, and whether the new
    /// host is ready, and prints what is to be done when, so that no peer is ever without a server.
    ///
    /// Exit status: 0 a plan is printed, 1 there is nothing to plan or nothing could be seen, 64
    /// usage or configuration error.
    Plan(PlanArguments),
    /// Print what another web server needs to answer for the server name
    ///
    /// For apex = "elsewhere": the well-known documents that vestibule would serve itself, with
    /// their headers, in the words of that web server.
    Snippet(SnippetArguments),
}

/// Arguments of `delegate plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    /// The server name; without one, the configured server
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Where the delegation is to lead; port 443 unless written, and without this the configured public_host
    #[arg(long, value_name = "HOST[:PORT]")]
    pub to: Option<String>,
    /// The present target, if it is another than the one that is found
    #[arg(long, value_name = "HOST[:PORT]")]
    pub from: Option<String>,
    #[command(flatten)]
    pub network: NetworkArguments,
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// Arguments of `delegate snippet`.
#[derive(Debug, Args)]
pub(super) struct SnippetArguments {
    /// The web server
    #[arg(value_enum)]
    pub web_server: WebServerName,
    /// The server name, where several are configured
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// Whose configuration is printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum WebServerName {
    Nginx,
    Apache,
    Caddy,
    Netlify,
    Github,
}

impl From<WebServerName> for WebServer {
    fn from(name: WebServerName) -> Self {
        match name {
            WebServerName::Nginx => Self::Nginx,
            WebServerName::Apache => Self::Apache,
            WebServerName::Caddy => Self::Caddy,
            WebServerName::Netlify => Self::Netlify,
            WebServerName::Github => Self::Github,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum CertsCommand {
    /// List the certificates of all served names
    ///
    /// Reads the configuration, your own files and the state directory, whether or not vestibule
    /// runs. Exit status: 0 every name that needs a certificate has a valid one, 1 one has none.
    List {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Order certificates that are due for renewal
    ///
    /// The vestibule that runs does it (over the admin socket), and what it says is printed. While
    /// none runs, this command opens the listeners itself, orders, and ends. Without names, all
    /// certificates are meant. Exit status: 0 nothing was due or all went well, 1 something did not.
    Renew {
        /// Names whose certificates are meant
        #[arg(value_name = "NAME", value_parser = host)]
        names: Vec<Host>,
        /// Order though nothing is due; a CA issues a certificate for the same names a few times a
        /// week only (Let's Encrypt: five, of which vestibule uses four)
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Try an order at the CA's staging directory, and keep nothing
    ///
    /// Works as renew does, before the first start too, and costs nothing of what the CA allows.
    /// Exit status: 0 an order would have worked, 1 it would not.
    Rehearse {
        /// Names whose certificates are meant; without any, all
        #[arg(value_name = "NAME", value_parser = host)]
        names: Vec<Host>,
        #[command(flatten)]
        config: ConfigArguments,
    },
    /// Take over certificates, keys and accounts of certbot or Caddy
    ///
    /// Reads the other program's folder, changes nothing in it, and writes what the configuration
    /// asks for to the state directory, so that a migration orders nothing. What is there already
    /// and is as good stays. Run it as root, who may read the keys, before vestibule starts;
    /// what is written belongs to the owner of the state directory.
    ///
    /// Exit status: 0 every name has a certificate, 1 one is missing or something could not be
    /// read, 64 usage or configuration error.
    Import(ImportArguments),
    /// Print the internal CA's root certificate, for clients to install
    Root {
        #[command(flatten)]
        config: ConfigArguments,
    },
}

/// Arguments of `certs import`.
#[derive(Debug, Args)]
pub(super) struct ImportArguments {
    /// The other program
    #[arg(value_enum)]
    pub program: ImportFrom,
    /// certbot's configuration folder (/etc/letsencrypt), or Caddy's data folder
    /// (/var/lib/caddy/.local/share/caddy)
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Say what would be taken, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub config: ConfigArguments,
}

/// Whose folder is imported.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ImportFrom {
    Certbot,
    Caddy,
}

/// Where the configuration comes from. A flag beats the environment, which beats the file.
#[derive(Debug, Default, Args)]
pub(super) struct ConfigArguments {
    /// Configuration file [env: VESTIBULE_CONFIG] [default: /etc/vestibule/vestibule.toml]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What stands after the colon in user IDs [env: VESTIBULE_SERVER_NAME]
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// http://HOST:PORT or unix:/PATH [env: VESTIBULE_HOMESERVER]
    #[arg(long, value_name = "ADDRESS")]
    homeserver: Option<String>,
    /// Contact for the CA [env: VESTIBULE_EMAIL]
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Where keys, certificates and accounts are kept [env: VESTIBULE_STATE_DIR]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// letsencrypt, letsencrypt-staging, zerossl or a URL [env: VESTIBULE_ACME_DIRECTORY]
    #[arg(long, value_name = "CA")]
    acme_directory: Option<String>,
    /// error, warn, info, debug or trace [env: VESTIBULE_LOG]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl ConfigArguments {
    /// File and overrides, with the environment read through `environment`.
    pub(super) fn sources(&self, environment: impl Fn(&str) -> Option<String>) -> Sources {
        // An empty variable is how containers say "not set".
        let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
        let file = self.config.clone().or_else(|| environment("VESTIBULE_CONFIG").map(PathBuf::from));
        let mut overrides = Vec::new();
        for (name, key) in ENVIRONMENT {
            overrides.extend(environment(name).map(|value| Override { key, value, origin: Origin::Environment(name) }));
        }
        let flags = [
            ("--server-name", "server_name", &self.server_name),
            ("--homeserver", "homeserver", &self.homeserver),
            ("--email", "email", &self.email),
            ("--state-dir", "state_dir", &self.state_dir),
            ("--acme-directory", "acme.directory", &self.acme_directory),
            ("--log", "log.level", &self.log),
        ];
        for (name, key, value) in flags {
            overrides.extend(value.clone().map(|value| Override { key, value, origin: Origin::Flag(name) }));
        }
        Sources { file, overrides }
    }
}

fn host(text: &str) -> Result<Host, String> {
    Host::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_flag_beats_the_environment() {
        let arguments = ConfigArguments { server_name: Some("flag.example".into()), ..ConfigArguments::default() };
        let sources = arguments.sources(|name| match name {
            "VESTIBULE_SERVER_NAME" => Some("env.example".to_owned()),
            "VESTIBULE_CONFIG" => Some("/tmp/v.toml".to_owned()),
            "VESTIBULE_EMAIL" => Some(String::new()),
            _ => None,
        });
        assert_eq!(sources.file, Some(PathBuf::from("/tmp/v.toml")));
        let set: Vec<_> = sources.overrides.iter().map(|set| (set.key, set.value.as_str())).collect();
        assert_eq!(set, [("server_name", "env.example"), ("server_name", "flag.example")]);
    }
}
