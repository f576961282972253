//! What clients read.

use super::Page;

/// The client document with its header.
const SERVE: &[(&str, &str)] = &[
    ("vestibule.toml", "public_host = \"matrix.example.com\"   # the document follows from it"),
    (
        "nginx",
        "location = /.well-known/matrix/client {\n    default_type application/json;\n    \
         add_header Access-Control-Allow-Origin * always;\n    \
         return 200 '{\"m.homeserver\": {\"base_url\": \"https://matrix.example.com\"}}';\n}",
    ),
    (
        "Caddy",
        "handle /.well-known/matrix/client {\n    header Content-Type application/json\n    \
         header Access-Control-Allow-Origin *\n    \
         respond `{\"m.homeserver\": {\"base_url\": \"https://matrix.example.com\"}}`\n}",
    ),
    (
        "HAProxy",
        "# wk.json holds {\"m.homeserver\": {\"base_url\": \"https://matrix.example.com\"}}\n\
         acl wk_client path /.well-known/matrix/client\n\
         http-request return status 200 content-type application/json \
         hdr Access-Control-Allow-Origin * file /etc/haproxy/wk.json if wk_client",
    ),
    (
        "Apache",
        "<Location \"/.well-known/matrix/client\">\n    ForceType application/json\n    \
         Header always set Access-Control-Allow-Origin \"*\"\n</Location>",
    ),
];

/// The header, once: the homeserver sends it, so a proxy must not.
const ONCE: &[(&str, &str)] = &[
    ("nginx, in front of Synapse", "# remove add_header Access-Control-Allow-Origin from location /_matrix"),
    (
        "nginx, if it must set the header itself",
        "proxy_hide_header Access-Control-Allow-Origin;\nadd_header Access-Control-Allow-Origin * always;",
    ),
    ("Apache", "# set, not add or append\nHeader always set Access-Control-Allow-Origin \"*\""),
    ("Caddy", "header_down -Access-Control-Allow-Origin   # in reverse_proxy, if a header directive sets it too"),
    ("HAProxy", "http-response del-header Access-Control-Allow-Origin   # before a line that sets it"),
];

