//! The variables of a step's process.

use indexmap::IndexMap;
use tagline_protocol::{JobPaths, JobSpec};
use tagline_syntax::expression::Object;

/// PATH where nobody says anything.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Properties of `github` that become `GITHUB_…`; `GITHUB_PATH` and `GITHUB_ENV` are file commands.
const GITHUB: [&str; 32] = [
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "workspace",
];

/// The variables below all others: the image's or configuration's, and the user's.
pub(super) fn base(given: &[(String, String)], paths: &JobPaths) -> IndexMap<String, String> {
    let mut vars: IndexMap<String, String> = given.iter().cloned().collect();
    vars.entry("PATH".to_owned()).or_insert_with(|| PATH.to_owned());
    vars.insert("HOME".to_owned(), paths.home.clone());
    vars
}

/// The runner's own variables, which nothing replaces.
pub(super) fn own(github: &Object, paths: &JobPaths) -> IndexMap<String, String> {
    let mut vars = IndexMap::new();
    for name in GITHUB {
        if let Some(value) = github.get(name) {
            vars.insert(format!("GITHUB_{}", name.to_ascii_uppercase()), value.to_text().into_owned());
        }
    }
    vars.insert("GITHUB_ACTIONS".to_owned(), "true".to_owned());
    vars.insert("CI".to_owned(), "true".to_owned());
    for (name, value) in runner(paths) {
        vars.insert(format!("RUNNER_{}", name.to_ascii_uppercase()), value);
    }
    vars
}

/// The `runner` context, which is also `RUNNER_…`.
pub(super) fn runner(paths: &JobPaths) -> [(&'static str, String); 6] {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "X64",
        "aarch64" => "ARM64",
        "arm" => "ARM",
        other => other,
    };
    [
        ("os", "Linux".to_owned()),
        ("arch", arch.to_owned()),
        ("name", "tagline".to_owned()),
        ("environment", "self-hosted".to_owned()),
        ("temp", paths.temp.clone()),
        ("tool_cache", paths.tool_cache.clone()),
    ]
}

/// PATH with the folders steps have added: the last one added comes first, one added twice moves.
pub(super) fn path(base: &str, added: &[String]) -> String {
    let mut folders: Vec<&str> = Vec::new();
    for folder in added.iter().rev().map(String::as_str).chain(base.split(':')) {
        let new = !added.iter().any(|one| one == folder) || !folders.contains(&folder);
        if new {
            folders.push(folder);
        }
    }
    folders.join(":")
}

/// What `github` holds beside what the engine knows.
pub(super) fn complete(github: &mut Object, spec: &JobSpec, paths: &JobPaths, event_path: &str) {
    use tagline_syntax::expression::Value;
    for (name, value) in [
        ("workspace", paths.workspace.as_str()),
        ("event_path", event_path),
        ("job", spec.job.as_str()),
        ("action_path", ""),
        ("action_ref", ""),
        ("action_repository", ""),
    ] {
        if github.get(name).is_none() || name != "job" {
            github.insert(name, Value::string(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn the_last_folder_added_comes_first_and_one_added_twice_moves() {
        let added = ["/a".to_owned(), "/b".to_owned(), "/a".to_owned()];
        assert_eq!(path("/usr/bin:/b:/bin", &added), "/a:/b:/usr/bin:/bin");
        assert_eq!(path("/usr/bin", &[]), "/usr/bin");
    }
}
