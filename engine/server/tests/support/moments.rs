//! Moments between the engine's turns, seen in a job's folder: its agent is being launched, is known, gets or hands out a
//! file, its folder is being cleaned. The engine is killed right then.

use std::mem::MaybeUninit;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use tagline_executor::{JobFolder, Process};

use super::built::Built;
use super::points::{Oracle, same, with_log};
use super::process::End;
use super::scene::Scene;

/// A moment in the life of a job's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The launcher is about to be started.
    Launching,
    /// The agent listens; nobody has written down which process it is.
    Listening,
    /// It was written down.
    Known,
    /// A file for the job begins to appear.
    HandingIn,
    /// A file of the job begins to appear; it is asked for at once.
    HandingOut,
    /// The first of the job's folders is gone.
    Cleaning,
}

impl Moment {
    pub(crate) const ALL: [Self; 6] =
        [Self::Launching, Self::Listening, Self::Known, Self::HandingIn, Self::HandingOut, Self::Cleaning];

    /// A name for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Launching => "launching",
            Self::Listening => "listening",
            Self::Known => "known",
            Self::HandingIn => "handing-in",
            Self::HandingOut => "handing-out",
            Self::Cleaning => "cleaning",
        }
    }

    /// Whether a job of the release has it: three hand out an artifact.
    pub(crate) fn is_of(self, job: &str) -> bool {
        self != Self::HandingOut || ["build", "image", "sbom"].contains(&job)
    }

    /// The folder below the job's, what happens in it, and to which name; empty for any.
    fn sign(self) -> (&'static str, WatchFlags, &'static str) {
        let appears = WatchFlags::CREATE | WatchFlags::MOVED_TO;
        match self {
            Self::Launching => ("", appears, "launch.log"),
            Self::Listening => ("", appears, "control.sock"),
            Self::Known => ("", appears, "agent.json"),
            Self::HandingIn => ("inbox", appears, ""),
            Self::HandingOut => ("outbox", appears, ""),
            Self::Cleaning => ("", WatchFlags::DELETE | WatchFlags::ONLYDIR, ""),
        }
    }
}

/// The engine is killed at a moment of a job, and another one goes on.
pub(crate) fn killed_at(built: &Built, oracle: &Oracle, moment: Moment, job: &str) -> Result<(), String> {
    let scene = Scene::new(built, false);
    let folder = JobFolder::new(scene.folder.job(scene.run.0, job, 1));
    folder.create().unwrap();
    let (below, flags, name) = moment.sign();
    let watch = inotify::init(CreateFlags::CLOEXEC).unwrap();
    inotify::add_watch(&watch, folder.path().join(below), flags).unwrap();
    let mut engine = scene.engine("");
    let process = Process::of(engine.id()).unwrap();
    std::thread::spawn(move || {
        if comes(&watch, name) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(process.kill()).unwrap();
        }
    });
    let end = scene.accompany(&mut engine)?;
    // After its last job the engine may be through before it is killed; before that it never is.
    if end == End::Done && (moment, job) != (Moment::Cleaning, "deploy-production") {
        return Err(with_log(&scene, "the moment never came"));
    }
    scene.drive(&[]).map_err(|why| with_log(&scene, &why))?;
    same(&scene, oracle, &[])
}

/// Waits for a name, any when it is empty; false when the folder is gone before.
fn comes(watch: &std::os::fd::OwnedFd, name: &str) -> bool {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(watch, &mut buffer);
    while let Ok(event) = events.next() {
        if event.events().contains(ReadFlags::IGNORED) {
            return false;
        }
        let found = event.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.is_empty() || found == name {
            return true;
        }
    }
    false
}

/// The engine is killed when a job has begun what it can end alone, and stays away until its agent has ended: the next
/// one reads what it left.
pub(crate) fn away(built: &Built, oracle: &Oracle, job: &str) -> Result<(), String> {
    let scene = Scene::new(built, false);
    let begun = format!("StepStarted {job}/1 step 1");
    let at = oracle.facts.iter().position(|fact| *fact == begun).ok_or("the oracle has no such step")? + 1;
    let path = scene.folder.job(scene.run.0, job, 1);
    scene.one_life(&format!("kill-stored={at}"))?;
    ended(&path).map_err(|why| with_log(&scene, &why))?;
    scene.drive(&[]).map_err(|why| with_log(&scene, &why))?;
    same(&scene, oracle, &[])
}

/// Waits until a job's agent has ended by itself.
fn ended(path: &Path) -> Result<(), String> {
    let agent = JobFolder::new(path).agent().map_err(|error| error.to_string())?;
    let agent = agent.ok_or("the job had no agent when the engine was killed")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let process = Process { pid: agent.pid, start_time: agent.start_time };
    runtime.block_on(process.ended()).map_err(|error| error.to_string())
}
