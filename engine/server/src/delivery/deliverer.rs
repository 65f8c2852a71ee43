//! Who plans and carries out deliveries. One implementation speaks to Kubernetes; tests have their own.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use indexmap::IndexMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tagline_delivery::{DeliveryError, Failure, Milestone, Progress, Site};

/// A boxed future, so that [`Deliverer`] can be an object.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The plan of a delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The plan itself: stored, bound by an approval, and given back to be carried out. Its `version` is what it makes live.
    pub plan: Value,
    /// The plan in lines for people.
    pub summary: Vec<String>,
}

/// What came of a delivery.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Delivered {
    /// The step's outputs.
    pub outputs: IndexMap<String, String>,
    /// One sentence for people: `1.2.3 serves all traffic`.
    pub text: String,
    /// What is to be removed later.
    pub retire: Vec<Due>,
}

/// A delivery that was not taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct Earlier {
    /// Its plan.
    pub plan: Value,
    /// The data of its milestone `begun`; null where it had none.
    pub begun: Value,
    /// It has begun and did not come to its end.
    pub open: bool,
}

/// Something to be removed at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Due {
    /// Not before.
    pub at: Timestamp,
    /// Not before the run has ended, however it ends; the engine that sees the end waits for it.
    #[serde(default)]
    pub after_run: bool,
    /// What; its deliverer's business.
    pub what: Value,
}

/// Who plans and carries out deliveries. Everything may be asked twice, also by another engine after a crash.
pub trait Deliverer: fmt::Debug + Send + Sync {
    /// Plans a delivery. `past` is what was delivered to this environment before, the newest first. Changes nothing.
    fn plan<'a>(
        &'a self,
        site: &'a Site,
        uses: &'a str,
        with: &'a IndexMap<String, String>,
        past: &'a [Earlier],
    ) -> Later<'a, Result<Prepared, DeliveryError>>;

    /// Carries out a plan, or goes on with it from the milestones there are. One that is told to end comes to an end.
    fn apply<'a>(
        &'a self,
        plan: &'a Value,
        site: &'a Site,
        progress: Arc<dyn Progress>,
    ) -> Later<'a, Result<Delivered, DeliveryError>>;

    /// Removes what a delivery has left, if that still may be; the milestone says what came of it. `others`: what else of the
    /// environment is to be removed, which may keep some of it for longer. An error means that it cannot be told now.
    fn retire<'a>(
        &'a self,
        what: &'a Value,
        others: &'a [Value],
        site: &'a Site,
        progress: Arc<dyn Progress>,
    ) -> Later<'a, Result<Milestone, DeliveryError>>;
}

/// Delivers nothing: for engines that drive runs without deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoCluster;

impl NoCluster {
    fn refuse<T: Send + 'static>() -> Later<'static, Result<T, DeliveryError>> {
        let failure = Failure::new("nothing can be delivered", "this engine was started without a way to a cluster");
        Box::pin(std::future::ready(Err(failure.into())))
    }
}

impl Deliverer for NoCluster {
    fn plan<'a>(
        &'a self,
        _: &'a Site,
        _: &'a str,
        _: &'a IndexMap<String, String>,
        _: &'a [Earlier],
    ) -> Later<'a, Result<Prepared, DeliveryError>> {
        Self::refuse()
    }

    fn apply<'a>(
        &'a self,
        _: &'a Value,
        _: &'a Site,
        _: Arc<dyn Progress>,
    ) -> Later<'a, Result<Delivered, DeliveryError>> {
        Self::refuse()
    }

    fn retire<'a>(
        &'a self,
        _: &'a Value,
        _: &'a [Value],
        _: &'a Site,
        _: Arc<dyn Progress>,
    ) -> Later<'a, Result<Milestone, DeliveryError>> {
        Self::refuse()
    }
}
