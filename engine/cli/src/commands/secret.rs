//! `tagline secret`: values that jobs get after their gate. A value is never an argument: those show in process lists.

use std::io::{IsTerminal as _, Read as _};

use serde_json::json;
use tagline_server::repository::{ENVIRONMENTS_FILE, Repository};
use tagline_server::secrets;
use tagline_store::{ListedSecret, SecretScope};
use tagline_syntax::diagnostic::SourceFile;
use tagline_syntax::environments;

use crate::args::{SecretArgs, SecretCommand, SecretListArgs};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::table::table;
use crate::words;

/// Most bytes of a value.
const LARGEST: u64 = 64 * 1024;

/// Runs it.
pub(crate) fn run(context: &Context, command: &SecretCommand) -> Outcome {
    match command {
        SecretCommand::Set(args) => set(context, args),
        SecretCommand::Ls(args) => list(context, args),
        SecretCommand::Rm(args) => remove(context, args),
    }
}

fn scope(context: &Context, environment: Option<&String>) -> Result<SecretScope, Failure> {
    let root = context.repository()?.root().to_string_lossy().into_owned();
    Ok(SecretScope { root, environment: environment.map(|name| name.to_lowercase()) })
}

fn set(context: &Context, args: &SecretArgs) -> Outcome {
    let name = secrets::name(&args.name)?;
    if let Some(environment) = &args.environment {
        known(&context.repository()?, environment)?;
    }
    let scope = scope(context, args.environment.as_ref())?;
    let value = read_value(context, &name)?;
    let value = secrets::value(&name, &value)?;
    context.open_store()?.set_secret(&scope, &name, value, tagline_server::clock::now().as_millisecond())?;
    context.output.note(format!("{name} is set{}", of(args.environment.as_ref())));
    Ok(Exit::Done)
}

/// A secret of an environment that nobody has would never be found again.
fn known(repository: &Repository, environment: &str) -> Result<(), Failure> {
    let Some(found) = repository.environments()? else { return Ok(()) };
    let outcome = environments::read(&SourceFile::from_bytes(ENVIRONMENTS_FILE, &found.bytes));
    let Some(file) = outcome.file else { return Ok(()) };
    let names: Vec<&str> = file.environments.keys().map(String::as_str).collect();
    if names.iter().any(|name| name.eq_ignore_ascii_case(environment)) {
        return Ok(());
    }
    let message = format!("`{environment}` is not in {ENVIRONMENTS_FILE} ({})", found.origin);
    Err(Failure::unusable("unknown-environment", message)
        .why(format!("it names {}", names.join(", ")))
        .effect("nothing was stored")
        .next("tagline environments"))
}

fn of(environment: Option<&String>) -> String {
    environment.map(|name| format!(" for {}", words::plain(name))).unwrap_or_default()
}

/// From a prompt that shows nothing, or from standard input without its last line break.
fn read_value(context: &Context, name: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        Failure::unusable("no-value", format!("no value for {name}"))
            .why(error)
            .effect("nothing was stored")
            .next(format!("tagline secret set {name} < FILE"))
    };
    if std::io::stdin().is_terminal() && context.output.err.terminal {
        return ask(name)?.map_err(failed);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::unusable("long-secret", format!("the value is longer than {}", words::size(LARGEST)))
            .effect("nothing was stored")
            .next(format!("tagline secret set {name} < FILE")));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::unusable("not-utf8", "the value is not UTF-8")
            .effect("nothing was stored")
            .next("encode it, as base64 does")
    })?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |rest| rest.strip_suffix('\r').unwrap_or(rest));
    Ok(text.to_owned())
}

/// Asks at the terminal. Ctrl-C leaves the terminal as it was.
fn ask(name: &str) -> Result<std::io::Result<String>, Failure> {
    let before = rustix::termios::tcgetattr(std::io::stdin());
    let question = format!("Value of {name} (not shown): ");
    crate::live::block_on(async {
        let answer = tokio::task::spawn_blocking(move || {
            let term = console::Term::stderr();
            term.write_str(&question)?;
            term.read_secure_line()
        });
        tokio::select! {
            answer = answer => Ok(answer.unwrap_or_else(|error| Err(std::io::Error::other(error)))),
            _ = tokio::signal::ctrl_c() => {
                if let Ok(before) = before {
                    // A terminal that is gone needs no mending.
                    let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &before);
                }
                Err(Failure::new(Exit::Cancelled, "cancelled", format!("no value for {name}"))
                    .effect("nothing was stored")
                    .next(format!("tagline secret set {name}")))
            }
        }
    })
}

/// Of one environment, or of the repository and all its environments.
fn list(context: &Context, args: &SecretListArgs) -> Outcome {
    let scope = scope(context, args.environment.as_ref())?;
    let mut found = match context.read_store_if_any()? {
        Some(store) => store.all_secrets(&scope.root)?,
        None => Vec::new(),
    };
    found.retain(|one| args.environment.is_none() || one.environment == scope.environment);
    if args.json {
        let one = |one: &ListedSecret| json!({"name": one.name, "environment": one.environment, "updated_at": words::stamp(one.updated_at)});
        context.output.json(&found.iter().map(one).collect::<Vec<_>>());
    } else if found.is_empty() {
        context.output.note(format!("0 secrets{}", of(args.environment.as_ref())));
    } else {
        let row = |one: &ListedSecret| {
            let environment = one.environment.clone().unwrap_or_else(|| "-".to_owned());
            vec![one.name.clone(), environment, context.time_of(one.updated_at)]
        };
        let rows: Vec<Vec<String>> = found.iter().map(row).collect();
        context.output.lines(table(&context.output.out, &["NAME", "ENVIRONMENT", "SET"], &rows));
    }
    Ok(Exit::Done)
}

fn remove(context: &Context, args: &SecretArgs) -> Outcome {
    let name = secrets::name(&args.name)?;
    let scope = scope(context, args.environment.as_ref())?;
    if context.read_store_if_any()?.is_some() && context.open_store()?.remove_secret(&scope, &name)? {
        context.output.note(format!("{name} is removed{}", of(args.environment.as_ref())));
        return Ok(Exit::Done);
    }
    Err(Failure::failed("no-such-secret", format!("{name} is not set{}", of(args.environment.as_ref())))
        .effect("nothing was removed")
        .next("tagline secret ls"))
}
