//! Files that this user may not read, as certbot and careful people leave them: the remedy that is printed can be
//! typed as it stands, and works.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::{Said, config, pair, run_as};
use crate::support::openssl::Handshake;
use crate::support::openssl_ca::{KeyKind, OpensslCa};
use crate::support::process::Process;
use crate::support::sandbox::is_root;

/// Debian's `nobody` and `nogroup`, who own nothing.
const NOBODY: &str = "65534";

/// A folder that others may enter, with a whole chain and its key in it.
struct Desk {
    folder: TempDir,
    chain: PathBuf,
    key: PathBuf,
}

impl Desk {
    #[track_caller]
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        set_mode(folder.path(), 0o755);
        // A copy where nobody can reach it: the build folder may be in somebody's closed home.
        fs::copy(env!("CARGO_BIN_EXE_vestibule"), folder.path().join("vestibule")).expect("a copy of the program");
        let ca = OpensslCa::new(folder.path());
        let leaf = ca.issue(&["a.test"], KeyKind::P256);
        let chain = ca.concatenate("whole.pem", &[&leaf.certificate, &ca.intermediate()]);
        Self { folder, chain, key: leaf.key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program as somebody without rights: root becomes nobody, with these further groups; anybody else is
    /// somebody already.
    fn unprivileged(&self, groups: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", NOBODY, "--regid", NOBODY]);
                match groups {
                    Some(groups) => command.args(["--groups", groups]),
                    None => command.arg("--clear-groups"),
                };
                command.arg("--").arg(self.path("vestibule"));
                command
            }
            false => Command::new(self.path("vestibule")),
        };
        command.args(arguments).env_clear().current_dir("/");
        command
    }

    fn config(&self, chain: &Path, key: &Path) -> String {
        config(self.folder.path(), &format!("issuer = \"files\"\n{}", pair(chain, key)))
    }

    #[track_caller]
    fn validate(&self, chain: &Path, key: &Path) -> Said {
        run_as(self.unprivileged(None, &["validate"]), self.folder.path(), &self.config(chain, key))
    }

    /// `validate` cannot read `closed` and prints a remedy, which is typed as it stands, and after which it can.
    /// `remedy` are root's words; an owner's own files need fewer.
    #[track_caller]
    fn assert_remedied(&self, (chain, key): (&Path, &Path), closed: &Path, remedy: &str) {
        let said = self.validate(chain, key);
        assert_eq!(said.status, Some(1), "{said:?}");
        let expected = format!("tls.certificates: {}: Permission denied (os error 13); ", closed.display());
        assert!(said.err.contains(&expected), "{expected:?} is not in {said:?}");
        if is_root() {
            let expected = format!("{expected}as root, type: {remedy}\n");
            assert!(said.err.contains(&expected), "{expected:?} is not in {said:?}");
        }
        type_in(&said.err);
        let said = self.validate(chain, key);
        assert_eq!(said.status, Some(0), "{said:?}");
    }
}

/// Types what a message says to type.
#[track_caller]
fn type_in(message: &str) {
    let typed = message.split("type: ").nth(1).and_then(|rest| rest.lines().next());
    let typed = typed.unwrap_or_else(|| panic!("nothing to type in {message}"));
    let status = Command::new("sh").args(["-ec", typed]).status().expect("a shell");
    assert!(status.success(), "{typed}");
}

/// Others have no rights at all. Nor has an owner who is not root, so that the test can be that owner.
#[track_caller]
fn close(path: &Path, mode: u32) {
    set_mode(path, if is_root() { mode } else { 0 });
}

#[track_caller]
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("one's own file");
}

/// certbot: links in `live/NAME` to numbered files in `archive/NAME`; both folders and the keys are root's alone.
struct Certbot {
    desk: Desk,
    live: PathBuf,
    archive: PathBuf,
}

impl Certbot {
    #[track_caller]
    fn new() -> Self {
        let desk = Desk::new();
        let (live, archive) = (desk.path("live"), desk.path("archive"));
        for folder in [&live, &archive] {
            fs::create_dir_all(folder.join("a.test")).expect("a writable folder");
        }
        for (name, content, mode) in [("fullchain", &desk.chain, 0o644), ("privkey", &desk.key, 0o600)] {
            let archived = archive.join(format!("a.test/{name}1.pem"));
            fs::copy(content, &archived).expect("a writable folder");
            set_mode(&archived, mode);
            let link = live.join(format!("a.test/{name}.pem"));
            symlink(format!("../../archive/a.test/{name}1.pem"), link).expect("a link");
        }
        close(&live, 0o700);
        close(&archive, 0o700);
        Self { desk, live, archive }
    }

    fn remedy(&self) -> String {
        let (live, archive) = (self.live.display(), self.archive.display());
        format!(
            "chgrp nogroup {live} {archive} {archive}/a.test/privkey*.pem && chmod g+x {live} {archive} && chmod g+r \
             {archive}/a.test/privkey*.pem"
        )
    }
}

impl Drop for Certbot {
    /// So that everybody can remove it.
    fn drop(&mut self) {
        set_mode(&self.live, 0o755);
        set_mode(&self.archive, 0o755);
    }
}

#[test]
fn certbots_folders() {
    let certbot = Certbot::new();
    let (chain, key) = (certbot.live.join("a.test/fullchain.pem"), certbot.live.join("a.test/privkey.pem"));
    certbot.desk.assert_remedied((&chain, &key), &chain, &certbot.remedy());
}

