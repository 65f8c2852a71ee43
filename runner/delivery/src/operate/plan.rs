//! What an operation is going to do, found out without changing anything.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::field::{Change, Field, Place};
use super::find::{Live, container, containers, named_by_content, workloads};
use super::note::Note;
use super::restore::{is_live, new_database};
use super::sql::QUOTE;
use crate::cluster::{Cluster, Labels, Verb as Right};
use crate::inputs::operate::{FlagKnobs, FlagStore, Hpa, RestoreKnobs, Verb};
use crate::inputs::{OperateInputs, WorkloadRef};
use crate::job::{self, Asked, Image, JobPlan};
use crate::migrate::Backup;
use crate::{DeliveryError, Object, ObjectId, PlanError, Site};

/// What `tagline/operate` is going to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperatePlan {
    /// What the step asks for.
    pub inputs: OperateInputs,
    /// What is set, thing by thing.
    pub acts: Vec<Act>,
    /// The notes that are undone, with their UIDs.
    pub undone: Vec<(ObjectId, String)>,
    /// The workloads that are meant.
    pub workloads: Vec<(ObjectId, String)>,
    /// The Job that is run.
    pub job: Option<JobPlan>,
    /// The backup that is taken.
    pub backup: Option<Backup>,
    /// What is worth a warning.
    pub warnings: Vec<String>,
}

/// One thing that is changed and remembered by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// `scale Deployment/shop`
    pub what: String,
    /// What is set, in order.
    pub changes: Vec<Change>,
    /// A restart leaves nothing to remember.
    pub remembered: bool,
    /// Whoever reads the first thing that is changed starts again, when it is put back too.
    #[serde(default)]
    pub rereads: bool,
}

/// How long a Job of an operation is kept.
const KEEP: std::time::Duration = std::time::Duration::from_hours(30 * 24);

/// Reads what is there; changes nothing.
///
/// # Errors
/// Everything that stands against it, at once.
pub async fn plan(site: &Site, inputs: &OperateInputs, cluster: &Cluster) -> Result<OperatePlan, PlanError> {
    let live = workloads(cluster).await?;
    let (acts, undone, workloads) = (Vec::new(), Vec::new(), Vec::new());
    let plan =
        OperatePlan { inputs: inputs.clone(), acts, undone, workloads, job: None, backup: None, warnings: Vec::new() };
    let mut draft =
        Draft { site, cluster, live: &live, plan, problems: Vec::new(), whats: Vec::new(), rights: Vec::new() };
    draft.act(&inputs.verb).await?;
    draft.job().await?;
    if inputs.undo {
        draft.undo().await?;
    }
    let missing = cluster.may(&draft.rights()).await?;
    draft.problems.extend(missing.iter().map(ToString::to_string));
    let Draft { plan, problems, .. } = draft;
    let what = format!("{} cannot be done", inputs.verb.name());
    if problems.is_empty() { Ok(plan) } else { Err(job::refused(&what, problems).into()) }
}

struct Draft<'a> {
    site: &'a Site,
    cluster: &'a Cluster,
    live: &'a Live,
    plan: OperatePlan,
    problems: Vec<String>,
    /// What notes are about, also of acts that are not planned because they are undone.
    whats: Vec<String>,
    /// What undoing them takes.
    rights: Vec<Right>,
}

