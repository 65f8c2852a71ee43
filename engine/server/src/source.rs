//! The source tree for `actions/checkout`: a tar with the files and a real `.git`.
//!
//! One of a commit is made once for each ref and depth and stays in the cache, with its digest beside it: one whose bytes
//! are others is made anew. One of a working tree is made for each checkout, also in a rerun, and goes when it was handed
//! over: the tree may be another one a moment later.
//!
//! The clone has the ref it was asked for at the commit it was asked for, wherever the repository's own ref is by now:
//! a release goes on with the commit it was planned for.
//!
//! The `git` program clones (shallow clones, submodules-to-be and odd configurations are its business), with no hooks, no
//! system configuration and no protocol but the local one; only the run's own repository can be asked for.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};
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
    /// Commits of history; 0 is all, and all tags with it.
    pub(crate) depth: u32,
    /// With all tags.
    pub(crate) tags: bool,
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
    let file = folder.join(format!("{}-{commit}-{}.tar", key(wanted), wanted.depth));
    if !wanted.working_tree && is_whole(&file).await? {
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
    blocking(move || pack(&from, &to)).await?;
    if wanted.working_tree {
        return Ok(Archive { file: temporary, commit, _work: Some(work) });
    }
    let (noted, packed) = (work.path().join("digest"), temporary.clone());
    fs::write(&noted, blocking(move || digest_of(&packed)).await?)?;
    fs::rename(&noted, beside(&file))?;
    fs::rename(&temporary, &file)?;
    Ok(Archive { file, commit, _work: None })
}

/// Whether an archive is there with the bytes it was made with.
async fn is_whole(file: &Path) -> io::Result<bool> {
    let (Ok(noted), true) = (fs::read_to_string(beside(file)), file.exists()) else { return Ok(false) };
    let file = file.to_owned();
    Ok(blocking(move || digest_of(&file)).await? == noted)
}

/// Where an archive's digest is noted.
fn beside(file: &Path) -> PathBuf {
    file.with_extension("sha256")
}

fn digest_of(file: &Path) -> io::Result<String> {
    let (mut file, mut hasher) = (fs::File::open(file)?, Sha256::new());
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
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
    if wanted.tags || wanted.depth == 0 {
        fetch(wanted, clone, "+refs/tags/*:refs/tags/*").await?;
    }
    // After all tags: where the release's own was moved, it is where it was.
    let own = if wanted.reference.starts_with("refs/tags/") {
        format!("+{}:{}", tagged(wanted, commit).await, wanted.reference)
    } else {
        format!("+{commit}:refs/remotes/origin/tagline")
    };
    fetch(wanted, clone, &own).await?;
    run("checkout", clone, &["checkout", "--quiet", "--detach", commit]).await?;
    Ok(())
}

/// Fetched by their ids, objects are there however refs have moved; git's second protocol gives them all.
async fn fetch(wanted: &Wanted, clone: &Path, refs: &str) -> Result<(), SourceError> {
    let root = format!("file://{}", wanted.root.display());
    let depth = format!("--depth={}", wanted.depth);
    let mut fetch = vec!["fetch", "--quiet", "--no-tags", "--update-head-ok"];
    if wanted.depth > 0 {
        fetch.push(&depth);
    }
    fetch.extend(["--", root.as_str(), refs]);
    run("fetch", clone, &fetch).await.map(drop)
}

