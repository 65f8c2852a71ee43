//! What a bad release does wrong. Faults are part of the image; the admin port can change them for a test.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The faults, each off by default. Those of requests (`error_rate`, `latency_ms`) spare `/q/…`, `/actuator/…` and
/// `/api/v1/health`, unless `only_path` names them.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "one switch a fault, by its name in release.toml")]
pub(crate) struct Faults {
    /// Share of requests answered with 500, exact and evenly spread; of a worker, share of jobs that fail.
    pub(crate) error_rate: f64,
    /// Added to every request.
    pub(crate) latency_ms: u64,
    /// Nothing but `wrong_version` and `ignore_term` begins before this many seconds since the start.
    pub(crate) after_s: f64,
    /// Faults of requests act on this path and those below it only.
    pub(crate) only_path: Option<String>,
    /// Faults of requests act for this `X-Tenant` only.
    pub(crate) only_tenant: Option<String>,
    /// Memory lost each second, MiB.
    pub(crate) leak_mb_s: f64,
    /// Takes memory until it is killed.
    pub(crate) oom: bool,
    /// `/q/health/ready` is 503.
    pub(crate) never_ready: bool,
    /// The process ends with this code.
    pub(crate) exit_code: Option<u8>,
    /// `/q/metrics` is 404.
    pub(crate) no_metrics: bool,
    /// The version that is claimed; the header `X-Version` stays true.
    pub(crate) wrong_version: Option<String>,
    /// SIGTERM is ignored.
    pub(crate) ignore_term: bool,
    /// A worker does every job twice.
    pub(crate) dup_job: bool,
    /// A worker fails every job.
    pub(crate) poison_job: bool,
}

impl Faults {
    /// Sets one fault by name; null turns it off.
    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<(), String> {
        match name {
            "error_rate" => self.error_rate = number(name, value, 1.0)?,
            "latency_ms" => self.latency_ms = whole(name, value, 600_000)?.unwrap_or(0),
            "after_s" => self.after_s = number(name, value, 1e6)?,
            "only_path" => self.only_path = text(name, value)?,
            "only_tenant" => self.only_tenant = text(name, value)?,
            "leak_mb_s" => self.leak_mb_s = number(name, value, 1e4)?,
            "oom" => self.oom = yes(name, value)?,
            "never_ready" => self.never_ready = yes(name, value)?,
            "exit_code" => self.exit_code = whole(name, value, 255)?.and_then(|code| u8::try_from(code).ok()),
            "no_metrics" => self.no_metrics = yes(name, value)?,
            "wrong_version" => self.wrong_version = text(name, value)?,
            "ignore_term" => self.ignore_term = yes(name, value)?,
            "dup_job" => self.dup_job = yes(name, value)?,
            "poison_job" => self.poison_job = yes(name, value)?,
            other => return Err(format!("unknown fault `{other}`")),
        }
        Ok(())
    }

    /// All of them, by name.
    pub(crate) fn json(&self) -> Value {
        json!({
            "error_rate": self.error_rate, "latency_ms": self.latency_ms, "after_s": self.after_s,
            "only_path": self.only_path, "only_tenant": self.only_tenant, "leak_mb_s": self.leak_mb_s,
            "oom": self.oom, "never_ready": self.never_ready, "exit_code": self.exit_code,
            "no_metrics": self.no_metrics, "wrong_version": self.wrong_version, "ignore_term": self.ignore_term,
            "dup_job": self.dup_job, "poison_job": self.poison_job,
        })
    }

    /// Whether the faults of requests meet this one.
    fn meets(&self, path: &str, tenant: Option<&str>) -> bool {
        let below = |root: &str| {
            path.strip_prefix(root.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let spared = ["/q", "/actuator", "/api/v1/health"].into_iter().any(below);
        self.only_path.as_deref().map_or(!spared, below)
            && self.only_tenant.as_deref().is_none_or(|only| tenant == Some(only))
    }
}

fn number(name: &str, value: &Value, most: f64) -> Result<f64, String> {
    let given = if value.is_null() { Some(0.0) } else { value.as_f64() };
    given.filter(|number| (0.0..=most).contains(number)).ok_or_else(|| format!("{name} is a number from 0 to {most}"))
}

fn whole(name: &str, value: &Value, most: u64) -> Result<Option<u64>, String> {
    match value.as_u64() {
        Some(number) if number <= most => Ok(Some(number)),
        None if value.is_null() => Ok(None),
        _ => Err(format!("{name} is a whole number from 0 to {most}")),
    }
}

fn text(name: &str, value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if !text.is_empty() => Ok(Some(text.clone())),
        _ => Err(format!("{name} is a text")),
    }
}

fn yes(name: &str, value: &Value) -> Result<bool, String> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(yes) => Ok(*yes),
        _ => Err(format!("{name} is true or false")),
    }
}

