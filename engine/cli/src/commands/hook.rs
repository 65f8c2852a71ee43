//! `tagline hook install`, and what the hook calls: pushed tags start the workflows whose filter matches.
//!
//! Invariant: the hook never fails a push. Each tag is answered with one line for each run, or with one line that says why
//! nothing was started.

use std::fs;
use std::io::{BufRead, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tagline_plan::Person;
use tagline_run::RunId;
use tagline_server::planner::{self, Ask};
use tagline_server::repository::Repository;
use tagline_server::{BeginOptions, PlannerError, begin, beside};

use crate::args::{HookCommand, HookInstallArgs};
use crate::context::Context;
use crate::errors;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::live;
use crate::words::{plain, short_commit};

/// By this line a hook is known to be ours.
const MARK: &str = "# Written by `tagline hook install`; it is written anew by the same command.";
/// Who pushes, as `ona@example.com` or `Ona <ona@example.com>`. A server that knows sets it, for example by
/// `environment="TAGLINE_ACTOR=…"` in `authorized_keys`.
const ACTOR: &str = "TAGLINE_ACTOR";

/// Runs.
pub(crate) fn run(context: &Context, command: HookCommand) -> Outcome {
    match command {
        HookCommand::Install(args) => install(context, args),
        HookCommand::Receive => Ok(receive(context)),
    }
}

fn install(context: &Context, args: HookInstallArgs) -> Outcome {
    let folder = args.folder.unwrap_or_else(|| context.folder());
    let repository = Repository::open(&folder)?;
    if !repository.is_bare() {
        return Err(Failure::unusable("not-bare", format!("{} is not a bare repository", repository.root().display()))
            .why("its working tree would not follow what is pushed to it")
            .effect("nothing was written")
            .next("make one: git clone --bare . ../NAME.git"));
    }
    let lines = call(context, &repository)?;
    if let Some(path) = repository.config("core.hookspath") {
        return Err(by_hand(
            "other-hooks",
            format!("Git looks for hooks in {}, not in the repository", plain(&path)),
            &lines,
        ));
    }
    let script = format!("#!/bin/sh\n{MARK}\n{lines}\n");
    let path = repository.root().join("hooks/post-receive");
    match fs::read_to_string(&path) {
        Ok(found) if found == script => {
            context.output.line(format!("{} is there already", path.display()));
            return Ok(Exit::Done);
        }
        Ok(found) if found.lines().nth(1) != Some(MARK) => {
            return Err(by_hand(
                "other-hook",
                format!("{} is there already and is not tagline's", path.display()),
                &lines,
            ));
        }
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(errors::file("read", &path, &error)),
        _ => {}
    }
    write(&path, &script).map_err(|error| errors::file("write", &path, &error))?;
    context.output.line(format!("Wrote {}", path.display()));
    context.output.line("A pushed tag such as v1.2.3 now starts the workflows whose filter matches");
    context.output.line(format!("  Serve  tagline serve --headless --store {}", context.store.url()));
    Ok(Exit::Done)
}

/// The lines of the hook.
fn call(context: &Context, repository: &Repository) -> Result<String, Failure> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(Exit::OutOfReach, "no-program", "where this tagline is cannot be found out")
            .why(error)
            .next("tagline doctor")
    })?;
    let (program, root) = (quoted(&program), quoted(repository.root()));
    let store = quoted(Path::new(&context.store.url()));
    Ok(format!("{program} --store {store} --repo {root} hook receive || :"))
}

fn by_hand(code: &'static str, message: String, lines: &str) -> Failure {
    Failure::new(Exit::Failed, code, message)
        .effect("nothing was written")
        .next(format!("add this line to the hook yourself; it reads standard input: {lines}"))
}

/// A path as one word of `sh`.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn write(path: &Path, script: &str) -> std::io::Result<()> {
    let folder: PathBuf = path.parent().map(Path::to_owned).unwrap_or_default();
    fs::create_dir_all(&folder)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    file.write_all(script.as_bytes())?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o755))?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Reads `OLD NEW REF` lines and starts what they start.
fn receive(context: &Context) -> Exit {
    for line in lines(std::io::stdin().lock()) {
        if let Some(tag) = pushed_tag(&line) {
            start(context, tag).unwrap_or_else(|failure| {
                say(context, tag, &format!("{}; nothing was started", one_line(&failure)));
            });
        }
    }
    Exit::Done
}

/// The lines of the hook. Git takes any bytes as a name: one that is no text is no release either, and says so like any
/// other, without keeping the tags after it from theirs.
fn lines(input: impl BufRead) -> impl Iterator<Item = String> {
    input.split(b'\n').map_while(Result::ok).map(|line| String::from_utf8_lossy(&line).into_owned())
}

/// The tag a line of the hook says was made or moved.
fn pushed_tag(line: &str) -> Option<&str> {
    let mut words = line.splitn(3, ' ');
    let (_old, new, reference) = (words.next()?, words.next()?, words.next()?);
    let gone = new.bytes().all(|byte| byte == b'0');
    reference.strip_prefix("refs/tags/").filter(|tag| !gone && !tag.is_empty())
}

