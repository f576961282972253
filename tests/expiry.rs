//! A certificate nears its end: the log, the unit's status and the operator's hook say so, each rung once.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, date_time_ymd};
use tempfile::TempDir;

use crate::support::ca::{Issued, TestCa};
use crate::support::eventually::eventually;
use crate::support::vestibule::{Vestibule, quoted};

const SOON: Duration = Duration::from_secs(20);

/// A folder with certificates, a hook and a state that outlives a run.
pub struct Desk {
    folder: TempDir,
    ca: TestCa,
}

impl Desk {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = TestCa::new(folder.path());
        Self { folder, ca }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for `a.invalid` that began and ends about so many days from today.
    pub fn issue(&self, began: i64, ends: i64) -> Issued {
        let mut params = CertificateParams::new(vec!["a.invalid".to_owned()]).expect("a name");
        let date = |offset| {
            let (year, month, day) = day(offset);
            date_time_ymd(year, month, day)
        };
        (params.not_before, params.not_after) = (date(began), date(ends));
        let issued = self.ca.issue_with(params);
        let leaf = fs::read_to_string(&issued.chain).expect("a leaf");
        fs::write(&issued.chain, leaf + self.ca.root_pem()).expect("a writable folder");
        issued
    }

    /// A shell script.
    fn script(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).expect("a writable folder");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("our own file");
        file
    }

    /// Serves this certificate, with this hook.
    pub fn config(&self, pair: &Issued, hook: &[&Path]) -> String {
        let hook: Vec<_> = hook.iter().map(|word| quoted(word)).collect();
        format!(
            "server_name = \"a.invalid\"\nhomeserver = \"http://127.0.0.1:9\"\nstate_dir = {}\nlog.level = \"info,vestibule=debug\"\n\
             listen.https = [\"127.0.0.1:0\"]\nlisten.federation = []\nlisten.http = []\nlisten.status = \"off\"\n\
             check.network = \"private\"\nacme.expiry_hook = [{}]\n\
             tls.issuer = \"files\"\n[[tls.certificates]]\nchain = {}\nkey = {}\n",
            quoted(&self.path("state")),
            hook.join(", "),
            quoted(&pair.chain),
            quoted(&pair.key),
        )
    }
}

/// Year, month and day so many days from today.
pub fn day(offset: i64) -> (i32, u8, u8) {
    let date = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * offset)).to_string();
    let mut parts = date.split(['-', 'T']).map(|part| part.parse::<i32>().expect("a number"));
    let mut next = || parts.next().expect("a date");
    let narrow = |number: i32| u8::try_from(number).expect("a month or a day");
    (next(), narrow(next()), narrow(next()))
}

/// The hook's script of most tests: writes what it is told, one run after the other.
fn telling(desk: &Desk) -> PathBuf {
    desk.script("hook", "{ echo \"run $1\"; env | grep ^VESTIBULE_ | sort; env | grep NOTIFY_SOCKET || :; } >> \"$2\"")
}

#[test]
fn a_twelfth_left_is_told_everywhere_and_the_hook_hears_it_once() {
    let desk = Desk::new();
    let (heard, socket) = (desk.path("heard"), desk.path("notify"));
    let systemd = UnixDatagram::bind(&socket).expect("a socket");
    systemd.set_read_timeout(Some(SOON)).expect("a socket");
    let pair = desk.issue(-230, 10);
    let config = desk.config(&pair, &[&telling(&desk), Path::new("a b"), &heard]);

    let mut first = Vestibule::start_notifying(&socket, &config);
    let alarm = first.process().wait_for_line("a twelfth of its lifetime left", SOON);
    for part in ["ERROR", "names=a.invalid", "not_after=", "left=9 days", "fix=\"vestibule certs list\""] {
        assert!(alarm.contains(part), "{part} is not in {alarm}");
    }
    first.process().wait_for_line("acme.expiry_hook was run", SOON);
    let said = fs::read_to_string(&heard).expect("the hook has run");
    let lines: Vec<_> = said.lines().collect();
    let value = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(&format!("VESTIBULE_{name}=")));
        line.unwrap_or_else(|| panic!("no {name} in {said}"))
    };
    assert_eq!(lines[0], "run a b", "its arguments are as they were written");
    assert_eq!((value("NAMES"), value("RUNG")), ("a.invalid", "error"));
    let left: i64 = value("LEFT_SECONDS").parse().expect("a number");
    assert!((9 * 86_400..=10 * 86_400).contains(&left), "{left}");
    let end: jiff::Timestamp = value("NOT_AFTER").parse().expect("RFC 3339");
    let seconds = end.as_second() - jiff::Timestamp::now().as_second();
    assert!((seconds - left).abs() < 60, "{seconds} or {left}");
    assert_eq!(value("SOURCE"), pair.chain.to_string_lossy());
    assert!(value("SERIAL").len() >= 2 && value("SERIAL").chars().all(|c| c.is_ascii_hexdigit()));
    assert!(!said.contains("NOTIFY_SOCKET"), "the socket is not the hook's");

    let wanted = "STATUS=serving 1 certificate; a.invalid expires in 9 days";
    let mut buffer = [0; 1024];
    let told = eventually("the unit's status", SOON, || {
        let length = systemd.recv(&mut buffer).map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if told.starts_with(wanted) { Ok(told) } else { Err(told) }
    });
    assert!(told.starts_with(wanted));
    assert_eq!(first.terminate(SOON).code(), Some(0));

    // A restart says it again in the log, where it may have been missed, and does not call anybody out of bed.
    let mut second = Vestibule::start(&config);
    second.process().wait_for_line("a twelfth of its lifetime left", SOON);
    second.process().wait_for_line("acme.expiry_hook knows of this already", SOON);
    assert_eq!(second.terminate(SOON).code(), Some(0));
    assert_eq!(fs::read_to_string(&heard).expect("a file"), said);

    // Nor does a record hide what comes later: another certificate is told of.
    let mut third = Vestibule::start(&desk.config(&desk.issue(-200, 40), &[&telling(&desk), Path::new("c"), &heard]));
    third.process().wait_for_line("a sixth of its lifetime left", SOON);
    third.process().wait_for_line("acme.expiry_hook was run", SOON);
    assert!(fs::read_to_string(&heard).expect("a file").contains("VESTIBULE_RUNG=warn"));
}

