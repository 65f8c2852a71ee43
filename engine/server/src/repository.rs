//! Reading a repository: tags, commits, trees, who wrote what. Local only and read-only; nothing here runs a hook or
//! asks the network.
//!
//! Rules of `design.md`: a release reads its workflow from the tagged commit, and the environments file from the default
//! branch, so that a tag cannot rewrite the rules that guard it.

use std::path::{Path, PathBuf};

use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository as Git, Tree};
use tagline_plan::Person;
use thiserror::Error;

/// Where workflow files may be.
pub const WORKFLOW_FOLDERS: [&str; 2] = [".github/workflows", ".tagline/workflows"];
/// Where the environments file is.
pub const ENVIRONMENTS_FILE: &str = ".tagline/environments.yml";

/// What is wrong with a repository or a name in it.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// No repository there.
    #[error("{} is not a Git repository", .0.display())]
    NotARepository(PathBuf),
    /// One is there, and it is somebody else's.
    #[error("the repository at {} belongs to somebody else, so Git does not trust it", .0.display())]
    NotTrusted(PathBuf),
    /// One may be there, and it cannot be opened.
    #[error("the repository at {} cannot be opened", path.display())]
    Unopened {
        /// The folder that was looked from.
        path: PathBuf,
        /// Why not.
        #[source]
        source: git2::Error,
    },
    /// No tag of that name.
    #[error("there is no tag `{tag}` in {}", root.display())]
    NoTag {
        /// The name.
        tag: String,
        /// The repository.
        root: PathBuf,
    },
    /// The tag is on a tree or a blob.
    #[error("the tag `{tag}` points at a {kind}, not at a commit")]
    TagWithoutCommit {
        /// The name.
        tag: String,
        /// What it points at.
        kind: String,
    },
    /// A file is not there at that commit.
    #[error("there is no file `{path}` in {commit}")]
    NoFile {
        /// The path.
        path: String,
        /// The commit, or `the working tree`.
        commit: String,
    },
    /// A file of the working tree cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Git says no.
    #[error("Git cannot {doing}")]
    Git {
        /// What was tried.
        doing: &'static str,
        /// Why not.
        #[source]
        source: git2::Error,
    },
}

/// An error of Git with what was tried.
pub(crate) fn git(doing: &'static str) -> impl FnOnce(git2::Error) -> RepositoryError {
    move |source| RepositoryError::Git { doing, source }
}

/// A repository on this machine.
pub struct Repository {
    git: Git,
    root: PathBuf,
}

/// A commit as a release names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitInfo {
    /// 40 hex digits.
    pub id: String,
    /// First line of its message.
    pub subject: String,
    /// Its message, without the line ends at its end.
    pub message: String,
    /// Who wrote it.
    pub author: Person,
}

/// A tag with its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagInfo {
    /// The name.
    pub name: String,
    /// The commit it leads to.
    pub commit: CommitInfo,
    /// Who made the tag, where it is an annotated one.
    pub tagger: Option<Person>,
}

/// Who changed a file last, as far as the history behind a commit tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastEditor {
    /// This person.
    Known(Person),
    /// The commit does not have the file: it is built in, or not committed.
    NotCommitted,
    /// The clone is shallow, and the file is the same in its oldest commit: who brought it there is not known.
    CutOff(String),
}

/// Where files are read: a commit, or the folder with what is not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A commit, 40 hex digits.
    Commit(String),
    /// The working tree.
    WorkingTree,
}

/// A file with where it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    /// Path in the repository.
    pub path: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Such as `main, 71aa0c3`, or `working tree`.
    pub origin: String,
}

