//! A deliverer that only pretends.

use std::sync::{Arc, Mutex};

use indexmap::IndexMap;
use jiff::SignedDuration;
use serde_json::{Value, json};
use tagline_delivery::{DeliveryError, Failure, Milestone, Progress, Site};
use tagline_server::delivery::{Delivered, Deliverer, Due, Earlier, Later, Prepared};
use tokio::sync::watch;

/// What the pretended cluster is told to do, and what it has done.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    /// The plan that is made now.
    pub(crate) plan: Mutex<Value>,
    pub(crate) did: Mutex<Vec<String>>,
    pub(crate) retire_in: Mutex<Option<SignedDuration>>,
    /// What it leaves is removed when its run ends.
    pub(crate) finally: Mutex<bool>,
    /// What was live before, as `begun` says it.
    pub(crate) before: Mutex<Option<Value>>,
    /// The unit that cannot be planned.
    pub(crate) refuses: Mutex<Option<String>>,
    /// The unit that cannot be delivered.
    pub(crate) fails: Mutex<Option<String>>,
}

/// A deliverer: it does `begun`, waits to be let on, does `switched`.
#[derive(Debug)]
pub(crate) struct Pretender {
    pub(crate) stage: Arc<Stage>,
    pub(crate) on: watch::Receiver<bool>,
}

impl Pretender {
    fn did(&self, what: &str) {
        self.stage.did.lock().unwrap().push(what.to_owned());
    }
}

pub(crate) fn milestone(name: &str) -> Milestone {
    Milestone { name: name.into(), text: format!("it is {name}"), data: json!({"of": name}) }
}

impl Deliverer for Pretender {
    fn plan<'a>(
        &'a self,
        site: &'a Site,
        uses: &'a str,
        with: &'a IndexMap<String, String>,
        past: &'a [Earlier],
    ) -> Later<'a, Result<Prepared, DeliveryError>> {
        Box::pin(async move {
            assert!(site.tree.join("VERSION").exists(), "the tagged files are there");
            assert_eq!(site.built.len(), usize::from(uses.starts_with("tagline/deploy")));
            let mut plan = self.stage.plan.lock().unwrap().clone();
            if let Some(unit) = with.get("name") {
                plan["unit"] = json!(unit);
            }
            if with.get("name").is_some_and(|unit| Some(unit) == self.stage.refuses.lock().unwrap().as_ref()) {
                return Err(Failure::new("it cannot go back", "its configuration is gone").into());
            }
            if plan == json!("out of reach") {
                return Err(Failure::new("the cluster is out of reach", "no route").next("look at it").into());
            }
            let images = with.get("images").map_or("nothing", String::as_str);
            let summary = vec![format!("{images} to {} after {} others", site.target, past.len())];
            Ok(Prepared { plan, summary })
        })
    }

    fn apply<'a>(
        &'a self,
        plan: &'a Value,
        site: &'a Site,
        progress: Arc<dyn Progress>,
    ) -> Later<'a, Result<Delivered, DeliveryError>> {
        Box::pin(async move {
            let known: Vec<String> = progress.milestones().into_iter().map(|milestone| milestone.name).collect();
            self.did(&format!("apply {plan} after {}", known.join(" ")));
            if known.is_empty() {
                let before = self.stage.before.lock().unwrap().clone();
                let begun = milestone("begun");
                let data = before.unwrap_or_else(|| begun.data.clone());
                progress.record(Milestone { data, ..begun }).await?;
            }
            if plan["unit"].as_str().is_some_and(|unit| self.stage.fails.lock().unwrap().as_deref() == Some(unit)) {
                return Err(Failure::new("pods do not get ready", "no room").into());
            }
            progress.say(format!("{} pods", site.version));
            progress.keep("pods.log".into(), b"all well".to_vec()).await?;
            let mut on = self.on.clone();
            let let_on = async move { on.wait_for(|on| *on).await.map(drop) };
            let stopped = tokio::select! {
                _ = let_on => None,
                stop = progress.stopped() => Some(stop),
            };
            if let Some(stop) = stopped {
                progress.record(milestone("rolled-back")).await?;
                return Err(stop.into());
            }
            progress.record(milestone("switched")).await?;
            let retire_in = *self.stage.retire_in.lock().unwrap();
            let after_run = *self.stage.finally.lock().unwrap();
            let due = |after| Due { at: progress.now() + after, after_run, what: json!("the old one") };
            let retire = retire_in.map(due);
            let outputs = IndexMap::from([("release".to_owned(), "v1".to_owned())]);
            Ok(Delivered { outputs, text: "it serves".into(), retire: retire.into_iter().collect() })
        })
    }

    fn retire<'a>(
        &'a self,
        what: &'a Value,
        _: &'a [Value],
        _: &'a Site,
        _: Arc<dyn Progress>,
    ) -> Later<'a, Result<Milestone, DeliveryError>> {
        Box::pin(async move {
            self.did(&format!("retire {what}"));
            Ok(milestone("deleted"))
        })
    }
}
