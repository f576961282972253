//! The delegation document.

use super::Page;

/// The document as each of the usual web servers serves it.
const SERVE: &[(&str, &str)] = &[
    ("vestibule.toml", "server_name = \"example.com\"\npublic_host = \"matrix.example.com\""),
    (
        "nginx",
        "location = /.well-known/matrix/server {\n    default_type application/json;\n    \
         add_header Cache-Control \"public, max-age=3600\" always;\n    \
         return 200 '{\"m.server\": \"matrix.example.com:443\"}';\n}",
    ),
    (
        "Caddy",
        "handle /.well-known/matrix/server {\n    header Content-Type application/json\n    \
         header Cache-Control \"public, max-age=3600\"\n    respond `{\"m.server\": \"matrix.example.com:443\"}`\n}",
    ),
    (
        "HAProxy",
        "acl wk_server path /.well-known/matrix/server\n\
         http-request return status 200 content-type application/json \
         string '{\"m.server\":\"matrix.example.com:443\"}' if wk_server",
    ),
    (
        "Apache",
        "# the file /var/www/html/.well-known/matrix/server holds the document\n\
         <Location \"/.well-known/matrix/server\">\n    ForceType application/json\n    \
         Header always set Cache-Control \"public, max-age=3600\"\n</Location>",
    ),
    ("Traefik", "Serves no files: route /.well-known/matrix/ to vestibule, nginx or the homeserver."),
];

/// Keeping bot rules away from what is no browser.
const UNBLOCK: &[(&str, &str)] = &[
    (
        "Cloudflare",
        "Security rules, Skip all, when:\n(starts_with(http.request.uri.path, \"/.well-known/matrix/\") or \
         starts_with(http.request.uri.path, \"/_matrix/\"))",
    ),
    (
        "nginx with ModSecurity",
        "location /.well-known/matrix/ { modsecurity off; }\nlocation /_matrix/ { modsecurity off; }",
    ),
    ("Elsewhere", "Exempt /.well-known/matrix/ and /_matrix/ from logins, challenges and bot rules."),
];

