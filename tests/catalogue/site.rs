//! A federation of one server as its operator built it: DNS records, what stands in front, the homeserver behind.
//!
//! A site begins healthy, in the commonest layout (delegation with a port, two address families), and a case takes
//! away or breaks what it is about.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::authority::{Authority, Files, Leaf};
use super::homeserver::Homeserver;
use crate::support::vestibule::{self, Vestibule};

/// A site to be built.
pub struct Site<'a> {
    pub ca: &'a Authority,
    /// The homeserver's name.
    pub name: String,
    /// What is asked for: the name, unless the case is about that.
    pub asked: String,
    pub homeserver: Homeserver,
    /// Serves the well-known documents.
    pub apex: Web,
    /// In front of the homeserver.
    pub matrix: Web,
    /// Further servers.
    pub more: Vec<Web>,
    /// Sections of HAProxy's configuration.
    pub sections: Vec<String>,
    /// Whatever else must live as long as the site.
    pub keep: Vec<Box<dyn std::any::Any>>,
    /// What the check is given beyond the name and the defaults.
    pub arguments: Vec<String>,
    /// The name server that is asked.
    pub resolver: SocketAddr,
    /// Whether the check is given the root of the throw-away CA.
    pub trusted: bool,
    /// Zones that the name server has and cannot serve.
    pub broken: Vec<String>,
    pub number: u8,
    records: Vec<(String, &'static str, String)>,
}

/// One server of nginx.
#[derive(Clone, Debug)]
pub struct Web {
    /// Where it listens; nowhere at all if empty.
    pub on: Vec<SocketAddr>,
    pub files: Files,
    /// After `listen`.
    pub listen: String,
    /// Directives of the server.
    pub directives: String,
    pub locations: Vec<(String, String)>,
}

/// The ranges of the sites' addresses, public and private ones; all are local in the sandbox.
pub const RANGES: [&str; 2] = ["46.20.0.0/16", "10.20.0.0/16"];

impl<'a> Site<'a> {
    /// The site `number` of its group.
    pub fn new(ca: &'a Authority, number: u8) -> Self {
        let name = format!("s{number}.example");
        let homeserver = Homeserver::start(&name);
        let files = |names: &[&str]| ca.issue(&Leaf::of(names));
        let public = format!("matrix.{name}");
        let mut site = Self {
            ca,
            asked: name.clone(),
            apex: Web::new(files(&[&name])),
            matrix: Web::new(files(&[&public])),
            more: Vec::new(),
            sections: Vec::new(),
            keep: Vec::new(),
            arguments: Vec::new(),
            resolver: (Ipv4Addr::LOCALHOST, 53).into(),
            trusted: true,
            broken: Vec::new(),
            number,
            records: Vec::new(),
            homeserver,
            name,
        };
        site.apex.on = site.both(1, 443);
        site.matrix.on = site.both(2, 443);
        site.at("", 1);
        site.at("matrix", 2);
        site.serve_documents(&format!("{public}:443"));
        site.pass();
        site
    }

    /// The host below the server name; the name itself for an empty one.
    pub fn host(&self, label: &str) -> String {
        if label.is_empty() { self.name.clone() } else { format!("{label}.{}", self.name) }
    }

    /// Gives the homeserver another name, with all that follows from it.
    pub fn rename(&mut self, name: &str) {
        name.clone_into(&mut self.name);
        name.clone_into(&mut self.asked);
        self.homeserver.call_itself(name);
        let public = self.host("matrix");
        self.apex.files = self.leaf(&[name]);
        self.matrix.files = self.leaf(&[&public]);
        self.serve_documents(&format!("{public}:443"));
    }

    /// An ordinary certificate for these names. The common name is a short one: there is a limit.
    pub fn leaf(&self, names: &[&str]) -> Files {
        self.ca.issue(&Leaf::of(names))
    }

    /// Has another certificate for the homeserver's host.
    pub fn certify(&mut self, change: impl FnOnce(Leaf) -> Leaf) {
        self.matrix.files = self.ca.issue(&change(Leaf::of(&[&self.host("matrix")])));
    }

    /// Has the server name answer on port 8448 as well, where peers look that find no delegation.
    pub fn fallback(&mut self) {
        let mut web = Web { on: self.both(1, 8448), files: self.apex.files.clone(), ..self.matrix.clone() };
        web.location("/_matrix/", &self.pass_text());
        self.more.push(web);
    }

