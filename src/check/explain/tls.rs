//! Connections and handshakes.

use super::Page;

/// Which versions are spoken.
const VERSIONS: &[(&str, &str)] = &[
    ("nginx", "ssl_protocols TLSv1.2 TLSv1.3;"),
    ("Apache", "SSLProtocol -all +TLSv1.2 +TLSv1.3"),
    ("HAProxy", "ssl-default-bind-options ssl-min-ver TLSv1.2"),
    ("Caddy", "# the default; tls { protocols tls1.2 tls1.3 }"),
    ("Traefik", "tls:\n  options:\n    default:\n      minVersion: VersionTLS12"),
    ("Cloudflare", "SSL/TLS, Edge Certificates: Minimum TLS Version 1.2, TLS 1.3 on"),
];

/// Which suites are.
const SUITES: &[(&str, &str)] = &[
    ("nginx", "ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;"),
    ("Apache", "SSLCipherSuite ECDHE+AESGCM:ECDHE+CHACHA20"),
    ("HAProxy", "ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20"),
    ("Caddy", "# remove the ciphers line from tls { }; the defaults are good"),
    ("Traefik", "# remove cipherSuites from tls.options; the defaults are good"),
];

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "tcp.connect",
        about: "An address that peers may pick does not accept connections within five seconds: a firewall, a missing \
                port forwarding, a service that listens on loopback or on one family only, or an address that is no \
                longer yours.",
        peers: "They pick an address, wait, and may or may not try the next. Then they back off for ten minutes, and \
                twice as long each time.",
        see: &["nc -vz -w 5 192.0.2.7 443", "ss -ltnp | grep -E ':(443|8448) '"],
        fixes: &[
            ("Firewall", "ufw allow 443/tcp; ufw allow 8448/tcp"),
            ("nginx", "listen 443 ssl;\nlisten [::]:443 ssl;\nlisten 8448 ssl;\nlisten [::]:8448 ssl;"),
            ("Docker", "docker run -p 443:443 -p 8448:8448 ..."),
            ("Cloudflare", "Its proxy does not forward 8448: delegate to port 443, or set the record to DNS only."),
            ("Zone file", "Remove the AAAA record if the machine has no IPv6."),
        ],
        written: "Server-server API, \"Resolving server names\".",
    },
    Page {
        id: "tls.handshake",
        about: "There is a connection, and no TLS on it: the port speaks plain HTTP, the server has no certificate \
                for the name and refuses, or something in between closes the connection.",
        peers: "They cannot talk to the server.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com </dev/null",
            "curl -i http://192.0.2.7:443/",
        ],
        fixes: &[
            ("nginx", "listen 8448 ssl;   # not only listen 8448"),
            ("Apache", "<VirtualHost *:8448>\n    SSLEngine on\n</VirtualHost>"),
            ("HAProxy", "bind :8448 ssl crt /etc/haproxy/certs/"),
            ("Traefik", "tls: {}   # on the router of the entry point for 8448"),
        ],
        written: "Server-server API, \"TLS\": HTTPS only.",
    },
    Page {
        id: "tls.v12",
        about: "The server refuses TLS 1.2. The specification names no minimum, and many peers and appliances have no \
                1.3.",
        peers: "Those without TLS 1.3 cannot connect.",
        see: &["openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com -tls1_2 </dev/null"],
        fixes: VERSIONS,
        written: "RFC 5246; server-server API, \"TLS\".",
    },
    Page {
        id: "tls.v13",
        about: "The server refuses TLS 1.3, which is faster by a round trip and leaves out what was weak.",
        peers: "They connect with TLS 1.2.",
        see: &["openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com -tls1_3 </dev/null"],
        fixes: VERSIONS,
        written: "RFC 8446; RFC 9325.",
    },
    Page {
        id: "tls.legacy",
        about: "The server still speaks SSL 3.0, TLS 1.0 or TLS 1.1, all broken or deprecated.",
        peers: "None needs them: whoever speaks Matrix speaks TLS 1.2.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com \\\n    -tls1_1 -cipher DEFAULT@SECLEVEL=0 </dev/null",
        ],
        fixes: VERSIONS,
        written: "RFC 8996 and RFC 7568.",
    },
    Page {
        id: "tls.weak",
        about: "The server accepts suites with RC4, 3DES, CBC with SHA-1, export keys, without encryption or without \
                a certificate.",
        peers: "None needs them.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com \\\n    -tls1_2 -cipher 'ECDHE+AES+SHA1:@SECLEVEL=0' </dev/null",
        ],
        fixes: SUITES,
        written: "RFC 9325, 4.1; RFC 7465 (RC4).",
    },
    Page {
        id: "tls.alpn",
        about: "HTTP/1.1 is not to be had: the server demands ALPN, insists on h2, or chooses h2 for a client that \
                did not offer it. Synapse speaks HTTP/1.1 and sends no ALPN.",
        peers: "Synapse, and everything built on Twisted, cannot talk to the server.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com -alpn http/1.1 </dev/null | grep -i alpn",
            "curl --http1.1 -i https://matrix.example.com/_matrix/federation/v1/version",
        ],
        fixes: &[
            ("Apache", "Protocols h2 http/1.1"),
            ("HAProxy", "bind :443 ssl crt /etc/haproxy/certs/ alpn h2,http/1.1"),
            ("Caddy", "servers {\n    protocols h1 h2 h3\n}"),
            ("Traefik", "alpnProtocols: [h2, http/1.1]   # in tls.options, if it is set at all"),
        ],
        written: "RFC 7301; server-server API, \"API standards\": HTTP.",
    },
    Page {
        id: "tls.nosni",
        about: "A client that sends no server name is shown a certificate for something else, or none. That is what \
                clients do that know only an address.",
        peers: "Those of a server with a DNS name send SNI. Old clients and probes of load balancers do not.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -noservername </dev/null | \\\n    openssl x509 -noout -subject",
        ],
        fixes: &[
            ("vestibule.toml", "[tls]\ndefault_certificate = \"server_name\"   # the default"),
            ("nginx", "listen 443 ssl default_server;"),
            ("Caddy", "{\n    default_sni matrix.example.com\n}"),
            ("HAProxy", "bind :443 ssl crt /etc/haproxy/certs/matrix.example.com.pem crt /etc/haproxy/certs/"),
        ],
        written: "RFC 6066, 3; server-server API, \"TLS\": no SNI for IP addresses.",
    },
    Page {
        id: "tls.badsni",
        about: "This is what happens when a client asks for a name that the server does not have. The clean answers \
                are an alert, or a certificate that does not fit; neither matters to federation.",
        peers: "They ask for the right name.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername nobody.invalid </dev/null | \\\n    openssl x509 -noout -subject",
        ],
        fixes: &[
            ("nginx", "server {\n    listen 443 ssl default_server;\n    ssl_reject_handshake on;\n}"),
            ("HAProxy", "bind :443 ssl crt /etc/haproxy/certs/ strict-sni"),
        ],
        written: "RFC 6066, 3 (unrecognized_name).",
    },
];
