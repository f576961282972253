//! Finding and reading the homeserver's configuration file.

use super::settings::{At, Place, Settings, Software};
use super::{Subject, conduit, dendrite, synapse};
use crate::certs::access;
use crate::config::UpstreamAddress;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the packages put their file, and the unit that reads it: Synapse's of matrix.org and Debian, of
/// Arch and Fedora, of the Ansible playbook; tuwunel's, continuwuity's and conduwuit's packages.
/// Dendrite has none of its own; this is where distributions put it.
const PLACES: [(&str, &str); 7] = [
    ("/etc/matrix-synapse/homeserver.yaml", "matrix-synapse"),
    ("/etc/synapse/homeserver.yaml", "synapse"),
    ("/matrix/synapse/config/homeserver.yaml", "matrix-synapse"),
    ("/etc/tuwunel/tuwunel.toml", "tuwunel"),
    ("/etc/continuwuity/continuwuity.toml", "continuwuity"),
    ("/etc/conduwuit/conduwuit.toml", "conduwuit"),
    ("/etc/dendrite/dendrite.yaml", "dendrite"),
];

/// Debian's unit gives Synapse the folder `conf.d` beside this folder's file as well.
const WITH_DROP_INS: &str = "matrix-synapse";

/// A homeserver's file is some kilobytes, its example with all comments 150.
const MAX_SIZE: u64 = 1 << 20;

/// Drop-in files looked at; debconf writes two.
const MAX_DROP_INS: usize = 32;

/// A file on a network file system that is away would be waited for without end.
const PATIENCE: Duration = Duration::from_secs(3);

/// The file of a homeserver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSeen {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the configuration names it.
    pub named: bool,
    /// What it says.
    pub content: Result<Settings, Trouble>,
}

/// Why a file says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is not there.
    Missing,
    /// This user may not read it; with what to type.
    Denied {
        /// The sentence of [`access::remedy`].
        remedy: String,
    },
    /// It is not what it should be, at this place.
    Malformed(Place),
    /// It is too large, no file at all, or the system refused.
    Unreadable(String),
}

/// Finds the file of `subject`: the one that is named, or one in a package's place that is this
/// server's by its name or, where there is only one server, by where it listens.
pub(super) async fn find(subject: &Subject) -> Option<FileSeen> {
    let subject = subject.clone();
    let named = subject.server.homeserver_config.clone();
    let looking = tokio::task::spawn_blocking(move || match &subject.server.homeserver_config {
        Some(path) => Some(FileSeen { path: path.clone(), named: true, content: read(path, None) }),
        None => choose(&subject, PLACES.iter().map(|(path, unit)| look(Path::new(path), unit))),
    });
    match tokio::time::timeout(PATIENCE, looking).await {
        Ok(Ok(found)) => found,
        _ => named.map(|path| FileSeen {
            path,
            named: true,
            content: Err(Trouble::Unreadable(format!("not read within {} s", PATIENCE.as_secs()))),
        }),
    }
}

fn look(path: &Path, unit: &str) -> FileSeen {
    FileSeen { path: path.to_owned(), named: false, content: read(path, Some(unit)) }
}

/// Which of the files in packages' places is this server's: pure but for the iterator.
fn choose(subject: &Subject, places: impl Iterator<Item = FileSeen>) -> Option<FileSeen> {
    let there: Vec<_> = places.filter(|seen| seen.content != Err(Trouble::Missing)).collect();
    let name = subject.server.server_name.as_str();
    let is_named = |seen: &&FileSeen| {
        let settings = seen.content.as_ref().ok();
        settings.and_then(|settings| settings.server_name.as_ref()).is_some_and(|own| own.value == name)
    };
    if let Some(own) = there.iter().find(is_named) {
        return Some(own.clone());
    }
    if !subject.alone {
        return None;
    }
    let listens =
        |seen: &&FileSeen| seen.content.as_ref().is_ok_and(|settings| listens_at(settings, &subject.server.homeserver));
    // One that cannot be read may be the one.
    there.iter().find(listens).or_else(|| there.iter().find(|seen| seen.content.is_err())).cloned()
}

/// Whether a listener of `settings` is where requests are forwarded to.
pub fn listens_at(settings: &Settings, upstream: &UpstreamAddress) -> bool {
    settings.listeners.iter().any(|listener| match (upstream, &listener.at) {
        (UpstreamAddress::Unix(socket), At::Unix(own)) => socket == own,
        (UpstreamAddress::Tcp(address), At::Tcp(..)) => listener.takes_loopback(Some(address.ip()), address.port()),
        (UpstreamAddress::Name(_, port), At::Tcp(..)) => listener.takes_loopback(None, *port),
        _ => false,
    })
}

/// Reads the file at `path` with its drop-ins.
fn read(path: &Path, unit: Option<&str>) -> Result<Settings, Trouble> {
    let (text, drop_ins) = (text(path)?, drop_ins(path)?);
    parse(path, text, drop_ins, unit).map_err(Trouble::Malformed)
}

/// What the text of the file at `path` says; the unit is guessed where nobody knows it.
pub(super) fn parse(
    path: &Path,
    text: String,
    drop_ins: Vec<(PathBuf, String)>,
    unit: Option<&str>,
) -> Result<Settings, Place> {
    let file = path.to_owned();
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if name.ends_with(".toml") {
        let software = if name.contains("tuwunel") { Software::Tuwunel } else { Software::Continuwuity };
        let guess = if software == Software::Tuwunel { "tuwunel" } else { "continuwuity" };
        conduit::read(software, &file, &text, unit.unwrap_or(guess))
    } else if is_dendrites(&text) {
        dendrite::read(&file, &text, unit.unwrap_or("dendrite"))
    } else {
        let mut files = vec![(file, text)];
        files.extend(drop_ins);
        synapse::read(&files, unit.unwrap_or("matrix-synapse"))
    }
}

