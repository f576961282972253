//! Help, the manual page, completions, and what is said to those who need them.

use std::fs;
use std::process::Command;

use super::{USAGE, complained, printed, run};

const COMMANDS: [&[&str]; 20] = [
    &[],
    &["run"],
    &["demo"],
    &["validate"],
    &["check"],
    &["config"],
    &["config", "show"],
    &["workers"],
    &["workers", "show"],
    &["delegate"],
    &["delegate", "plan"],
    &["delegate", "snippet"],
    &["certs"],
    &["certs", "list"],
    &["certs", "renew"],
    &["certs", "rehearse"],
    &["certs", "import"],
    &["certs", "root"],
    &["completion"],
    &["man"],
];

/// The help of every command, as it stands in `tests/snapshots`: a change there is a change for users.
#[test]
fn help() {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        for words in COMMANDS {
            let output = run(words.iter().chain(&["--help"]));
            assert_eq!(output.status.code(), Some(0), "{words:?}");
            assert_eq!(complained(&output), "", "{words:?}");
            let name = format!("help{}", words.iter().map(|word| format!("-{word}")).collect::<String>());
            insta::assert_snapshot!(name, printed(&output));
        }
    });
}

/// Nothing is missing in [`COMMANDS`]: the help of each group lists its commands.
#[test]
fn every_command_has_its_help_tested() {
    for words in COMMANDS.iter().filter(|words| words.len() < 2) {
        let help = printed(&run(words.iter().chain(&["--help"])));
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in listed.take_while(|line| !line.is_empty()) {
            let name = line.split_whitespace().next().expect("a name");
            let path: Vec<_> = words.iter().copied().chain([name]).collect();
            assert!(COMMANDS.contains(&path.as_slice()), "{path:?} is not tested");
        }
    }
}

