//! `tagline lint`: checks workflow files, with or without a repository.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use tagline_actions::Builtin;
use tagline_server::PlannerError;
use tagline_server::delivery::check_deliveries;
use tagline_server::repository::{ENVIRONMENTS_FILE, ReadFile, Repository, Source, WORKFLOW_FOLDERS};
use tagline_syntax::diagnostic::{Diagnostic, Severity, SourceFile, json, sarif, tidy};
use tagline_syntax::environments::{self, EnvironmentsFile};
use tagline_syntax::{lint, workflow};

use crate::args::{LintArgs, LintFormat};
use crate::context::Context;
use crate::diagnostics;
use crate::errors;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::words;

/// More than a workflow may have, so that the reader still says that it is too large.
const MOST_BYTES: u64 = 2 << 20;
/// A change may bring another mistake to light; more rounds than this are not expected.
const ROUNDS: usize = 4;

/// A file with what was found in it.
type Checked = (SourceFile, Vec<Diagnostic>);

/// Runs it.
pub(crate) fn run(context: &Context, args: &LintArgs) -> Outcome {
    let begun = Instant::now();
    let repository = Repository::open(&context.folder()).ok();
    let rules = Rules::read(&context.folder(), repository.as_ref(), args.github);
    let mut checked = Vec::new();
    for file in files(context, args, repository.as_ref())? {
        let source = SourceFile::from_bytes(file.name, &file.bytes);
        checked.push(match file.path.filter(|_| args.fix) {
            Some(path) => mend(context, source, &path, &rules, args.github)?,
            None => check(source, &rules, args.github),
        });
    }
    match args.format {
        LintFormat::Text => print(context, &checked, begun),
        LintFormat::Json => {
            let entries = checked.iter().flat_map(|(file, found)| found.iter().map(|one| json::entry(file, one)));
            context.output.json(&entries.collect::<Vec<_>>());
        }
        LintFormat::Sarif => {
            let doc =
                |code: &str| lint::RULES.iter().find(|rule| rule.name() == code).map(|rule| rule.doc().to_owned());
            context.output.json(&sarif::log(&checked, &doc));
        }
    }
    let errors = checked.iter().flat_map(|(_, found)| found).any(Diagnostic::is_error);
    Ok(if errors { Exit::Failed } else { Exit::Done })
}

/// A file to check.
struct Given {
    name: String,
    bytes: Vec<u8>,
    /// Where it can be written; none for a file of a commit.
    path: Option<PathBuf>,
}

fn files(context: &Context, args: &LintArgs, repository: Option<&Repository>) -> Result<Vec<Given>, Failure> {
    if !args.files.is_empty() {
        return args.files.iter().map(|path| given(&path.display().to_string(), path)).collect();
    }
    let found = match repository {
        Some(repository) if repository.is_bare() => of_commit(repository)?,
        Some(repository) => of_folder(repository.root())?,
        None => of_folder(&context.folder())?,
    };
    if found.is_empty() {
        let folder = repository.map_or_else(|| context.folder(), |repository| repository.root().to_owned());
        return Err(PlannerError::NoWorkflow(folder).into());
    }
    Ok(found)
}

fn of_folder(root: &Path) -> Result<Vec<Given>, Failure> {
    let mut names = Vec::new();
    for folder in WORKFLOW_FOLDERS {
        let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        names.extend(
            entries
                .filter(|entry| is_yaml(&entry.path()))
                .filter_map(|entry| Some(format!("{folder}/{}", entry.file_name().into_string().ok()?))),
        );
    }
    if root.join(ENVIRONMENTS_FILE).is_file() {
        names.push(ENVIRONMENTS_FILE.to_owned());
    }
    names.sort();
    names.into_iter().map(|name| given(&name, &root.join(&name))).collect()
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") && path.is_file()
}

fn of_commit(repository: &Repository) -> Result<Vec<Given>, Failure> {
    let Some((commit, _)) = repository.head() else { return Ok(Vec::new()) };
    let source = Source::Commit(commit.id);
    let read = |path: String| -> Result<Given, Failure> {
        let file = repository.read(&source, &path)?;
        Ok(Given { name: path, bytes: file.bytes, path: None })
    };
    repository.workflow_files(&source)?.into_iter().map(read).collect()
}

fn given(name: &str, path: &Path) -> Result<Given, Failure> {
    let failed = |error: std::io::Error| {
        errors::file("read", path, &error)
            .effect("nothing was checked")
            .next("name a file that is there, or none: tagline lint")
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Given { name: name.to_owned(), bytes, path: Some(path.to_owned()) })
}

/// What the check knows besides the files.
struct Rules {
    environments: Option<EnvironmentsFile>,
    origin: Option<String>,
    actions: BTreeMap<String, lint::ActionInputs>,
    github: bool,
}