    /// Puts vestibule before the homeserver, where nginx was, with more configuration.
    pub fn vestibule(&mut self, more: &str) {
        let on = std::mem::take(&mut self.matrix.on);
        let quoted = |on: &[SocketAddr]| on.iter().map(|on| format!("\"{on}\"")).collect::<Vec<_>>().join(", ");
        let with_port = |port| on.iter().map(|on| SocketAddr::new(on.ip(), port)).collect::<Vec<_>>();
        let Files { chain, key, .. } = &self.matrix.files;
        let config = format!(
            "listen.https = [{}]\nlisten.federation = [{}]\nlisten.http = [{}]\nlisten.status = \"off\"\n\
             check.network = \"private\"\nserver_name = \"{}\"\npublic_host = \"{}\"\nhomeserver = \"http://{}\"\n{more}\n\
             [[tls.certificates]]\nchain = {}\nkey = {}\n",
            quoted(&with_port(443)),
            quoted(&with_port(8448)),
            quoted(&with_port(80)),
            self.name,
            self.host("matrix"),
            self.homeserver.address(),
            vestibule::quoted(chain),
            vestibule::quoted(key),
        );
        self.keep.push(Box::new(Vestibule::start(&config)));
    }

    /// Puts HAProxy there, with these lines in its frontend.
    pub fn haproxy(&mut self, lines: &str) {
        let (on, both) = (std::mem::take(&mut self.matrix.on), self.matrix.files.both.display());
        let binds: String = on.iter().map(|on| format!("    bind {on} ssl crt {both} alpn h2,http/1.1\n")).collect();
        let (number, to) = (self.number, self.homeserver.address());
        self.sections.push(format!(
            "frontend f{number}\n{binds}{lines}\nbackend b{number}\n    http-request set-header X-Forwarded-Proto https\n    \
             server homeserver {to}\n"
        ));
    }

    /// Puts HAProxy there, as one that ends TLS and otherwise passes bytes on, before whatever listens at `to`.
    pub fn pass_bytes(&mut self, to: SocketAddr) {
        let (on, both) = (std::mem::take(&mut self.matrix.on), self.matrix.files.both.display());
        let binds: String = on.iter().map(|on| format!("    bind {on} ssl crt {both}\n")).collect();
        self.sections.push(format!("listen s{}\n    mode tcp\n{binds}    server s {to}\n", self.number));
    }

