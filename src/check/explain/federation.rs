//! Version, keys, and what answers.

use super::Page;

const VERSION: &[&str] = &["curl -i https://matrix.example.com/_matrix/federation/v1/version"];
const KEYS: &[&str] = &["curl -i https://matrix.example.com/_matrix/key/v2/server"];

/// Everything below /_matrix to the homeserver.
const FORWARD: &[(&str, &str)] = &[
    ("vestibule.toml", "homeserver = \"http://127.0.0.1:8008\""),
    (
        "nginx",
        "location /_matrix {\n    proxy_pass http://127.0.0.1:8008;   # nothing after the port\n    proxy_set_header Host $host:$server_port;\n}",
    ),
    ("Caddy", "reverse_proxy /_matrix/* 127.0.0.1:8008"),
    ("HAProxy", "use_backend synapse if { path_beg /_matrix }"),
    ("Apache", "AllowEncodedSlashes NoDecode\nProxyPass /_matrix http://127.0.0.1:8008/_matrix nocanon"),
    ("Traefik", "rule: Host(`matrix.example.com`) && PathPrefix(`/_matrix`)"),
];

/// Hosts in the shapes in which they arrive.
const HOSTS: &[(&str, &str)] = &[
    ("nginx", "server_name example.com matrix.example.com;   # ignores port and case by itself"),
    ("HAProxy", "acl matrix hdr(host),field(1,:),lower -m str matrix.example.com example.com"),
    ("Apache", "ServerName matrix.example.com\nServerAlias example.com"),
    ("Caddy", "matrix.example.com, matrix.example.com:8448, example.com:8448 {\n    reverse_proxy 127.0.0.1:8008\n}"),
    ("Traefik", "rule: Host(`matrix.example.com`) || Host(`example.com`)"),
];

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "fed.version",
        about: "The version of the homeserver, the simplest question of federation, is not answered with 200, \
                application/json and an object \"server\". What answers is mostly not the homeserver, or the \
                homeserver is down.",
        peers: "They need this answer for little; but what breaks it breaks the rest.",
        see: VERSION,
        fixes: FORWARD,
        written: "Server-server API, GET /_matrix/federation/v1/version.",
    },
    Page {
        id: "fed.keys",
        about: "The signing keys cannot be read: the answer is not 200, not application/json, a redirect, or not in \
                the form of a key document.",
        peers: "Without keys no signature of this server can be verified: nothing it sends is accepted.",
        see: KEYS,
        fixes: FORWARD,
        written: "Server-server API, GET /_matrix/key/v2/server.",
    },
    Page {
        id: "fed.keys.name",
        about: "The key document is that of another server name. The homeserver was set up with another server_name, \
                or the proxy forwards to the wrong homeserver. A difference in case counts.",
        peers: "They refuse the keys.",
        see: KEYS,
        fixes: &[
            ("Synapse (homeserver.yaml), before the first user", "server_name: example.com"),
            ("tuwunel, continuwuity", "server_name = \"example.com\""),
            (
                "vestibule.toml, several homeservers",
                "[[server]]\nserver_name = \"example.com\"\nhomeserver = \"http://127.0.0.1:8008\"",
            ),
        ],
        written: "Server-server API, \"Publishing Keys\": server_name is that of the homeserver.",
    },
    Page {
        id: "fed.keys.expired",
        about: "valid_until_ts lies in the past: the homeserver's clock is wrong, or something keeps an old copy of \
                the answer.",
        peers: "They refuse the keys for anything new.",
        see: KEYS,
        fixes: &[
            ("The homeserver's machine", "timedatectl set-ntp true; systemctl restart matrix-synapse"),
            ("Cloudflare", "Caching, Cache Rules: bypass cache when the path starts with /_matrix/"),
            ("nginx", "# no proxy_cache in location /_matrix"),
        ],
        written: "Server-server API, \"Publishing Keys\".",
    },
    Page {
        id: "fed.keys.ed25519",
        about: "There is no ed25519 key in verify_keys, or it is not 32 bytes of base64.",
        peers: "They have nothing to verify signatures with.",
        see: KEYS,
        fixes: &[(
            "Synapse",
            "cat /etc/matrix-synapse/homeserver.signing.key   # ed25519, a version, 43 letters of base64",
        )],
        written: "Server-server API, \"Publishing Keys\"; appendices, \"Signing Details\".",
    },
    Page {
        id: "fed.keys.sig",
        about: "The key document is not signed by its own keys, or the signature does not verify. Either something \
                rewrites the answer on its way, or the homeserver has another key file than it believes.",
        peers: "They refuse the keys.",
        see: KEYS,
        fixes: &[
            ("Cloudflare", "Turn off everything that rewrites answers, for /_matrix/."),
            ("nginx", "# no sub_filter in location /_matrix"),
            ("Synapse", "signing_key_path: /etc/matrix-synapse/homeserver.signing.key"),
        ],
        written: "Appendices, \"Signing JSON\" and \"Checking for a Signature\".",
    },
    Page {
        id: "fed.keys.canonical",
        about: "The document holds what signed JSON must not: a fraction, an exponent, an integer beyond 2^53, or the \
                same key twice. There is nothing then that a signature could be over.",
        peers: "They refuse the keys.",
        see: KEYS,
        fixes: &[("The homeserver", "Upgrade it; report it to its developers if that does not help.")],
        written: "Appendices, \"Canonical JSON\".",
    },
    Page {
        id: "fed.keys.soon",
        about: "The keys are valid for less than another hour. Peers must ask again at once.",
        peers: "They ask again and again, or find the keys expired when they need them.",
        see: KEYS,
        fixes: &[("Synapse (homeserver.yaml)", "key_refresh_interval: 1d")],
        written: "Server-server API, \"Publishing Keys\": not less than an hour ahead.",
    },
    Page {
        id: "fed.keys.far",
        about: "The keys claim to be valid for more than a week. That gains nothing.",
        peers: "They count at most seven days from now.",
        see: KEYS,
        fixes: &[("Synapse (homeserver.yaml)", "key_refresh_interval: 1d")],
        written: "Server-server API, \"Querying Keys Through Another Server\": the lesser of the two times.",
    },
    Page {
        id: "fed.keys.old",
        about: "A retired key in old_verify_keys has no time at which it expired, or a time in the future.",
        peers: "They cannot tell which old events it may still verify, and may refuse them all.",
        see: KEYS,
        fixes: &[(
            "Synapse (homeserver.yaml)",
            "old_signing_keys:\n  \"ed25519:a_old\": { key: \"BASE64\", expired_ts: 1735689600000 }",
        )],
        written: "Server-server API, \"Publishing Keys\": expired_ts is required.",
    },
    Page {
        id: "fed.keys.same",
        about: "The addresses publish different keys under one name: one of them is another homeserver.",
        peers: "They take the keys of whichever address they met, and refuse what the other signs.",
        see: &[
            "for a in $(dig +short matrix.example.com A); do curl -s --resolve matrix.example.com:443:$a \\\n    https://matrix.example.com/_matrix/key/v2/server; echo; done",
        ],
        fixes: &[("Zone file", "Remove the address of the other server.")],
        written: "Server-server API, \"Publishing Keys\".",
    },
    Page {
        id: "fed.keys.pinned",
        about: "The signing key is another than at the last check. If nobody changed it, the homeserver was \
                reinstalled without its key file, or somebody else answers.",
        peers: "They accept new events under the new key, and can verify old ones only while the old key stands in \
                old_verify_keys.",
        see: KEYS,
        fixes: &[
            ("Synapse", "Restore homeserver.signing.key from the backup and restart."),
            ("The change was meant", "Publish the old key under old_signing_keys in homeserver.yaml."),
        ],
        written: "Server-server API, \"Publishing Keys\", old_verify_keys.",
    },
    Page {
        id: "fed.host",
        about: "The answer depends on how the Host header is written. Peers send host:port after a delegation with a \
                port, the bare host otherwise, in the case in which it was configured.",
        peers: "Those whose spelling the proxy does not know get its default site: 404, 421 or a page.",
        see: &[
            "curl -i -H 'Host: matrix.example.com:443' https://matrix.example.com/_matrix/federation/v1/version",
            "curl -i -H 'Host: MATRIX.example.com' https://matrix.example.com/_matrix/federation/v1/version",
        ],
        fixes: HOSTS,
        written: "RFC 9110, 7.2 and 4.2.3; server-server API, \"Resolving server names\" (the Host of each step).",
    },
    Page {
        id: "fed.h2",
        about: "Over HTTP/2 the answers are not those of HTTP/1.1: a route or a rule is there for one of them only.",
        peers: "Synapse speaks HTTP/1.1; those built on Rust or Go prefer HTTP/2.",
        see: &[
            "curl --http1.1 -i https://matrix.example.com/_matrix/federation/v1/version",
            "curl --http2 -i https://matrix.example.com/_matrix/federation/v1/version",
        ],
        fixes: FORWARD,
        written: "RFC 9113, 8: the same semantics.",
    },
    Page {
        id: "fed.404",
        about: "A path that no homeserver knows is not answered by the homeserver: a page of the proxy stands in for \
                it. Peers tell by the error whether an endpoint is unknown or the server broken.",
        peers: "They learn from M_UNRECOGNIZED to use an older endpoint. From HTML they learn nothing.",
        see: &["curl -i https://matrix.example.com/_matrix/federation/v1/no_such_endpoint"],
        fixes: FORWARD,
        written: "Server-server API, \"Unsupported endpoints\": 404 with M_UNRECOGNIZED.",
    },
    Page {
        id: "fed.405",
        about: "A known path with the wrong method is not answered with 405 by the homeserver.",
        peers: "They take what they get for a fault of the server.",
        see: &["curl -i -X POST https://matrix.example.com/_matrix/federation/v1/version"],
        fixes: FORWARD,
        written: "Server-server API, \"Unsupported endpoints\": 405 with M_UNRECOGNIZED.",
    },
    Page {
        id: "fed.unsigned",
        about: "An unsigned request for what needs a signature is not refused by the homeserver with a Matrix error. \
                Something in front answers: a login, a cache, a firewall.",
        peers: "Their signed requests meet the same thing.",
        see: &["curl -i 'https://matrix.example.com/_matrix/federation/v1/query/profile?user_id=%40x%3Aexample.com'"],
        fixes: FORWARD,
        written: "Server-server API, \"Request Authentication\".",
    },
];
