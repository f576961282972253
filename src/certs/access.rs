//! Why this process may not read a file, and what to type so that it may.
//!
//! Facts are gathered first (which folder or file refuses, whose it is, who this process is), the
//! command is a pure function of them. It is the narrowest one that works: a group may search a
//! folder or read a file, and nothing is opened to everybody.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// As many symbolic links as Linux follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// certbot's two folders: numbered files in the one, links to the newest of them in the other.
/// Both are closed (0700), and so are the keys (0600).
const CERTBOT: [&str; 2] = ["live", "archive"];

/// Whose something is, and what its mode allows.
#[derive(Clone, Copy, Debug)]
struct Rights {
    user: u32,
    group: u32,
    mode: u32,
}

/// Who this process is.
#[derive(Clone, Debug)]
struct Process {
    user: u32,
    /// Its name in /etc/passwd.
    user_name: Option<String>,
    group: u32,
    /// The supplementary ones.
    groups: Vec<u32>,
    /// The content of /etc/group, to name groups by.
    group_file: String,
}

/// What stands between this process and one file.
#[derive(Clone, Debug)]
struct Obstacle {
    /// What refuses: a folder that may not be searched, or the file.
    rights: Rights,
    /// Whether it is a folder.
    is_folder: bool,
    /// Folders that must become searchable.
    folders: Vec<PathBuf>,
    /// Files that must become readable, quoted for the shell.
    files: Vec<String>,
}

/// How to come past an obstacle.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// The file is this user's own: its own bits count.
    Own,
    /// Another group may already, and has its reasons: join it rather than take the folder from it.
    Join { group: String, user: String },
    /// Give it to this group.
    Group(String),
}

/// What to type so that this process may read all of `denied`, as a sentence.
pub fn remedy(denied: &[&Path]) -> String {
    let obstacles: Vec<_> = denied.iter().filter_map(|path| obstacle(path)).collect();
    if obstacles.is_empty() {
        // Nothing to be seen in the modes: an access list, SELinux, AppArmor, a sandboxed unit.
        return "let this user read it: its mode is not what forbids that".to_owned();
    }
    sentence(&Process::current(), &obstacles)
}

/// The commands for all obstacles, those of one way in one.
fn sentence(process: &Process, obstacles: &[Obstacle]) -> String {
    let mut plans: Vec<(Way, Vec<String>, Vec<String>)> = Vec::new();
    for obstacle in obstacles {
        let way = process.way(obstacle);
        let at = plans.iter().position(|(planned, ..)| *planned == way).unwrap_or(plans.len());
        if at == plans.len() {
            plans.push((way, Vec::new(), Vec::new()));
        }
        let Some((_, folders, files)) = plans.get_mut(at) else { continue };
        add(folders, obstacle.folders.iter().map(|folder| quoted(folder)));
        add(files, obstacle.files.iter().cloned());
    }
    let joins = plans.iter().any(|(way, ..)| matches!(way, Way::Join { .. }));
    let owns = plans.iter().all(|(way, ..)| *way == Way::Own);
    let commands: Vec<_> = plans.iter().map(|(way, folders, files)| command(way, folders, files)).collect();
    let who = if owns { "" } else { "as root, " };
    // Groups are given to a process when it starts.
    let after = if joins { "restart vestibule after this; " } else { "" };
    format!("{after}{who}type: {}", commands.join(" && "))
}

fn command(way: &Way, folders: &[String], files: &[String]) -> String {
    let (class, mut parts) = match way {
        Way::Join { group, user } => return format!("usermod -aG {group} {user}"),
        Way::Own => ('u', Vec::new()),
        Way::Group(group) => {
            let all: Vec<_> = folders.iter().chain(files).map(String::as_str).collect();
            ('g', vec![format!("chgrp {group} {}", all.join(" "))])
        }
    };
    if !folders.is_empty() {
        parts.push(format!("chmod {class}+x {}", folders.join(" ")));
    }
    if !files.is_empty() {
        parts.push(format!("chmod {class}+r {}", files.join(" ")));
    }
    parts.join(" && ")
}

fn add(list: &mut Vec<String>, new: impl Iterator<Item = String>) {
    for item in new {
        if !list.contains(&item) {
            list.push(item);
        }
    }
}

