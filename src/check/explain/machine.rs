//! Clocks, second tries, and what the check says of itself.

use super::Page;

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "retry",
        about: "Something failed at first and worked half a second later. A backend that flaps, a limit on \
                connections, packet loss, or one of several machines behind an address that is broken.",
        peers: "Some of their requests fail. Synapse tries most things three times, then backs off for ten minutes.",
        see: &[
            "for i in $(seq 20); do curl -s -o /dev/null -w '%{http_code} %{time_total}\\n' \\\n    https://matrix.example.com/_matrix/federation/v1/version; done",
        ],
        fixes: &[
            ("HAProxy", "echo 'show stat' | socat stdio /run/haproxy/admin.sock   # which server is DOWN at times"),
            ("nginx", "limit_conn and limit_req: not for /_matrix/federation"),
        ],
        written: "Synapse, util/retryutils.py and the settings below federation.",
    },
    Page {
        id: "time.skew",
        about: "The clock of the server is wrong by more than a minute, by its Date header.",
        peers: "Keys that are not valid yet or no longer, certificates the same, events dated in the future.",
        see: &["curl -sI https://matrix.example.com/ | grep -i ^date; date -u"],
        fixes: &[("systemd", "timedatectl set-ntp true"), ("chrony", "chronyc makestep")],
        written: "RFC 9110, 6.6.1 (Date).",
    },
    Page {
        id: "check.cut",
        about: "The check did not end in its time. What is not in the report was not looked at: it is neither good \
                nor bad.",
        peers: "They are not concerned; but what is slow here is slow for them.",
        see: &["vestibule check example.com --timeout 60s"],
        fixes: &[],
        written: "vestibule(1), check, --timeout.",
    },
    Page {
        id: "check.limit",
        about: "There are more SRV targets or addresses than the check looks at. What was looked at stands in the \
                report.",
        peers: "They do not try them all either.",
        see: &["dig +short matrix.example.com A matrix.example.com AAAA"],
        fixes: &[],
        written: "A limit of the check, so that nobody can make it connect to hundreds of places.",
    },
    Page {
        id: "check.guard",
        about: "This check was asked for by somebody on the status page, and so connects to public addresses only. \
                The server, or a part of it, is elsewhere.",
        peers: "They are not concerned.",
        see: &["dig +short matrix.example.com A matrix.example.com AAAA"],
        fixes: &[("The same network", "vestibule check example.com --private")],
        written: "RFC 6890 lists the ranges that are not public.",
    },
    Page {
        id: "check.signing_key",
        about: "The key given by --signing-key was not used. Either it is not one that the server publishes, so that a \
                request signed with it would prove nothing, or the server's certificate does not verify, and signed \
                requests go to nobody who cannot prove who they are.",
        peers: "They are not concerned.",
        see: &[
            "sudo cat /etc/matrix-synapse/homeserver.signing.key | cut -d' ' -f1,2",
            "curl -s https://matrix.example.com/_matrix/key/v2/server",
        ],
        fixes: &[(
            "Synapse (homeserver.yaml)",
            "signing_key_path: /etc/matrix-synapse/homeserver.signing.key   # the file to name",
        )],
        written: "vestibule(1), check, --signing-key.",
    },
    Page {
        id: "check.family",
        about: "This machine has no way to an address family, mostly no IPv6. Nothing was found out about those \
                addresses.",
        peers: "They are not concerned.",
        see: &["ip -6 route show default"],
        fixes: &[("Another machine", "Run the check where both families are to be had.")],
        written: "RFC 4291 and your provider.",
    },
    Page {
        id: "check.roots",
        about: "This machine has no list of trusted roots of its own, which every TLS client on it should have.",
        peers: "They have lists of their own.",
        see: &["ls -l /etc/ssl/certs/ca-certificates.crt"],
        fixes: &[
            ("Debian", "apt-get install ca-certificates"),
            ("Container", "Mount /etc/ssl/certs, or set SSL_CERT_FILE."),
        ],
        written: "Server-server API, \"TLS\": the caller decides whom it trusts.",
    },
    Page {
        id: "check.network",
        about: "This machine has no name server, so no name could be resolved.",
        peers: "They are not concerned.",
        see: &["cat /etc/resolv.conf", "vestibule check example.com --resolver 192.0.2.53:53"],
        fixes: &[("systemd-resolved", "resolvectl status")],
        written: "resolv.conf(5).",
    },
];