impl Draft<'_> {
    fn find(&mut self, wanted: &[WorkloadRef]) -> Vec<Object> {
        let mut found = Vec::new();
        for each in wanted {
            match self.live.find(each) {
                Ok(one) => found.push(one.clone()),
                Err(problem) => self.problems.push(problem),
            }
        }
        self.plan.workloads = found.iter().map(|one| (one.id(), one.uid().to_owned())).collect();
        found
    }

    fn push(&mut self, what: String, changes: Vec<Change>, remembered: bool) {
        self.act_of(Act { what, changes, remembered, rereads: false });
    }

    fn act_of(&mut self, act: Act) {
        self.whats.push(act.what.clone());
        if !self.plan.inputs.undo {
            self.plan.acts.push(act);
        }
    }

    async fn act(&mut self, verb: &Verb) -> Result<(), DeliveryError> {
        match verb {
            Verb::Scale { workloads, replicas, hpa } => self.scale(workloads, *replicas, *hpa).await?,
            Verb::Restart { workloads } => {
                for one in self.find(workloads) {
                    let change = change(&one, vec![restarted(self.site)]);
                    self.push(format!("restart {}", one.id()), vec![change], false);
                }
            }
            Verb::SetEnv { workloads, container: wanted, env } => {
                for one in self.find(workloads) {
                    let names = match wanted {
                        Some(wanted) => container(&one, Some(wanted)).map(|name| vec![name]),
                        None => Ok(containers(&one)),
                    };
                    let names = names.unwrap_or_else(|problem| {
                        self.problems.push(problem);
                        Vec::new()
                    });
                    let field = |container: &String, (name, value): (&String, &Option<String>)| Field {
                        place: Place::Env { container: container.clone(), name: name.clone() },
                        value: value.as_ref().map(|value| json!({"name": name, "value": value})),
                    };
                    let fields = names.iter().flat_map(|name| env.iter().map(move |pair| field(name, pair))).collect();
                    self.push(format!("set-env {}", one.id()), vec![change(&one, fields)], true);
                }
            }
            Verb::SetResources { workloads, container: wanted, requests, limits } => {
                for one in self.find(workloads) {
                    let name = container(&one, wanted.as_deref()).unwrap_or_else(|problem| {
                        self.problems.push(problem);
                        String::new()
                    });
                    let parts = [("requests", requests), ("limits", limits)];
                    let field = |part: &str, (resource, value): (&String, &crate::inputs::Quantity)| Field {
                        place: Place::Resource {
                            container: name.clone(),
                            part: part.to_owned(),
                            name: resource.clone(),
                        },
                        value: Some(value.to_string().into()),
                    };
                    let fields =
                        parts.iter().flat_map(|(part, all)| all.iter().map(|pair| field(part, pair))).collect();
                    self.push(format!("set-resources {}", one.id()), vec![change(&one, fields)], true);
                }
            }
            Verb::Config { name, data, restart } => {
                let pairs: Vec<_> = data.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
                self.config(&format!("config {name}"), name, &pairs, *restart).await?;
            }
            Verb::Flag(FlagKnobs { store: FlagStore::ConfigMap { name, restart }, key, tenant, value }) => {
                let key = tenant.as_ref().map_or_else(|| key.clone(), |tenant| format!("{key}.{tenant}"));
                self.flag_is_known(name, &key).await?;
                self.config(&format!("flag {key} in {name}"), name, &[(key.clone(), Some(value.clone()))], *restart)
                    .await?;
            }
            Verb::Flag(FlagKnobs { store: FlagStore::Sql { table, .. }, key, tenant, .. }) => {
                let tenant = tenant.as_ref().map(|tenant| format!(" of {tenant}")).unwrap_or_default();
                self.whats.push(format!("flag {key}{tenant} in {table}"));
            }
            Verb::Restore(knobs) => {
                drop(self.find(&knobs.writers));
                let name = || new_database(self.cluster.namespace(), &knobs.backup);
                if let Verb::Restore(planned) = &mut self.plan.inputs.verb
                    && planned.in_place.is_none()
                {
                    planned.into.get_or_insert_with(name);
                }
            }
            Verb::Exec { workloads, .. } => drop(self.find(workloads)),
            Verb::Sql { sql, .. } if sql.contains(QUOTE) => {
                self.problems.push(format!("sql: it holds {QUOTE}, which is ours"));
            }
            Verb::Sql { .. } | Verb::Backup { .. } => {}
        }
        Ok(())
    }

    async fn scale(&mut self, wanted: &[WorkloadRef], replicas: u32, hpa: Hpa) -> Result<(), DeliveryError> {
        let all = self.cluster.list("autoscaling/v2", "HorizontalPodAutoscaler", &Labels::new()).await?;
        for one in self.find(wanted) {
            if one.kind() == "DaemonSet" {
                self.problems.push(format!("{} has as many pods as there are nodes: it cannot be scaled", one.id()));
            }
            let of = |each: &&Object| {
                each.text("/spec/scaleTargetRef/kind") == one.kind()
                    && each.text("/spec/scaleTargetRef/name") == one.name()
            };
            let scaler = all.iter().find(of);
            let count = field("/spec/replicas", Some(json!(replicas)));
            let mut changes = vec![change(&one, vec![count])];
            if let Some(scaler) = scaler.filter(|_| !self.plan.inputs.undo) {
                match bounds(scaler, replicas, hpa) {
                    // First: it must not undo the count between the two.
                    Ok(bounds) if !bounds.is_empty() => changes.insert(0, change(scaler, bounds)),
                    Ok(_) => {}
                    Err(problem) => self.problems.push(problem),
                }
            }
            self.push(format!("scale {}", one.id()), changes, true);
        }
        Ok(())
    }

    /// New values in a ConfigMap; its readers start again.
    async fn config(
        &mut self,
        what: &str,
        name: &str,
        data: &[(String, Option<String>)],
        restart: bool,
    ) -> Result<(), DeliveryError> {
        let Some(map) = self.config_map(name).await? else { return Ok(()) };
        if map.0["immutable"] == true {
            let why = "it is immutable: the release owns its content; change it in the manifests and release, or annotate it \
                       tagline.dev/config: shared";
            self.problems.push(format!("{}: {why}", map.id()));
            return Ok(());
        }
        let place = |key: &str| format!("/data/{}", key.replace('~', "~0").replace('/', "~1"));
        let fields = data.iter().map(|(key, value)| field(&place(key), value.clone().map(Value::from))).collect();
        let mut changes = vec![change(&map, fields)];
        if restart {
            let digest = crate::unit::digest_of(&Object(json!([what, data])));
            let mark = reading(&digest[..16]);
            changes.extend(
                self.live.readers("ConfigMap", map.name()).into_iter().map(|reader| change(reader, vec![mark.clone()])),
            );
        }
        self.act_of(Act { what: what.to_owned(), changes, remembered: true, rereads: restart });
        Ok(())
    }

    /// The ConfigMap of that name, or the one that stands for it under a name by content and is in use.
    async fn config_map(&mut self, name: &str) -> Result<Option<Object>, DeliveryError> {
        let all = self.cluster.list("v1", "ConfigMap", &Labels::new()).await?;
        let stands_for = |each: &&str| *each == name || named_by_content(each, name);
        let names: Vec<&str> = all.iter().map(Object::name).filter(stands_for).collect();
        match self.live.in_use("ConfigMap", name, &names, &[]) {
            Ok(Some(used)) => Ok(all.iter().find(|each| each.name() == used).cloned()),
            Ok(None) => {
                let guess = crate::inputs::did_you_mean(name, all.iter().map(Object::name));
                self.problems.push(format!("there is no ConfigMap {name}{guess}"));
                Ok(None)
            }
            Err(several) => {
                self.problems.push(format!("config: {several}"));
                Ok(None)
            }
        }
    }

    async fn flag_is_known(&mut self, name: &str, key: &str) -> Result<(), DeliveryError> {
        let Some(map) = self.config_map(name).await? else { return Ok(()) };
        let known = map.texts("/data");
        let general = key.split('.').next().unwrap_or(key);
        if !known.contains_key(key) && !known.contains_key(general) {
            let guess = crate::inputs::did_you_mean(key, known.keys().map(String::as_str));
            self.problems.push(format!("flag \"{key}\" matches 0 keys of {}{guess}", map.id()));
        }
        Ok(())
    }

    async fn job(&mut self) -> Result<(), DeliveryError> {
        let verb = self.plan.inputs.verb.clone();
        let Some(knobs) = verb.job() else { return Ok(()) };
        let asked =
            Asked { image: Image::ReleaseOrOwn, suspended: false, timeout: *self.plan.inputs.timeout, keep: KEEP };
        let mut job = JobPlan::make(self.site, self.cluster, knobs, asked, &mut self.problems).await?;
        let database = match &verb {
            Verb::Sql { database, .. } | Verb::Flag(FlagKnobs { store: FlagStore::Sql { database, .. }, .. }) => {
                Some(database)
            }
            _ => None,
        };
        if let (Some(database), Some(made)) = (database, &job) {
            if !made.words().iter().any(|word| word.contains("{sql}")) {
                self.problems.push(format!(
                    "args: nothing says where {} gets the statement; write {{sql}} as one of them (psql: -X, -At, -v, ON_ERROR_STOP=1, -c, {{sql}})",
                    made.source
                ));
            }
            let secret = self.cluster.get(&self.cluster.id("v1", "Secret", &database.secret)).await?;
            match secret {
                None => self.problems.push(format!("database: there is no Secret {}", database.secret)),
                Some(secret) if !secret.0["data"].as_object().is_some_and(|data| data.contains_key(&database.key)) => {
                    self.problems.push(format!("database: Secret {} lacks key {}", database.secret, database.key));
                }
                Some(_) => {}
            }
            job = job.map(|job| job.with_secret("DATABASE_URL", &database.secret, &database.key));
        }
        if let (Verb::Backup { min_size, check, .. }, Some(job)) = (&verb, &job) {
            self.plan.backup = Some(Backup { job: job.clone(), min_size: *min_size, check: *check, max_age: None });
        }
        if let (Verb::Restore(RestoreKnobs { into: Some(into), .. }), Some(job)) = (&verb, &job)
            && is_live(into, job, self.cluster).await?
        {
            self.problems
                .push(format!("into: {into} is the live one; restore into the live database needs in-place: reason"));
        }
        self.plan.job = job;
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), DeliveryError> {
        for what in &self.whats {
            match Note::get(self.cluster, &Note::name_of(what)).await? {
                Some((note, there)) => {
                    self.plan.undone.push((there.id(), there.uid().to_owned()));
                    let put_back = note.before.iter().map(|change| &change.id);
                    self.rights.extend(put_back.map(|id| Right::new("patch", &id.api_version, &id.kind)));
                    self.rights
                        .extend(note.delete.iter().map(|(id, _)| Right::new("delete", &id.api_version, &id.kind)));
                    self.rights.extend(note.job.iter().flat_map(|_| job::verbs()));
                }
                None => self.plan.warnings.push(format!("{what} is not remembered: nothing to undo")),
            }
        }
        Ok(())
    }

    fn rights(&self) -> Vec<Right> {
        let mut rights: Vec<Right> =
            ["get", "create", "patch", "delete"].map(|verb| Right::new(verb, "v1", "ConfigMap")).to_vec();
        for change in self.plan.acts.iter().flat_map(|act| &act.changes) {
            rights.push(Right::new("patch", &change.id.api_version, &change.id.kind));
        }
        rights.extend(self.rights.iter().cloned());
        if matches!(&self.plan.inputs.verb, Verb::Restore(knobs) if knobs.stop_writers) {
            let writers = self.plan.workloads.iter().map(|(id, _)| id);
            rights.extend(writers.map(|id| Right::new("patch", &id.api_version, &id.kind)));
        }
        if self.plan.job.is_some() {
            rights.extend(job::verbs());
        }
        if matches!(self.plan.inputs.verb, Verb::Exec { .. }) {
            rights.push(Right::new("create", "v1", "Pod").part("exec"));
        }
        rights
    }
}