/// The command that shows the document with its headers.
const SHOW: &[&str] = &["curl -i https://example.com/.well-known/matrix/server"];

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "wk.server.reach",
        about: "An address of the server name does not answer on port 443, where peers ask for the delegation \
                document. Often an old AAAA record, a firewall that knows IPv4 only, or a web server that listens on \
                one family.",
        peers: "Each takes one of the addresses. Those that hit the dead one wait, then treat the server as not \
                delegated for up to an hour, and try SRV records and port 8448.",
        see: &[
            "curl -4 -i https://example.com/.well-known/matrix/server",
            "curl -6 -i https://example.com/.well-known/matrix/server",
        ],
        fixes: &[
            ("nginx", "listen 443 ssl;\nlisten [::]:443 ssl;"),
            ("HAProxy", "bind :::443 v4v6 ssl crt /etc/haproxy/certs/"),
            ("Firewall", "ufw allow 443/tcp"),
        ],
        written: "Server-server API, \"Resolving server names\", step 3.",
    },
    Page {
        id: "wk.server.tls",
        about: "The delegation document is asked for at the server name itself, so port 443 there needs a \
                certificate for the server name, even if everything else is on another host.",
        peers: "They treat a failed handshake as no delegation, and go on to SRV records and port 8448 of the server \
                name, where mostly nobody is.",
        see: &[
            "openssl s_client -connect example.com:443 -servername example.com </dev/null | \\\n    openssl x509 -noout -subject -dates -ext subjectAltName",
        ],
        fixes: &[
            ("vestibule.toml", "apex = \"here\"   # orders a certificate for server_name too"),
            ("certbot", "certbot --nginx -d example.com -d matrix.example.com"),
            ("Caddy", "example.com {\n    # a site block of its own gets a certificate of its own\n}"),
        ],
        written: "Server-server API, \"Resolving server names\", step 3: regular X.509 checks apply.",
    },
    Page {
        id: "wk.server.status",
        about: "The answer is neither 200 nor a clean 404: a login page, a bot challenge, a redirect that ends in an \
                error, a broken web server.",
        peers: "Anything but 200 with a valid document means no delegation. A 4xx even displaces a valid copy that a \
                peer still has.",
        see: SHOW,
        fixes: SERVE,
        written: "Server-server API, \"Resolving server names\", step 3; data/api/server-server/wellknown.yaml.",
    },
    Page {
        id: "wk.server.json",
        about: "The answer is 200 and no JSON object: mostly the start page of a web application that answers every \
                path, or a byte order mark before the brace.",
        peers: "They treat it as no delegation and go on to SRV records and port 8448.",
        see: &["curl -s https://example.com/.well-known/matrix/server | head -c 200 | od -c | head"],
        fixes: SERVE,
        written: "Server-server API, \"Resolving server names\", step 3.",
    },
    Page {
        id: "wk.server.field",
        about: "The document is JSON and has no string under m.server: the key is misspelt, its value is an object, \
                or the client document is served at this path.",
        peers: "They treat it as no delegation and go on to SRV records and port 8448.",
        see: SHOW,
        fixes: SERVE,
        written: "Server-server API, data/api/server-server/wellknown.yaml.",
    },
    Page {
        id: "wk.server.value",
        about: "m.server must be a host, or a host and a port, in the grammar of server names. https:// before it, a \
                slash behind it or a path make it invalid.",
        peers: "They treat it as no delegation, or fail altogether, as the public Go tester does.",
        see: SHOW,
        fixes: &[("The document", "{\"m.server\": \"matrix.example.com:443\"}")],
        written: "Server-server API, \"Resolving server names\", step 3; appendices, \"Server Name\".",
    },
    Page {
        id: "wk.server.port",
        about: "m.server has no port. That does not mean 443: peers look for SRV records of that host next, and use \
                8448 if there are none. A resolver that stumbles over the SRV question then breaks federation.",
        peers: "Two more DNS questions, then port 8448.",
        see: SHOW,
        fixes: &[("The document", "{\"m.server\": \"matrix.example.com:443\"}   # or :8448, if that is meant")],
        written: "Server-server API, \"Resolving server names\", steps 3.3 to 3.5.",
    },
    Page {
        id: "wk.server.size",
        about: "The document is larger than some peers read. It needs one key; whatever else is in it belongs \
                elsewhere.",
        peers: "tuwunel reads 12 KiB, Synapse and the Go library 50 KiB. What is longer counts as a failure.",
        see: &["curl -s https://example.com/.well-known/matrix/server | wc -c"],
        fixes: SERVE,
        written: "The specification names no limit; Synapse, well_known_resolver.py (WELL_KNOWN_MAX_SIZE).",
    },
    Page {
        id: "wk.server.ctype",
        about: "The document comes with another type than application/json. A file without an extension is what web \
                servers call application/octet-stream.",
        peers: "The specification tells them not to mind, and most do not.",
        see: SHOW,
        fixes: SERVE,
        written: "Server-server API, \"Resolving server names\", step 3: should be application/json.",
    },
    Page {
        id: "wk.server.redirect",
        about: "The redirects are many, run in a circle, leave https, or use 308.",
        peers: "They follow 10 to 20 hops. Synapse with an older Twisted does not follow 308. A redirect to http is \
                an open door, and some refuse it.",
        see: &["curl -sIL https://example.com/.well-known/matrix/server | grep -iE '^(HTTP|location)'"],
        fixes: &[
            ("nginx", "location /.well-known/matrix/ { return 302 https://matrix.example.com$request_uri; }"),
            ("Best", "Serve the document itself at the server name, without a redirect."),
        ],
        written: "Server-server API, \"Resolving server names\", step 3: follow 30x, avoid loops.",
    },
    Page {
        id: "wk.server.cache",
        about: "The headers tell peers to keep the document for a time outside five minutes to 48 hours, or not at \
                all. Too long a time makes a move slow; too short a one makes every peer ask all the time.",
        peers: "Synapse keeps it five minutes at least and 48 hours at most, 24 hours if nothing is said.",
        see: &["curl -sI https://example.com/.well-known/matrix/server | grep -iE 'cache-control|expires'"],
        fixes: SERVE,
        written: "Server-server API, \"Resolving server names\", step 3: 24 hours by default, 48 at most; RFC 9111.",
    },
    Page {
        id: "wk.server.split",
        about: "The addresses of the server name give different documents: one machine was forgotten, or the IPv6 \
                address belongs to another web server.",
        peers: "Each takes one address at random and keeps what it gets for hours, so that some talk to the right \
                server and others to the wrong one.",
        see: &[
            "for a in $(dig +short example.com A example.com AAAA); do curl -s --resolve example.com:443:[$a] \\\n    https://example.com/.well-known/matrix/server; echo \" $a\"; done",
        ],
        fixes: SERVE,
        written: "Server-server API, \"Resolving server names\", step 3 assumes one document.",
    },
    Page {
        id: "wk.server.bot",
        about: "The answer depends on the User-Agent: what a browser or curl gets, Synapse or a Go client does not. A \
                bot rule or a firewall for web applications stands in between.",
        peers: "Those it blocks see no delegation, or no server at all, while every test in a browser looks well.",
        see: &[
            "curl -i -A 'Synapse/1.157.1' https://example.com/.well-known/matrix/server",
            "curl -i -A 'Go-http-client/1.1' https://example.com/.well-known/matrix/server",
        ],
        fixes: UNBLOCK,
        written: "Nothing in the specification allows it; matrix-federation-tester issue 144.",
    },
    Page {
        id: "wk.server.self",
        about: "m.server is the server name itself, without a port. That is what peers would do anyway: SRV records, \
                then port 8448.",
        peers: "They act as if there were no document.",
        see: SHOW,
        fixes: &[("The document, if 443 is meant", "{\"m.server\": \"example.com:443\"}")],
        written: "Server-server API, \"Resolving server names\", steps 3.3 to 3.5.",
    },
    Page {
        id: "wk.fallback8448",
        about: "The server is delegated, and port 8448 of the server name swallows connections or shows a certificate \
                that does not fit. It matters whenever a peer could not read the delegation: it then tries that port \
                for up to an hour.",
        peers: "With the document at hand, never. Without it, they connect to example.com:8448 and need a \
                certificate for example.com there, or a quick refusal.",
        see: &["curl -sS -m 5 https://example.com:8448/_matrix/federation/v1/version"],
        fixes: &[
            ("vestibule.toml", "[listen]\nfederation = [\"[::]:8448\"]   # the default"),
            ("nginx", "listen 8448 ssl;\nlisten [::]:8448 ssl;\nserver_name example.com matrix.example.com;"),
            ("Firewall, to refuse quickly", "ufw reject 8448/tcp   # not deny, which lets peers wait"),
        ],
        written: "Server-server API, \"Resolving server names\", step 6.",
    },
];
