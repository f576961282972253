//! Configuration: from files, environment and flags to domain types that can only be right.
//!
//! [`tree`] keeps where each value was written, [`reader`] turns the tree into the types below and
//! collects every mistake, [`show`] prints the result. Names and defaults are those of the
//! configuration reference in the README; a test holds the two together.

mod acme_dns;
mod command;
mod documents;
pub mod limits;
pub mod listen;
pub mod log;
mod names;
pub mod pool;
pub mod rate;
pub mod reader;
pub mod route;
pub mod server;
pub mod show;
pub mod tls;
mod tree;
pub mod upstream;
pub mod values;
pub mod workers;

pub use acme_dns::DnsProvider;
pub use command::Command;
pub use documents::RTC_JWT_PATH;
pub use limits::{Hold, Limits};
pub use listen::{Addresses, AdminAddress, Listen};
pub use log::{Check, CheckNetwork, Log, LogFormat};
pub use names::{CertificateOrder, NameMap, Owner, Place};
pub use pool::{Balance, Pool};
pub use rate::Rate;
pub use reader::{ConfigError, Shown};
pub use route::{PathPattern, RouteRule, RouteTarget};
pub use server::{Apex, PublicHost, Server, Services, Site};
pub use tls::{Acme, AcmeCa, CertificateFiles, Challenge, DefaultCertificate, ExternalAccount, Issuer, Tls};
pub use tree::Origin;
pub use upstream::UpstreamAddress;
pub use workers::WorkerKind;

use ipnet::IpNet;
use reader::{Findings, Reader, Wrong};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tree::Table;

/// Where the configuration is looked for when nobody says otherwise.
pub const DEFAULT_PATH: &str = "/etc/vestibule/vestibule.toml";

/// The whole configuration, valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// At least one, unless there is a site.
    pub servers: Vec<Server>,
    /// Plain sites.
    pub sites: Vec<Site>,
    /// Every served name and whose it is.
    pub names: NameMap,
    /// Contact for the CA.
    pub email: Option<String>,
    /// Keys, certificates, accounts.
    pub state_dir: PathBuf,
    /// Listeners.
    pub listen: Listen,
    /// Certificates.
    pub tls: Tls,
    /// The ACME client.
    pub acme: Acme,
    /// Bounds.
    pub limits: Limits,
    /// Networks of proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// Logging.
    pub log: Log,
    /// The self-check.
    pub check: Check,
    /// Keys that were set and do nothing in this version, as sentences.
    pub notices: Vec<String>,
    /// Every effective value with its origin.
    pub shown: Vec<Shown>,
}

/// A value that overrides the files: the key's path, the value, and where it came from.
#[derive(Clone, Debug)]
pub struct Override {
    /// `server_name`, `acme.directory`, …
    pub key: &'static str,
    /// Its value; all keys that can be overridden are strings.
    pub value: String,
    /// Environment or flag.
    pub origin: Origin,
}

/// The keys that environment variables set, in the order of the contract.
pub const ENVIRONMENT: [(&str, &str); 6] = [
    ("VESTIBULE_SERVER_NAME", "server_name"),
    ("VESTIBULE_HOMESERVER", "homeserver"),
    ("VESTIBULE_EMAIL", "email"),
    ("VESTIBULE_STATE_DIR", "state_dir"),
    ("VESTIBULE_ACME_DIRECTORY", "acme.directory"),
    ("VESTIBULE_LOG", "log.level"),
];

/// What to load.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A file that must exist; without one [`DEFAULT_PATH`] is read if it is there.
    pub file: Option<PathBuf>,
    /// In rising precedence: environment first, then flags.
    pub overrides: Vec<Override>,
}

impl Config {
    /// Reads the file, its `conf.d/*.toml` and the overrides.
    pub fn load(sources: &Sources) -> Result<Self, Vec<ConfigError>> {
        let (mut table, origin) = read_files(sources)?;
        for Override { key, value, origin } in &sources.overrides {
            table.set(key, value, origin);
        }
        Self::from_table(table, origin)
    }