/// What the tag is in the clone: the repository's own tag with its message where it still leads to the commit, else the
/// commit itself.
async fn tagged(wanted: &Wanted, commit: &str) -> String {
    let leads_to = async |what: &str| {
        let name = format!("{}{what}", wanted.reference);
        let arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", &name];
        run("rev-parse", &wanted.root, &arguments).await.ok().map(|said| said.trim().to_owned())
    };
    match leads_to("^{commit}").await {
        Some(found) if found == commit => leads_to("").await.unwrap_or(found),
        _ => commit.to_owned(),
    }
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
        .args(["-c", "protocol.version=2"])
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

/// What the clone has besides its commit: whose it is, and under which name.
fn key(wanted: &Wanted) -> String {
    let root = wanted.root.as_os_str().as_encoded_bytes();
    let named = [root, wanted.reference.as_bytes(), &[u8::from(wanted.tags)]].join(&0);
    let digest = tagline_plan::digest::digest_bytes(&named);
    tagline_plan::digest::short(&digest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn git(folder: &Path, arguments: &[&str]) -> String {
        let who = ["-c", "user.name=Ona", "-c", "user.email=ona@example.com"];
        run("test", folder, &[&who, arguments].concat()).await.unwrap().trim().to_owned()
    }

    struct Place {
        _scratch: TempDir,
        root: PathBuf,
        cache: PathBuf,
        /// The first commit.
        commit: String,
    }

    async fn place() -> Place {
        let scratch = tempfile::tempdir().unwrap();
        let (root, cache) = (scratch.path().join("repository"), scratch.path().join("cache"));
        fs::create_dir(&root).unwrap();
        git(&root, &["init", "--quiet"]).await;
        fs::write(root.join("VERSION"), "1.2.3").unwrap();
        git(&root, &["add", "."]).await;
        git(&root, &["commit", "--quiet", "-m", "Begin"]).await;
        let commit = git(&root, &["rev-parse", "HEAD"]).await;
        Place { _scratch: scratch, root, cache, commit }
    }

    impl Place {
        fn of_commit(&self) -> Wanted {
            let (root, revision) = (self.root.clone(), self.commit.clone());
            Wanted { root, reference: revision.clone(), revision, depth: 1, tags: false, working_tree: false }
        }

        fn of_tag(&self, tag: &str) -> Wanted {
            Wanted { reference: format!("refs/tags/{tag}"), ..self.of_commit() }
        }

        /// What a step would have in its workspace.
        async fn checkout(&self, wanted: &Wanted) -> TempDir {
            let archive = archive(wanted, &self.cache).await.unwrap();
            let workspace = tempfile::tempdir().unwrap();
            tar::Archive::new(fs::File::open(&archive.file).unwrap()).unpack(workspace.path()).unwrap();
            workspace
        }

        /// Files in the cache: an archive and its digest are two.
        fn kept(&self) -> usize {
            fs::read_dir(self.cache.join("source")).unwrap().count()
        }
    }

    #[tokio::test]
    async fn the_archive_of_a_commit_stays_and_that_of_a_working_tree_goes() {
        let place = place().await;
        let wanted = Wanted { working_tree: true, ..place.of_commit() };
        let tree = archive(&wanted, &place.cache).await.unwrap();
        assert!(tree.file.exists());
        drop(tree);
        assert_eq!(place.kept(), 0);

        drop(archive(&place.of_commit(), &place.cache).await.unwrap());
        drop(archive(&place.of_commit(), &place.cache).await.unwrap());
        assert_eq!(place.kept(), 2);
    }

    #[tokio::test]
    async fn an_archive_whose_bytes_were_changed_is_made_anew() {
        let place = place().await;
        let wanted = place.of_commit();
        let first = archive(&wanted, &place.cache).await.unwrap();
        let mut bytes = fs::read(&first.file).unwrap();
        let at = bytes.windows(5).position(|window| window == b"1.2.3").unwrap();
        bytes[at] = b'6';
        fs::write(&first.file, bytes).unwrap();
        let workspace = place.checkout(&wanted).await;
        assert_eq!(fs::read_to_string(workspace.path().join("VERSION")).unwrap(), "1.2.3");
    }

    #[tokio::test]
    async fn two_tags_of_one_commit_have_a_clone_each() {
        let place = place().await;
        for (tag, message) in [("v1.2.3-rc.1", None), ("v1.2.3", Some("The release"))] {
            match message {
                None => git(&place.root, &["tag", tag]).await,
                Some(message) => git(&place.root, &["tag", "-a", "-m", message, tag]).await,
            };
            let workspace = place.checkout(&place.of_tag(tag)).await;
            assert_eq!(git(workspace.path(), &["describe", "--tags", "--always"]).await, tag);
        }
        // An annotated tag stays one.
        let workspace = place.checkout(&place.of_tag("v1.2.3")).await;
        assert_eq!(git(workspace.path(), &["describe"]).await, "v1.2.3");
    }

    #[tokio::test]
    async fn a_tag_that_was_moved_or_deleted_is_where_the_release_has_it() {
        let place = place().await;
        git(&place.root, &["tag", "-a", "-m", "First", "v1.2.3"]).await;
        git(&place.root, &["commit", "--quiet", "--allow-empty", "-m", "Go on"]).await;
        git(&place.root, &["tag", "-f", "v1.2.3"]).await;
        let tagged = async |wanted: Wanted| {
            let workspace = place.checkout(&wanted).await;
            git(workspace.path(), &["rev-parse", "HEAD", "refs/tags/v1.2.3^{commit}"]).await
        };
        let both = format!("{0}\n{0}", place.commit);
        assert_eq!(tagged(place.of_tag("v1.2.3")).await, both);
        assert_eq!(tagged(Wanted { depth: 0, ..place.of_tag("v1.2.3") }).await, both);
        git(&place.root, &["tag", "-d", "v1.2.3"]).await;
        assert_eq!(tagged(Wanted { depth: 2, ..place.of_tag("v1.2.3") }).await, both);
    }

    #[tokio::test]
    async fn all_tags_come_where_they_are_asked_for() {
        let place = place().await;
        for tag in ["v1.0.0", "v1.2.3"] {
            git(&place.root, &["tag", tag]).await;
        }
        let tags = async |wanted: Wanted| {
            let workspace = place.checkout(&wanted).await;
            git(workspace.path(), &["tag", "--list"]).await
        };
        assert_eq!(tags(place.of_tag("v1.2.3")).await, "v1.2.3");
        assert_eq!(tags(Wanted { tags: true, ..place.of_tag("v1.2.3") }).await, "v1.0.0\nv1.2.3");
        assert_eq!(tags(Wanted { depth: 0, ..place.of_tag("v1.2.3") }).await, "v1.0.0\nv1.2.3");
        assert_eq!(tags(Wanted { tags: true, ..place.of_commit() }).await, "v1.0.0\nv1.2.3");
    }
}
