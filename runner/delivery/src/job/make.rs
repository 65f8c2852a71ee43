//! A Job of ours from somebody's template. Pure but for reading the template.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::source;
use super::written::{reached, settle};
use crate::cluster::{Cluster, ClusterError, Labels};
use crate::inputs::did_you_mean;
use crate::inputs::migrate::JobKnobs;
use crate::render::images;
use crate::{ImageRef, Object, Site};

/// A Job of ours as planned: everything but its name and what a single run of it adds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobPlan {
    /// `cronjob/migrations`
    pub source: String,
    /// The container that arguments and variables are for.
    pub container: String,
    /// The Job; its name is what the names of its runs begin with.
    pub object: Object,
}

/// What a step asks of a Job beyond its knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Which image runs where the step gives none.
    pub image: Image,
    /// A CronJob it is made from must be suspended: it would run by itself otherwise.
    pub suspended: bool,
    /// The Job's own deadline.
    pub timeout: Duration,
    /// How long the ended Job stays.
    pub keep: Duration,
}

/// The image where the step gives none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Image {
    /// The release's: what this run has built.
    Release,
    /// The release's, or, where the run built nothing, the template's own digest.
    ReleaseOrOwn,
    /// The template's own digest, else the one that is given, else as [`Self::ReleaseOrOwn`].
    OwnOrGiven,
}

impl JobPlan {
    /// Reads the template and makes the Job; what is wrong is added to `problems`, and there is no Job then.
    ///
    /// # Errors
    /// Those of reaching the cluster.
    pub async fn make(
        site: &Site,
        cluster: &Cluster,
        knobs: &JobKnobs,
        asked: Asked,
        problems: &mut Vec<String>,
    ) -> Result<Option<Self>, ClusterError> {
        let Some(from) = &knobs.source else { return Ok(None) };
        let template = match source::read(cluster, &site.tree, from).await? {
            Ok(template) => template,
            Err(problem) => {
                problems.push(problem);
                return Ok(None);
            }
        };
        let before = problems.len();
        if asked.suspended && is_live_cron_job(&template) {
            problems.push(format!(
                "cronjob \"{}\" is not suspended: it would run by itself; spec.suspend: true",
                template.name()
            ));
        }
        match shape(&template, &from.to_string(), knobs, site, asked) {
            Ok(plan) => {
                let pods = plan.object.pod_labels();
                let services = cluster.list("v1", "Service", &Labels::new()).await?;
                problems.extend(reached(&services, &pods, &from.to_string()));
                Ok((problems.len() == before).then_some(plan))
            }
            Err(found) => {
                problems.extend(found);
                Ok(None)
            }
        }
    }

    /// The image that runs.
    pub fn image(&self) -> String {
        let all = images::used(&self.object);
        all.into_iter().find(|(name, _)| *name == self.container).map(|(_, image)| image).unwrap_or_default()
    }

    /// Its arguments, and those of its command.
    pub fn words(&self) -> Vec<String> {
        let Some(container) = self.find() else { return Vec::new() };
        let list = |key: &str| container[key].as_array().cloned().unwrap_or_default();
        let all = list("command").into_iter().chain(list("args"));
        all.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    }

    fn find(&self) -> Option<&Value> {
        let containers = self.object.list("/spec/template/spec/containers");
        containers.iter().find(|one| one["name"] == self.container.as_str())
    }

    fn find_mut(&mut self) -> Option<&mut Value> {
        let containers = self.object.0.pointer_mut("/spec/template/spec/containers")?.as_array_mut()?;
        containers.iter_mut().find(|one| one["name"] == self.container.as_str())
    }

    /// With another word than what its template says for each reference to a Secret or ConfigMap.
    #[must_use]
    pub fn referring(mut self, to: impl FnMut(&str, &str) -> Option<String>) -> Self {
        crate::render::config::rewrite(&mut self.object, to);
        self
    }

    /// With these arguments instead of the template's; none leaves them.
    #[must_use]
    pub fn with_args(mut self, args: &[String]) -> Self {
        if let Some(container) = self.find_mut().filter(|_| !args.is_empty()) {
            container["args"] = json!(args);
        }
        self
    }

