//! Helm's record of a release: the Secret that `helm history`, `get` and `rollback` read, as Helm 3 stores it.
//!
//! Type `helm.sh/release.v1`, name `sh.helm.release.v1.NAME.vN`, labels `name owner status version modifiedAt`; `data.release` is JSON,
//! gzipped, base64 (Helm's), base64 again (the API's). Pure: who applies it says the time. Templates are not in it, so that it stays far below
//! a Secret's limit of 1 MiB; Helm's rollback applies the manifest that is.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Chart;
use crate::Object;

/// How a revision stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is what runs.
    Deployed,
    /// A later one runs.
    Superseded,
    /// It did not come up.
    Failed,
    /// It is being delivered.
    PendingUpgrade,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::PendingUpgrade => "pending-upgrade",
        }
    }
}

/// One revision to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct Revision<'a> {
    /// The chart and its values.
    pub chart: &'a Chart,
    /// The release's namespace.
    pub namespace: &'a str,
    /// What was applied: images are digests in it.
    pub objects: &'a [Object],
    /// From 1.
    pub version: u32,
    /// How it stands.
    pub status: Status,
    /// `Upgrade complete`, or why it failed.
    pub description: &'a str,
    /// When revision 1 was delivered.
    pub first_deployed: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// The Secret of a revision.
pub fn secret(revision: &Revision<'_>) -> Object {
    let chart = revision.chart;
    let texts: Vec<String> =
        revision.objects.iter().map(|object| serde_yaml::to_string(&object.0).unwrap_or_default()).collect();
    let manifest = texts.iter().flat_map(|text| ["---\n", text]).collect::<String>();
    let release = json!({
        "name": chart.release,
        "namespace": revision.namespace,
        "version": revision.version,
        "info": {
            "first_deployed": revision.first_deployed.to_string(),
            "last_deployed": revision.now.to_string(),
            "deleted": "",
            "description": revision.description,
            "status": revision.status.name(),
        },
        "chart": {
            "metadata": chart.metadata,
            "lock": null,
            "templates": [],
            "values": chart.defaults,
            "schema": null,
            "files": null,
        },
        "config": chart.values,
        "manifest": manifest,
    });
    let mut secret = Object(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name(&chart.release, revision.version),
            "namespace": revision.namespace,
            "labels": {
                "name": chart.release,
                "owner": "helm",
                "version": revision.version.to_string(),
            },
        },
        "type": "helm.sh/release.v1",
        "data": {"release": STANDARD.encode(encode(&release))},
    }));
    label(&mut secret, revision.status, revision.now);
    secret
}

/// `sh.helm.release.v1.NAME.vN`
pub fn name(release: &str, version: u32) -> String {
    format!("sh.helm.release.v1.{release}.v{version}")
}

/// The revision's number of a Secret of Helm's, by its labels.
pub fn version(secret: &Object) -> Option<u32> {
    secret.labels().get("version")?.parse().ok()
}

/// The same revision with another status: of the one before, `Superseded`; of an aborted one, `Failed`. None where the Secret is not one of Helm's.
pub fn with_status(secret: &Object, status: Status, description: &str, now: Timestamp) -> Option<Object> {
    let mut release = decode(secret)?;
    release["info"]["status"] = status.name().into();
    release["info"]["description"] = description.into();
    let mut changed = secret.clone();
    changed.set("/data/release", STANDARD.encode(encode(&release)).into());
    label(&mut changed, status, now);
    Some(changed)
}

/// A revision that runs again, under a new number, as `helm rollback` makes one. None where the Secret is not one of Helm's.
pub fn again(secret: &Object, chart: &str, number: u32, now: Timestamp) -> Option<Object> {
    let mut release = decode(secret)?;
    release["version"] = number.into();
    release["info"]["status"] = Status::Deployed.name().into();
    release["info"]["description"] = format!("Rollback to {}", version(secret)?).into();
    release["info"]["last_deployed"] = now.to_string().into();
    let mut made = Object(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name(chart, number), "namespace": secret.namespace(), "labels": secret.labels()},
        "type": "helm.sh/release.v1",
        "data": {"release": STANDARD.encode(encode(&release))},
    }));
    made.set("/metadata/labels/version", number.to_string().into());
    label(&mut made, Status::Deployed, now);
    Some(made)
}