const SHOW: &[&str] = &["curl -i -H 'Origin: https://app.element.io' https://example.com/.well-known/matrix/client"];

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "wk.client.status",
        about: "Clients ask the server name where the homeserver is. The answer is neither a document nor a clean \
                404.",
        peers: "After a 404 a client tries the server name itself. After anything else it asks the user for the \
                address of the server.",
        see: SHOW,
        fixes: SERVE,
        written: "Client-server API, \"Well-known URIs\".",
    },
    Page {
        id: "wk.client.json",
        about: "The answer is 200 and no JSON object: mostly the start page of a web application that answers every \
                path.",
        peers: "Clients ask the user for the address of the server (FAIL_PROMPT).",
        see: SHOW,
        fixes: SERVE,
        written: "Client-server API, \"Well-known URIs\".",
    },
    Page {
        id: "wk.client.base_url",
        about: "m.homeserver.base_url is missing or no https URL.",
        peers: "Without it clients ask the user; with something that is no URL they stop (FAIL_ERROR).",
        see: SHOW,
        fixes: SERVE,
        written: "Client-server API, \"Well-known URIs\".",
    },
    Page {
        id: "wk.client.versions",
        about: "At base_url no homeserver answers: /_matrix/client/versions there is not 200 with a list of versions.",
        peers: "Clients stop and do not log in (FAIL_ERROR).",
        see: &["curl -i https://matrix.example.com/_matrix/client/versions"],
        fixes: &[
            ("nginx", "location /_matrix { proxy_pass http://127.0.0.1:8008; }   # no path after the port"),
            ("Caddy", "reverse_proxy /_matrix/* 127.0.0.1:8008"),
        ],
        written: "Client-server API, \"Well-known URIs\" and GET /_matrix/client/versions.",
    },
    Page {
        id: "wk.client.identity",
        about: "m.identity_server stands in the document without a base_url.",
        peers: "Clients ask the user for the address of the server (FAIL_PROMPT), though the homeserver is well.",
        see: SHOW,
        fixes: &[(
            "vestibule.toml",
            "[well_known]\nclient = { \"m.identity_server\" = { base_url = \"https://vector.im\" } }",
        )],
        written: "Client-server API, \"Well-known URIs\".",
    },
    Page {
        id: "wk.client.cors",
        about: "Access-Control-Allow-Origin is missing on the document, is not *, or is there twice. A client in a \
                browser may then not read it.",
        peers: "Element Web says that the server cannot be found; native clients notice nothing.",
        see: SHOW,
        fixes: SERVE,
        written: "Client-server API, \"Web Browser Clients\"; Fetch standard, \"CORS check\".",
    },
    Page {
        id: "wk.client.redirect_cors",
        about: "A redirect on the way to the document lacks Access-Control-Allow-Origin. A browser checks every hop, \
                not only the last.",
        peers: "Clients in a browser fail, native ones follow.",
        see: &["curl -iL -H 'Origin: https://app.element.io' https://example.com/.well-known/matrix/client"],
        fixes: &[
            ("nginx", "add_header Access-Control-Allow-Origin * always;   # also where the redirect is made"),
            ("Cloudflare", "Transform rules, modify response header: set Access-Control-Allow-Origin to *"),
            ("Apache", "Header always set Access-Control-Allow-Origin \"*\""),
        ],
        written: "Client-server API, \"Well-known URIs\" (v1.20: on each 30x); MSC4402.",
    },
    Page {
        id: "wk.client.rtc",
        about: "The document announces calls (org.matrix.msc4143.rtc_foci) in another shape than clients know, or the \
                service it names does not answer at /healthz with a valid certificate.",
        peers: "Calls in Element Call do not start, or each participant ends up alone.",
        see: &[
            "curl -s https://example.com/.well-known/matrix/client",
            "curl -i https://matrix.example.com/livekit/jwt/healthz",
        ],
        fixes: &[
            ("vestibule.toml", "[rtc]\njwt = \"http://127.0.0.1:8091\"\nsfu = \"http://127.0.0.1:7880\""),
            ("nginx", "location /livekit/jwt/ { proxy_pass http://127.0.0.1:8091/; }"),
            ("Caddy", "handle_path /livekit/jwt/* { reverse_proxy 127.0.0.1:8091 }"),
        ],
        written: "MSC4143 and MSC4195; element-call, docs/self_hosting.md.",
    },
    Page {
        id: "wk.client.auth",
        about: "The login service of the document or of auth_metadata cannot be used: the two issuers differ (often \
                by a slash at the end), its discovery document is not reachable with CORS, or it does not offer \
                PKCE with S256.",
        peers: "Clients that log in by OAuth stop before the login page.",
        see: &[
            "curl -s https://matrix.example.com/_matrix/client/v1/auth_metadata",
            "curl -i https://account.example.com/.well-known/openid-configuration",
        ],
        fixes: &[
            ("Matrix Authentication Service (config.yaml)", "http:\n  issuer: https://account.example.com/"),
            ("vestibule.toml", "[mas]\nurl = \"http://127.0.0.1:8090\""),
        ],
        written: "Client-server API, GET /_matrix/client/v1/auth_metadata; MSC2965; RFC 8414; RFC 7636.",
    },
    Page {
        id: "wk.client.msc3575",
        about: "org.matrix.msc3575.proxy names a sliding sync proxy, which is retired: homeservers do it themselves.",
        peers: "Current clients ignore the key; old ones may prefer the proxy.",
        see: SHOW,
        fixes: &[("The document", "Remove the key org.matrix.msc3575.proxy, then stop the proxy.")],
        written: "MSC4186 replaces MSC3575.",
    },
    Page {
        id: "wk.support",
        about: "/.well-known/matrix/support tells other administrators and users whom to write to. It is missing, or \
                not in its form: contacts with a role and an address or a user ID, or a support_page.",
        peers: "They block first, as they find nobody to ask.",
        see: &["curl -i https://example.com/.well-known/matrix/support"],
        fixes: &[(
            "vestibule.toml",
            "[well_known]\nsupport = { contacts = [{ role = \"m.role.admin\", email_address = \"admin@example.com\" }] }",
        )],
        written: "Client-server API, GET /.well-known/matrix/support (v1.10); MSC1929.",
    },
    Page {
        id: "wk.policy",
        about: "/.well-known/matrix/policy_server is there and not in its form: an object public_keys with an ed25519 \
                key in unpadded base64.",
        peers: "Homeservers that use this policy server cannot check its signatures.",
        see: &["curl -i https://example.com/.well-known/matrix/policy_server"],
        fixes: &[("The document", "{\"public_keys\": {\"ed25519\": \"6yhHGKhCiXTSEN2ksjV7kX/N6rBQZ3Xb+M7LlC6NS+s\"}}")],
        written: "Client-server API, GET /.well-known/matrix/policy_server (v1.18); MSC4284.",
    },
    Page {
        id: "cors.cs",
        about: "The client API answers without Access-Control-Allow-Origin: *, on success or on errors. Mostly a \
                proxy answers in the homeserver's place, or removes the header.",
        peers: "Clients in a browser cannot read the answer and take the server for unreachable.",
        see: &["curl -i -H 'Origin: https://app.element.io' https://matrix.example.com/_matrix/client/versions"],
        fixes: &[
            ("nginx", "location /_matrix { proxy_pass http://127.0.0.1:8008; }   # passes the homeserver's header on"),
            ("Cloudflare", "No transform rule may remove Access-Control-Allow-Origin."),
        ],
        written: "Client-server API, \"Web Browser Clients\".",
    },
    Page {
        id: "cors.preflight",
        about: "OPTIONS, which browsers send first, is not answered with 2xx, or asks for a login.",
        peers: "Clients in a browser do not send the request at all.",
        see: &[
            "curl -i -X OPTIONS -H 'Origin: https://app.element.io' -H 'Access-Control-Request-Method: GET' \\\n    \
             https://matrix.example.com/_matrix/client/versions",
        ],
        fixes: &[
            ("nginx", "# let OPTIONS through: no limit_except and no auth_basic in location /_matrix"),
            ("Apache", "<Location \"/_matrix\">\n    # no AuthType here\n    Require all granted\n</Location>"),
            ("HAProxy", "# no http-request deny for METH_OPTIONS before the homeserver's backend"),
        ],
        written: "Client-server API, \"Web Browser Clients\"; Fetch standard, \"CORS-preflight fetch\".",
    },
    Page {
        id: "cors.dup",
        about: "Access-Control-Allow-Origin is there twice: the homeserver sends it, and a proxy adds its own.",
        peers: "Browsers refuse an answer that has the header twice, even with the same value.",
        see: &[
            "curl -si -H 'Origin: https://app.element.io' https://matrix.example.com/_matrix/client/versions | \\\n    grep -ic allow-origin",
        ],
        fixes: ONCE,
        written: "Fetch standard, \"CORS check\".",
    },
];
