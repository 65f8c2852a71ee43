//! What a log says of itself: a database out of reach, a certificate, a migration, a broker.
//!
//! Only pods in trouble are read, newest lines first, so an old warning is not taken for today's cause.

use super::Scene;
use super::image::shorten;
use crate::Failure;
use crate::rollout::{is_ready, trouble};

/// Words of a line, all of which must be there (in lower case), the cause, and what to do.
struct Sign {
    words: &'static [&'static str],
    what: &'static str,
    next: &'static str,
}

const fn sign(words: &'static [&'static str], what: &'static str, next: &'static str) -> Sign {
    Sign { words, what, next }
}

const DATABASE: &str = "the database cannot be reached";
const REACH: &str =
    "look whether the address in the Secret is right, the server runs, and a NetworkPolicy lets the pods out";
const LOGIN: &str = "the database refuses the login";
const ROLE: &str = "look at user and password in the Secret, and whether the role may log in";
const MIGRATION: &str = "a migration failed";
const REPAIR: &str = "correct the migration and tag a new version; nothing was deployed";
const TLS: &str = "a TLS certificate is not accepted";
const RENEW: &str = "look at the certificate's dates and names: kubectl get certificate, or openssl x509 -dates";
const LAG: &str = "consumers lag behind";
const SCHEDULER: &str = "the scheduler is off";
const TENANT: &str = "a tenant sees another tenant's data";
const VARIABLE: &str = "a variable is missing";

/// The first that fits decides.
const SIGNS: &[Sign] = &[
    sign(&["password authentication failed"], LOGIN, ROLE),
    sign(&["role", "is not permitted to log in"], LOGIN, ROLE),
    sign(&["authentication failed", "mongo"], LOGIN, ROLE),
    sign(&["database", "does not exist"], "the database does not exist", "make it, or correct the name in the Secret"),
    sign(&["lock timeout"], MIGRATION, "end what holds the lock, then: tagline rerun RUN --failed"),
    sign(&["statement timeout"], MIGRATION, "raise statement-timeout, or write the change in batches"),
    sign(&["migration", "failed"], MIGRATION, REPAIR),
    sign(&["migration", "error"], MIGRATION, REPAIR),
    sign(&["syntax error at or near"], MIGRATION, REPAIR),
    sign(&["certificate", "expired"], TLS, RENEW),
    sign(&["certificate", "unknown authority"], TLS, "mount the authority's certificate into the pods"),
    sign(&["certificate", "not valid"], TLS, RENEW),
    sign(&["x509:"], TLS, RENEW),
    sign(&["tenant", "leak"], TENANT, "stop the release: tagline rollback ENV; then look at the tenant filter"),
    sign(&["scheduler", "disabled"], SCHEDULER, "set the variable that turns it on, and restart"),
    sign(&["scheduler", "not running"], SCHEDULER, "set the variable that turns it on, and restart"),
    sign(&["consumer", "lag"], LAG, "look whether the consumers run and keep up; scale them"),
    sign(&["missing", "environment variable"], VARIABLE, "set it in the manifests or in the Secret they refer to"),
    sign(&["environment variable", "not set"], VARIABLE, "set it in the manifests or in the Secret they refer to"),
    sign(&["connection refused"], DATABASE, REACH),
    sign(&["could not connect to server"], DATABASE, REACH),
    sign(&["error connecting to server"], DATABASE, REACH),
    sign(&["connection", "timed out"], DATABASE, REACH),
    sign(
        &["too many connections"],
        "the database has no free connections",
        "lower the pools, or raise max_connections",
    ),
    sign(
        &["connection pool", "exhausted"],
        "the connection pool is exhausted",
        "raise the pool, or find what keeps connections",
    ),
];

/// Words without which a refused connection is not the database's.
const STORES: &[&str] = &[
    "connect to server",
    "connecting to server",
    "postgres",
    "5432",
    "jdbc",
    "database",
    "mongo",
    "mysql",
    "3306",
    "27017",
    "redis",
    "6379",
    "sql",
];

pub(super) fn find(scene: &Scene) -> Option<Failure> {
    let troubled = scene.pods.iter().filter(|pod| !is_ready(pod) || trouble(pod, 1).is_some());
    troubled.into_iter().find_map(|pod| {
        let log = scene.logs.get(pod.name())?;
        let (sign, line) = log.lines().rev().find_map(|line| Some((read(line)?, line)))?;
        let mut failure = Failure::new(sign.what, format!("{}: {}", pod.name(), shorten(line))).next(sign.next);
        failure.evidence = scene.tail(pod.name());
        Some(failure)
    })
}

/// The sign in one line.
fn read(line: &str) -> Option<&'static Sign> {
    let line = line.to_lowercase();
    let fits = |sign: &&Sign| {
        let all = sign.words.iter().all(|word| line.contains(word));
        all && (sign.what != DATABASE || STORES.iter().any(|store| line.contains(store)))
    };
    SIGNS.iter().find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_its_cause() {
        for (line, what) in [
            ("FATAL: password authentication failed for user \"shop\"", Some(LOGIN)),
            ("connect 10.0.0.5:5432: Connection refused", Some(DATABASE)),
            ("connect 10.0.0.5:9999: Connection refused", None),
            ("error: error connecting to server: Connection refused (os error 111)", Some(DATABASE)),
            ("could not connect to server: No route to host", Some(DATABASE)),
            ("error: 003_typo: ERROR: syntax error at or near \"colum\"", Some(MIGRATION)),
            ("ERROR: canceling statement due to lock timeout", Some(MIGRATION)),
            ("x509: certificate has expired or is not yet valid", Some(TLS)),
            ("WARN scheduler is disabled by SCHEDULER_ENABLED=false", Some(SCHEDULER)),
            ("request took 12ms", None),
        ] {
            assert_eq!(read(line).map(|sign| sign.what), what, "{line}");
        }
    }
}
