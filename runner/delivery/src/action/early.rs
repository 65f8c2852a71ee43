//! A step looked at before its run begins: what would stand against it, and what it would do, as far as that can be known by
//! then. Images that the run has yet to build are stand-ins.
//!
//! Invariants: it is the same plan that is made when the step is due, so that nothing is refused here that would not be
//! refused there; only what earlier jobs of the run may bring about is left out. Without a cluster the tagged files alone
//! are looked at.

use crate::cluster::Cluster;
use crate::inputs::{Action, DeployInputs, JobSource, Problem};
use crate::render::{Programs, RenderError, Request, is_chart, render, values_file};
use crate::{DeliveryError, Failure, ImageRef, Site, job, migrate};

use super::{DeployPlan, Kind, Past, When, plan_when};

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Foreseen {
    /// What it would do, in lines for people.
    pub summary: Vec<String>,
    /// What is wrong with what the step gives.
    pub inputs: Vec<Problem>,
    /// Why the cluster is in the way.
    pub refused: Option<Failure>,
}

/// Looks at a step. `cluster`: None where it cannot be reached.
pub async fn foresee(site: &Site, action: &Action, past: &[Past], cluster: Option<&Cluster>) -> Foreseen {
    let inputs = of_files(site, action);
    let Some(cluster) = cluster else {
        let rendered = match action {
            Action::Deploy(deploy) => rendered(site, deploy).await.err(),
            _ => None,
        };
        return Foreseen {
            inputs: inputs.into_iter().chain(rendered.iter().flat_map(problems)).collect(),
            ..Foreseen::default()
        };
    };
    // Back to what was there before the run would be back to something else when it is due; what is analysed is not there yet.
    if matches!(action, Action::Rollback(_) | Action::Analyse(_)) {
        return Foreseen { inputs, ..Foreseen::default() };
    }
    match plan_when(site, action, past, cluster, When::Early).await {
        Ok(plan) => {
            let warnings = plan.warnings().iter().map(|warning| format!("warning: {warning}"));
            let summary = plan.summary().into_iter().chain(warnings).map(|line| without_hash(&line, &plan.kind));
            Foreseen { summary: summary.collect(), inputs, refused: None }
        }
        Err(DeliveryError::Stopped(_)) => Foreseen { inputs, ..Foreseen::default() },
        Err(DeliveryError::Failed(failure)) => sorted(inputs, *failure),
    }
}

/// What of a failure is the step's and what the cluster's; nothing is said twice.
fn sorted(mut inputs: Vec<Problem>, mut failure: Failure) -> Foreseen {
    for text in failure.evidence.iter_mut().chain([&mut failure.why]) {
        *text = without_stand_ins(text);
    }
    if !failure.input.is_empty() {
        inputs.extend(problems(&failure));
        return Foreseen { inputs, ..Foreseen::default() };
    }
    let several = !failure.evidence.is_empty();
    failure.evidence.retain(|line| !inputs.iter().any(|problem| line.ends_with(&problem.message)));
    let refused = (!several || !failure.evidence.is_empty()).then_some(failure);
    Foreseen { inputs, refused, ..Foreseen::default() }
}

/// Each line of a failure, at the input that it is of.
fn problems(failure: &Failure) -> Vec<Problem> {
    let alone = failure.evidence.is_empty() && !failure.why.is_empty();
    let lines = if alone { vec![failure.why.clone()] } else { failure.lines() };
    lines.into_iter().map(|line| Problem::new(&failure.input, line)).collect()
}

/// What the tagged files alone show: manifests of Jobs that are not there, gaps in the numbers of migrations.
fn of_files(site: &Site, action: &Action) -> Vec<Problem> {
    let lacks = |input: &str, source: &JobSource| job::of_files(&site.tree, source).map(|why| Problem::new(input, why));
    let jobs: Vec<(&str, &JobSource)> = match action {
        Action::Deploy(inputs) => inputs.smoke.jobs.iter().map(|source| ("smoke-jobs", source)).collect(),
        Action::SmokeTest(inputs) => inputs.smoke.jobs.iter().map(|source| ("jobs", source)).collect(),
        Action::Migrate(inputs) => {
            let backup = inputs.backup.job.iter().map(|source| ("backup", source));
            inputs.job.source.iter().map(|source| ("job", source)).chain(backup).collect()
        }
        Action::Operate(inputs) => inputs.verb.job_source().into_iter().map(|source| ("job", source)).collect(),
        Action::RotateSecret(inputs) => inputs.job.source.iter().map(|source| ("job", source)).collect(),
        Action::Analyse(_) | Action::Rollback(_) => Vec::new(),
    };
    let mut found: Vec<Problem> = jobs.into_iter().filter_map(|(input, source)| lacks(input, source)).collect();
    if let Action::Migrate(inputs) = action {
        found.extend(migrate::of_files(site, inputs));
    }
    found
}

