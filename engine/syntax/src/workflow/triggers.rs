//! `on`: which events start a workflow.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::Text;

/// `on`, by event name in the file's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Triggers {
    /// The events with their configuration.
    pub events: IndexMap<String, Event>,
}

/// The configuration of one event. What an event does not know stays empty (the reader refuses it otherwise).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Event {
    /// `branches`; none when not given, which differs from an empty list.
    pub branches: Option<Vec<String>>,
    /// `branches-ignore`.
    pub branches_ignore: Option<Vec<String>>,
    /// `tags`.
    pub tags: Option<Vec<String>>,
    /// `tags-ignore`.
    pub tags_ignore: Option<Vec<String>>,
    /// `paths`.
    pub paths: Option<Vec<String>>,
    /// `paths-ignore`.
    pub paths_ignore: Option<Vec<String>>,
    /// `types`.
    pub types: Vec<String>,
    /// `workflows` of `workflow_run`.
    pub workflows: Vec<String>,
    /// `cron` lines of `schedule`.
    pub cron: Vec<String>,
    /// `inputs` of `workflow_dispatch` and `workflow_call`.
    pub inputs: IndexMap<String, Input>,
    /// `outputs` of `workflow_call`.
    pub outputs: IndexMap<String, Text>,
    /// `secrets` of `workflow_call`: required or not.
    pub secrets: IndexMap<String, bool>,
}

impl Event {
    /// Filters that are given together with their `-ignore` form, which no event can have: `branches`, `tags`, `paths`.
    pub fn both_filters(&self) -> impl Iterator<Item = &'static str> {
        let both = [
            (self.branches.is_some() && self.branches_ignore.is_some(), "branches"),
            (self.tags.is_some() && self.tags_ignore.is_some(), "tags"),
            (self.paths.is_some() && self.paths_ignore.is_some(), "paths"),
        ];
        both.into_iter().filter(|(both, _)| *both).map(|(_, filter)| filter)
    }
}

/// One input of `workflow_dispatch` or `workflow_call`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Input {
    /// `type`: `string`, `boolean`, `number`, `choice`, `environment`.
    pub kind: String,
    /// `required`.
    pub required: bool,
    /// `default`, as text.
    pub default: Option<Text>,
    /// `options` of a choice.
    pub options: Vec<String>,
    /// `description`.
    pub description: Option<String>,
}
