//! What a rotation is going to do, found out without changing anything.

use serde::{Deserialize, Serialize};

use super::{ROTATES, current, keys, new};
use crate::cluster::{Cluster, Labels, Verb};
use crate::inputs::rotate::Accounts;
use crate::inputs::{Period, RotateInputs, did_you_mean};
use crate::job::{self, Asked, Image, JobPlan};
use crate::operate::{Live, named_by_content, workloads};
use crate::preflight::needed;
use crate::render::config::references;
use crate::unit::UNIT;
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
    /// Everything whose pods read it. Whoever reads it when they are sent to the new one is sent too.
    pub readers: Vec<ObjectId>,
    /// The names that it has had and may still be referred to by.
    pub names: Vec<String>,
    /// The key that holds the account's name, where there are two.
    pub account: Option<String>,
    /// How long the old values stay.
    pub keep_old: Period,
    /// What makes the source know the new values.
    pub job: Option<JobPlan>,
}

/// Keys that hold an account's name.
const ACCOUNT: [&str; 4] = ["username", "user", "DATABASE_USER", "POSTGRES_USER"];
/// How long the old values stay where neither the step nor a release says so.
const WINDOW: Period = Period::from_secs(24 * 3600);
/// How long its Jobs are kept.
const KEEP: std::time::Duration = std::time::Duration::from_hours(30 * 24);

/// Reads the Secret's keys and who reads them; changes nothing. `window`: how long what was released last is kept for the way
/// back, where it says so.
///
/// # Errors
/// Everything that stands against it, at once.
pub async fn plan(
    site: &Site,
    inputs: &RotateInputs,
    window: Option<Period>,
    cluster: &Cluster,
) -> Result<RotatePlan, PlanError> {
    let mut problems = Vec::new();
    let base = inputs.secret.as_str();
    let secrets = cluster.list("v1", "Secret", &Labels::new()).await?;
    let live = workloads(cluster).await?;
    let scheduled = cluster.list("batch/v1", "CronJob", &Labels::new()).await?;
    let in_force = in_force(base, &secrets, &live, &scheduled).and_then(|found| {
        let guess = || did_you_mean(base, secrets.iter().map(Object::name));
        found.ok_or_else(|| format!("there is no Secret {base}{}", guess()))
    });
    let all: Vec<&Object> = live.all().iter().chain(&scheduled).collect();
    let names = names(base, &secrets, &all);
    let reads = |each: &&Object| references(each).iter().any(|(kind, name)| kind == "Secret" && names.contains(name));
    let readers: Vec<&Object> = all.iter().copied().filter(reads).collect();
    let asked = Asked { image: Image::ReleaseOrOwn, suspended: false, timeout: *inputs.timeout, keep: KEEP };
    let job = JobPlan::make(site, cluster, &inputs.job, asked, &mut problems).await?;
    let keep_old = kept(inputs, window, &mut problems);
    let live = match in_force {
        Ok(live) => live,
        Err(problem) => {
            problems.push(problem);
            return Err(job::refused("the secret cannot be rotated", problems).into());
        }
    };
    let own = secrets.iter().filter(|secret| secret.name() == base && secret.name() != live.name());
    problems.extend([live].into_iter().chain(own).find_map(|secret| managed(base, secret)));
    let copied = copied(inputs, &secrets, &mut problems);
    lacking(&readers, &names, &will_have(inputs, live, &copied), &mut problems);
    if readers.is_empty() {
        problems.push(format!("nothing reads {base}: no workload of namespace {} refers to it", cluster.namespace()));
    }
    let account = account(inputs, &keys(live), &mut problems);
    let changed: Vec<&str> =
        inputs.generate.keys().map(String::as_str).chain(copied.iter().map(|one| one.0.as_str())).collect();
    problems.extend(new::follows(live, &changed, account.as_deref()).err());
    problems.extend(cluster.may(&rights(&readers)).await?.iter().map(ToString::to_string));
    if !problems.is_empty() {
        return Err(job::refused("the secret cannot be rotated", problems).into());
    }
    let readers = readers.iter().map(|one| one.id()).collect();
    let live = (live.id(), live.uid().to_owned());
    Ok(RotatePlan { inputs: inputs.clone(), live, copied, readers, names, account, keep_old, job })
}

/// The Secret that is in force: of an earlier rotation, else the one that workloads read under its name or one by content.
/// One that a rotation has not come to the end with is none.
fn in_force<'s>(
    base: &str,
    secrets: &'s [Object],
    live: &Live,
    scheduled: &[Object],
) -> Result<Option<&'s Object>, String> {
    let find = |name: &str| secrets.iter().find(|secret| secret.name() == name);
    if let Some(name) = current(secrets).get(base) {
        return Ok(find(name));
    }
    let others = |secret: &&Object| !secret.labels().contains_key(ROTATES);
    let names = secrets.iter().filter(others).map(Object::name);
    let names: Vec<&str> = names.filter(|name| *name == base || named_by_content(name, base)).collect();
    Ok(live.in_use("Secret", base, &names, scheduled)?.and_then(find))
}

