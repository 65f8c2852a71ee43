//! What an operation is going to do, found out without changing anything.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::field::{Change, Field, Place};
use super::find::{Live, container, containers, workloads};
use super::note::Note;
use super::sql::QUOTE;
use crate::cluster::{Cluster, Labels, Verb as Right};
use crate::inputs::operate::{FlagKnobs, FlagStore, Hpa, Verb};
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
    let mut draft = Draft { site, cluster, live: &live, plan, problems: Vec::new(), whats: Vec::new() };
    if inputs.finally {
        let instead = "give for: 1h, or a last step with undo: true and if: always()";
        draft.problems.push(format!("finally: true is not carried out yet; {instead}"));
    }
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
        self.whats.push(what.clone());
        if !self.plan.inputs.undo {
            self.plan.acts.push(Act { what, changes, remembered });
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
            Verb::Restore(knobs) => drop(self.find(&knobs.writers)),
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
                let (least, most) =
                    (scaler.number("/spec/minReplicas").unwrap_or(1), scaler.number("/spec/maxReplicas").unwrap_or(1));
                let wanted = i64::from(replicas);
                match hpa {
                    Hpa::Respect | Hpa::SetMin if wanted > most => self.problems.push(format!(
                        "{replicas} is above maxReplicas {most}; change the HPA{}",
                        if hpa == Hpa::Respect && wanted <= most {
                            " or use hpa: set-min"
                        } else {
                            ", or use hpa: suspend with for"
                        }
                    )),
                    Hpa::Respect if wanted < least => self.problems.push(format!(
                        "{replicas} is below minReplicas {least} of {}; use hpa: set-min, or hpa: suspend with for",
                        scaler.id()
                    )),
                    Hpa::Respect => {}
                    Hpa::SetMin => {
                        changes.push(change(scaler, vec![field("/spec/minReplicas", Some(json!(wanted.max(1))))]));
                    }
                    // At 0 an autoscaler stands still by itself; otherwise its bounds leave it no choice.
                    Hpa::Suspend if replicas == 0 => {}
                    Hpa::Suspend => {
                        let bounds = ["minReplicas", "maxReplicas"]
                            .map(|name| field(&format!("/spec/{name}"), Some(json!(replicas))));
                        changes.insert(0, change(scaler, bounds.to_vec()));
                    }
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
            let mark = read_mark(what, data);
            changes.extend(
                self.live.readers("ConfigMap", map.name()).into_iter().map(|reader| change(reader, vec![mark.clone()])),
            );
        }
        self.push(what.to_owned(), changes, true);
        Ok(())
    }

    /// The ConfigMap of that name, or the one that stands for it under a name by content.
    async fn config_map(&mut self, name: &str) -> Result<Option<Object>, DeliveryError> {
        if let Some(found) = self.cluster.get(&self.cluster.id("v1", "ConfigMap", name)).await? {
            return Ok(Some(found));
        }
        let all = self.cluster.list("v1", "ConfigMap", &Labels::new()).await?;
        let by_content = |each: &&Object| {
            let hash = each.name().strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
            hash.is_some_and(|hash| hash.len() == 10) && !self.live.readers("ConfigMap", each.name()).is_empty()
        };
        let found = all.iter().find(by_content).cloned();
        if found.is_none() {
            let guess = crate::inputs::did_you_mean(name, all.iter().map(Object::name));
            self.problems.push(format!("there is no ConfigMap {name}{guess}"));
        }
        Ok(found)
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
        self.plan.job = job;
        Ok(())
    }

    async fn undo(&mut self) -> Result<(), DeliveryError> {
        for what in &self.whats {
            match Note::get(self.cluster, &Note::name_of(what)).await? {
                Some((_, there)) => self.plan.undone.push((there.id(), there.uid().to_owned())),
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
        if self.plan.job.is_some() {
            rights.extend(job::verbs());
        }
        if matches!(self.plan.inputs.verb, Verb::Exec { .. }) {
            rights.push(Right::new("create", "v1", "Pod").part("exec"));
        }
        rights
    }
}

/// Pods are made anew when what they are to read differs.
fn read_mark(what: &str, data: &[(String, Option<String>)]) -> Field {
    let digest = crate::unit::digest_of(&Object(json!([what, data])));
    field("/spec/template/metadata/annotations/tagline.dev~1config-read", Some(digest[..16].into()))
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
        if let Verb::Exec { command, pods, .. } = &inputs.verb {
            lines.push(format!("run in {pods:?} of the pods: {}", command.join(" ")).to_lowercase());
        }
        if lines.is_empty() {
            lines.push(format!("{}: nothing to do", inputs.verb.name()));
        }
        lines.extend(inputs.reason.iter().map(|reason| format!("because: {reason}")));
        lines.extend(inputs.lasting.iter().map(|lasting| format!("undone after {lasting}")));
        lines
    }
}

fn line(id: &ObjectId, field: &Field) -> String {
    let place = match &field.place {
        Place::At(pointer) => pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~"),
        Place::Env { container, name } => {
            let how = if field.value.is_some() { "is set" } else { "is removed" };
            return format!("  {id}: variable {name} of {container} {how}");
        }
        Place::Resource { container, part, name } => format!("{part}.{name} of {container}"),
        Place::Reference { kind, .. } => format!("{kind} that it reads"),
    };
    let value = field.value.as_ref().map_or_else(|| "removed".to_owned(), ToString::to_string);
    format!("  {id}: {place} = {value}")
}
