//! What a kill, a full disk, a folder that cannot be written and flipped bits do to the certificates of the real
//! program: at every start the old or the new pair is served, and no CA pays for it.

mod bits;
mod disk;
mod kills;
mod look;
mod orders;
mod readonly;
mod two;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::eventually::eventually;
use crate::support::faulty_ca::{FaultyCa, Renewal};
use crate::support::faulty_server::FaultyServer;
use crate::support::vestibule::{Vestibule, command, quoted};
use look::Trust;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

const NAMES: [&str; 2] = ["a.test", "matrix.a.test"];

const HOSTS: [(IpAddr, &str); 2] = [(ADDRESS, NAMES[0]), (ADDRESS, NAMES[1])];

const HTTPS: SocketAddr = SocketAddr::new(ADDRESS, 443);

/// Far more than any of these needs on a busy machine; a hanging one must not hang the others.
const LIMIT: Duration = Duration::from_secs(180);

/// For a certificate.
const CERTIFICATE: Duration = Duration::from_secs(60);

/// For what needs nothing from outside.
const SOON: Duration = Duration::from_secs(20);

/// A CA, and a state folder for the vestibules that come and go in front of it.
struct Scene {
    server: FaultyServer,
    folder: TempDir,
    trust: Trust,
}

impl Scene {
    #[track_caller]
    fn new() -> Self {
        let server = FaultyServer::settings(FaultyCa::settings()).start();
        let trust = Trust::new(&server.ca().issuing_root());
        Self { server, folder: tempfile::tempdir().expect("a temporary folder"), trust }
    }

    fn ca(&self) -> &FaultyCa {
        self.server.ca()
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn certificate_file(&self) -> PathBuf {
        self.state().join("certificates/a.test.pem")
    }

    /// The folder of this CA.
    #[track_caller]
    fn ca_folder(&self) -> PathBuf {
        let mut folders = fs::read_dir(self.state().join("acme")).expect("a CA's folder");
        folders.next().expect("a CA's folder").expect("a readable folder").path()
    }

    fn orders_file(&self) -> PathBuf {
        self.ca_folder().join("orders/a.test.json")
    }

    fn pending_file(&self) -> PathBuf {
        self.ca_folder().join("pending/a.test.json")
    }

    fn config(&self) -> String {
        self.config_in(&self.state())
    }

    fn config_in(&self, state: &Path) -> String {
        format!(
            r#"
            state_dir = {state}
            [listen]
            https = ["{HTTPS}"]
            federation = []
            http = []
            status = "off"
            admin = "unix:{admin}"
            [acme]
            directory = {directory:?}
            ca_file = {root}
            challenges = ["tls-alpn-01"]
            [check]
            network = "private"
            [[server]]
            server_name = {name:?}
            public_host = {host:?}
            "#,
            state = quoted(state),
            admin = self.folder.path().join("admin.sock").display(),
            directory = self.server.directory(),
            root = quoted(&self.server.endpoint_root()),
            name = NAMES[0],
            host = NAMES[1],
        )
    }

    /// Starts one and waits until it says that it is ready.
    #[track_caller]
    fn start(&self) -> Vestibule {
        Vestibule::start(&self.config())
    }

    /// Has the first certificate issued, and ends in peace.
    #[track_caller]
    fn issue_once(&self) {
        let vestibule = self.start();
        vestibule.wait_for_certificate(NAMES[0], CERTIFICATE);
        self.wait_for_record();
        stop(vestibule);
    }

    /// Waits until the record of orders knows what became of the last one. That is written after the certificate is
    /// published; an end in between counts as an attempt that was cut short.
    #[track_caller]
    fn wait_for_record(&self) {
        eventually("the record", SOON, || {
            let record = fs::read(self.orders_file()).map_err(|error| error.to_string())?;
            let record: serde_json::Value = serde_json::from_slice(&record).map_err(|error| error.to_string())?;
            let open = &record["record"]["open"];
            if open.is_null() { Ok(()) } else { Err(format!("an order is open: {open}")) }
        });
    }

    /// From now on the CA says of every certificate that it should have been replaced.
    fn demand_replacement(&self) {
        let now = self.server.now();
        self.ca().every_renewal(Renewal::Window { start: now - 7200, end: now - 3600, explanation: None });
    }

    /// A command that has the certificate renewed, due or not.
    fn renew_by_force(&self) -> Command {
        let file = self.folder.path().join("commands.toml");
        fs::write(&file, self.config()).expect("a writable folder");
        let mut renew = command(["certs", "renew", "--force", "--config"]);
        renew.arg(file);
        renew
    }

    /// How many accounts, orders and certificates the CA has made.
    fn count(&self) -> [usize; 3] {
        self.ca().with_records(|records| [records.accounts.len(), records.orders.len(), records.certificates.len()])
    }

    /// What is served now: the number of a certificate in the CA's records. Proves on the way that the chain leads to
    /// the CA's root and that the key is the certificate's.
    #[track_caller]
    fn served(&self) -> Option<usize> {
        self.trust.handshake().expect("a listener").map(|key| self.number_of(&key))
    }

    #[track_caller]
    fn number_of(&self, key: &[u8]) -> usize {
        let number = self
            .ca()
            .with_records(|records| records.certificates.iter().position(|certificate| certificate.public_key == key));
        number.expect("a certificate that the CA has issued is served")
    }

    /// Ends the test if a CA would have been displeased, or if anything is in the state folder that a calm life would
    /// not have left there.
    #[track_caller]
    fn assert_clean(&self) {
        self.assert_rules_kept();
        assert_eq!(self.ca().records().over_limits(), Vec::<String>::new());
        let expected = ["acme/CA/account.json", "acme/CA/orders/a.test.json", "certificates/a.test.pem", "lock"];
        let files = look::files(&self.state());
        let ca = self.ca_folder();
        let ca = ca.file_name().expect("a folder").to_string_lossy();
        let strange: Vec<_> = files.iter().map(|file| file.replacen(&*ca, "CA", 1)).collect();
        let strange: Vec<_> = strange.iter().filter(|file| !expected.contains(&file.as_str())).collect();
        assert!(strange.is_empty(), "left in the state folder: {strange:?}");
        look::assert_private(&self.state());
    }

    /// Ends the test if a client broke a rule. Limits are another matter: some tests turn a folder back.
    #[track_caller]
    fn assert_rules_kept(&self) {
        let records = self.ca().records();
        assert!(records.breaches.is_empty(), "{:?}", records.breaches);
        assert!(records.accounts.len() <= 1, "{:?}", records.accounts);
    }
}

#[track_caller]
fn stop(vestibule: Vestibule) {
    let status = vestibule.terminate(SOON);
    assert!(status.success(), "vestibule ended with {status}");
}
