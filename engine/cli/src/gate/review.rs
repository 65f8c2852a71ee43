//! What an approver reads about a gate. Text and JSON come from the same value, and what does not exist is not shown.

use std::collections::BTreeMap;

use serde::Serialize;
use tagline_plan::{GateJob, GateStep, PlannedDelivery};
use tagline_run::view::{ApprovalView, ArtifactView, ReviewerView, VoteView, approval};
use tagline_run::{Decision, GateId, JobKey, RunState};
use tagline_store::Store;

use super::bill::{self, Bill};
use crate::context::Context;
use crate::output::{Facts, Style};
use crate::words::{self, plain, short_commit, short_digest};

/// Columns of a label.
const LABEL: usize = 9;

/// A gate with what its approver is shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Review {
    /// The gate.
    #[serde(flatten)]
    pub(crate) view: ApprovalView,
    /// How many components the release's bill of materials lists; none where there is no bill.
    pub(crate) components: Option<usize>,
    /// The bill.
    #[serde(skip)]
    pub(crate) bill: Option<Bill>,
}

/// The review of a gate for a person; none when the run has no such gate.
pub(crate) fn review(store: &Store, state: &RunState, gate: GateId, viewer: Option<&str>) -> Option<Review> {
    let environment = &state.gates.get(&gate)?.environment;
    let view = approval(state, gate, viewer, super::live(store, state.run, environment))?;
    let bill = bill::find(store, state);
    Some(Review { view, components: bill.as_ref().map(|bill| bill.components.len()), bill })
}

impl Review {
    /// The release as one types it: `1.2.3`, else the environment's name.
    pub(crate) fn word(&self) -> &str {
        self.view.version.as_deref().unwrap_or(&self.view.environment)
    }

    /// The text of the approval, with its first line.
    pub(crate) fn lines(&self, context: &Context, facts: &Facts) -> Vec<String> {
        let mut page = Page { facts: *facts, lines: vec![self.head(facts)] };
        let view = &self.view;
        view.first.iter().for_each(|first| page.add("First", first));
        page.add("Release", &self.release(context));
        page.add("Asked by", &format!("{}, {}", view.asked_by.email, context.time(view.asked_at)));
        if let Some(after) = &view.after {
            page.add("After", &self.passed(after));
        }
        self.artifacts(&mut page);
        for line in outputs(&view.outputs) {
            page.add("Outputs", &line);
        }
        jobs(&view.jobs, &mut page);
        deliveries(&view.deliveries, &mut page);
        page.add("Rules", &self.rules());
        page.add("Address", view.url.as_deref().unwrap_or_default());
        page.add("Votes", &self.votes(context));
        view.votes.iter().for_each(|vote| page.more(&one_vote(vote, context)));
        if let Some(you) = view.you.as_ref().filter(|you| !you.may_vote && view.status == "waiting") {
            page.more(&format!("You cannot vote: {}. {}", you.reason, can(&view.reviewers)));
        }
        page.lines
    }

    fn head(&self, facts: &Facts) -> String {
        let view = &self.view;
        let (repository, word, environment) =
            (plain(&view.repository), plain(self.release_word()), plain(&view.environment));
        let what = match view.status {
            "waiting" => format!("Approve {repository} {word} for {environment}?"),
            _ => format!("{repository} {word} for {environment}: {}", plain(&view.outcome)),
        };
        let plan = view.plan.as_deref().map_or_else(String::new, |plan| format!(", plan {}", short_digest(plan)));
        format!("{}       run {}{plan}", facts.paint(Style::Strong, what), view.run)
    }

    fn release_word(&self) -> &str {
        let view = &self.view;
        view.version.as_deref().unwrap_or_else(|| short_commit(&view.commit))
    }

    fn release(&self, context: &Context) -> String {
        let view = &self.view;
        let what =
            format!("{}  {} \"{}\"", words::reference(&view.reference), short_commit(&view.commit), view.subject);
        match &view.live {
            Some(live) => {
                let version = live.version.as_deref().unwrap_or_else(|| short_commit(&live.commit));
                format!("{what}; live is {version} since {} (run {})", context.time(live.since), live.run)
            }
            None => format!("{what}; nothing is recorded as live there"),
        }
    }

