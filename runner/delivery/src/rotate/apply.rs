//! Carrying a rotation out.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::plan::RotatePlan;
use super::{ROTATED, ROTATES, ROTATION, back, new, readers_of, refer};
use crate::check::smoke::{SmokeFor, Where};
use crate::cluster::{Cluster, ClusterError, Labels, MANAGER, Patch};
use crate::inputs::Period;
use crate::inputs::smoke::{SmokeInputs, SmokeTarget};
use crate::job::{self, Done, JobPlan, Later, Scope, Work};
use crate::operate::{Note, settle, undo};
use crate::progress::{once, recorded};
use crate::rollout::is_ready;
use crate::{DeliveryError, Failure, Milestone, Object, Progress, Site, Stop, UNCHANGED};

/// Makes the new values, makes them known, logs in with them, sends every reader to them, and leaves the old ones for a while.
///
/// # Errors
/// Everything reads the old values again then, which work as before. Cancelled: the same.
pub async fn apply(
    plan: &RotatePlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Done, DeliveryError> {
    let run = Run { plan, site, cluster, progress };
    let begun: Begun = once(progress, "begun", "rotation begun", run.begin()).await?;
    if !begun.due {
        let text = format!("{} is not due before {}", plan.inputs.secret, begun.next);
        return Ok(done(&plan.live.0.name, "", false, begun.next, text));
    }
    // Another engine was on its way back: it is gone to its end.
    if let Some(error) = back::reason(progress) {
        return Err(back::go(&run, error).await);
    }
    match run.rotate(&begun).await {
        Err(error) if !matches!(error, DeliveryError::Stopped(Stop::EngineEnds)) => Err(back::go(&run, error).await),
        other => other,
    }
}

/// The data of the milestone `begun`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Begun {
    due: bool,
    next: Timestamp,
    at: Timestamp,
}

pub(super) struct Run<'a> {
    pub(super) plan: &'a RotatePlan,
    site: &'a Site,
    pub(super) cluster: &'a Cluster,
    pub(super) progress: &'a dyn Progress,
}

fn after(now: Timestamp, period: Period) -> Timestamp {
    now.saturating_add(SignedDuration::try_from(*period).unwrap_or(SignedDuration::MAX)).unwrap_or(Timestamp::MAX)
}

