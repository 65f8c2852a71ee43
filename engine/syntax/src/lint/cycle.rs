//! Jobs wait for each other.

use super::Rule;

/// Found when a workflow is read.
pub(super) struct Cycle;

impl Rule for Cycle {
    fn name(&self) -> &'static str {
        "cycle"
    }

    fn doc(&self) -> &'static str {
        "Jobs that need each other in a circle would wait for ever. The message names every job of the circle in order."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n  b:\n    needs: [a, c]\n    runs-on: ubuntu-latest\n  \
         c:\n    needs: b\n    runs-on: ubuntu-latest\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n  b:\n    needs: [a]\n    runs-on: ubuntu-latest\n  \
         c:\n    needs: b\n    runs-on: ubuntu-latest\n"
    }
}
