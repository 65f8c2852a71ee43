//! A copy of the tagged commit's files for renderers to work in: what they write is thrown away.
//!
//! A link is copied as a link, and only where it stays inside the tree: a renderer follows links, and must not be led to the
//! engine's files.

use std::fs;
use std::path::{Component, Path, PathBuf};

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
                    if stays_inside(&path, &link) {
                        std::os::unix::fs::symlink(&link, &target).map_err(at(&path))?;
                    }
                }
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

/// Whether a link at `path` leads to something inside the tree, by its text alone. Links to links are links of the tree
/// themselves, and judged the same way.
fn stays_inside(path: &Path, link: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    for component in link.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_tree_are_left_out() {
        for (path, link, inside) in [
            ("a/l", "../b", true),
            ("a/l", "../../b", false),
            ("l", "/etc/passwd", false),
            ("a/b/l", "../../c/./d", true),
            ("a/l", "x/../../../b", false),
        ] {
            assert_eq!(stays_inside(Path::new(path), Path::new(link)), inside, "{path} -> {link}");
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
