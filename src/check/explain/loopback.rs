//! What comes in by the way that peers take, seen from both ends.

use super::Page;

/// The check that sends a request round and compares.
const PROOF: &[&str] = &["vestibule check   # on the server itself, while vestibule runs"];

/// TLS passed on unopened.
const PASS: &[(&str, &str)] = &[
    ("nginx (stream)", "stream {\n    server { listen 443; proxy_pass 10.0.0.2:443; }\n}"),
    ("HAProxy", "frontend matrix\n    mode tcp\n    bind :443\n    default_backend vestibule"),
    (
        "Traefik",
        "tcp:\n  routers:\n    matrix:\n      rule: HostSNI(`matrix.example.com`)\n      tls: { passthrough: true }",
    ),
    ("Cloudflare", "Set the record to DNS only."),
];

const HOST: &[(&str, &str)] = &[
    ("nginx", "proxy_set_header Host $http_host;"),
    ("Apache", "ProxyPreserveHost On"),
    ("Caddy", "# the default of reverse_proxy; remove header_up Host"),
    ("HAProxy", "# the default; remove http-request set-header Host"),
    ("Traefik", "passHostHeader: true   # the default"),
];

const PATH: &[(&str, &str)] = &[
    ("nginx", "proxy_pass https://10.0.0.2:443;   # nothing after the port"),
    ("Apache", "AllowEncodedSlashes NoDecode\nProxyPass / https://10.0.0.2/ nocanon"),
    (
        "Traefik 3.6.4 and newer",
        "encodedCharacters:   # at the entry point, under http\n  allowEncodedSlash: true\n  allowEncodedHash: true",
    ),
    ("Cloudflare", "Rules, Settings: turn off URL normalization."),
    ("HAProxy", "# no http-request normalize-uri, no set-path"),
];

const METHODS: &[(&str, &str)] = &[
    ("nginx", "# no limit_except in location /_matrix"),
    ("Apache", "# no <Limit> and no AllowMethods for /_matrix"),
    (
        "ModSecurity",
        "SecAction \"id:1,phase:1,nolog,pass,setvar:'tx.allowed_methods=GET HEAD POST PUT DELETE OPTIONS'\"",
    ),
];

const WAF: &[(&str, &str)] = &[
    ("Cloudflare", "Security rules, Skip all, when:\n(starts_with(http.request.uri.path, \"/_matrix/\"))"),
    ("nginx with ModSecurity", "location /_matrix { modsecurity off; }"),
];

