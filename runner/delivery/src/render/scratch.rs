//! A copy of the tagged commit's files for renderers to work in: what they write is thrown away.
//!
//! A link is copied as a link, and kept only where it leads to a place inside the copy: a renderer follows links, and must not
//! be led to the engine's files.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::RenderError;

/// No more than this is copied.
const MOST_BYTES: u64 = 512 << 20;
const MOST_FILES: usize = 100_000;

/// The copy, and an empty home beside it. Removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    /// Copies a tree without its `.git`.
    pub(super) fn of(tree: &Path) -> Result<Self, RenderError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error: std::io::Error| RenderError::File { path, message: error.to_string() }
        };
        let folder = tempfile::Builder::new().prefix("tagline-render-").tempdir().map_err(at(&std::env::temp_dir()))?;
        let scratch = Self { folder };
        fs::create_dir(scratch.home()).map_err(at(&scratch.home()))?;
        fs::create_dir(scratch.tree()).map_err(at(&scratch.tree()))?;
        let (mut bytes, mut files) = (0, 0);
        let mut links = Vec::new();
        let mut waiting = vec![PathBuf::new()];
        while let Some(relative) = waiting.pop() {
            for entry in fs::read_dir(tree.join(&relative)).map_err(at(&relative))? {
                let entry = entry.map_err(at(&relative))?;
                let path = relative.join(entry.file_name());
                if path == Path::new(".git") {
                    continue;
                }
                let data = entry.metadata().map_err(at(&path))?;
                files += 1;
                bytes += data.len();
                if bytes > MOST_BYTES || files > MOST_FILES {
                    return Err(RenderError::TooLarge {
                        what: "the commit's tree".to_owned(),
                        limit: MOST_BYTES >> 20,
                    });
                }
                let target = scratch.tree().join(&path);
                if data.is_dir() {
                    fs::create_dir(&target).map_err(at(&path))?;
                    waiting.push(path);
                } else if data.is_file() {
                    fs::copy(entry.path(), &target).map_err(at(&path))?;
                } else if data.is_symlink() {
                    let link = fs::read_link(entry.path()).map_err(at(&path))?;
                    std::os::unix::fs::symlink(&link, &target).map_err(at(&path))?;
                    links.push(target);
                }
            }
        }
        // Where a link leads is known when everything is there: through other links, too.
        let inside = scratch.tree().canonicalize().map_err(at(&scratch.tree()))?;
        for link in links {
            if !link.canonicalize().is_ok_and(|place| place.starts_with(&inside)) {
                fs::remove_file(&link).map_err(at(&link))?;
            }
        }
        Ok(scratch)
    }

    /// The copied tree.
    pub(super) fn tree(&self) -> PathBuf {
        self.folder.path().join("tree")
    }

    /// An empty folder.
    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_tree_are_left_out() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("x/y/z")).unwrap();
        fs::create_dir(tree.path().join("t")).unwrap();
        let links = [
            ("in", "x/y", true),
            ("x/y/up", "../../t", true),
            ("x/y/z/s", "../../../t", true),
            // Inside by its text; outside by where `s` leads.
            ("x/y/z/l", "s/../../../..", false),
            ("t/out", "../../..", false),
            ("absolute", "/etc/passwd", false),
            ("nowhere", "x/none", false),
        ];
        for (path, link, _) in links {
            std::os::unix::fs::symlink(link, tree.path().join(path)).unwrap();
        }
        let scratch = Scratch::of(tree.path()).unwrap();
        for (path, _, kept) in links {
            assert_eq!(scratch.tree().join(path).is_symlink(), kept, "{path}");
        }
    }

    #[test]
    fn a_copy_has_files_and_folders_and_no_history() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("k8s/base")).unwrap();
        fs::create_dir(tree.path().join(".git")).unwrap();
        fs::write(tree.path().join("k8s/base/a.yaml"), "a: 1").unwrap();
        std::os::unix::fs::symlink("base/a.yaml", tree.path().join("k8s/in")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", tree.path().join("k8s/out")).unwrap();
        let scratch = Scratch::of(tree.path()).unwrap();
        assert_eq!(fs::read_to_string(scratch.tree().join("k8s/in")).unwrap(), "a: 1");
        assert!(!scratch.tree().join("k8s/out").exists() && !scratch.tree().join(".git").exists());
    }
}
