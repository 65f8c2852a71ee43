//! What a job may ask of its engine: the source, artifacts, images. The engine decides what a job may have; credentials
//! stay here.

pub(crate) mod deliver;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use tagline_actions::artifact::Kind;
use tagline_executor::JobFolder;
pub(crate) use tagline_executor::chain;
use tagline_executor::registry::Registry;
use tagline_protocol::{Reply, Request};
use tagline_run::{Fact, Input, Sender};
use tagline_store::ArtifactRow;
use tagline_syntax::filter::{Pattern, Subject};

use crate::attend::Context;
use crate::source::{self, Wanted};

/// Answers one request of a job. The error is a sentence for the step's log.
pub(crate) async fn answer(
    context: &Context,
    from: &Sender,
    folder: &JobFolder,
    id: u64,
    request: Request,
) -> Result<Reply, String> {
    match request {
        Request::Source { repository, reference, fetch_depth, fetch_tags } => {
            let asked = Asked { repository, reference, depth: fetch_depth, tags: fetch_tags };
            source(context, folder, id, &asked).await
        }
        Request::Upload { name, file, digest, size, overwrite, kind: _ } => {
            upload(context, from, folder, Upload { name, file, digest, size, overwrite }).await
        }
        Request::Download { name, pattern } => download(context, folder, id, &name, &pattern).await,
        Request::Image { reference } => image(folder, id, &reference).await,
        Request::Push { layout, reference, digest } => push(folder, &layout, &reference, &digest).await,
        // They outlive a link: see `deliver`.
        Request::Deliver { .. } => Err("a delivery is not asked for here".to_owned()),
    }
}

/// What a checkout asks for.
struct Asked {
    repository: String,
    reference: String,
    depth: u32,
    tags: bool,
}

async fn source(context: &Context, folder: &JobFolder, id: u64, asked: &Asked) -> Result<Reply, String> {
    let Asked { repository, reference, depth, tags } = asked;
    let plan = &context.state.plan;
    let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    if !repository.is_empty() && base(repository) != base(&plan.repository) {
        return Err(format!("only the run's own repository can be checked out, not `{repository}`"));
    }
    let own = reference.is_empty() || *reference == plan.trigger.reference || *reference == plan.trigger.commit;
    let wanted = Wanted {
        root: context.root.clone(),
        revision: if own { plan.trigger.commit.clone() } else { reference.to_owned() },
        reference: if own { plan.trigger.reference.clone() } else { reference.to_owned() },
        depth: *depth,
        tags: *tags,
        working_tree: plan.trigger.working_tree && own,
    };
    let cache = context.store.folder().cache();
    let reference = wanted.reference.clone();
    // Once begun it is finished, also when this attendant is called off: the next one takes it from the cache, and no
    // `git` writes into a folder that is being removed.
    let made = tokio::spawn(async move { source::archive(&wanted, &cache).await }).await;
    let archive = made.map_err(|error| error.to_string())?.map_err(|error| chain(&error))?;
    let commit = archive.commit.clone();
    let name = format!("source-{id}.tar");
    let target = folder.inbox().join(&name);
    blocking(move || {
        // A second name for the cached file costs nothing; another file system needs a copy.
        let _ = std::fs::remove_file(&target);
        std::fs::hard_link(&archive.file, &target).or_else(|_| std::fs::copy(&archive.file, &target).map(|_| ()))
    })
    .await?;
    Ok(Reply::Source { file: name, commit, reference })
}

/// An artifact in the outbox.
struct Upload {
    name: String,
    file: String,
    digest: String,
    size: u64,
    overwrite: bool,
}

async fn upload(context: &Context, from: &Sender, folder: &JobFolder, found: Upload) -> Result<Reply, String> {
    let (outbox, file) = (folder.outbox(), found.file.clone());
    let blobs = context.store.blobs().clone();
    let (digest, size, kind) = blocking(move || {
        let (digest, size) = blobs.put(open_beneath(&outbox, &file)?).map_err(io::Error::other)?;
        // Of the stored bytes: those in the outbox may be others by now.
        let kind = Kind::of(File::open(blobs.path(&digest).map_err(io::Error::other)?)?);
        Ok((digest, size, kind.word().to_owned()))
    })
    .await?;
    if (&digest, size) != (&found.digest, found.size) {
        return Err(format!("the artifact `{}` changed while it was handed over", found.name));
    }
    let Upload { name, overwrite, .. } = found;
    let input =
        Input::ArtifactStored { from: from.clone(), name: name.clone(), digest: digest.clone(), size, kind, overwrite };
    let events = context.tell(input).await.map_err(|error| error.to_string())?;
    let id = events.iter().find_map(|event| match &event.fact {
        Fact::ArtifactStored { id, name: stored, .. } if *stored == name => Some(*id),
        _ => None,
    });
    // Told before, by an engine that was killed between storing and answering: it has its number already.
    let rows = || context.store.artifacts(context.state.run).unwrap_or_default();
    let id = id.or_else(|| rows().iter().find(|row| row.name == name).map(|row| row.id));
    id.map(|id| Reply::Uploaded { id, digest }).ok_or_else(|| format!("the artifact `{name}` was not recorded"))
}