    /// What has passed the environment before. An exempt artifact may not have, so it is not said of it.
    fn passed(&self, after: &str) -> String {
        let (exempt, asked): (Vec<_>, Vec<_>) = self.view.artifacts.iter().partition(|artifact| artifact.exempt);
        let what = if asked.is_empty() { "this release has" } else { "these digests have" };
        let exempt: Vec<&str> = exempt.iter().map(|artifact| artifact.name.as_str()).collect();
        let but = if exempt.is_empty() { String::new() } else { format!("; not asked of {}", exempt.join(", ")) };
        format!("{after}, which {what} passed{but}")
    }

    fn artifacts(&self, page: &mut Page) {
        let kind = |artifact: &&ArtifactView| artifact.kind.clone().unwrap_or_else(|| "file".to_owned());
        let (images, others): (Vec<_>, Vec<_>) = self.view.artifacts.iter().partition(|one| kind(one) == "image");
        let (bills, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|one| kind(one) == "sbom");
        for artifact in images {
            page.add("Images", &named(artifact));
        }
        // Whatever is bound is shown, also of a kind that has no line of its own.
        for artifact in others {
            let kind = kind(&artifact);
            let kind = if kind == "file" { String::new() } else { format!("  ({kind})") };
            page.add("Artifacts", &format!("{}{kind}", named(artifact)));
        }
        for artifact in bills {
            let count = self.components.map_or_else(String::new, |n| format!("{}  ", words::count(n, "component")));
            page.add("SBOM", &format!("{count}{}", named(artifact)));
        }
    }

    fn rules(&self) -> String {
        let view = &self.view;
        let workflow = format!("{} {}", view.workflow, short_digest(&view.workflow_digest));
        if view.policy_origin.is_empty() {
            return format!("workflow {workflow}");
        }
        let version = short_digest(&view.policy_version);
        format!("environments.yml {version} of {}; workflow {workflow}", view.policy_origin)
    }

    fn votes(&self, context: &Context) -> String {
        let view = &self.view;
        if view.required == 0 {
            return "nobody is asked".to_owned();
        }
        let yes = view.votes.iter().filter(|vote| vote.decision == Decision::Approve).count();
        let from: Vec<String> = view.from.iter().map(|(team, n)| format!("{n} must be from {team}")).collect();
        let mut parts =
            vec![std::iter::once(format!("{yes} of {}", view.required)).chain(from).collect::<Vec<_>>().join(", ")];
        if view.status == "waiting" {
            parts.extend(view.expires.map(|at| format!("expires {}", context.time(at))));
            parts.extend(view.you.as_ref().filter(|you| you.may_vote).map(|you| you.reason.clone()));
        } else {
            parts.push(view.outcome.clone());
        }
        parts.join("; ")
    }
}

/// `Can: ona, rasa (ops); petras`.
pub(crate) fn can(reviewers: &[ReviewerView]) -> String {
    let mut by_teams: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for reviewer in reviewers.iter().filter(|reviewer| reviewer.may_vote) {
        by_teams.entry(reviewer.teams.join(", ")).or_default().push(&reviewer.email);
    }
    let group = |(teams, people): (&String, &Vec<&str>)| {
        let people = people.join(", ");
        if teams.is_empty() { people } else { format!("{people} ({teams})") }
    };
    let groups: Vec<String> = by_teams.iter().map(group).collect();
    if groups.is_empty() { "Nobody can vote now".to_owned() } else { format!("Can: {}", groups.join("; ")) }
}

fn named(artifact: &ArtifactView) -> String {
    let size = artifact.size.map_or_else(String::new, |size| format!("  {}", words::size(size)));
    format!("{}@sha256:{}{size}", artifact.name, short_digest(&artifact.digest))
}

fn outputs(outputs: &BTreeMap<String, indexmap::IndexMap<String, String>>) -> Vec<String> {
    let of_job = |(job, values): (&String, &indexmap::IndexMap<String, String>)| {
        values.iter().map(|(name, value)| format!("{job}.{name} = {value}")).collect::<Vec<_>>()
    };
    outputs.iter().flat_map(of_job).collect()
}

fn jobs(jobs: &[GateJob], page: &mut Page) {
    let mut number = 0;
    for job in jobs {
        let image = job.image.as_deref().map_or_else(String::new, |image| format!(" in {image}"));
        page.add("Job", &format!("{}{image}: {}", job.name, words::count(job.steps.len(), "step")));
        for step in &job.steps {
            number += 1;
            page.more(&format!("{number:>3} {}", step_line(step)));
        }
    }
}