/// Pods are made anew when what they are to read differs, which the mark says.
pub(super) fn reading(mark: &str) -> Field {
    field("/spec/template/metadata/annotations/tagline.dev~1config-read", Some(mark.into()))
}

/// What becomes of an autoscaler's bounds, so that it leaves this count alone.
fn bounds(scaler: &Object, replicas: u32, hpa: Hpa) -> Result<Vec<Field>, String> {
    let bound = |name: &str| scaler.number(&format!("/spec/{name}")).unwrap_or(1);
    let (least, most, wanted) = (bound("minReplicas"), bound("maxReplicas"), i64::from(replicas));
    let set = |name: &str| field(&format!("/spec/{name}"), Some(json!(wanted.max(1))));
    match hpa {
        Hpa::Respect if wanted > most => {
            Err(format!("{replicas} is above maxReplicas {most}; change the HPA or use hpa: set-min"))
        }
        Hpa::Respect if wanted < least => {
            let id = scaler.id();
            Err(format!("{replicas} is below minReplicas {least} of {id}; use hpa: set-min, or hpa: suspend with for"))
        }
        Hpa::Respect => Ok(Vec::new()),
        Hpa::SetMin if wanted > most => Ok(vec![set("minReplicas"), set("maxReplicas")]),
        Hpa::SetMin => Ok(vec![set("minReplicas")]),
        // At 0 an autoscaler stands still by itself; otherwise its bounds leave it no choice.
        Hpa::Suspend if replicas == 0 => Ok(Vec::new()),
        Hpa::Suspend => Ok(vec![set("minReplicas"), set("maxReplicas")]),
    }
}

