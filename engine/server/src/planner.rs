//! From a repository and what happened in it to plans: which workflows start, and everything that is refused before the
//! first step.
//!
//! A dry run and a real run come through here alike, so they agree on the release digest.

use std::path::Path;

use serde_json::{Map, Value, json};
use tagline_plan::digest::digest_bytes;
use tagline_plan::{Person, Plan, Request, Trigger, WorkflowFile};
use tagline_syntax::diagnostic::{Diagnostic, SourceFile, tidy};
use tagline_syntax::environments::{self, EnvironmentsFile};
use tagline_syntax::filter::{PushFilter, PushRef};
use tagline_syntax::tag::ReleaseTag;
use tagline_syntax::workflow::{self, Event, Workflow};

use crate::delivery;
use crate::planner_error::PlannerError;
use crate::repository::{CommitInfo, ENVIRONMENTS_FILE, ReadFile, Repository, RepositoryError, Source, TagInfo};

/// What is to be planned.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// One workflow, by path, file name or name; none means every one whose filter matches.
    pub workflow: Option<String>,
    /// The tag that is released; none means the working tree.
    pub tag: Option<String>,
    /// Without a tag: the event, `push` unless said otherwise.
    pub event: Option<String>,
    /// `github.event`, or what of it is given.
    pub payload: Option<Value>,
    /// Who asks; none means whom the Git configuration names.
    pub actor: Option<Person>,
}

/// A plan with what was noticed on the way.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The workflow's file, for messages with carets.
    pub source: SourceFile,
    /// Warnings of the file.
    pub warnings: Vec<Diagnostic>,
    /// Sentences for the person who asked.
    pub notes: Vec<String>,
}

/// Plans what a repository's tag or working tree starts.
///
/// # Errors
/// See [`PlannerError`]; nothing was started.
pub fn plan(repository: &Repository, ask: &Ask) -> Result<Vec<Planned>, PlannerError> {
    let occasion = Occasion::of(repository, ask)?;
    let rules = Rules::read(repository)?;
    let mut planned = Vec::new();
    let mut passed_over = Vec::new();
    for path in chosen(repository, &occasion, ask)? {
        let file = read_workflow(repository, &occasion, &path)?;
        match starts(&file.workflow, &occasion) {
            Ok(()) => planned.push(one(repository, &occasion, &rules, ask, file)?),
            Err(why) => passed_over.push((path, why)),
        }
    }
    if planned.is_empty() {
        return Err(PlannerError::NothingStarts { what: occasion.describe(), passed_over });
    }
    Ok(planned)
}

/// Plans a workflow that is built in, for one environment whose rules for releases do not hold it up: who approves, which
/// versions, what came before. `version` is the one that it makes live.
pub(crate) fn own(
    repository: &Repository,
    path: &str,
    text: &str,
    environment: &str,
    version: &str,
    actor: Option<Person>,
) -> Result<Planned, PlannerError> {
    let ask = Ask { event: Some("workflow_dispatch".to_owned()), payload: Some(json!({})), actor, ..Ask::default() };
    let mut occasion = Occasion::of(repository, &ask)?;
    occasion.source = Source::Commit(occasion.commit.id.clone());
    let mut rules = Rules::read(repository)?;
    let all = rules.file.iter_mut().flat_map(|file| &mut file.environments);
    for (_, rules) in all.filter(|(name, _)| name.eq_ignore_ascii_case(environment)) {
        (rules.reviewers, rules.after, rules.tags) = (None, None, None);
        (rules.secrets, rules.required_variables) = (Vec::new(), Vec::new());
    }
    let source = SourceFile::from_bytes(path, text.as_bytes());
    let outcome = workflow::read(&source);
    let Some(workflow) = outcome.workflow else {
        let (file, diagnostics) = (Box::new(source), outcome.diagnostics);
        return Err(PlannerError::Unusable { file, diagnostics, origin: "built in".to_owned() });
    };
    let digest = digest_bytes(text.as_bytes());
    let file = Usable { path: path.to_owned(), digest, source, workflow, warnings: Vec::new() };
    let mut planned = one(repository, &occasion, &rules, &ask, file)?;
    planned.plan.trigger.version = Some(version.to_owned());
    Ok(planned)
}

/// What happened.
struct Occasion {
    event: String,
    tag: Option<(TagInfo, ReleaseTag)>,
    commit: CommitInfo,
    reference: String,
    source: Source,
}

