//! An import by root for a service that is somebody else: what is written can be read by it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use super::{Said, run_as};
use crate::support::openssl;
use crate::support::openssl_ca::{KeyKind, OpensslCa};
use crate::support::sandbox::is_root;
use crate::support::vestibule::quoted;

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

#[track_caller]
fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("one's own file");
}

/// The program with these arguments, by root or by nobody, on one state directory.
#[track_caller]
fn vestibule(folder: &Path, as_nobody: bool, arguments: &[&str], tls: &str) -> Said {
    let mut command = match as_nobody {
        true => {
            let id = NOBODY.to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(folder.join("vestibule"));
            command
        }
        false => Command::new(folder.join("vestibule")),
    };
    command.args(arguments).env_clear().current_dir("/");
    let state = folder.join("service/state");
    run_as(command, folder, &format!("server_name = \"a.test\"\nstate_dir = {}\n{tls}", quoted(&state)))
}

#[test]
fn what_root_imports_belongs_to_the_service() {
    // Nobody else can give files away; the sandbox's root cannot either, having no other users.
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    set_mode(folder, 0o755);
    fs::copy(env!("CARGO_BIN_EXE_vestibule"), folder.join("vestibule")).expect("a copy of the program");
    let ca = OpensslCa::new(folder);
    let leaf = ca.issue(&["a.test"], KeyKind::P256);
    let lineage = folder.join("letsencrypt/live/a.test");
    fs::create_dir_all(&lineage).expect("a writable folder");
    set_mode(&folder.join("letsencrypt/live"), 0o700);
    fs::copy(ca.concatenate("whole.pem", &[&leaf.certificate, &ca.intermediate()]), lineage.join("fullchain.pem"))
        .expect("a writable folder");
    fs::copy(&leaf.key, lineage.join("privkey.pem")).expect("a writable folder");
    let source = folder.join("letsencrypt").display().to_string();
    let import = ["certs", "import", "certbot", &source];

    // The service's user may not read the keys, is told so, and has lost nothing.
    fs::create_dir_all(folder.join("service/state")).expect("a writable folder");
    set_mode(&folder.join("service/state"), 0o700);
    chown(folder.join("service/state"), Some(NOBODY), Some(NOBODY)).expect("root may");
    let said = vestibule(folder, true, &import, "");
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.out.contains("Permission denied (os error 13); run this command as root"), "{said:?}");

    let certificate = folder.join("service/state/certificates/a.test.pem");
    for _ in 0..2 {
        let said = vestibule(folder, false, &import, "");
        assert_eq!(said.status, Some(0), "{said:?}");
        for path in [certificate.as_path(), certificate.parent().expect("a folder")] {
            let metadata = path.metadata().expect("it is there");
            assert_eq!((metadata.uid(), metadata.gid()), (NOBODY, NOBODY), "{}", path.display());
            assert_eq!(metadata.mode() & 0o077, 0, "{}", path.display());
        }
        // As an import that was cut short would leave it; the next one puts it right.
        chown(&certificate, Some(0), Some(0)).expect("root may");
    }
    vestibule(folder, false, &import, "");

    // The service reads it: it has something better than what it would import, and replaces nothing.
    set_mode(&folder.join("letsencrypt/live"), 0o755);
    chown(lineage.join("privkey.pem"), Some(NOBODY), None).expect("root may");
    let said = vestibule(folder, true, &import, "");
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.out.starts_with("kept "), "{said:?}");

    // A state directory that is not there yet is made, and somebody is told whose it is.
    fs::remove_dir_all(folder.join("service")).expect("one's own folder");
    let said = vestibule(folder, false, &import, "");
    assert_eq!(said.status, Some(0), "{said:?}");
    assert_eq!(folder.join("service/state").metadata().expect("made").mode() & 0o777, 0o700);
    let passwd = fs::read_to_string("/etc/passwd").expect("a readable file");
    if !passwd.lines().any(|line| line.starts_with("vestibule:")) {
        assert!(said.out.contains("type: chown -R vestibule: "), "{said:?}");
    }
}

#[test]
fn what_is_no_such_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    fs::copy(env!("CARGO_BIN_EXE_vestibule"), folder.join("vestibule")).expect("a copy of the program");
    let empty = folder.join("empty").display().to_string();
    fs::create_dir(&empty).expect("a writable folder");
    for (program, remedy) in [("certbot", "usually /etc/letsencrypt"), ("caddy", "/var/lib/caddy/.local/share/caddy")] {
        for at in [empty.as_str(), "/does/not/exist"] {
            let said = vestibule(folder, false, &["certs", "import", program, at], "");
            assert_eq!((said.status, said.out.as_str()), (Some(1), ""), "{said:?}");
            assert!(said.err.contains(at) && said.err.contains(remedy), "{said:?}");
        }
    }
    let said = vestibule(folder, false, &["certs", "import", "caddy", &empty], "[tls]\nissuer = \"internal\"");
    assert_eq!(said.status, Some(1), "{said:?}");
    assert!(said.err.contains("tls.issuer is not \"acme\""), "{said:?}");
    assert!(!folder.join("service").exists(), "nothing is made for nothing");
}

/// Keys in the forms that OpenSSL wrote for decades, which many a folder still has, are taken and served; a kind of key
/// that clients cannot use is not.
#[test]
fn old_and_odd_keys() {
    for (kind, conversion, header) in [
        (KeyKind::P256, Some(&["ec"][..]), "BEGIN EC PRIVATE KEY"),
        (KeyKind::Rsa2048, Some(&["rsa", "-traditional"]), "BEGIN RSA PRIVATE KEY"),
        (KeyKind::P521, None, "BEGIN PRIVATE KEY"),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let folder = folder.path();
        fs::copy(env!("CARGO_BIN_EXE_vestibule"), folder.join("vestibule")).expect("a copy of the program");
        let ca = OpensslCa::new(folder);
        let leaf = ca.issue(&["a.test"], kind);
        let lineage = folder.join("caddy/certificates/ca.example-directory/a.test");
        fs::create_dir_all(&lineage).expect("a writable folder");
        ca.concatenate(
            "caddy/certificates/ca.example-directory/a.test/a.test.crt",
            &[&leaf.certificate, &ca.intermediate()],
        );
        let key = fs::read_to_string(&leaf.key).expect("a key");
        let key = match conversion {
            Some(words) => openssl::must(words.iter().map(|word| (*word).to_owned()), &key),
            None => key,
        };
        assert!(key.contains(header), "{kind:?}");
        fs::write(lineage.join("a.test.key"), key).expect("a writable folder");
        let from = folder.join("caddy").display().to_string();
        let said = vestibule(folder, false, &["certs", "import", "caddy", &from], "");
        let is_usable = conversion.is_some();
        assert_eq!(said.status, Some(if is_usable { 0 } else { 1 }), "{kind:?}: {said:?}");
        assert_eq!(folder.join("service/state/certificates/a.test.pem").exists(), is_usable, "{kind:?}");
        assert_eq!(said.out.contains("the key is of another kind than"), !is_usable, "{kind:?}: {said:?}");
        assert_eq!(said.out.contains("MISSING"), !is_usable, "{kind:?}: {said:?}");
    }
}