fn field(pointer: &str, value: Option<Value>) -> Field {
    Field { place: Place::At(pointer.to_owned()), value }
}

fn change(object: &Object, fields: Vec<Field>) -> Change {
    Change { id: object.id(), uid: object.uid().to_owned(), fields }
}

/// The same for this step however often it begins again.
fn restarted(site: &Site) -> Field {
    field("/spec/template/metadata/annotations/tagline.dev~1restarted-by", Some(site.asker().into()))
}

impl OperatePlan {
    /// In lines for people; values of variables are not among them.
    pub fn summary(&self) -> Vec<String> {
        let inputs = &self.inputs;
        let mut lines: Vec<String> = Vec::new();
        for act in &self.acts {
            lines.push(act.what.clone());
            lines.extend(
                act.changes.iter().flat_map(|change| change.fields.iter().map(|field| line(&change.id, field))),
            );
        }
        for (note, _) in &self.undone {
            lines.push(format!("undo what {note} remembers"));
        }
        if let Some(job) = &self.job {
            lines.push(format!("{} by {} with {}", inputs.verb.name(), job.source, job.image()));
        }
        if let Verb::Sql { sql, .. } = &inputs.verb {
            lines.extend(sql.lines().map(|line| format!("  {line}")));
        }
        if let Verb::Restore(knobs) = &inputs.verb {
            let where_to =
                knobs.into.as_ref().map_or_else(|| "the live database".to_owned(), |into| format!("database {into}"));
            lines.push(format!("restore {} into {where_to}", knobs.backup));
        }
        if let Verb::Exec { command, pods, .. } = &inputs.verb {
            lines.push(format!("run in {pods:?} of the pods: {}", command.join(" ")).to_lowercase());
        }
        if lines.is_empty() {
            lines.push(format!("{}: nothing to do", inputs.verb.name()));
        }
        lines.extend(inputs.reason.iter().map(|reason| format!("because: {reason}")));
        lines.extend(inputs.lasting.iter().map(|lasting| format!("undone after {lasting}")));
        lines.extend(inputs.finally.then(|| "undone when the run ends, however it ends".to_owned()));
        lines
    }
}

