//! What a rotation is going to do, found out without changing anything.

use serde::{Deserialize, Serialize};

use super::required::{keys, needed};
use super::{ROTATES, current};
use crate::cluster::{Cluster, ClusterError, Labels, Verb};
use crate::inputs::rotate::Accounts;
use crate::inputs::{RotateInputs, did_you_mean};
use crate::job::{self, Asked, Image, JobPlan};
use crate::operate::{Change, workloads};
use crate::render::config::references;
use crate::{Object, ObjectId, PlanError, Site};

/// What `tagline/rotate-secret` is going to do. It holds no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RotatePlan {
    /// What the step asks for, without its values.
    pub inputs: RotateInputs,
    /// The Secret in force, with its UID.
    pub live: (ObjectId, String),
    /// Keys whose new values are taken from other Secrets: key, Secret, key there.
    pub copied: Vec<(String, String, String)>,
    /// Everything whose pods read it; nothing is set yet.
    pub readers: Vec<Change>,
    /// The names that it has had and may still be referred to by.
    pub names: Vec<String>,
    /// The key that holds the account's name, where there are two.
    pub account: Option<String>,
    /// What makes the source know the new values.
    pub job: Option<JobPlan>,
}

/// Keys that hold an account's name.
const ACCOUNT: [&str; 4] = ["username", "user", "DATABASE_USER", "POSTGRES_USER"];
/// How long its Jobs are kept.
const KEEP: std::time::Duration = std::time::Duration::from_hours(30 * 24);

/// Reads the Secret's keys and who reads them; changes nothing.
///
/// # Errors
/// Everything that stands against it, at once.
pub async fn plan(site: &Site, inputs: &RotateInputs, cluster: &Cluster) -> Result<RotatePlan, PlanError> {
    let mut problems = Vec::new();
    let base = inputs.secret.as_str();
    let secrets = cluster.list("v1", "Secret", &Labels::new()).await?;
    let readable = workloads(cluster).await?.into_all();
    let scheduled = cluster.list("batch/v1", "CronJob", &Labels::new()).await?;
    let all: Vec<&Object> = readable.iter().chain(&scheduled).collect();
    let names = names(base, &secrets, &all);
    let reads = |each: &&Object| references(each).iter().any(|(kind, name)| kind == "Secret" && names.contains(name));
    let readers: Vec<&Object> = all.iter().copied().filter(reads).collect();
    let newest = current(&secrets).remove(base).or_else(|| names.last().cloned());
    let live = newest.and_then(|name| secrets.iter().find(|secret| secret.name() == name));
    let asked = Asked { image: Image::ReleaseOrOwn, suspended: false, timeout: *inputs.timeout, keep: KEEP };
    let job = JobPlan::make(site, cluster, &inputs.job, asked, &mut problems).await?;
    let Some(live) = live else {
        let guess = did_you_mean(base, secrets.iter().map(Object::name));
        problems.push(format!("there is no Secret {base}{guess}"));
        return Err(job::refused("the secret cannot be rotated", problems).into());
    };
    problems.extend(managed(live).map(|by| format!("{base} is managed by {by}: rotate at the source")));
    let copied = copied(inputs, &secrets, &mut problems);
    let will_have: Vec<String> = keys(live)
        .into_iter()
        .chain(inputs.generate.keys().cloned())
        .chain(copied.iter().map(|one| one.0.clone()))
        .collect();
    for need in readers.iter().flat_map(|reader| needed(reader)).filter(|need| names.contains(&need.secret)) {
        if let Some(key) = need.key.filter(|key| !will_have.contains(key)) {
            let name = need.by.rsplit_once('/').map_or(need.by.as_str(), |(_, name)| name);
            problems.push(format!("new Secret lacks key {key} that workload {name} reads"));
        }
    }
    if readers.is_empty() {
        problems.push(format!("nothing reads {base}: no workload of namespace {} refers to it", cluster.namespace()));
    }
    let account = account(inputs, &keys(live), &mut problems);
    problems.extend(cluster.may(&rights(&readers)).await?.iter().map(ToString::to_string));
    if !problems.is_empty() {
        return Err(job::refused("the secret cannot be rotated", problems).into());
    }
    let readers = readers.iter().map(|one| Change { id: one.id(), uid: one.uid().to_owned(), fields: Vec::new() });
    let live = (live.id(), live.uid().to_owned());
    Ok(RotatePlan { inputs: inputs.clone(), live, copied, readers: readers.collect(), names, account, job })
}

