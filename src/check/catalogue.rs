//! Every rule of the check: its stable id, how bad a breach is, what it means, what to do.
//!
//! The ids are part of the contract and never change their meaning. `{server}`, `{subject}` and
//! `{host}` in a remedy are filled in by the finding.

use super::finding::Severity;
use std::fmt;

/// Writes the table once and makes of it the enum and its lookups.
macro_rules! catalogue {
    ($($name:ident $id:literal $severity:ident $meaning:literal $remedy:literal)*) => {
        /// A rule of the check.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All rules, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable id.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// How bad a breach is, unless circumstances say otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What the rule is about.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// What to do about a breach, with placeholders.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

catalogue! {
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

    WkServerReach "wk.server.reach" Warn
        "Each address of the server name should answer on port 443, where peers look for the delegation."
        "open port 443 on {subject}, or remove this address from the DNS of {host}"
    WkServerTls "wk.server.tls" Fail
        "The delegation is read over HTTPS with a certificate for the server name itself; otherwise peers ignore it."
        "get a certificate that covers {host} for port 443 and serve its full chain"
    WkServerStatus "wk.server.status" Warn
        "The delegation document answers with 200, or with a clean 404 where there is none."
        "make https://{host}/.well-known/matrix/server answer 200 with the document, or 404; exempt it from logins, bot rules and catch-all pages"
    WkServerJson "wk.server.json" Fail
        "The delegation document must be a JSON object."
        "serve exactly {\"m.server\": \"matrix.{host}:443\"} with the host that runs the homeserver"
    WkServerField "wk.server.field" Fail
        "The delegation document must have a string \"m.server\"."
        "serve exactly {\"m.server\": \"matrix.{host}:443\"} with the host that runs the homeserver"
    WkServerValue "wk.server.value" Fail
        "\"m.server\" is host:port and nothing else."
        "write host:port: no https://, no path, no slash at the end"
    WkServerPort "wk.server.port" Warn
        "Without a port in \"m.server\" peers look for SRV records and then use 8448."
        "write \"m.server\": \"{subject}:443\" (or the port that really serves federation)"
    WkServerSize "wk.server.size" Warn
        "Some peers read at most 12 KiB of the document, others 50 KiB."
        "shrink the document to its one key"
    WkServerCtype "wk.server.ctype" Warn
        "The document should be sent as application/json."
        "send the header Content-Type: application/json"
    WkServerRedirect "wk.server.redirect" Warn
        "Redirects should be few, stay on https, not run in circles, and not be 308, which some peers do not follow."
        "serve the document itself at https://{host}/.well-known/matrix/server, or redirect once with 302 to an https URL"
    WkServerCache "wk.server.cache" Warn
        "Peers keep the document between 5 minutes and 48 hours; other values only surprise."
        "send the header Cache-Control: public, max-age=3600"
    WkServerSplit "wk.server.split" Fail
        "All addresses of the server name must give the same delegation, or peers split between two servers."
        "deploy the same document on every address of {host}"
    WkServerSelf "wk.server.self" Info
        "Delegating to oneself without a port changes nothing."
        "write the port, \"m.server\": \"{server}:443\", or drop the document"

    WkClientStatus "wk.client.status" Warn
        "The client document answers with 200, or with a clean 404 where there is none."
        "make https://{host}/.well-known/matrix/client answer 200 with the document, or 404"
    WkClientJson "wk.client.json" Warn
        "The client document must be a JSON object; otherwise clients ask the user for the server."
        "serve {\"m.homeserver\": {\"base_url\": \"https://matrix.{host}\"}} as JSON"
    WkClientBaseUrl "wk.client.base_url" Warn
        "The client document must give an https URL as m.homeserver.base_url."
        "set \"m.homeserver\": {\"base_url\": \"https://HOST\"} to the URL of the client API"
    WkClientVersions "wk.client.versions" Warn
        "A homeserver must answer at base_url; otherwise clients refuse to log in."
        "make {subject} answer: `curl -i {subject}`"
    WkClientIdentity "wk.client.identity" Warn
        "Where m.identity_server stands, it needs a base_url."
        "give m.identity_server a base_url, or remove it"
    WkClientCors "wk.client.cors" Warn
        "Browsers only read these documents with Access-Control-Allow-Origin: *, sent once."
        "send the header Access-Control-Allow-Origin: * exactly once on {subject}"
    WkSupport "wk.support" Info
        "A support document tells other administrators whom to write to."
        "publish https://{host}/.well-known/matrix/support with at least one contact"

    TcpConnect "tcp.connect" Fail
        "Every address that peers may pick must accept connections within 5 seconds."
        "open the port in firewall and NAT and let the server listen on {subject}, or remove this address from DNS"
    TlsHandshake "tls.handshake" Fail
        "A TLS handshake with the right server name must succeed."
        "see what answers: `openssl s_client -connect {subject} -servername {host}`"
    TlsName "tls.name" Fail
        "The certificate must cover the name that the discovery step asks for."
        "reissue the certificate so that it covers {host} (a wildcard covers one label only)"
    TlsCnOnly "tls.cnonly" Fail
        "Names count only in the subjectAltName extension; the common name is dead."
        "reissue the certificate with a subjectAltName for {host}"
    TlsSelfSigned "tls.selfsigned" Fail
        "A certificate that is its own issuer is not trusted by anybody."
        "get a certificate for {host} from a public CA by ACME; in a closed federation give its root by --ca-file"
    TlsUntrusted "tls.untrusted" Fail
        "The chain is complete but its root is not among the trusted ones."
        "get a certificate for {host} from a public CA by ACME; in a closed federation give the root by --ca-file"
    TlsChain "tls.chain" Fail
        "The chain from the server's certificate to a trusted root must be complete in what the server presents."
        "serve the full chain: the file fullchain.pem, not cert.pem; see it with `openssl s_client -connect {subject} -servername {host} -showcerts`"
    TlsOrder "tls.order" Warn
        "Each certificate should come after the one it certifies, the server's own first."
        "concatenate the file again: server certificate, then its issuer, and so on"
    TlsExtra "tls.extra" Info
        "Certificates that nobody needs (the root, unrelated ones) cost bytes in every handshake."
        "remove them from the certificate file"
    TlsExpired "tls.expired" Fail
        "Every certificate on the path must be within its dates."
        "renew the certificate for {host} and reload the server that presents it"
    TlsNotYet "tls.notyet" Fail
        "Every certificate on the path must be within its dates."
        "check the clocks of the server and of this machine: `timedatectl`"
    TlsExpiring "tls.expiring" Warn
        "A certificate should be renewed by the time a third of its life, or 14 days, is left."
        "check the renewal job for {host}, and that the server reloads what it renews"
    TlsV12 "tls.v12" Warn
        "Many peers still connect with TLS 1.2."
        "enable TLS 1.2 next to 1.3"
    TlsV13 "tls.v13" Warn
        "TLS 1.3 is faster and stronger."
        "enable TLS 1.3 next to 1.2"
    TlsAlpn "tls.alpn" Fail
        "Peers speak HTTP/1.1, with ALPN or without; both must work."
        "let the server accept http/1.1, and clients that send no ALPN"
    TlsSame "tls.same" Warn
        "All addresses should present the same certificate, or at least the same names."
        "deploy the renewed certificate to every machine behind {host}"

    FedVersion "fed.version" Fail
        "GET /_matrix/federation/v1/version must answer 200 with application/json and an object \"server\"."
        "forward /_matrix/ to the homeserver; see what answers with `curl -ik --connect-to ::{subject} https://{host}/_matrix/federation/v1/version`"
    FedKeys "fed.keys" Fail
        "GET /_matrix/key/v2/server must answer 200 with application/json and without a redirect."
        "forward /_matrix/ to the homeserver; see what answers with `curl -ik --connect-to ::{subject} https://{host}/_matrix/key/v2/server`"
    FedKeysName "fed.keys.name" Fail
        "The keys must be those of exactly this server name."
        "set server_name to {server} in the homeserver, or forward {subject} to the homeserver that has it"
    FedKeysExpired "fed.keys.expired" Fail
        "valid_until_ts must lie in the future; peers discard older keys."
        "check the clock of the homeserver (`timedatectl`), then restart it"
    FedKeysEd25519 "fed.keys.ed25519" Fail
        "There must be an ed25519 key of 32 bytes."
        "check the signing key file of the homeserver"
    FedKeysSig "fed.keys.sig" Fail
        "The key document must be signed by each of its own keys."
        "let nothing rewrite the answer on its way, and check the signing key file of the homeserver"
    FedKeysCanonical "fed.keys.canonical" Fail
        "Signed documents hold integers only; otherwise there is nothing to verify."
        "upgrade the homeserver; let nothing rewrite the answer on its way"
    FedKeysSoon "fed.keys.soon" Warn
        "Keys should be valid for at least another hour when they are handed out."
        "raise key_refresh_interval in the homeserver"
    FedKeysSame "fed.keys.same" Fail
        "All addresses must publish the same keys."
        "find the address that belongs to another server and remove it from the DNS of {host}"
    FedNotFound "fed.404" Warn
        "Endpoints nobody knows are answered 404 with M_UNRECOGNIZED, by the homeserver and not by a page in front of it."
        "forward all of /_matrix/ and leave errors to the homeserver"

    LoopPath "loop.path" Fail
        "Path and query must arrive at this server byte for byte as peers sent them: signatures cover them, and ids hold %2F, %23, %21, %40 and %3A."
        "let nothing in front of {subject} decode, merge or rewrite the path below /_matrix, or have it pass TLS on unopened"
    LoopHost "loop.host" Fail
        "The Host header must arrive as it was sent: it says which server is meant."
        "let what stands in front of {subject} pass the Host header on as it came"
    LoopHostPort "loop.hostport" Warn
        "The Host header should arrive with its port and case: without the port, single sign-on redirects to the wrong place."
        "let what stands in front of {subject} pass the Host header on as it came, with its port"
    LoopPut "loop.put" Fail
        "Transactions are sent with PUT; without it nothing arrives from other servers."
        "let what stands in front of {subject} pass PUT on, below /_matrix at least"
    LoopBody "loop.body" Fail
        "Bodies must arrive as they were sent; signatures cover them."
        "let nothing in front of {subject} look into or rewrite bodies below /_matrix"
    LoopAgent "loop.agent" Fail
        "A request must not be refused for the name of the program that sends it: peers are called Synapse/… and Go-http-client/…."
        "exempt /_matrix and /.well-known/matrix from the bot and firewall rules of what stands in front of {subject}"
    LoopHeader "loop.header" Warn
        "A header line of 7 KiB should arrive: access tokens and cookies are longer than one would think."
        "allow header lines of 8 KiB and more in what stands in front of {subject}"
    LoopClient "loop.client" Warn
        "This server should see the addresses of its clients, not one address for all: rate limits count by them."
        "write `trusted_proxies.from = [\"{host}\"]` for what stands in front, and let it set X-Forwarded-For"
    LoopTls "loop.tls" Info
        "Something in front of this server ends TLS: it sees everything, and its certificate and settings are what peers meet."
        "if that is not meant, let it pass TLS on unopened, by TCP; its certificate must be renewed there"
    LoopOther "loop.other" Warn
        "An address of this server's name is answered by something that does not pass requests on to this process."
        "if {subject} is another machine of yours, check it there; otherwise remove this address from the DNS of {server}, or see what listens there"
    LoopUnknown "loop.unknown" Info
        "From behind NAT the own public address may be out of reach, or lead to the router: what happens there is unknown."
        "check from outside: `vestibule check {server}` on another machine; to see it from here, turn on NAT loopback (hairpin NAT) in the router"
    LoopProcess "loop.process" Info
        "The loop-back proof is made by the vestibule that runs; it shows that requests arrive unchanged."
        "start vestibule, and run the check as root or as vestibule's user with the configuration that it runs with"
    HdrAuth "hdr.auth" Fail
        "Each Authorization: X-Matrix line must arrive as it was sent; a server with two keys sends two lines, which must not be joined."
        "let what stands in front of {subject} pass Authorization lines on untouched, or have it pass TLS on unopened"
    HdrXff "hdr.xff" Fail
        "What a client says about its own address must not be believed."
        "let the proxy in trusted_proxies.from set X-Forwarded-For to the address it was called from, and not append to or pass on what it was sent"
    HdrProto "hdr.proto" Fail
        "The homeserver must be told, once, that requests come by https."
        "report this with the output of `vestibule --version`: it is vestibule itself that writes X-Forwarded-Proto"
    HttpLongpoll "http.longpoll" Warn
        "An answer may come after a minute of silence: clients wait for events, and large rooms take long to join."
        "raise the timeouts for answers to 10 minutes in what stands in front of {subject}"

    Retry "retry" Warn
        "Something only worked at the second try."
        "look for a flapping backend or overload behind {subject}"
    TimeSkew "time.skew" Warn
        "The server's clock should be right within a minute; signatures and certificates depend on it."
        "synchronise the clocks: `timedatectl set-ntp true`"

    CheckCut "check.cut" Warn
        "The check ran out of time; what is not listed was not looked at."
        "run it again with more time: `vestibule check {server} --timeout 60s`"
    CheckFamily "check.family" Info
        "This machine cannot reach some of the addresses, so they were not looked at."
        "run the check from a machine that has a route to them"
    CheckRoots "check.roots" Warn
        "This machine has no trust roots, so no certificate could be verified."
        "install them (`apt install ca-certificates`), or give a file by --ca-file"
    CheckNetwork "check.network" Warn
        "This machine has no name server, so names could not be resolved."
        "give one by `--resolver IP:PORT`, or an address by `--connect-to {server}:443:ADDR:PORT`"
}

impl Code {
    /// The rule with this id.
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.id() == id)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_texts_keep_their_form() {
        let ids: BTreeSet<_> = Code::ALL.iter().map(|code| code.id()).collect();
        assert_eq!(ids.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::parse(code.id()), Some(*code));
            assert!(code.meaning().ends_with('.'), "{code}: {}", code.meaning());
            assert!(!code.remedy().ends_with('.'), "{code}: {}", code.remedy());
        }
        assert_eq!(Code::parse("tls.nonsense"), None);
    }
}
