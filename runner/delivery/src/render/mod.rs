//! From the tagged commit's files to the objects of a unit.
//!
//! [`render`] is a function of files, inputs and names alone: no cluster is asked, nothing is fetched, the tree is not written to. Invariants:
//! - **Every image is a digest that the run built or the step gives**; an image input that replaces nothing is an error.
//! - The same files give the same objects in the same order; a chart that renders differently each time is refused.
//! - Objects are as a person would apply them: server-set fields dropped, in the target's namespace, in an order in which
//!   what is needed comes before what needs it.
//!
//! Naming ConfigMaps and Secrets by content is a step of its own ([`config::name_by_content`]): the strategy decides.

pub mod config;
mod documents;
mod error;
mod files;
pub mod helm;
pub mod images;
mod kustomize;
pub mod normalise;
pub mod order;
mod program;
mod scratch;

use std::path::Path;

pub use error::RenderError;
pub(crate) use helm::values_file;
pub use program::Programs;

use crate::inputs::source::{HelmSource, Render};
use crate::inputs::{ImageInput, Source, did_you_mean};
use crate::{Object, Site};
use documents::Document;
use scratch::Scratch;

/// What is rendered, and for where.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The commit's tree, target namespace and digests that the run built.
    pub site: &'a Site,
    /// The unit's name: a chart's release is named after it.
    pub unit: &'a str,
    /// Where objects come from.
    pub source: &'a Source,
    /// Helm's settings, where the source is or may be a chart.
    pub helm: Option<&'a HelmSource>,
    /// Digests by image name.
    pub images: &'a [ImageInput],
    /// The cluster's version, `1.34.4`, and what it serves (`apps/v1`, `monitoring.coreos.com/v1/ServiceMonitor`): charts ask.
    pub kube_version: Option<&'a str>,
    /// See `kube_version`.
    pub api_versions: &'a [String],
}

/// A unit's objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// In the order in which they are applied.
    pub objects: Vec<Object>,
    /// What a chart's record needs, where the source is one.
    pub chart: Option<helm::Chart>,
    /// What was left out or changed, for people.
    pub notes: Vec<String>,
}

/// Renders a unit. [`Source::SetImage`] has no manifests: it renders to nothing, and [`images::set_container`] is what it needs.
///
/// # Errors
/// Why it cannot be rendered; all objects that cannot be delivered are named at once.
pub async fn render(request: &Request<'_>, programs: &Programs) -> Result<Rendered, RenderError> {
    let (path, render) = match request.source {
        Source::SetImage { .. } => return Ok(Rendered { objects: Vec::new(), chart: None, notes: Vec::new() }),
        Source::Manifests { path, render } => (path.as_str(), *render),
        Source::Helm(source) => (source.chart.as_str(), Render::Helm),
    };
    let render = what_renders(&request.site.tree, path, render)?;
    let mut notes = Vec::new();
    let (documents, chart) = match render {
        Render::Files | Render::Auto => (files::read(&request.site.tree, path)?, None),
        Render::Kustomize => (kustomize::build(&copy(request).await?, path, programs).await?, None),
        Render::Helm => {
            let (documents, chart) = helm::template(&copy(request).await?, path, request, programs).await?;
            (helm::without_hooks(documents, &mut notes)?, Some(chart))
        }
    };
    if documents.is_empty() {
        return Err(RenderError::Empty(path.to_owned()));
    }
    let objects = finish(documents, request, &mut notes)?;
    Ok(Rendered { objects, chart, notes })
}

/// Images, namespace, order: what is the same whatever the source.
fn finish(
    documents: Vec<Document>,
    request: &Request<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Object>, RenderError> {
    let mut problems = twice(&documents);
    let mut objects: Vec<Object> = documents.into_iter().map(|document| document.object).collect();
    let mut of_images = images::replace(&mut objects, request.images);
    of_images.extend(images::check(&objects, request.images, &request.site.built));
    problems.extend(normalise::normalise(&mut objects, &request.site.target.namespace, notes));
    if problems.is_empty() && !of_images.is_empty() {
        return Err(RenderError::Images(of_images));
    }
    if !problems.is_empty() {
        problems.extend(of_images);
        problems.dedup();
        return Err(RenderError::Objects(problems));
    }
    order::sort(&mut objects);
    Ok(objects)
}

/// Two documents for one object: which of them counts is nobody's to guess.
fn twice(documents: &[Document]) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, document) in documents.iter().enumerate() {
        let id = document.object.id();
        if let Some(other) = documents[..number].iter().find(|other| other.object.id() == id) {
            problems.push(format!("{id} is written twice: {} and {}", other.place, document.place));
        }
    }
    problems
}

async fn copy(request: &Request<'_>) -> Result<Scratch, RenderError> {
    let tree = request.site.tree.clone();
    let failed = |error: tokio::task::JoinError| RenderError::File { path: tree.clone(), message: error.to_string() };
    let from = tree.clone();
    tokio::task::spawn_blocking(move || Scratch::of(&from)).await.map_err(failed)?
}

/// Whether a step's objects come from a Helm chart.
pub fn is_chart(tree: &Path, source: &Source) -> bool {
    match source {
        Source::Manifests { path, render } => what_renders(tree, path, *render).is_ok_and(|by| by == Render::Helm),
        Source::Helm(_) => true,
        Source::SetImage { .. } => false,
    }
}

/// By what lies there.
fn what_renders(tree: &Path, path: &str, asked: Render) -> Result<Render, RenderError> {
    let place = tree.join(path);
    let has = |names: &[&str]| names.iter().any(|name| place.join(name).is_file());
    let found = if has(&["kustomization.yaml", "kustomization.yml", "Kustomization"]) {
        Some(Render::Kustomize)
    } else if has(&["Chart.yaml"]) {
        Some(Render::Helm)
    } else if place.is_file() || files::names(&place).is_ok_and(|names| !names.is_empty()) {
        Some(Render::Files)
    } else {
        None
    };
    match (asked, found) {
        (Render::Auto, Some(found)) => Ok(found),
        (Render::Files, Some(_)) => Ok(asked),
        (Render::Kustomize | Render::Helm, Some(found)) if asked == found => Ok(asked),
        _ => Err(not_found(tree, path)),
    }
}

fn not_found(tree: &Path, path: &str) -> RenderError {
    let names_of = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name != ".git");
        names.sort();
        names
    };
    let place = tree.join(path);
    // The nearest folder that is there: what is in it says what was meant.
    let mut near = place.as_path();
    while !near.is_dir() && near != tree {
        near = near.parent().unwrap_or(tree);
    }
    let names = names_of(near);
    let wanted = place.strip_prefix(near).ok().and_then(|rest| rest.iter().next());
    let guess = wanted
        .map_or_else(String::new, |wanted| did_you_mean(&wanted.to_string_lossy(), names.iter().map(String::as_str)));
    let found = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
    RenderError::NotFound { path: path.to_owned(), found, guess }
}
