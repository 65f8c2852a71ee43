//! `tagline doctor --role`: what an administrator applies so that deliveries may do what they do, and no more.

use std::collections::BTreeSet;
use std::time::Duration;

use tagline_delivery::Target;
use tagline_delivery::cluster::Cluster;
use tagline_delivery::preflight;
use tagline_server::repository::ENVIRONMENTS_FILE;
use tagline_syntax::diagnostic::SourceFile;
use tagline_syntax::environments;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::live;

const PATIENCE: Duration = Duration::from_secs(5);

/// Prints a Role and its binding for each namespace that the environments file names.
pub(super) fn run(context: &Context, user: Option<&str>) -> Outcome {
    let repository = context.repository()?;
    let read = repository.environments()?;
    let file = read.and_then(|read| environments::read(&SourceFile::from_bytes(ENVIRONMENTS_FILE, &read.bytes)).file);
    let rules = file.iter().flat_map(|file| file.environments.values());
    let targets = rules.filter_map(|rules| rules.cluster.as_ref());
    let targets: BTreeSet<(String, String)> =
        targets.map(|cluster| (cluster.context.clone(), cluster.namespace.clone())).collect();
    if targets.is_empty() {
        let what = format!("no environment in {ENVIRONMENTS_FILE} has a `cluster:`, so there is nothing to grant");
        return Err(Failure::unusable("no-cluster", what).next("add cluster: { context: …, namespace: … } to one"));
    }
    for (name, namespace) in targets {
        let user = match user {
            Some(user) => user.to_owned(),
            None => known_as(&Target { context: name, namespace: namespace.clone() })?,
        };
        for object in preflight::role(&namespace, &user) {
            context.output.line("---");
            context.output.line(object.0);
        }
    }
    Ok(Exit::Done)
}

/// Whom the cluster takes us for.
fn known_as(target: &Target) -> Result<String, Failure> {
    let asked = live::block_on(async {
        Ok(match Cluster::connect(target, &[]).await {
            Ok(cluster) => preflight::who(&cluster.with_patience(PATIENCE)).await,
            Err(error) => Err(error),
        })
    })?;
    asked.map_err(|error| {
        Failure::unusable("unknown-user", format!("{target} does not say who we are"))
            .why(error.to_string())
            .next("tagline doctor --role --user USER")
    })
}
