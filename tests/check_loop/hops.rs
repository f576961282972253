//! nginx and HAProxy as they stand in front of other people's homeservers, each server of theirs with one peculiarity.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{BEHIND, SERVERS, address, name};
use crate::support::openssl_ca::{KeyKind, OpensslCa};
use crate::support::process::Process;

const START: Duration = Duration::from_secs(20);

/// Both, running.
pub struct Hops {
    programs: Vec<Process>,
}

impl Drop for Hops {
    fn drop(&mut self) {
        // Asked, as a process that is killed takes no worker of its own along.
        if !std::thread::panicking() {
            for program in &mut self.programs {
                program.terminate(START);
            }
        }
    }
}

impl Hops {
    /// With a certificate of their own, where they open TLS.
    #[track_caller]
    pub fn start(folder: &Path) -> Self {
        let names: Vec<_> = SERVERS.iter().filter(|server| **server != "router").map(|server| name(server)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let ca = OpensslCa::new(folder);
        let (leaf, router) = (ca.issue(&names, KeyKind::P256), ca.issue(&["fritz.box"], KeyKind::P256));
        let chain = ca.concatenate("chain.pem", &[&leaf.certificate, &ca.intermediate()]);
        let both = ca.concatenate("both.pem", &[&chain, &leaf.key]);
        let own = |config: &mut String| {
            let _ = write!(
                config,
                "ssl_certificate {}; ssl_certificate_key {};",
                router.certificate.display(),
                router.key.display()
            );
        };
        let nginx = write(folder, "nginx.conf", &nginx(folder, (&chain, &leaf.key), own));
        let haproxy = write(folder, "haproxy.cfg", &haproxy(&both));
        let mut command = Command::new("nginx");
        command.args(["-e", "stderr", "-p"]).arg(folder).arg("-c").arg(nginx);
        let first = start("nginx", &mut command, "nginx-http");
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(haproxy);
        Self { programs: vec![first, start("haproxy", &mut command, "haproxy-http")] }
    }
}

fn start(program: &str, command: &mut Command, listening: &str) -> Process {
    // Debian keeps servers where ordinary users do not look.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    let mut process = Process::spawn(program, command);
    process.wait_until_listening(format!("{}:443", address(listening)).parse().expect("an address"), START);
    process
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).expect("a writable folder");
    file
}

/// What each server of nginx says beside its names, and within `location /`.
const NGINX: [(&str, &str, &str); 6] = [
    ("nginx-http", "", "proxy_pass https://BEHIND; proxy_read_timeout 2s;"),
    ("nginx-path", "", "proxy_pass https://BEHIND/;"),
    ("nginx-host", "", "proxy_pass https://BEHIND; proxy_set_header Host $proxy_host;"),
    ("nginx-dropped", "", "proxy_pass https://BEHIND; proxy_set_header Authorization \"\";"),
    ("nginx-put", "", "proxy_pass https://BEHIND; limit_except GET { deny all; }"),
    ("nginx-long", "large_client_header_buffers 4 2k;", "proxy_pass https://BEHIND;"),
];

fn nginx(folder: &Path, (chain, key): (&Path, &Path), router: impl Fn(&mut String)) -> String {
    let (chain, key, at) = (chain.display(), key.display(), folder.display());
    let mut servers = String::new();
    for (server, more, location) in NGINX {
        let (address, name, location) = (address(server), name(server), location.replace("BEHIND", BEHIND));
        // One `Host` line replaces all that are inherited.
        let host = if location.contains("Host") { "" } else { "proxy_set_header Host $http_host;" };
        let _ = writeln!(
            servers,
            "server {{ listen {address}:443 ssl; server_name {name}; {more} ssl_certificate {chain}; ssl_certificate_key {key};
                location / {{ {location} {host} proxy_set_header X-Forwarded-For $remote_addr;
                    proxy_ssl_server_name on; proxy_ssl_name {name}; proxy_bind 127.0.0.2; }} }}"
        );
    }
    let (other, page) = (address("other"), "return 200 'It works!';");
    let _ = writeln!(
        servers,
        "server {{ listen {other}:443 ssl; ssl_certificate {chain}; ssl_certificate_key {key}; location / {{ {page} }} }}"
    );
    let mut certificate = String::new();
    router(&mut certificate);
    let _ = writeln!(
        servers,
        "server {{ listen {}:443 ssl; {certificate} location / {{ return 200 'Welcome to your router'; }} }}",
        address("router")
    );
    format!(
        r#"daemon off; worker_processes 1; pid {at}/nginx.pid; user root;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
events {{ worker_connections 512; }}
stream {{ server {{ listen {}:443; proxy_pass {BEHIND}; }} }}
http {{
    access_log off;
    client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
    uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
    {servers}
}}
"#,
        address("nginx-tcp")
    )
}

/// What each frontend of HAProxy says.
const HAPROXY: [(&str, &str); 4] = [
    ("haproxy-http", "http-request set-header X-Forwarded-For %[src]"),
    ("haproxy-put", "http-request set-header X-Forwarded-For %[src]\n    http-request deny if { method PUT }"),
    (
        "haproxy-agent",
        "http-request set-header X-Forwarded-For %[src]\n    http-request deny if { req.hdr(user-agent) -m beg Go-http-client }",
    ),
    ("haproxy-forged", "# what a client says of itself is passed on"),
];

fn haproxy(both: &Path) -> String {
    let mut text =
        "defaults\n    mode http\n    timeout connect 2s\n    timeout client 60s\n    timeout server 60s\n".to_owned();
    for (server, rules) in HAPROXY {
        let _ = write!(
            text,
            "listen {server}\n    bind {}:443 ssl crt {} alpn h2,http/1.1\n    {rules}\n    \
             server behind {BEHIND} ssl verify none sni str({}) source 127.0.0.2\n",
            address(server),
            both.display(),
            name(server)
        );
    }
    for (server, more) in [("haproxy-tcp", ""), ("haproxy-proxied", "send-proxy-v2 source 127.0.0.3")] {
        let _ = write!(
            text,
            "listen {server}\n    mode tcp\n    bind {}:443\n    server behind {BEHIND} {more}\n",
            address(server)
        );
    }
    text
}
