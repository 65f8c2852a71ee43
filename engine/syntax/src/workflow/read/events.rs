//! The events of `on` and what each may be configured with.
//!
//! The facts are those of GitHub's published schema, `workflow-v1.0.json` of `actions/languageservices`.

/// What one event knows.
pub(super) struct EventKind {
    pub(super) name: &'static str,
    /// Values of `types`; empty where the event has none, or takes any.
    pub(super) types: &'static [&'static str],
    /// Other keys: filters, `types` of any value, `workflows`, `names`, `versions`.
    pub(super) keys: &'static [&'static str],
}

const fn event(name: &'static str, types: &'static [&'static str], keys: &'static [&'static str]) -> EventKind {
    EventKind { name, types, keys }
}

const PULL_REQUEST: &[&str] = &[
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "opened",
    "edited",
    "closed",
    "reopened",
    "synchronize",
    "converted_to_draft",
    "locked",
    "unlocked",
    "enqueued",
    "dequeued",
    "milestoned",
    "demilestoned",
    "ready_for_review",
    "review_requested",
    "review_request_removed",
    "auto_merge_enabled",
    "auto_merge_disabled",
    "stacked",
];
const PULL_REQUEST_FILTERS: &[&str] = &["branches", "branches-ignore", "paths", "paths-ignore"];

/// Events whose configuration is a list, or has inputs: read apart.
pub(super) const OTHERS: &[&str] = &["schedule", "workflow_call", "workflow_dispatch"];

/// Every other event.
pub(super) const EVENTS: &[EventKind] = &[
    event("branch_protection_rule", &["created", "edited", "deleted"], &[]),
    event("check_run", &["completed", "created", "rerequested", "requested_action"], &[]),
    event("check_suite", &["completed"], &[]),
    event("create", &[], &[]),
    event("delete", &[], &[]),
    event("deployment", &[], &[]),
    event("deployment_status", &[], &[]),
    event(
        "discussion",
        &[
            "created",
            "edited",
            "deleted",
            "transferred",
            "pinned",
            "unpinned",
            "labeled",
            "unlabeled",
            "locked",
            "unlocked",
            "category_changed",
            "answered",
            "unanswered",
        ],
        &[],
    ),
    event("discussion_comment", &["created", "edited", "deleted"], &[]),
    event("fork", &[], &[]),
    event("gollum", &[], &[]),
    event("image_version", &["created", "ready", "deleted"], &["names", "versions"]),
    event("issue_comment", &["created", "edited", "deleted"], &[]),
    event(
        "issues",
        &[
            "opened",
            "edited",
            "deleted",
            "transferred",
            "pinned",
            "unpinned",
            "closed",
            "reopened",
            "assigned",
            "unassigned",
            "labeled",
            "unlabeled",
            "locked",
            "unlocked",
            "milestoned",
            "demilestoned",
            "field_added",
            "field_removed",
            "typed",
            "untyped",
        ],
        &[],
    ),
    event("label", &["created", "edited", "deleted"], &[]),
    event("merge_group", &["checks_requested"], &["branches", "branches-ignore"]),
    event("milestone", &["created", "closed", "opened", "edited", "deleted"], &[]),
    event("page_build", &[], &[]),
    event("project", &["created", "closed", "reopened", "edited", "deleted"], &[]),
    event("project_card", &["created", "moved", "converted", "edited", "deleted"], &[]),
    event("project_column", &["created", "updated", "moved", "deleted"], &[]),
    event("public", &[], &[]),
    event("pull_request", PULL_REQUEST, PULL_REQUEST_FILTERS),
    event("pull_request_comment", &["created", "edited", "deleted"], &[]),
    event("pull_request_review", &["submitted", "edited", "dismissed"], &[]),
    event("pull_request_review_comment", &["created", "edited", "deleted"], &[]),
    event("pull_request_target", PULL_REQUEST, PULL_REQUEST_FILTERS),
    event("push", &[], &["branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore"]),
    event("registry_package", &["published", "updated"], &[]),
    event("release", &["published", "unpublished", "created", "edited", "deleted", "prereleased", "released"], &[]),
    event("repository_dispatch", &[], &["types"]),
    event("status", &[], &[]),
    event("watch", &["started"], &[]),
    event("workflow_run", &["requested", "completed", "in_progress"], &["workflows", "branches", "branches-ignore"]),
];