#[test]
fn version() {
    let output = run(["--version"]);
    assert_eq!(
        (output.status.code(), printed(&output)),
        (Some(0), format!("vestibule {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn usage_errors() {
    for words in [
        &[][..],
        &["bogus"],
        &["run", "--bogus"],
        &["run", "extra"],
        &["check", "--timeout", "3"],
        &["check", "--timeout", "0s"],
        &["check", "--format", "xml"],
        &["check", "--connect-to", "nonsense", "hs.invalid"],
        &["check", "--resolver", "192.0.2.1", "hs.invalid"],
        &["check", "--ca-file", "/does/not/exist", "hs.invalid"],
        &["check", "--explain", "no.such.finding"],
        &["check", "--explain", "tls.chain", "hs.invalid"],
        &["check", "--schema", "hs.invalid"],
        &["check", "--format", "nagios", "--timeout", "never", "hs.invalid"],
        &["config"],
        &["workers"],
        &["delegate"],
        &["delegate", "plan", "--to", "https://new.invalid", "hs.invalid"],
        &["delegate", "snippet", "iis"],
        &["certs"],
        &["certs", "renew", "a b"],
        &["certs", "rehearse", "--force"],
        &["certs", "import", "certbot"],
        &["certs", "import", "lego", "/etc/lego"],
        &["completion"],
        &["completion", "cmd.exe"],
    ] {
        let output = run(words);
        assert_eq!(output.status.code(), Some(USAGE), "{words:?}");
        assert_eq!(printed(&output), "", "{words:?}");
        assert!(!complained(&output).is_empty(), "{words:?} says nothing");
    }
}

/// What `man -l` shows of the page that `words` prints, with every warning a failure.
fn rendered(words: &[&str]) -> String {
    let output = run(words);
    assert_eq!(output.status.code(), Some(0));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page");
    fs::write(&page, &output.stdout).expect("a writable folder");
    let rendered = Command::new("groff").args(["-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=78n"]).arg(&page).output();
    let rendered = rendered.expect("groff is installed; tests/peers/setup.sh sees to it");
    assert!(rendered.status.success());
    assert_eq!(complained(&rendered), "");
    printed(&rendered)
}

/// Everything that can be found is in the page, and what is to be copied comes out as it must be typed.
#[test]
fn the_page_about_findings_renders_without_a_warning() {
    let text = rendered(&["man", "findings"]);
    let listed = printed(&run(["check", "--explain"]));
    for line in listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with(' ')) {
        let id = line.split_whitespace().next().expect("an id");
        assert!(text.lines().any(|line| line.trim_start().starts_with(&format!("{id} ("))), "no {id} in the page");
    }
    assert!(text.contains("curl -i https://example.com/.well-known/matrix/server"), "{text}");
    assert!(text.contains("return 200 '{\"m.server\": \"matrix.example.com:443\"}';"), "{text}");
    assert!(!text.contains("\\(") && !text.lines().any(|line| line.starts_with('.')), "{text}");
}

/// What would be right stands in the answer.
#[test]
fn usage_errors_of_the_check_say_what_would_be_right() {
    for (words, right) in [
        (&["--timeout", "3"][..], "such as 30s"),
        (&["--format", "xml"], "nagios"),
        (&["--connect-to", "nonsense"], "HOST:PORT:ADDR:PORT"),
        (&["--resolver", "192.0.2.1"], "192.0.2.53:53"),
        (&["--ca-file", "/does/not/exist"], "name a PEM file"),
        (&["--explain", "tls.chian"], "did you mean tls.chain"),
        (&["--explain", "no.such.finding"], "--explain lists them all"),
        (&["--fromat", "json"], "--format"),
    ] {
        let mut all = vec!["check"];
        all.extend(words);
        if words[0] != "--explain" {
            all.push("hs.invalid");
        }
        let output = run(&all);
        assert_eq!(output.status.code(), Some(USAGE), "{words:?}");
        assert!(complained(&output).contains(right), "{words:?}: {}", complained(&output));
    }
}

#[test]
fn the_manual_page_renders_without_a_warning() {
    let text = rendered(&["man"]);
    for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "CONFIGURATION OPTIONS", "ENVIRONMENT", "FILES"] {
        assert!(text.lines().any(|line| line == heading), "no {heading} in {text}");
    }
    for words in [
        "vestibule config show",
        "vestibule workers show",
        "vestibule check [SERVER_NAME]",
        "vestibule certs renew [NAME ...]",
        "vestibule delegate plan [NAME]",
        "/run/vestibule/admin.sock",
        "--connect-to",
        "VESTIBULE_STATE_DIR",
        "vestibule-findings(7)",
    ] {
        assert!(text.contains(words), "no {words} in {text}");
    }
    assert_eq!(text.matches("--acme-directory").count(), 1, "the shared options stand there once");
    // A request that was not understood would be printed or swallowed; an escape that was not would show as itself.
    assert!(!text.contains("\\f") && !text.lines().any(|line| line.starts_with('.')), "{text}");
}

#[test]
fn completions() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for shell in ["bash", "zsh", "fish"] {
        let output = run(["completion", shell]);
        assert_eq!((output.status.code(), complained(&output).as_str()), (Some(0), ""), "{shell}");
        let script = printed(&output);
        for words in ["validate", "connect-to", "acme-directory"] {
            assert!(script.contains(words), "no {words} for {shell}");
        }
        let file = folder.path().join(shell);
        fs::write(&file, script).expect("a writable folder");
        // Reads the script without running it; the other two shells need not be on the machine.
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(read) => assert!(read.status.success() && read.stderr.is_empty(), "{shell}: {}", complained(&read)),
            Err(missing) => assert_ne!(shell, "bash", "{missing}"),
        }
    }
    // What a user sees: the script defines the command's completion.
    let script = format!("source {} && complete -p vestibule", folder.path().join("bash").display());
    let defined = Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash");
    assert!(printed(&defined).contains("_vestibule"), "{}", complained(&defined));
}

/// `vestibule man | head -1` is no failure.
#[test]
fn a_closed_pipe_ends_quietly() {
    let script = format!("{} man | head -1; echo \"${{PIPESTATUS[0]}}\"", env!("CARGO_BIN_EXE_vestibule"));
    let output = Command::new("bash").args(["--norc", "-c", &script]).output().expect("bash");
    assert_eq!((printed(&output).lines().count(), complained(&output).as_str()), (2, ""), "{}", printed(&output));
    assert!(printed(&output).ends_with("0\n"), "{}", printed(&output));
}
