//! `actions/checkout`, the part that happens in the job: put the prepared source into the workspace.

use crate::extract::name::EntryName;
use crate::extract::{ExtractError, Extracted, Policy, extract_tar_at, folder};
use crate::inputs::{InputError, Inputs};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The inputs of `actions/checkout`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// `OWNER/NAME`; `None` means the repository of the run.
    pub repository: Option<String>,
    /// Branch, tag or commit; `None` means the commit of the run.
    pub git_ref: Option<String>,
    /// Folder beneath the workspace; empty for the workspace itself.
    pub path: String,
    /// Whether what is there is removed first.
    pub clean: bool,
    /// Commits of history; 0 means all.
    pub fetch_depth: u32,
    /// Whether all tags come along.
    pub fetch_tags: bool,
}

impl Checkout {
    /// Reads the inputs.
    pub fn read(inputs: &Inputs) -> Result<Self, InputError> {
        let depth = inputs.integer("fetch-depth", 0, i64::from(u32::MAX))?;
        Ok(Self {
            repository: inputs.text("repository").map(str::to_owned),
            git_ref: inputs.text("ref").map(str::to_owned),
            path: inputs.text("path").unwrap_or("").to_owned(),
            clean: inputs.boolean("clean")?.unwrap_or(true),
            fetch_depth: depth.and_then(|depth| u32::try_from(depth).ok()).unwrap_or(1),
            fetch_tags: inputs.boolean("fetch-tags")?.unwrap_or(false),
        })
    }
}

/// What stops a checkout.
#[derive(Debug, Error)]
pub enum CheckoutError {
    /// `path` leads out of the workspace.
    #[error("actions/checkout: path `{path}` does not lie under the workspace: {why}")]
    Path {
        /// The path as given.
        path: String,
        /// Why not.
        why: String,
    },
    /// The source tar is refused.
    #[error("actions/checkout: {0}")]
    Extract(#[from] ExtractError),
    /// The system refused.
    #[error("actions/checkout cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Unpacks a source tar, `.git` included, into `path` beneath `workspace`. With `clean` the folder is
/// emptied first; links in it are removed and never followed.
pub fn unpack_source(tar: impl Read, workspace: &Path, path: &str, clean: bool) -> Result<Extracted, CheckoutError> {
    let policy = Policy::source();
    let outside = |why: String| CheckoutError::Path { path: path.to_owned(), why };
    let relative = Path::new(path).strip_prefix(workspace).unwrap_or(Path::new(path));
    let spelled = format!("./{}", relative.display());
    if relative.is_absolute() {
        return Err(outside("it is absolute".into()));
    }
    let name = EntryName::parse(spelled.as_bytes(), policy.limits.depth).map_err(|why| outside(why.to_string()))?;
    let target = workspace.join(name.as_path());
    let root = folder::open_trusted(workspace).map_err(|source| CheckoutError::Io {
        action: "open",
        path: workspace.to_owned(),
        source,
    })?;
    let folder =
        folder::make_folders(&root, &name).map_err(|_| outside("a link or a file stands on the way".into()))?;
    if clean {
        let failed = |source: rustix::io::Errno| CheckoutError::Io {
            action: "empty",
            path: target.clone(),
            source: source.into(),
        };
        for child in folder::names(&folder).map_err(failed)? {
            folder::remove_tree(&folder, &child).map_err(failed)?;
        }
    }
    Ok(extract_tar_at(tar, &folder, &target, &policy)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn source() -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        let mut file = |name: &str, mode, body: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_size(body.len() as u64);
            header.set_mode(mode);
            tar.append_data(&mut header, name, body.as_bytes()).unwrap();
        };
        file(".git/HEAD", 0o644, "ref: refs/heads/main\n");
        file("run.sh", 0o755, "true\n");
        file("Makefile", 0o644, "a");
        file("makefile", 0o644, "b");
        file("a\\b:c*?", 0o644, "odd");
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, "config", "/etc/hostname").unwrap();
        tar.into_inner().unwrap()
    }

    #[test]
    fn clean_empties_the_workspace_and_follows_no_link_out() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("precious"), "x").unwrap();
        fs::create_dir(dir.path().join("old")).unwrap();
        symlink(outside.path(), dir.path().join("old/link")).unwrap();
        symlink(outside.path(), dir.path().join("link")).unwrap();
        unpack_source(&source()[..], dir.path(), "", true).unwrap();
        assert!(outside.path().join("precious").exists());
        assert!(!dir.path().join("old").exists() && !dir.path().join("link").exists());
        assert!(dir.path().join(".git/HEAD").exists());
        assert_eq!(fs::read_to_string(dir.path().join("makefile")).unwrap(), "b");
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(dir.path().join("run.sh")).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o755);
        assert_eq!(fs::read_link(dir.path().join("config")).unwrap(), Path::new("/etc/hostname"));
    }

    #[test]
    fn without_clean_files_stay_and_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("kept"), "x").unwrap();
        fs::write(dir.path().join("run.sh"), "old").unwrap();
        unpack_source(&source()[..], dir.path(), "", false).unwrap();
        assert!(dir.path().join("kept").exists());
        assert_eq!(fs::read_to_string(dir.path().join("run.sh")).unwrap(), "true\n");
    }

    #[test]
    fn path_stays_beneath_the_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        for bad in ["../x", "/tmp/x", "out", "out/deeper"] {
            let error = unpack_source(&source()[..], dir.path(), bad, true).unwrap_err();
            assert!(matches!(error, CheckoutError::Path { .. }), "{bad}: {error}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        unpack_source(&source()[..], dir.path(), "sub/dir", true).unwrap();
        assert!(dir.path().join("sub/dir/run.sh").exists());
    }
}
