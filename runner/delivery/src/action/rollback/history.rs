//! What a unit was brought to in an environment, the newest first, and where a way back leads from there. Pure.
//!
//! Invariant: a way back leads to a release by its id. Without a name it leads to what was live before the newest delivery;
//! where it was gone back since, it leads nowhere else, however often it is asked for.

use crate::action::{DeployPlan, Past, RollbackPlan, Way, deploy};
use crate::strategy::{Kept, LiveRelease, Snapshot, Survey};
use crate::{DeliveryError, Failure, UNCHANGED};

/// A release that was delivered.
pub(super) struct Delivered<'a> {
    pub(super) plan: &'a DeployPlan,
    /// What was there before it; None of one that was live already.
    pub(super) before: Option<Snapshot>,
    open: bool,
}

/// The deliveries of one unit.
pub(super) struct History<'a> {
    /// The newest first.
    pub(super) deliveries: Vec<Delivered<'a>>,
    /// The rollback that came after all of them, and whether it stopped half-way.
    back: Option<(&'a RollbackPlan, bool)>,
}

impl<'a> History<'a> {
    pub(super) fn of(past: &'a [Past], unit: &str) -> Self {
        let (mut deliveries, mut back, mut moved) = (Vec::new(), None, false);
        for each in past {
            let before = each.snapshot();
            if let Some(plan) = each.rollback(unit) {
                back = back.or((!moved).then_some((plan, each.open)));
                moved = true;
            }
            if let Some(plan) = each.deploy(unit) {
                moved |= before.is_some();
                deliveries.push(Delivered { plan, before, open: each.open });
            }
        }
        Self { deliveries, back }
    }

    /// Where it goes.
    pub(super) fn target(&self, to: Option<&str>) -> Result<LiveRelease, DeliveryError> {
        if let Some(to) = to {
            return self.named(to);
        }
        if let Some((back, _)) = self.back {
            return Ok(LiveRelease { release: back.release.clone(), version: back.version.clone() });
        }
        let Some((newest, before)) = self.newest() else {
            return Err(nothing("no delivery that changed anything is remembered".to_owned()));
        };
        let why = || format!("{} was the first delivery of unit {}", newest.plan.version, newest.plan.unit);
        before.live.clone().ok_or_else(|| nothing(why()))
    }

    /// The release that a version, a release's id or an image's digest names; the newest of several.
    fn named(&self, to: &str) -> Result<LiveRelease, DeliveryError> {
        let wanted = to.trim_start_matches('v');
        for Delivered { plan, before, .. } in &self.deliveries {
            let of_plan = LiveRelease { release: plan.release.0.clone(), version: plan.version.clone() };
            let old = before.as_ref().and_then(|before| before.live.clone());
            for each in [Some(of_plan), old].into_iter().flatten() {
                let image = to.starts_with("sha256:") && plan.release.0 == each.release && plan.uses_image(to);
                if each.version.trim_start_matches('v') == wanted || each.release == to || image {
                    return Ok(each);
                }
            }
        }
        let mut known: Vec<&str> = self.deliveries.iter().map(|each| each.plan.version.as_str()).collect();
        known.dedup();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let why = format!("no delivery of it is remembered; remembered are {known}");
        Err(Failure::new(format!("cannot go back to {to}"), why).effect(UNCHANGED).into())
    }

    /// The newest delivery that changed anything.
    fn newest(&self) -> Option<(&Delivered<'a>, &Snapshot)> {
        self.deliveries.iter().find_map(|each| Some((each, each.before.as_ref()?)))
    }

    /// The newest thing that was done to the unit did not come to its end.
    pub(super) fn is_open(&self) -> bool {
        match self.back {
            Some((_, open)) => open,
            None => self.newest().is_some_and(|(each, _)| each.open),
        }
    }

