//! The end of a Job before its time: it and its pods are gone before anything else goes on.

use std::time::Duration;

use crate::cluster::{Cluster, ClusterError, Filter, Labels, Precondition, Propagation};
use crate::{DeliveryError, Failure, Object, Progress};

/// How long pods that are asked to end may take beyond their own grace.
const GRACE: Duration = Duration::from_mins(3);

/// The label that a Job's pods bear.
pub(super) fn pods_of(job: &str) -> Labels {
    Labels::from([("batch.kubernetes.io/job-name".to_owned(), job.to_owned())])
}

/// Deletes the Job with its pods and waits until they are gone. Not ended early by anything: what a Job does to a database
/// after its step has given up is what makes a way back wrong.
///
/// # Errors
/// They are still there after a long while, or the cluster cannot be asked.
pub(super) async fn end(cluster: &Cluster, job: &Object, progress: &dyn Progress) -> Result<(), DeliveryError> {
    let id = job.id();
    cluster.delete(&id, &Precondition::same(job), Propagation::Foreground).await?;
    let grace = job.number("/spec/template/spec/terminationGracePeriodSeconds").unwrap_or(30);
    let limit = GRACE + Duration::from_secs(u64::try_from(grace).unwrap_or(30));
    let gone = async {
        let mut pods = cluster.watch("v1", "Pod", Filter::labels(&pods_of(&id.name))).await?;
        while !pods.next().await?.is_empty() {}
        let mut jobs = cluster.watch("batch/v1", "Job", Filter::name(&id.name)).await?;
        while jobs.next().await?.iter().any(|each| each.uid() == job.uid()) {}
        Ok::<(), ClusterError>(())
    };
    tokio::select! {
        gone = gone => gone?,
        () = progress.sleep(limit) => {
            let why = format!("its pods were still there {} s after they were asked to end", limit.as_secs());
            return Err(Failure::new(format!("{id} cannot be ended"), why)
                .effect("it may still be at work")
                .next(format!("kubectl get pods -l batch.kubernetes.io/job-name={}", id.name))
                .into());
        }
    }
    progress.say(format!("{id} and its pods are gone"));
    Ok(())
}
