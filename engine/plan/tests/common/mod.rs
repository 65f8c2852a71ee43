//! Plans made from workflow text, for the tests of this crate.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;

use serde_json::{Map, json};
use tagline_plan::{Person, Plan, PlanError, Request, Trigger, WorkflowFile, build};
use tagline_syntax::diagnostic::SourceFile;
use tagline_syntax::environments::{self, EnvironmentsFile};
use tagline_syntax::workflow;

/// The rules in a text.
pub(crate) fn rules(text: &str) -> EnvironmentsFile {
    let outcome = environments::read(&SourceFile::new("environments.yml", text));
    assert!(outcome.diagnostics.is_empty(), "{:?}", outcome.diagnostics);
    outcome.file.expect("a file")
}

/// The plan of a workflow released as v1.2.3.
pub(crate) fn plan_with(text: &str, rules: Option<&EnvironmentsFile>, actor: &str) -> Result<Plan, Vec<PlanError>> {
    let outcome = workflow::read(&SourceFile::new("release.yml", text));
    let workflow = outcome.workflow.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics));
    build(Request {
        repository: "storefront".to_owned(),
        trigger: Trigger {
            event: "push".to_owned(),
            commit: "4f9c2ab".repeat(6)[..40].to_owned(),
            subject: "Fix tenant cache".to_owned(),
            reference: "refs/tags/v1.2.3".to_owned(),
            tag: Some("v1.2.3".to_owned()),
            version: Some("1.2.3".to_owned()),
            working_tree: false,
            actor: Person { name: actor.to_owned(), email: format!("{actor}@example.com") },
            involved: BTreeMap::new(),
            payload: json!({"ref": "refs/tags/v1.2.3"}),
        },
        workflow: &workflow,
        file: WorkflowFile { path: "release.yml".into(), name: "release".into(), digest: "sha256:00".into() },
        environments: rules,
        policy_version: "none".to_owned(),
        policy_origin: "main, 71aa0c3".to_owned(),
        inputs: Map::new(),
    })
}

/// The plan of a workflow without environments.
pub(crate) fn plan(text: &str) -> Plan {
    plan_with(text, None, "jonas").unwrap_or_else(|errors| panic!("{errors:?}"))
}
