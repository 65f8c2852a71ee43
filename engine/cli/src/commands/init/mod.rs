//! `tagline init`: a first workflow and environments file for what is found in a folder.
//!
//! With `--template migration`, the next numbered migration instead: see [`migration`].
//!
//! The result lints clean and can be planned as it stands; where it deploys to is for the user to fill in.

mod migration;
mod stack;
mod text;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use tagline_server::repository::{ENVIRONMENTS_FILE, Repository};

use crate::args::{InitArgs, Template};
use crate::context::Context;
use crate::errors;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

use stack::Stack;

const WORKFLOW: &str = ".github/workflows/release.yml";
/// Who may approve where Git knows nobody.
const SOMEBODY: &str = "you@example.com";

/// Runs it.
pub(crate) fn run(context: &Context, args: &InitArgs) -> Outcome {
    let repository = Repository::open(&args.folder.clone().unwrap_or_else(|| context.folder())).ok();
    let root = root(context, args, repository.as_ref())?;
    if args.template == Template::Migration {
        return migration::run(context, &root, &args.set);
    }
    if let Some((key, _)) = args.set.first() {
        let message = format!("the template has no {{{key}}}: nothing is to be set");
        return Err(Failure::unusable("unknown-setting", message).effect("nothing was written"));
    }
    let stack = Stack::find(&root);
    let reviewer = repository.as_ref().and_then(Repository::identity).map(|person| person.email);
    let reviewer = reviewer.as_deref().unwrap_or(SOMEBODY);
    let bug = |error: handlebars::RenderError| {
        Failure::failed("bug", "the built-in template cannot be filled in").why(error).effect("nothing was written")
    };
    let files = [
        (WORKFLOW, text::workflow(&stack).map_err(bug)?),
        (ENVIRONMENTS_FILE, text::environments(reviewer).map_err(bug)?),
    ];
    if let Some((there, _)) = files.iter().find(|(name, _)| root.join(name).exists()) {
        return Err(Failure::unusable("file-exists", format!("{there} is there already"))
            .effect("nothing was written")
            .next("see what it says: tagline lint"));
    }
    for (name, text) in &files {
        write(&root.join(name), text)?;
        context.output.line(format!("wrote {name}"));
    }
    context.output.note(format!("for {}", stack.describe()));
    let first = if repository.is_some() { "" } else { "git init, " };
    context.output.note(format!("  next    {first}fill in the deploy steps, commit, then: tagline plan release"));
    context.output.note("  then    git tag v0.1.0, then: tagline run --tag v0.1.0");
    Ok(Exit::Done)
}

fn root(context: &Context, args: &InitArgs, repository: Option<&Repository>) -> Result<PathBuf, Failure> {
    if let Some(bare) = repository.filter(|repository| repository.is_bare()) {
        return Err(Failure::unusable("bare-repository", format!("{} has no working tree", bare.root().display()))
            .effect("nothing was written")
            .next("name a folder: tagline init FOLDER"));
    }
    match (&args.folder, repository) {
        (Some(folder), _) if folder.is_dir() => Ok(folder.clone()),
        (Some(folder), _) => Err(Failure::unusable("no-such-folder", format!("{} is not a folder", folder.display()))
            .effect("nothing was written")
            .next("tagline init")),
        (None, Some(repository)) => Ok(repository.root().to_owned()),
        (None, None) => Ok(context.folder()),
    }
}

/// Never over a file that is there, whatever happened since it was looked for.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: std::io::Error| errors::file("write", path, &error).next("tagline init FOLDER");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = fs::File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use tagline_syntax::diagnostic::SourceFile;
    use tagline_syntax::{environments, lint, workflow};

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn what_is_written_is_clean_for_every_kind_of_project() {
        let cargo = ("Cargo.toml", "[package]\nname = \"shop\"\nversion = \"1.0.0\"\n");
        let docker = ("Dockerfile", "FROM rust:1 AS build\nFROM debian:bookworm-slim\nCOPY x /x\n");
        let projects: [&[(&str, &str)]; 8] = [
            &[],
            &[cargo],
            &[cargo, ("src/main.rs", ""), ("Cargo.lock", "")],
            &[cargo, ("src/main.rs", ""), docker],
            &[("package.json", "{\"name\": \"@my/shop\"}"), ("package-lock.json", "{}")],
            &[("go.mod", "module example.com/shop/v2\n"), docker],
            &[docker],
            &[("Dockerfile", "no base at all")],
        ];
        for files in projects {
            let folder = folder(files);
            let stack = Stack::find(folder.path());
            let rules = SourceFile::new(ENVIRONMENTS_FILE, text::environments("ona@example.com").unwrap());
            let rules = environments::read(&rules);
            assert_eq!(rules.diagnostics, [], "{files:?}");
            let source = SourceFile::new(WORKFLOW, text::workflow(&stack).unwrap());
            let options = lint::Options { environments: rules.file.as_ref(), ..lint::Options::default() };
            assert_eq!(lint::run(&source, &options), [], "{files:?}\n{}", source.text());
            let workflow = workflow::read(&source).workflow.unwrap();
            assert_eq!(workflow::not_carried_out(&workflow), [], "{files:?}");
        }
    }

    #[test]
    fn names_from_files_stay_plain_values() {
        let folder = folder(&[("Cargo.toml", "[package]\nname = \"a: ]'\\n${{ x }}\"\n"), ("src/main.rs", "")]);
        let text = text::workflow(&Stack::find(folder.path())).unwrap();
        let source = SourceFile::new(WORKFLOW, text);
        let found = lint::run(&source, &lint::Options::default());
        assert!(!found.iter().any(tagline_syntax::diagnostic::Diagnostic::is_error), "{found:?}");
        assert!(source.text().contains("path: 'target/release/anx'"), "{}", source.text());
    }
}
