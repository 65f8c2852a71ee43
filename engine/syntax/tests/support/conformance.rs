//! Reading the conformance suite that stands beside the project, and counting what passes.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One case: a record of the suite.
pub(crate) struct Case {
    /// The whole record.
    pub(crate) json: Json,
}

impl Case {
    pub(crate) fn kind(&self) -> &str {
        self.json["kind"].as_str().unwrap_or_default()
    }

    pub(crate) fn input(&self) -> &str {
        self.json["input"].as_str().unwrap_or_default()
    }
}

/// The cases of these kinds; `None`, and a line that says so, where the suite is not there.
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a test reads the suite and says when it cannot")]
pub(crate) fn load(kinds: &[&str]) -> Option<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let Ok(files) = fs::read_dir(&folder) else {
        println!("skipped: no conformance suite at {}", folder.display());
        return None;
    };
    let mut paths: Vec<_> = files.flatten().map(|file| file.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("a file of the suite is readable");
        for line in text.lines() {
            let json = serde_json::from_str(line).expect("a line of the suite is JSON");
            cases.push(Case { json });
        }
    }
    cases.retain(|case| kinds.contains(&case.kind()));
    Some(cases)
}

/// Passed and failed cases by kind.
#[derive(Default)]
pub(crate) struct Score {
    kinds: BTreeMap<String, (usize, usize)>,
    failed: Vec<String>,
}

impl Score {
    pub(crate) fn add(&mut self, case: &Case, passed: bool) {
        let (good, all) = self.kinds.entry(case.kind().to_owned()).or_default();
        *good += usize::from(passed);
        *all += 1;
        if !passed {
            let id = case.json["id"].as_str().unwrap_or_default();
            self.failed.push(format!("{id} | {}", case.json["input"]));
        }
    }

    #[expect(clippy::print_stdout, reason = "the score is for whoever runs the test")]
    pub(crate) fn print(&self) {
        for failed in &self.failed {
            println!("failed: {failed}");
        }
        for (kind, (good, all)) in &self.kinds {
            println!("{kind}: {good} of {all}");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of cases")]
    pub(crate) fn percent(&self) -> f64 {
        let (good, all) = self.kinds.values().fold((0, 0), |sum, kind| (sum.0 + kind.0, sum.1 + kind.1));
        100.0 * good as f64 / all.max(1) as f64
    }
}