async fn download(context: &Context, folder: &JobFolder, id: u64, name: &str, pattern: &str) -> Result<Reply, String> {
    let rows = context.store.artifacts(context.state.run).map_err(|error| chain(&error))?;
    let wanted = choose(rows, name, pattern)?;
    let (store, inbox) = (context.store.clone(), folder.inbox());
    let artifacts = blocking(move || {
        let mut artifacts = Vec::new();
        for row in wanted {
            let file = format!("artifact-{id}-{}.tar", row.id);
            let path = inbox.join(&file);
            let _ = std::fs::remove_file(&path);
            let target = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
            // Hashed on the way: a damaged blob never reaches a job.
            store.blobs().copy_to(&row.digest, target).map_err(io::Error::other)?;
            artifacts.push((row.name, file));
        }
        Ok(artifacts)
    })
    .await?;
    Ok(Reply::Downloaded { artifacts })
}

fn choose(rows: Vec<ArtifactRow>, name: &str, pattern: &str) -> Result<Vec<ArtifactRow>, String> {
    if !name.is_empty() {
        let known = rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ");
        let found: Vec<ArtifactRow> = rows.into_iter().filter(|row| row.name == name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known };
        return if found.is_empty() {
            Err(format!("the run has no artifact `{name}`; there are: {known}"))
        } else {
            Ok(found)
        };
    }
    if pattern.is_empty() {
        return Ok(rows);
    }
    let pattern = Pattern::parse(pattern, Subject::Path).map_err(|error| error.to_string())?;
    Ok(rows.into_iter().filter(|row| pattern.matches(&row.name)).collect())
}

async fn image(folder: &JobFolder, id: u64, reference: &str) -> Result<Reply, String> {
    let layout = format!("image-{id}");
    let target = folder.inbox().join(&layout);
    if target.exists() {
        std::fs::remove_dir_all(&target).map_err(|error| error.to_string())?;
    }
    let image = Registry::of_user().pull(reference, &target).await.map_err(|error| chain(&error))?;
    Ok(Reply::Image { layout, digest: image.digest })
}

async fn push(folder: &JobFolder, layout: &str, reference: &str, digest: &str) -> Result<Reply, String> {
    let layout = folder.outbox().join(layout_path(layout)?);
    only_files_and_folders(&layout).map_err(|error| chain(&error))?;
    let pushed = Registry::of_user().push(&layout, Some(digest), reference).await;
    Ok(Reply::Pushed { reference: pushed.map_err(|error| chain(&error))?.reference })
}

/// Opens a file of the outbox, which the job can write to: nothing is followed out of it.
fn open_beneath(folder: &Path, name: &str) -> io::Result<File> {
    plain_name(name)?;
    let root = File::open(folder)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let file = File::from(openat2(&root, name, flags, Mode::empty(), resolve)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// A path of plain names below the outbox.
fn layout_path(layout: &str) -> Result<PathBuf, String> {
    let parts = layout.split('/').map(|part| plain_name(part).map(|()| part));
    parts.collect::<io::Result<PathBuf>>().map_err(|error| error.to_string())
}

/// The job wrote the layout: nothing in it may lead out of it. What is pushed must have the digest it is named by
/// besides, so a link made later can only lead to bytes that the job knows already.
fn only_files_and_folders(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            only_files_and_folders(&entry.path())?;
        } else if !kind.is_file() {
            return Err(io::Error::other(format!("{} is no file", entry.file_name().to_string_lossy())));
        }
    }
    Ok(())
}

fn plain_name(name: &str) -> io::Result<()> {
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    if plain { Ok(()) } else { Err(io::Error::other(format!("`{name}` is no plain file name"))) }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| chain(&error)),
        Err(error) => Err(error.to_string()),
    }
}

/// The path of a job folder.
pub(crate) fn job_folder(context: &Context, from: &Sender) -> PathBuf {
    context.store.folder().job(context.state.run.0, &from.key.to_string(), from.attempt.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_names_stays_in_its_outbox() {
        for bad in ["", ".", "..", "a/../b", "/etc", "a//b"] {
            assert!(layout_path(bad).is_err(), "{bad:?}");
        }
        assert_eq!(layout_path("1-2.folder/layout"), Ok(PathBuf::from("1-2.folder/layout")));
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("there"), "x").unwrap();
        std::os::unix::fs::symlink("there", folder.path().join("link")).unwrap();
        assert!(open_beneath(folder.path(), "there").is_ok());
        assert!(open_beneath(folder.path(), "link").is_err());
        assert!(open_beneath(folder.path(), "../there").is_err());
        assert!(only_files_and_folders(folder.path()).is_err());
    }
}