/// What changes in the cluster, by delivery step.
fn deliveries(deliveries: &[PlannedDelivery], page: &mut Page) {
    for delivery in deliveries {
        let job = JobKey::new(&delivery.job, delivery.leg);
        let plan = short_digest(&delivery.digest);
        page.add("Delivers", &format!("{} in {job}, step {}, plan {plan}", delivery.uses, delivery.step + 1));
        delivery.summary.iter().for_each(|line| page.more(&format!("  {line}")));
    }
}

fn step_line(step: &GateStep) -> String {
    match step {
        GateStep::Run { name, .. } => name.clone(),
        GateStep::Uses { uses, with } => {
            let with: Vec<String> = with.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            if with.is_empty() { uses.clone() } else { format!("{uses}  {}", with.join(", ")) }
        }
    }
}

fn one_vote(vote: &VoteView, context: &Context) -> String {
    let did = if vote.decision == Decision::Approve { "approved" } else { "rejected" };
    let teams = if vote.teams.is_empty() { String::new() } else { format!(" ({})", vote.teams.join(", ")) };
    let signed = vote.signed.as_deref().map_or("unsigned".to_owned(), |key| format!("signed {key}"));
    let comment = if vote.comment.is_empty() { String::new() } else { format!(": \"{}\"", vote.comment) };
    format!("{}{teams} {did} at {}, {signed}{comment}", vote.by.email, context.time(vote.at))
}

/// Labelled lines, wrapped with their indent.
struct Page {
    facts: Facts,
    lines: Vec<String>,
}

impl Page {
    fn add(&mut self, label: &str, text: &str) {
        if !text.is_empty() {
            let label = self.facts.paint(Style::Strong, format!("{label:<LABEL$}"));
            self.push(&format!("  {label} "), text);
        }
    }

    fn more(&mut self, text: &str) {
        self.push(&" ".repeat(LABEL + 3), text);
    }

    fn push(&mut self, start: &str, text: &str) {
        let indent = LABEL + 3;
        let room = self.facts.width.saturating_sub(indent + 1).max(20);
        let mut lines = wrap(&plain(text), room).into_iter();
        self.lines.push(format!("{start}{}", lines.next().unwrap_or_default()).trim_end().to_owned());
        self.lines.extend(lines.map(|line| format!("{:indent$}{line}", "")));
    }
}

