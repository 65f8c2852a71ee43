//! `needs` names no job.

use super::Rule;

/// Found when a workflow is read.
pub(super) struct UnknownJob;

impl Rule for UnknownJob {
    fn name(&self) -> &'static str {
        "unknown-job"
    }

    fn doc(&self) -> &'static str {
        "A job can only need jobs of the same workflow. Ids of jobs are compared ignoring case, as on GitHub."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n  deploy:\n    needs: biuld\n    runs-on: ubuntu-latest\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  build:\n    runs-on: ubuntu-latest\n  deploy:\n    needs: BUILD\n    runs-on: ubuntu-latest\n"
    }
}