/// The faults of a running process, with the time they were set.
pub(crate) struct Active(Mutex<State>);

struct State {
    faults: Faults,
    since: Instant,
    /// Requests or jobs the error rate was applied to.
    asked: u64,
}

/// What one request suffers.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Suffered {
    /// It waits this long before it is looked at.
    pub(crate) latency: Duration,
    /// It is answered with 500.
    pub(crate) error: bool,
}

impl Active {
    /// Faults as a release has them, from now on.
    pub(crate) fn new(faults: Faults) -> Self {
        Self(Mutex::new(State { faults, since: Instant::now(), asked: 0 }))
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As they were set.
    pub(crate) fn set(&self) -> Faults {
        self.with(|state| state.faults.clone())
    }

    /// As they act now: before `after_s`, only those about what the process is, not what it does.
    pub(crate) fn now(&self) -> Faults {
        self.with(|state| state.now())
    }

    /// Changes those that the object names; their time begins now. Nothing changes where one is wrong.
    pub(crate) fn change(&self, changes: &Value) -> Result<(), String> {
        let object = changes.as_object().ok_or("an object like {\"error_rate\": 0.05}")?;
        self.with(|state| {
            let mut faults = state.faults.clone();
            object.iter().try_for_each(|(name, value)| faults.set(name, value))?;
            *state = State { faults, since: Instant::now(), asked: 0 };
            Ok(())
        })
    }

    /// What a request suffers.
    pub(crate) fn request(&self, path: &str, tenant: Option<&str>) -> Suffered {
        self.with(|state| {
            let faults = state.now();
            if !faults.meets(path, tenant) {
                return Suffered::default();
            }
            Suffered { latency: Duration::from_millis(faults.latency_ms), error: state.falls(faults.error_rate) }
        })
    }

    /// Whether a job fails.
    pub(crate) fn job_fails(&self) -> bool {
        self.with(|state| {
            let faults = state.now();
            faults.poison_job || state.falls(faults.error_rate)
        })
    }
}

impl State {
    fn now(&self) -> Faults {
        if self.since.elapsed().as_secs_f64() >= self.faults.after_s {
            return self.faults.clone();
        }
        let Faults { wrong_version, ignore_term, after_s, .. } = self.faults.clone();
        Faults { after_s, wrong_version, ignore_term, ..Faults::default() }
    }

    fn falls(&mut self, share: f64) -> bool {
        self.asked += 1;
        crate::units::falls(self.asked - 1, share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(faults: &Value) -> Active {
        let active = Active::new(Faults::default());
        active.change(faults).unwrap();
        active
    }

    #[test]
    fn every_fault_can_be_set_and_turned_off_by_its_name() {
        let mut faults = Faults::default();
        let names: Vec<String> = faults.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(names.len(), 14);
        for name in &names {
            let tried = [json!(true), json!(1), json!("x")];
            assert!(tried.iter().any(|value| faults.set(name, value).is_ok()), "{name}");
            assert_ne!(faults.json()[name], Faults::default().json()[name], "{name}");
            faults.set(name, &Value::Null).unwrap();
        }
        assert_eq!(faults, Faults::default());
    }

    #[test]
    fn the_error_rate_is_exact_and_spares_health() {
        let active = active(&json!({"error_rate": 0.049}));
        let failed = (0..1000).filter(|_| active.request("/", None).error).count();
        assert_eq!(failed, 49);
        let health = ["/q/health/ready", "/actuator/health", "/api/v1/health"];
        assert!((0..1000).all(|n| !active.request(health[n % 3], None).error));
    }

    #[test]
    fn only_path_and_only_tenant_narrow_it() {
        let active = active(&json!({"error_rate": 1, "only_path": "/api/v1/health", "only_tenant": "a"}));
        assert!(active.request("/api/v1/health", Some("a")).error);
        for (path, tenant) in [("/", Some("a")), ("/api/v1/healthy", Some("a")), ("/api/v1/health", Some("b"))] {
            assert_eq!(active.request(path, tenant), Suffered::default(), "{path}");
        }
    }

    #[test]
    fn before_its_time_a_fault_does_not_act() {
        let active = active(&json!({"error_rate": 1, "after_s": 3600, "wrong_version": "0", "oom": true}));
        assert!(!active.request("/", None).error);
        assert_eq!((active.now().oom, active.now().wrong_version.as_deref()), (false, Some("0")));
    }

    #[test]
    fn a_wrong_change_changes_nothing() {
        let active = active(&json!({"error_rate": 0.5}));
        let before = active.set();
        assert!(active.change(&json!({"error_rate": 0, "latency": 5})).unwrap_err().contains("`latency`"));
        assert!(active.change(&json!([1])).is_err());
        assert_eq!(active.set(), before);
    }
}
