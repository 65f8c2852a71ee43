//! Carrying a rotation out.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::plan::RotatePlan;
use super::{ROTATED, ROTATION, new};
use crate::check::smoke::{SmokeFor, Where};
use crate::cluster::{Cluster, ClusterError, Labels, MANAGER, Precondition, Propagation};
use crate::inputs::Period;
use crate::inputs::smoke::{SmokeInputs, SmokeTarget};
use crate::job::{self, Done, JobPlan, Later, Scope, Work};
use crate::operate::{Change, Field, Note, Place, put, settle};
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
    match run.rotate(&begun).await {
        Err(error) if !matches!(error, DeliveryError::Stopped(Stop::EngineEnds)) => Err(run.back(error).await),
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

struct Run<'a> {
    plan: &'a RotatePlan,
    site: &'a Site,
    cluster: &'a Cluster,
    progress: &'a dyn Progress,
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

    fn what(&self) -> String {
        format!("rotate-secret {}", self.plan.inputs.secret)
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
        if let Some((note, _)) = Note::get(self.cluster, &Note::name_of(&self.what())).await?.filter(|_| due) {
            let until = note.due.map(|due| due.to_string()).unwrap_or_default();
            let why = format!("the values before these are kept until {until}; a third set would be in use");
            return Err(Failure::new(format!("{} was rotated just now", self.plan.inputs.secret), why)
                .next("wait until then")
                .into());
        }
        Ok(Begun { due, next, at: now })
    }

    async fn rotate(&self, begun: &Begun) -> Result<Done, DeliveryError> {
        let live = self.live().await?;
        let secret = self.secret(&live, begun).await?;
        self.reached("created", &format!("{} is there", secret.id()), json!({"secret": secret.name()})).await?;
        self.make_known(&live, &secret).await?;
        self.log_in(&live, &secret).await?;
        self.switch(&secret).await?;
        self.reached("switched", &format!("everything reads {}", secret.name()), Value::Null).await?;
        self.verify().await?;
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
    async fn secret(&self, live: &Object, begun: &Begun) -> Result<Object, DeliveryError> {
        let rotation = self.rotation();
        let labels = Labels::from([(ROTATION.to_owned(), rotation.clone())]);
        if let Some(there) =
            self.cluster.list("v1", "Secret", &labels).await?.into_iter().find(|one| !one.is_terminating())
        {
            return Ok(there);
        }
        let mut others = Vec::new();
        for (_, name, _) in &self.plan.copied {
            others.extend(self.cluster.get(&self.cluster.id("v1", "Secret", name)).await?);
        }
        let made = new::make(self.plan, live, &others, &rotation, &begun.at.to_string());
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

    /// Every reader, one after the other; each rolls by itself as its strategy says.
    async fn switch(&self, secret: &Object) -> Result<(), DeliveryError> {
        for reader in &self.plan.readers {
            self.send(reader, secret.name()).await?;
        }
        Ok(())
    }

    async fn send(&self, reader: &Change, to: &str) -> Result<(), DeliveryError> {
        let mut names = self.plan.names.clone();
        names.push(self.plan.inputs.secret.clone());
        let place = |from: String| Place::Reference { kind: "Secret".to_owned(), names: [from, to.to_owned()] };
        let field = |from: String| Field { place: place(from), value: Some(to.into()) };
        let fields = names.into_iter().filter(|name| name != to).map(field).collect();
        let object = put(self.cluster, &Change { fields, ..reader.clone() }).await?;
        settle(self.cluster, &[object], *self.plan.inputs.timeout, self.progress).await
    }

    async fn verify(&self) -> Result<(), DeliveryError> {
        let mut pods = Vec::new();
        for reader in self.plan.readers.iter().filter(|reader| reader.id.kind != "CronJob") {
            let Some(workload) = self.cluster.get(&reader.id).await? else { continue };
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

    /// Written down: when nobody reads the old values any more, the old account is locked and the old Secret goes.
    async fn later(&self, live: &Object, secret: &Object) -> Result<Later, DeliveryError> {
        let due = after(self.progress.now(), self.plan.inputs.keep_old);
        let mut note = Note::new(&self.what(), self.site, None, Some(due));
        note.job = self.plan.job.as_ref().map(|job| self.job(job, "retire", secret.name(), live, secret));
        note.delete = vec![(live.id(), live.uid().to_owned())];
        let (note, there) = note.keep(self.cluster, "rotate-secret").await?;
        Ok(Later { note: there.id(), uid: there.uid().to_owned(), due: note.due.unwrap_or(due) })
    }

    /// Everything reads the old values again, which were never touched; the new Secret goes.
    async fn back(&self, error: DeliveryError) -> DeliveryError {
        if recorded(self.progress, "rotated").is_some() {
            return error;
        }
        let effect = match self.go_back().await {
            Ok(()) => format!("everything reads {} as before, and it works", self.plan.live.0.name),
            Err(wrong) => format!("and it could not be put back everywhere: {wrong}"),
        };
        self.progress.say(effect.clone());
        match error {
            DeliveryError::Failed(failure) => failure.effect(effect).into(),
            stopped @ DeliveryError::Stopped(_) => stopped,
        }
    }

    async fn go_back(&self) -> Result<(), DeliveryError> {
        let labels = Labels::from([(ROTATION.to_owned(), self.rotation())]);
        let made = self.cluster.list("v1", "Secret", &labels).await?;
        let mut objects = Vec::new();
        for secret in &made {
            let names = [secret.name().to_owned(), self.plan.live.0.name.clone()];
            let place = Place::Reference { kind: "Secret".to_owned(), names };
            let field = Field { place, value: Some(self.plan.live.0.name.clone().into()) };
            for reader in &self.plan.readers {
                objects.push(put(self.cluster, &Change { fields: vec![field.clone()], ..reader.clone() }).await?);
            }
        }
        let text = format!("everything reads {} again", self.plan.live.0.name);
        self.reached("rolled-back", &text, Value::Null).await?;
        // A pod that is still on its way with the new values would not start without them: while that may be, they stay.
        if let Err(error) = settle(self.cluster, &objects, *self.plan.inputs.timeout, self.progress).await {
            self.progress.warn(format!("the new Secret stays for now: {error}"));
            return Ok(());
        }
        for secret in &made {
            self.cluster.delete(&secret.id(), &Precondition::same(secret), Propagation::Background).await?;
        }
        Ok(())
    }

    async fn reached(&self, name: &str, text: &str, data: Value) -> Result<(), DeliveryError> {
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
