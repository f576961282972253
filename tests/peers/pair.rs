//! Two homeservers that have only each other: Pebble, two Synapses, and a vestibule in front of each.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::curl::Curl;
use crate::support::pebble::Pebble;
use crate::support::synapse::Synapse;
use crate::support::vestibule::{Vestibule, quoted};

/// The names exist in the sandbox's hosts file only. Federation looks for a server on port 443 of its name's address,
/// so each has a loopback address of its own.
pub const HOSTS: [(IpAddr, &str); 2] =
    [(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), "a.fed.test"), (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)), "b.fed.test")];

const CERTIFICATE: Duration = Duration::from_secs(30);
const VERDICT: Duration = Duration::from_secs(60);

/// Both sides, up and federating. Fronts end before the homeservers behind them.
pub struct Pair {
    pub a: Side,
    pub b: Side,
    roots: PathBuf,
    _pebble: Pebble,
    _folder: TempDir,
}

/// One homeserver and its front.
pub struct Side {
    pub name: &'static str,
    pub front: Vestibule,
    pub synapse: Synapse,
}

impl Pair {
    #[track_caller]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pebble = Pebble::settings().start();
        let roots = pebble.save_issuing_root(folder.path());
        // Both at once: most of the time goes into loading Python.
        let [synapse_a, synapse_b] = std::thread::scope(|scope| {
            let roots = &roots;
            HOSTS
                .map(|(_, name)| scope.spawn(move || Synapse::start(name, roots)))
                .map(|starting| starting.join().unwrap_or_else(|reason| std::panic::resume_unwind(reason)))
        });
        let a = Side::start(HOSTS[0], synapse_a, &pebble);
        let b = Side::start(HOSTS[1], synapse_b, &pebble);
        Self { a, b, roots, _pebble: pebble, _folder: folder }
    }

    /// The root that both fronts' certificates lead to.
    pub fn roots(&self) -> &Path {
        &self.roots
    }

    /// Both fronts have looked at themselves from outside and found that they federate.
    #[track_caller]
    pub fn wait_for_verdicts(&mut self) {
        for side in [&mut self.a, &mut self.b] {
            side.front.process().wait_for_line("verdict=federates", VERDICT);
        }
    }

    /// What another server asks first: where the server is, and with which key it signs.
    #[track_caller]
    pub fn assert_discoverable(&self) {
        for Side { name, .. } in [&self.a, &self.b] {
            let get = |path: &str| {
                Curl::new().trust(&self.roots).send(&format!("https://{name}{path}")).expect_status(200).json()
            };
            assert_eq!(get("/.well-known/matrix/server")["m.server"], format!("{name}:443"));
            let keys = get("/_matrix/key/v2/server");
            assert_eq!(keys["server_name"], *name);
            assert!(keys["signatures"][*name].is_object(), "{keys}");
        }
    }
}

impl Side {
    #[track_caller]
    fn start((address, name): (IpAddr, &'static str), synapse: Synapse, pebble: &Pebble) -> Self {
        let at = |port: u16| SocketAddr::from((address, port));
        let front = Vestibule::start(&format!(
            r#"
            server_name = "{name}"
            homeserver = "{homeserver}"

            [listen]
            https = ["{https}"]
            federation = ["{federation}"]
            http = ["{http}"]
            status = "off"

            [acme]
            directory = "{directory}"
            ca_file = {ca_file}

            [check]
            network = "private"

            # Synapse takes its time to start when others keep the machine busy.
            [log]
            level = "debug"
            [limits]
            hold = {{ federation = "50s", key = "50s", client = "50s" }}
            "#,
            homeserver = synapse.url(),
            https = at(443),
            federation = at(8448),
            http = at(80),
            directory = pebble.directory(),
            ca_file = quoted(&pebble.endpoint_root()),
        ));
        front.wait_for_certificate(name, CERTIFICATE);
        Self { name, front, synapse }
    }
}
