//! `helm template`.

use std::ffi::OsStr;
use std::fs;

use super::Chart;
use super::chart::set_values;
use crate::inputs::source::HelmSource;
use crate::render::documents::{Document, read};
use crate::render::program::Program;
use crate::render::scratch::Scratch;
use crate::render::{Programs, RenderError, Request};

const HELM: Program =
    Program { name: "helm", says: "helm template", wanted: "Helm 3", from: "https://helm.sh/docs/intro/install/" };

/// Renders a chart twice: templates may ask for random values and the time, and an approval binds what it has seen.
pub(in crate::render) async fn template(
    scratch: &Scratch,
    path: &str,
    request: &Request<'_>,
    programs: &Programs,
) -> Result<(Vec<Document>, Chart), RenderError> {
    let none =
        HelmSource { chart: path.to_owned(), release_name: None, values: Vec::new(), set: Vec::new(), history: 10 };
    let source = request.helm.unwrap_or(&none);
    let release = source.release_name.as_deref().unwrap_or(request.unit);
    let mut chart = Chart::read(&scratch.tree(), path, release, source)?;
    let set = scratch.home().join("set.json");
    let texts = set_values(&source.set)?.to_string();
    fs::write(&set, texts).map_err(|error| RenderError::File { path: set.clone(), message: error.to_string() })?;
    let target = format!("./{path}");
    let mut arguments: Vec<&OsStr> = Vec::new();
    let namespace = request.site.target.namespace.as_str();
    arguments.extend(["template", release, &target, "--include-crds", "--namespace", namespace].map(OsStr::new));
    for file in &source.values {
        arguments.extend(["--values", file].map(OsStr::new));
    }
    arguments.extend([OsStr::new("--values"), set.as_os_str()]);
    if let Some(version) = request.kube_version {
        arguments.extend(["--kube-version", version].map(OsStr::new));
    }
    for version in request.api_versions {
        arguments.extend(["--api-versions", version].map(OsStr::new));
    }
    let (tree, home) = (scratch.tree(), scratch.home());
    let first = programs.run(HELM, &arguments, &tree, &home, path).await?;
    let second = programs.run(HELM, &arguments, &tree, &home, path).await?;
    chart.manifest = String::from_utf8_lossy(&first).into_owned();
    let name = format!("helm template {path}");
    let documents = read(&name, &chart.manifest)?;
    if first != second {
        let again = read(&name, &String::from_utf8_lossy(&second))?;
        let differs = documents.iter().zip(&again).find(|(one, other)| one.object != other.object);
        let object = differs.map_or_else(|| "its objects".to_owned(), |(one, _)| one.object.id().to_string());
        return Err(RenderError::Unstable { path: path.to_owned(), object });
    }
    Ok((documents, chart))
}

/// Drops the tests of a chart, with a note. Every other hook is refused: it would be run in the middle of things by Helm, and is not
/// by us.
pub(in crate::render) fn without_hooks(
    documents: Vec<Document>,
    notes: &mut Vec<String>,
) -> Result<Vec<Document>, RenderError> {
    let mut problems = Vec::new();
    let mut kept = Vec::new();
    for document in documents {
        let id = document.object.id();
        match document.object.annotations().get("helm.sh/hook") {
            None => kept.push(document),
            Some(hook) if hook.split(',').all(|one| one.trim().starts_with("test")) => {
                notes.push(format!("{id} is a test of the chart and is left out; name it in smoke-jobs to run it"));
            }
            Some(hook) => problems.push(format!(
                "{id} is a Helm hook ({hook}), and hooks are not run; make it a step of its own (tagline/migrate, \
                 smoke-jobs) or remove helm.sh/hook"
            )),
        }
    }
    if problems.is_empty() { Ok(kept) } else { Err(RenderError::Objects(problems)) }
}
