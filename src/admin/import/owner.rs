//! Who owns what is written. Imports run as root, who may read the other program's keys; the service
//! runs as somebody else and must be able to read its state.

use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::{Path, PathBuf};

/// The service's user, as systemd/vestibule.sysusers makes it.
const SERVICE_USER: &str = "vestibule";

/// A user and group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    user: u32,
    group: u32,
}

/// Whether this process may give files away.
pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whose the state directory is, if it is there.
pub(super) fn of(state: &Path) -> io::Result<Option<Owner>> {
    match state.metadata() {
        Ok(metadata) => Ok(Some(Owner { user: metadata.uid(), group: metadata.gid() })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The service's user, if the machine has it.
pub(super) fn service_user() -> Option<Owner> {
    std::fs::read_to_string("/etc/passwd").ok().and_then(|passwd| find(&passwd, SERVICE_USER))
}

/// A user in the form of passwd(5).
fn find(passwd: &str, name: &str) -> Option<Owner> {
    let line = passwd.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let mut fields = line.split(':').skip(1);
    Some(Owner { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
}

impl Owner {
    /// Whether this is root itself, who is hardly the service.
    pub(super) fn is_root(self) -> bool {
        self.user == 0
    }

    /// Gives `key` below `state`, with the folders on the way to it, to this owner. Links are not
    /// followed: whoever owns the folder must not make root give away something else.
    pub(super) fn take(self, state: &Path, key: &str) -> io::Result<()> {
        let mut path = PathBuf::from(state);
        for part in key.split('/') {
            path.push(part);
            let metadata = path.symlink_metadata()?;
            if metadata.is_symlink() {
                return Err(io::Error::other(format!("{} is a link; its owner is not changed", path.display())));
            }
            self.take_path(&path)?;
        }
        Ok(())
    }

    /// Gives one file or folder to this owner.
    pub(super) fn take_path(self, path: &Path) -> io::Result<()> {
        let metadata = path.symlink_metadata()?;
        match (metadata.uid(), metadata.gid()) == (self.user, self.group) {
            true => Ok(()),
            false => lchown(path, Some(self.user), Some(self.group)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nvestibule2:x:7:8::/:/x\nvestibule:x:998:997:M:/v:/x\nbroken:x\n";
        assert_eq!(find(passwd, "vestibule"), Some(Owner { user: 998, group: 997 }));
        assert!(find(passwd, "root").is_some_and(Owner::is_root));
        assert_eq!((find(passwd, "vesti"), find(passwd, "broken")), (None, None));
    }
}