/// All names that stand for it: its own, by content, and of earlier rotations; those that are read last.
fn names(base: &str, secrets: &[Object], readers: &[&Object]) -> Vec<String> {
    let is_read =
        |name: &str| readers.iter().any(|one| references(one).iter().any(|(kind, to)| kind == "Secret" && to == name));
    let of = |secret: &&Object| {
        let by_content = secret.name().strip_prefix(base).and_then(|rest| rest.strip_prefix('-'));
        let rotated = secret.labels().get(ROTATES).is_some_and(|of| of == base);
        secret.name() == base || rotated || by_content.is_some_and(|hash| hash.len() == 10 && is_read(secret.name()))
    };
    let mut names: Vec<String> = secrets.iter().filter(of).map(|secret| secret.name().to_owned()).collect();
    names.sort_by_key(|name| (is_read(name), name.clone()));
    names
}

/// Who makes it, if another than people and releases does.
fn managed(secret: &Object) -> Option<String> {
    let owners = secret.list("/metadata/ownerReferences").iter().filter_map(|owner| owner["kind"].as_str());
    let owner = owners.into_iter().next().map(str::to_owned);
    let labelled = secret.labels().contains_key("reconcile.external-secrets.io/managed");
    owner.or_else(|| labelled.then(|| "ExternalSecret".to_owned()))
}

/// `KEY=secret/NAME/KEY`; an account's name may be given as it is, for it is no secret.
fn copied(inputs: &RotateInputs, secrets: &[Object], problems: &mut Vec<String>) -> Vec<(String, String, String)> {
    let mut copied = Vec::new();
    for (key, value) in &inputs.values {
        let parts = value.strip_prefix("secret/").and_then(|rest| rest.split_once('/'));
        let Some((name, from)) = parts else {
            problems.push(format!(
                "values: {key} is given as it is, and a plan would keep it; put it into a Secret and write {key}=secret/NAME/KEY, or generate it"
            ));
            continue;
        };
        match secrets.iter().find(|secret| secret.name() == name) {
            None => problems.push(format!("values: there is no Secret {name}")),
            Some(secret) if !keys(secret).iter().any(|each| each == from) => {
                problems.push(format!("values: Secret {name} lacks key {from}"));
            }
            Some(_) => copied.push((key.clone(), name.to_owned(), from.to_owned())),
        }
    }
    copied
}

fn account(inputs: &RotateInputs, keys: &[String], problems: &mut Vec<String>) -> Option<String> {
    if inputs.accounts != Accounts::Two {
        return None;
    }
    let found = ACCOUNT.into_iter().find(|name| keys.iter().any(|key| key == name));
    if found.is_none() {
        problems.push(format!(
            "accounts: two needs the account's name in the Secret, as key {}; or accounts: dual-password",
            ACCOUNT.join(", ")
        ));
    }
    found.map(str::to_owned)
}

fn rights(readers: &[&Object]) -> Vec<Verb> {
    let mut rights: Vec<Verb> =
        ["get", "list", "create", "delete"].map(|verb| Verb::new(verb, "v1", "Secret")).to_vec();
    rights.extend(["get", "create", "delete"].map(|verb| Verb::new(verb, "v1", "ConfigMap")));
    rights.extend(readers.iter().map(|reader| Verb::new("patch", reader.api_version(), reader.kind())));
    rights.extend(job::verbs());
    rights
}

/// Whether a Secret is still referred to by something that runs or will run.
///
/// # Errors
/// Those of reaching the cluster.
pub(crate) async fn reader_of(cluster: &Cluster, name: &str) -> Result<Option<ObjectId>, ClusterError> {
    let all = workloads(cluster).await?.into_all();
    let scheduled = cluster.list("batch/v1", "CronJob", &Labels::new()).await?;
    let reads = |each: &&Object| references(each).iter().any(|(kind, to)| kind == "Secret" && to == name);
    Ok(all.iter().chain(&scheduled).find(reads).map(Object::id))
}

impl RotatePlan {
    /// In lines for people.
    pub fn summary(&self) -> Vec<String> {
        let inputs = &self.inputs;
        let changed: Vec<&str> =
            inputs.generate.keys().map(String::as_str).chain(self.copied.iter().map(|one| one.0.as_str())).collect();
        let mut lines =
            vec![format!("rotate {} of Secret {} (in force: {})", changed.join(", "), inputs.secret, self.live.0.name)];
        lines.extend(self.job.iter().map(|job| format!("made known by {} with {}", job.source, job.image())));
        lines.extend(self.readers.iter().map(|reader| format!("  {} reads it and is rolled", reader.id)));
        lines.push(format!(
            "the old one stays for {}; nothing is done where it is younger than {}",
            inputs.keep_old, inputs.every
        ));
        lines
    }
}