const CLIENT: &[(&str, &str)] = &[
    ("vestibule.toml, a proxy in front that speaks HTTP", "[trusted_proxies]\nfrom = [\"10.0.0.1\"]"),
    ("vestibule.toml, one that passes TLS on", "[listen]\nproxy_protocol_from = [\"10.0.0.1\"]"),
    ("nginx", "proxy_set_header X-Forwarded-For $remote_addr;   # not $proxy_add_x_forwarded_for"),
    (
        "HAProxy",
        "http-request set-header X-Forwarded-For %[src]   # not option forwardfor; or send-proxy-v2 on the server",
    ),
    ("Apache", "# mod_proxy then adds the one address\nRequestHeader unset X-Forwarded-For"),
];

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "loop.path",
        about: "A request to the public address arrived here with another path or query than it was sent with. What \
                stands in between decodes, merges or rewrites.",
        peers: "Their requests end as 401 \"Invalid signature\" wherever the path holds what is changed.",
        see: PROOF,
        fixes: PATH,
        written: "Server-server API, \"Request Authentication\": the uri as sent.",
    },
    Page {
        id: "loop.host",
        about: "The Host header arrived changed: what stands in between puts its own name or the address of this \
                server there.",
        peers: "They end up at the wrong site, or get 404 or 421.",
        see: PROOF,
        fixes: HOST,
        written: "RFC 9110, 7.2; Synapse documentation, reverse_proxy.md.",
    },
    Page {
        id: "loop.hostport",
        about: "The Host header arrived without its port, or in another case.",
        peers: "Federation goes on. Single sign-on and other redirects lead to the wrong port.",
        see: PROOF,
        fixes: HOST,
        written: "RFC 9110, 7.2; Synapse documentation, reverse_proxy.md ($host:$server_port).",
    },
    Page {
        id: "loop.put",
        about: "A PUT did not arrive. Firewalls for web applications refuse methods that browsers seldom use.",
        peers: "Transactions are sent with PUT: nothing from other servers arrives.",
        see: PROOF,
        fixes: METHODS,
        written: "Server-server API, \"Transactions\".",
    },
    Page {
        id: "loop.body",
        about: "A body arrived changed or cut.",
        peers: "Signatures cover the body: 401 \"Invalid signature\".",
        see: PROOF,
        fixes: PASS,
        written: "Server-server API, \"Request Authentication\": content.",
    },
    Page {
        id: "loop.agent",
        about: "A request was refused for its User-Agent: peers are called Synapse, Go-http-client and the like, and \
                bot rules take them for scrapers.",
        peers: "Those with such a name are shut out.",
        see: &["curl -i -A 'Go-http-client/1.1' https://matrix.example.com/_matrix/federation/v1/version"],
        fixes: WAF,
        written: "Nothing in the specification allows it; matrix-federation-tester issue 144.",
    },
    Page {
        id: "loop.header",
        about: "A request with a header line of 7 KiB did not arrive.",
        peers: "Clients with long tokens or many cookies get 400 or 431.",
        see: PROOF,
        fixes: &[
            ("nginx", "large_client_header_buffers 4 16k;"),
            ("HAProxy", "global\n    tune.bufsize 32768"),
            ("Apache", "LimitRequestFieldSize 16380"),
        ],
        written: "RFC 9110, 5.4: no limit is named; RFC 6585, 5 (431).",
    },
    Page {
        id: "loop.client",
        about: "All requests seem to come from one address, that of what stands in front. Limits for each address then \
                hit everybody together, and logs tell nothing.",
        peers: "They share one budget, and are refused with 429 for what others do.",
        see: PROOF,
        fixes: CLIENT,
        written: "Synapse documentation, reverse_proxy.md; HAProxy, proxy-protocol.txt.",
    },
    Page {
        id: "loop.tls",
        about: "Something in front ends TLS: the certificate that the world sees is not the one that vestibule \
                serves. It may be meant so (a CDN); then its certificate, its limits and its rules are what counts.",
        peers: "They talk to what stands in front.",
        see: PROOF,
        fixes: PASS,
        written: "RFC 8446 ends at whoever has the key.",
    },
    Page {
        id: "loop.other",
        about: "An address of the server's name is answered by something that does not lead to this process: another \
                machine, an old web server, the router.",
        peers: "Those that pick this address end up there.",
        see: &["dig +short matrix.example.com A matrix.example.com AAAA", "ip address"],
        fixes: &[("Zone file", "Remove the address, if it is not a machine of yours.")],
        written: "Server-server API, \"Resolving server names\".",
    },
    Page {
        id: "loop.unknown",
        about: "From here the public address cannot be reached, or leads to the router: most home routers do not turn \
                around what comes from inside (hairpin NAT). So the proof could not be made. That says nothing about \
                what peers see.",
        peers: "They come from outside and are not concerned.",
        see: &["vestibule check example.com   # on another machine, outside"],
        fixes: &[("Router", "Turn on NAT loopback, also called hairpin NAT or NAT reflection.")],
        written: "RFC 4787, 6 (hairpinning).",
    },
    Page {
        id: "loop.process",
        about: "The proof is made by the vestibule that runs: it makes a secret path that only its own listeners \
                answer, and fetches it by the public address. It does not run, or its admin socket is not open to \
                whoever runs the check.",
        peers: "They are not concerned.",
        see: &["vestibule status", "ls -l /run/vestibule/admin.sock"],
        fixes: &[("systemd", "systemctl enable --now vestibule; sudo vestibule check")],
        written: "vestibule(1), FILES.",
    },
    Page {
        id: "hdr.auth",
        about: "Authorization lines did not arrive as sent. A server with two keys sends two X-Matrix lines; what \
                joins them, drops one or writes the quotes anew breaks the signature.",
        peers: "401, for those with several keys or for all.",
        see: PROOF,
        fixes: &[
            ("Apache", "# no RequestHeader for Authorization"),
            ("nginx", "# no proxy_set_header Authorization in location /_matrix"),
            ("HAProxy", "# no http-request replace-header Authorization"),
            ("Traefik", "# no basicAuth and no forwardAuth on the router of /_matrix"),
        ],
        written: "Server-server API, \"Request Authentication\"; RFC 9110, 5.3 (lines of a field that is no list stay apart).",
    },
    Page {
        id: "hdr.xff",
        about: "What a client writes into X-Forwarded-For reaches the homeserver. Synapse takes the first entry of \
                the header, so anybody can choose an address.",
        peers: "Whoever is limited or banned by address gets round it.",
        see: PROOF,
        fixes: CLIENT,
        written: "RFC 7239, 8.1; Synapse issue 9471.",
    },
    Page {
        id: "hdr.proto",
        about: "The homeserver is not told, once and rightly, that the request came by https.",
        peers: "Redirects lead to http, and single sign-on goes round in circles.",
        see: PROOF,
        fixes: &[
            ("nginx", "proxy_set_header X-Forwarded-Proto $scheme;"),
            ("HAProxy", "http-request set-header X-Forwarded-Proto https"),
        ],
        written: "Synapse documentation, reverse_proxy.md.",
    },
    Page {
        id: "http.longpoll",
        about: "A connection without a byte for a minute was cut. Clients wait half a minute and longer for events, \
                and joining a large room takes minutes.",
        peers: "504 and errors at 30 or 60 seconds; joins that never end.",
        see: &["vestibule check --deep"],
        fixes: &[
            ("nginx", "proxy_read_timeout 600s;\nproxy_send_timeout 600s;"),
            ("HAProxy", "timeout server 600s\ntimeout client 600s"),
            ("Apache", "ProxyTimeout 600"),
            (
                "Traefik",
                "respondingTimeouts:   # at the entry point, under transport\n  readTimeout: 0s\n  writeTimeout: 0s",
            ),
            ("Caddy", "# no limit by default; remove response_header_timeout and read_timeout"),
            ("Cloudflare", "Its proxy cuts after 100 seconds; set the record to DNS only."),
        ],
        written: "Client-server API, GET /_matrix/client/v3/sync (timeout); Synapse waits 600 s for state of a room.",
    },
];
