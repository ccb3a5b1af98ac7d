//! Short names for contents, to see whether something has changed since the last run.

use std::hash::Hasher;
use std::path::Path;
use std::time::UNIX_EPOCH;
use std::{fs, io};

use siphasher::sip128::{Hasher128, SipHasher13};

/// Collects what a fingerprint depends on. Not for security: it guards against
/// forgetting a change, not against an attacker.
#[derive(Clone, Default)]
pub struct Fingerprint(SipHasher13);

impl Fingerprint {
    /// Adds one part. Parts do not run into each other: `ab`, `c` differs from `a`, `bc`.
    #[must_use]
    pub fn with(mut self, part: impl AsRef<[u8]>) -> Self {
        let part = part.as_ref();
        self.0.write(&(part.len() as u64).to_le_bytes());
        self.0.write(part);
        self
    }

    /// Adds a built file by its size and time of change, which cargo leaves alone when
    /// it has nothing to rebuild.
    ///
    /// # Errors
    /// If the file is not there.
    pub fn with_build_of(self, path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let changed = metadata
            .modified()?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Ok(self
            .with(metadata.len().to_le_bytes())
            .with(changed.as_nanos().to_le_bytes()))
    }

    /// Adds the names and contents of all files below a folder, except those that
    /// Python and the test runner leave behind.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn with_folder(mut self, folder: &Path) -> io::Result<Self> {
        let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let readable = name.to_string_lossy();
            if readable.starts_with('.')
                || readable == "__pycache__"
                || readable == "build"
                || readable.ends_with(".egg-info")
            {
                continue;
            }
            self = self.with(name.as_encoded_bytes());
            self = if entry.file_type()?.is_dir() {
                self.with_folder(&entry.path())?
            } else {
                self.with(fs::read(entry.path())?)
            };
        }
        Ok(self)
    }

    /// Sixteen hexadecimal digits.
    #[must_use]
    pub fn finish(&self) -> String {
        format!("{:016x}", self.0.finish128().h1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let one = Fingerprint::default().with("ab").with("c").finish();
        let other = Fingerprint::default().with("a").with("bc").finish();
        assert_ne!(one, other);
    }

    #[test]
    fn it_stays_the_same_from_one_version_of_the_program_to_the_next() {
        assert_eq!(
            Fingerprint::default().with("cryptography==46.0.5").finish(),
            Fingerprint::default().with("cryptography==46.0.5").finish()
        );
        assert_eq!(Fingerprint::default().with("").finish().len(), 16);
    }

    #[test]
    fn a_change_in_a_file_of_a_folder_shows_and_a_cache_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let of_folder = || {
            Fingerprint::default()
                .with_folder(folder.path())
                .unwrap()
                .finish()
        };
        fs::create_dir(folder.path().join("package")).unwrap();
        fs::write(folder.path().join("package/module.py"), "a = 1").unwrap();
        let before = of_folder();

        fs::create_dir(folder.path().join("package/__pycache__")).unwrap();
        fs::write(folder.path().join("package/__pycache__/module.pyc"), "x").unwrap();
        assert_eq!(of_folder(), before);

        fs::write(folder.path().join("package/module.py"), "a = 2").unwrap();
        assert_ne!(of_folder(), before);
    }
}