impl Run<'_> {
    /// What this rotation's Secret is labelled with.
    fn rotation(&self) -> String {
        let step = format!("{}/{}", self.site.asker(), self.plan.inputs.secret);
        hex::encode(Sha256::digest(step))[..16].to_owned()
    }

    pub(super) fn what(&self) -> String {
        format!("rotate-secret {}", self.plan.inputs.secret)
    }

    /// What this rotation has made.
    pub(super) async fn made(&self) -> Result<Vec<Object>, ClusterError> {
        let labels = Labels::from([(ROTATION.to_owned(), self.rotation())]);
        let mut made = self.cluster.list("v1", "Secret", &labels).await?;
        made.retain(|one| !one.is_terminating());
        Ok(made)
    }

    /// All names that a reader may know the values by.
    fn names(&self) -> Vec<String> {
        let own = [self.plan.inputs.secret.clone(), self.plan.live.0.name.clone()];
        self.plan.names.iter().cloned().chain(own).collect()
    }

    async fn live(&self) -> Result<Object, DeliveryError> {
        let (id, uid) = &self.plan.live;
        let found = self.cluster.get(id).await?.filter(|found| found.uid() == uid);
        found.ok_or_else(|| {
            Failure::new(format!("{id} is not there any more"), "it was replaced").next("plan it again").into()
        })
    }

    async fn begin(&self) -> Result<Begun, DeliveryError> {
        let live = self.live().await?;
        let made =
            live.annotations().remove(ROTATED).unwrap_or_else(|| live.text("/metadata/creationTimestamp").to_owned());
        let now = self.progress.now();
        let made: Timestamp = made.parse().unwrap_or(now);
        let next = after(made, self.plan.inputs.every);
        let due = self.plan.inputs.force || next <= now;
        if let Some((note, there)) = Note::get(self.cluster, &Note::name_of(&self.what())).await?.filter(|_| due) {
            if let Some(until) = note.due.filter(|until| *until > now) {
                let why = format!("the values before these are kept until {until}; a third set would be in use");
                let what = format!("{} was rotated just now", self.plan.inputs.secret);
                return Err(Failure::new(what, why).next("wait until then").into());
            }
            // Their time is over, and whoever began to read them since has kept them from going.
            undo(&note, &there, self.site, self.cluster, self.progress).await?;
        }
        Ok(Begun { due, next, at: now })
    }

    async fn rotate(&self, begun: &Begun) -> Result<Done, DeliveryError> {
        let live = self.live().await?;
        let secret = self.secret(&live).await?;
        self.reached("created", &format!("{} is there", secret.id()), json!({"secret": secret.name()})).await?;
        self.make_known(&live, &secret).await?;
        self.log_in(&live, &secret).await?;
        let readers = self.switch(&secret).await?;
        self.reached("switched", &format!("everything reads {}", secret.name()), Value::Null).await?;
        self.verify(&readers).await?;
        self.in_force(&secret, begun).await?;
        self.reached("verified", "the new values work everywhere", Value::Null).await?;
        let later = self.later(&live, &secret).await?;
        let next = after(begun.at, self.plan.inputs.every);
        let text = format!(
            "{} is rotated: {} in force; {} stays until {}",
            self.plan.inputs.secret,
            secret.name(),
            live.name(),
            later.due
        );
        self.reached("rotated", &text, json!({"secret": secret.name(), "previous": live.name()})).await?;
        let made = done(secret.name(), live.name(), true, next, text);
        Ok(Done { later: vec![later], ..made })
    }

    /// The new Secret: made once by this step.
    async fn secret(&self, live: &Object) -> Result<Object, DeliveryError> {
        if let Some(there) = self.made().await?.into_iter().next() {
            return Ok(there);
        }
        let mut others = Vec::new();
        for (_, name, _) in &self.plan.copied {
            others.extend(self.cluster.get(&self.cluster.id("v1", "Secret", name)).await?);
        }
        let made = new::make(self.plan, live, &others, &self.rotation());
        let made = made.map_err(|why| Failure::new("the new Secret cannot be made", why).effect(UNCHANGED))?;
        match self.cluster.create(&made, MANAGER).await {
            Err(ClusterError::AlreadyExists { maybe_ours: true, .. }) => {
                let there = self.cluster.get(&made.id()).await?;
                there.ok_or_else(|| Failure::new(format!("{} is gone again", made.id()), "").into())
            }
            created => Ok(created?),
        }
    }

    /// The Job with all references to the Secret, whatever name they bear, turned to one of them, and the values by name.
    fn job(&self, plan: &JobPlan, stage: &str, reads: &str, live: &Object, secret: &Object) -> JobPlan {
        let names = &self.plan.names;
        let mut plan = plan.clone().referring(|kind, name| {
            let ours = kind == "Secret" && (name == self.plan.inputs.secret || names.iter().any(|each| each == name));
            ours.then(|| reads.to_owned())
        });
        for (prefix, from) in [("TAGLINE_NEW_", secret), ("TAGLINE_OLD_", live)] {
            for key in from.0["data"].as_object().into_iter().flat_map(serde_json::Map::keys) {
                let name: String =
                    key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
                plan = plan.with_secret(&format!("{prefix}{name}"), from.name(), key);
            }
        }
        plan.with_env("TAGLINE_STAGE", stage).filled("stage", stage)
    }

    async fn run(&self, plan: &JobPlan, purpose: &str) -> Result<(), DeliveryError> {
        let timeout = *self.plan.inputs.timeout;
        let unit = &self.site.repository;
        let work = Work { plan, purpose, unit, scope: Scope::Step, retries: 0, timeout };
        job::run(self.cluster, self.site, &work, self.progress).await.map(drop)
    }

    async fn make_known(&self, live: &Object, secret: &Object) -> Result<(), DeliveryError> {
        match &self.plan.job {
            Some(job) => self.run(&self.job(job, "make", live.name(), live, secret), "rotate-make").await,
            None => Ok(()),
        }
    }

    /// With the new values, before anybody is sent to them.
    async fn log_in(&self, live: &Object, secret: &Object) -> Result<(), DeliveryError> {
        let Some(job) = &self.plan.job else { return Ok(()) };
        let job = job.clone().with_args(&self.plan.inputs.verify_args);
        self.run(&self.job(&job, "verify", secret.name(), live, secret), "rotate-verify").await
    }

    /// Everything that reads the values now, one after the other; each rolls by itself as its strategy says.
    async fn switch(&self, secret: &Object) -> Result<Vec<Object>, DeliveryError> {
        let mut names = self.names();
        names.push(secret.name().to_owned());
        let readers = readers_of(self.cluster, &names).await?;
        for reader in &readers {
            if !self.plan.readers.contains(&reader.id()) {
                self.progress.say(format!("{} reads it since this was planned: it is sent too", reader.id()));
            }
            let sent = refer(self.cluster, reader, &names, secret.name()).await?;
            settle(self.cluster, &[sent], *self.plan.inputs.timeout, self.progress).await?;
        }
        Ok(readers)
    }

    /// From now on releases and rotations know it as the one that stands for the Secret of the manifests.
    async fn in_force(&self, secret: &Object, begun: &Begun) -> Result<(), DeliveryError> {
        let patch = json!({"metadata": {"uid": secret.uid(), "annotations": {ROTATED: begun.at.to_string()}}});
        self.cluster.patch(&secret.id(), MANAGER, &Patch::Merge(patch)).await?;
        Ok(())
    }

    async fn verify(&self, readers: &[Object]) -> Result<(), DeliveryError> {
        let mut pods = Vec::new();
        for workload in readers.iter().filter(|reader| reader.kind() != "CronJob") {
            let found = self.cluster.pods(&workload.texts("/spec/selector/matchLabels")).await?;
            pods.extend(found.into_iter().filter(is_ready));
        }
        let inputs = SmokeInputs {
            checks: self.plan.inputs.verify.clone(),
            jobs: Vec::new(),
            targets: vec![SmokeTarget::AllPods],
            port: None,
            public_url: None,
            headers: Vec::new(),
            timeout: Period::from_secs(5),
            attempts: 5,
            every: Period::from_secs(2),
            body_limit: 1 << 20,
        };
        let release = SmokeFor { version: self.site.version.clone(), port: None };
        let checked =
            crate::check::smoke::run(&inputs, &release, &Where::Pods(&pods), self.cluster, self.progress).await;
        checked.map(drop).map_err(|error| Failure::new("the new values do not work", error.to_string()).into())
    }

    /// Written down: when nobody reads the old values any more, the old account is locked and the old Secret goes, with
    /// what rotations have left that did not come to their end.
    async fn later(&self, live: &Object, secret: &Object) -> Result<Later, DeliveryError> {
        let due = after(self.progress.now(), self.plan.keep_old);
        let mut note = Note::new(&self.what(), self.site, None, Some(due));
        note.job = self.plan.job.as_ref().map(|job| self.job(job, "retire", secret.name(), live, secret));
        note.delete = vec![(live.id(), live.uid().to_owned())];
        note.successor = Some(secret.name().to_owned());
        let labels = Labels::from([(ROTATES.to_owned(), self.plan.inputs.secret.clone())]);
        let left = self.cluster.list("v1", "Secret", &labels).await?;
        let left = left.iter().filter(|one| ![live.uid(), secret.uid()].contains(&one.uid()));
        note.delete.extend(left.map(|one| (one.id(), one.uid().to_owned())));
        let (note, there) = note.keep(self.cluster, "rotate-secret").await?;
        let uid = there.uid().to_owned();
        Ok(Later { note: there.id(), uid, due: note.due.unwrap_or(due), after_run: None })
    }

    pub(super) async fn reached(&self, name: &str, text: &str, data: Value) -> Result<(), DeliveryError> {
        if recorded(self.progress, name).is_none() {
            self.progress.record(Milestone { name: name.to_owned(), text: text.to_owned(), data }).await?;
        }
        Ok(())
    }
}

fn done(secret: &str, previous: &str, rotated: bool, next: Timestamp, summary: String) -> Done {
    let done = Done { summary, ..Done::default() };
    done.output("secret", secret)
        .output("previous-secret", previous)
        .output("rotated", rotated.to_string())
        .output("next-due", next.to_string())
}
