//! The `storefront` command.

use std::process::ExitCode;

use storefront::{flags::Failure, migrations, release, serve};

const USAGE: &str = "\
storefront serve --listen 127.0.0.1:PORT --database FILE [--lifeline]
storefront migrate up|down|status [--to N] --database FILE
storefront release push --platform URL [--file FILE]
storefront release deploy --platform URL --environment E --version V --digest D
storefront release smoke --url URL --version V
storefront release switch --platform URL --environment E --version V
storefront release rollback --platform URL --environment E
storefront release status --platform URL [--environment E]
storefront --version

PLATFORM_URL stands in for --platform; PLATFORM_TOKEN is sent where it is set.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["serve", rest @ ..] => serve::command(rest),
        ["migrate", action, rest @ ..] => migrations::command(action, rest),
        ["release", action, rest @ ..] => release::command(action, rest),
        ["--version"] => {
            println!("storefront {}", storefront::version());
            Ok(())
        }
        ["--help" | "-h" | "help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(Failure::usage(format!("no such command\n\n{USAGE}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.exit)
        }
    }
}