fn start(context: &Context, tag: &str) -> Result<(), Failure> {
    let repository = context.repository()?;
    let found = match tagline_syntax::tag::ReleaseTag::parse(tag) {
        Ok(_) => repository.tag(tag)?,
        Err(error) => {
            say(context, tag, &format!("nothing starts on it, for it names no version: {error}"));
            return Ok(());
        }
    };
    let actor = actor(std::env::var(ACTOR).ok().as_deref()).or(found.tagger).unwrap_or(found.commit.author);
    let ask = Ask { tag: Some(tag.to_owned()), actor: Some(actor), ..Ask::default() };
    let planned = match planner::plan(&repository, &ask) {
        Ok(planned) => planned,
        Err(PlannerError::NothingStarts { passed_over, .. }) => {
            let why: Vec<String> = passed_over.iter().map(|(path, why)| format!("{path}: {why}")).collect();
            say(context, tag, &format!("no workflow starts on it ({})", plain(&why.join("; "))));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let store = context.open_store()?;
    let options = BeginOptions { runner: "auto".to_owned(), ..BeginOptions::default() };
    for one in planned {
        let workflow = plain(&one.plan.workflow.path);
        let commit = short_commit(&one.plan.trigger.commit).to_owned();
        match begin(&store, &repository, &one, &options) {
            Ok(begun) => {
                let what = if begun.fresh { "" } else { ", which it had already" };
                let next =
                    go_on(context, begun.run).unwrap_or_else(|failure| not_taken_up(context, begun.run, &failure));
                say(context, tag, &format!("run {}{what} of {workflow} at {commit}; {next}", begun.run));
            }
            // Another workflow of the tag may start all the same.
            Err(error) => {
                say(context, tag, &format!("{workflow}: {}; nothing was started", one_line(&error.into())));
            }
        }
    }
    Ok(())
}

/// Hands the run to the engine, or says what does.
fn go_on(context: &Context, run: RunId) -> Result<String, Failure> {
    let taken = live::block_on(async { Ok(beside::take_up(&context.store, run).await?) })?;
    Ok(if taken {
        format!("follow it: {}", context.command(format!("logs {run} --follow")))
    } else {
        format!("no engine serves the store, so go on with: {}", context.command(format!("resume {run}")))
    })
}

/// The run is in the store, whatever became of handing it over.
fn not_taken_up(context: &Context, run: RunId, failure: &Failure) -> String {
    let resume = context.command(format!("resume {run}"));
    format!("it is recorded, and the engine did not take it up: {}; go on with: {resume}", one_line(failure))
}

fn say(context: &Context, tag: &str, text: &str) {
    context.output.line(format!("tagline: {}: {}", plain(tag), text));
}

fn one_line(failure: &Failure) -> String {
    let message = std::iter::once(plain(&failure.message));
    let parts: Vec<String> = message.chain(failure.why.iter().map(|why| plain(why))).collect();
    format!("error[{}] {}", failure.code, parts.join(": "))
}

/// `Ona <ona@example.com>` or the address alone.
fn actor(text: Option<&str>) -> Option<Person> {
    let text = text?.trim();
    let (name, email) = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
        Some((name, email)) => (name.trim(), email.trim()),
        None => (text, text),
    };
    let email = email.to_lowercase();
    let name = if name.is_empty() { email.clone() } else { name.to_owned() };
    (email.contains('@') && !email.contains(char::is_whitespace)).then_some(Person { name, email })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_that_are_there_start_something() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        assert_eq!(pushed_tag(&format!("{zero} {one} refs/tags/v1.2.3")), Some("v1.2.3"));
        assert_eq!(pushed_tag(&format!("{one} {one} refs/tags/a/b c")), Some("a/b c"));
        assert_eq!(pushed_tag(&format!("{one} {zero} refs/tags/v1.2.3")), None);
        assert_eq!(pushed_tag(&format!("{zero} {one} refs/heads/main")), None);
        assert_eq!(pushed_tag("nonsense"), None);
    }

    #[test]
    fn a_name_that_is_no_text_does_not_end_the_push() {
        let (zero, one) = ("0".repeat(40), "1".repeat(40));
        let mut input = format!("{zero} {one} refs/tags/v1.0.0\n{zero} {one} refs/tags/v2-").into_bytes();
        input.push(0xff);
        input.extend(format!("\n{zero} {one} refs/tags/v1.2.3\n").bytes());
        let tags: Vec<String> = lines(&input[..]).filter_map(|line| pushed_tag(&line).map(str::to_owned)).collect();
        assert_eq!(tags, ["v1.0.0", "v2-\u{fffd}", "v1.2.3"]);
    }

    #[test]
    fn a_pusher_is_known_by_address() {
        let person = |name: &str, email: &str| Some(Person { name: name.to_owned(), email: email.to_owned() });
        assert_eq!(actor(Some("Ona <Ona@Example.com>")), person("Ona", "ona@example.com"));
        assert_eq!(actor(Some("ona@example.com")), person("ona@example.com", "ona@example.com"));
        assert_eq!(actor(Some("ona")), None);
        assert_eq!(actor(None), None);
    }

    #[test]
    fn paths_are_one_word_of_the_shell() {
        assert_eq!(quoted(Path::new("/it's here")), r"'/it'\''s here'");
    }
}
