//! What must hold of every store whose run has ended: nothing is damaged, nothing is left to do, nothing is left behind.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tagline_protocol::SPOOL;
use tagline_run::RunState;
use tagline_server::ledger;
use tagline_store::{RunFilter, SecretScope, Store};

use super::files;
use super::scene::Scene;

/// What must hold of a store whose run has ended, whatever happened.
pub(crate) fn sound(scene: &Scene) -> Vec<String> {
    let mut wrong = Vec::new();
    let store = Store::open(&scene.folder).unwrap();
    if let Err(error) = store.verify() {
        wrong.push(format!("the journal's chain: {error}"));
    }
    let outbox = store.outbox().unwrap();
    if !outbox.is_empty() {
        wrong.push(format!("the outbox holds {outbox:?}"));
    }
    let given = SecretScope { root: format!("run:{}", scene.run), environment: None };
    if !store.secrets(&given).unwrap().is_empty() {
        wrong.push("secrets given with the run are still in the store".to_owned());
    }
    let before = projections(&store, scene);
    let fold = |events: &[tagline_run::Event]| {
        RunState::load(events).map(|state| ledger::summary(&state)).map_err(|error| error.to_string())
    };
    store.rebuild(&fold).unwrap();
    let after = projections(&store, scene);
    if before != after {
        wrong.push(format!("the projections were {before} and are rebuilt as {after}"));
    }
    wrong.extend(left_files(scene, &store));
    wrong.extend(left_processes(scene.scratch()));
    wrong
}

fn projections(store: &Store, scene: &Scene) -> Value {
    json!({
        "runs": store.runs(&RunFilter::default()).unwrap(),
        "artifacts": store.artifacts(scene.run).unwrap(),
        "deployments": store.deployments(None, None).unwrap(),
    })
}

/// Files that should be gone, or are not what they are called.
fn left_files(scene: &Scene, store: &Store) -> Vec<String> {
    let mut wrong = Vec::new();
    let runs = scene.folder.runs();
    let stray = files::list(&runs).into_iter().filter(|path| path.file_name().is_some_and(|name| name != SPOOL));
    wrong.extend(stray.map(|path| format!("{} is left of a job", path.display())));
    wrong.extend(files::empty_folders(&runs).iter().map(|path| format!("{} is left of a job", path.display())));
    for path in files::list(&scene.folder.blobs()) {
        let digest = path.strip_prefix("sha256").unwrap_or(&path).to_string_lossy().replace('/', "");
        if let Err(error) = store.blobs().verify(&format!("sha256:{digest}")) {
            wrong.push(format!("blob {}: {error}", path.display()));
        }
    }
    let cache = files::list(&scene.folder.cache());
    let partial =
        cache.iter().filter(|path| path.components().any(|part| part.as_os_str().as_encoded_bytes()[0] == b'.'));
    wrong.extend(partial.take(1).map(|path| format!("{} is left in the cache", path.display())));
    wrong
}

/// Processes that see a folder of this release in their mounts: a job's.
fn left_processes(scratch: &Path) -> Vec<String> {
    let name = scratch.file_name().unwrap().to_string_lossy().into_owned();
    let mut left = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        if mounts.contains(&name) {
            let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
            left.push(format!("process {} is left: {}", entry.file_name().display(), command.replace('\0', " ")));
        }
    }
    left
}
