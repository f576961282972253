//! DNS-01 through real name servers: a primary that takes dynamic updates, and a secondary that lags behind it.
//!
//! The primary is the sandbox's own resolver. Nobody notifies the secondary: it asks every three or four seconds, and
//! it is where the CA looks.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{CERTIFICATE, LIMIT, ONE_ORDER, SOON, Scene, config};
use crate::support::bind::{self, Bind};
use crate::support::pebble::Pebble;
use crate::support::sandbox;
use crate::support::vestibule::{Vestibule, quoted};

const PRIMARY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const SECONDARY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

const KEY: &str = "vestibule";

/// The names of the wildcard's certificate.
const WILDCARD: [&str; 2] = ["*.a.test", "a.test"];

/// Three homeservers, one of them at the apex, and one site: five names.
const HUB: &str = r#"
    [[server]]
    server_name = "a.test"
    public_host = "matrix.a.test"
    [[server]]
    server_name = "b.a.test"
    [[server]]
    server_name = "c.a.test"
    [[site]]
    host = "chat.a.test"
    upstream = "http://127.0.0.1:1"
    [log]
    level = "info,vestibule::acme=debug"
"#;

/// Name servers of three zones, a CA that asks the secondary, and a key.
struct Zones {
    scene: Scene,
    keys: TempDir,
    key_file: PathBuf,
    /// Known to the primary as well, which lets them change nothing.
    other_keys: Vec<PathBuf>,
    primary: Bind,
    _secondary: Bind,
}

/// A zone with a server that is away beside the two that answer.
fn zone(name: &str, more: &str) -> String {
    format!(
        "$TTL 60\n@ SOA ns1.a.test. root.a.test. 1 3 1 3600 1\n@ NS ns1.a.test.\n@ NS ns2.a.test.\n@ NS ns3.a.test.\n\
         $ORIGIN {name}.\n{more}\n"
    )
}

impl Zones {
    #[track_caller]
    fn new() -> Self {
        sandbox::resolve_here();
        let keys = tempfile::tempdir().expect("a temporary folder");
        let (key_file, mut known) = bind::key(keys.path(), "hmac-sha256", KEY);
        let mut other_keys = Vec::new();
        for algorithm in ["hmac-sha1", "hmac-sha224", "hmac-sha384", "hmac-sha512"] {
            let (file, key) = bind::key(keys.path(), algorithm, algorithm);
            known.push_str(&key);
            other_keys.push(file);
        }
        let apex = format!(
            "ns1 A {PRIMARY}\nns2 A {SECONDARY}\nns3 A 127.0.0.9\n_acme-challenge.host CNAME host.challenges.test.\n"
        );
        let policy = format!("update-policy {{ grant {KEY}. zonesub TXT; }};");
        let primary_zone =
            |name: &str, policy: &str| format!("zone \"{name}\" {{ type primary; file \"{name}\"; {policy} }};\n");
        let secondary_zone = |name: &str| {
            format!("zone \"{name}\" {{ type secondary; file \"{name}\"; primaries {{ {PRIMARY}; }}; }};\n")
        };
        let primary = Bind::start(
            PRIMARY,
            "recursion no;",
            &(known
                + &primary_zone("a.test", &policy)
                + &primary_zone("challenges.test", &policy)
                + &primary_zone("closed.test", "")),
            &[
                ("a.test", &zone("a.test", &apex)),
                ("challenges.test", &zone("challenges.test", "")),
                ("closed.test", &zone("closed.test", "")),
            ],
        );
        // The CA's resolver must follow an alias from one zone into another.
        let zones = ["a.test", "challenges.test", "closed.test"].map(secondary_zone).concat();
        let mut secondary = Bind::start(SECONDARY, "recursion yes;", &zones, &[]);
        for name in ["a.test", "challenges.test"] {
            secondary.process().wait_for_line(&format!("zone {name}/IN: transferred serial"), SOON);
        }
        let scene = Scene::new(Pebble::settings().name_server(SocketAddr::new(SECONDARY, 53)));
        Self { scene, keys, key_file, other_keys, primary, _secondary: secondary }
    }

    /// Starts a vestibule that can only do DNS-01, with these lines in `[acme.dns]`.
    #[track_caller]
    fn vestibule(&self, state: &str, more: &str, dns: &str, names: &str) -> Vestibule {
        let acme = format!(
            "directory = {:?}\nca_file = {}\nchallenges = [\"dns-01\"]\n{more}\n[acme.dns]\n{dns}",
            self.scene.pebble.directory(),
            quoted(&self.scene.pebble.endpoint_root())
        );
        Vestibule::start(&config(&self.scene.folder.path().join(state), &acme, names))
    }

    fn updates(&self, key_file: &Path) -> String {
        format!("provider = \"rfc2136\"\nserver = \"{PRIMARY}:53\"\nkey_file = {}", quoted(key_file))
    }
}