impl Process {
    fn current() -> Self {
        let user = rustix::process::geteuid().as_raw();
        // Files only: a user from elsewhere (LDAP) is called by number, which chgrp takes as well.
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self {
            user,
            user_name: name_of(&users, user),
            group: rustix::process::getegid().as_raw(),
            groups: rustix::process::getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw()).collect(),
            group_file: std::fs::read_to_string("/etc/group").unwrap_or_default(),
        }
    }

    fn way(&self, obstacle: &Obstacle) -> Way {
        let Rights { user, group, mode } = obstacle.rights;
        if user == self.user {
            return Way::Own;
        }
        let wanted = if obstacle.is_folder { 0o010 } else { 0o040 };
        let is_member = group == self.group || self.groups.contains(&group);
        // The group of user root is the one that files have which were given to nobody.
        if mode & wanted != 0
            && !is_member
            && group != 0
            && let Some(user) = &self.user_name
        {
            return Way::Join { group: self.group_name(group), user: user.clone() };
        }
        Way::Group(self.group_name(if is_member { group } else { self.group }))
    }

    fn group_name(&self, group: u32) -> String {
        name_of(&self.group_file, group).unwrap_or_else(|| group.to_string())
    }
}

/// The name of a number in /etc/passwd (passwd(5)) or /etc/group (group(5)): `name:x:number:…`.
fn name_of(file: &str, number: u32) -> Option<String> {
    let name = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    };
    file.lines().find_map(name)
}