/// Lines of at most so many columns, broken at blanks where there are some. Blanks at the start stay.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let last = lines.last_mut().expect("there is always one");
        let fits = console::measure_text_width(last) + console::measure_text_width(word.trim_end()) <= columns;
        if fits || last.trim().is_empty() {
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::sample::Sample;

    #[test]
    fn long_text_is_wrapped_at_blanks_and_digests_stay_whole() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(wrap(&format!("x {digest} y"), 20), ["x".to_owned(), digest, "y".to_owned()]);
        assert_eq!(wrap("  2 Push", 20), ["  2 Push"]);
    }

    #[test]
    fn the_page_shows_what_there_is_and_nothing_else() {
        let sample = Sample::gate();
        let gate = crate::gate::open_gates(&sample.state).next().unwrap();
        let view = approval(&sample.state, gate, Some("ona@example.com"), None).unwrap();
        let plan = short_digest(view.plan.as_deref().unwrap()).to_owned();
        let review = Review { view, components: None, bill: None };
        let context = context();
        let facts = Facts { terminal: true, colour: false, symbols: true, width: 120 };
        let time = |text: &str| context.time(text.parse().unwrap());
        let (asked, expires) = (time("2026-11-19T14:20:00Z"), time("2026-11-22T14:24:01Z"));
        let expected = format!(
            r#"
Approve village-storefront 1.2.3 for production?       run 418, plan {plan}
  Release   v1.2.3  4f9c2ab "Fix tenant cache"; nothing is recorded as live there
  Asked by  jonas@example.com, {asked}
  After     staging, which these digests have passed
  Images    image@sha256:9b9b9b9b9b9b  4.0 MiB
  Job       deploy-production: 2 steps
              1 actions/download-artifact@v4  name: image
              2 deploy blue
  Rules     environments.yml 080808080808 of main, 71aa0c3; workflow .github/workflows/release.yml 070707070707
  Address   https://storefront.example
  Votes     0 of 2, 1 must be from ops; expires {expires}; you vote as ona@example.com (ops)
"#
        );
        assert_eq!(review.lines(&context, &facts).join("\n"), expected.trim());
        assert_eq!(review.word(), "1.2.3");
    }

    #[test]
    fn whatever_is_bound_is_shown_and_only_what_had_to_pass_is_said_to_have() {
        let sample = Sample::gate();
        let gate = crate::gate::open_gates(&sample.state).next().unwrap();
        let mut view = approval(&sample.state, gate, None, None).unwrap();
        let artifact = |name: &str, kind: Option<&str>| ArtifactView {
            name: name.to_owned(),
            digest: format!("sha256:{}", "01".repeat(32)),
            size: None,
            kind: kind.map(str::to_owned),
            exempt: kind == Some("sbom"),
        };
        view.artifacts = vec![
            artifact("bill", Some("sbom")),
            artifact("chart", Some("helm")),
            artifact("image", Some("image")),
            artifact("notes", Some("file")),
            artifact("older", None),
        ];
        let lines = |view: &ApprovalView| {
            let review = Review { view: view.clone(), components: None, bill: None };
            review.lines(&context(), &Facts { width: 200, ..Facts::PLAIN })
        };
        let shown = lines(&view);
        let about: Vec<&str> = shown.iter().filter(|line| line.contains("sha256:")).map(|line| line.trim()).collect();
        assert_eq!(
            about,
            [
                "Images    image@sha256:010101010101",
                "Artifacts chart@sha256:010101010101  (helm)",
                "Artifacts notes@sha256:010101010101",
                "Artifacts older@sha256:010101010101",
                "SBOM      bill@sha256:010101010101",
            ]
        );
        let after = |view: &ApprovalView| lines(view).into_iter().find(|line| line.contains("After")).unwrap();
        assert_eq!(after(&view).trim(), "After     staging, which these digests have passed; not asked of bill");
        view.artifacts.truncate(1);
        assert_eq!(after(&view).trim(), "After     staging, which this release has passed; not asked of bill");
    }

    #[test]
    fn text_and_json_tell_the_same() {
        let sample = Sample::gate();
        let gate = crate::gate::open_gates(&sample.state).next().unwrap();
        let view = approval(&sample.state, gate, Some("jonas@example.com"), None).unwrap();
        let review = Review { view, components: Some(312), bill: None };
        let json = serde_json::to_value(&review).unwrap();
        let text = review.lines(&context(), &Facts { width: 200, ..Facts::PLAIN }).join("\n");
        for fact in ["repository", "version", "environment", "after", "url", "workflow"] {
            let value = json[fact].as_str().unwrap_or_else(|| panic!("{fact}: {json}"));
            assert!(text.contains(value), "the text lacks {fact} {value}:\n{text}");
        }
        assert!(text.contains(short_digest(json["plan"].as_str().unwrap())), "{text}");
        assert_eq!(json["components"], 312);
        let you = json["you"]["reason"].as_str().unwrap();
        assert!(text.contains(&format!("You cannot vote: {you}. Can: petras@example.com (managers);")), "{text}");
        assert!(text.contains("1 must be from ops"), "{text}");
    }

    fn context() -> Context {
        let global = crate::args::Global { store: Some("sqlite:///nowhere".into()), repo: None, verbose: false };
        Context::new(&global).unwrap()
    }

    #[test]
    fn those_who_can_vote_are_named_with_their_teams() {
        let reviewer = |email: &str, team: &str, may_vote| ReviewerView {
            email: email.to_owned(),
            teams: if team.is_empty() { vec![] } else { vec![team.to_owned()] },
            may_vote,
            reason: String::new(),
        };
        let people = [
            reviewer("ona@example.com", "ops", true),
            reviewer("jonas@example.com", "ops", false),
            reviewer("rasa@example.com", "ops", true),
            reviewer("petras@example.com", "", true),
        ];
        assert_eq!(can(&people), "Can: petras@example.com; ona@example.com, rasa@example.com (ops)");
        assert_eq!(can(&[]), "Nobody can vote now");
    }
}
