//! The rows of the runbooks that are carried out here, and those a later issue adds.

/// One row.
pub(super) struct Known {
    /// Its id.
    pub(super) id: &'static str,
    /// What it asks, in a few words.
    pub(super) what: &'static str,
    /// What of it is not carried out yet; empty where nothing is missing.
    pub(super) open: Open,
}

/// How much of a row is left to later.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    /// Nothing.
    No,
    /// This part; the rest has its test.
    Part(&'static str),
    /// All of it.
    Whole,
}

const fn row(id: &'static str, what: &'static str) -> Known {
    Known { id, what, open: Open::No }
}

const fn partly(id: &'static str, what: &'static str, missing: &'static str) -> Known {
    Known { id, what, open: Open::Part(missing) }
}

const fn later(id: &'static str, what: &'static str) -> Known {
    Known { id, what, open: Open::Whole }
}

/// Every row, in order.
pub(super) const ROWS: &[Known] = &[
    row("VS1", "a semver tag starts the release, anything else does not"),
    row("VS2", "built once, used by digest, with an SBOM"),
    row("VS3", "staging: migration Job, blue, smoke tests, switch"),
    later("VS4", "staging's results in front of the approver"),
    row("VS5", "production: migrate, blue, test, switch, watch, keep, delete by timer"),
    row("VS6", "two pools go and come back as one"),
    row("VS7", "rollbacks: switch back, version, migration down, flag off, triggers"),
    partly("VS8", "smoke tests of every pod", "manual checks as a checklist on the gate"),
    row("VS9", "metrics before against after"),
    row("VS10", "overlays with the differences of the guide's table"),
    partly("VS11", "secrets required, passed through, rotated", "the schedule of rotations"),
    later("VS12", "quality gates before a release may start"),
    row("VS13", "a failed stage says why and what to do"),
    row("VS14", "the manual deployment to dev"),
    row("VS15", "preflight: versions, permissions, registry, database"),
    row("VS16", "capacity for two releases at once"),
    row("VS17", "one status view"),
    row("VS18", "evidence kept before a rollback removes it"),
    row("VS19", "an environment set up from nothing, twice"),
    row("RA1", "three components built side by side"),
    row("RA2", "staging by Helm or by setting the image"),
    row("RA3", "staging and production verified"),
    row("RA4", "blue-green between two named Deployments"),
    row("RA5", "rolling, with a way back to a named version"),
    partly("RA6", "rollback triggers", "a critical vulnerability found"),
    later("RA7", "checklists before deployments"),
    row("RA8", "required variables before the first step"),
    partly("RA9", "migrations up, verify, down, backup first", "only inside the window"),
    later("RA10", "notices by severity"),
    later("RA11", "branch to environment mapping"),
    row("RA12", "dependency health as a gate"),
    row("RA13", "data integrity after a database rollback"),
    later("RA14", "a vulnerability found later"),
    row("RA15", "two-level thresholds"),
    later("RA16", "escalation by time"),
    row("RA17", "diagnoses"),
    row("RA18", "alert rules generated from the triggers"),
    row("RA19", "a new migration made and tried locally"),
    row("RA20", "the load test as a gate"),
    row("RA21", "log scan of the new release's pods"),
];