/// All names that stand for it: its own, by content, and of rotations, ended or not.
fn names(base: &str, secrets: &[Object], readers: &[&Object]) -> Vec<String> {
    let is_read =
        |name: &str| readers.iter().any(|one| references(one).iter().any(|(kind, to)| kind == "Secret" && to == name));
    let of = |secret: &&Object| {
        let rotated = secret.labels().get(ROTATES).is_some_and(|of| of == base);
        let name = secret.name();
        name == base || rotated || (named_by_content(name, base) && is_read(name))
    };
    secrets.iter().filter(of).map(|secret| secret.name().to_owned()).collect()
}

/// How long the old values stay: as the step says, else as long as a release's way back is open.
fn kept(inputs: &RotateInputs, window: Option<Period>, problems: &mut Vec<String>) -> Period {
    let keep = inputs.keep_old.or(window).unwrap_or(WINDOW);
    if keep >= inputs.every {
        let every = inputs.every;
        problems.push(format!("keep-old {keep} is not shorter than every {every}: three values would be in use"));
    }
    keep
}

/// Who makes it, if another than people and rotations does.
fn managed(base: &str, secret: &Object) -> Option<String> {
    let owners = secret.list("/metadata/ownerReferences").iter().filter_map(|owner| owner["kind"].as_str());
    let owner = owners.into_iter().next().map(str::to_owned);
    let labelled = secret.labels().contains_key("reconcile.external-secrets.io/managed");
    let by = owner.or_else(|| labelled.then(|| "ExternalSecret".to_owned()));
    if let Some(by) = by {
        return Some(format!("{base} is managed by {by}: rotate at the source"));
    }
    let unit = secret.labels().remove(UNIT)?;
    Some(format!("{base}: the manifests of {unit} hold it: rotate at the source"))
}

fn will_have(inputs: &RotateInputs, live: &Object, copied: &[(String, String, String)]) -> Vec<String> {
    let new = inputs.generate.keys().cloned().chain(copied.iter().map(|one| one.0.clone()));
    keys(live).into_iter().chain(new).collect()
}

/// Keys that a reader needs and the new Secret will not have.
fn lacking(readers: &[&Object], names: &[String], will_have: &[String], problems: &mut Vec<String>) {
    for need in readers
        .iter()
        .flat_map(|reader| needed(reader))
        .filter(|need| need.kind == "Secret" && names.contains(&need.name))
    {
        if let Some(key) = need.key.filter(|key| !will_have.contains(key)) {
            let name = need.by.rsplit_once('/').map_or(need.by.as_str(), |(_, name)| name);
            problems.push(format!("new Secret lacks key {key} that workload {name} reads"));
        }
    }
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

impl RotatePlan {
    /// In lines for people.
    pub fn summary(&self) -> Vec<String> {
        let inputs = &self.inputs;
        let changed: Vec<&str> =
            inputs.generate.keys().map(String::as_str).chain(self.copied.iter().map(|one| one.0.as_str())).collect();
        let mut lines =
            vec![format!("rotate {} of Secret {} (in force: {})", changed.join(", "), inputs.secret, self.live.0.name)];
        lines.extend(self.job.iter().map(|job| format!("made known by {} with {}", job.source, job.image())));
        lines.extend(self.readers.iter().map(|reader| format!("  {reader} reads it and is rolled")));
        lines.push(format!(
            "the old one stays for {}; nothing is done where it is younger than {}",
            self.keep_old, inputs.every
        ));
        lines
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_make_is_rotated_at_its_source() {
        let secret = |metadata: serde_json::Value| Object(json!({"kind": "Secret", "metadata": metadata}));
        let said = |metadata| managed("db", &secret(metadata));
        assert_eq!(said(json!({"name": "db"})), None);
        assert_eq!(said(json!({"name": "db-0123456789", "labels": {ROTATES: "db"}})), None);
        let sealed = json!({"name": "db", "ownerReferences": [{"kind": "SealedSecret"}]});
        assert_eq!(said(sealed).unwrap(), "db is managed by SealedSecret: rotate at the source");
        let rendered = json!({"name": "db-0123456789", "labels": {UNIT: "shop"}});
        assert_eq!(said(rendered).unwrap(), "db: the manifests of shop hold it: rotate at the source");
    }

    #[test]
    fn old_values_stay_as_long_as_a_way_back_is_open() {
        let read = |keep: &str| {
            let with = [
                ("secret", "db"),
                ("generate", "password"),
                ("accounts", "two"),
                ("job", "cronjob/m"),
                ("verify", "/"),
                ("keep-old", keep),
            ];
            let with = with.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            match crate::inputs::Action::read("tagline/rotate-secret@v1", &with) {
                Ok(crate::inputs::Action::RotateSecret(inputs)) => *inputs,
                other => panic!("{other:?}"),
            }
        };
        let kept = |keep, window: Option<u64>| {
            let mut problems = Vec::new();
            let kept = kept(&read(keep), window.map(|hours| Period::from_secs(hours * 3600)), &mut problems);
            (kept.to_string(), problems)
        };
        assert_eq!(kept("", None), ("24h".to_owned(), Vec::new()));
        assert_eq!(kept("", Some(48)), ("2d".to_owned(), Vec::new()));
        assert_eq!(kept("1h", Some(48)), ("1h".to_owned(), Vec::new()));
        let (_, problems) = kept("", Some(24 * 90));
        assert_eq!(problems, ["keep-old 90d is not shorter than every 90d: three values would be in use"]);
    }
}
