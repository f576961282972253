//! What the loop-back proof of the own servers finds on the way to this process.

macro_rules! loop_back {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

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
        }
    };
}