    /// Whether there is nothing to load: no file was named, none is where it is looked for, and nothing
    /// else says what is served.
    pub fn is_absent(sources: &Sources) -> bool {
        let default = Path::new(DEFAULT_PATH);
        sources.file.is_none()
            && !sources.overrides.iter().any(|set| set.key == "server_name")
            && !default.exists()
            && !default.with_file_name("conf.d").exists()
    }

    /// Reads one text, as tests and `demo` do. `path` is only a name for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Vec<ConfigError>> {
        Self::from_table(parse(text, path)?, Origin::File { path: Arc::from(path), line: 1, column: 1 })
    }

    fn from_table(table: Table, origin: Origin) -> Result<Self, Vec<ConfigError>> {
        let findings = Rc::new(RefCell::new(Findings::default()));
        let config = read(Reader::new(table, origin, Rc::clone(&findings)));
        let Findings { mut errors, shown, notices, .. } = findings.take().conclude();
        // As a person reads the file.
        errors.sort_by(|one, other| one.origin.place().cmp(&other.origin.place()));
        match errors.is_empty() {
            true => Ok(Self { shown, notices, ..config }),
            false => Err(errors),
        }
    }
}

fn read(root: Reader) -> Config {
    let (servers, server_readers) = read_servers(&root);
    let email = root.read_optional("email", |node| {
        let text = values::string(node)?;
        match text.split_once('@') {
            Some((user, host)) if !user.is_empty() && host.contains('.') => Ok(text),
            _ => Err(Wrong::new(format!("{text:?} is not an e-mail address"), "write \"admin@example.com\"")),
        }
    });
    let state_dir = root.read("state_dir", "\"/var/lib/vestibule\"", values::path);
    let section = |key| root.table(key);
    let listen = with(section("listen"), listen::read);
    let tls_reader = section("tls");
    let tls = tls::read_tls(&tls_reader);
    let acme_reader = section("acme");
    let mut acme = tls::read_acme(&acme_reader);
    if listen.http.addresses.is_empty() && tls.issuer == Issuer::Acme {
        tls::leave_http_out(&mut acme, &acme_reader);
    }
    let (sites, site_readers) = read_all(root.tables("site"), server::read_site);
    let limits = with(section("limits"), limits::read);
    let trusted_proxies = with(section("trusted_proxies"), |reader| {
        reader.read("from", "[]", |node| values::list(node, values::network))
    });
    let log = with(section("log"), log::read_log);
    let check = with(section("check"), log::read_check);
    // The internal CA signs for names, never for all below one; files are what they are.
    let wildcards = if tls.issuer == Issuer::Acme { acme.wildcards.as_slice() } else { &[] };
    let names = NameMap::new(&servers, &sites, wildcards, |place, wrong| {
        let (reader, key) = match place {
            Place::Server(index) => {
                let reader = server_readers.get(index).unwrap_or(&root);
                (reader, if reader.is_set("public_host") { "public_host" } else { "server_name" })
            }
            Place::Site(index) => (site_readers.get(index).unwrap_or(&root), "host"),
        };
        reader.refuse(key, wrong);
    });
    for wildcard in &acme.wildcards {
        if !names.certificate_names().iter().any(|name| wildcard.covers(name)) {
            acme_reader.note("wildcards", &format!("{wildcard} covers no served name and is not ordered"));
        }
    }
    if let DefaultCertificate::Name(host) = &tls.default_certificate
        && names.owner(host).is_none()
    {
        let right = "write one of the served names, \"server_name\" or \"none\"";
        tls_reader.refuse("default_certificate", Wrong::new(format!("{host} is not served here"), right));
    }
    for reader in server_readers.into_iter().chain(site_readers).chain([tls_reader, acme_reader, root]) {
        reader.finish();
    }
    Config {
        servers,
        sites,
        names,
        email,
        state_dir,
        listen,
        tls,
        acme,
        limits,
        trusted_proxies,
        log,
        check,
        notices: Vec::new(),
        shown: Vec::new(),
    }
}

