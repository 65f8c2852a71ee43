//! Applying an object so that it may be done twice, and without touching what the engine or an autoscaler moves.

use serde_json::{Value, json};

use super::Delivery;
use super::hands::{DRIFT, drift, foreign, taken_over};
use super::survey::id_in;
use crate::cluster::{Apply, Cluster, ClusterError, MANAGER, Patch, Precondition, Tries};
use crate::inputs::deploy::Drift;
use crate::unit::{DIGEST, RUN, Role, UNIT, digest_of, role, value_at};
use crate::{DeliveryError, Failure, Object, UNCHANGED};

/// What may be taken from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Objects that Tagline has not made.
    pub(crate) adopt: bool,
    /// Fields that somebody else changed.
    pub(crate) drift: Drift,
    /// Any field.
    pub(crate) force: bool,
    /// The run that is said to have applied it.
    pub(crate) run: Option<u64>,
    /// The object is as it was: its own marks come with it.
    pub(crate) as_it_was: bool,
}

impl Rules {
    /// Of a way back: it must arrive.
    pub(crate) const BACK: Self =
        Self { adopt: true, drift: Drift::Overwrite, force: true, run: None, as_it_was: true };
}

/// What stays as the cluster has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// The number of pods only.
    Replicas,
    /// Also Service selectors, autoscalers' targets and budgets' selectors: they are moved by steps of their own.
    Traffic,
}

/// Applies an object, unless it is there as it should be. Gives it back as the server has it, and whether it was written.
pub(crate) async fn put(
    cluster: &Cluster,
    object: &Object,
    moved: Moved,
    rules: Rules,
) -> Result<(Object, bool), DeliveryError> {
    let id = id_in(object, cluster);
    let mut tries = Tries::default();
    loop {
        let live = cluster.get(&id).await?;
        let wanted = prepared(object, live.as_ref(), moved, rules);
        if let Some(live) = &live {
            if let Some(failure) = objection(live, object, rules) {
                return Err(failure.into());
            }
            if is_there(live, &wanted, rules) {
                return Ok((live.clone(), false));
            }
            if takes_over(live, object, rules) && !take_over(cluster, live).await? && tries.one_more() {
                continue;
            }
        }
        let force = forces(live.as_ref(), object, rules);
        match cluster.apply(&wanted, Apply::by(MANAGER).force(force)).await {
            Ok(now) => return Ok((now, true)),
            Err(error) if tries.again(&error) => {}
            // An autoscaler set its number in the same moment: read again, the object has it.
            Err(ClusterError::Conflict { managers, .. })
                if managers.iter().all(|each| each.field == ".spec.replicas") && tries.one_more() => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether fields that others own are taken from them.
pub(crate) fn forces(live: Option<&Object>, object: &Object, rules: Rules) -> bool {
    let adopted = live.is_some_and(|live| !is_ours(live, object));
    rules.force || adopted || matches!(rules.drift, Drift::Overwrite)
}

/// The object with its digest, and with what is moved as the cluster has it.
pub(crate) fn prepared(object: &Object, live: Option<&Object>, moved: Moved, rules: Rules) -> Object {
    let mut wanted = object.clone();
    if !rules.as_it_was {
        for key in [DIGEST, RUN] {
            wanted.remove(&format!("/metadata/annotations/{}", key.replace('/', "~1")));
        }
        let digest = digest_of(&wanted);
        annotate(&mut wanted, DIGEST, &digest[..16]);
    }
    if let Some(run) = rules.run {
        annotate(&mut wanted, RUN, &run.to_string());
    }
    for pointer in moved_fields(object, moved) {
        match live {
            Some(live) => match live.0.pointer(pointer) {
                Some(value) => wanted.set(pointer, value.clone()),
                None => wanted.remove(pointer),
            },
            // A new Service gets no traffic before the switch.
            None if *pointer == "/spec/selector" && object.kind() == "Service" => wanted.remove(pointer),
            None => {}
        }
    }
    if let (Some(live), Drift::Keep) = (live, rules.drift) {
        for field in foreign(live) {
            if let (Some(value), Some(place)) = (value_at(live, &field.field), place_mut(&mut wanted, &field.field)) {
                *place = value.clone();
            }
        }
    }
    wanted
}

fn annotate(object: &mut Object, key: &str, value: &str) {
    object.set(&format!("/metadata/annotations/{}", key.replace('/', "~1")), json!(value));
}

pub(crate) fn moved_fields(object: &Object, moved: Moved) -> &'static [&'static str] {
    match (role(object), moved) {
        (Role::Workload, _) if object.kind() != "DaemonSet" => &["/spec/replicas"],
        (Role::Service | Role::Budget, Moved::Traffic) => &["/spec/selector"],
        (Role::Autoscaler, Moved::Traffic) => &["/spec/scaleTargetRef"],
        _ => &[],
    }
}

fn place_mut<'a>(object: &'a mut Object, field: &str) -> Option<&'a mut Value> {
    // Found first, changed then: a field that is not in the object is not ours to set.
    let found: *const Value = value_at(object, field)?;
    find_mut(&mut object.0, found)
}

fn find_mut(value: &mut Value, wanted: *const Value) -> Option<&mut Value> {
    if std::ptr::eq(value, wanted) {
        return Some(value);
    }
    match value {
        Value::Object(map) => map.values_mut().find_map(|each| find_mut(each, wanted)),
        Value::Array(list) => list.iter_mut().find_map(|each| find_mut(each, wanted)),
        _ => None,
    }
}

