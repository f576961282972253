//! Certificates.

use super::Page;

/// How to see a chain.
const CHAIN: &[&str] =
    &["openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com -showcerts </dev/null"];

/// How to see a certificate.
const LEAF: &[&str] =
    &["openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com </dev/null 2>/dev/null | \\\n    \
     openssl x509 -noout -subject -issuer -dates -ext subjectAltName"];

/// The full chain in the usual servers.
const FULL_CHAIN: &[(&str, &str)] = &[
    (
        "vestibule.toml",
        "[[tls.certificates]]\nchain = \"/etc/letsencrypt/live/example.com/fullchain.pem\"\n\
         key = \"/etc/letsencrypt/live/example.com/privkey.pem\"",
    ),
    (
        "nginx",
        "ssl_certificate     /etc/letsencrypt/live/example.com/fullchain.pem;\nssl_certificate_key /etc/letsencrypt/live/example.com/privkey.pem;",
    ),
    ("Apache", "SSLCertificateFile /etc/letsencrypt/live/example.com/fullchain.pem"),
    (
        "HAProxy",
        "# one file for crt: first the chain, then the key\ncat fullchain.pem privkey.pem > /etc/haproxy/certs/example.com.pem",
    ),
    ("Traefik", "tls:\n  certificates:\n    - certFile: /certs/fullchain.pem\n      keyFile: /certs/privkey.pem"),
    ("Synapse (tls: true)", "tls_certificate_path: /etc/letsencrypt/live/example.com/fullchain.pem"),
];

/// A new certificate for the right names.
const REISSUE: &[(&str, &str)] = &[
    ("vestibule", "vestibule certs renew matrix.example.com"),
    ("certbot", "certbot certonly --cert-name example.com -d example.com -d matrix.example.com"),
    ("Caddy", "example.com, matrix.example.com {\n    # a name in the address of a site gets a certificate\n}"),
    ("Traefik", "rule: Host(`matrix.example.com`)   # and tls.certResolver on the same router"),
];

