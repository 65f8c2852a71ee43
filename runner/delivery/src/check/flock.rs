//! The pods of a release, kept current by one watch for each way they are known.

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};

use super::subject::{Subject, counts};
use crate::Object;
use crate::cluster::{Cluster, ClusterError, Filter};

type Sets = SelectAll<BoxStream<'static, (usize, Result<Vec<Object>, ClusterError>)>>;

/// The pods of a release.
pub(super) struct Flock<'a> {
    subject: &'a Subject,
    cluster: Cluster,
    sets: Sets,
    is_open: bool,
    known: Vec<Option<Vec<Object>>>,
    trouble: Option<String>,
}

impl<'a> Flock<'a> {
    /// Nothing is asked before the first [`Flock::change`].
    pub(super) fn new(subject: &'a Subject, cluster: &Cluster) -> Self {
        Self { subject, cluster: cluster.clone(), sets: Sets::new(), is_open: false, known: Vec::new(), trouble: None }
    }

    /// Waits for the next change. After a trouble the watches are opened again.
    pub(super) async fn change(&mut self) {
        if !self.is_open {
            self.open().await;
        }
        match self.sets.next().await {
            Some((number, Ok(pods))) => {
                self.trouble = None;
                self.known[number] = Some(pods);
            }
            Some((_, Err(error))) => self.fail(&error),
            None => std::future::pending().await,
        }
    }

    async fn open(&mut self) {
        // From the start again where an earlier call was dropped half way.
        (self.sets, self.known) = (Sets::new(), vec![None; self.subject.pods.len()]);
        for (number, labels) in self.subject.pods.iter().enumerate() {
            if labels.is_empty() {
                self.known[number] = Some(Vec::new());
                continue;
            }
            match self.cluster.watch("v1", "Pod", Filter::labels(labels)).await {
                Ok(watch) => self.sets.push(watch.stream().map(move |set| (number, set)).boxed()),
                Err(error) => return self.fail(&error),
            }
        }
        self.is_open = true;
    }

    fn fail(&mut self, error: &ClusterError) {
        self.trouble = Some(error.to_string());
        self.is_open = false;
    }

    /// All of them were seen, or it is known why not.
    pub(super) fn is_settled(&self) -> bool {
        self.trouble.is_some() || !self.known.is_empty() && self.known.iter().all(Option::is_some)
    }

    /// The pods that count; why nobody knows them.
    pub(super) fn pods(&self) -> Result<Vec<Object>, String> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.clone());
        }
        if !self.is_settled() {
            return Err("the pods were not seen yet".to_owned());
        }
        let pods = self.known.iter().flatten().flatten().filter(|pod| counts(pod));
        let mut pods: Vec<Object> = pods.cloned().collect();
        pods.sort_by_key(|pod| pod.name().to_owned());
        pods.dedup_by(|a, b| a.uid() == b.uid());
        Ok(pods)
    }
}