fn line(id: &ObjectId, field: &Field) -> String {
    if let Place::Env { .. } = field.place {
        return format!("  {id}: {} is {}", field.place, if field.value.is_some() { "set" } else { "removed" });
    }
    let value = field.value.as_ref().map_or_else(|| "removed".to_owned(), ToString::to_string);
    format!("  {id}: {} = {value}", field.place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoscaler_leaves_the_count_alone_or_it_is_refused_with_what_helps() {
        let scaler = Object(json!({"kind": "HorizontalPodAutoscaler", "metadata": {"name": "shop"},
            "spec": {"minReplicas": 2, "maxReplicas": 10}}));
        let said = |replicas, hpa| bounds(&scaler, replicas, hpa);
        let high = "15 is above maxReplicas 10; change the HPA or use hpa: set-min";
        assert_eq!(said(15, Hpa::Respect).unwrap_err(), high);
        assert!(
            said(1, Hpa::Respect).unwrap_err().starts_with("1 is below minReplicas 2 of HorizontalPodAutoscaler/shop")
        );
        assert_eq!(said(5, Hpa::Respect), Ok(Vec::new()));
        let set = |replicas, hpa| -> Vec<String> {
            said(replicas, hpa).unwrap().iter().map(|field| line(&scaler.id(), field)).collect()
        };
        let (least, most) =
            ("  HorizontalPodAutoscaler/shop: spec.minReplicas", "  HorizontalPodAutoscaler/shop: spec.maxReplicas");
        // What the refusal says does help.
        assert_eq!(set(15, Hpa::SetMin), [format!("{least} = 15"), format!("{most} = 15")]);
        assert_eq!(
            (set(5, Hpa::SetMin), set(0, Hpa::SetMin)),
            (vec![format!("{least} = 5")], vec![format!("{least} = 1")])
        );
        assert_eq!(set(4, Hpa::Suspend), [format!("{least} = 4"), format!("{most} = 4")]);
        assert_eq!(set(0, Hpa::Suspend), [""; 0]);
    }
}