/// A renewed certificate that is not served yet.
const RELOAD: &[(&str, &str)] = &[
    ("vestibule", "vestibule certs list; vestibule certs renew"),
    ("certbot", "certbot renew --deploy-hook 'systemctl reload nginx'"),
    ("nginx", "nginx -s reload"),
    ("HAProxy", "cat fullchain.pem privkey.pem > /etc/haproxy/certs/example.com.pem; systemctl reload haproxy"),
    ("Apache", "apachectl graceful"),
    ("Synapse (tls: true)", "systemctl reload matrix-synapse"),
];

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "tls.name",
        about: "The certificate covers other names than the one that the discovery step asks for: the delegated host \
                after a delegation, else the server name itself. It is never the target of an SRV record, as DNS \
                proves nothing. A wildcard stands for one label: *.example.com covers matrix.example.com and not \
                example.com.",
        peers: "They close the connection.",
        see: LEAF,
        fixes: REISSUE,
        written: "Server-server API, \"Resolving server names\" (each step names the certificate); RFC 6125.",
    },
    Page {
        id: "tls.cnonly",
        about: "The certificate has its name in the subject's common name and nowhere else. That has not counted for \
                years.",
        peers: "They close the connection as if the certificate had no name.",
        see: LEAF,
        fixes: &[
            (
                "Own CA",
                "openssl req -new -key key.pem -subj / -addext 'subjectAltName=DNS:matrix.example.com' -out csr.pem",
            ),
            ("Public CA", "Order it anew; every public CA writes subjectAltName."),
        ],
        written: "RFC 6125, 6.4.4; RFC 9525, 4.1.",
    },
    Page {
        id: "tls.selfsigned",
        about: "The certificate is its own issuer. It is what a package or a first start makes so that there is \
                something; nobody trusts it.",
        peers: "They close the connection.",
        see: CHAIN,
        fixes: &[
            ("vestibule.toml", "[tls]\nissuer = \"acme\"   # the default"),
            ("certbot", "certbot certonly -d example.com -d matrix.example.com"),
            ("Synapse as a peer in a closed federation", "federation_custom_ca_list:\n  - /etc/ssl/private-ca.pem"),
        ],
        written: "Server-server API, \"TLS\": a certificate from a known CA.",
    },
    Page {
        id: "tls.untrusted",
        about: "The chain is complete, and its root is not among those that systems trust: a private CA, the staging \
                directory of a public one, or a CA that was thrown out.",
        peers: "They close the connection, except those that were given this root.",
        see: CHAIN,
        fixes: &[
            ("vestibule.toml", "[acme]\ndirectory = \"letsencrypt\"   # not letsencrypt-staging"),
            ("Caddy", "# remove acme_ca with the staging URL, and tls internal"),
            ("A closed federation", "vestibule check --private --ca-file root.pem"),
        ],
        written: "Server-server API, \"TLS\".",
    },
    Page {
        id: "tls.roots",
        about: "The chain leads to a root that one of the two lists has and the other has not: that of this machine \
                and Mozilla's, which many peers use. Roots come and go; old machines keep old lists.",
        peers: "Those with the one list connect, those with the other do not.",
        see: CHAIN,
        fixes: &[
            ("This machine's list is old", "apt-get install --only-upgrade ca-certificates"),
            ("certbot, another chain of the same CA", "certbot renew --force-renewal --preferred-chain 'ISRG Root X1'"),
        ],
        written: "Server-server API, \"TLS\": the caller decides whom it trusts.",
    },
    Page {
        id: "tls.chain",
        about: "The server presents its own certificate without the intermediate that issued it. Browsers hide that: \
                they keep intermediates, or fetch them. The usual cause is cert.pem in place of fullchain.pem.",
        peers: "They fetch nothing and close the connection.",
        see: CHAIN,
        fixes: FULL_CHAIN,
        written: "RFC 8446, 4.4.2, and RFC 5246, 7.4.2: the sender provides the chain.",
    },
    Page {
        id: "tls.order",
        about: "The certificates are not in the order in which each certifies the one before it.",
        peers: "TLS 1.3 tolerates it; some TLS 1.2 libraries do not find the path.",
        see: CHAIN,
        fixes: &[("The file", "cat server.pem intermediate.pem > fullchain.pem")],
        written: "RFC 5246, 7.4.2; RFC 8446, 4.4.2 relaxes it.",
    },
    Page {
        id: "tls.extra",
        about: "The server presents certificates that no path needs: the root, which everybody has or does not trust \
                anyway, or one that is left over.",
        peers: "They ignore it. It costs bytes in every handshake.",
        see: CHAIN,
        fixes: &[("The file", "Leave only the server's certificate and its intermediates in it.")],
        written: "RFC 8446, 4.4.2: the root may be omitted.",
    },
    Page {
        id: "tls.expired",
        about: "A certificate of the path has expired. Mostly the renewal failed, or it worked and the server still \
                has the old certificate in memory.",
        peers: "They close the connection.",
        see: LEAF,
        fixes: RELOAD,
        written: "RFC 5280, 4.1.2.5.",
    },
    Page {
        id: "tls.notyet",
        about: "A certificate of the path is not valid yet. Either the clock of the machine that made it was ahead, \
                or that of the machine that looks is behind.",
        peers: "They close the connection, those with a right clock at least.",
        see: &["timedatectl"],
        fixes: &[("Both machines", "timedatectl set-ntp true")],
        written: "RFC 5280, 4.1.2.5.",
    },
    Page {
        id: "tls.expiring",
        about: "Less than a third of the certificate's life, or less than 14 days, whichever is shorter, is left. A \
                renewal that works has happened by then.",
        peers: "Nothing yet.",
        see: LEAF,
        fixes: RELOAD,
        written: "No CA sends mails about it any more (Let's Encrypt stopped on 2025-06-04); RFC 9773 on when to renew.",
    },
    Page {
        id: "tls.key",
        about: "The certificate's key is short, or of a kind that not everybody knows.",
        peers: "RSA under 2048 bits is refused by nearly all, P-521 and Ed25519 by some.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com </dev/null | \\\n    openssl x509 -noout -text | grep -A1 'Public Key Algorithm'",
        ],
        fixes: &[(
            "certbot",
            "certbot renew --force-renewal --cert-name example.com --key-type ecdsa --elliptic-curve secp256r1",
        )],
        written: "CA/Browser Forum, Baseline Requirements, 6.1.5.",
    },
    Page {
        id: "tls.sig",
        about: "A certificate below the root is signed over SHA-1 or MD5, whose collisions are practical.",
        peers: "Current TLS libraries refuse it.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com </dev/null | \\\n    openssl x509 -noout -text | grep 'Signature Algorithm'",
        ],
        fixes: &[("Own CA", "openssl x509 -req -sha256 -in csr.pem -CA ca.pem -CAkey ca.key -days 90 -out server.pem")],
        written: "RFC 9155; RFC 8446, 4.4.2.4.",
    },
    Page {
        id: "tls.muststaple",
        about: "The certificate says that it counts only with a stapled OCSP response, and the server sends none. \
                Let's Encrypt has had no OCSP since August 2025, so there is nothing to staple.",
        peers: "Those that honour the extension close the connection.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com -status </dev/null | grep -i ocsp",
        ],
        fixes: &[(
            "certbot",
            "certbot certonly --cert-name example.com -d example.com --force-renewal   # without --must-staple",
        )],
        written: "RFC 7633.",
    },
    Page {
        id: "tls.ct",
        about: "The certificate carries fewer than two signed certificate timestamps, the proof that it was logged.",
        peers: "Homeservers do not look; browsers refuse such a certificate of a public CA.",
        see: &[
            "openssl s_client -connect 192.0.2.7:443 -servername matrix.example.com </dev/null | \\\n    openssl x509 -noout -text | grep -A4 'CT Precertificate'",
        ],
        fixes: REISSUE,
        written: "RFC 6962; server-server API, \"TLS\": certificate transparency is encouraged.",
    },
    Page {
        id: "tls.same",
        about: "The addresses present different certificates with different names. One of them was not renewed, or is \
                another server.",
        peers: "Each takes one address; what works for one may fail for the next.",
        see: &[
            "for a in $(dig +short matrix.example.com A); do openssl s_client -connect $a:443 -servername matrix.example.com \\\n    </dev/null 2>/dev/null | openssl x509 -noout -serial -enddate; done",
        ],
        fixes: RELOAD,
        written: "The specification expects any address of a host to serve it.",
    },
];
