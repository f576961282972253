//! Files that this user may not read, as certbot and careful people leave them: the remedy that is printed can be
//! typed as it stands, and works.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{Said, config, pair, run_as};
use crate::support::openssl_ca::{KeyKind, OpensslCa};
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

    /// The program, run by somebody without rights: root becomes nobody, anybody else is somebody already.
    fn unprivileged(&self) -> Command {
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]);
                command.arg(self.path("vestibule"));
                command
            }
            false => Command::new(self.path("vestibule")),
        };
        command.env_clear().current_dir("/");
        command
    }

    /// `validate` by them.
    #[track_caller]
    fn validate(&self, chain: &Path, key: &Path) -> Said {
        let mut command = self.unprivileged();
        command.arg("validate");
        let config = config(self.folder.path(), &format!("issuer = \"files\"\n{}", pair(chain, key)));
        run_as(command, self.folder.path(), &config)
    }

    /// `validate` cannot read `closed` and prints `remedy`, after which it can.
    #[track_caller]
    fn assert_remedied(&self, (chain, key): (&Path, &Path), closed: &Path, remedy: &str) {
        let said = self.validate(chain, key);
        let expected =
            format!("tls.certificates: {}: Permission denied (os error 13); type: {remedy}\n", closed.display());
        assert_eq!(said.status, Some(1), "{said:?}");
        assert!(said.err.contains(&expected), "{expected:?} is not in {said:?}");
        // Only root can give files to a group that it is not in; without root the words must do.
        if is_root() {
            let typed = remedy.replace("chgrp vestibule", &format!("chgrp {NOBODY}"));
            let status = Command::new("sh").args(["-ec", &typed]).status().expect("a shell");
            assert!(status.success(), "{typed}");
            let said = self.validate(chain, key);
            assert_eq!(said.status, Some(0), "after {typed}: {said:?}");
        }
    }
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
#[test]
fn certbots_folders() {
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
    let chain = live.join("a.test/fullchain.pem");
    let key = live.join("a.test/privkey.pem");
    let root = desk.folder.path().display();
    let remedy = format!(
        "chgrp vestibule {root}/live {root}/archive && chmod g+x {root}/live {root}/archive && chgrp vestibule \
         {root}/archive/a.test/privkey*.pem && chmod g+r {root}/archive/a.test/privkey*.pem"
    );
    desk.assert_remedied((&chain, &key), &chain, &remedy);
    // So that everybody can remove it.
    set_mode(&live, 0o755);
    set_mode(&archive, 0o755);
}

#[test]
fn a_closed_key() {
    let desk = Desk::new();
    close(&desk.key, 0o600);
    let key = desk.key.display();
    desk.assert_remedied((&desk.chain, &desk.key), &desk.key, &format!("chgrp vestibule {key} && chmod g+r {key}"));
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
    let remedy = format!("chgrp vestibule {shown} {inside} && chmod g+x {shown} && chmod g+r {inside}");
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
    let mut list = desk.unprivileged();
    let said = list.args(["certs", "list", "--config"]).arg(&file).output().expect("the program starts");
    let err = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{err}");
    assert!(err.contains("is closed to this user") && err.contains("sudo -u vestibule vestibule certs list"), "{err}");
    set_mode(&state, 0o755);
}