/// A path for the shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |character: char| character.is_ascii_alphanumeric() || "/._+@%:,=-".contains(character);
    match text.chars().all(plain) {
        true => text.into_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Where a path leads, as far as this process can see.
struct Walk {
    /// Without symbolic links up to what refuses.
    real: PathBuf,
    /// The folder that may not be searched, if one.
    closed: Option<PathBuf>,
}

fn obstacle(path: &Path) -> Option<Obstacle> {
    let Walk { real, closed } = walk(path)?;
    let rights = closed.as_deref().unwrap_or(&real).metadata().ok()?;
    let rights = Rights { user: rights.uid(), group: rights.gid(), mode: rights.permissions().mode() };
    let (mut folders, mut files) = (Vec::from_iter(closed.clone()), Vec::new());
    match certbot(&real) {
        Some((base, name)) => {
            for folder in CERTBOT.map(|folder| base.join(folder)) {
                if !folders.contains(&folder) {
                    folders.push(folder);
                }
            }
            if closed.is_none() {
                // The next renewals' files too, which begin with the mode of the ones before.
                let stem = real.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                let stem = stem.trim_end_matches(|character: char| character.is_ascii_digit());
                files.push(all_of(&base, &name, stem));
            }
            add(&mut files, std::iter::once(all_of(&base, &name, "privkey")));
            // One order, so that the same remedy is recognised as such.
            folders.sort_by_key(|folder| (folder.starts_with(base.join("archive")), folder.components().count()));
        }
        None => files.push(quoted(&real)),
    }
    Some(Obstacle { rights, is_folder: closed.is_some(), folders, files })
}

/// Every version of one of certbot's files, as a pattern for the shell.
fn all_of(base: &Path, name: &Path, stem: &str) -> String {
    format!("{}/{stem}*.pem", quoted(&base.join("archive").join(name)))
}

/// The folder and the certificate's name, where `real` is one of certbot's files.
fn certbot(real: &Path) -> Option<(PathBuf, PathBuf)> {
    let name = real.parent()?;
    let kind = name.parent()?;
    let base = kind.parent()?;
    let known = CERTBOT.iter().any(|known| kind.file_name().is_some_and(|kind| kind == *known));
    let there = |folder: &str| {
        let found = base.join(folder).symlink_metadata();
        !found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
    };
    (known && CERTBOT.iter().all(|folder| there(folder)))
        .then(|| (base.to_owned(), PathBuf::from(name.file_name().unwrap_or_default())))
}

/// Follows `path` step by step, symbolic links included, up to its end or to what refuses.
fn walk(path: &Path) -> Option<Walk> {
    let steps = |path: &Path| path.components().map(|part| PathBuf::from(part.as_os_str())).collect::<VecDeque<_>>();
    let mut rest = steps(&std::path::absolute(path).ok()?);
    let mut here = PathBuf::new();
    let mut links = 0;
    while let Some(part) = rest.pop_front() {
        if part.as_os_str() == "." {
            continue;
        }
        // Nothing in `here` is a link, so the one above it is the one before.
        if part.as_os_str() == ".." {
            here.pop();
            continue;
        }
        let next = here.join(&part);
        match next.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                let mut target = steps(&std::fs::read_link(&next).ok()?);
                target.append(&mut rest);
                rest = target;
            }
            Ok(_) => here = next,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let real = rest.iter().fold(next, |path, part| path.join(part));
                return Some(Walk { real, closed: Some(here) });
            }
            Err(_) => return None,
        }
    }
    Some(Walk { real: here, closed: None })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out files as operators leave them")]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const GROUPS: &str = "root:x:0:\nssl-cert:x:110:postgres\nvestibule:x:900:\ncerts:x:120:vestibule\n";

    fn process() -> Process {
        Process {
            user: 900,
            user_name: Some("vestibule".to_owned()),
            group: 900,
            groups: vec![120],
            group_file: GROUPS.to_owned(),
        }
    }

    fn folder(path: &str, (user, group, mode): (u32, u32, u32), files: &[&str]) -> Obstacle {
        Obstacle {
            rights: Rights { user, group, mode },
            is_folder: true,
            folders: vec![PathBuf::from(path)],
            files: files.iter().map(|file| (*file).to_owned()).collect(),
        }
    }

    #[test]
    fn the_narrowest_command_for_whoever_runs() {
        let (closed, grouped, own) = ((0, 0, 0o700), (0, 110, 0o710), (900, 900, 0o600));
        let member = (0, 120, 0o700);
        let table: [(&[Obstacle], &str); 6] = [
            (
                &[folder("/keys", closed, &["/keys/a.key"])],
                "as root, type: chgrp vestibule /keys /keys/a.key && chmod g+x /keys && chmod g+r /keys/a.key",
            ),
            // Two folders in one command; what they share is named once.
            (
                &[folder("/keys", closed, &["/keys/a.pem"]), folder("/keys", closed, &["/keys/a.key"])],
                "as root, type: chgrp vestibule /keys /keys/a.pem /keys/a.key && chmod g+x /keys && chmod g+r \
                 /keys/a.pem /keys/a.key",
            ),
            // Debian's /etc/ssl/private is its group's.
            (
                &[folder("/etc/ssl/private", grouped, &["/etc/ssl/private/a.key"])],
                "restart vestibule after this; as root, type: usermod -aG ssl-cert vestibule",
            ),
            (&[folder("/own", own, &["/own/a.key"])], "type: chmod u+x /own && chmod u+r /own/a.key"),
            // A group that the process is in already is not replaced.
            (
                &[folder("/keys", member, &["/keys/a.key"])],
                "as root, type: chgrp certs /keys /keys/a.key && chmod g+x /keys && chmod g+r /keys/a.key",
            ),
            (
                &[
                    folder("/etc/ssl/private", grouped, &["/etc/ssl/private/a.key"]),
                    folder("/a b", closed, &["'/a b/c'"]),
                ],
                "restart vestibule after this; as root, type: usermod -aG ssl-cert vestibule && chgrp vestibule '/a b' '/a b/c' && chmod g+x '/a b' \
                 && chmod g+r '/a b/c'",
            ),
        ];
        for (obstacles, expected) in table {
            assert_eq!(sentence(&process(), obstacles), expected);
        }
        // Somebody whom no file names.
        let unknown = Process { user: 77, user_name: None, group: 77, groups: vec![], group_file: String::new() };
        let said = sentence(&unknown, &[folder("/keys", grouped, &["/keys/a.key"])]);
        assert_eq!(said, "as root, type: chgrp 77 /keys /keys/a.key && chmod g+x /keys && chmod g+r /keys/a.key");
    }

    #[test]
    fn names_and_quotes() {
        assert_eq!(name_of(GROUPS, 900).as_deref(), Some("vestibule"));
        assert_eq!(name_of("broken\n::\nx:y\n", 0), None);
        assert_eq!(quoted(Path::new("/etc/letsencrypt/live")), "/etc/letsencrypt/live");
        assert_eq!(quoted(Path::new("/it's $here")), r"'/it'\''s $here'");
    }

    /// A folder of one's own with a link to certbot's, and certbot's links into its archive.
    #[test]
    fn links_are_followed_to_certbots_files() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        for sub in ["live/a.test", "archive/a.test", "srv/live/x"] {
            std::fs::create_dir_all(base.join(sub)).unwrap();
        }
        std::fs::write(base.join("archive/a.test/fullchain3.pem"), "").unwrap();
        std::fs::write(base.join("srv/live/x/key.pem"), "").unwrap();
        symlink("../../archive/a.test/fullchain3.pem", base.join("live/a.test/fullchain.pem")).unwrap();
        symlink(base.join("live/a.test"), base.join("mine")).unwrap();
        symlink(base.join("round"), base.join("round")).unwrap();

        let found = obstacle(&base.join("mine/fullchain.pem")).unwrap();
        let archive = base.join("archive/a.test");
        let shown = archive.display();
        assert_eq!(found.files, [format!("{shown}/fullchain*.pem"), format!("{shown}/privkey*.pem")]);
        assert_eq!(found.folders, [base.join("live"), base.join("archive")]);
        // Somebody else's folder of that name has no archive beside it.
        let key = base.join("srv/live/x/key.pem");
        assert_eq!(obstacle(&key).unwrap().files, [key.display().to_string()]);
        assert!(obstacle(&base.join("round/key.pem")).is_none() && obstacle(&base.join("none")).is_none());
    }
}