/// The manifests, without a cluster. What a chart asks of one is not known, so a chart that does not render says nothing.
async fn rendered(site: &Site, inputs: &DeployInputs) -> Result<(), Failure> {
    let unit = inputs.name.clone().unwrap_or_else(|| site.repository.clone());
    let request = Request {
        site,
        unit: &unit,
        source: &inputs.source,
        helm: inputs.helm.as_ref(),
        images: &inputs.images,
        kube_version: None,
        api_versions: &[],
    };
    let rendered = match render(&request, &Programs::of_engine()).await {
        Ok(rendered) => rendered,
        Err(RenderError::NoProgram { .. } | RenderError::TimedOut { .. }) => return Ok(()),
        Err(RenderError::Program { .. }) if is_chart(&site.tree, &inputs.source) => return Ok(()),
        Err(error) => return Err(error.failure(inputs.source.input())),
    };
    if rendered.objects.is_empty() {
        return Ok(());
    }
    match DeployPlan::unseen(unit, site, inputs, rendered.objects).shape() {
        Err(DeliveryError::Failed(failure)) => Err(*failure),
        Ok(_) | Err(DeliveryError::Stopped(_)) => Ok(()),
    }
}

/// A line of a plan: a release that is named after images that are not built yet has no hash.
fn without_hash(line: &str, kind: &Kind) -> String {
    let line = without_stand_ins(line);
    match kind {
        Kind::Deploy(plan) if plan.uses_image(&ImageRef::stand_in().digest) => {
            let release = plan.release.as_str();
            let version = release.rsplit_once('-').map_or(release, |(version, _)| version);
            line.replace(release, &format!("{version}-…"))
        }
        _ => line,
    }
}

/// A line in which images that are not built yet are called so.
fn without_stand_ins(line: &str) -> String {
    const LATER: &str = "the image that this run builds";
    let stand_in = ImageRef::stand_in();
    let line = line.replace(&stand_in.to_string(), LATER).replace(&stand_in.digest, "(built by this run)");
    // A long value is cut somewhere in it.
    match line.find(&stand_in.repository) {
        Some(at) => format!("{}{LATER}", &line[..at]),
        None => line,
    }
}

