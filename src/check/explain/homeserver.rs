//! The homeserver's own side, and the ways to it.

use super::Page;

/// The listener of Synapse, as it should be behind a proxy.
const LISTENER: &[(&str, &str)] = &[
    (
        "Synapse (homeserver.yaml)",
        "listeners:\n  - port: 8008\n    type: http\n    tls: false\n    x_forwarded: true\n    \
         bind_addresses: ['127.0.0.1']\n    resources:\n      - names: [client, federation]",
    ),
    ("tuwunel", "[global]\naddress = \"127.0.0.1\"\nport = 8008"),
    ("continuwuity", "[global]\naddress = \"127.0.0.1\"\nrequest_ip_source = \"x_forwarded_for\""),
];

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "hs.file",
        about: "The homeserver's configuration file is compared with vestibule's, if it can be read. It could not, or \
                only in part.",
        peers: "They are not concerned.",
        see: &["sudo -u vestibule head -1 /etc/matrix-synapse/homeserver.yaml"],
        fixes: &[("Rights", "setfacl -m u:vestibule:r /etc/matrix-synapse/homeserver.yaml")],
        written: "README, \"Checking a server\".",
    },
    Page {
        id: "hs.name",
        about: "The homeserver has another server_name than vestibule serves.",
        peers: "They refuse its keys, and it refuses their requests, as they name another destination.",
        see: &["grep '^server_name' /etc/matrix-synapse/homeserver.yaml /etc/vestibule/vestibule.toml"],
        fixes: &[("vestibule.toml", "server_name = \"example.com\"   # as in homeserver.yaml")],
        written: "Server-server API, \"Request Authentication\": destination.",
    },
    Page {
        id: "hs.upstream",
        about: "Nothing answers where vestibule forwards to: the homeserver does not run, listens elsewhere, or its \
                socket is not open to vestibule's user.",
        peers: "They wait while vestibule holds their requests, then get 502.",
        see: &["curl -i http://127.0.0.1:8008/health", "ss -ltnp | grep 8008"],
        fixes: &[
            ("vestibule.toml", "homeserver = \"http://127.0.0.1:8008\"   # or \"unix:/run/synapse/main.sock\""),
            ("systemd", "systemctl status matrix-synapse"),
        ],
        written: "README, homeserver.",
    },
    Page {
        id: "hs.forwarded",
        about: "The homeserver does not read the header with the client's address. To it everybody is 127.0.0.1.",
        peers: "One user's rate limit hits all users; bans by address do nothing.",
        see: &["grep -n x_forwarded /etc/matrix-synapse/homeserver.yaml"],
        fixes: LISTENER,
        written: "Synapse documentation, reverse_proxy.md: x_forwarded.",
    },
    Page {
        id: "hs.bind",
        about: "The homeserver listens on more than loopback. Who reaches it past vestibule can forge addresses and \
                use what vestibule closes.",
        peers: "They come by vestibule.",
        see: &["ss -ltnp | grep 8008"],
        fixes: LISTENER,
        written: "Synapse documentation, reverse_proxy.md.",
    },
    Page {
        id: "hs.base_url",
        about: "The homeserver believes in another public URL than clients are sent to.",
        peers: "Links in mails, single sign-on and downloads lead to the wrong place.",
        see: &["grep public_baseurl /etc/matrix-synapse/homeserver.yaml"],
        fixes: &[("Synapse (homeserver.yaml)", "public_baseurl: https://matrix.example.com/")],
        written: "Synapse documentation, public_baseurl.",
    },
    Page {
        id: "hs.upload",
        about: "vestibule refuses bodies that the homeserver would take.",
        peers: "Uploads fail with 413 below the size that the homeserver announces.",
        see: &["grep max_upload_size /etc/matrix-synapse/homeserver.yaml"],
        fixes: &[("vestibule.toml", "[limits]\nmax_body = \"none\"")],
        written: "Synapse documentation, max_upload_size; README, limits.max_body.",
    },
    Page {
        id: "hs.federation",
        about: "The homeserver is set up not to federate: its listener lacks the federation resource, or a switch is \
                off.",
        peers: "They get 404 to everything.",
        see: &["grep -nA3 resources /etc/matrix-synapse/homeserver.yaml"],
        fixes: &[
            ("Synapse (homeserver.yaml)", "resources:\n  - names: [client, federation]"),
            ("tuwunel, continuwuity", "[global]\nallow_federation = true"),
        ],
        written: "Synapse documentation, listeners.",
    },
    Page {
        id: "hs.well_known",
        about: "The homeserver has settings for the well-known documents. vestibule answers these itself, so they do \
                nothing.",
        peers: "They see vestibule's documents.",
        see: &["grep -n well_?known -iE /etc/matrix-synapse/homeserver.yaml"],
        fixes: &[("Synapse (homeserver.yaml)", "serve_server_wellknown: false")],
        written: "README, [well_known].",
    },
    Page {
        id: "route.mas",
        about: "The homeserver leaves logins to an authentication service (MAS), and login, logout and refresh are \
                sent to the homeserver all the same.",
        peers: "Clients without OAuth cannot log in.",
        see: &["curl -s https://matrix.example.com/_matrix/client/v3/login"],
        fixes: &[
            ("vestibule.toml", "[mas]\nurl = \"http://127.0.0.1:8080\""),
            (
                "nginx",
                "location ~ ^/_matrix/client/(api/v1|r0|v3|unstable)/(login|logout|refresh) {\n    proxy_pass http://127.0.0.1:8080;\n}",
            ),
        ],
        written: "Matrix Authentication Service documentation, setup/reverse-proxy.md.",
    },
    Page {
        id: "route.worker",
        about: "An endpoint of a worker pool does not answer, or does not know the paths that are sent to it.",
        peers: "Part of their requests get 404 or 502.",
        see: &["vestibule workers show", "curl -i http://127.0.0.1:8082/health"],
        fixes: &[
            ("vestibule.toml", "[[upstream]]\nname = \"sync\"\nendpoints = [\"http://127.0.0.1:8082\"]"),
            ("systemd", "systemctl status 'matrix-synapse-worker@*'"),
        ],
        written: "Synapse documentation, workers.md.",
    },
];