    /// Writes a file and gives its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.ca.folder().join(format!("s{}-{name}", self.number));
        std::fs::write(&path, content).expect("a writable folder");
        path.to_string_lossy().into_owned()
    }

    /// A private IPv4 address of this site, which the sandbox has as well.
    pub fn private_v4(&self, last: u8) -> IpAddr {
        Ipv4Addr::new(10, 20, self.number, last).into()
    }

    /// The IPv4 address `last` of this site.
    pub fn v4(&self, last: u8) -> IpAddr {
        Ipv4Addr::new(46, 20, self.number, last).into()
    }

    /// The IPv6 address `last` of this site.
    pub fn v6(&self, last: u8) -> IpAddr {
        v6(self.number, last).into()
    }

    /// Both addresses `last`, with a port.
    pub fn both(&self, last: u8, port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::new(self.v4(last), port), SocketAddr::new(self.v6(last), port)]
    }

    /// Gives `label` an A and an AAAA record for the addresses `last`.
    pub fn at(&mut self, label: &str, last: u8) {
        let (v4, v6) = (self.v4(last), self.v6(last));
        self.record(label, "A", v4);
        self.record(label, "AAAA", v6);
    }

    /// Adds a record.
    pub fn record(&mut self, label: &str, kind: &'static str, value: impl ToString) {
        self.records.push((label.to_owned(), kind, value.to_string()));
    }

    /// Adds an SRV record of `_matrix-fed._tcp` or `_matrix._tcp` to the label, with this port and target.
    pub fn srv(&mut self, service: &str, port: u16, target: &str) {
        self.record(service, "SRV", format!("10 0 {port} {target}."));
    }

    /// Removes the label's records of a kind.
    pub fn without(&mut self, label: &str, kind: &str) {
        self.records.retain(|(other, other_kind, _)| other != label || other_kind != &kind);
    }

    /// Removes every record and every server: the case builds its own.
    pub fn clear(&mut self) {
        self.records.clear();
        self.apex.on.clear();
        self.matrix.on.clear();
    }

    /// The layout without delegation: one host with one certificate, documents for clients on 443, federation on 8448.
    pub fn undelegated(&mut self) {
        self.without("matrix", "A");
        self.without("matrix", "AAAA");
        self.apex.remove("= /.well-known/matrix/server");
        self.matrix.files = self.apex.files.clone();
        self.matrix.on = self.both(1, 8448);
        // Clients come by 443.
        let client = format!(r#"{{"m.homeserver":{{"base_url":"https://{}"}}}}"#, self.name);
        self.apex.document("client", &client, "");
        let pass = self.pass_text();
        self.apex.location("/_matrix/", &pass);
    }

    /// Serves the three documents, with this delegation, as they should be.
    pub fn serve_documents(&mut self, delegation: &str) {
        let server = format!(r#"{{"m.server":"{delegation}"}}"#);
        self.apex.document("server", &server, "");
        let client = format!(r#"{{"m.homeserver":{{"base_url":"https://matrix.{}"}}}}"#, self.name);
        self.apex.document("client", &client, "");
        let support = format!(r#"{{"contacts":[{{"role":"m.role.admin","matrix_id":"@admin:{}"}}]}}"#, self.name);
        self.apex.document("support", &support, "");
    }

    /// Changes the delegation, and nothing else.
    pub fn delegate(&mut self, to: &str) {
        self.apex.document("server", &format!(r#"{{"m.server":"{to}"}}"#), "");
    }

    /// Has the homeserver's host forward as Synapse's documentation has it.
    fn pass(&mut self) {
        let pass = self.pass_text();
        self.matrix.location(MATRIX, &pass);
    }

    /// What forwards to the homeserver.
    pub fn pass_text(&self) -> String {
        pass_to(self.homeserver.address())
    }

    /// The homeserver's part of a zone file.
    pub fn zone(&self) -> String {
        self.records.iter().fold(String::new(), |mut zone, (label, kind, value)| {
            writeln!(zone, "{}. {kind} {value}", self.host(label)).expect("a string takes all");
            zone
        })
    }

    /// Its servers for nginx's configuration.
    pub fn nginx(&self) -> String {
        [&self.apex, &self.matrix].into_iter().chain(&self.more).map(Web::text).collect()
    }
}

/// The IPv6 address `last` of the site `number`.
fn v6(number: u8, last: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2a0f, 0xca7a, number.into(), 0, 0, 0, 0, last.into())
}

/// The IPv6 addresses of the first `count` sites, which the sandbox has to have.
pub fn addresses(count: usize) -> impl Iterator<Item = Ipv6Addr> {
    (1..=u8::MAX).take(count).flat_map(|number| (1..8).map(move |last| v6(number, last)))
}

/// What forwards to `homeserver`, as Synapse's documentation has it.
pub fn pass_to(homeserver: SocketAddr) -> String {
    format!(
        "proxy_pass http://{homeserver};\nproxy_http_version 1.1;\nproxy_set_header X-Forwarded-For $remote_addr;\n\
         proxy_set_header X-Forwarded-Proto $scheme;\nproxy_set_header Host $http_host;\nclient_max_body_size 50M;"
    )
}

impl Web {
    /// One that listens nowhere yet.
    pub fn new(files: Files) -> Self {
        Self {
            on: Vec::new(),
            files,
            listen: "ssl http2".to_owned(),
            directives: format!("ssl_protocols TLSv1.2 TLSv1.3;\n{SUITES}"),
            locations: Vec::new(),
        }
    }

    /// Sets what stands in `location …`.
    pub fn location(&mut self, of: &str, text: &str) {
        self.remove(of);
        self.locations.push((of.to_owned(), text.to_owned()));
    }

    pub fn remove(&mut self, of: &str) {
        self.locations.retain(|(other, _)| other != of);
    }

    /// Serves a well-known document, with more directives.
    pub fn document(&mut self, which: &str, body: &str, more: &str) {
        let text = format!(
            "default_type application/json;\nadd_header Access-Control-Allow-Origin *;\n\
             add_header Cache-Control \"public, max-age=3600\";\n{more}\nreturn 200 '{body}';"
        );
        self.location(&format!("= /.well-known/matrix/{which}"), &text);
    }

    fn text(&self) -> String {
        if self.on.is_empty() {
            return String::new();
        }
        let mut text = "server {\n".to_owned();
        for address in &self.on {
            writeln!(text, "listen {address} {};", self.listen).expect("a string takes all");
        }
        if self.listen.contains("ssl") {
            let Files { chain, key, .. } = &self.files;
            writeln!(text, "ssl_certificate {};\nssl_certificate_key {};", chain.display(), key.display())
                .expect("a string takes all");
        }
        text.push_str(&self.directives);
        for (of, content) in &self.locations {
            write!(text, "\nlocation {of} {{\n{content}\n}}").expect("a string takes all");
        }
        text + "\n}\n"
    }
}

/// What Mozilla recommends, of what rustls has; those that servers bring along still take CBC.
pub const SUITES: &str = "ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;";

/// Where nginx forwards the homeserver's paths.
pub const MATRIX: &str = "~ ^(/_matrix|/_synapse/client)";

/// nginx's configuration of these servers.
pub fn nginx(folder: &Path, servers: &str) -> String {
    let folder = folder.display();
    format!(
        "daemon off; master_process off; pid {folder}/pid; user root; error_log stderr warn;\n\
         events {{ worker_connections 4096; }}\nhttp {{\naccess_log off; server_tokens off;\n\
         client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
         uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n{servers}\n}}\n"
    )
}

/// HAProxy's configuration of these sections.
pub fn haproxy(sections: &str) -> String {
    format!(
        "global\n    expose-experimental-directives\n    ssl-default-bind-options ssl-min-ver TLSv1.2\n    \
         ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20\ndefaults\n    mode http\n    timeout connect 2s\n    \
         timeout client 30s\n    timeout server 30s\n{sections}\n"
    )
}
