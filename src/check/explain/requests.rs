//! What must arrive unchanged, and what must not be reachable.

use super::Page;

/// Bytes of the path, untouched.
const PATH: &[(&str, &str)] = &[
    (
        "nginx",
        "location /_matrix {\n    proxy_pass http://127.0.0.1:8008;   # nothing after the port, not even a slash\n}",
    ),
    ("Apache", "AllowEncodedSlashes NoDecode\nProxyPass /_matrix http://127.0.0.1:8008/_matrix nocanon"),
    (
        "Traefik 3.6.4 and newer",
        "entryPoints:\n  websecure:\n    http:\n      encodedCharacters:\n        allowEncodedSlash: true\n        allowEncodedHash: true\n        allowEncodedSemicolon: true\n        allowEncodedPercent: true\n        allowEncodedQuestionMark: true\n        allowEncodedBackSlash: true",
    ),
    ("Caddy", "reverse_proxy /_matrix/* 127.0.0.1:8008   # no rewrite, no uri directive"),
    ("HAProxy", "# no http-request normalize-uri and no set-path for /_matrix"),
    ("Cloudflare", "Rules, Settings: turn off URL normalization for incoming URLs and to the origin."),
];

/// Two slashes and dots, untouched.
const CLEANING: &[(&str, &str)] = &[
    ("nginx", "merge_slashes off;\nproxy_pass http://127.0.0.1:8008;   # nothing after the port"),
    ("Apache", "MergeSlashes Off\nProxyPass /_matrix http://127.0.0.1:8008/_matrix nocanon"),
    ("HAProxy", "# no http-request normalize-uri path-merge-slashes or path-strip-dotdot"),
    ("Traefik", "entryPoints:\n  websecure:\n    http:\n      sanitizePath: false"),
    ("Cloudflare", "Rules, Settings: turn off URL normalization."),
];

