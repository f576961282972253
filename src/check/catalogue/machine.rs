//! The check itself, and the machine that it runs on.

macro_rules! machine {
    ([$next:ident $($then:ident)*] $($before:tt)*) => {
        $next! {
            [$($then)*]
            $($before)*

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
    };
}
