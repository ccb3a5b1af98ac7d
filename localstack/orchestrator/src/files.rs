//! Writing files so that a reader never sees half of one, and secrets stay private.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Replaces a file in one step. Only the owner may read it.
///
/// # Errors
/// If the folder or the file cannot be written.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    create_folder(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    // Two programs may replace the same file of a shared folder at the same time.
    name.push(format!(".{}.new", std::process::id()));
    let fresh = folder.join(name);
    let write = || -> io::Result<()> {
        let mut file = private(&fresh)?;
        file.write_all(content)?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// # Errors
/// If the file cannot be written.
pub fn replace_json(path: &Path, content: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(content)?;
    text.push(b'\n');
    replace(path, &text)
}

/// `None` if there is no such file, or if another version of this program wrote it in
/// a form that this one does not know: all such files can be made again.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(content) => Ok(serde_json::from_slice(&content).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// # Errors
/// If the folder cannot be created.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create the folder {}", path.display()))
}

/// Creates or empties a file that only the owner may read.
///
/// # Errors
/// If the file cannot be created.
pub fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// A random secret of the stack, made at the first call and the same ever after.
///
/// # Errors
/// If the file that keeps it cannot be read or written.
pub fn secret(path: &Path) -> Result<String> {
    if let Ok(secret) = fs::read_to_string(path)
        && !secret.is_empty()
    {
        return Ok(secret);
    }
    let mut random = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut random))
        .context("cannot read random numbers from /dev/urandom")?;
    let secret = random
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    replace(path, secret.as_bytes())?;
    Ok(secret)
}

/// Removes a file or a folder with all that is in it, if it is there.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_kept_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets/token");
        let secret = super::secret(&path).unwrap();
        assert_eq!(secret.len(), 32);
        assert_eq!(super::secret(&path).unwrap(), secret);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn secrets_differ_from_stack_to_stack() {
        let folder = tempfile::tempdir().unwrap();
        assert_ne!(
            secret(&folder.path().join("one")).unwrap(),
            secret(&folder.path().join("other")).unwrap()
        );
    }

    #[test]
    fn a_file_in_an_unknown_form_counts_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "half a fi").unwrap();
        assert_eq!(read_json::<Vec<String>>(&path).unwrap(), None);
    }

    #[test]
    fn removing_what_is_not_there_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        remove(&folder.path().join("nothing")).unwrap();
    }
}
