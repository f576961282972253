//! What another web server has to be told so that it answers for a server name: pure.
//!
//! The documents are those that this program serves itself, with the headers that browsers and peers
//! want. They are written so that no web server finds a character of its own in them.

use crate::config::Server;
use crate::matrix::well_known::{CLIENT_PATH, CORS, SERVER_PATH, SUPPORT_PATH};
use serde_json::Value;
use std::fmt::Write as _;

/// Whose configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebServer {
    /// nginx.
    Nginx,
    /// Apache httpd.
    Apache,
    /// Caddy.
    Caddy,
    /// Netlify.
    Netlify,
    /// GitHub Pages.
    Github,
}

/// Where Apache's files are put.
pub const APACHE_FOLDER: &str = "/var/www/matrix-well-known";

/// Everything that `web` needs to answer for `server`.
pub fn snippet(web: WebServer, server: &Server) -> String {
    let documents = documents(server);
    let host = server.server_name.host().to_string();
    let headers = headers(server);
    match web {
        WebServer::Nginx => nginx(&host, &documents, &headers),
        WebServer::Apache => apache(&host, &documents, &headers),
        WebServer::Caddy => caddy(&host, &documents, &headers),
        WebServer::Netlify => netlify(&host, &documents, &headers),
        WebServer::Github => github(&host, &documents),
    }
}

type Documents = Vec<(&'static str, String)>;
type Headers = Vec<(&'static str, String)>;

/// Path and text of every document that there is.
fn documents(server: &Server) -> Documents {
    let all = [
        (SERVER_PATH, Some(server.server_document())),
        (CLIENT_PATH, Some(server.client_document())),
        (SUPPORT_PATH, server.support_document()),
    ];
    all.into_iter().filter_map(|(path, document)| Some((path, plain(&document?)))).collect()
}

/// JSON without the characters that mean something to nginx, Caddy or a shell. In JSON they stand in
/// strings only, where an escape is the same.
fn plain(document: &Value) -> String {
    let mut text = String::new();
    for character in document.to_string().chars() {
        match character {
            '\'' | '$' | '`' => {
                let _ = write!(text, "\\u{:04x}", u32::from(character));
            }
            other => text.push(other),
        }
    }
    text
}

fn headers(server: &Server) -> Headers {
    let names = ["Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers"];
    let cors = names.into_iter().zip(CORS).map(|(name, (_, value))| (name, value.to_owned()));
    let age = server.cache_max_age.as_secs();
    cors.chain([("Cache-Control", format!("public, max-age={age}"))]).collect()
}

fn nginx(host: &str, documents: &Documents, headers: &Headers) -> String {
    let mut out = format!(
        "# nginx: into each `server` block of {host} that listens on 443, then `nginx -t && systemctl reload nginx`.\n\
         # A `return` or `rewrite` outside of a location comes first: put it into `location / {{ … }}`.\n"
    );
    for (path, document) in documents {
        let _ = writeln!(out, "location = {path} {{");
        out.push_str("    default_type application/json;\n");
        for (name, value) in headers {
            let _ = writeln!(out, "    add_header {name} \"{value}\" always;");
        }
        // In nginx's own quotes a backslash takes the next character literally.
        let _ = writeln!(out, "    return 200 '{}';\n}}", document.replace('\\', "\\\\"));
    }
    out
}

fn apache(host: &str, documents: &Documents, headers: &Headers) -> String {
    let mut out = format!("# Apache, as root. First the documents:\nmkdir -p {APACHE_FOLDER}\n");
    write_files(documents, APACHE_FOLDER, &mut out);
    let _ = write!(
        out,
        "a2enmod headers\n\n\
         # Then into each <VirtualHost> of {host} on 443, and `apachectl configtest && systemctl reload apache2`.\n\
         # A `Redirect` of everything comes first: write `RedirectMatch ^/(?!\\.well-known/matrix/)(.*) …` instead.\n\
         Alias \"/.well-known/matrix/\" \"{APACHE_FOLDER}/\"\n\
         <Directory \"{APACHE_FOLDER}\">\n    \
         Require all granted\n    \
         ForceType application/json\n"
    );
    for (name, value) in headers {
        let _ = writeln!(out, "    Header always set {name} \"{value}\"");
    }
    out.push_str("</Directory>\n");
    out
}

fn caddy(host: &str, documents: &Documents, headers: &Headers) -> String {
    let mut out = format!(
        "# Caddy: into the site block of {host}, then `caddy validate --config /etc/caddy/Caddyfile && systemctl reload caddy`.\n\
         # A `redir` of everything comes first: put it, with all the rest, into `handle {{ … }}`.\n"
    );
    for (path, document) in documents {
        let _ = writeln!(out, "handle {path} {{");
        out.push_str("\theader Content-Type application/json\n");
        for (name, value) in headers {
            let _ = writeln!(out, "\theader {name} \"{value}\"");
        }
        let _ = writeln!(out, "\trespond `{document}` 200\n}}");
    }
    out
}

fn netlify(host: &str, documents: &Documents, headers: &Headers) -> String {
    let mut out = format!(
        "# Netlify: in the folder that is published for {host}. Let no rule with `200!` or `301!` in _redirects match these paths.\n\
         mkdir -p .well-known/matrix\n"
    );
    write_files(documents, ".well-known/matrix", &mut out);
    out.push_str("cat >>_headers <<'END'\n/.well-known/matrix/*\n  Content-Type: application/json\n");
    for (name, value) in headers {
        let _ = writeln!(out, "  {name}: {value}");
    }
    out.push_str("END\n");
    out
}

fn github(host: &str, documents: &Documents) -> String {
    let mut out = format!(
        "# GitHub Pages: in the folder that is published for {host}. Pages sends Access-Control-Allow-Origin: * and\n\
         # Cache-Control: max-age=600 by itself, and application/octet-stream, which peers and clients put up with.\n\
         mkdir -p .well-known/matrix\n"
    );
    write_files(documents, ".well-known/matrix", &mut out);
    out.push_str(
        "touch .nojekyll\n\
         # A site that is built by Jekyll needs this line in _config.yml instead of .nojekyll:\n\
         # include: [\".well-known\"]\n",
    );
    out
}

fn write_files(documents: &Documents, folder: &str, out: &mut String) {
    for (path, document) in documents {
        let name = path.rsplit('/').next().unwrap_or_default();
        let _ = writeln!(out, "printf '%s\\n' '{document}' >{folder}/{name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::path::Path;

    fn server(more: &str) -> Server {
        let text =
            format!("server_name = \"example.com\"\npublic_host = \"m.example.com\"\napex = \"elsewhere\"\n{more}");
        Config::parse(&text, Path::new("v.toml")).unwrap().servers.remove(0)
    }

    #[test]
    fn each_web_servers_words() {
        let support = "support = { support_page = \"https://example.com/it's?a=$b\" }";
        let server = server(&format!("[well_known]\ncache_max_age = \"1d\"\n{support}\n"));
        for (name, web) in [
            ("nginx", WebServer::Nginx),
            ("apache", WebServer::Apache),
            ("caddy", WebServer::Caddy),
            ("netlify", WebServer::Netlify),
            ("github", WebServer::Github),
        ] {
            let text = snippet(web, &server);
            insta::with_settings!({ snapshot_path => "../../../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(format!("snippet-{name}"), text);
            });
        }
    }

    #[test]
    fn escapes_do_not_change_the_document() {
        let document = serde_json::json!({ "a'$`": "\\ \" \u{1} ü $x" });
        let text = plain(&document);
        assert!(!text.contains(['\'', '$', '`']), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
