//! `tagline/deploy`: what is delivered, worked out and checked before anything is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Outcome, Past, When, many};
use crate::cluster::{Cluster, Verb};
use crate::inputs::{DeployInputs, Names, Strategy};
use crate::render::helm::Chart;
use crate::strategy::{
    self, Delivery, LiveRelease, Survey, live_in_place, live_workloads, proved, release_of, workloads_of,
};
use crate::unit::{BlueGreenShape, ChangeSet, Colour, ReleaseId, RollingShape, Unit, beside, colour_of, pods_selector};
use crate::{DeliveryError, Failure, Object, ObjectId, PlanError, Progress, Site};

mod budget;
mod bystanders;
mod drift;
mod look;
mod needs;
mod recorded;
mod services;
mod source;

pub(super) use bystanders::Followers;
pub(super) use look::complete;
pub(super) use needs::verbs;
pub(super) use recorded::returned;

/// What a deploy does: everything that its carrying out decides on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployPlan {
    /// The unit's name.
    pub unit: String,
    /// The version that it makes live.
    pub version: String,
    /// The release that it makes live.
    pub release: ReleaseId,
    /// The step's inputs.
    pub inputs: DeployInputs,
    /// The unit's objects, images by digest, in the order in which they are applied.
    pub rendered: Vec<Object>,
    /// The Jobs that test the release before it gets traffic, images by digest.
    pub jobs: Vec<Object>,
    /// The chart that they come from.
    pub chart: Option<Chart>,
    /// Where the new workloads stand, with names by colours.
    pub place: Option<Place>,
    /// What is live, and what the release is delivered over; nothing else.
    pub live: Option<LiveRelease>,
    /// The release is live already, but a delivery stopped before it had passed its checks: they are carried out.
    #[serde(default)]
    pub unproved: bool,
    /// What differs from what the cluster has.
    pub changes: Vec<ChangeSet>,
    /// Objects of the unit that are not rendered any more, by UID; removed at the end.
    pub prune: Vec<(ObjectId, String)>,
    /// What is worth a warning.
    pub warnings: Vec<String>,
}

/// The place that a blue-green release takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The colour that is free.
    pub colour: Colour,
    /// What workloads of that colour, which are there, select their pods by; it cannot be changed.
    pub selectors: BTreeMap<String, BTreeMap<String, String>>,
}

/// A unit, shaped for its strategy.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// In place.
    Rolling(RollingShape),
    /// Beside what is live.
    BlueGreen(Box<BlueGreenShape>),
}

impl DeployPlan {
    /// Of rendered objects, before the cluster is looked at.
    pub(super) fn unseen(unit: String, site: &Site, inputs: &DeployInputs, rendered: Vec<Object>) -> Self {
        let release = Unit::new(&unit, &site.version, rendered.clone()).release;
        let version = site.version.clone();
        let (jobs, changes, prune, warnings) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (chart, place, live, inputs) = (None, None, None, inputs.clone());
        let unproved = false;
        Self { unit, version, release, inputs, rendered, jobs, chart, place, live, unproved, changes, prune, warnings }
    }

    /// The objects as they are applied: the same for the same plan.
    ///
    /// # Errors
    /// What cannot be delivered so, all at once.
    pub fn shape(&self) -> Result<Shape, DeliveryError> {
        let refused = |lines: Vec<String>| many("the manifests cannot be delivered so", lines.into_iter());
        self.shaped().map_err(|lines| refused(lines).of_input(self.inputs.source.input()).into())
    }

    fn shaped(&self) -> Result<Shape, Vec<String>> {
        let unit = self.unit();
        let inputs = &self.inputs;
        match &inputs.strategy {
            Strategy::Rolling(knobs) => {
                RollingShape::of(&unit, knobs, inputs.min_ready, inputs.progress_deadline).map(Shape::Rolling)
            }
            Strategy::BlueGreen(_) => {
                let none = BTreeMap::new();
                let (colour, selectors) = match &self.place {
                    Some(place) => (place.colour, &place.selectors),
                    None => (Colour::Blue, &none),
                };
                beside(&unit, inputs, colour, selectors).map(|shape| Shape::BlueGreen(Box::new(shape)))
            }
        }
    }

    pub(crate) fn unit(&self) -> Unit {
        Unit::new(&self.unit, &self.version, self.rendered.clone())
    }