/// One certificate serves all, the challenge is posted when the last server has both values, and nothing stays behind.
#[test]
fn a_wildcard_is_issued_through_a_lagging_secondary() {
    sandbox::run(module_path!(), "a_wildcard_is_issued_through_a_lagging_secondary", &[], LIMIT, || {
        let mut zones = Zones::new();
        fs::set_permissions(&zones.key_file, fs::Permissions::from_mode(0o644)).expect("a file of ours");
        let wildcards = "wildcards = [\"*.a.test\"]";
        let mut vestibule = zones.vestibule("state", wildcards, &zones.updates(&zones.key_file), HUB);
        let mode = vestibule.process().wait_for_line("open to every user of this machine", SOON);
        assert!(mode.contains("chmod o= /"), "{mode}");
        let waiting = vestibule.process().wait_for_line("waiting for name servers", SOON);
        assert!(waiting.contains("ns2.a.test (127.0.0.3)"), "{waiting}");
        let away = vestibule.process().wait_for_line("some name servers of the zone do not answer here", CERTIFICATE);
        assert!(away.contains("ns3.a.test (127.0.0.9)") && !away.contains("ns2"), "{away}");
        vestibule.wait_for_certificate("a.test", CERTIFICATE);
        for name in ["a.test", "matrix.a.test", "b.a.test", "c.a.test", "chat.a.test"] {
            zones.scene.assert_served(name, &WILDCARD);
        }
        assert_eq!(zones.scene.count(), ONE_ORDER);
        assert!(zones.scene.state().join("certificates/_.a.test.pem").exists());
        let warned = vestibule.process().lines().into_iter().filter(|line| line.contains("chmod")).count();
        assert_eq!(warned, 1);
        let added = zones.primary.process().lines().into_iter().filter(|line| line.contains("adding an RR"));
        assert_eq!(added.count(), 2, "a value for the name and one for the wildcard");
        assert_eq!(bind::txt(PRIMARY, "_acme-challenge.a.test"), [""; 0]);
    });
}

/// What the name server says no to costs nothing at the CA, and the log says what to do.
#[test]
fn refusals_name_the_remedy_and_post_no_challenge() {
    sandbox::run(module_path!(), "refusals_name_the_remedy_and_post_no_challenge", &[], LIMIT, || {
        let mut zones = Zones::new();
        let (other_secret, _) = {
            let folder = zones.keys.path().join("other");
            fs::create_dir(&folder).expect("a new folder");
            bind::key(&folder, "hmac-sha256", KEY)
        };
        let (stranger, _) = bind::key(zones.keys.path(), "hmac-sha512", "stranger");
        let server = |name: &str| format!("[[server]]\nserver_name = \"{name}\"");
        let cases = [
            (
                "secret",
                zones.updates(&other_secret),
                "a.test",
                "its secret for the key \"vestibule\" is another one (BADSIG)",
            ),
            (
                "key",
                zones.updates(&stranger),
                "a.test",
                "it does not know the key \"stranger\" with this algorithm (BADKEY)",
            ),
            (
                "closed",
                zones.updates(&zones.key_file),
                "x.closed.test",
                "update-policy { grant vestibule. name _acme-challenge.x.closed.test. TXT; };",
            ),
            (
                "absent",
                zones.updates(&zones.key_file).replace(&PRIMARY.to_string(), "127.0.0.9"),
                "a.test",
                "the name server 127.0.0.9:53 (acme.dns.server) does not answer updates; see that it runs",
            ),
            (
                "nobody",
                zones.updates(&zones.key_file),
                "nowhere.example",
                "DNS cannot be asked about _acme-challenge.nowhere.example",
            ),
            (
                "hook",
                "provider = \"exec\"\ncommand = [\"/bin/sh\", \"-c\", \"echo no credit >&2; exit 9\"]".to_owned(),
                "a.test",
                "/bin/sh present ended with exit status: 9: no credit",
            ),
        ];
        let mut cases: Vec<_> = cases.map(|(state, dns, name, said)| (state.to_owned(), dns, name, said)).into();
        // A refusal is signed, and taken for one only if the signature is good.
        cases.extend(zones.other_keys.iter().enumerate().map(|(index, key)| {
            (
                format!("algorithm-{index}"),
                zones.updates(key),
                "a.test",
                "may not change TXT records at _acme-challenge.a.test (REFUSED)",
            )
        }));
        for (state, dns, name, expected) in cases {
            let mut vestibule = zones.vestibule(&state, "", &dns, &server(name));
            let line = vestibule.process().wait_for_line("ordering a certificate failed", CERTIFICATE);
            assert!(line.contains("publishing a DNS record") && line.contains(expected), "{line}");
            super::stop(vestibule);
        }
        assert_eq!(zones.scene.announced(), 0);
    });
}

/// The record goes where the alias leads, written by a program: `nsupdate`.
#[test]
fn a_hook_writes_where_the_alias_leads() {
    sandbox::run(module_path!(), "a_hook_writes_where_the_alias_leads", &[], LIMIT, || {
        let mut zones = Zones::new();
        let hook = zones.keys.path().join("hook");
        let told = zones.keys.path().join("told");
        let script = format!(
            "#!/bin/sh\nset -e\nprintf '%s %s %s\\n' \"$1\" \"$2\" \"$VESTIBULE_DNS_ZONE\" >>{told}\n\
             case $1 in present) change='add' ttl=60 ;; cleanup) change='delete' ttl= ;; esac\n\
             printf 'server {PRIMARY}\\nzone %s\\nupdate %s %s %s TXT \"%s\"\\nsend\\n' \
             \"$VESTIBULE_DNS_ZONE\" $change \"$2\" \"$ttl\" \"$3\" | nsupdate -k {key}\n",
            told = told.display(),
            key = zones.key_file.display(),
        );
        fs::write(&hook, script).expect("a writable folder");
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        let dns = format!("provider = \"exec\"\ncommand = [{}]", quoted(&hook));
        let vestibule = zones.vestibule("state", "", &dns, "[[server]]\nserver_name = \"host.a.test\"");
        vestibule.wait_for_certificate("host.a.test", CERTIFICATE);
        zones.scene.assert_served("host.a.test", &["host.a.test"]);
        assert_eq!(zones.scene.count(), ONE_ORDER);
        let told = fs::read_to_string(told).expect("what the hook was told");
        let place = "host.challenges.test. challenges.test.";
        assert_eq!(told, format!("present {place}\ncleanup {place}\n"));
        assert_eq!(bind::txt(PRIMARY, "host.challenges.test"), [""; 0]);
    });
}
