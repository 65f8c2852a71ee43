//! Where a Job's template comes from.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::Object;
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::inputs::{JobSource, did_you_mean};

/// A manifest of a Job is not larger.
const MOST: u64 = 1 << 20;

/// The Job or CronJob that is named; a problem in one line where there is none.
pub(crate) async fn read(
    cluster: &Cluster,
    tree: &Path,
    source: &JobSource,
) -> Result<Result<Object, String>, ClusterError> {
    match source {
        JobSource::Manifest(path) => Ok(manifest(tree, path)),
        JobSource::CronJob(name) => {
            if let Some(found) = cluster.get(&cluster.id("batch/v1", "CronJob", name)).await? {
                return Ok(Ok(found));
            }
            let all = cluster.list("batch/v1", "CronJob", &Labels::new()).await?;
            let guess = did_you_mean(name, all.iter().map(Object::name));
            let hint = if guess.is_empty() { "; or name its manifest, as job: k8s/migrations.yaml" } else { "" };
            Ok(Err(format!("cronjob \"{name}\" does not exist in namespace {}{guess}{hint}", cluster.namespace())))
        }
    }
}

/// What is wrong with a manifest of the repository, in one line; of the cluster's CronJobs nothing is known.
pub(crate) fn of_files(tree: &Path, source: &JobSource) -> Option<String> {
    match source {
        JobSource::Manifest(path) => manifest(tree, path).err(),
        JobSource::CronJob(_) => None,
    }
}

/// The one Job or CronJob of a file; other objects in it are passed over.
fn manifest(tree: &Path, path: &str) -> Result<Object, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{path}: {why}");
    let place = tree.join(path).canonicalize().map_err(|error| wrong(&error))?;
    if !tree.canonicalize().is_ok_and(|tree| place.starts_with(tree)) {
        return Err(wrong(&"leads out of the repository"));
    }
    if place.metadata().map_err(|error| wrong(&error))?.len() > MOST {
        return Err(wrong(&"is larger than 1 MiB"));
    }
    let text = fs::read_to_string(&place).map_err(|error| wrong(&error))?;
    let mut found = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&text) {
        let object = Object(Value::deserialize(document).map_err(|error| wrong(&error))?);
        if matches!(object.kind(), "Job" | "CronJob") {
            found.push(object);
        }
    }
    match (found.pop(), found.len()) {
        (Some(one), 0) if !one.name().is_empty() => Ok(one),
        (Some(_), 0) => Err(wrong(&"its Job has no metadata.name")),
        (None, _) => Err(wrong(&"holds no Job and no CronJob")),
        (Some(_), more) => Err(wrong(&format!("holds {} Jobs; one is needed", more + 1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_holds_one_job() {
        let tree = tempfile::tempdir().unwrap();
        let job = "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: m}\n";
        fs::write(tree.path().join("one.yaml"), format!("kind: Service\n---\n{job}")).unwrap();
        fs::write(tree.path().join("two.yaml"), format!("{job}---\n{job}")).unwrap();
        fs::write(tree.path().join("none.yaml"), "kind: Service\n").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", tree.path().join("out.yaml")).unwrap();
        assert_eq!(manifest(tree.path(), "one.yaml").unwrap().name(), "m");
        assert_eq!(manifest(tree.path(), "two.yaml").unwrap_err(), "two.yaml: holds 2 Jobs; one is needed");
        assert_eq!(manifest(tree.path(), "none.yaml").unwrap_err(), "none.yaml: holds no Job and no CronJob");
        assert_eq!(manifest(tree.path(), "out.yaml").unwrap_err(), "out.yaml: leads out of the repository");
    }
}
