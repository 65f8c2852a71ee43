//! Who reads a Secret, and sending them to another.

use crate::cluster::{Cluster, ClusterError, Labels};
use crate::operate::{Change, Field, Place, put, workloads};
use crate::render::config::references;
use crate::{DeliveryError, Object};

/// Everything that runs or will run, and refers to one of these Secrets.
///
/// # Errors
/// Those of reaching the cluster.
pub(crate) async fn readers_of(cluster: &Cluster, names: &[String]) -> Result<Vec<Object>, ClusterError> {
    let mut all = workloads(cluster).await?.into_all();
    all.extend(cluster.list("batch/v1", "CronJob", &Labels::new()).await?);
    all.retain(|each| references(each).iter().any(|(kind, to)| kind == "Secret" && names.contains(to)));
    Ok(all)
}

/// Lets a workload refer to a Secret wherever it refers to one of `names`; gives it back as it is then.
///
/// # Errors
/// Those of reaching the cluster; it is not there any more.
pub(crate) async fn refer(
    cluster: &Cluster,
    reader: &Object,
    names: &[String],
    to: &str,
) -> Result<Object, DeliveryError> {
    put(cluster, &to_refer(reader, names, to)).await
}

fn to_refer(reader: &Object, names: &[String], to: &str) -> Change {
    let field = |from: &String| Field {
        place: Place::Reference { kind: "Secret".to_owned(), names: [from.clone(), to.to_owned()] },
        value: Some(to.into()),
    };
    let fields = names.iter().filter(|name| *name != to).map(field).collect();
    Change { id: reader.id(), uid: reader.uid().to_owned(), fields }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reader_is_turned_from_every_name_to_one() {
        let read = |name: &str| json!({"secretRef": {"name": name}});
        let reader = |names: &[&str]| {
            let from: Vec<_> = names.iter().map(|name| read(name)).collect();
            Object(json!({"kind": "Deployment", "metadata": {"name": "shop"}, "spec": {"template": {"spec": {
                "containers": [{"name": "c", "envFrom": from}]}}}}))
        };
        let before = reader(&["db", "db-1", "other"]);
        let names = ["db".to_owned(), "db-1".to_owned(), "db-2".to_owned()];
        assert_eq!(to_refer(&before, &names, "db-2").on(&before), reader(&["db-2", "db-2", "other"]));
        assert_eq!(to_refer(&before, &names[1..], "db").on(&before), reader(&["db", "db", "other"]));
    }
}