#[test]
fn a_good_certificate_is_no_news() {
    let desk = Desk::new();
    let heard = desk.path("heard");
    let mut vestibule =
        Vestibule::start(&desk.config(&desk.issue(-10, 80), &[&telling(&desk), Path::new("x"), &heard]));
    vestibule.process().wait_for_line("self-check", SOON);
    assert!(!vestibule.process().lines().iter().any(|line| line.contains("of its lifetime left")));
    assert!(!heard.exists());
}

#[test]
fn a_hook_that_fails_or_is_missing_is_told() {
    let desk = Desk::new();
    let failing = desk.script("failing", "echo cannot reach the pager >&2; exit 7");
    let mut vestibule = Vestibule::start(&desk.config(&desk.issue(-200, 40), &[&failing]));
    let line = vestibule.process().wait_for_line("acme.expiry_hook failed", SOON);
    assert!(
        line.contains("WARN") && line.contains("exit status: 7") && line.contains("cannot reach the pager"),
        "{line}"
    );
    assert_eq!(vestibule.terminate(SOON).code(), Some(0));
    let missing = desk.path("missing");
    let mut vestibule = Vestibule::start(&desk.config(&desk.issue(-200, 40), &[&missing]));
    // At the start, not only on the day that it matters.
    vestibule.process().wait_for_line("missing is not there", SOON);
    vestibule.process().wait_for_line("acme.expiry_hook cannot be run", SOON);
}

/// Neither serving nor stopping waits for it, and nothing of it is left.
#[test]
fn a_hook_that_hangs_ends_with_the_program() {
    let desk = Desk::new();
    let ids = desk.path("ids");
    let hanging = desk.script("hanging", "sleep 600 & echo $! $$ > \"$1.new\"; mv \"$1.new\" \"$1\"; sleep 600");
    let mut vestibule = Vestibule::start(&desk.config(&desk.issue(-200, 40), &[&hanging, &ids]));
    let ids = eventually("the hook runs", SOON, || fs::read_to_string(&ids));
    assert!(vestibule.process().try_wait().is_none());
    assert_eq!(vestibule.terminate(SOON).code(), Some(0));
    for id in ids.split_whitespace() {
        eventually("what the hook has started ends", SOON, || match fs::read_to_string(format!("/proc/{id}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        });
    }
}

/// A store that fails holds the hook back, so that a crash loop cannot run it at every start.
#[test]
fn a_hook_that_cannot_be_recorded_waits() {
    let desk = Desk::new();
    fs::create_dir_all(desk.path("state/expiry/files-0.json")).expect("our own folder");
    let heard = desk.path("heard");
    let config = desk.config(&desk.issue(-200, 40), &[&telling(&desk), Path::new("x"), &heard]);
    let mut vestibule = Vestibule::start(&config);
    vestibule.process().wait_for_line("cannot be recorded; it runs all the same", SOON);
    assert_eq!(vestibule.terminate(SOON).code(), Some(0));
    assert!(!heard.exists());
}
