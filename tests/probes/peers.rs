//! The same probes against nginx, HAProxy and Caddy from Debian: `make probes`. Not part of the gate, which asks
//! nothing of other people's programs.
//!
//! Each is set up as Synapse's documentation has it (`docs/reverse_proxy.md`), with the certificate and the limits on
//! waiting that vestibule has here, and with what that page takes for granted: HTTP/2, connections to the homeserver
//! that are kept, and WebSockets.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::wire::Target;
use super::{FAMILY, Failure, Outcome, Row, Seen, faults, floods, http1, http2, plain_origin, run_all};
use crate::probes::origin::Origin;
use crate::support::front::{Front, NAME, PUBLIC};
use crate::support::http2::run;
use crate::support::openssl_ca::{KeyKind, OpensslCa};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::sandbox::is_root;
use crate::support::vestibule::{Vestibule, quoted};

const START: Duration = Duration::from_secs(20);

/// Who is compared, in the order of the columns.
const PEERS: [Peer; 4] = [Peer::Vestibule, Peer::Nginx, Peer::Haproxy, Peer::Caddy];

/// What a cell says of a failure; the whole of it is printed for vestibule below the table.
const CELL: usize = 30;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Vestibule,
    Nginx,
    Haproxy,
    Caddy,
}

/// A certificate for all of them, from a CA of the test's own.
struct Certificate {
    folder: TempDir,
    root: PathBuf,
    chain: PathBuf,
    key: PathBuf,
    /// Chain and key in one file, as HAProxy wants it.
    both: PathBuf,
}

impl Certificate {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = OpensslCa::new(folder.path());
        let leaf = ca.issue(&[NAME, PUBLIC], KeyKind::P256);
        let chain = ca.concatenate("chain.pem", &[&leaf.certificate, &ca.intermediate()]);
        let both = ca.concatenate("both.pem", &[&chain, &leaf.key]);
        Self { root: ca.root(), chain, key: leaf.key, both, folder }
    }
}

/// A peer that serves.
struct Running {
    target: Target,
    _owner: Owner,
}

/// What ends it, and its files.
enum Owner {
    Ours { _vestibule: Vestibule },
    Theirs { process: Process, _folder: TempDir },
}

impl Drop for Owner {
    fn drop(&mut self) {
        // Asked, as a process that is killed takes no worker of its own along.
        if let Self::Theirs { process, .. } = self
            && !thread::panicking()
        {
            process.terminate(START);
        }
    }
}

impl Peer {
    fn name(self) -> &'static str {
        match self {
            Self::Vestibule => "vestibule",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// Starts it in front of `origin`.
    fn start(self, origin: &Origin, certificate: &Certificate) -> Running {
        if self == Self::Vestibule {
            return self.start_vestibule(origin, certificate);
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let config = folder.path().join("config");
        let mut command = Command::new(self.name());
        let text = match self {
            Self::Vestibule => unreachable!("started above"),
            Self::Nginx => {
                command.arg("-e").arg("stderr").arg("-p").arg(folder.path()).arg("-c").arg(&config);
                nginx(address, origin.address, certificate, folder.path())
            }
            Self::Haproxy => {
                command.arg("-db").arg("-f").arg(&config);
                haproxy(address, origin.address, certificate)
            }
            Self::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&config);
                command.env("HOME", folder.path()).env("XDG_DATA_HOME", folder.path());
                caddy(address, origin.address, certificate)
            }
        };
        fs::write(&config, text).expect("a writable folder");
        // Debian keeps servers where ordinary users do not look.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        let mut process = Process::spawn(self.name(), &mut command);
        process.wait_until_listening(address, START);
        let target = Target::new(self.name(), address, &certificate.root, process.id());
        Running { target, _owner: Owner::Theirs { process, _folder: folder } }
    }

    fn start_vestibule(self, origin: &Origin, certificate: &Certificate) -> Running {
        let mut vestibule = Vestibule::start(&format!(
            "{}server_name = \"{NAME}\"\npublic_host = \"{PUBLIC}\"\nhomeserver = \"http://{}\"\n{}\
             [[tls.certificates]]\nchain = {}\nkey = {}\n",
            Front::LOOPBACK,
            origin.address,
            super::limits(),
            quoted(&certificate.chain),
            quoted(&certificate.key),
        ));
        let process = vestibule.process().id();
        let target = Target::new(self.name(), vestibule.address("https"), &certificate.root, process);
        Running { target, _owner: Owner::Ours { _vestibule: vestibule } }
    }
}

fn nginx(address: SocketAddr, origin: SocketAddr, certificate: &Certificate, folder: &Path) -> String {
    let (chain, key, folder) = (certificate.chain.display(), certificate.key.display(), folder.display());
    // Its workers would otherwise be somebody else, who may not write below the test's folder.
    let user = if is_root() { "user root;" } else { "" };
    let header_timeout = floods::HEADER_TIMEOUT.as_secs();
    format!(
        r#"daemon off; worker_processes 2; pid {folder}/pid; {user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server_tokens off;
    client_header_timeout {header_timeout}s;
    upstream homeserver {{ server {origin}; keepalive 16; }}
    map $http_upgrade $passed_upgrade {{ default ""; websocket websocket; }}
    map $http_upgrade $passed_connection {{ default ""; websocket upgrade; }}
    server {{
        listen {address} ssl http2;
        server_name {NAME} {PUBLIC};
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        location ~ ^(/_matrix|/_synapse/client) {{
            proxy_pass http://homeserver;
            proxy_http_version 1.1;
            proxy_set_header Connection $passed_connection;
            proxy_set_header Upgrade $passed_upgrade;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Host $http_host;
            proxy_read_timeout 2s;
            client_max_body_size 50M;
        }}
    }}
}}
"#
    )
}

