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

    WkServerBot "wk.server.bot" Warn
        "The delegation must not depend on what a client calls itself; rules against bots catch homeservers."
        "exempt /.well-known/matrix/ and /_matrix/ on {host} from bot rules, challenges and firewalls that look at the User-Agent"
    WkFallback "wk.fallback8448" Warn
        "Peers that miss the delegation for an hour go to port 8448 of the server name: it should serve federation, or refuse at once."
        "serve federation there with a certificate for {host}, or let the firewall reject instead of drop: `nft add rule inet filter input tcp dport 8448 reject with tcp reset`"

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
        "Where m.identity_server stands, it needs an https URL as base_url."
        "give m.identity_server a base_url, or remove it"
    WkClientCors "wk.client.cors" Warn
        "Browsers only read these documents with Access-Control-Allow-Origin: *, sent once."
        "send the header Access-Control-Allow-Origin: * exactly once on {subject}"
    WkClientRedirectCors "wk.client.redirect_cors" Warn
        "Browsers follow a redirect only if it has Access-Control-Allow-Origin: * as well."
        "send the header Access-Control-Allow-Origin: * on the redirect of {subject} too, or serve the document there"
    WkClientRtc "wk.client.rtc" Warn
        "Each LiveKit service in the client document must answer 200 at /healthz over https with a valid certificate; otherwise calls fail."
        "route {subject} to the authorisation service of LiveKit: `curl -i {subject}`"
    WkClientAuth "wk.client.auth" Warn
        "The client document, the homeserver's auth_metadata and the issuer itself must name the same issuer to the letter, offer PKCE with S256, and let browsers read it."
        "make the chain whole: `curl -i {subject}`"
    WkClientMsc3575 "wk.client.msc3575" Info
        "The sliding sync proxy is retired; homeservers serve sliding sync themselves."
        "remove org.matrix.msc3575.proxy from {subject}, and switch the proxy off"
    WkSupport "wk.support" Info
        "A support document tells other administrators whom to write to."
        "publish https://{host}/.well-known/matrix/support with at least one contact"

    WkPolicy "wk.policy" Warn
        "A policy server's document gives its ed25519 key; without a policy server there is no document."
        "serve {\"public_keys\": {\"ed25519\": \"BASE64\"}} at {subject}, or 404"

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
    TlsRoots "tls.roots" Warn
        "Peers have different lists of roots, that of their system or Mozilla's; a chain should lead to a root on both."
        "get a certificate for {host} from a CA that is on every list, such as Let's Encrypt; where only this machine's list is old, `apt install --only-upgrade ca-certificates`"
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
        "enable TLS 1.2 next to 1.3: nginx `ssl_protocols TLSv1.2 TLSv1.3;`, Apache `SSLProtocol -all +TLSv1.2 +TLSv1.3`, HAProxy `ssl-default-bind-options ssl-min-ver TLSv1.2`"
    TlsV13 "tls.v13" Warn
        "TLS 1.3 is faster and stronger."
        "enable TLS 1.3 next to 1.2: nginx `ssl_protocols TLSv1.2 TLSv1.3;`, Apache `SSLProtocol -all +TLSv1.2 +TLSv1.3`, HAProxy `ssl-default-bind-options ssl-min-ver TLSv1.2`"
    TlsLegacy "tls.legacy" Warn
        "TLS 1.0, TLS 1.1 and SSL 3.0 are broken or deprecated (RFC 8996, RFC 7568); no peer needs them."
        "allow TLS 1.2 and 1.3 only: nginx `ssl_protocols TLSv1.2 TLSv1.3;`, Apache `SSLProtocol -all +TLSv1.2 +TLSv1.3`, HAProxy `ssl-default-bind-options ssl-min-ver TLSv1.2`"
    TlsWeak "tls.weak" Warn
        "Suites with RC4, 3DES, CBC with SHA-1, export keys, without encryption or without a certificate should be refused; no peer needs them."
        "allow ECDHE with AEAD only: nginx `ssl_ciphers ECDHE+AESGCM:ECDHE+CHACHA20;`, Apache `SSLCipherSuite ECDHE+AESGCM:ECDHE+CHACHA20`, HAProxy `ssl-default-bind-ciphers ECDHE+AESGCM:ECDHE+CHACHA20`"
    TlsKey "tls.key" Warn
        "Keys are RSA with 2048 bits at least, P-256, P-384 or Ed25519; other kinds are refused by some peers, shorter ones by most."
        "have the certificate reissued for a new P-256 key: `certbot renew --force-renewal --cert-name {host} --key-type ecdsa --elliptic-curve secp256r1`"
    TlsSig "tls.sig" Warn
        "Signatures over SHA-1 or MD5 can be forged; no certificate below the root may be signed so."
        "have the certificate reissued by a CA that signs with SHA-256; in a CA of your own add `-sha256` to the `openssl x509 -req` that signs"
    TlsAlpn "tls.alpn" Fail
        "Peers speak HTTP/1.1: without ALPN, asked for by name, or next to HTTP/2; all three must work."
        "let the server accept http/1.1, and clients that send no ALPN: nginx does so without settings, Apache `Protocols h2 http/1.1`, HAProxy `alpn h2,http/1.1` on the bind line"
    TlsNoSni "tls.nosni" Info
        "Some clients, and all that know only an address, send no server name; they should be shown a certificate for the host."
        "make the site of {host} the default one: nginx `listen 443 ssl default_server;`, Apache: its virtual host first, HAProxy: its certificate first on the bind line"
    TlsBadSni "tls.badsni" Info
        "A client that asks for a name the server does not have should be told so, by an alert or a certificate that does not fit."
        "give what sorts connections by name in front of {subject} a default: nginx `default BACKEND;` in the map of `$ssl_preread_server_name`, HAProxy `default_backend BACKEND`"
    TlsMustStaple "tls.muststaple" Fail
        "A certificate with the TLS feature status_request counts only together with a stapled OCSP response (RFC 7633)."
        "have the certificate reissued without must-staple (`certbot certonly --cert-name {host} --force-renewal` without --must-staple), or staple: nginx `ssl_stapling on;` with a `resolver`"
    TlsCt "tls.ct" Info
        "Certificates of public CAs should carry at least two signed certificate timestamps; browsers refuse others."
        "have the certificate reissued: `certbot renew --force-renewal --cert-name {host}`"
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
    FedKeysFar "fed.keys.far" Info
        "Peers use keys for at most seven days, whatever valid_until_ts says."
        "nothing has to be done; key_refresh_interval in homeserver.yaml sets it, for instance `key_refresh_interval: 1d`"
    FedKeysOld "fed.keys.old" Warn
        "Each retired key needs its expired_ts, or peers cannot tell which old events it may have signed."
        "give the key its date in milliseconds in homeserver.yaml: `old_signing_keys: {\"KEY_ID\": {key: \"PUBLIC\", expired_ts: 1700000000000}}`"
    FedKeysPinned "fed.keys.pinned" Warn
        "A server keeps its signing key; with another one, peers refuse what it signed before and may refuse the server."
        "put the old signing key file back (signing_key_path in homeserver.yaml) and restart; after a wanted change list the old key in old_signing_keys"
    FedKeysSame "fed.keys.same" Fail
        "All addresses must publish the same keys."
        "find the address that belongs to another server and remove it from the DNS of {host}"
    FedNotFound "fed.404" Warn
        "Endpoints nobody knows are answered 404 with M_UNRECOGNIZED, by the homeserver and not by a page in front of it."
        "forward all of /_matrix/ and leave errors to the homeserver"
    FedMethod "fed.405" Warn
        "A known endpoint with another method is answered 405 with M_UNRECOGNIZED, by the homeserver and not by a rule in front of it."
        "forward every method below /_matrix/: remove limit_except, `if ($request_method …)` and <Limit> from the proxy on {subject}"
    FedUnsigned "fed.unsigned" Warn
        "Requests without a signature are refused by the homeserver itself: 401 or 403, in JSON."
        "forward /_matrix/federation/ to the homeserver without logins, rewrites or error pages of the proxy; see what answers with `curl -ik --connect-to ::{subject} 'https://{host}/_matrix/federation/v1/query/profile?user_id=%40x%3A{server}'`"
    FedHost "fed.host" Fail
        "Peers write the Host header with the port or without it; virtual hosts must ignore port and letter case."
        "match the name alone: nginx `server_name {host};`, Apache `ServerName {host}` without a port, HAProxy `acl matrix hdr(host),field(1,:),lower -m str {host}`"
    FedHttp2 "fed.h2" Warn
        "Where HTTP/2 is offered, it must lead to the same answers as HTTP/1.1."
        "send both protocols to the same backend, or stop offering HTTP/2: nginx `http2 off;`, HAProxy `alpn http/1.1`"

    UriEncSlash "uri.encslash" Fail
        "An encoded slash must stay encoded: room, event and key IDs contain slashes, and signatures cover the path as it was sent."
        "nginx: `proxy_pass http://127.0.0.1:8008;` with nothing after the port; Apache: `AllowEncodedSlashes NoDecode` and `ProxyPass /_matrix http://127.0.0.1:8008/_matrix nocanon`; Traefik: `encodedCharacters.allowEncodedSlash: true` at the entry point"
    UriChars "uri.chars" Fail
        "Encoded # ; % ? and \\ must reach the homeserver as they were sent."
        "nginx: nothing after the port in `proxy_pass http://127.0.0.1:8008;`; Apache: `nocanon`; Traefik 3.6.4 or newer: allowEncodedHash, allowEncodedSemicolon, allowEncodedPercent, allowEncodedQuestionMark and allowEncodedBackSlash under `encodedCharacters` at the entry point; WAF: exempt /_matrix/"
    UriDblSlash "uri.dblslash" Warn
        "Two slashes must not become one: the homeserver verifies a signature over the path as it was sent."
        "turn path cleaning off: nginx `merge_slashes off;` and nothing after the port in proxy_pass, Apache `MergeSlashes Off`, HAProxy no `normalize-uri path-merge-slashes`"
    UriDotSeg "uri.dotseg" Warn
        "Dot segments must not be resolved: the homeserver verifies a signature over the path as it was sent."
        "turn path cleaning off: nginx nothing after the port in proxy_pass, HAProxy no `normalize-uri path-strip-dotdot`"
    UriSigned "uri.signed" Fail
        "A request signed with the server's own key must verify when it arrives; otherwise something alters its path or its Authorization header."
        "forward the bytes as they come: nginx `proxy_pass http://127.0.0.1:8008;` with nothing after the port, Apache `nocanon`, no rewrites of path or Authorization"

    BodyLimit "body.limit" Fail
        "Peers send transactions of up to 12.5 MiB (13,107,200 bytes)."
        "raise the limit of what stands in front of {subject}: nginx `client_max_body_size 50m;`, Apache `LimitRequestBody 52428800`, vestibule `limits.max_body = \"none\"`"
    BodyMedia "body.media" Warn
        "Uploads up to the homeserver's own limit should get through to it."
        "give what stands in front the homeserver's max_upload_size: nginx `client_max_body_size 50m;`, Apache `LimitRequestBody 52428800`"

    CorsCs "cors.cs" Warn
        "Browsers only read answers of the client API, errors too, with Access-Control-Allow-Origin: *."
        "leave the homeserver's header alone, or add it to errors too: nginx `add_header Access-Control-Allow-Origin * always;`"
    CorsPreflight "cors.preflight" Warn
        "OPTIONS is answered 2xx without a token, and allows every origin, PUT and DELETE, and the headers Authorization and Content-Type."
        "forward OPTIONS to the homeserver like every other method: no login and no `limit_except` before it"
    CorsDup "cors.dup" Warn
        "Browsers refuse Access-Control-Allow-Origin sent twice."
        "let only the homeserver send it: remove `add_header Access-Control-Allow-Origin` (nginx) or `Header set Access-Control-Allow-Origin` (Apache) for /_matrix/"

    ExposeAdmin "expose.admin" Warn
        "The admin API is not for the internet: a stolen admin token would be enough to take everything."
        "refuse it in front: nginx `location /_synapse/admin { return 403; }`; vestibule does so unless `limits.admin_allow` names a network"
    ExposeMetrics "expose.metrics" Fail
        "Metrics tell everybody about users, rooms and peers."
        "refuse it in front: nginx `location /_synapse/metrics { return 403; }`, or take `metrics` out of the public listener's resources"
    ExposeReplication "expose.replication" Fail
        "Who reaches the replication endpoints can act as the homeserver's own workers."
        "refuse it in front: nginx `location /_synapse/replication { return 403; }`; set `worker_replication_secret`, and give replication a listener of its own on 127.0.0.1"
    ExposeMas "expose.mas" Warn
        "Only the authentication service talks to these endpoints; a secret is all that guards them."
        "refuse it in front: nginx `location /_synapse/mas { return 403; }`, and let the authentication service use the homeserver's own address"
    Waf "waf" Warn
        "Federation is programs that talk to each other: a firewall, a bot rule or a challenge page before /_matrix/ shuts them out."
        "exempt /_matrix/* and /.well-known/matrix/* from WAF, bot and challenge rules on {subject} (Cloudflare: a skip rule for these paths, or DNS only)"

    Retry "retry" Warn
        "Something only worked at the second try."
        "look for a flapping backend or overload behind {subject}"
    TimeSkew "time.skew" Warn
        "The server's clock should be right within a minute; signatures and certificates depend on it."
        "synchronise the clocks: `timedatectl set-ntp true`"

    HsFile "hs.file" Info
        "The homeserver's own configuration file is compared with vestibule's, where it can be read."
        "let vestibule's user read the file, or name it: homeserver_config = \"/etc/matrix-synapse/homeserver.yaml\""
    HsName "hs.name" Fail
        "The homeserver must have the server name that vestibule serves; it refuses requests and signs with its own."
        "make server_name in vestibule.toml equal to the homeserver's"
    HsUpstream "hs.upstream" Fail
        "The homeserver must answer where vestibule forwards to."
        "start the homeserver, or correct `homeserver = \"{subject}\"` in vestibule.toml and `systemctl restart vestibule`"
    HsForwarded "hs.forwarded" Warn
        "The homeserver should take clients' addresses from the header that vestibule sends; otherwise everybody is 127.0.0.1 to it."
        "Synapse: `x_forwarded: true` in the listener; continuwuity: `request_ip_source = \"x_forwarded_for\"`; Dendrite: `real_ip_header: X-Real-IP` below sync_api; then restart it"
    HsBind "hs.bind" Warn
        "The homeserver should be reachable through vestibule only: past it, addresses can be forged, and the admin API is open."
        "Synapse: `bind_addresses: ['127.0.0.1']` in the listener; tuwunel, continuwuity: `address = \"127.0.0.1\"`; then restart it"
    HsBaseUrl "hs.base_url" Warn
        "The homeserver writes its public URL into mails and logins; it should be the one that clients are sent to."
        "Synapse: `public_baseurl: {subject}/` in homeserver.yaml, then `systemctl restart matrix-synapse`"
    HsUpload "hs.upload" Warn
        "An upload that the homeserver takes should not be refused on the way."
        "write `max_body = \"none\"` below [limits] in vestibule.toml, then `systemctl restart vestibule`"
    HsFederation "hs.federation" Fail
        "The homeserver must be willing to federate."
        "Synapse: `- names: [client, federation]` in the listener's resources; tuwunel, continuwuity: `allow_federation = true`; then restart it"
    HsWellKnown "hs.well_known" Info
        "vestibule answers the well-known documents itself; the homeserver's own settings for them have no effect."
        "remove them from the homeserver's file, so that nobody is led astray"
    RouteMas "route.mas" Warn
        "Where an authentication service (MAS) has the logins, login, logout and refresh must be sent to it."
        "write `[mas]` and below it `url = \"http://127.0.0.1:8080\"` into vestibule.toml, then `systemctl restart vestibule`"
    RouteWorker "route.worker" Warn
        "Every endpoint of a pool should answer, and serve the paths that are sent to it."
        "start the worker at {subject}, or remove it from upstream.endpoints"
    CheckCut "check.cut" Warn
        "The check ran out of time; what is not listed was not looked at."
        "run it again with more time: `vestibule check {server} --timeout 60s`"
    CheckLimit "check.limit" Info
        "Only the first ten targets of SRV records and 32 addresses are looked at."
        "publish fewer SRV and address records for {host}: peers do not try them all either"
    CheckGuard "check.guard" Info
        "This check connects to public addresses only; what is elsewhere was not looked at."
        "run `vestibule check {server}` on a machine of the same network"
    CheckFamily "check.family" Info
        "This machine cannot reach some of the addresses, so they were not looked at."
        "run the check from a machine that has a route to them"
    CheckSigningKey "check.signing_key" Info
        "The signing key given is used only where the server publishes it and its certificate verifies."
        "give the file of signing_key_path in the homeserver.yaml of {server}; where the certificate is at fault, mend that first, or give its root by --ca-file"
    CheckRoots "check.roots" Info
        "This machine has no trust roots, so certificates were held against Mozilla's list alone."
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
