//! The types of an action's metadata: plain data, before anything is evaluated.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::workflow::{Step, Text};

/// A whole metadata file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// `name`.
    pub name: String,
    /// `description`.
    pub description: String,
    /// `inputs`, in the file's order.
    pub inputs: IndexMap<String, ActionInput>,
    /// `outputs` with their `value`, which only composite actions have.
    pub outputs: IndexMap<String, Option<Text>>,
    /// `runs`.
    pub runs: Runs,
}

/// One input of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ActionInput {
    /// `required`, which GitHub's runner does not enforce.
    pub required: bool,
    /// `default`.
    pub default: Option<Text>,
    /// `deprecationMessage`.
    pub deprecation: Option<String>,
}

/// `runs`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Runs {
    /// `using: composite`.
    Composite {
        /// `steps`; every `run` names its shell.
        steps: Vec<Step>,
    },
    /// `using: node24` and its like.
    Node {
        /// `using`.
        using: String,
        /// `main`, `pre` and `post`, by name.
        scripts: IndexMap<String, String>,
        /// `pre-if` and `post-if`, by name.
        conditions: IndexMap<String, Text>,
    },
    /// `using: docker`.
    Docker {
        /// `image`: `Dockerfile` or `docker://IMAGE`.
        image: String,
        /// `entrypoint`, `pre-entrypoint` and `post-entrypoint`, by name.
        entrypoints: IndexMap<String, String>,
        /// `args`.
        args: Vec<Text>,
        /// `env`.
        env: IndexMap<String, Text>,
        /// `pre-if` and `post-if`, by name.
        conditions: IndexMap<String, Text>,
    },
}
