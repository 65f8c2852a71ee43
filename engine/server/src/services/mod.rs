//! What a job may ask of its engine: the source, artifacts, images. The engine decides what a job may have; credentials
//! stay here.
//!
//! The job's steps may write to its folder: everything goes in and out by way of [`Inside`], and as a copy, so that no
//! step holds a file of the engine's.

pub(crate) mod deliver;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use tagline_actions::artifact::Kind;
pub(crate) use tagline_executor::chain;
use tagline_executor::registry::Registry;
use tagline_executor::{Inside, JobFolder};
use tagline_protocol::{Reply, Request};
use tagline_run::{Artifact, Fact, Input, RunState, Sender};
use tagline_syntax::filter::{Pattern, Subject};
use tempfile::TempDir;

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
        Request::Download { name, pattern } => download(context, from, folder, id, &name, &pattern).await,
        Request::Image { reference } => image(context, folder, id, &reference).await,
        Request::Push { layout, reference, digest } => push(context, folder, layout, &reference, &digest).await,
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
    let file = format!("source-{id}.tar");
    let (inside, name) = (open(folder)?, file.clone());
    blocking(move || copy(&mut File::open(&archive.file)?, &mut inside.new_in_inbox(&name)?)).await?;
    Ok(Reply::Source { file, commit, reference })
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
    let (inside, file) = (open(folder)?, found.file.clone());
    let blobs = context.store.blobs().clone();
    let (digest, size, kind) = blocking(move || {
        let (digest, size) = blobs.put(inside.from_outbox(&file)?).map_err(io::Error::other)?;
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

async fn download(
    context: &Context,
    from: &Sender,
    folder: &JobFolder,
    id: u64,
    name: &str,
    pattern: &str,
) -> Result<Reply, String> {
    // As it is now: what is made while the job runs is there as well.
    let events = context.store.events(context.state.run, 0).map_err(|error| chain(&error))?;
    let state = RunState::load(events.iter().map(|(_, event)| event)).map_err(|error| chain(&error))?;
    let Chosen { artifacts: chosen, left_out } = choose(&state, from, name, pattern)?;
    let (inside, blobs) = (open(folder)?, context.store.blobs().clone());
    let artifacts = blocking(move || {
        let mut artifacts = Vec::new();
        for (name, artifact) in chosen {
            let file = format!("artifact-{id}-{}.tar", artifact.id);
            // Hashed on the way: a damaged blob never reaches a job.
            blobs.copy_to(&artifact.digest, inside.new_in_inbox(&file)?).map_err(io::Error::other)?;
            artifacts.push((name, file));
        }
        Ok(artifacts)
    })
    .await?;
    Ok(Reply::Downloaded { artifacts, left_out })
}

/// What a download gets, and a sentence for each artifact that the job may not have.
#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    artifacts: Vec<(String, Artifact)>,
    left_out: Vec<String>,
}

/// One that is asked for by name must be had; the job goes on without others that it may not have.
fn choose(state: &RunState, from: &Sender, name: &str, pattern: &str) -> Result<Chosen, String> {
    let mut made: Vec<(&String, &Artifact)> = state.artifacts.iter().collect();
    made.sort_by_key(|(_, artifact)| artifact.id);
    if !name.is_empty() {
        let Some(artifact) = state.artifacts.get(name) else {
            let known = made.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() { "none".to_owned() } else { known };
            return Err(format!("the run has no artifact `{name}`; there are: {known}"));
        };
        state.may_have(&from.key, name, artifact).map_err(|unapproved| unapproved.to_string())?;
        return Ok(Chosen { artifacts: vec![(name.to_owned(), artifact.clone())], left_out: Vec::new() });
    }
    if !pattern.is_empty() {
        let pattern = Pattern::parse(pattern, Subject::Path).map_err(|error| error.to_string())?;
        made.retain(|(name, _)| pattern.matches(name));
    }
    let mut chosen = Chosen { artifacts: Vec::new(), left_out: Vec::new() };
    for (name, artifact) in made {
        match state.may_have(&from.key, name, artifact) {
            Ok(()) => chosen.artifacts.push((name.clone(), artifact.clone())),
            Err(unapproved) => chosen.left_out.push(unapproved.to_string()),
        }
    }
    Ok(chosen)
}

async fn image(context: &Context, folder: &JobFolder, id: u64, reference: &str) -> Result<Reply, String> {
    let work = workplace(context)?;
    let pulled = work.path().join("layout");
    let image = Registry::of_user().pull(reference, &pulled).await.map_err(|error| chain(&error))?;
    let layout = format!("image-{id}");
    let (inside, name) = (open(folder)?, layout.clone());
    blocking(move || inside.copy_to_inbox(&name, &pulled)).await?;
    Ok(Reply::Image { layout, digest: image.digest })
}

async fn push(
    context: &Context,
    folder: &JobFolder,
    layout: String,
    reference: &str,
    digest: &str,
) -> Result<Reply, String> {
    let work = workplace(context)?;
    let copy = work.path().join("layout");
    let (inside, to) = (open(folder)?, copy.clone());
    blocking(move || inside.copy_from_outbox(&layout, &to)).await?;
    let pushed = Registry::of_user().push(&copy, Some(digest), reference).await;
    Ok(Reply::Pushed { reference: pushed.map_err(|error| chain(&error))?.reference })
}

fn open(folder: &JobFolder) -> Result<Inside, String> {
    folder.open().map_err(|error| chain(&error))
}

/// A folder that no step can reach; hidden, so that one left behind is known for what it is.
fn workplace(context: &Context) -> Result<TempDir, String> {
    let made = tempfile::Builder::new().prefix(".image-").tempdir_in(context.store.folder().cache());
    made.map_err(|error| chain(&error))
}

/// The kernel copies, or shares the blocks where the file system can.
fn copy(from: &mut File, to: &mut File) -> io::Result<()> {
    io::copy(from, to).map(drop)
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
