//! What `delegate snippet` prints, in nginx, Apache and Caddy from Debian, each of which sends everything else to another
//! host: the check must find nothing to say about the documents.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{complained, delegate, printed};
use crate::support::curl::Curl;
use crate::support::front::{NAME, PUBLIC};
use crate::support::openssl_ca::{KeyKind, OpensslCa};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::sandbox::is_root;
use crate::support::vestibule::command;

const START: Duration = Duration::from_secs(20);

/// Characters that mean something to one of the web servers stand in the support document.
const SUPPORT: &str = "https://hs.invalid/help?it's=$ok&say=\\\"x\\\"`";

/// A web server of the apex.
struct Apex {
    process: Process,
    address: SocketAddr,
    folder: TempDir,
    ca: OpensslCa,
    config: PathBuf,
}

impl Apex {
    /// Starts `program` with what `configure` makes of the snippet, the address, the certificate and the folder.
    fn start(web: &str, program: &str, arguments: &[&str], configure: impl Fn(&str, &Site<'_>) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // A web server's workers are somebody else.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("an own folder");
        let ca = OpensslCa::new(folder.path());
        let leaf = ca.issue(&[NAME], KeyKind::P256);
        let chain = ca.concatenate("chain.pem", &[&leaf.certificate, &ca.intermediate()]);
        let config = folder.path().join("vestibule.toml");
        let text = format!(
            "server_name = \"{NAME}\"\npublic_host = \"{PUBLIC}\"\napex = \"elsewhere\"\n[well_known]\n\
             support = {{ support_page = \"{SUPPORT}\" }}\n"
        );
        fs::write(&config, text).expect("a writable folder");
        let snippet = delegate(&config, &["snippet", web]);
        assert_eq!(snippet.status.code(), Some(0), "{}", complained(&snippet));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let site = Site { address, chain: &chain, key: &leaf.key, folder: folder.path() };
        let file = folder.path().join("site.conf");
        fs::write(&file, configure(&printed(&snippet), &site)).expect("a writable folder");
        let mut command = Command::new(program);
        // Debian keeps servers where ordinary users do not look.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("HOME", folder.path());
        command.args(arguments).arg(&file);
        let mut process = Process::spawn(program, &mut command);
        process.wait_until_listening(address, START);
        Self { process, address, folder, ca, config }
    }

    /// What peers and browsers get, and what the check says of it.
    fn examine(mut self) {
        let curl = || Curl::new().trust(&self.ca.root()).connect_everything_to(self.address);
        for (document, expected) in [
            ("server", serde_json::json!({ "m.server": format!("{PUBLIC}:443") })),
            ("client", serde_json::json!({ "m.homeserver": { "base_url": format!("https://{PUBLIC}") } })),
            ("support", serde_json::json!({ "support_page": SUPPORT.replace('\\', "") })),
        ] {
            let answer = curl().send(&format!("https://{NAME}/.well-known/matrix/{document}")).expect_status(200);
            assert_eq!(answer.json(), expected, "{document}");
            for (name, value) in [
                ("content-type", "application/json"),
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS"),
                ("cache-control", "public, max-age=3600"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{document} {name}");
            }
        }
        let other = curl().send(&format!("https://{NAME}/elsewhere")).expect_status(301);
        assert_eq!(other.header("location"), Some("https://www.hs.invalid/elsewhere"));
        let to_here = format!("{NAME}:443:{}:{}", self.address.ip(), self.address.port());
        let mut check =
            command(["check", "--private", "--format", "json", "--timeout", "5s", "--connect-to", &to_here]);
        check.arg("--ca-file").arg(self.ca.root()).arg("--config").arg(&self.config);
        let report: Value = serde_json::from_slice(&check.output().expect("the program starts").stdout).expect("JSON");
        let findings = report["findings"].as_array().expect("a list");
        let ids = findings.iter().map(|finding| finding["id"].as_str().expect("an id"));
        // Nothing answers behind the public host, which is no matter of the documents.
        let spoken: Vec<_> = ids.filter(|id| id.starts_with("wk.") && !id.starts_with("wk.client.versions")).collect();
        let expected = ["wk.client.base_url"];
        assert!(spoken.iter().all(|id| expected.contains(id)), "{spoken:?}");
        self.process.terminate(START);
        drop(self.folder);
    }
}

struct Site<'a> {
    address: SocketAddr,
    chain: &'a Path,
    key: &'a Path,
    folder: &'a Path,
}

#[test]
fn nginx() {
    let apex = Apex::start("nginx", "nginx", &["-e", "stderr", "-c"], |snippet, site| {
        let Site { address, chain, key, folder } = site;
        let (chain, key, folder) = (chain.display(), key.display(), folder.display());
        let user = if is_root() { "user root;" } else { "" };
        format!(
            "daemon off; worker_processes 1; pid {folder}/pid; {user}\nevents {{}}\nhttp {{\naccess_log off;\n\
             client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
             uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\nserver {{\nlisten {address} ssl;\n\
             server_name {NAME};\nssl_certificate {chain};\nssl_certificate_key {key};\n{snippet}\n\
             location / {{ return 301 https://www.{NAME}$request_uri; }}\n}}\n}}\n"
        )
    });
    apex.examine();
}

#[test]
fn caddy() {
    let apex = Apex::start("caddy", "caddy", &["run", "--adapter", "caddyfile", "--config"], |snippet, site| {
        let Site { address, chain, key, .. } = site;
        let (chain, key, port) = (chain.display(), key.display(), address.port());
        format!(
            "{{\n\tadmin off\n\tauto_https off\n}}\nhttps://{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {chain} {key}\n{snippet}\n\
             \thandle {{\n\t\tredir https://www.{NAME}{{uri}} permanent\n\t}}\n}}\n"
        )
    });
    apex.examine();
}

#[test]
fn apache() {
    let apex = Apex::start("apache", "apache2", &["-D", "FOREGROUND", "-f"], |snippet, site| {
        let Site { address, chain, key, folder } = site;
        let own = folder.join("documents");
        let snippet = snippet.replace("/var/www/matrix-well-known", &own.display().to_string());
        let (shell, virtual_host) = snippet.split_once("a2enmod headers\n").expect("documents first");
        let written = Command::new("sh").args(["-e", "-c", shell]).status().expect("a shell");
        assert!(written.success(), "{shell}");
        let (chain, key, folder) = (chain.display(), key.display(), folder.display());
        let modules = ["mpm_event", "authz_core", "alias", "headers", "ssl", "socache_shmcb"];
        let modules = modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
        let user = if is_root() { "User nobody\nGroup nogroup\n" } else { "" };
        format!(
            "ServerRoot {folder}\nPidFile {folder}/pid\nErrorLog /dev/stderr\nServerName {NAME}\n{}{user}Listen {address}\n\
             <VirtualHost {address}>\nServerName {NAME}\nSSLEngine on\nSSLCertificateFile {chain}\n\
             SSLCertificateKeyFile {key}\n{virtual_host}\n\
             RedirectMatch 301 ^/(?!\\.well-known/matrix/)(.*) https://www.{NAME}/$1\n</VirtualHost>\n",
            modules.concat()
        )
    });
    apex.examine();
}