impl Repository {
    /// Opens the repository a folder is in.
    pub fn open(at: &Path) -> Result<Self, RepositoryError> {
        // `.` would tell nobody which folder that is.
        let named = || std::path::absolute(at).unwrap_or_else(|_| at.to_owned());
        let git = Git::discover(at).map_err(|source| match source.code() {
            ErrorCode::NotFound => RepositoryError::NotARepository(named()),
            ErrorCode::Owner => RepositoryError::NotTrusted(folder_of(at).unwrap_or_else(named)),
            _ => RepositoryError::Unopened { path: named(), source },
        })?;
        let root = git.workdir().unwrap_or_else(|| git.path()).to_owned();
        let root = root.canonicalize().map_err(|source| RepositoryError::Io { path: root.clone(), source })?;
        Ok(Self { git, root })
    }

    /// Its folder: the working tree, or the bare repository itself. One repository has one.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its name: the last part of `origin`, else of its folder, without `.git`. A bare repository is its own origin.
    pub fn name(&self) -> String {
        let remote = if self.is_bare() { None } else { self.git.find_remote("origin").ok() };
        let origin = remote.and_then(|remote| remote.url().ok().and_then(last_part));
        origin.or_else(|| last_part(&self.root.display().to_string())).unwrap_or_else(|| "repository".to_owned())
    }

    /// It has no working tree.
    pub fn is_bare(&self) -> bool {
        self.git.is_bare()
    }

    /// The person its Git configuration names; the e-mail address in lower case.
    pub fn identity(&self) -> Option<Person> {
        identity(&self.git.config().ok()?)
    }

    /// A value of its Git configuration.
    pub fn config(&self, key: &str) -> Option<String> {
        self.git.config().ok()?.get_string(key).ok()
    }

