//! The name itself, and what DNS says about it.

macro_rules! dns {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

            NameGrammar "name.grammar" Fail
                "The server name must be a host, or host:port, in the grammar of the specification."
                "write the bare name, such as example.com: no scheme, no path, no underscore, port 1 to 65535"
            NameCase "name.case" Warn
                "Server names are compared byte for byte; upper case invites mismatches."
                "a name cannot be changed once it is in use; before launch, use lower case only"
            NameLength "name.length" Warn
                "User IDs hold the server name and are limited to 255 bytes; names over 230 leave no room."
                "a name cannot be changed once it is in use; before launch, choose one of at most 230 characters"
            NameIp "name.ip" Info
                "With an IP address as its name a server has no delegation and cannot move."
                "before launch, use a DNS name and delegate with /.well-known/matrix/server"
            NamePort "name.port" Info
                "With a port in its name a server has no delegation; the port is part of every user ID."
                "before launch, drop the port and delegate with /.well-known/matrix/server"

            DnsResolve "dns.resolve" Fail
                "The host that peers connect to must have an address."
                "add an A and an AAAA record for {host}"
            DnsFamily "dns.family" Warn
                "The delegation host and the federation host should be reachable over the same IP families, and not over IPv6 alone."
                "add the missing record for {host}"
            DnsPublic "dns.public" Fail
                "Peers on the internet can only reach public addresses."
                "publish the public address of {host} in DNS, or use --private for a closed federation"
            DnsTimeout "dns.timeout" Warn
                "Name servers should answer within 3 seconds and without SERVFAIL."
                "check the name servers and DNSSEC of {host}: `dig +trace {host}`, `dig +cd {host}`"
            DnsDnssec "dns.dnssec" Warn
                "Name servers that validate must find the zone's DNSSEC signatures right, or the name does not exist for them."
                "see what is wrong: `delv {host}`; then sign the zone again, or have the DS record removed at the registrar"
            DnsCaa "dns.caa" Warn
                "The CAA records of a certificate's name must allow the CA that issued it, or the next renewal fails."
                "see them with `dig {host} CAA`, and make the name servers of {host} answer"
            DnsSrvLegacy "dns.srv.legacy" Warn
                "_matrix._tcp is deprecated since v1.8 of the specification; newer peers ask for _matrix-fed._tcp first."
                "add the same record as _matrix-fed._tcp.{host}, or drop SRV and delegate with /.well-known/matrix/server"
            DnsSrvConflict "dns.srv.conflict" Warn
                "Both SRV names exist and disagree, so peers end up at different places."
                "make _matrix-fed._tcp.{host} and _matrix._tcp.{host} equal, or delete the second"
            DnsSrvCname "dns.srv.cname" Fail
                "An SRV target must not be an alias (RFC 2782); some peers refuse it."
                "point the SRV record at the canonical name, one with A and AAAA records of its own"
            DnsSrvDot "dns.srv.dot" Fail
                "An SRV target of \".\" says that there is no such service; peers then do not connect at all."
                "delete the record {subject}, or give it a real target"
            DnsSrvTarget "dns.srv.target" Fail
                "The target of an SRV record must be a host with addresses."
                "give {host} an A or AAAA record, or correct the SRV record"

            DnsSrvUnused "dns.srv.unused" Info
                "An SRV record does not count where the name has a port or the delegation leads elsewhere; only peers that miss the delegation go by it."
                "delete the record {subject}, or keep it in step with the delegation"
        }
    };
}