    /// With `{name}` in its command and arguments replaced.
    #[must_use]
    pub fn filled(mut self, name: &str, value: &str) -> Self {
        let pattern = format!("{{{name}}}");
        let value = literal(value);
        let lists = self.find_mut().into_iter().flat_map(|container| container.as_object_mut().into_iter().flatten());
        for (_, list) in lists.filter(|(key, _)| matches!(key.as_str(), "command" | "args")) {
            for word in list.as_array_mut().into_iter().flatten() {
                if let Some(text) = word.as_str().filter(|text| text.contains(&pattern)) {
                    *word = text.replace(&pattern, &value).into();
                }
            }
        }
        self
    }

    /// With a variable; one of the same name is replaced.
    #[must_use]
    pub fn with_env(self, name: &str, value: &str) -> Self {
        self.with_variable(json!({"name": name, "value": literal(value)}))
    }

    /// With a variable from a Secret's key.
    #[must_use]
    pub fn with_secret(self, name: &str, secret: &str, key: &str) -> Self {
        self.with_variable(json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}))
    }

    fn with_variable(mut self, variable: Value) -> Self {
        if let Some(container) = self.find_mut() {
            let mut all = container["env"].as_array().cloned().unwrap_or_default();
            all.retain(|each| each["name"] != variable["name"]);
            // First: variables of the template may refer to it as $(NAME).
            all.insert(0, variable);
            container["env"] = all.into();
        }
        self
    }
}

fn is_live_cron_job(template: &Object) -> bool {
    template.kind() == "CronJob" && template.0.pointer("/spec/suspend") != Some(&Value::Bool(true))
}

/// The Job of a template. All that is wrong at once.
fn shape(template: &Object, source: &str, knobs: &JobKnobs, site: &Site, asked: Asked) -> Result<JobPlan, Vec<String>> {
    let spec = if template.kind() == "CronJob" { "/spec/jobTemplate/spec" } else { "/spec" };
    let pods = template.0.pointer(&format!("{spec}/template")).cloned().unwrap_or(Value::Null);
    let mut object = Object(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": template.name(), "namespace": site.target.namespace},
        "spec": {
            "backoffLimit": 0, "completions": 1, "parallelism": 1,
            "activeDeadlineSeconds": asked.timeout.as_secs().max(1),
            "ttlSecondsAfterFinished": asked.keep.as_secs(),
            "template": pods,
        },
    }));
    settle(&mut object);
    let containers = object.list("/spec/template/spec/containers");
    let names: Vec<String> = containers.iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
    let container = container(&names, knobs.container.as_deref(), source).map_err(|problem| vec![problem])?;
    let mut plan = JobPlan { source: source.to_owned(), container, object };
    let image = image(&plan.image(), knobs.image.as_ref(), &site.built, asked.image)
        .map_err(|why| vec![format!("container {} of {source}: {why}", plan.container)])?;
    if let Some(container) = plan.find_mut() {
        container["image"] = image.to_string().into();
    }
    let others = images::used(&plan.object);
    let tags: Vec<String> = others
        .iter()
        .filter(|(_, image)| !image.contains("@sha256:"))
        .map(|(name, image)| {
            format!("container {name} of {source}: {image} is no digest; write it as REPOSITORY@sha256:…")
        })
        .collect();
    if !tags.is_empty() {
        return Err(tags);
    }
    plan = plan.with_args(&knobs.args);
    for (name, value) in &knobs.env {
        plan = plan.with_env(name, value);
    }
    Ok(plan)
}

fn container(names: &[String], wanted: Option<&str>, source: &str) -> Result<String, String> {
    let list = names.join(", ");
    match (wanted, names) {
        (_, []) => Err(format!("{source} has no containers")),
        (Some(wanted), _) if names.iter().any(|name| name == wanted) => Ok(wanted.to_owned()),
        (Some(wanted), _) => {
            let guess = did_you_mean(wanted, names.iter().map(String::as_str));
            Err(format!("container \"{wanted}\" not in {source}; it has: {list}{guess}"))
        }
        (None, [one]) => Ok(one.clone()),
        (None, _) => Err(format!("{source} has several containers; give container: {list}")),
    }
}