fn is_ours(live: &Object, object: &Object) -> bool {
    live.labels().get(UNIT).is_some_and(|unit| object.labels().get(UNIT) == Some(unit))
}

/// It was applied as it should be, and nobody has changed it since.
fn is_there(live: &Object, wanted: &Object, rules: Rules) -> bool {
    let digest = |object: &Object| object.annotations().get(DIGEST).cloned();
    let touched = matches!(rules.drift, Drift::Overwrite) && !foreign(live).is_empty();
    !live.is_terminating() && digest(live).is_some() && digest(live) == digest(wanted) && !touched
}

/// What stands against applying an object over the one that is there.
fn objection(live: &Object, object: &Object, rules: Rules) -> Option<Failure> {
    let unit = live.labels().get(UNIT).cloned();
    let ours = object.labels().get(UNIT).cloned();
    if let Some(other) = unit.as_ref().filter(|_| unit != ours && ours.is_some() && !rules.force) {
        let why = format!("it belongs to the unit {other}");
        let failure = Failure::new(format!("{} is not this unit's", live.id()), why);
        return Some(failure.next("give one of them another name, or force-conflicts: true"));
    }
    if unit.is_none() && !rules.adopt {
        let why = "Tagline has not made it, and adopt is false";
        return Some(Failure::new(format!("{} is there already", live.id()), why).next("adopt: true"));
    }
    if unit.is_none() || unit != ours || !matches!(rules.drift, Drift::Refuse) || rules.force {
        return None;
    }
    let evidence: Vec<String> = drift(live, None, Some(object)).into_iter().map(|each| each.line).collect();
    let failure = Failure::new(DRIFT, evidence.first()?.clone());
    Some(Failure { evidence, ..failure }.next("put it back, or drift: overwrite or keep"))
}

impl Delivery<'_> {
    /// Whether an object may be applied over the one that is there: asked of all of them before the first is written, so that
    /// what stands against one leaves none half-way.
    pub(super) fn allowed(&self, live: &Object, object: &Object) -> Result<(), DeliveryError> {
        objection(live, object, self.rules()).map_or(Ok(()), |failure| Err(failure.effect(UNCHANGED).into()))
    }
}

fn takes_over(live: &Object, object: &Object, rules: Rules) -> bool {
    let foreign_objects = !is_ours(live, object) && rules.adopt;
    foreign_objects || (matches!(rules.drift, Drift::Overwrite) && !foreign(live).is_empty())
}

/// Makes everything that others own in it ours, so that what we leave out goes. False where the object changed meanwhile,
/// as a controller that has just seen it does: it is to be looked at again.
async fn take_over(cluster: &Cluster, live: &Object) -> Result<bool, DeliveryError> {
    let Some(fields) = taken_over(live, MANAGER) else { return Ok(true) };
    let patch = Patch::Json(json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": fields},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live.resource_version()},
    ]));
    match cluster.patch(&id_in(live, cluster), MANAGER, &patch).await {
        Ok(_) => Ok(true),
        Err(ClusterError::Changed { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Scales a workload, if it still is this one.
pub(crate) async fn scale(cluster: &Cluster, workload: &Object, replicas: u32) -> Result<(), ClusterError> {
    if workload.number("/spec/replicas") == Some(i64::from(replicas)) {
        return Ok(());
    }
    cluster.scale(&id_in(workload, cluster), replicas, &Precondition::same(workload), MANAGER).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::TRAFFIC;

    const RULES: Rules = Rules { adopt: true, drift: Drift::Refuse, force: false, run: None, as_it_was: false };

    fn config(unit: &str, manager: &str, value: &str) -> Object {
        Object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {UNIT: unit},
            "managedFields": [{"manager": manager, "operation": "Update", "fieldsV1": {"f:data": {"f:mode": {}}}}]},
            "data": {"mode": value}}))
    }

    #[test]
    fn what_somebody_else_changed_stands_against_it_before_it_is_written() {
        let wanted = config("shop", MANAGER, "new");
        let failure = objection(&config("shop", "kubectl-edit", "by hand"), &wanted, RULES).unwrap();
        assert_eq!(failure.what, DRIFT, "not what leaves everything as it is");
        assert_eq!(failure.why, "drift: ConfigMap/a data.mode changed by kubectl-edit: by hand (the release has new)");
        for rules in [Rules { drift: Drift::Overwrite, ..RULES }, Rules { drift: Drift::Keep, ..RULES }, Rules::BACK] {
            assert_eq!(objection(&config("shop", "kubectl-edit", "by hand"), &wanted, rules), None, "{rules:?}");
        }
        assert_eq!(objection(&config("shop", TRAFFIC, "old"), &wanted, RULES), None);
        let other = objection(&config("other", MANAGER, "old"), &wanted, RULES).unwrap();
        assert_eq!(other.why, "it belongs to the unit other");
    }

    #[test]
    fn fields_are_taken_by_force_only_where_that_was_asked_for() {
        let (live, wanted) = (config("shop", "kubectl-edit", "old"), config("shop", MANAGER, "new"));
        assert!(!forces(Some(&live), &wanted, RULES) && !forces(None, &wanted, RULES));
        assert!(forces(Some(&live), &wanted, Rules { drift: Drift::Overwrite, ..RULES }));
        let mut adopted = live;
        adopted.remove("/metadata/labels");
        assert!(forces(Some(&adopted), &wanted, RULES), "it is adopted");
    }
}
