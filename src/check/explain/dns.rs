//! Names and DNS.

use super::Page;

pub(super) const PAGES: &[Page] = &[
    Page {
        id: "name.grammar",
        about: "A server name is what stands after the colon in user IDs: a DNS name, an IPv4 address or an IPv6 \
                address in brackets, and perhaps a colon and a port of one to five digits. A scheme, a path, an \
                underscore, a space or a trailing slash make it something else.",
        peers: "Nobody can look it up. Homeservers answer M_INVALID_PARAM to user IDs and rooms with such a name.",
        see: &["vestibule check example.com"],
        fixes: &[
            ("vestibule.toml", "server_name = \"example.com\""),
            ("Synapse (homeserver.yaml), before the first user", "server_name: example.com"),
        ],
        written: "Matrix specification, appendices, \"Server Name\".",
    },
    Page {
        id: "name.case",
        about: "DNS does not tell upper from lower case; Matrix does. Example.com and example.com are two servers to \
                it, with the same addresses and one set of keys between them.",
        peers: "Most compare byte for byte and refuse keys that name the other spelling. Some testers lower the name \
                before they look.",
        see: &["curl -s https://example.com/_matrix/key/v2/server | grep -o '\"server_name\":\"[^\"]*\"'"],
        fixes: &[],
        written: "Matrix specification, appendices, \"Server Name\": servers should not use upper case.",
    },
    Page {
        id: "name.length",
        about: "A user ID holds at most 255 bytes, server name, @ and colon included. Names over 230 leave no room \
                for the part before the colon.",
        peers: "Registration fails for longer user names, and events with longer IDs are refused.",
        see: &["printf %s example.com | wc -c"],
        fixes: &[],
        written: "Matrix specification, appendices, \"Server Name\" and \"User Identifiers\".",
    },
    Page {
        id: "name.ip",
        about: "An IP address as server name works, but it is part of every user ID for ever: the server can never \
                move to another address, and it needs a certificate for the address, which few public CAs issue.",
        peers: "They connect to the address, port 8448 unless the name has one, and send no SNI. They ask for no \
                delegation document and no SRV record.",
        see: &[
            "openssl s_client -connect 192.0.2.7:8448 -noservername </dev/null | \\\n    openssl x509 -noout -ext subjectAltName",
        ],
        fixes: &[("Before launch", "Choose a DNS name as server_name and delegate from it.")],
        written: "Server-server API, \"Resolving server names\", step 1.",
    },
    Page {
        id: "name.port",
        about: "With a port in the server name, the port is in every user ID, and the server can never move to \
                another one.",
        peers: "They connect to that port of the name's addresses. They ask for no delegation document and no SRV \
                record.",
        see: &["curl -s https://example.com:8448/_matrix/federation/v1/version"],
        fixes: &[("Before launch", "Leave the port out and delegate with /.well-known/matrix/server.")],
        written: "Server-server API, \"Resolving server names\", step 2.",
    },
    Page {
        id: "dns.resolve",
        about: "The host that peers must connect to (the last step of discovery says which) has neither an A nor an \
                AAAA record. Common causes: a typing error in m.server or in an SRV target, a record in the wrong \
                zone, a domain that ran out.",
        peers: "They cannot connect. Synapse then waits ten minutes before it tries again, and twice as long each \
                time, up to a week.",
        see: &["dig +short matrix.example.com A", "dig +short matrix.example.com AAAA"],
        fixes: &[(
            "Zone file",
            "matrix.example.com.  3600  IN  A     192.0.2.7\nmatrix.example.com.  3600  IN  AAAA  2001:db8::7",
        )],
        written: "Server-server API, \"Resolving server names\".",
    },
    Page {
        id: "dns.family",
        about: "One of the two hosts that matter, the server name itself and the host it delegates to, has an \
                address family that the other lacks, or there is IPv6 only. A peer with IPv4 alone cannot reach \
                what has AAAA records alone.",
        peers: "Those with both families notice nothing. Those with one family fail at the step whose host lacks it.",
        see: &["for h in example.com matrix.example.com; do dig +short $h A; dig +short $h AAAA; done"],
        fixes: &[(
            "Zone file",
            "Add the missing A or AAAA record, or remove the family that does not work everywhere.",
        )],
        written: "RFC 6724 and RFC 8305 on choosing between the families; the Matrix specification leaves it open.",
    },
    Page {
        id: "dns.public",
        about: "DNS gives an address that is not reachable from the internet: loopback, a private range (RFC 1918), \
                link-local, carrier-grade NAT (100.64/10), a unique local IPv6 address, or one kept for documents. \
                Often the inner view of a split DNS, or a line in the hosts file of this machine.",
        peers: "They cannot connect, and Synapse refuses to by its IP blocklist, so that it cannot be turned against \
                the network it stands in.",
        see: &["dig +short matrix.example.com @9.9.9.9", "getent ahosts matrix.example.com"],
        fixes: &[
            ("Zone file", "Publish the public address; behind NAT, that of the router, with a port forwarding."),
            ("A federation that is closed on purpose", "vestibule check --private, or [check] network = \"private\""),
        ],
        written: "RFC 6890 lists the ranges; Synapse documentation, ip_range_blocklist.",
    },
    Page {
        id: "dns.timeout",
        about: "A name server took longer than three seconds, did not answer, or answered SERVFAIL. SERVFAIL from a \
                resolver that validates mostly means broken DNSSEC, or a delegation to name servers that do not know \
                the zone.",
        peers: "A lookup that fails is not the same as a name without records: Synapse treats it as an error and \
                backs off, and does not go on to the next step of discovery.",
        see: &["dig +trace matrix.example.com", "dig matrix.example.com; dig +cd matrix.example.com"],
        fixes: &[("The zone", "If +cd works and the plain question does not, DNSSEC is broken: see dns.dnssec.")],
        written: "RFC 1035, 4.1.1 (SERVFAIL); RFC 8767 on stale answers.",
    },
    Page {
        id: "dns.dnssec",
        about: "With validation the answer is SERVFAIL, without validation it is there: the zone is signed and the \
                signatures do not fit. They ran out, the DS record at the parent is that of an old key, or one of \
                several name servers has an old copy.",
        peers: "All whose resolver validates (most public ones do) cannot find the server at all.",
        see: &["dig +dnssec matrix.example.com; dig +cd matrix.example.com", "delv @9.9.9.9 matrix.example.com A"],
        fixes: &[
            ("Registrar", "Make the DS record fit the key in use, or remove it until the zone is signed again."),
            ("Own name server (BIND)", "rndc dnssec -status example.com; rndc sign example.com"),
        ],
        written: "RFC 4035, 5.5 (SERVFAIL for bogus data).",
    },
    Page {
        id: "dns.caa",
        about: "A CAA record says which CAs may issue certificates for the name, and the one that issued the \
                certificate now in use is not among them: the next renewal will be refused.",
        peers: "Nothing yet; they will when the certificate has expired.",
        see: &["dig +short example.com CAA", "dig +short matrix.example.com CAA"],
        fixes: &[
            ("Zone file, for Let's Encrypt", "example.com.  3600  IN  CAA  0 issue \"letsencrypt.org\""),
            ("Zone file, for ZeroSSL", "example.com.  3600  IN  CAA  0 issue \"sectigo.com\""),
        ],
        written: "RFC 8659.",
    },
    Page {
        id: "dns.srv.legacy",
        about: "There is a record under _matrix._tcp, the name used before version 1.8 of the specification, and none \
                under _matrix-fed._tcp, which was registered for it since.",
        peers: "Newer ones ask for _matrix-fed._tcp first and for the old name second; some day the second question \
                will stop.",
        see: &["dig +short _matrix-fed._tcp.example.com SRV; dig +short _matrix._tcp.example.com SRV"],
        fixes: &[
            ("Zone file", "_matrix-fed._tcp.example.com.  3600  IN  SRV  10 5 8448 matrix.example.com."),
            ("Better", "Delegate with /.well-known/matrix/server and a port: then no SRV record is asked for."),
        ],
        written: "Server-server API, \"Resolving server names\", steps 3.4 and 5; MSC4040.",
    },
    Page {
        id: "dns.srv.conflict",
        about: "Both SRV names exist and lead to different places. One of them was forgotten when the server moved.",
        peers: "Newer ones go to one place, older ones and the public Go tester to the other.",
        see: &["dig +short _matrix-fed._tcp.example.com SRV; dig +short _matrix._tcp.example.com SRV"],
        fixes: &[("Zone file", "Make them equal, or delete _matrix._tcp.example.com.")],
        written: "Server-server API, \"Resolving server names\", steps 3.3, 3.4, 4 and 5.",
    },
    Page {
        id: "dns.srv.unused",
        about: "There is an SRV record, and nobody asks for it: the server name is delegated with a port, has a port \
                itself, or is an address. It does no harm until somebody changes it and wonders.",
        peers: "They never look at it.",
        see: &["dig +short _matrix-fed._tcp.example.com SRV", "curl -s https://example.com/.well-known/matrix/server"],
        fixes: &[("Zone file", "Delete _matrix-fed._tcp.example.com and _matrix._tcp.example.com.")],
        written: "Server-server API, \"Resolving server names\": the first step that applies wins.",
    },
    Page {
        id: "dns.srv.cname",
        about: "The target of an SRV record is an alias (CNAME). SRV targets must be hosts with addresses of their \
                own.",
        peers: "Many follow the alias all the same; the public testers refuse it, and so may strict resolvers.",
        see: &["dig +short matrix.example.com CNAME"],
        fixes: &[("Zone file", "_matrix-fed._tcp.example.com.  3600  IN  SRV  10 5 8448 the-name-the-alias-leads-to.")],
        written: "RFC 2782, \"Target\".",
    },
    Page {
        id: "dns.srv.dot",
        about: "An SRV record whose target is a single dot says that the service is decidedly not offered here.",
        peers: "Synapse gives up at once and does not go on to port 8448.",
        see: &["dig +short _matrix-fed._tcp.example.com SRV"],
        fixes: &[("Zone file", "Delete the record, or give it a real target.")],
        written: "RFC 2782, \"Target\".",
    },
    Page {
        id: "dns.srv.target",
        about: "The target of an SRV record has no address, or is no host name at all.",
        peers: "They try the other targets, if there are any, and then fail.",
        see: &["dig +short _matrix-fed._tcp.example.com SRV", "dig +short matrix.example.com A"],
        fixes: &[("Zone file", "matrix.example.com.  3600  IN  A  192.0.2.7")],
        written: "RFC 2782; server-server API, \"Resolving server names\", steps 3.3 and 4.",
    },
];