/// The image by digest.
fn image(own: &str, given: Option<&ImageRef>, built: &[String], which: Image) -> Result<ImageRef, String> {
    let by_digest = own.rsplit_once('@').filter(|(_, digest)| digest.starts_with("sha256:"));
    let of = |digest: &str| ImageRef { repository: images::name(own).to_owned(), digest: digest.to_owned() };
    match (given, by_digest) {
        (_, Some((_, digest))) if which == Image::OwnOrGiven => return Ok(of(digest)),
        (Some(given), _) => return Ok(given.clone()),
        (None, _) => {}
    }
    match (built, by_digest, which) {
        (_, Some((_, digest)), _) if built.iter().any(|one| one == digest) => Ok(of(digest)),
        ([one], ..) => Ok(of(one)),
        ([], Some((_, digest)), Image::ReleaseOrOwn | Image::OwnOrGiven) => Ok(of(digest)),
        ([], None, Image::ReleaseOrOwn | Image::OwnOrGiven) => {
            Err(format!("{own} is no digest; give image: REPOSITORY@sha256:…"))
        }
        ([], _, Image::Release) => {
            Err("this run has built no image, and image is not given; REPOSITORY@sha256:…".to_owned())
        }
        (several, ..) => Err(format!("this run has built {} images; give image: REPOSITORY@sha256:…", several.len())),
    }
}

/// The kubelet reads `$(NAME)` and `$$` in arguments and variables; what we say is meant as it stands.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Variables that every Job of ours gets.
pub(super) fn told(site: &Site) -> BTreeMap<&'static str, String> {
    BTreeMap::from([("TAGLINE_VERSION", site.version.clone()), ("TAGLINE_ENVIRONMENT", site.environment.clone())])
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "r:5000/shop@sha256:aa";

    #[test]
    fn the_image_is_the_releases() {
        let built = |digests: &[&str]| digests.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let said = |image: Result<ImageRef, String>| image.map(|image| image.to_string());
        assert_eq!(said(image(OWN, None, &built(&["sha256:bb"]), Image::Release)).unwrap(), "r:5000/shop@sha256:bb");
        assert_eq!(said(image(OWN, None, &built(&["sha256:aa", "sha256:bb"]), Image::Release)).unwrap(), OWN);
        assert_eq!(said(image(OWN, None, &[], Image::ReleaseOrOwn)).unwrap(), OWN);
        let given = ImageRef { repository: "r/shop".to_owned(), digest: "sha256:cc".to_owned() };
        assert_eq!(
            said(image("shop", Some(&given), &built(&["a", "b"]), Image::OwnOrGiven)).unwrap(),
            given.to_string()
        );
        assert_eq!(said(image(OWN, Some(&given), &[], Image::OwnOrGiven)).unwrap(), OWN);
        assert_eq!(said(image(OWN, Some(&given), &[], Image::ReleaseOrOwn)).unwrap(), given.to_string());
        assert!(image(OWN, None, &[], Image::Release).unwrap_err().contains("built no image"));
        assert!(image("shop:1", None, &[], Image::ReleaseOrOwn).unwrap_err().contains("is no digest"));
        assert!(image("shop:1", None, &built(&["a", "b"]), Image::Release).unwrap_err().contains("built 2 images"));
    }

    #[test]
    fn the_container_is_found_by_name_or_is_the_only_one() {
        let names = ["migrate".to_owned(), "proxy".to_owned()];
        assert_eq!(container(&names[..1], None, "cronjob/m").unwrap(), "migrate");
        assert_eq!(
            container(&names, None, "cronjob/m").unwrap_err(),
            "cronjob/m has several containers; give container: migrate, proxy"
        );
        assert_eq!(
            container(&names, Some("migrat"), "cronjob/m").unwrap_err(),
            "container \"migrat\" not in cronjob/m; it has: migrate, proxy; did you mean migrate?"
        );
    }

    #[test]
    fn variables_replace_their_namesakes_and_places_are_filled() {
        let object = Object(json!({"kind": "Job", "spec": {"template": {"spec": {"containers": [
            {"name": "c", "args": ["down", "--to={to}"], "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]}}}}));
        let plan = JobPlan { source: String::new(), container: "c".to_owned(), object };
        let plan = plan.with_env("A", "9").filled("to", "7");
        assert_eq!(plan.words(), ["down", "--to=7"]);
        assert_eq!(
            plan.object.list("/spec/template/spec/containers")[0]["env"],
            json!([{"name": "A", "value": "9"}, {"name": "B", "value": "2"}])
        );
    }
}
