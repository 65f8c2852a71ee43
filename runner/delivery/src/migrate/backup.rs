//! A backup that is taken before something is changed, and looked at before it is believed.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::inputs::Period;
use crate::inputs::migrate::BackupCheck;
use crate::job::{self, JobPlan, Scope, Work};
use crate::{DeliveryError, Failure, Progress, Site, UNCHANGED};

/// A backup as planned. Its Job gets `TAGLINE_BACKUP_CHECK` (`restore`, `checksum`, `none`) and prints, last, one line of JSON:
/// `{"name", "size", "digest", "at", "checked"}`, where `checked` is the check that it made itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// What takes it.
    pub job: JobPlan,
    /// A smaller one is none, in bytes.
    pub min_size: u64,
    /// How it is verified.
    pub check: BackupCheck,
    /// An older one does not count.
    pub max_age: Option<Period>,
}

/// A backup that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// What a restore asks for.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Of its content.
    #[serde(default)]
    pub digest: String,
    /// When it was taken.
    pub at: Timestamp,
    /// How it was verified.
    #[serde(default)]
    pub checked: String,
}

impl Backup {
    /// As the step spells it.
    pub const fn check_name(&self) -> &'static str {
        match self.check {
            BackupCheck::Restore => "restore",
            BackupCheck::Checksum => "checksum",
            BackupCheck::None => "none",
        }
    }

    /// What is wrong with what the Job says it took.
    fn judge(&self, result: Option<&Value>, now: Timestamp) -> Result<Taken, String> {
        let result = result.ok_or("it printed no line of JSON: {\"name\", \"size\", \"digest\", \"at\"}")?;
        let taken: Taken =
            serde_json::from_value(result.clone()).map_err(|error| format!("its result is not understood: {error}"))?;
        if taken.name.is_empty() {
            return Err("it has no name".to_owned());
        }
        if taken.size < self.min_size {
            return Err(format!("it has {} bytes, at least {} are needed", taken.size, self.min_size));
        }
        let age = Duration::try_from(now.duration_since(taken.at)).unwrap_or_default();
        if let Some(limit) = self.max_age.filter(|limit| age > **limit) {
            let minutes = Period::from(Duration::from_secs(age.as_secs() / 60 * 60));
            return Err(format!("last backup {minutes} old, limit {limit}"));
        }
        let checked = match self.check {
            BackupCheck::None => true,
            BackupCheck::Checksum => {
                !taken.digest.is_empty() && matches!(taken.checked.as_str(), "checksum" | "restore")
            }
            BackupCheck::Restore => taken.checked == "restore",
        };
        if !checked {
            let said = if taken.checked.is_empty() { "nothing" } else { taken.checked.as_str() };
            return Err(format!("it was to be verified by {}, its Job says {said}", self.check_name()));
        }
        Ok(taken)
    }
}

/// Takes it once for this step, and verifies what its Job says.
///
/// # Errors
/// There is no backup that can be believed; nothing may be changed.
pub async fn take(
    backup: &Backup,
    unit: &str,
    site: &Site,
    cluster: &Cluster,
    timeout: Duration,
    progress: &dyn Progress,
) -> Result<Taken, DeliveryError> {
    let plan = backup.job.clone().with_env("TAGLINE_BACKUP_CHECK", backup.check_name());
    let work = Work { plan: &plan, purpose: "backup", unit, scope: Scope::Step, retries: 0, timeout };
    let ended = job::run(cluster, site, &work, progress).await?;
    // Its age counts when its Job ended, not when another engine looks.
    backup.judge(ended.result.as_ref(), ended.at).map_err(|why| {
        let next = "look at the log of its Job; nothing goes on without a backup";
        Failure::new("the backup cannot be believed", why).effect(UNCHANGED).next(next).into()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Object;

    #[expect(clippy::needless_pass_by_value, reason = "tests hand over what they have just made")]
    fn judged(check: BackupCheck, result: Value) -> Result<Taken, String> {
        let job = JobPlan { source: String::new(), container: String::new(), object: Object(json!({})) };
        let backup = Backup { job, min_size: 1024, check, max_age: Some(Period::from_secs(86400)) };
        backup.judge(Some(&result), "2026-01-03T00:10:00Z".parse().unwrap())
    }

    #[test]
    fn a_backup_is_believed_only_with_size_age_and_check() {
        let taken = |size: u64, at: &str, checked: &str| json!({"name": "b", "size": size, "digest": "d", "at": at, "checked": checked});
        let fresh = "2026-01-02T23:00:00Z";
        assert!(judged(BackupCheck::Restore, taken(2048, fresh, "restore")).is_ok());
        assert!(judged(BackupCheck::None, taken(2048, fresh, "")).is_ok());
        for (check, result, expected) in [
            (BackupCheck::None, taken(20, fresh, ""), "it has 20 bytes, at least 1024 are needed"),
            (BackupCheck::None, taken(2048, "2026-01-01T23:00:00Z", ""), "last backup 25h10m old, limit 24h"),
            (
                BackupCheck::Restore,
                taken(2048, fresh, "checksum"),
                "it was to be verified by restore, its Job says checksum",
            ),
            (BackupCheck::Checksum, taken(2048, fresh, ""), "it was to be verified by checksum, its Job says nothing"),
        ] {
            assert_eq!(judged(check, result).unwrap_err(), expected);
        }
        assert!(judged(BackupCheck::None, json!({"size": 1})).unwrap_err().contains("not understood"));
    }
}
