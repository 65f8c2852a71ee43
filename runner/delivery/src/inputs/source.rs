//! Where a unit's objects come from, and its images.

use serde::{Deserialize, Serialize};

use super::reader::Reader;
use super::units::{dns_label, dns_subdomain, relative_path};
use super::{WorkloadRef, did_you_mean};
use crate::ImageRef;

/// Where objects come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `manifests`: a file or folder of the repository, rendered by what `render` says.
    Manifests {
        /// From the repository's root.
        path: String,
        /// By what.
        render: Render,
    },
    /// `chart`: a Helm chart.
    Helm(HelmSource),
    /// `deployment` and `container`: no manifests; the live Deployment as it is, with another image.
    SetImage {
        /// The workload, in the cluster.
        workload: WorkloadRef,
        /// The container whose image is set; the only one where it is not given.
        container: Option<String>,
    },
}

/// What renders `manifests`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Render {
    /// By what lies there: `kustomization.yaml`, `Chart.yaml`, else YAML files.
    Auto,
    /// `kustomize build`
    Kustomize,
    /// `helm template`
    Helm,
    /// Every `*.yaml`, `*.yml` and `*.json` of the folder, in the order of their names.
    Files,
}

/// What a chart is rendered with. Used with `render: auto` and `helm` too, where `manifests` is a chart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelmSource {
    /// The chart's folder in the repository.
    pub chart: String,
    /// The release's name; the unit's where it is not given.
    pub release_name: Option<String>,
    /// Values files of the repository, later ones win.
    pub values: Vec<String>,
    /// `KEY=VALUE`, always texts.
    pub set: Vec<(String, String)>,
    /// How many revisions Helm's record keeps; 0 means all.
    pub history: u32,
}

/// `NAME=REPOSITORY@sha256:…`: the image that manifests call NAME.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInput {
    /// The image's name in the manifests, without tag and digest.
    pub name: String,
    /// What it becomes.
    pub image: ImageRef,
}

impl ImageInput {
    /// Reads a line; without `NAME=` the image's own repository is the name.
    ///
    /// ```
    /// # use tagline_delivery::inputs::ImageInput;
    /// let digest = "a".repeat(64);
    /// let image = ImageInput::parse(&format!("shop=r.example:5000/acme/shop@sha256:{digest}")).unwrap();
    /// assert_eq!((image.name.as_str(), image.image.repository.as_str()), ("shop", "r.example:5000/acme/shop"));
    /// assert_eq!(
    ///     ImageInput::parse("shop=acme/shop:v1.2.3").unwrap_err(),
    ///     "acme/shop:v1.2.3 is a tag; give the digest: shop=acme/shop@sha256:…"
    /// );
    /// assert_eq!(ImageInput::parse("shop=").unwrap_err(), "image \"shop\" is empty; give shop=REPOSITORY@sha256:…");
    /// ```
    pub fn parse(line: &str) -> Result<Self, String> {
        let (name, reference) = match line.split_once('=') {
            Some((name, reference)) => (Some(name.trim()), reference.trim()),
            None => (None, line),
        };
        if reference.is_empty() {
            let name = name.unwrap_or_default();
            return Err(format!("image \"{name}\" is empty; give {name}=REPOSITORY@sha256:…"));
        }
        let image = image(reference).map_err(|error| match (name, error.contains("give the digest")) {
            (Some(name), true) => error.replace("give the digest: ", &format!("give the digest: {name}=")),
            _ => error,
        })?;
        let name = name.map_or_else(|| image.repository.clone(), str::to_owned);
        if name.is_empty() || name.contains(['@', ' ']) {
            return Err(format!("\"{name}\" is not an image's name in the manifests"));
        }
        Ok(Self { name, image })
    }
}

/// `REPOSITORY@sha256:…`, or what is wrong with it.
pub(super) fn image(reference: &str) -> Result<ImageRef, String> {
    let Some((repository, digest)) = reference.rsplit_once('@') else {
        let name = reference.rsplit('/').next().unwrap_or(reference);
        let repository = match reference.rsplit_once(':') {
            Some((repository, _)) if name.contains(':') => repository,
            _ => reference,
        };
        let what = if name.ends_with(':') {
            "has an empty tag"
        } else if name.contains(':') {
            "is a tag"
        } else {
            "has no digest"
        };
        return Err(format!("{reference} {what}; give the digest: {repository}@sha256:…"));
    };
    let hex = digest.strip_prefix("sha256:").unwrap_or_default();
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        let what = if hex.is_empty() { "is empty" } else { "is not sha256: and 64 hex digits" };
        return Err(format!("{reference}: the digest {what}"));
    }
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/:".contains(&byte);
    if repository.is_empty() || name.is_empty() || !repository.bytes().all(plain) {
        return Err(format!("{reference}: \"{repository}\" is not a repository"));
    }
    // `name:tag@digest`: the digest is what counts.
    let repository =
        name.split_once(':').map_or(repository, |(_, tag)| &repository[..repository.len() - tag.len() - 1]);
    Ok(ImageRef { repository: repository.to_owned(), digest: digest.to_owned() })
}