    /// What goes and what is returned to, where a way there has begun, or the release that was being delivered was left as it
    /// stood: whatever has the traffic by now.
    pub(super) fn begun(&self, to: &LiveRelease) -> Option<(&'a DeployPlan, Snapshot)>
    where
        Self: 'a,
    {
        if !self.is_open() {
            return None;
        }
        match self.back {
            Some((RollbackPlan { release, way: Way::Undo { leaving, to: snapshot, .. }, .. }, _)) => {
                (*release == to.release).then(|| (leaving.as_ref(), snapshot.as_ref().clone()))
            }
            Some(_) => None,
            None => {
                let (each, before) = self.newest()?;
                is_of(before, to).then(|| (each.plan, before.clone()))
            }
        }
    }

    /// The same where a release that is live goes.
    pub(super) fn undo(&self, live: &LiveRelease, to: &LiveRelease) -> Option<(&'a DeployPlan, Snapshot)> {
        self.deliveries.iter().find_map(|each| {
            let before = each.before.as_ref().filter(|before| is_of(before, to))?;
            (each.plan.release.0 == live.release).then(|| (each.plan, before.clone()))
        })
    }

    /// The plan that a release was delivered by.
    pub(super) fn plan_of(&self, release: &LiveRelease) -> Option<&'a DeployPlan> {
        self.deliveries.iter().map(|each| each.plan).find(|plan| plan.release.0 == release.release)
    }

    /// The state in which a release was left by the delivery after it.
    pub(super) fn snapshot_of(&self, release: &LiveRelease) -> Option<&Snapshot> {
        self.deliveries.iter().filter_map(|each| each.before.as_ref()).find(|before| is_of(before, release))
    }

    /// The release that the Services select now.
    pub(super) fn live(&self, survey: &Survey) -> Option<LiveRelease> {
        self.deliveries.iter().find_map(|each| live_now(survey, each.plan, each.before.as_ref()))
    }
}

fn is_of(before: &Snapshot, release: &LiveRelease) -> bool {
    before.live.as_ref().is_some_and(|live| live.release == release.release)
}

/// The release of a plan, or of what was before it, that the Services select now.
fn live_now(survey: &Survey, plan: &DeployPlan, before: Option<&Snapshot>) -> Option<LiveRelease> {
    deploy::live_of(survey, plan).or_else(|| {
        let before = before?;
        let runs = |kept: &Kept| survey.deployments.get(kept.object.name()).is_some_and(|now| now.uid() == kept.uid);
        (!before.workloads.is_empty() && before.workloads.values().all(runs)).then(|| before.live.clone()).flatten()
    })
}