/// The way there is a link of the operator's own, and `/etc/letsencrypt` may be one too.
#[test]
fn links_to_certbots_folders() {
    let certbot = Certbot::new();
    let linked = certbot.desk.path("site");
    symlink("live/a.test", &linked).expect("a link");
    let (chain, key) = (linked.join("fullchain.pem"), linked.join("privkey.pem"));
    certbot.desk.assert_remedied((&chain, &key), &chain, &certbot.remedy());
}

#[test]
fn a_closed_key() {
    let desk = Desk::new();
    close(&desk.key, 0o600);
    let key = desk.key.display();
    desk.assert_remedied((&desk.chain, &desk.key), &desk.key, &format!("chgrp nogroup {key} && chmod g+r {key}"));
}

#[test]
fn a_closed_folder() {
    let desk = Desk::new();
    let folder = desk.path("private");
    fs::create_dir(&folder).expect("a writable folder");
    let key = folder.join("site.key");
    fs::copy(&desk.key, &key).expect("a writable folder");
    set_mode(&key, 0o600);
    close(&folder, 0o700);
    let (shown, inside) = (folder.display(), key.display());
    let remedy = format!("chgrp nogroup {shown} {inside} && chmod g+x {shown} && chmod g+r {inside}");
    desk.assert_remedied((&desk.chain, &key), &key, &remedy);
    set_mode(&folder, 0o755);
}

/// The state directory is vestibule's alone: others are told how to look all the same.
#[test]
fn a_closed_state_directory() {
    let desk = Desk::new();
    let state = desk.path("state");
    fs::create_dir(&state).expect("a writable folder");
    close(&state, 0o700);
    let file = desk.path("list.toml");
    fs::write(&file, format!("server_name = \"a.test\"\nstate_dir = {state:?}\n")).expect("a writable folder");
    set_mode(&file, 0o644);
    let mut list = desk.unprivileged(None, &["certs", "list", "--config"]);
    let said = list.arg(&file).output().expect("the program starts");
    let err = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{err}");
    assert!(err.contains("is closed to this user") && err.contains("sudo -u vestibule vestibule certs list"), "{err}");
    set_mode(&state, 0o755);
}

/// Chain and key in different folders, one of them with a space: one remedy for both.
#[test]
fn two_closed_folders() {
    let desk = Desk::new();
    let (chains, keys) = (desk.path("chains"), desk.path("the keys"));
    let (chain, key) = (chains.join("a.pem"), keys.join("a.key"));
    for (folder, from, to) in [(&chains, &desk.chain, &chain), (&keys, &desk.key, &key)] {
        fs::create_dir(folder).expect("a writable folder");
        fs::copy(from, to).expect("a writable folder");
        set_mode(to, 0o600);
        close(folder, 0o700);
    }
    let (a, b, c, d) = (chains.display(), chain.display(), keys.display(), key.display());
    let remedy = format!("chgrp nogroup {a} '{c}' {b} '{d}' && chmod g+x {a} '{c}' && chmod g+r {b} '{d}'");
    desk.assert_remedied((&chain, &key), &chain, &remedy);
    set_mode(&chains, 0o755);
    set_mode(&keys, 0o755);
}

/// Debian's `/etc/ssl/private` belongs to a group with other members, who must not lose it.
#[test]
fn a_folder_that_is_another_groups() {
    if !is_root() {
        return; // Only root can lay out files of others.
    }
    let desk = Desk::new();
    let folder = desk.path("private");
    fs::create_dir(&folder).expect("a writable folder");
    let key = folder.join("site.key");
    fs::copy(&desk.key, &key).expect("a writable folder");
    for (path, mode) in [(&key, 0o640), (&folder, 0o710)] {
        chown(path, None, Some(1)).expect("root may");
        set_mode(path, mode);
    }
    let said = desk.validate(&desk.chain, &key);
    let remedy = "; restart vestibule after this; as root, type: usermod -aG daemon nobody\n";
    assert!(said.status == Some(1) && said.err.contains(remedy), "{said:?}");
    let joined = desk.unprivileged(Some("1"), &["validate"]);
    let said = run_as(joined, desk.folder.path(), &desk.config(&desk.chain, &key));
    assert_eq!(said.status, Some(0), "{said:?}");
}

/// Rights that are lost while it runs: the last good pair stays, the remedy is told, and typing it is all there is to
/// do.
#[test]
fn rights_lost_while_it_runs() {
    let desk = Desk::new();
    set_mode(desk.folder.path(), 0o777);
    set_mode(&desk.key, 0o644);
    let file = desk.path("run.toml");
    fs::write(&file, desk.config(&desk.chain, &desk.key)).expect("a writable folder");
    let mut command = desk.unprivileged(None, &["run", "--config"]);
    let process = Process::spawn("vestibule", command.arg(&file));
    process.wait_for_line("ready", Duration::from_secs(20));
    let mark = process.mark();
    close(&desk.key, 0o600);
    let told = process.wait_for_line_since(mark, "Permission denied", Duration::from_secs(30));
    assert!(told.contains("WARN") && told.contains("the last good pair stays in service, until "), "{told}");
    assert!(told.contains(&format!("{}: ", desk.key.display())), "{told}");
    let listening = process.wait_for_line("listener=https ", Duration::from_secs(1));
    let address = listening.split("address=").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let handshake = Handshake::with(address.expect("an address")).name("a.test").trust(&desk.path("root.pem"));
    assert!(handshake.perform().is_verified());
    type_in(&told);
    process.wait_for_line_since(mark, "it can be read again", Duration::from_secs(15));
    assert!(handshake.perform().is_verified());
    let told = process.lines_since(mark).iter().filter(|line| line.contains("Permission denied")).count();
    assert_eq!(told, 1, "once");
}