/// Which Secrets go, so that `history` revisions are left: the oldest, never one that is deployed. 0 keeps all.
pub fn to_prune(secrets: &[Object], history: u32) -> Vec<String> {
    if history == 0 {
        return Vec::new();
    }
    let mut known: Vec<(u32, &Object)> = secrets.iter().filter_map(|secret| Some((version(secret)?, secret))).collect();
    known.sort_by_key(|(version, _)| *version);
    let too_many = known.len().saturating_sub(history as usize);
    let deployed = |secret: &Object| secret.labels().get("status").is_some_and(|status| status == "deployed");
    let old = known.into_iter().filter(|(_, secret)| !deployed(secret)).take(too_many);
    old.map(|(_, secret)| secret.name().to_owned()).collect()
}

/// What a Secret of Helm's holds: `info`, `config`, `manifest` and so on.
pub fn decode(secret: &Object) -> Option<Value> {
    let once = STANDARD.decode(secret.text("/data/release")).ok()?;
    let bytes = STANDARD.decode(once).ok()?;
    let mut text = String::new();
    // A Secret holds 1 MiB at most; what a megabyte of gzip may become is bounded here.
    GzDecoder::new(bytes.as_slice()).take(64 << 20).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn encode(release: &Value) -> String {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(release.to_string().as_bytes()).expect("a Vec takes all bytes");
    STANDARD.encode(gzip.finish().expect("a Vec takes all bytes"))
}

fn label(secret: &mut Object, status: Status, now: Timestamp) {
    secret.set("/metadata/labels/status", status.name().into());
    secret.set("/metadata/labels/modifiedAt", now.as_second().to_string().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Chart {
        Chart {
            release: "shop".to_owned(),
            metadata: json!({"name": "shop", "version": "0.4.1", "apiVersion": "v2"}),
            defaults: json!({"replicas": 1}),
            values: json!({"replicas": 3}),
            manifest: String::new(),
            history: 2,
        }
    }

    fn recorded(version: u32, status: Status) -> Object {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let objects = [Object(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}))];
        let (chart, description) = (chart(), "Upgrade complete");
        secret(&Revision {
            chart: &chart,
            namespace: "prod",
            objects: &objects,
            version,
            status,
            description,
            first_deployed: now,
            now,
        })
    }

    #[test]
    fn a_record_is_read_back_and_changes_its_status() {
        let secret = recorded(3, Status::Deployed);
        assert_eq!(secret.name(), "sh.helm.release.v1.shop.v3");
        assert_eq!(version(&secret), Some(3));
        let later = Timestamp::from_second(1_700_000_100).unwrap();
        let changed = with_status(&secret, Status::Superseded, "Upgrade complete", later).unwrap();
        assert_eq!(changed.labels()["status"], "superseded");
        let release = decode(&changed).unwrap();
        assert_eq!(release["info"]["status"], "superseded");
        assert_eq!(release["config"], json!({"replicas": 3}));
        assert_eq!(with_status(&Object(json!({"data": {}})), Status::Failed, "", later), None);
    }

    #[test]
    fn a_superseded_revision_runs_again_under_a_new_number() {
        let later = Timestamp::from_second(1_700_000_100).unwrap();
        let again = again(&recorded(3, Status::Superseded), "shop", 5, later).unwrap();
        assert_eq!(again.name(), "sh.helm.release.v1.shop.v5");
        assert_eq!((version(&again), again.labels()["status"].as_str()), (Some(5), "deployed"));
        let release = decode(&again).unwrap();
        assert_eq!((&release["version"], &release["info"]["status"]), (&json!(5), &json!("deployed")));
        assert_eq!(release["info"]["description"], "Rollback to 3");
        assert_eq!(release["config"], json!({"replicas": 3}), "helm get values");
    }

    #[test]
    fn the_oldest_go_and_what_is_deployed_stays() {
        let secrets = [
            recorded(1, Status::Deployed),
            recorded(2, Status::Failed),
            recorded(10, Status::Failed),
            recorded(9, Status::Superseded),
        ];
        assert_eq!(to_prune(&secrets, 2), ["sh.helm.release.v1.shop.v2", "sh.helm.release.v1.shop.v9"]);
        assert_eq!(to_prune(&secrets, 0), Vec::<String>::new());
    }
}