/// Dendrite's file has its name below `global:`, which Synapse does not know.
fn is_dendrites(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == "global:")
}

/// The files of `conf.d` in the order in which Synapse reads them.
fn drop_ins(path: &Path) -> Result<Vec<(PathBuf, String)>, Trouble> {
    let folder = path.with_file_name("conf.d");
    if path.parent().and_then(Path::file_name).is_none_or(|name| name != WITH_DROP_INS) {
        return Ok(Vec::new());
    }
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(trouble(&folder, &error)),
    };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml") && path.is_file());
    paths.sort();
    paths.into_iter().take(MAX_DROP_INS).map(|path| text(&path).map(|text| (path, text))).collect()
}

/// A whole file, if it is one and of a size to be read.
fn text(path: &Path) -> Result<String, Trouble> {
    let refused = |error: io::Error| trouble(path, &error);
    // Before it is opened: opening a pipe waits for whoever writes.
    if !path.metadata().map_err(refused)?.is_file() {
        return Err(Trouble::Unreadable("not a file".to_owned()));
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(refused)?;
    file.take(MAX_SIZE + 1).read_to_string(&mut text).map_err(refused)?;
    match u64::try_from(text.len()) {
        Ok(length) if length <= MAX_SIZE => Ok(text),
        _ => Err(Trouble::Unreadable(format!("larger than {} MiB", MAX_SIZE >> 20))),
    }
}

fn trouble(path: &Path, error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::NotFound => Trouble::Missing,
        io::ErrorKind::PermissionDenied => Trouble::Denied { remedy: access::remedy(&[path]) },
        _ => Trouble::Unreadable(error.to_string()),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out files as packages do")]
mod tests {
    use super::*;
    use crate::config::Config;

    fn subject(text: &str) -> Subject {
        let config = Config::parse(text, Path::new("v.toml")).unwrap();
        Subject::all(&config).remove(0)
    }

    #[test]
    fn debians_layout_is_read_and_others_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("matrix-synapse");
        std::fs::create_dir_all(etc.join("conf.d")).unwrap();
        let main = etc.join("homeserver.yaml");
        assert_eq!(read(&main, None), Err(Trouble::Missing));
        std::fs::write(&main, "pid_file: x\n").unwrap();
        std::fs::write(etc.join("conf.d/server_name.yaml"), "server_name: ex.org\n").unwrap();
        std::fs::write(etc.join("conf.d/old.yaml.dpkg-old"), "server_name: [\n").unwrap();
        let found = read(&main, None).unwrap();
        assert_eq!((found.software, found.server_name.unwrap().value.as_str()), (Software::Synapse, "ex.org"));
        let toml = folder.path().join("my-tuwunel.toml");
        std::fs::write(&toml, "[global]\n").unwrap();
        assert_eq!(read(&toml, None).unwrap().software, Software::Tuwunel);
        let yaml = folder.path().join("matrix.yaml");
        std::fs::write(&yaml, "version: 2\nglobal:\n  server_name: ex.org\n").unwrap();
        assert_eq!(read(&yaml, None).unwrap().unit, "dendrite");
        std::fs::write(&yaml, "a: b: c\n").unwrap();
        assert!(matches!(read(&yaml, None), Err(Trouble::Malformed(place)) if place.line == 1));
        assert!(matches!(read(folder.path(), None), Err(Trouble::Unreadable(_))));
        std::fs::write(&yaml, vec![b'#'; usize::try_from(MAX_SIZE).unwrap() + 1]).unwrap();
        assert!(matches!(read(&yaml, None), Err(Trouble::Unreadable(_))));
    }

    #[test]
    fn which_of_several_files_is_meant() {
        let seen = |path: &str, name: &str, port: u16| {
            let text =
                format!("server_name: {name}\nlisteners: [{{port: {port}, resources: [{{names: [client]}}]}}]\n");
            let settings = synapse::read(&[(PathBuf::from(path), text)], "u").unwrap();
            FileSeen { path: PathBuf::from(path), named: false, content: Ok(settings) }
        };
        let broken = |trouble| FileSeen { path: PathBuf::from("/c"), named: false, content: Err(trouble) };
        let denied = || broken(Trouble::Denied { remedy: String::new() });
        let alone = subject("server_name = \"ex.org\"");
        let one_of_two = subject(
            "[[server]]\nserver_name = \"ex.org\"\n[[server]]\nserver_name = \"b.org\"\nhomeserver = \
                                  \"http://127.0.0.1:8009\"\n",
        );
        let chosen = |subject: &Subject, files: Vec<FileSeen>| {
            choose(subject, files.into_iter()).map(|seen| seen.path.display().to_string())
        };
        let both = || vec![seen("/a", "old.org", 8008), seen("/b", "ex.org", 9000)];
        assert_eq!(chosen(&alone, both()).as_deref(), Some("/b"), "the name decides");
        assert_eq!(chosen(&alone, vec![seen("/a", "old.org", 8008)]).as_deref(), Some("/a"), "then the port");
        assert_eq!(chosen(&alone, vec![seen("/a", "old.org", 9000)]), None, "somebody else's");
        assert_eq!(chosen(&alone, vec![broken(Trouble::Missing), denied()]).as_deref(), Some("/c"));
        assert_eq!(chosen(&one_of_two, vec![seen("/a", "old.org", 8008), denied()]), None);
        assert_eq!(chosen(&one_of_two, both()).as_deref(), Some("/b"));
    }
}
