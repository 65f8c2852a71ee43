//! The container of a job.
//!
//! Invariants: the daemon's socket is never in it; the agent's program is read-only; the token is in the agent's
//! environment, which its own processes cannot read, and in no argument, which they could.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig, Mount, MountType};
use sha2::{Digest, Sha256};

use crate::environment::merge;
use crate::launch::Launch;

/// Where the agent's program and the job folder are inside.
const AGENT: &str = "/tagline/agent";
const JOB: &str = "/tagline/job";

/// Processes and threads of one job where its options say nothing, as in the sandbox: room for any build, an end to a
/// fork bomb.
const MOST_PROCESSES: i64 = 4096;

/// A container to be made.
pub(super) struct Plan {
    /// Unique on the daemon: it names the job for people, and its folder for the machine.
    pub(super) name: String,
    pub(super) body: ContainerCreateBody,
    /// Digest of the body: a container made earlier is the same if this is.
    pub(super) spec: String,
}

/// The container of a launch.
pub(super) fn plan(launch: &Launch, image: &str, user: &str, base: Vec<(String, String)>) -> Plan {
    let mut body = body(launch, image, user, base);
    let bytes = serde_json::to_vec(&body).expect("a container's definition is plain data");
    let spec = hex::encode(Sha256::digest(bytes));
    body.labels = Some(labels(launch, &spec));
    Plan { name: name(launch), body, spec }
}

fn body(launch: &Launch, image: &str, user: &str, base: Vec<(String, String)>) -> ContainerCreateBody {
    let token = ("TAGLINE_TOKEN".to_owned(), launch.token.clone());
    let environment = merge([base, launch.environment.clone(), vec![token]]);
    let words = |words: &[&str]| Some(words.iter().map(ToString::to_string).collect());
    ContainerCreateBody {
        image: Some(image.to_owned()),
        entrypoint: words(&[AGENT, "run", "--job", JOB]),
        env: Some(environment.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        // The agent; steps get the job's user from it.
        user: Some(user.to_owned()),
        working_dir: Some("/".to_owned()),
        hostname: launch.limits.hostname.clone(),
        healthcheck: Some(HealthConfig { test: words(&["NONE"]), ..Default::default() }),
        host_config: Some(host(launch)),
        ..Default::default()
    }
}

fn host(launch: &Launch) -> HostConfig {
    let limits = &launch.limits;
    HostConfig {
        mounts: Some(mounts(launch)),
        memory: limits.memory,
        nano_cpus: limits.nano_cpus,
        pids_limit: Some(limits.pids.unwrap_or(MOST_PROCESSES)),
        network_mode: limits.no_network.then(|| "none".to_owned()),
        init: Some(false),
        ..Default::default()
    }
}

fn mounts(launch: &Launch) -> Vec<Mount> {
    let bind = |source: String, target: &str, read_only| Mount {
        typ: Some(MountType::BIND),
        source: Some(source),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        ..Default::default()
    };
    let folder = &launch.folder;
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    vec![
        bind(text(&launch.agent_binary), AGENT, true),
        bind(text(folder.path()), JOB, false),
        bind(text(&folder.work()), &launch.paths.workspace, false),
        bind(text(&folder.home()), &launch.paths.home, false),
        bind(text(&folder.temp()), &launch.paths.temp, false),
    ]
}

fn labels(launch: &Launch, spec: &str) -> HashMap<String, String> {
    let key = &launch.key;
    let pair = |name: &str, value: String| (format!("tagline.{name}"), value);
    HashMap::from([
        pair("run", key.run.to_string()),
        pair("job", key.job.clone()),
        pair("leg", key.leg.to_string()),
        pair("attempt", key.attempt.to_string()),
        pair("folder", launch.folder.path().to_string_lossy().into_owned()),
        pair("spec", spec.to_owned()),
    ])
}

/// `tagline-7-build-1-3f9c2a7d51e0`: run, job and attempt; then the folder, for stores have runs of the same number.
fn name(launch: &Launch) -> String {
    let folder = launch.folder.path().to_string_lossy();
    let digest = hex::encode(Sha256::digest(folder.as_bytes()));
    let key = &launch.key;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let job: String = key.job.chars().filter(|letter| plain(*letter)).take(60).collect();
    let leg = if key.leg > 0 { format!(".{}", key.leg + 1) } else { String::new() };
    format!("tagline-{}-{job}{leg}-{}-{}", key.run, key.attempt, &digest[..12])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::exposure::Exposure;
    use crate::folder::JobFolder;
    use crate::launch::{Key, Limits};

    pub(in crate::docker) fn launch() -> Launch {
        Launch {
            folder: JobFolder::new("/store/runs/7/build/1"),
            key: Key { run: 7, job: "build".into(), leg: 0, attempt: 1 },
            token: "secret-token".into(),
            image: None,
            login: None,
            expose: Exposure::none(),
            environment: vec![("CI".into(), "true".into())],
            agent_binary: "/store/agent".into(),
            paths: crate::docker::Docker::paths("shop"),
            limits: Limits::default(),
            has_environment: false,
        }
    }

    #[test]
    fn the_token_is_in_no_argument_and_no_label() {
        let plan = plan(&launch(), "debian", "0:0", Vec::new());
        let arguments = plan.body.entrypoint.unwrap().join(" ") + &plan.body.cmd.unwrap_or_default().join(" ");
        assert!(!arguments.contains("secret-token"));
        assert!(plan.body.labels.unwrap().values().all(|value| !value.contains("secret-token")));
        assert!(plan.body.env.unwrap().contains(&"TAGLINE_TOKEN=secret-token".to_owned()));
    }

    #[test]
    fn no_socket_of_the_daemon_is_mounted_and_the_agent_is_read_only() {
        let plan = plan(&launch(), "debian", "0:0", Vec::new());
        let host = plan.body.host_config.unwrap();
        let mounts = host.mounts.unwrap();
        assert!(mounts.iter().all(|mount| !mount.source.as_ref().unwrap().contains(".sock")));
        assert!(mounts.iter().any(|mount| mount.target.as_deref() == Some(AGENT) && mount.read_only == Some(true)));
        assert_eq!(host.privileged, None);
        assert_eq!(host.binds, None);
    }

    #[test]
    fn processes_are_limited_unless_the_options_say_otherwise() {
        let limit = |options: &str| {
            let launch = Launch { limits: options.parse().unwrap(), ..launch() };
            plan(&launch, "debian", "0:0", Vec::new()).body.host_config.unwrap().pids_limit
        };
        assert_eq!(limit(""), Some(4096));
        assert_eq!(limit("--pids-limit 64"), Some(64));
        assert_eq!(limit("--pids-limit -1"), Some(-1));
    }

    #[test]
    fn another_token_or_folder_is_another_container() {
        let first = plan(&launch(), "debian", "0:0", Vec::new());
        let token = Launch { token: "other".into(), ..launch() };
        let folder = Launch { folder: JobFolder::new("/other/runs/7/build/1"), ..launch() };
        assert_eq!(first.spec, plan(&launch(), "debian", "0:0", Vec::new()).spec);
        assert_ne!(first.spec, plan(&token, "debian", "0:0", Vec::new()).spec);
        assert_ne!(first.name, plan(&folder, "debian", "0:0", Vec::new()).name);
        assert!(first.name.starts_with("tagline-7-build-1-"));
    }
}