fn haproxy(address: SocketAddr, origin: SocketAddr, certificate: &Certificate) -> String {
    let both = certificate.both.display();
    let header_timeout = floods::HEADER_TIMEOUT.as_secs();
    format!(
        "global
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 2s
    timeout http-request {header_timeout}s
frontend https
    bind {address} ssl crt {both} alpn h2,http/1.1
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-For %[src]
    acl matrix-path path_beg /_matrix
    acl matrix-path path_beg /_synapse/client
    use_backend matrix if matrix-path
backend matrix
    server matrix {origin}
"
    )
}

fn caddy(address: SocketAddr, origin: SocketAddr, certificate: &Certificate) -> String {
    let (chain, key, port) = (certificate.chain.display(), certificate.key.display(), address.port());
    let header_timeout = floods::HEADER_TIMEOUT.as_secs();
    format!(
        "{{
    admin off
    auto_https off
    servers {{
        timeouts {{
            read_header {header_timeout}s
        }}
    }}
}}
https://{NAME}:{port}, https://{PUBLIC}:{port} {{
    bind 127.0.0.1
    tls {chain} {key}
    reverse_proxy /_matrix/* {origin} {{
        transport http {{
            response_header_timeout 2s
        }}
    }}
    reverse_proxy /_synapse/client/* {origin}
}}
"
    )
}

/// A family: its name, and how a peer does in it.
type Family = (&'static str, fn(Peer, &Certificate) -> Outcome);

const FAMILIES: [Family; 4] = [
    ("HTTP/1.1", |peer, certificate| {
        let origin = plain_origin();
        run_all(http1::table(), &peer.start(&origin, certificate).target, &origin)
    }),
    ("HTTP/2", |peer, certificate| {
        let origin = plain_origin();
        run_all(http2::table(), &peer.start(&origin, certificate).target, &origin)
    }),
    ("homeserver faults", |peer, certificate| {
        let origin = Origin::start(faults::answering());
        run_all(faults::table(), &peer.start(&origin, certificate).target, &origin)
    }),
    ("floods", |peer, certificate| {
        let one = |flood: &floods::Flood| {
            let origin = Origin::start(floods::answering);
            let running = peer.start(&origin, certificate);
            run(FAMILY, flood.run(&running.target, &origin))
        };
        Outcome { rows: floods::table().iter().map(one).collect(), strays: Vec::new() }
    }),
];

/// Prints a table of all probes and all peers, and the scores. It fails for vestibule only.
#[test]
#[ignore = "takes minutes, and needs what `make probes` installs"]
fn compared() {
    let certificate = Certificate::new();
    let mut scores = Vec::new();
    let mut failures = String::new();
    for (family, run) in FAMILIES {
        let outcomes = PEERS.map(|peer| run(peer, &certificate));
        println!("\n{}", table(family, &outcomes));
        scores.push((family, outcomes.each_ref().map(|outcome| (outcome.passed(), outcome.strays.len()))));
        failures.push_str(&outcomes[0].failures());
        for (peer, outcome) in PEERS.iter().zip(&outcomes).skip(1) {
            for stray in &outcome.strays {
                println!("{}: at the origin, of no probe: {stray}", peer.name());
            }
        }
        let all = outcomes[0].rows.len();
        println!("{}", line(&format!("of {all}"), outcomes.each_ref().map(|outcome| outcome.passed().to_string())));
    }
    println!("\n{}", line("scores", PEERS.map(|peer| peer.name().to_owned())));
    for (family, scores) in scores {
        println!("{}", line(family, scores.map(|(passed, _)| passed.to_string())));
    }
    drop(certificate.folder);
    assert!(failures.is_empty(), "vestibule:\n{failures}");
}

fn table(family: &str, outcomes: &[Outcome; 4]) -> String {
    let mut text = line(family, PEERS.map(|peer| peer.name().to_owned()));
    for (at, row) in outcomes[0].rows.iter().enumerate() {
        let cells = outcomes.each_ref().map(|outcome| cell(&outcome.rows[at]));
        write!(text, "\n{}", line(row.id, cells)).expect("a string takes all");
    }
    text
}

fn cell(row: &Row) -> String {
    match &row.verdict {
        Ok(Seen(_)) => "ok".to_owned(),
        Err(Failure { saw, .. }) => format!("✗ {}", saw.chars().take(CELL - 2).collect::<String>()),
    }
}

fn line(first: &str, cells: [String; 4]) -> String {
    let cells = cells.map(|cell| format!("{cell:CELL$}"));
    format!("{first:32} {}", cells.join(" ")).trim_end().to_owned()
}
