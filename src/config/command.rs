//! A program of the operator's, run without a shell.

use super::reader::Wrong;
use super::tree::Node;
use super::values;
use std::env;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// A program and its arguments, as they are handed to it: no shell takes them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// An absolute path, or a name that is looked up in `PATH`.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// A list of strings; an empty one is no command.
pub(super) fn command_or_unset(node: &Node) -> Result<Option<Command>, Wrong> {
    const RIGHT: &str = "write [\"/path/to/program\", \"argument\"]; for a shell, [\"/bin/sh\", \"-c\", \"…\"]";
    let words = values::list(node, values::string).map_err(|wrong| Wrong::new(wrong.wrong, RIGHT))?;
    if words.iter().any(|word| word.contains('\0')) {
        return Err(Wrong::new("a zero byte ends every argument", "leave it out"));
    }
    let mut words = words.into_iter();
    let Some(program) = words.next() else { return Ok(None) };
    if program.is_empty() {
        return Err(Wrong::new("the program's name is empty", RIGHT));
    }
    if program.contains('/') && !program.starts_with('/') {
        let wrong = format!("{program:?} depends on the folder that vestibule is started in");
        return Err(Wrong::new(wrong, "write an absolute path, or a name that is in PATH"));
    }
    if program.contains(char::is_whitespace) && words.len() == 0 {
        return Err(Wrong::new(format!("{program:?} is one word, as no shell takes it apart"), RIGHT));
    }
    Ok(Some(Command { program, arguments: words.collect() }))
}

impl Command {
    /// Why it cannot be run, as far as a look shows, with the remedy.
    pub fn trouble(&self) -> Option<String> {
        let program = &self.program;
        if !program.starts_with('/') {
            let path = env::var_os("PATH").unwrap_or_default();
            let found = env::split_paths(&path).any(|folder| is_executable(&folder.join(program)) == Some(true));
            return (!found).then(|| format!("there is no program {program:?} in PATH; write its absolute path"));
        }
        match is_executable(Path::new(program)) {
            Some(true) => None,
            Some(false) => Some(format!("{program} is no program that can be run; chmod +x {program}")),
            None => Some(format!("{program} is not there, or in a folder that is closed to this user")),
        }
    }
}

/// Whether it is a file that somebody may run; `None` where there is nothing to be seen.
fn is_executable(path: &Path) -> Option<bool> {
    let metadata = path.metadata().ok()?;
    Some(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;
    use crate::config::tree::Value;

    fn read(words: &[&str]) -> Result<Option<Command>, String> {
        let word = |text: &&str| Node { value: Value::String((*text).to_owned()), origin: Origin::Default };
        let node = Node { value: Value::Array(words.iter().map(word).collect()), origin: Origin::Default };
        command_or_unset(&node).map_err(|wrong| wrong.wrong)
    }

    #[test]
    fn a_command_is_a_program_and_its_arguments() {
        assert_eq!(read(&[]), Ok(None));
        let command = Command { program: "/bin/echo".to_owned(), arguments: vec!["a b".to_owned(), String::new()] };
        assert_eq!(read(&["/bin/echo", "a b", ""]), Ok(Some(command)));
        for (bad, expected) in [
            ([""].as_slice(), "the program's name is empty"),
            (&["./hook"], "depends on the folder"),
            (&["/usr/bin/logger -t x"], "is one word"),
            (&["logger", "a\0b"], "a zero byte"),
        ] {
            let wrong = read(bad).unwrap_err();
            assert!(wrong.contains(expected), "{bad:?}: {wrong}");
        }
        assert!(command_or_unset(&Node { value: Value::Boolean(true), origin: Origin::Default }).is_err());
    }

    #[test]
    fn trouble_is_seen_before_the_day_it_matters() {
        let trouble = |program: &str| Command { program: program.to_owned(), arguments: Vec::new() }.trouble();
        assert_eq!(trouble("/bin/sh"), None);
        assert_eq!(trouble("sh"), None);
        let plain = tempfile::NamedTempFile::new().unwrap();
        assert!(trouble(&plain.path().to_string_lossy()).unwrap().contains("chmod +x"));
        assert!(trouble("/nowhere/hook").unwrap().contains("is not there"));
        assert!(trouble("no-such-program").unwrap().contains("in PATH"));
    }
}
