//! `hashFiles(…)` of GitHub's expressions.

use crate::digest::sha256;
use crate::glob::{GlobError, Globber, Options};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the hash cannot be made.
#[derive(Debug, Error)]
pub enum HashFilesError {
    /// The first argument begins with `--` and is not an option.
    #[error("invalid glob option `{0}`, available option: `--follow-symbolic-links`")]
    Option(String),
    /// A pattern is wrong or a folder cannot be read.
    #[error("hashFiles: {0}")]
    Glob(#[from] GlobError),
    /// A file that was found cannot be read.
    #[error("hashFiles cannot read {}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// The SHA-256 over the SHA-256 of each file that the patterns find in `workspace`, as hex; empty when
/// nothing is found. The first argument may be `--follow-symbolic-links`; without it links to folders
/// are not entered. Files outside the workspace do not count.
pub fn hash_files<S: AsRef<str>>(workspace: &Path, arguments: &[S]) -> Result<String, HashFilesError> {
    let mut arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    let mut follow_links = false;
    if let Some(option) = arguments.first().filter(|first| first.starts_with("--")) {
        if !option.eq_ignore_ascii_case("--follow-symbolic-links") {
            return Err(HashFilesError::Option((*option).to_owned()));
        }
        follow_links = true;
        arguments.remove(0);
    }
    let globber = Globber::new(&arguments.join("\n"), workspace, None)?;
    let options = Options { follow_links, ..Options::default() };
    let mut all = Sha256::new();
    let mut any = false;
    for path in globber.find(options)? {
        if let Some(digest) = digest(workspace, &path)? {
            all.update(digest);
            any = true;
        }
    }
    Ok(if any { hex::encode(all.finalize()) } else { String::new() })
}

/// The digest of one file; `None` for what is outside the workspace or no file.
fn digest(workspace: &Path, path: &Path) -> Result<Option<[u8; 32]>, HashFilesError> {
    let failed = |source| HashFilesError::Io { path: path.to_owned(), source };
    if path == workspace || !path.starts_with(workspace) {
        return Ok(None);
    }
    // A fifo would block for ever, and has no content to speak of.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Ok(None);
    }
    File::open(path).and_then(sha256).map(Some).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn expected(contents: &[&str]) -> String {
        let mut all = Sha256::new();
        for content in contents {
            all.update(Sha256::digest(content));
        }
        hex::encode(all.finalize())
    }

    fn workspace() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in [
            ("Cargo.lock", "root"),
            ("a/Cargo.lock", "a"),
            ("a/b/Cargo.lock", "b"),
            ("a/.hidden/Cargo.lock", "hidden"),
            ("a-z/Cargo.lock", "dash"),
            ("node_modules/x/Cargo.lock", "no"),
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        std::os::unix::fs::symlink("a", dir.path().join("link")).unwrap();
        dir
    }

    #[test]
    fn order_is_depth_first_with_names_by_bytes() {
        let dir = workspace();
        let hash = |patterns: &[&str]| hash_files(dir.path(), patterns).unwrap();
        assert_eq!(hash(&["**/Cargo.lock", "!node_modules"]), expected(&["root", "hidden", "a", "b", "dash"]));
        assert_eq!(hash(&["a/b", "Cargo.lock"]), expected(&["b", "root"]));
        assert_eq!(hash(&["Cargo.lock\n# comment\n\na/b/**"]), expected(&["root", "b"]));
    }

    #[test]
    fn nothing_found_is_the_empty_string() {
        let dir = workspace();
        assert_eq!(hash_files(dir.path(), &["*.nothing"]).unwrap(), "");
        assert_eq!(hash_files(dir.path(), &["/etc/passwd"]).unwrap(), "");
        assert_eq!(hash_files(dir.path(), &["Cargo.lock/"]).unwrap(), "");
        assert_eq!(hash_files(dir.path(), &["a\n!a"]).unwrap(), "");
    }

    #[test]
    fn links_are_followed_only_when_asked() {
        let dir = workspace();
        assert_eq!(hash_files(dir.path(), &["link"]).unwrap(), "");
        std::os::unix::fs::symlink("..", dir.path().join("a/circle")).unwrap();
        assert_eq!(
            hash_files(dir.path(), &["--follow-symbolic-links", "link"]).unwrap(),
            expected(&["hidden", "a", "b", "root", "dash", "no"]),
        );
        let error = hash_files(dir.path(), &["--else", "link"]).unwrap_err();
        assert!(error.to_string().contains("--follow-symbolic-links"));
    }

    #[test]
    fn patterns_stay_in_plain_paths() {
        let dir = workspace();
        assert!(hash_files(dir.path(), &["a/../b"]).is_err());
        assert!(hash_files(dir.path(), &["./Cargo.lock"]).is_ok());
    }
}
