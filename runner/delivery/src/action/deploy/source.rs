//! Where a unit's objects come from: rendered manifests, or a live Deployment with another image.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use super::Survey;
use super::bystanders::Followers;
use crate::action::many;
use crate::check::smoke::templates;
use crate::cluster::{Cluster, Labels};
use crate::inputs::deploy::ConfigOwner;
use crate::inputs::{DeployInputs, ImageInput, Source, Strategy, WorkloadRef};
use crate::render::helm::Chart;
use crate::render::{Programs, Request, config, images, is_chart, render};
use crate::rotate;
use crate::strategy::settled;
use crate::unit::{Colour, PREVIEW, colour_of};
use crate::{DeliveryError, Failure, Object, Site};

/// What is delivered.
pub(super) struct Rendered {
    pub(super) objects: Vec<Object>,
    pub(super) jobs: Vec<Object>,
    pub(super) chart: Option<Chart>,
    pub(super) notes: Vec<String>,
}

/// The objects of a step, images by digest.
pub(super) async fn read(
    site: &Site,
    inputs: &DeployInputs,
    unit: &str,
    (survey, followers): (&Survey, &Followers),
    cluster: &Cluster,
) -> Result<Rendered, DeliveryError> {
    if let Source::SetImage { workload, container } = &inputs.source {
        return set_image(inputs, workload, container.as_deref(), survey, followers);
    }
    let version = cluster.version().await?;
    // As under `helm upgrade`: a chart asks what there is.
    let served = if is_chart(&site.tree, &inputs.source) { cluster.capabilities().await? } else { Vec::new() };
    let request = Request {
        site,
        unit,
        source: &inputs.source,
        helm: inputs.helm.as_ref(),
        images: &inputs.images,
        kube_version: Some(version.trim_start_matches('v')),
        api_versions: &served,
    };
    let rendered =
        render(&request, &Programs::of_engine()).await.map_err(|error| error.failure(inputs.source.input()))?;
    let (mut objects, mut notes) = (rendered.objects, rendered.notes);
    let jobs = objects.iter().filter(|object| object.kind() == "Job").map(|job| {
        format!("{} runs once and cannot be applied again: give it to tagline/migrate or smoke-jobs", job.id())
    });
    let jobs: Vec<String> = jobs.collect();
    if !jobs.is_empty() {
        return Err(many("the manifests hold Jobs", jobs.into_iter()).of_input(inputs.source.input()).into());
    }
    notes.extend(follow_rotations(&mut objects, cluster).await?);
    match inputs.config {
        ConfigOwner::Release => drop(config::name_by_content(&mut objects)),
        ConfigOwner::Shared => notes.extend(objects.iter().filter(|object| object.kind() == "Secret").map(|secret| {
            format!(
                "{} is changed in place: a way back does not bring its old values back; config: release does",
                secret.id()
            )
        })),
    }
    let jobs = templates(&inputs.smoke.jobs, site, &objects, &inputs.images, cluster).await?;
    let refused = |lines: Vec<String>| many("the Jobs of the smoke test cannot be run", lines.into_iter());
    let jobs = jobs.map_err(|lines| refused(lines).of_input("smoke-jobs"))?;
    Ok(Rendered { objects, jobs, chart: rendered.chart, notes })
}

/// Lets workloads refer to the Secret that stands for theirs since it was rotated: the manifests still say its first name,
/// which goes when the old values do.
async fn follow_rotations(objects: &mut [Object], cluster: &Cluster) -> Result<Vec<String>, DeliveryError> {
    let made: BTreeSet<String> =
        objects.iter().filter(|one| one.kind() == "Secret").map(|one| one.name().to_owned()).collect();
    let references = objects.iter().flat_map(config::references);
    let outside = references.into_iter().any(|(kind, name)| kind == "Secret" && !made.contains(&name));
    if !outside {
        return Ok(Vec::new());
    }
    let stands_for = rotate::current(&cluster.list("v1", "Secret", &Labels::new()).await?);
    let mut notes = BTreeSet::new();
    for object in objects {
        config::rewrite(object, |kind, name| {
            // What the manifests hold is what they say, whatever stood for it before they did.
            let now = stands_for.get(name).filter(|_| kind == "Secret" && !made.contains(name))?;
            notes.insert(format!("Secret/{name} was rotated: the release uses Secret/{now}"));
            Some(now.clone())
        });
    }
    Ok(notes.into_iter().collect())
}

