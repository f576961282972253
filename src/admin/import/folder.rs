//! Looks into folders that another program wrote.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// A chain has a few kilobytes; what is larger is something else.
const LARGEST: u64 = 256 * 1024;

/// The content of a file, or why it cannot be read, with what to do.
pub(super) fn content(path: &Path) -> Result<Vec<u8>, String> {
    let read = || -> io::Result<Vec<u8>> {
        // Opening a pipe would wait for a writer.
        if !path.metadata()?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let mut content = Vec::new();
        File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
        match content.len() as u64 > LARGEST {
            true => Err(io::Error::other("longer than 256 KiB")),
            false => Ok(content),
        }
    };
    read().map_err(|error| explain(&error))
}

/// The paths in a folder in name order; none when the folder is not there.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(explain(&error)),
    };
    let paths: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|error| explain(&error))?;
    paths.sort();
    Ok(paths)
}

/// The paths in a folder that has to be there.
pub(super) fn existing(folder: &Path) -> Result<Vec<PathBuf>, String> {
    folder.metadata().map_err(|error| explain(&error))?;
    entries(folder)
}

/// The last part of a path, for comparing.
pub(super) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!("{error}; run this command as root"),
        _ => error.to_string(),
    }
}