impl Occasion {
    fn of(repository: &Repository, ask: &Ask) -> Result<Self, PlannerError> {
        if let Some(name) = &ask.tag {
            let release = ReleaseTag::parse(name)?;
            let tag = repository.tag(name)?;
            return Ok(Self {
                event: "push".to_owned(),
                commit: tag.commit.clone(),
                reference: format!("refs/tags/{name}"),
                source: Source::Commit(tag.commit.id.clone()),
                tag: Some((tag, release)),
            });
        }
        let nobody = CommitInfo { id: "0".repeat(40), ..CommitInfo::default() };
        let (commit, reference) = repository.head().unwrap_or((nobody, "refs/heads/main".to_owned()));
        let source = if repository.is_bare() { Source::Commit(commit.id.clone()) } else { Source::WorkingTree };
        let event = ask.event.clone().unwrap_or_else(|| "push".to_owned());
        Ok(Self { event, tag: None, commit, reference, source })
    }

    /// Where its workflow is read.
    fn origin(&self) -> String {
        match &self.source {
            Source::Commit(id) => id.get(..7).unwrap_or(id).to_owned(),
            Source::WorkingTree => "working tree".to_owned(),
        }
    }

    fn describe(&self) -> String {
        match &self.tag {
            Some((tag, _)) => format!("the tag {}", tag.name),
            None => format!("the event {}", self.event),
        }
    }
}

/// The environments file in force.
pub(crate) struct Rules {
    pub(crate) file: Option<EnvironmentsFile>,
    version: String,
    pub(crate) origin: String,
    notes: Vec<String>,
}

impl Rules {
    pub(crate) fn read(repository: &Repository) -> Result<Self, PlannerError> {
        let Some(found) = repository.environments()? else {
            return Ok(Self { file: None, version: "none".to_owned(), origin: String::new(), notes: Vec::new() });
        };
        let source = SourceFile::from_bytes(ENVIRONMENTS_FILE, &found.bytes);
        let outcome = environments::read(&source);
        let Some(file) = outcome.file.filter(|_| !outcome.diagnostics.iter().any(Diagnostic::is_error)) else {
            let diagnostics = outcome.diagnostics;
            return Err(PlannerError::Unusable { file: Box::new(source), diagnostics, origin: found.origin });
        };
        let version = digest_bytes(&found.bytes);
        let notes = differs(repository, &found).into_iter().collect();
        Ok(Self { file: Some(file), version, origin: found.origin, notes })
    }
}

fn differs(repository: &Repository, found: &ReadFile) -> Option<String> {
    if repository.is_bare() {
        return None;
    }
    let here = repository.read(&Source::WorkingTree, ENVIRONMENTS_FILE).ok()?;
    (here.bytes != found.bytes).then(|| {
        format!("{ENVIRONMENTS_FILE} of the working tree differs; the one in force is that of {}", found.origin)
    })
}

/// A workflow file that can be used.
struct Usable {
    path: String,
    digest: String,
    source: SourceFile,
    workflow: Workflow,
    warnings: Vec<Diagnostic>,
}

fn read_workflow(repository: &Repository, occasion: &Occasion, path: &str) -> Result<Usable, PlannerError> {
    let found = repository.read(&occasion.source, path)?;
    let source = SourceFile::from_bytes(path, &found.bytes);
    let outcome = workflow::read(&source);
    let unusable = outcome.workflow.is_none() || outcome.diagnostics.iter().any(Diagnostic::is_error);
    let Some(workflow) = outcome.workflow.filter(|_| !unusable) else {
        let (file, diagnostics) = (Box::new(source), outcome.diagnostics);
        return Err(PlannerError::Unusable { file, diagnostics, origin: found.origin });
    };
    let missing = workflow::not_carried_out(&workflow);
    if !missing.is_empty() {
        return Err(PlannerError::NotCarriedOut { path: path.to_owned(), missing });
    }
    let digest = digest_bytes(&found.bytes);
    Ok(Usable { path: path.to_owned(), digest, source, workflow, warnings: outcome.diagnostics })
}