/// Bodies up to the homeserver's own limit.
const BODIES: &[(&str, &str)] = &[
    ("vestibule.toml", "[limits]\nmax_body = \"none\"   # the default"),
    ("nginx", "client_max_body_size 50m;\nproxy_request_buffering off;"),
    ("Apache", "LimitRequestBody 52428800"),
    ("HAProxy", "# has no limit of its own; look for http-request deny with req.body_size"),
    ("Traefik", "# remove the buffering middleware, or set maxRequestBodyBytes: 52428800"),
    ("Caddy", "request_body {\n    max_size 50MB\n}"),
    ("Cloudflare", "Its free plan ends uploads at 100 MB; for more, set the record to DNS only."),
];

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "uri.encslash",
        about: "An encoded slash (%2F) in the path is decoded, or the request is refused for it. Event, room and key \
                IDs contain slashes, and the signature of a request covers its path as it was sent.",
        peers: "Their requests end as 401 \"Invalid signature\" or 404; joining a room by some aliases hangs for ever. \
                The public testers do not see it.",
        see: &["curl -i --path-as-is 'https://matrix.example.com/_matrix/federation/v1/event/%24x%2Fy'"],
        fixes: PATH,
        written: "Server-server API, \"Request Authentication\": the uri as sent; RFC 3986, 2.2: %2F is not a slash.",
    },
    Page {
        id: "uri.chars",
        about: "One of the encoded characters # ; % ? and \\ does not arrive as it was sent. Room aliases begin with \
                #, event IDs of old rooms and user names hold the others.",
        peers: "\"Room address already in use\", joins that never end, 401 \"Invalid signature\".",
        see: &["curl -i --path-as-is 'https://matrix.example.com/_matrix/federation/v1/event/%23%3B%25%3F%5C'"],
        fixes: PATH,
        written: "Server-server API, \"Request Authentication\"; RFC 3986, 2.4.",
    },
    Page {
        id: "uri.dblslash",
        about: "Two slashes in a path become one on the way. A homeserver answers such a path with 404, so a version \
                that comes back shows that somebody cleaned it.",
        peers: "Requests whose path holds an empty part end as 401 \"Invalid signature\".",
        see: &["curl -i --path-as-is https://matrix.example.com/_matrix/federation/v1//version"],
        fixes: CLEANING,
        written: "Server-server API, \"Request Authentication\"; RFC 3986, 3.3: empty segments are segments.",
    },
    Page {
        id: "uri.dotseg",
        about: "Dot segments in a path are resolved on the way. That changes what the signature covers, and it can \
                lead past rules that were made for a path.",
        peers: "Requests with such a path end as 401 \"Invalid signature\".",
        see: &["curl -i --path-as-is https://matrix.example.com/_matrix/federation/v1/x/../version"],
        fixes: CLEANING,
        written: "Server-server API, \"Request Authentication\".",
    },
    Page {
        id: "uri.signed",
        about: "A request that was signed with the server's own key, sent in by the way that peers take, was answered \
                401: what arrived was not what was signed. Or the key is another one than the homeserver uses.",
        peers: "Whatever they send is refused the same way: nothing from other servers arrives.",
        see: &["vestibule check example.com --signing-key /etc/matrix-synapse/homeserver.signing.key"],
        fixes: PATH,
        written: "Server-server API, \"Request Authentication\".",
    },
    Page {
        id: "body.limit",
        about: "A transaction of the largest size that homeservers send, 12.5 MiB, is refused by its length. nginx \
                takes 1 MiB unless told otherwise.",
        peers: "They send the same transaction again and again, and nothing after it arrives.",
        see: &[
            "curl -i -X PUT -H 'Expect: 100-continue' -H 'Content-Length: 13107200' -m 5 \\\n    https://matrix.example.com/_matrix/federation/v1/send/x",
        ],
        fixes: BODIES,
        written: "Server-server API, \"Transactions\": 50 PDUs of 65,536 bytes and 100 EDUs; Synapse, 200 x 65,536 bytes.",
    },
    Page {
        id: "body.media",
        about: "An upload that the homeserver would take is refused on the way, or ends early.",
        peers: "Clients say that the file is too large, or just fail.",
        see: &[
            "curl -i -X POST -H 'Expect: 100-continue' -H 'Content-Length: 52428800' -m 5 \\\n    https://matrix.example.com/_matrix/media/v3/upload",
        ],
        fixes: BODIES,
        written: "Client-server API, GET /_matrix/client/v1/media/config (m.upload.size).",
    },
    Page {
        id: "expose.admin",
        about: "The admin API of the homeserver answers to the internet. A token guards it, and a stolen token of an \
                administrator is then enough.",
        peers: "They never use it.",
        see: &["curl -i https://matrix.example.com/_synapse/admin/v1/server_version"],
        fixes: &[
            ("vestibule.toml", "[limits]\nadmin_allow = []   # the default: nobody"),
            ("nginx", "location ^~ /_synapse/admin { return 403; }"),
            ("Caddy", "respond /_synapse/admin/* 403"),
            ("HAProxy", "http-request deny if { path_beg /_synapse/admin }"),
            ("Apache", "<Location \"/_synapse/admin\">\n    Require all denied\n</Location>"),
        ],
        written: "Synapse documentation, reverse_proxy.md: endpoints not to be exposed.",
    },
    Page {
        id: "expose.metrics",
        about: "The metrics of the homeserver can be read by everybody. They tell how many users and rooms there are, \
                with which servers it speaks, and how it fares.",
        peers: "They never use it.",
        see: &["curl -s https://matrix.example.com/_synapse/metrics | head"],
        fixes: &[
            (
                "Synapse (homeserver.yaml)",
                "listeners:\n  - port: 9000\n    type: metrics\n    bind_addresses: ['127.0.0.1']",
            ),
            ("nginx", "location ^~ /_synapse/metrics { return 403; }"),
            ("Caddy", "respond /_synapse/metrics 403"),
        ],
        written: "Synapse documentation, metrics-howto.md.",
    },
    Page {
        id: "expose.replication",
        about: "The endpoints by which the homeserver's processes talk to each other are open. Whoever reaches them \
                can act as one of them, unless a secret is set.",
        peers: "They never use it.",
        see: &["curl -i https://matrix.example.com/_synapse/replication/"],
        fixes: &[
            ("Synapse (homeserver.yaml)", "worker_replication_secret: \"A LONG RANDOM TEXT\""),
            ("nginx", "location ^~ /_synapse/replication { return 403; }"),
            ("Caddy", "respond /_synapse/replication/* 403"),
        ],
        written: "Synapse documentation, workers.md: never expose the replication listener.",
    },
    Page {
        id: "expose.mas",
        about: "The endpoints for the authentication service answer to the internet. A shared secret guards them.",
        peers: "They never use it.",
        see: &["curl -i https://matrix.example.com/_synapse/mas/"],
        fixes: &[("nginx", "location ^~ /_synapse/mas { return 403; }"), ("Caddy", "respond /_synapse/mas/* 403")],
        written: "Matrix Authentication Service documentation, setup/homeserver.md.",
    },
    Page {
        id: "waf",
        about: "A firewall for web applications, a bot rule or a challenge page stands before /_matrix: the answer is \
                HTML, or carries the marks of such a service.",
        peers: "They solve no captcha. Whether they get through depends on their User-Agent, address and the hour.",
        see: &["curl -i -A 'Synapse/1.157.1' https://matrix.example.com/_matrix/key/v2/server"],
        fixes: &[
            (
                "Cloudflare",
                "Security rules, Skip all, when:\n(starts_with(http.request.uri.path, \"/_matrix/\") or \\\nstarts_with(http.request.uri.path, \"/.well-known/matrix/\"))",
            ),
            ("nginx with ModSecurity", "location /_matrix { modsecurity off; proxy_pass http://127.0.0.1:8008; }"),
            ("Anubis, go-away and the like", "Exempt /_matrix/ and /.well-known/matrix/ by path."),
        ],
        written: "Nothing in the specification allows it; matrix-federation-tester issue 149.",
    },
];