    /// A tag with its commit and tagger.
    pub fn tag(&self, name: &str) -> Result<TagInfo, RepositoryError> {
        let missing = || RepositoryError::NoTag { tag: name.to_owned(), root: self.root.clone() };
        let reference = match self.git.find_reference(&format!("refs/tags/{name}")) {
            Ok(reference) => reference,
            Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSpec) => return Err(missing()),
            Err(error) => return Err(git("read the tag")(error)),
        };
        let tag = reference.peel(ObjectType::Tag).ok().and_then(|object| object.into_tag().ok());
        let commit = reference.peel_to_commit().map_err(|_| RepositoryError::TagWithoutCommit {
            tag: name.to_owned(),
            kind: reference
                .peel(ObjectType::Any)
                .ok()
                .and_then(|o| o.kind())
                .map_or("nothing".into(), |k| k.to_string()),
        })?;
        let tagger = tag.as_ref().and_then(|t| t.tagger().map(|signature| person(&signature)));
        Ok(TagInfo { name: name.to_owned(), commit: info(&commit), tagger })
    }

    /// A commit by its id.
    pub fn commit(&self, id: &str) -> Result<CommitInfo, RepositoryError> {
        Ok(info(&self.find_commit(id)?))
    }

    /// The commit checked out, and the full name of its branch; none in an empty repository.
    pub fn head(&self) -> Option<(CommitInfo, String)> {
        let head = self.git.head().ok()?;
        let commit = head.peel_to_commit().ok()?;
        let name = head.name().ok().filter(|name| name.starts_with("refs/")).unwrap_or("refs/heads/main");
        Some((info(&commit), name.to_owned()))
    }

    /// Paths of the workflow files, sorted.
    pub fn workflow_files(&self, source: &Source) -> Result<Vec<String>, RepositoryError> {
        let mut paths = Vec::new();
        for folder in WORKFLOW_FOLDERS {
            let names = match source {
                Source::Commit(id) => self.tree_names(id, folder)?,
                Source::WorkingTree => folder_names(&self.root.join(folder)),
            };
            let is_workflow = |name: &String| {
                let extension = Path::new(name).extension();
                extension.is_some_and(|e| e == "yml" || e == "yaml")
            };
            paths.extend(names.into_iter().filter(is_workflow).map(|name| format!("{folder}/{name}")));
        }
        paths.sort();
        Ok(paths)
    }

    /// Reads one file.
    pub fn read(&self, source: &Source, path: &str) -> Result<ReadFile, RepositoryError> {
        match source {
            Source::Commit(id) => {
                let missing = || RepositoryError::NoFile { path: path.to_owned(), commit: id.clone() };
                let tree = self.tree(id)?;
                let entry = tree.get_path(Path::new(path)).map_err(|_| missing())?;
                let blob = self.git.find_blob(entry.id()).map_err(|_| missing())?;
                let short = id.get(..7).unwrap_or(id);
                Ok(ReadFile { path: path.to_owned(), bytes: blob.content().to_vec(), origin: short.to_owned() })
            }
            Source::WorkingTree => {
                let full = self.root.join(path);
                let bytes = std::fs::read(&full).map_err(|source| match source.kind() {
                    std::io::ErrorKind::NotFound => {
                        RepositoryError::NoFile { path: path.to_owned(), commit: "the working tree".to_owned() }
                    }
                    _ => RepositoryError::Io { path: full.clone(), source },
                })?;
                Ok(ReadFile { path: path.to_owned(), bytes, origin: "working tree".to_owned() })
            }
        }
    }

    /// The environments file of the default branch; none where it has none.
    pub fn environments(&self) -> Result<Option<ReadFile>, RepositoryError> {
        let Some((branch, id)) = self.default_branch() else { return Ok(None) };
        match self.read(&Source::Commit(id.clone()), ENVIRONMENTS_FILE) {
            Ok(file) => Ok(Some(ReadFile { origin: format!("{branch}, {}", id.get(..7).unwrap_or(&id)), ..file })),
            Err(RepositoryError::NoFile { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The default branch and its commit: `origin/HEAD` where there is an origin, HEAD in a bare repository, else `main`
    /// or `master`.
    pub fn default_branch(&self) -> Option<(String, String)> {
        let origin = self.git.find_reference("refs/remotes/origin/HEAD").ok();
        let found = match origin {
            Some(reference) => reference,
            None if self.git.is_bare() => self.git.head().ok()?,
            None => ["main", "master"]
                .iter()
                .find_map(|name| self.git.find_reference(&format!("refs/heads/{name}")).ok())?,
        };
        let resolved = found.resolve().ok()?;
        let name = resolved.shorthand().ok()?.trim_start_matches("origin/").to_owned();
        Some((name, resolved.peel_to_commit().ok()?.id().to_string()))
    }

    /// Who last changed a file at or before a commit: followed back along the parents that have the same file, as Git
    /// does, so that an edit on a branch that a merge left out does not count.
    ///
    /// # Errors
    /// When the history cannot be read. Nobody may pass for no editor because of that.
    pub fn last_editor(&self, commit: &str, path: &str) -> Result<LastEditor, RepositoryError> {
        let oldest = self.oldest_of_shallow()?;
        let mut commit = self.find_commit(commit)?;
        let Some(file) = entry_at(&commit, path)? else { return Ok(LastEditor::NotCommitted) };
        loop {
            if oldest.contains(&commit.id()) {
                return Ok(LastEditor::CutOff(commit.id().to_string()));
            }
            let Some(parent) = self.parent_with(&commit, path, file)? else {
                return Ok(LastEditor::Known(person(&commit.author())));
            };
            commit = parent;
        }
    }

    /// The first parent in which a path is the same.
    fn parent_with(
        &self,
        commit: &git2::Commit<'_>,
        path: &str,
        file: Oid,
    ) -> Result<Option<git2::Commit<'_>>, RepositoryError> {
        for id in commit.parent_ids() {
            let parent = self.git.find_commit(id).map_err(git("read the history of the workflow"))?;
            if entry_at(&parent, path)? == Some(file) {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }

    /// The commits of a shallow clone whose parents were left out; none in a whole one.
    fn oldest_of_shallow(&self) -> Result<Vec<Oid>, RepositoryError> {
        if !self.git.is_shallow() {
            return Ok(Vec::new());
        }
        let path = self.git.commondir().join("shallow");
        let text = std::fs::read_to_string(&path).map_err(|source| RepositoryError::Io { path, source })?;
        let oid = |line: &str| Oid::from_str(line.trim()).map_err(git("read where the shallow clone begins"));
        text.lines().map(oid).collect()
    }

    fn tree(&self, commit: &str) -> Result<Tree<'_>, RepositoryError> {
        self.find_commit(commit)?.tree().map_err(git("read the commit's tree"))
    }

    fn find_commit(&self, id: &str) -> Result<git2::Commit<'_>, RepositoryError> {
        let oid = Oid::from_str(id).map_err(git("read the commit's name"))?;
        self.git.find_commit(oid).map_err(git("find the commit"))
    }

    fn tree_names(&self, commit: &str, folder: &str) -> Result<Vec<String>, RepositoryError> {
        let tree = self.tree(commit)?;
        let Ok(entry) = tree.get_path(Path::new(folder)) else { return Ok(Vec::new()) };
        let Ok(folder) = self.git.find_tree(entry.id()) else { return Ok(Vec::new()) };
        let file = |entry: git2::TreeEntry<'_>| {
            (entry.kind() == Some(ObjectType::Blob)).then(|| entry.name().ok().map(str::to_owned)).flatten()
        };
        Ok(folder.iter().filter_map(file).collect())
    }
}

/// The person whom the user's own Git configuration names, where the repository is out of reach.
pub fn identity_of_user() -> Option<Person> {
    identity(&git2::Config::open_default().ok()?)
}

fn identity(config: &git2::Config) -> Option<Person> {
    let email = config.get_string("user.email").ok()?.trim().to_lowercase();
    let name = config.get_string("user.name").unwrap_or_else(|_| email.clone());
    (!email.is_empty()).then_some(Person { name, email })
}

/// What a commit has at a path; none where it has nothing there.
fn entry_at(commit: &git2::Commit<'_>, path: &str) -> Result<Option<Oid>, RepositoryError> {
    let tree = commit.tree().map_err(git("read a commit's tree"))?;
    match tree.get_path(Path::new(path)) {
        Ok(entry) => Ok(Some(entry.id())),
        // A tree that is missing is not found either, which says nothing about the file.
        Err(error) if error.code() == ErrorCode::NotFound && error.class() == ErrorClass::Tree => Ok(None),
        Err(error) => Err(git("read the history of the workflow")(error)),
    }
}

/// The folder that Git's `safe.directory` would name: of a repository that cannot be opened.
fn folder_of(at: &Path) -> Option<PathBuf> {
    let found = Git::discover_path(at, std::iter::empty::<&Path>()).ok()?;
    if found.file_name().is_some_and(|name| name == ".git") { found.parent().map(Path::to_owned) } else { Some(found) }
}

/// The last part of a path or address that is a name.
fn last_part(path: &str) -> Option<String> {
    let parts = path.rsplit(['/', ':']).map(|part| part.trim_end_matches(".git"));
    parts.into_iter().find(|part| !part.is_empty() && *part != "." && *part != "..").map(str::to_owned)
}

fn folder_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|e| e.path().is_file()).filter_map(|e| e.file_name().into_string().ok()).collect()
}

fn info(commit: &git2::Commit<'_>) -> CommitInfo {
    let subject = commit.summary_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let message = String::from_utf8_lossy(commit.message_bytes()).trim_end().to_owned();
    let author = person(&commit.author());
    CommitInfo { id: commit.id().to_string(), subject: subject.unwrap_or_default(), message, author }
}

fn person(signature: &git2::Signature<'_>) -> Person {
    Person {
        name: String::from_utf8_lossy(signature.name_bytes()).into_owned(),
        email: String::from_utf8_lossy(signature.email_bytes()).trim().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::last_part;

    #[test]
    fn a_repository_has_a_name_wherever_it_is() {
        let name = |path| last_part(path).unwrap_or_default();
        for path in ["/srv/shop.git", "/srv/shop", "/srv/shop/", "/srv/shop/.", "git@host.example:team/shop.git"] {
            assert_eq!(name(path), "shop", "{path}");
        }
        assert_eq!(last_part("/."), None);
        assert_eq!(last_part("/srv/shop/.git"), Some("shop".to_owned()));
    }
}