/// Reads one section and ends it, so that unknown keys in it are found.
fn with<T>(reader: Reader, read: impl Fn(&Reader) -> T) -> T {
    let value = read(&reader);
    reader.finish();
    value
}

/// The short form (one server at the top level) or the long form (`[[server]]`), with the readers
/// of the long form's tables.
fn read_servers(root: &Reader) -> (Vec<Server>, Vec<Reader>) {
    const SHORT: [&str; 11] = [
        "server_name",
        "homeserver",
        "public_host",
        "apex",
        "extra_hosts",
        "homeserver_config",
        "well_known",
        "mas",
        "rtc",
        "upstream",
        "route",
    ];
    let long = root.tables("server");
    if !root.is_set("server") {
        let short = SHORT.iter().any(|key| root.is_set(key));
        if short || !root.is_set("site") {
            return (server::read_server(root).into_iter().collect(), Vec::new());
        }
    }
    for key in SHORT {
        if root.is_set(key) {
            let right = format!("with [[server]], write {key} below it");
            root.refuse(key, Wrong::new("this is the short form of exactly one server", right));
        }
        // Refused once is enough: the key is known, only misplaced.
        root.known(key);
    }
    read_all(long, server::read_server)
}

/// Reads every table; those that give nothing have told why, and are ended here.
fn read_all<T>(readers: Vec<Reader>, read: impl Fn(&Reader) -> Option<T>) -> (Vec<T>, Vec<Reader>) {
    let mut good = (Vec::new(), Vec::new());
    for reader in readers {
        match read(&reader) {
            Some(value) => {
                good.0.push(value);
                good.1.push(reader);
            }
            None => reader.finish(),
        }
    }
    good
}

fn parse(text: &str, path: &Path) -> Result<Table, Vec<ConfigError>> {
    Table::parse(text, path).map_err(|error| {
        vec![ConfigError {
            origin: error.origin,
            key: String::new(),
            wrong: error.message,
            right: "correct the TOML here".to_owned(),
        }]
    })
}

/// The merged tree, and the place to name for what is missing from it.
fn read_files(sources: &Sources) -> Result<(Table, Origin), Vec<ConfigError>> {
    let path = sources.file.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
    let named = sources.file.is_some();
    let drop_ins = drop_ins(&path)?;
    let mut origin = Origin::File { path: Arc::from(path.as_path()), line: 1, column: 1 };
    let mut table = match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
            if drop_ins.is_empty() && !sources.overrides.iter().any(|set| set.key == "server_name") {
                let right = "write one line into it, server_name = \"example.com\", or name a file with --config";
                return Err(unreadable(&path, "there is no such file", right));
            }
            origin = Origin::Default;
            Table::default()
        }
        Err(error) => return Err(unreadable(&path, &error.to_string(), "name a readable file with --config")),
    };
    for drop_in in drop_ins {
        let text = std::fs::read_to_string(&drop_in)
            .map_err(|error| unreadable(&drop_in, &error.to_string(), "make it readable or remove it"))?;
        table.merge(parse(&text, &drop_in)?);
    }
    Ok((table, origin))
}

/// `conf.d/*.toml` beside the file, in name order.
fn drop_ins(file: &Path) -> Result<Vec<PathBuf>, Vec<ConfigError>> {
    let folder = file.with_file_name("conf.d");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(&folder, &error.to_string(), "make the folder readable or remove it")),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, wrong: &str, right: &str) -> Vec<ConfigError> {
    vec![ConfigError {
        origin: Origin::Default,
        key: path.display().to_string(),
        wrong: wrong.to_owned(),
        right: right.to_owned(),
    }]
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out files as operators do")]
mod tests;
