//! The source tree for `actions/checkout`: a tar with the files and a real `.git`.
//!
//! One of a commit is made once for each depth and stays in the cache. One of a working tree is made for each checkout,
//! also in a rerun, and goes when it was handed over: the tree may be another one a moment later.
//!
//! The `git` program clones (shallow clones, submodules-to-be and odd configurations are its business), with no hooks, no
//! system configuration and no protocol but the local one; only the run's own repository can be asked for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use thiserror::Error;
use tokio::process::Command;

/// Why there is no source.
#[derive(Debug, Error)]
pub(crate) enum SourceError {
    /// `git` is not there.
    #[error("the `git` program cannot be started")]
    NoGit(#[source] io::Error),
    /// `git` says no.
    #[error("git {doing} failed: {said}")]
    Git {
        /// The subcommand.
        doing: &'static str,
        /// The last line of what it said.
        said: String,
    },
    /// A file cannot be written.
    #[error("cannot write the source archive")]
    Io(#[from] io::Error),
}

/// What is wanted of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The repository's folder.
    pub(crate) root: PathBuf,
    /// A commit (40 hex digits) or a ref.
    pub(crate) revision: String,
    /// The ref to have in the clone, when the revision is a tag or branch.
    pub(crate) reference: String,
    /// Commits of history; 0 is all.
    pub(crate) depth: u32,
    /// With the files of the working tree that are not committed, as far as Git does not ignore them.
    pub(crate) working_tree: bool,
}

/// A source tree in one file.
#[derive(Debug)]
pub(crate) struct Archive {
    /// The file; one of a working tree goes with this value.
    pub(crate) file: PathBuf,
    /// The commit it is of.
    pub(crate) commit: String,
    _work: Option<TempDir>,
}

/// The archive, from the cache where it is there.
pub(crate) async fn archive(wanted: &Wanted, cache: &Path) -> Result<Archive, SourceError> {
    let commit = resolve(wanted).await?;
    let folder = cache.join("source");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{}-{}-{}.tar", key(&wanted.root), commit, wanted.depth));
    if !wanted.working_tree && file.exists() {
        return Ok(Archive { file, commit, _work: None });
    }
    let work = tempfile::Builder::new().prefix(".source-").tempdir_in(&folder)?;
    let clone = work.path().join("tree");
    make_clone(wanted, &commit, &clone).await?;
    if wanted.working_tree {
        overlay_working_tree(&wanted.root, &clone).await?;
    }
    let temporary = work.path().join("source.tar");
    let (from, to) = (clone.clone(), temporary.clone());
    tokio::task::spawn_blocking(move || pack(&from, &to)).await.map_err(io::Error::other)??;
    if wanted.working_tree {
        return Ok(Archive { file: temporary, commit, _work: Some(work) });
    }
    fs::rename(&temporary, &file)?;
    Ok(Archive { file, commit, _work: None })
}

/// Where the trees of runs are.
pub(crate) fn trees(cache: &Path) -> PathBuf {
    cache.join("tree")
}

/// The files themselves in a folder, which is made unless it is there: whole or not at all.
pub(crate) async fn tree(wanted: &Wanted, folder: &Path) -> Result<(), SourceError> {
    if folder.is_dir() {
        return Ok(());
    }
    let commit = resolve(wanted).await?;
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix(".tree-").tempdir_in(parent)?;
    let clone = work.path().join("tree");
    make_clone(wanted, &commit, &clone).await?;
    if wanted.working_tree {
        overlay_working_tree(&wanted.root, &clone).await?;
    }
    match fs::rename(&clone, folder) {
        // Another one was faster.
        Err(_) if folder.is_dir() => Ok(()),
        renamed => Ok(renamed?),
    }
}

async fn resolve(wanted: &Wanted) -> Result<String, SourceError> {
    if wanted.working_tree && wanted.revision.bytes().all(|b| b == b'0') {
        return Ok(wanted.revision.clone());
    }
    let name = format!("{}^{{commit}}", wanted.revision);
    let said = run("rev-parse", &wanted.root, &["rev-parse", "--verify", "--end-of-options", &name]).await?;
    Ok(said.trim().to_owned())
}

async fn make_clone(wanted: &Wanted, commit: &str, clone: &Path) -> Result<(), SourceError> {
    let target = clone.display().to_string();
    run("init", &wanted.root, &["init", "--quiet", "--initial-branch=main", "--", &target]).await?;
    if commit.bytes().all(|b| b == b'0') {
        return Ok(());
    }
    let root = format!("file://{}", wanted.root.display());
    let depth = format!("--depth={}", wanted.depth);
    let mut fetch = vec!["fetch", "--quiet", "--no-tags", "--update-head-ok"];
    if wanted.depth > 0 {
        fetch.push(&depth);
    } else {
        fetch.push("--tags");
    }
    let tag = wanted.reference.starts_with("refs/tags/").then(|| format!("+{0}:{0}", wanted.reference));
    let commit_spec = format!("+{commit}:refs/remotes/origin/tagline");
    fetch.extend(["--", root.as_str()]);
    fetch.push(tag.as_deref().unwrap_or(&commit_spec));
    run("fetch", clone, &fetch).await?;
    run("checkout", clone, &["checkout", "--quiet", "--detach", commit]).await?;
    Ok(())
}

/// Replaces the clone's files by those of the working tree.
async fn overlay_working_tree(root: &Path, clone: &Path) -> Result<(), SourceError> {
    let list = run("ls-files", root, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).await?;
    let committed = run("ls-files", clone, &["ls-files", "-z"]).await?;
    for path in committed.split_terminator('\0') {
        let _ = fs::remove_file(clone.join(path));
    }
    for path in list.split_terminator('\0') {
        let (from, to) = (root.join(path), clone.join(path));
        let Ok(metadata) = fs::symlink_metadata(&from) else { continue };
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        if metadata.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from)?, &to)?;
        } else if metadata.is_file() {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

async fn run(doing: &'static str, folder: &Path, arguments: &[&str]) -> Result<String, SourceError> {
    let output = Command::new("git")
        .args(["-c", "core.hooksPath=/dev/null", "-c", "protocol.allow=never", "-c", "protocol.file.allow=always"])
        .args(["-c", "safe.directory=*", "-c", "advice.detachedHead=false", "-c", "uploadpack.allowAnySHA1InWant=true"])
        .args(arguments)
        .current_dir(folder)
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_QUARANTINE_PATH")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(SourceError::NoGit)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(SourceError::Git { doing, said: said.lines().last().unwrap_or("it said nothing").to_owned() })
}

/// Packs a folder with everything in it; links stay links.
fn pack(folder: &Path, file: &Path) -> io::Result<()> {
    let mut tar = tar::Builder::new(fs::File::create(file)?);
    tar.follow_symlinks(false);
    tar.append_dir_all(".", folder)?;
    tar.into_inner()?.sync_all()
}

fn key(root: &Path) -> String {
    let digest = tagline_plan::digest::digest_bytes(root.as_os_str().as_encoded_bytes());
    tagline_plan::digest::short(&digest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn git(folder: &Path, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=Ona", "-c", "user.email=ona@example.com"];
        run("test", folder, &[&who, arguments].concat()).await.unwrap().trim().to_owned()
    }

    #[tokio::test]
    async fn the_archive_of_a_commit_stays_and_that_of_a_working_tree_goes() {
        let scratch = tempfile::tempdir().unwrap();
        let (root, cache) = (scratch.path().join("repository"), scratch.path().join("cache"));
        fs::create_dir(&root).unwrap();
        git(&root, &["init", "--quiet"]).await;
        fs::write(root.join("VERSION"), "1.2.3").unwrap();
        git(&root, &["add", "."]).await;
        git(&root, &["commit", "--quiet", "-m", "Begin"]).await;
        let revision = git(&root, &["rev-parse", "HEAD"]).await;
        let kept = || fs::read_dir(cache.join("source")).unwrap().count();

        let wanted = Wanted { root, reference: revision.clone(), revision, depth: 1, working_tree: true };
        let tree = archive(&wanted, &cache).await.unwrap();
        assert!(tree.file.exists());
        drop(tree);
        assert_eq!(kept(), 0);

        drop(archive(&Wanted { working_tree: false, ..wanted }, &cache).await.unwrap());
        assert_eq!(kept(), 1);
    }
}