fn nothing(why: String) -> DeliveryError {
    Failure::new("there is nothing to go back to", why).effect(UNCHANGED).into()
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use serde_json::Value;

    use super::*;
    use crate::action::{ActionPlan, FORMAT, Kind};
    use crate::inputs::{Action, DeployInputs, RollbackInputs};
    use crate::testing;
    use crate::unit::ReleaseId;
    use crate::{Site, Target};

    fn live(version: &str) -> LiveRelease {
        LiveRelease { release: format!("release-{version}"), version: version.to_owned() }
    }

    fn inputs() -> DeployInputs {
        let with = IndexMap::from([("manifests".to_owned(), "k8s".to_owned())]);
        match Action::read("tagline/deploy@v1", &with) {
            Ok(Action::Deploy(inputs)) => *inputs,
            other => panic!("{other:?}"),
        }
    }

    fn deploy(version: &str) -> DeployPlan {
        let site = Site { version: version.to_owned(), ..testing::site() };
        let unseen = DeployPlan::unseen("shop".to_owned(), &site, &inputs(), Vec::new());
        DeployPlan { release: ReleaseId(live(version).release), ..unseen }
    }

    fn past(kind: Kind, begun: Value, open: bool) -> Past {
        let target = Target { context: "test".to_owned(), namespace: "shop".to_owned() };
        let (uses, environment) = ("tagline/deploy".to_owned(), "production".to_owned());
        Past {
            plan: ActionPlan { format: FORMAT, uses, environment, version: String::new(), target, kind },
            begun,
            open,
        }
    }

    fn over(before: &str) -> Snapshot {
        Snapshot { live: (!before.is_empty()).then(|| live(before)), ..Snapshot::default() }
    }

    /// A release over what was live before it.
    fn release(version: &str, before: &str, open: bool) -> Past {
        past(Kind::Deploy(Box::new(deploy(version))), serde_json::to_value(over(before)).unwrap(), open)
    }

    fn back(way: Way, version: &str, open: bool) -> Past {
        let with = IndexMap::new();
        let inputs: RollbackInputs = match Action::read("tagline/rollback@v1", &with) {
            Ok(Action::Rollback(inputs)) => *inputs,
            other => panic!("{other:?}"),
        };
        let LiveRelease { release, version } = live(version);
        let (unit, warnings) = ("shop".to_owned(), Vec::new());
        let plan = RollbackPlan { unit, version, release, live: None, way, inputs, warnings };
        past(Kind::Rollback(Box::new(plan)), Value::Null, open)
    }

    fn undo(leaving: &str, to: &str) -> Way {
        Way::Undo { leaving: Box::new(deploy(leaving)), to: Box::new(over(to)), of: None }
    }

    fn target(past: &[Past]) -> Option<String> {
        History::of(past, "shop").target(None).ok().map(|live| live.version)
    }

    #[test]
    fn it_leads_to_what_was_live_before_the_newest_delivery() {
        assert_eq!(target(&[release("1.1", "1.0", false), release("1.0", "", false)]).as_deref(), Some("1.0"));
        let stayed = [release("1.1", "1.0", true), release("1.0", "0.9", false)];
        assert_eq!(target(&stayed).as_deref(), Some("1.0"), "1.1 failed and stayed");
        let rerun = past(Kind::Deploy(Box::new(deploy("1.1"))), Value::Null, false);
        assert_eq!(target(&[rerun, release("1.1", "1.0", false)]).as_deref(), Some("1.0"), "live already");
        assert_eq!(target(&[release("1.0", "", false)]), None, "the first delivery");
        assert_eq!(target(&[]), None);
    }

    #[test]
    fn where_it_was_gone_back_it_leads_nowhere_else() {
        let gone = [back(undo("1.2", "1.1"), "1.0", false), release("1.2", "1.1", false), release("1.1", "1.0", false)];
        assert_eq!(target(&gone).as_deref(), Some("1.0"));
        assert!(!History::of(&gone, "shop").is_open());
        let since = [&[release("1.3", "1.0", false)], &gone[..]].concat();
        assert_eq!(target(&since).as_deref(), Some("1.0"));
    }

    #[test]
    fn a_way_that_has_begun_is_gone_to_its_end_whatever_has_the_traffic() {
        let begun = |past: &[Past], to: &str| {
            History::of(past, "shop").begun(&live(to)).map(|(leaving, before)| (leaving.version.clone(), before.live))
        };
        let half = [back(undo("1.1", "1.0"), "1.0", true), release("1.1", "1.0", false)];
        assert_eq!(begun(&half, "1.0"), Some(("1.1".to_owned(), Some(live("1.0")))));
        assert_eq!(begun(&half, "0.9"), None, "another one");
        let stayed = [release("1.1", "1.0", true)];
        assert_eq!(begun(&stayed, "1.0"), Some(("1.1".to_owned(), Some(live("1.0")))));
        assert_eq!(begun(&[release("1.1", "1.0", false)], "1.0"), None, "it came to its end");
        let delivered_since = [release("1.2", "1.0", false), release("1.1", "1.0", true)];
        assert_eq!(begun(&delivered_since, "1.0"), None);
    }

    #[test]
    fn a_release_that_was_delivered_again_is_one_of_the_deliveries() {
        let again = back(Way::Again(Box::new(deploy("1.0"))), "1.0", false);
        let past = [again, release("1.1", "1.0", false)];
        let history = History::of(&past, "shop");
        let versions: Vec<&str> = history.deliveries.iter().map(|each| each.plan.version.as_str()).collect();
        assert_eq!(versions, ["1.0", "1.1"]);
        assert_eq!(target(&past).as_deref(), Some("1.0"));
    }
}
