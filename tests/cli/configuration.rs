//! Configuration as commands take it: from where, in which order, and what is said of mistakes.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use tempfile::TempDir;

use super::{USAGE, complained, printed, run};
use crate::support::ca::TestCa;
use crate::support::front::{Front, NAME};
use crate::support::vestibule::{command, quoted};

/// A folder with a configuration in it.
struct Configured {
    folder: TempDir,
}

impl Configured {
    fn with(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("vestibule.toml"), text).expect("a writable folder");
        Self { folder }
    }

    fn drop_in(self, name: &str, text: &str) -> Self {
        let drop_ins = self.folder.path().join("conf.d");
        fs::create_dir_all(&drop_ins).expect("a writable folder");
        fs::write(drop_ins.join(name), text).expect("a writable folder");
        self
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("vestibule.toml")
    }

    fn run(&self, words: &[&str]) -> Output {
        run(words
            .iter()
            .map(|word| (*word).to_owned())
            .chain(["--config".to_owned(), self.file().display().to_string()]))
    }
}

/// The origin that `config show` writes behind a key's value.
#[track_caller]
fn origin(shown: &str, key: &str) -> String {
    let line = shown.lines().find(|line| line.starts_with(&format!("{key} = ")));
    let line = line.unwrap_or_else(|| panic!("no {key} in {shown}"));
    line.rsplit_once(" # ").unwrap_or_else(|| panic!("no origin in {line}")).1.to_owned()
}

#[test]
fn mistakes_have_a_place_a_key_and_a_remedy_with_every_command() {
    let wrong = Configured::with("server_name = \"hs.invalid\"\n\n[limits]\ndrain = 40\nmax_bodi = \"none\"\n");
    for words in [&["run"][..], &["validate"], &["check"], &["config", "show"], &["certs", "root"]] {
        let output = wrong.run(words);
        assert_eq!(output.status.code(), Some(USAGE), "{words:?}");
        assert_eq!(printed(&output), "", "{words:?}");
        let said = complained(&output);
        let file = wrong.file();
        let expected = format!("{}:4:9: limits.drain: this is a number; write a number and a unit", file.display());
        assert!(said.contains(&expected), "{words:?}: {said}");
        let expected = format!("{}:5:12: limits.max_bodi: unknown key; did you mean \"max_body\"?", file.display());
        assert!(said.contains(&expected), "{words:?}: {said}");
        assert_eq!(said.lines().count(), 2, "every mistake, and each once: {said}");
    }
}

#[test]
fn a_file_that_cannot_be_read() {
    for words in [&["run"][..], &["validate"], &["config", "show"]] {
        let output = run(words.iter().chain(&["--config", "/does/not/exist.toml"]));
        assert_eq!(output.status.code(), Some(USAGE));
        let said = complained(&output);
        assert!(said.contains("/does/not/exist.toml: ") && said.contains("No such file"), "{said}");
    }
    let nonsense = Configured::with("server_name = hs.invalid\n");
    let said = complained(&nonsense.run(&["validate"]));
    assert!(said.contains("vestibule.toml:1:15: "), "{said}");
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let configured = Configured::with("server_name = \"file.invalid\"\nemail = \"file@hs.invalid\"\n");
    let show = |arguments: &[&str]| {
        let mut command = command(["config", "show", "--config"]);
        command.arg(configured.file()).args(arguments);
        command.env("VESTIBULE_SERVER_NAME", "env.invalid").env("VESTIBULE_LOG", "debug");
        command.env("VESTIBULE_ACME_DIRECTORY", "https://ca.invalid/dir").env("VESTIBULE_EMAIL", "");
        let output = command.output().expect("the program starts");
        assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
        printed(&output)
    };
    let shown = show(&["--server-name", "flag.invalid"]);
    assert!(shown.contains("server_name = \"flag.invalid\""), "{shown}");
    assert_eq!(origin(&shown, "server_name"), "flag --server-name");
    assert_eq!(origin(&shown, "level"), "environment VESTIBULE_LOG");
    assert_eq!(origin(&shown, "directory"), "environment VESTIBULE_ACME_DIRECTORY");
    assert_eq!(origin(&shown, "homeserver"), "default");
    // An empty variable is how containers say that it is not set.
    assert_eq!(origin(&shown, "email"), format!("{}:2:9", configured.file().display()));
    assert_eq!(origin(&show(&[]), "server_name"), "environment VESTIBULE_SERVER_NAME");
}

