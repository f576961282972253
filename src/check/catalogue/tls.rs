//! Connections, TLS and certificates.

macro_rules! tls {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

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
        }
    };
}