/// The files to look at: one that was named, or all.
fn chosen(repository: &Repository, occasion: &Occasion, ask: &Ask) -> Result<Vec<String>, PlannerError> {
    let all = repository.workflow_files(&occasion.source)?;
    let Some(wanted) = &ask.workflow else {
        return if all.is_empty() { Err(PlannerError::NoWorkflow(repository.root().to_owned())) } else { Ok(all) };
    };
    if let Some(path) = all.iter().find(|path| names(path, wanted)) {
        return Ok(vec![path.clone()]);
    }
    // A file somewhere else in the tree, named by its path.
    match repository.read(&occasion.source, wanted) {
        Ok(file) => return Ok(vec![file.path]),
        Err(RepositoryError::NoFile { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let by_name = all.iter().find(|path| {
        let read = repository.read(&occasion.source, path).ok();
        let outcome = read.map(|file| workflow::read(&SourceFile::from_bytes(path.as_str(), &file.bytes)));
        outcome.and_then(|o| o.workflow).and_then(|w| w.name).is_some_and(|name| name.eq_ignore_ascii_case(wanted))
    });
    match by_name {
        Some(path) => Ok(vec![path.clone()]),
        None => Err(PlannerError::NoSuchWorkflow { name: wanted.clone(), known: all }),
    }
}

fn names(path: &str, wanted: &str) -> bool {
    let file = Path::new(path);
    let is = |part: Option<&std::ffi::OsStr>| part.is_some_and(|p| p == wanted);
    path == wanted.trim_start_matches("./") || is(file.file_name()) || is(file.file_stem())
}

/// Whether a workflow starts, or the sentence why it does not.
fn starts(workflow: &Workflow, occasion: &Occasion) -> Result<(), String> {
    let Some(event) = workflow.on.events.get(&occasion.event) else {
        return Err(format!("it does not start on {}", occasion.event));
    };
    let Some((tag, _)) = &occasion.tag else { return Ok(()) };
    let filter =
        PushFilter::of_event(event).map_err(|errors| errors.iter().map(ToString::to_string).collect::<String>())?;
    let verdict = filter.matches(&PushRef::Tag(&tag.name), None);
    if verdict.runs { Ok(()) } else { Err(verdict.reason) }
}

fn one(
    repository: &Repository,
    occasion: &Occasion,
    rules: &Rules,
    ask: &Ask,
    file: Usable,
) -> Result<Planned, PlannerError> {
    let actor = match &ask.actor {
        Some(actor) => actor.clone(),
        None => repository.identity().ok_or(PlannerError::NoIdentity)?,
    };
    let mut trigger = trigger(repository, occasion, ask, &file, actor);
    let inputs = inputs(file.workflow.on.events.get(&occasion.event), trigger.payload.get("inputs"))?;
    if let Some(payload) = trigger.payload.as_object_mut().filter(|_| !inputs.is_empty()) {
        payload.insert("inputs".to_owned(), as_texts(&inputs));
    }
    let request = Request {
        repository: repository.name(),
        trigger,
        workflow: &file.workflow,
        file: WorkflowFile {
            name: file.workflow.name.clone().unwrap_or_else(|| file.path.clone()),
            path: file.path.clone(),
            digest: file.digest.clone(),
        },
        environments: rules.file.as_ref(),
        policy_version: rules.version.clone(),
        policy_origin: rules.origin.clone(),
        inputs,
    };
    match tagline_plan::build(request) {
        Ok(plan) => {
            let mut diagnostics = delivery::check(&plan, &file.source);
            if !diagnostics.is_empty() {
                diagnostics.extend(file.warnings);
                tidy(&mut diagnostics);
                let origin = occasion.origin();
                return Err(PlannerError::Unusable { file: Box::new(file.source), diagnostics, origin });
            }
            Ok(Planned { plan, source: file.source, warnings: file.warnings, notes: rules.notes.clone() })
        }
        Err(errors) => Err(PlannerError::Plan { file: Box::new(file.source), errors }),
    }
}

fn trigger(repository: &Repository, occasion: &Occasion, ask: &Ask, file: &Usable, actor: Person) -> Trigger {
    let commit = &occasion.commit;
    let mut involved = std::collections::BTreeMap::new();
    if !commit.author.email.is_empty() {
        involved.insert("author".to_owned(), commit.author.clone());
    }
    if let Some(tagger) = occasion.tag.as_ref().and_then(|(tag, _)| tag.tagger.clone()) {
        involved.insert("tagger".to_owned(), tagger);
    }
    if let Some(editor) = repository.last_editor(&commit.id, &file.path) {
        involved.insert("workflow-editor".to_owned(), editor);
    }
    Trigger {
        event: occasion.event.clone(),
        commit: commit.id.clone(),
        subject: commit.subject.clone(),
        reference: occasion.reference.clone(),
        tag: occasion.tag.as_ref().map(|(tag, _)| tag.name.clone()),
        version: occasion.tag.as_ref().map(|(_, release)| release.version().to_string()),
        working_tree: occasion.source == Source::WorkingTree,
        payload: payload(repository, occasion, ask, &actor),
        actor,
        involved,
    }
}

/// `github.event`: what was given, else what GitHub sends for a push.
fn payload(repository: &Repository, occasion: &Occasion, ask: &Ask, actor: &Person) -> Value {
    if let Some(payload) = &ask.payload {
        return payload.clone();
    }
    if occasion.event != "push" {
        return json!({});
    }
    let commit = &occasion.commit;
    json!({
        "ref": occasion.reference,
        "before": "0".repeat(40),
        "after": commit.id,
        "created": occasion.tag.is_some(),
        "deleted": false,
        "forced": false,
        "base_ref": null,
        "repository": {"name": repository.name(), "full_name": format!("local/{}", repository.name())},
        "pusher": {"name": actor.name, "email": actor.email},
        "sender": {"login": actor.name},
        "head_commit": {
            "id": commit.id,
            "message": commit.message,
            "author": {"name": commit.author.name, "email": commit.author.email},
        },
    })
}

/// `inputs` of a dispatch: what was given, typed as the file declares it, else the defaults.
fn inputs(event: Option<&Event>, given: Option<&Value>) -> Result<Map<String, Value>, PlannerError> {
    let Some(event) = event else { return Ok(Map::new()) };
    let wrong = |name: &str, why: String| PlannerError::Input { name: name.to_owned(), why };
    if let Some(unknown) =
        given.and_then(Value::as_object).and_then(|g| g.keys().find(|k| !event.inputs.contains_key(*k)))
    {
        return Err(wrong(unknown, "the workflow has no such input".to_owned()));
    }
    let mut inputs = Map::new();
    for (name, input) in &event.inputs {
        let text = match given.and_then(|g| g.get(name)) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(other) => Some(other.to_string()),
            None => input.default.as_ref().map(|d| d.text.clone()),
        };
        if text.is_none() && input.required {
            return Err(wrong(name, "it is required and not given".to_owned()));
        }
        let value = typed(&input.kind, text, &input.options).map_err(|why| wrong(name, why))?;
        inputs.insert(name.clone(), value);
    }
    Ok(inputs)
}

/// `github.event.inputs`: every input, those not given too, and all of them texts.
fn as_texts(inputs: &Map<String, Value>) -> Value {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Value::Object(inputs.iter().map(|(name, value)| (name.clone(), Value::String(text(value)))).collect())
}

fn typed(kind: &str, text: Option<String>, options: &[String]) -> Result<Value, String> {
    match (kind, text) {
        ("boolean", None) => Ok(Value::Bool(false)),
        ("boolean", Some(text)) => match text.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" | "" => Ok(Value::Bool(false)),
            other => Err(format!("`{other}` is neither true nor false")),
        },
        ("number", None) => Ok(json!(0)),
        ("number", Some(text)) => {
            text.parse::<f64>().map(|number| json!(number)).map_err(|_| format!("`{text}` is not a number"))
        }
        ("choice", Some(text)) if !options.contains(&text) => {
            Err(format!("`{text}` is not one of {}", options.join(", ")))
        }
        // The form GitHub shows has the first option chosen.
        ("choice", None) => Ok(Value::String(options.first().cloned().unwrap_or_default())),
        (_, text) => Ok(Value::String(text.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_has_every_input_as_text() {
        let text = "on:\n  workflow_dispatch:\n    inputs:\n      given: {}\n      not: {}\n      plain: { default: x }\n      \
                    on: { type: boolean }\n      size: { type: choice, options: [small, large] }\njobs:\n  a:\n    runs-on: x\n";
        let workflow = workflow::read(&SourceFile::new("a.yml", text)).workflow.unwrap();
        let inputs = inputs(workflow.on.events.get("workflow_dispatch"), Some(&json!({"given": "it"}))).unwrap();
        assert_eq!(json!(inputs), json!({"given": "it", "not": "", "plain": "x", "on": false, "size": "small"}));
        let texts = as_texts(&inputs);
        assert_eq!(texts, json!({"given": "it", "not": "", "plain": "x", "on": "false", "size": "small"}));
    }
}