#[test]
fn without_a_file_the_environment_is_enough() {
    // With a file of its own the machine would decide this test.
    if Path::new("/etc/vestibule/vestibule.toml").exists() {
        return;
    }
    let mut command = command(["config", "show"]);
    let shown = command.env("VESTIBULE_SERVER_NAME", NAME).output().expect("the program starts");
    assert_eq!(shown.status.code(), Some(0), "{}", complained(&shown));
    let nothing = run(["validate"]);
    assert_eq!(nothing.status.code(), Some(USAGE));
    assert!(complained(&nothing).contains("server_name = \"example.com\""), "{}", complained(&nothing));

    let configured = Configured::with("server_name = \"file.invalid\"\n");
    let mut by_variable = super::command(["config", "show"]);
    let shown = by_variable.env("VESTIBULE_CONFIG", configured.file()).output().expect("the program starts");
    assert!(printed(&shown).contains("file.invalid"), "{}", printed(&shown));
}

/// What is shown is a configuration: loaded again, it comes to the same values.
#[test]
fn what_is_shown_can_be_loaded() {
    let configured = Configured::with(
        r#"
        [[server]]
        server_name = "one.invalid"
        homeserver = "unix:/run/one.sock"
        [server.well_known]
        client = { "a.b" = [1, true, { "c d" = "quotes \" and \\ back" }] }
        support = { support_page = "https://one.invalid/" }
        [[server]]
        server_name = "two.invalid:8449"
        [[server.upstream]]
        name = "x"
        endpoints = ["http://[::1]:8082"]
        [[server.route]]
        path = '^/_matrix/\d+$'
        upstream = "x"
        [[site]]
        host = "one.invalid"
        upstream = "http://localhost:8081"
        [limits]
        admin_allow = ["10.0.0.0/8", "::1"]
        [[limits.rate]]
        class = "login"
        burst = 3
        "#,
    );
    let shown = configured.run(&["config", "show"]);
    assert_eq!(shown.status.code(), Some(0), "{}", complained(&shown));
    let again = Configured::with(&printed(&shown));
    let shown_again = again.run(&["config", "show"]);
    assert_eq!(shown_again.status.code(), Some(0), "{}", complained(&shown_again));
    let values = |output: &Output| {
        let text = printed(output);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(" # ").map_or(line, |(value, _)| value).trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(values(&shown), values(&shown_again));
    assert!(printed(&shown).contains("# Derived:"), "{}", printed(&shown));
}

#[test]
fn drop_ins_merge_in_name_order() {
    let site = |host: &str| format!("[[site]]\nhost = \"{host}\"\nupstream = \"http://127.0.0.1:1\"\n");
    let configured =
        Configured::with(&format!("server_name = \"{NAME}\"\nemail = \"a@hs.invalid\"\n{}", site("a.invalid")))
            .drop_in("20-second.toml", &format!("email = \"c@hs.invalid\"\n{}", site("c.invalid")))
            .drop_in("10-first.toml", &format!("email = \"b@hs.invalid\"\nstate_dir = \"/b\"\n{}", site("b.invalid")))
            .drop_in("30.toml.disabled", "nonsense");
    let shown = printed(&configured.run(&["config", "show"]));
    assert!(origin(&shown, "email").ends_with("conf.d/20-second.toml:1:9"), "{shown}");
    assert!(origin(&shown, "state_dir").ends_with("conf.d/10-first.toml:2:13"), "{shown}");
    let hosts: Vec<_> = shown.lines().filter(|line| line.starts_with("host = ")).collect();
    assert!(hosts.len() == 3 && hosts[0].contains("a.invalid") && hosts[2].contains("c.invalid"), "{hosts:?}");

    let output = configured.drop_in("40.toml", "[limits]\ndrain = \"soon\"\n").run(&["validate"]);
    assert_eq!(output.status.code(), Some(USAGE));
    assert!(complained(&output).contains("conf.d/40.toml:2:9: limits.drain: "), "{}", complained(&output));
}

#[test]
fn validate_looks_at_keys_and_chains() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let ca = TestCa::new(folder.path());
    let (good, other) = (ca.issue(&[NAME]), ca.issue(&[NAME]));
    let leaf = fs::read_to_string(&good.chain).expect("a leaf");
    fs::write(&good.chain, format!("{leaf}{}", ca.root_pem())).expect("a writable folder");
    let validate = |key: &Path| {
        Configured::with(&format!(
            "server_name = \"{NAME}\"\n[tls]\nissuer = \"files\"\n[[tls.certificates]]\nchain = {}\nkey = {}\n",
            quoted(&good.chain),
            quoted(key)
        ))
        .run(&["validate"])
    };
    let output = validate(&good.key);
    assert_eq!(output.status.code(), Some(0), "{}", complained(&output));
    assert!(printed(&output).contains(NAME), "{}", printed(&output));
    for wrong in [&other.key, &good.chain, Path::new("/does/not/exist")] {
        let output = validate(wrong);
        assert_eq!(output.status.code(), Some(1), "{}", wrong.display());
        assert!(complained(&output).contains("tls.certificates"), "{}", complained(&output));
    }
}

