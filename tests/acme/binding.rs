//! Accounts that are bound to one at the CA's own site (RFC 8555 §7.3.4), where a binding is good for one account.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::lab::{HTTP, Lab, PATIENCE, asks, assert_pleased, kill, made, next_attempt_in, wait_for};
use super::{CLOSED, HOSTS, LIMIT, NAMES, stop};
use crate::support::faulty_ca::{Fault, FaultyCa, Kind, Matcher};
use crate::support::faulty_server::FaultyServer;
use crate::support::pebble::Pebble;
use crate::support::sandbox;
use crate::support::vestibule::quoted;

const KEY_ID: &str = "kid-1";
const KEY: &[u8] = b"thirty-two bytes of shared secret";

impl Lab {
    fn key_file(&self) -> PathBuf {
        self.folder().join("hmac.key")
    }

    fn write_key(&self, key: &[u8]) {
        fs::write(self.key_file(), format!("{}\n", BASE64_URL_SAFE_NO_PAD.encode(key))).expect("a writable folder");
    }

    /// Settings with the binding's.
    fn bound(&self, acme: &str) -> String {
        let file = quoted(&self.key_file());
        format!("{acme}[acme.external_account]\nkey_id = {KEY_ID:?}\nhmac_key_file = {file}\n")
    }
}

fn bound_pebble() -> Pebble {
    let key = BASE64_URL_SAFE_NO_PAD.encode(KEY);
    let settings = Pebble::settings().challenge_ports(80, CLOSED);
    settings.external_account(KEY_ID, &key).external_account_required().start()
}

fn asks_pebble(pebble: &Pebble) -> String {
    format!("directory = {:?}\nca_file = {}\n{HTTP}", pebble.directory(), quoted(&pebble.endpoint_root()))
}

fn logged(pebble: &mut Pebble, what: &str) -> usize {
    pebble.process().lines().iter().filter(|line| line.contains(what)).count()
}

#[test]
fn an_account_is_bound_once_and_its_binding_is_not_needed_again() {
    let name = "an_account_is_bound_once_and_its_binding_is_not_needed_again";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let (mut pebble, lab) = (bound_pebble(), Lab::new());
        lab.write_key(KEY);
        let acme = lab.bound(&asks_pebble(&pebble));
        let mut vestibule = lab.issue(&acme);
        let told = vestibule.process().wait_for_line("the account at the CA is registered", PATIENCE);
        assert!(told.contains(&pebble.directory()), "{told}");
        stop(vestibule);
        // The file has served its purpose.
        fs::remove_file(lab.key_file()).expect("the key");
        fs::remove_file(lab.certificate_file()).expect("the certificate");
        let vestibule = lab.issue(&acme);
        assert_eq!((logged(&mut pebble, "POST /sign-me-up "), logged(&mut pebble, "Added order ")), (1, 2));
        stop(vestibule);
    });
}

#[test]
fn a_binding_that_is_wrong_or_missing_is_told_with_what_to_set() {
    let name = "a_binding_that_is_wrong_or_missing_is_told_with_what_to_set";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        let (mut pebble, lab) = (bound_pebble(), Lab::new());
        let plain = asks_pebble(&pebble);

        let mut vestibule = lab.start(&plain);
        let line = vestibule.process().wait_for_line("there is no account to order with", PATIENCE);
        let setting = "set acme.external_account.key_id and hmac_key_file";
        assert!(line.contains(" ERROR ") && line.contains(setting) && line.contains(&pebble.directory()), "{line}");
        stop(vestibule);
        assert_eq!(logged(&mut pebble, "POST /sign-me-up "), 0, "the directory says it, so nobody is asked");

        let bound = lab.bound(&plain);
        let file = lab.key_file().display().to_string();
        for content in ["", "no base64url!"] {
            fs::write(lab.key_file(), content).expect("a writable folder");
            let mut vestibule = lab.start(&bound);
            let line = vestibule.process().wait_for_line("there is no account to order with", PATIENCE);
            assert!(line.contains(&file) && line.contains("base64url"), "{content:?}: {line}");
            stop(vestibule);
        }
        assert_eq!(logged(&mut pebble, " accounts in memory"), 0);

        // A key that is one, and another one's.
        lab.write_key(b"another secret of thirty-two bytes");
        let mut vestibule = lab.start(&bound);
        let line = vestibule.process().wait_for_line("with this external account binding", PATIENCE);
        assert!(line.contains(" ERROR ") && line.contains(&file) && line.contains("key_id=kid-1"), "{line}");
        let line = vestibule.process().wait_for_line("making an account failed", PATIENCE);
        assert!((45..=67).contains(&next_attempt_in(&line)), "not at once again: {line}");
        assert_eq!(logged(&mut pebble, " accounts in memory"), 0);
        assert_eq!(logged(&mut pebble, "Added order "), 0);
        // Mended while it runs.
        lab.write_key(KEY);
        let mended = lab.renew(&[]);
        assert!(mended.good, "{mended:?}");
        vestibule.wait_for_certificate(NAMES[0], PATIENCE);
        stop(vestibule);
    });
}

/// The key of the account comes first: whatever happens then, the CA sees one account, and spends one binding.
#[test]
fn a_crash_while_registering_spends_no_second_binding() {
    let name = "a_crash_while_registering_spends_no_second_binding";
    sandbox::run(module_path!(), name, &HOSTS, LIMIT, || {
        for heard in [false, true] {
            let settings = FaultyCa::settings().external_account(KEY_ID, KEY);
            let settings = settings.external_account_required().single_use_bindings();
            let (server, lab) = (FaultyServer::settings(settings).start(), Lab::new());
            lab.write_key(KEY);
            let acme = lab.bound(&format!("{}{HTTP}", asks(&server)));
            // Either the request is lost, or its answer.
            let fault = if heard { Fault::LostAnswer } else { Fault::Hang };
            server.ca().fault(Matcher::of(Kind::NewAccount).times(1), fault);
            let vestibule = lab.start(&acme);
            wait_for(&server, Kind::NewAccount, 1);
            kill(vestibule);
            let (_, account) = lab.file("account.json");
            let account: serde_json::Value = serde_json::from_str(&account).expect("JSON");
            assert!(account["key_pkcs8"].is_string() && account["id"].is_null(), "{account}");
            let vestibule = lab.start(&acme);
            if made(&server).2 == 0 {
                let again = lab.renew(&[]);
                assert!(again.good, "{again:?}");
            }
            vestibule.wait_for_certificate(NAMES[0], PATIENCE);
            assert_eq!(made(&server), (1, 1, 1), "{heard}");
            let records = server.ca().records();
            assert_eq!(records.accounts[0].bound.as_deref(), Some(KEY_ID));
            // The second start asks for the account of its key first.
            assert_eq!(records.count(Kind::NewAccount), if heard { 2 } else { 3 });
            let (_, after) = lab.file("account.json");
            let after: serde_json::Value = serde_json::from_str(&after).expect("JSON");
            assert_eq!(after["key_pkcs8"], account["key_pkcs8"]);
            assert_pleased(&server);
            stop(vestibule);
        }
    });
}
