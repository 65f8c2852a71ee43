//! A job shares its workflow's concurrency group.

use super::Rule;

/// Found when a workflow is read.
pub(super) struct DuplicateGroup;

impl Rule for DuplicateGroup {
    fn name(&self) -> &'static str {
        "duplicate-group"
    }

    fn doc(&self) -> &'static str {
        "A run holds its workflow's concurrency group while its jobs run. A job that asks for the same group waits for \
         its own run, so neither ends. Groups are compared ignoring case."
    }

    fn bad(&self) -> &'static str {
        "on: push\nconcurrency: deploy\njobs:\n  a:\n    runs-on: ubuntu-latest\n    concurrency: Deploy\n"
    }

    fn good(&self) -> &'static str {
        "on: push\nconcurrency: release\njobs:\n  a:\n    runs-on: ubuntu-latest\n    concurrency: deploy\n"
    }
}