#[test]
fn validate_looks_at_what_writes_dns_records() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("tsig.key");
    fs::write(&key, "key \"v\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };\n").expect("a writable folder");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("a file of ours");
    let validate = |dns: &str| {
        let acme = "[acme]\nchallenges = [\"dns-01\"]\nwildcards = [\"*.example.com\"]";
        Configured::with(&format!("server_name = \"hs.example.com\"\n{acme}\n[acme.dns]\n{dns}")).run(&["validate"])
    };
    let updates = |key: &str| format!("provider = \"rfc2136\"\nserver = \"192.0.2.1\"\nkey_file = \"{key}\"");
    let output = validate(&updates(&key.display().to_string()));
    assert!(output.status.success(), "{}", complained(&output));
    assert!(printed(&output).contains("run: chmod o= /"), "{}", printed(&output));
    for (dns, expected) in [
        (updates("/etc/passwd"), "acme.dns.key_file /etc/passwd: there is no key in it; write what tsig-keygen prints"),
        (updates("/nowhere/key"), "acme.dns.key_file /nowhere/key: No such file"),
        (
            "provider = \"exec\"\ncommand = [\"/nowhere/hook\"]".to_owned(),
            "/nowhere/hook cannot be started; see that it is there and may be executed",
        ),
    ] {
        let output = validate(&dns);
        assert_eq!(output.status.code(), Some(1));
        assert!(complained(&output).contains(expected), "{}", complained(&output));
    }
}

#[test]
fn a_taken_port_is_named_with_its_holder() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("an address");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let configured = Configured::with(&format!(
        "server_name = \"{NAME}\"\nstate_dir = {}\ntls.issuer = \"internal\"\n[listen]\nhttps = [\"127.0.0.1:0\", \"{taken}\"]\n\
         federation = []\nhttp = []\nstatus = \"off\"\n",
        quoted(&folder.path().join("state"))
    ));
    let output = configured.run(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    let said = complained(&output);
    assert!(said.contains(&format!("listen.https cannot take {taken}")), "{said}");
    assert!(said.contains(&format!("(process {})", std::process::id())), "{said}");
}

#[test]
fn a_state_folder_that_cannot_be_made() {
    let configured =
        Configured::with(&format!("{}server_name = \"{NAME}\"\nstate_dir = \"/dev/null/state\"\n", Front::LOOPBACK));
    let output = configured.run(&["run"]);
    assert_eq!(output.status.code(), Some(1));
    let said = complained(&output);
    assert!(said.contains("state_dir") && said.contains("/dev/null/state"), "{said}");
}

/// What the CAs need is read once a year or at the day of an emergency; `validate` reads it now.
#[test]
fn validate_reads_the_files_of_every_ca() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [root, pipe, key] = ["root.pem", "pipe", "hmac.key"].map(|name| folder.path().join(name));
    let configured = |hmac_key: &Path, root: &Path| {
        Configured::with(&format!(
            "server_name = {NAME:?}\nemail = \"a@{NAME}\"\n[acme.external_account]\nkey_id = \"k\"\nhmac_key_file = {}\n\
             [[acme.fallback]]\ndirectory = \"https://second.invalid/dir\"\nca_file = {}\n",
            quoted(hmac_key),
            quoted(root)
        ))
    };
    let validate = |hmac_key, root| {
        let output = configured(hmac_key, root).run(&["validate"]);
        (output.status.code(), complained(&output))
    };
    fs::write(&root, TestCa::new(folder.path()).root_pem()).expect("a writable folder");
    let (status, said) = validate(&key, &root);
    assert!(status == Some(1) && said.contains("hmac.key: No such file"), "{said}");
    fs::write(&key, "not base64!").expect("a writable folder");
    let (status, said) = validate(&key, &root);
    assert!(
        status == Some(1) && said.contains("external_account.hmac_key_file") && said.contains("base64url"),
        "{said}"
    );
    fs::write(&key, "c2VjcmV0\n").expect("a writable folder");
    assert_eq!(validate(&key, &root), (Some(0), String::new()));
    // It says whose file it is, and does not wait for somebody to write into a pipe.
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils has mkfifo");
    assert!(made.success());
    let (status, said) = validate(&key, &pipe);
    assert!(status == Some(1) && said.contains("https://second.invalid/dir: not a regular file"), "{said}");
}