/// Charts that read one values file in which the tag of an image stands: whichever is delivered last would have set it for
/// both. By the number of the step among `actions`.
pub fn shared_values(site: &Site, actions: &[&Action]) -> Vec<(usize, Problem)> {
    let charts = |action: &&Action| match action {
        Action::Deploy(inputs) => inputs.helm.clone().filter(|_| is_chart(&site.tree, &inputs.source)),
        _ => None,
    };
    let charts: Vec<_> = actions.iter().enumerate().filter_map(|(at, action)| Some((at, charts(action)?))).collect();
    let mut found = Vec::new();
    for (number, (at, chart)) in charts.iter().enumerate() {
        for file in &chart.values {
            let other =
                charts[..number].iter().find(|(_, other)| other.chart != chart.chart && other.values.contains(file));
            let Some((_, other)) = other else { continue };
            let tagged = values_file(&site.tree, file).is_ok_and(|values| !values["image"]["tag"].is_null());
            if tagged {
                let message = format!(
                    "two charts set image.tag in one values file: {} and {} in {file}; give each a file of its own",
                    other.chart, chart.chart
                );
                found.push((*at, Problem::new("values", message)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use indexmap::IndexMap;

    use super::*;
    use crate::inputs::with_stand_ins;
    use crate::testing;

    fn site(tree: &Path) -> Site {
        Site { tree: tree.to_owned(), built: vec![ImageRef::stand_in().digest], ..testing::site() }
    }

    fn action(uses: &str, pairs: &[(&str, &str)]) -> Action {
        let with: IndexMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Action::read(uses, &with_stand_ins(&with).unwrap()).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// What is wrong, without a cluster.
    async fn said(tree: &Path, uses: &str, pairs: &[(&str, &str)]) -> Vec<String> {
        let found = foresee(&site(tree), &action(uses, pairs), &[], None).await;
        assert_eq!((found.summary.len(), found.refused), (0, None));
        found.inputs.iter().map(ToString::to_string).collect()
    }

    const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop}\nspec:\n  template:\n    \
                              metadata: {labels: {app: shop}}\n    spec: {containers: [{name: c, image: shop}]}\n";

    #[tokio::test]
    async fn a_path_that_is_not_there_and_workloads_that_are_not_rendered_need_no_cluster() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir_all(tree.path().join("k8s/overlays/prod")).unwrap();
        fs::write(tree.path().join("k8s/overlays/prod/app.yaml"), DEPLOYMENT).unwrap();
        let later = ("images", "shop=${{ needs.build.outputs.image }}");
        let deploy = async |pairs: &[(&str, &str)]| said(tree.path(), "tagline/deploy@v1", pairs).await;
        let lines = deploy(&[("manifests", "k8s/overlays/prd"), later]).await;
        assert!(lines[0].starts_with("manifests: no kustomization.yaml"), "{lines:?}");
        assert!(lines[0].contains("did you mean prod?"), "{lines:?}");
        let good = ("manifests", "k8s/overlays/prod");
        assert_eq!(deploy(&[good, later]).await, [""; 0]);
        let lines = deploy(&[good, later, ("workloads", "shp"), ("strategy", "blue-green")]).await;
        assert_eq!(lines, ["manifests: workload \"shp\" is not in the manifests; they have: shop; did you mean shop?"]);
        let lines = deploy(&[good, ("images", "shp=${{ needs.build.outputs.image }}")]).await;
        assert!(lines[0].starts_with("images: image \"shp\" replaced 0 containers"), "{lines:?}");
        let lines = deploy(&[good, later, ("smoke-jobs", "k8s/none.yaml")]).await;
        assert!(lines[0].starts_with("smoke-jobs: k8s/none.yaml: "), "{lines:?}");
    }

    #[tokio::test]
    async fn gaps_between_migrations_and_their_missing_job_need_no_cluster() {
        let tree = tempfile::tempdir().unwrap();
        fs::create_dir(tree.path().join("sql")).unwrap();
        for file in ["001_a.up.sql", "003_c.up.sql"] {
            fs::write(tree.path().join("sql").join(file), "select 1;").unwrap();
        }
        let pairs = [("dir", "sql"), ("job", "k8s/job.yaml"), ("image", "${{ needs.build.outputs.image }}")];
        let lines = said(tree.path(), "tagline/migrate@v1", &pairs).await;
        assert!(lines.iter().any(|line| line.starts_with("job: k8s/job.yaml: ")), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("dir: sql: ") && line.contains("003_c")), "{lines:?}");
    }

    #[test]
    fn two_charts_do_not_share_the_tag_of_an_image() {
        let tree = tempfile::tempdir().unwrap();
        for chart in ["a", "b"] {
            fs::create_dir(tree.path().join(chart)).unwrap();
            fs::write(tree.path().join(chart).join("Chart.yaml"), "name: x\n").unwrap();
        }
        fs::write(tree.path().join("tagged.yaml"), "image: {tag: v1}\n").unwrap();
        fs::write(tree.path().join("plain.yaml"), "replicas: 1\n").unwrap();
        let chart = |chart: &str, values: &str| action("tagline/deploy@v1", &[("chart", chart), ("values", values)]);
        let found = |one: Action, other: Action| shared_values(&site(tree.path()), &[&one, &other]);
        let told = found(chart("a", "tagged.yaml"), chart("b", "tagged.yaml"));
        let message =
            "values: two charts set image.tag in one values file: a and b in tagged.yaml; give each a file of its own";
        assert_eq!((told.len(), told[0].0, told[0].1.to_string().as_str()), (1, 1, message));
        assert_eq!(found(chart("a", "plain.yaml"), chart("b", "plain.yaml")), []);
        assert_eq!(found(chart("a", "tagged.yaml"), chart("a", "tagged.yaml")), [], "one chart in two steps");
    }

    #[test]
    fn nobody_sees_a_stand_in() {
        let stand_in = ImageRef::stand_in().to_string();
        let said = without_stand_ins(&format!("~ image: a → {stand_in}"));
        assert_eq!(said, "~ image: a → the image that this run builds");
        assert_eq!(without_stand_ins(&format!("a → {}…", &stand_in[..60])), "a → the image that this run builds");
        let digest = ImageRef::stand_in().digest;
        assert_eq!(without_stand_ins(&format!("migrate with shop@{digest}")), "migrate with shop@(built by this run)");
    }

    #[test]
    fn what_the_cluster_says_is_told_from_what_the_step_gives() {
        let gap = Problem::new("dir", "sql: a gap");
        let both = job::refused("no", vec!["sql: a gap".to_owned(), "may not create jobs".to_owned()]);
        let found = sorted(vec![gap.clone()], both);
        assert_eq!(
            (found.inputs.as_slice(), found.refused.unwrap().evidence),
            (&[gap.clone()][..], vec!["may not create jobs".to_owned()])
        );
        let found = sorted(vec![gap.clone()], job::refused("no", vec!["sql: a gap".to_owned()]));
        assert_eq!((found.inputs.len(), found.refused), (1, None));
        let found = sorted(Vec::new(), job::refused("no", vec!["a".to_owned(), "b".to_owned()]).of_input("manifests"));
        assert_eq!(found.inputs, [Problem::new("manifests", "a"), Problem::new("manifests", "b")]);
        assert!(sorted(Vec::new(), Failure::new("the API server is away", "")).refused.is_some());
    }
}