/// The live Deployment, the Services that select it and what follows it, with one container's image set.
fn set_image(
    inputs: &DeployInputs,
    workload: &WorkloadRef,
    container: Option<&str>,
    survey: &Survey,
    followers: &Followers,
) -> Result<Rendered, DeliveryError> {
    let [ImageInput { image, .. }] = inputs.images.as_slice() else {
        return Err(Failure::new("deployment sets one image", "images gives none or several")
            .of_input("images")
            .into());
    };
    let live = live_deployment(inputs, workload, survey)?;
    let mut deployment = plain(live);
    if matches!(inputs.strategy, Strategy::BlueGreen(_)) {
        let base = colour_of(deployment.name()).0.to_owned();
        deployment.set("/metadata/name", base.into());
    }
    images::set_container(&mut deployment, container, image)
        .map_err(|why| many("the image cannot be set", iter::once(why)).of_input("container"))?;
    let tagged = images::without_digest(&deployment);
    if !tagged.is_empty() {
        return Err(many("its other containers may be other images tomorrow", tagged.into_iter()).into());
    }
    let behind = survey.services.values().filter(|service| survey.routes(service, live));
    let behind = behind.filter(|service| !service.labels().contains_key(PREVIEW)).map(plain);
    let base = deployment.name().to_owned();
    let follow = followers.of(live).map(|follower| {
        let mut follower = plain(follower);
        if follower.0.pointer("/spec/scaleTargetRef").is_some() {
            follower.set("/spec/scaleTargetRef/name", base.clone().into());
        }
        follower
    });
    let objects = behind.chain(follow).chain([deployment]).collect();
    Ok(Rendered { objects, jobs: Vec::new(), chart: None, notes: Vec::new() })
}

/// The Deployment that is named, or the live one of its two colours.
fn live_deployment<'a>(
    inputs: &DeployInputs,
    workload: &WorkloadRef,
    survey: &'a Survey,
) -> Result<&'a Object, DeliveryError> {
    let base = colour_of(&workload.name).0;
    let live = |object: &&&Object| survey.services.values().any(|service| survey.routes(service, object));
    let pair = [Colour::Blue, Colour::Green].map(|colour| survey.deployments.get(&format!("{base}-{colour}")));
    let pair: Vec<&Object> = pair.into_iter().flatten().collect();
    let by_colour = matches!(inputs.strategy, Strategy::BlueGreen(_)).then(|| pair.iter().find(live)).flatten();
    let found = by_colour.copied().or_else(|| survey.deployments.get(&workload.name));
    found.ok_or_else(|| {
        let names: Vec<&str> = survey.deployments.keys().map(String::as_str).collect();
        let guess = crate::inputs::did_you_mean(&workload.name, names.iter().copied());
        let (name, known) = (&workload.name, names.join(", "));
        let why = format!("Deployment/{name} does not exist; the namespace has: {known}{guess}");
        many("its image cannot be set", iter::once(why)).of_input("deployment").into()
    })
}

/// An object of the cluster as a manifest: without what one release or colour put into it.
fn plain(live: &Object) -> Object {
    let mut object = settled(live);
    object.remove("/spec/replicas");
    object.remove("/spec/ports/0/nodePort");
    let maps = [
        "/metadata/labels",
        "/metadata/annotations",
        "/spec/selector",
        "/spec/selector/matchLabels",
        "/spec/template/metadata/labels",
        "/spec/template/metadata/annotations",
    ];
    for pointer in maps {
        let of_release = |key: &str, value: &str| {
            key.starts_with("tagline.dev/") || key == "pod-template-hash" || matches!(value, "blue" | "green")
        };
        let texts: BTreeMap<String, String> = object.texts(pointer);
        for (key, _) in texts.iter().filter(|(key, value)| of_release(key, value)) {
            object.remove(&format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")));
        }
    }
    object
}