const RENDERS: [(&str, Render); 4] =
    [("auto", Render::Auto), ("kustomize", Render::Kustomize), ("helm", Render::Helm), ("files", Render::Files)];

impl Source {
    /// The input that names it.
    pub fn input(&self) -> &'static str {
        match self {
            Self::Manifests { .. } => "manifests",
            Self::Helm(_) => "chart",
            Self::SetImage { .. } => "deployment",
        }
    }

    /// The one source that a step gives, and the Helm settings where the source may be a chart.
    pub(super) fn read(reader: &mut Reader<'_>) -> (Self, Option<HelmSource>) {
        let given: Vec<&'static str> =
            ["manifests", "chart", "deployment"].into_iter().filter(|key| reader.is_given(key)).collect();
        match given.as_slice() {
            [] => reader.problem("manifests", "nothing to deliver; give manifests, chart or deployment"),
            [_] => {}
            [first, others @ ..] => {
                reader.problem(
                    first,
                    format!("given together with {}; one of manifests, chart, deployment", others.join(" and ")),
                );
            }
        }
        let render = reader.choice("render", "a way to render", &RENDERS);
        let path = reader.read("manifests", relative_path);
        let chart = reader.read("chart", relative_path);
        let helm = HelmSource {
            chart: chart.or_else(|| path.clone()).unwrap_or_default(),
            release_name: reader.read("release-name", release_name),
            values: reader.words("values", relative_path),
            set: reader.pairs("set"),
            history: reader.count("history", 0).unwrap_or_default(),
        };
        let may_be_chart = match given.first() {
            Some(&"chart") => true,
            Some(&"manifests") => matches!(render, Render::Auto | Render::Helm),
            _ => false,
        };
        for key in ["release-name", "values", "set"] {
            if reader.is_given(key) && !may_be_chart && reader.are_settled(&["render"]) {
                reader.problem(key, "belongs to a Helm chart; give chart");
            }
        }
        if reader.is_given("chart") && !matches!(render, Render::Auto | Render::Helm) {
            reader.problem("render", "a chart is rendered by helm; helm, auto");
        }
        let deployment = reader.read("deployment", WorkloadRef::parse);
        let container = reader.read("container", dns_label);
        if container.is_some() && given.first() != Some(&"deployment") {
            reader.problem("container", "belongs to deployment; images are set by name in manifests");
        }
        let source = match (given.first(), deployment) {
            (Some(&"chart"), _) => Self::Helm(helm.clone()),
            (Some(&"deployment"), Some(workload)) => Self::SetImage { workload, container },
            _ => Self::Manifests { path: path.unwrap_or_default(), render },
        };
        (source, may_be_chart.then_some(helm))
    }
}

/// Helm's own limit is 53: names of its objects are made from it.
fn release_name(text: &str) -> Result<String, String> {
    let name = dns_subdomain(text)?;
    if name.len() <= 53 { Ok(name) } else { Err(format!("\"{text}\" is longer than the 53 characters Helm allows")) }
}

/// A name that two lines of `images` give is a problem.
pub(super) fn images(reader: &mut Reader<'_>) -> Vec<ImageInput> {
    let images = reader.lines("images", ImageInput::parse);
    for (number, image) in images.iter().enumerate() {
        if images[..number].iter().any(|other| other.name == image.name) {
            reader.problem("images", format!("image \"{}\" is given twice", image.name));
        }
    }
    images
}

/// `image "shop" replaced 0 containers; the manifests use: …`.
pub(crate) fn replaced_nothing(name: &str, used: &[String]) -> String {
    let list = if used.is_empty() { "no images".to_owned() } else { used.join(", ") };
    let guess = did_you_mean(name, used.iter().map(String::as_str));
    format!("image \"{name}\" replaced 0 containers; the manifests use: {list}{guess}")
}