    /// `rolling`, `blue-green`
    pub fn strategy(&self) -> &'static str {
        match self.inputs.strategy {
            Strategy::Rolling(_) => "rolling",
            Strategy::BlueGreen(_) => "blue-green",
        }
    }

    /// How long its way back takes at most, while the cluster answers.
    pub(super) fn way_back(&self) -> Duration {
        let drain = match &self.inputs.strategy {
            Strategy::BlueGreen(knobs) => *knobs.drain,
            Strategy::Rolling(_) => Duration::ZERO,
        };
        strategy::longest(self, *self.inputs.timeout, drain)
    }

    /// One of its containers runs this digest.
    pub(crate) fn uses_image(&self, digest: &str) -> bool {
        let images = self.rendered.iter().flat_map(crate::render::images::used);
        images.into_iter().any(|(_, image)| image.ends_with(&format!("@{digest}")))
    }

    /// What it is going to do, in lines for people.
    pub fn summary(&self) -> Vec<String> {
        let live = self.live.as_ref().map_or("nothing", |live| &live.version);
        let already = self.live.as_ref().is_some_and(|live| live.release == self.release.0);
        if already && self.unproved {
            return vec![format!(
                "{} has the traffic, and has not passed its checks: they are carried out",
                self.version
            )];
        }
        if already {
            return vec![format!("already live: {}", self.version)];
        }
        let mut lines = vec![format!("{live} → {} ({}), {}", self.version, self.release, self.strategy())];
        if let Strategy::BlueGreen(knobs) = &self.inputs.strategy {
            lines.push(format!(
                "new workloads beside the old ones, all pods tested, then all Services switched; drain {}, watch {}, old kept \
                 at {} for {}",
                knobs.drain, self.inputs.watch, knobs.scale_old, knobs.keep_old
            ));
        }
        for set in &self.changes {
            match (set.created, set.changes.as_slice()) {
                (true, _) => lines.push(format!("+ {}", set.object)),
                (false, []) => {}
                (false, changes) => {
                    lines.push(format!("~ {}", set.object));
                    lines.extend(changes.iter().map(|change| format!("    {change}")));
                }
            }
        }
        lines.extend(self.prune.iter().map(|(id, _)| format!("- {id} (not rendered any more)")));
        lines
    }
}

/// Plans a deploy.
pub(super) async fn plan(
    site: &Site,
    inputs: &DeployInputs,
    past: &[Past],
    cluster: &Cluster,
    when: When,
) -> Result<DeployPlan, PlanError> {
    let unit = inputs.name.clone().unwrap_or_else(|| site.repository.clone());
    let survey = Survey::take(cluster).await?;
    let followers = Followers::take(cluster, inputs).await?;
    let source = source::read(site, inputs, &unit, (&survey, &followers), cluster).await?;
    let unseen = DeployPlan::unseen(unit, site, inputs, source.objects);
    let mut plan = DeployPlan { jobs: source.jobs, chart: source.chart, warnings: source.notes, ..unseen };
    plan.place = place(&plan, &survey)?;
    plan.live = live_of(&survey, &plan);
    plan.unproved = is_unproved(&survey, &plan);
    complete(&mut plan, past, (&survey, &followers), cluster, when).await?;
    Ok(plan)
}

/// Whether the release is live without having been proved.
pub(super) fn is_unproved(survey: &Survey, plan: &DeployPlan) -> bool {
    let live = plan.shape().map(|shape| live_workloads(survey, &shape)).unwrap_or_default();
    live.into_iter().any(|each| release_of(each).release == plan.release.0 && proved(each).is_none())
}

/// The place that is free: the colour that is not live. A release that is live already is in its own.
pub(super) fn place(plan: &DeployPlan, survey: &Survey) -> Result<Option<Place>, DeliveryError> {
    if plan.inputs.names != Names::Colours || !matches!(plan.inputs.strategy, Strategy::BlueGreen(_)) {
        return Ok(None);
    }
    let Shape::BlueGreen(shape) = DeployPlan { place: None, ..plan.clone() }.shape()? else { return Ok(None) };
    let live = workloads_of(survey, &shape).map_err(|lines| many("what is live is not clear", lines.into_iter()))?;
    let colours: Vec<Colour> = live.values().filter_map(|each| colour_of(each.name()).1).collect();
    if colours.iter().any(|colour| *colour != colours[0]) {
        let names: Vec<&str> = live.values().map(|each| each.name()).collect();
        let why = format!("live are {}", names.join(" and "));
        return Err(Failure::new("the workloads of the unit are live in different colours", why)
            .next("bring them to one colour first")
            .into());
    }
    let again = live.values().any(|each| release_of(each).release == plan.release.0);
    let colour = colours.first().map_or(Colour::Blue, |live| if again { *live } else { live.other() });
    let mut selectors = BTreeMap::new();
    for swap in &shape.swaps {
        if let Some(there) = survey.deployments.get(&format!("{}-{colour}", swap.base)) {
            selectors.insert(swap.base.clone(), pods_selector(there));
        }
    }
    Ok(Some(Place { colour, selectors }))
}

/// What is live now in the places of a plan's workloads.
pub(super) fn live_of(survey: &Survey, plan: &DeployPlan) -> Option<LiveRelease> {
    match plan.shape().ok()? {
        Shape::BlueGreen(shape) => {
            let live = workloads_of(survey, &shape).ok()?;
            live.values().next().map(|each| release_of(each))
        }
        Shape::Rolling(shape) => live_in_place(&shape.objects, |object| survey.workload(object).map(release_of)),
    }
}

/// Every right that a deploy and its way back use.
pub(super) fn rights(plan: &DeployPlan) -> Result<Vec<Verb>, DeliveryError> {
    Ok(verbs(plan, &plan.shape()?))
}

/// Carries a deploy out.
pub(super) async fn apply(
    plan: &DeployPlan,
    site: &Site,
    cluster: &Cluster,
    progress: &dyn Progress,
) -> Result<Outcome, DeliveryError> {
    let outcome = strategy::deliver(&Delivery::new(plan, site, cluster, progress)).await?;
    // The release is live, and what it leaves for later is not lost for the sake of a record.
    if let Err(error) = recorded::record(plan, cluster, progress).await {
        progress.warn(format!("Helm's record is not written: {error} ({})", error.next()));
    }
    Ok(outcome)
}
