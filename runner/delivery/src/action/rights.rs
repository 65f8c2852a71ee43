//! The rights of actions that change nothing when they are planned, and so meet none that is missing: tests, analyses and ways
//! back. Asked for before the first step, as those of all others are.

use super::{Kind, RollbackPlan, Way, deploy, many};
use crate::check::analyse::action::AnalysePlan;
use crate::check::smoke::action::SmokePlan;
use crate::check::smoke::checks_at;
use crate::cluster::{Cluster, Verb};
use crate::inputs::analyse::Baseline;
use crate::inputs::smoke::SmokeTarget;
use crate::{DeliveryError, job, preflight};

/// Refuses what lacks a right; all of them are named.
pub(super) async fn require(kind: &Kind, cluster: &Cluster) -> Result<(), DeliveryError> {
    let verbs = match kind {
        Kind::SmokeTest(plan) => smoke(plan),
        Kind::Analyse(plan) => analyse(plan),
        Kind::Rollback(plan) => rollback(plan)?,
        Kind::Deploy(_) | Kind::Migrate(_) | Kind::Operate(_) | Kind::RotateSecret(_) => return Ok(()),
    };
    let missing = preflight::rights(cluster, &verbs).await?;
    let Some(next) = missing.first().map(|problem| problem.next.clone()) else { return Ok(()) };
    Err(many("rights are missing", missing.into_iter().map(|problem| problem.message)).next(next).into())
}

/// Finding a release: its workloads, Services and pods.
fn finding() -> Vec<Verb> {
    let workloads = ["Deployment", "StatefulSet", "DaemonSet"].map(|kind| Verb::new("list", "apps/v1", kind));
    let rest = ["Service", "Pod"].map(|kind| Verb::new("list", "v1", kind));
    workloads.into_iter().chain(rest).collect()
}

fn smoke(plan: &SmokePlan) -> Vec<Verb> {
    let inputs = &plan.inputs;
    let mut verbs = finding();
    if inputs.service.is_some() || inputs.preview_service.is_some() {
        verbs.push(Verb::new("get", "v1", "Service"));
    }
    if !checks_at(&inputs.smoke, SmokeTarget::AllPods).is_empty() {
        verbs.push(Verb::new("get", "v1", "Pod").part("proxy"));
    }
    if inputs.preview_service.is_some() {
        verbs.push(Verb::new("get", "v1", "Service").part("proxy"));
    }
    if !inputs.log_limits.is_empty() {
        verbs.push(Verb::new("get", "v1", "Pod").part("log"));
    }
    if !plan.jobs.is_empty() {
        verbs.extend(job::verbs());
    }
    verbs
}

fn analyse(plan: &AnalysePlan) -> Vec<Verb> {
    let mut verbs = finding();
    verbs.push(Verb::new("get", "v1", "ConfigMap"));
    if plan.inputs.baseline == Baseline::Record {
        verbs.extend(["create", "patch"].map(|verb| Verb::new(verb, "v1", "ConfigMap")));
    }
    if !plan.inputs.measure.log_limits.is_empty() {
        verbs.push(Verb::new("get", "v1", "Pod").part("log"));
    }
    if plan.inputs.measure.prometheus.is_none() {
        verbs.push(Verb::new("get", "v1", "Pod").part("proxy"));
    }
    verbs
}

fn rollback(plan: &RollbackPlan) -> Result<Vec<Verb>, DeliveryError> {
    match &plan.way {
        Way::Already => Ok(Vec::new()),
        Way::Undo { leaving: deploy, .. } | Way::Again(deploy) => deploy::rights(deploy),
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;

    use super::*;
    use crate::inputs::Action;

    fn said(verbs: &[Verb]) -> Vec<String> {
        let text = |verb: &Verb| format!("{} {}/{}", verb.verb, verb.kind, verb.part);
        verbs.iter().map(|verb| text(verb).trim_end_matches('/').to_owned()).collect()
    }

    #[test]
    fn a_test_needs_what_it_asks_and_no_more() {
        let needs = |pairs: &[(&str, &str)]| {
            let with: IndexMap<String, String> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let Ok(Action::SmokeTest(inputs)) = Action::read("tagline/smoke-test@v1", &with) else {
                panic!("{pairs:?}")
            };
            let (unit, version, jobs) = ("u".to_owned(), None, Vec::new());
            said(&smoke(&SmokePlan { unit, version, inputs: *inputs, jobs }))
        };
        let public = needs(&[("path", "/"), ("targets", "public"), ("public-url", "https://shop.example")]);
        assert!(!public.iter().any(|one| one.contains("/proxy")), "{public:?}");
        let pods = needs(&[("path", "/"), ("targets", "all-pods"), ("log-limits", "ERROR")]);
        assert!(["get Pod/proxy", "get Pod/log"].iter().all(|one| pods.contains(&(*one).to_owned())), "{pods:?}");
        let preview = needs(&[("path", "/"), ("targets", "preview"), ("preview-service", "next")]);
        assert!(preview.contains(&"get Service/proxy".to_owned()), "{preview:?}");
    }
}