impl Rules {
    fn read(folder: &Path, repository: Option<&Repository>, github: bool) -> Self {
        let found = match repository {
            Some(repository) => rules_in_force(repository),
            None => beside(folder),
        };
        let file = found
            .as_ref()
            .and_then(|found| environments::read(&SourceFile::from_bytes(ENVIRONMENTS_FILE, &found.bytes)).file);
        Self { environments: file, origin: found.map(|found| found.origin), actions: builtin_actions(), github }
    }

    fn options(&self) -> lint::Options<'_> {
        lint::Options {
            environments: self.environments.as_ref(),
            environments_origin: self.origin.as_deref(),
            actions: Some(&self.actions),
            github: self.github,
        }
    }
}

/// The file of the default branch; the working tree's while that branch has none.
fn rules_in_force(repository: &Repository) -> Option<ReadFile> {
    let in_force = repository.environments().ok()?;
    in_force.or_else(|| repository.read(&Source::WorkingTree, ENVIRONMENTS_FILE).ok())
}

/// The file of a folder that is no repository.
fn beside(folder: &Path) -> Option<ReadFile> {
    let path = folder.join(ENVIRONMENTS_FILE);
    let file = given(ENVIRONMENTS_FILE, &path).ok()?;
    Some(ReadFile { path: ENVIRONMENTS_FILE.to_owned(), bytes: file.bytes, origin: "this folder".to_owned() })
}

fn builtin_actions() -> BTreeMap<String, lint::ActionInputs> {
    let inputs = |action: Builtin| lint::ActionInputs {
        known: action.inputs().iter().map(|input| input.name.to_owned()).collect(),
        required: action.inputs().iter().filter(|input| input.required).map(|input| input.name.to_owned()).collect(),
    };
    Builtin::ALL.into_iter().map(|action| (action.name().to_owned(), inputs(action))).collect()
}

fn check(source: SourceFile, rules: &Rules, github: bool) -> Checked {
    if is_environments_file(source.name()) {
        let found = environments::read(&source).diagnostics;
        return (source, found);
    }
    let mut found = lint::run(&source, &rules.options());
    if !github && !is_action(source.name()) {
        found.extend(refused(&source, rules.environments.as_ref(), &found));
        tidy(&mut found);
    }
    (source, found)
}

/// What `run` would refuse: what is valid on GitHub and not carried out here, which is no error of the file, and delivery
/// steps that cannot be. Of a file with errors, the delivery steps that have none.
fn refused(source: &SourceFile, environments: Option<&EnvironmentsFile>, found: &[Diagnostic]) -> Vec<Diagnostic> {
    let Some(workflow) = workflow::read_partly(source) else { return Vec::new() };
    let deliveries = check_deliveries(&workflow, environments, source, found);
    if found.iter().any(Diagnostic::is_error) {
        return deliveries;
    }
    let warn = |refusal| Diagnostic { severity: Severity::Warning, ..refusal };
    let not_carried_out = workflow::refusals(&workflow, source).into_iter().map(warn);
    not_carried_out.chain(deliveries).collect()
}

fn is_environments_file(name: &str) -> bool {
    name.replace('\\', "/").ends_with(ENVIRONMENTS_FILE)
}

fn is_action(name: &str) -> bool {
    matches!(name.rsplit('/').next(), Some("action.yml" | "action.yaml"))
}

/// Makes the proposed changes, round after round, and writes the file when any was made.
fn mend(context: &Context, source: SourceFile, path: &Path, rules: &Rules, github: bool) -> Result<Checked, Failure> {
    let mut checked = check(source, rules, github);
    let mut made = 0;
    for _ in 0..ROUNDS {
        let (text, changes) = tagline_syntax::diagnostic::fix::apply(&checked.0, &checked.1);
        if changes == 0 {
            break;
        }
        made += changes;
        checked = check(SourceFile::new(checked.0.name().to_owned(), text), rules, github);
    }
    if made > 0 {
        replace(path, checked.0.text()).map_err(|error| {
            errors::file("write", path, &error).effect("the file is as it was").next("tagline lint")
        })?;
        context.output.note(format!("fixed {} in {}", words::count(made, "mistake"), words::plain(checked.0.name())));
    }
    Ok(checked)
}

/// The whole new text or the whole old one, whatever happens; the mode stays.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(std::fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

fn print(context: &Context, checked: &[Checked], begun: Instant) {
    for (file, found) in checked {
        for one in found {
            context.output.line(diagnostics::render(file, one, &context.output.out));
        }
    }
    let (errors, warnings) = diagnostics::tally(checked.iter().flat_map(|(_, found)| found));
    let took = words::duration(i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX));
    let counts = [(errors, "error"), (warnings, "warning")];
    let said: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| words::count(*n, what)).collect();
    let said = if said.is_empty() { "0 errors".to_owned() } else { said.join(", ") };
    context.output.line(format!("{said} in {}, {took}", words::count(checked.len(), "file")));
}
