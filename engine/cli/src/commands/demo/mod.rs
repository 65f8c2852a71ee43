//! `tagline demo`: the example shop, from its tag to its gate and to production, in a scratch folder.
//!
//! It sets the stage and then runs the very command that it prints: a user can type the same.

mod platform;
mod repository;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tagline_run::RunId;
use tagline_server::ledger;
use tagline_store::{Store, StoreFolder};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::DemoArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::live;
use crate::output::{Mark, Style};
use crate::words::plain;

use platform::Platform;

/// The release the demo makes.
const TAG: &str = "v1.2.3";
/// A shop on this machine answers within this.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where everything of one demo is.
#[derive(Debug, Clone)]
struct Scratch {
    root: PathBuf,
}

impl Scratch {
    fn new(folder: Option<PathBuf>) -> Result<Self, Failure> {
        let made = match folder {
            Some(folder) => std::fs::create_dir_all(&folder).and_then(|()| folder.canonicalize()),
            // Short, for the path of a socket.
            None => tempfile::Builder::new().prefix("tagline-demo-").tempdir().map(tempfile::TempDir::keep),
        };
        let root = made.map_err(|error| bad("make the scratch folder", &error))?;
        let scratch = Self { root };
        if scratch.repository().exists() {
            let place = scratch.root.display();
            return Err(Failure::unusable("not-empty", format!("{place} holds a demo already"))
                .effect("nothing was changed")
                .next("name another folder: tagline demo --folder DIR"));
        }
        Ok(scratch)
    }

    fn repository(&self) -> PathBuf {
        self.root.join("storefront")
    }

    fn store(&self) -> StoreFolder {
        StoreFolder::at(self.root.join("store"))
    }

    fn state(&self) -> PathBuf {
        self.root.join("platform")
    }

    fn build(&self) -> PathBuf {
        self.root.join("build")
    }
}

/// Runs.
pub(crate) fn run(context: &Context, args: DemoArgs) -> Outcome {
    let program = std::env::current_exe().map_err(|error| bad("find this program", &error))?;
    let scratch = Scratch::new(args.folder)?;
    live::block_on(async {
        let say = |text: String| context.output.note(text);
        say(format!("The demo works in {}", scratch.root.display()));
        repository::write(&scratch.repository()).map_err(|error| bad("write the example", &error))?;
        say("Building the platform the shop will run on".to_owned());
        let binary = platform::build(&scratch.repository(), &scratch.build()).await?;
        let mut platform = Platform::start(&binary, &scratch.state()).await?;
        say(format!("The platform runs at {}", platform.url()));
        let outcome = release(context, &scratch, &program, args.runner.word(), &platform).await;
        if let Ok(exit) = &outcome {
            show(context, &scratch, *exit);
        }
        platform.stop().await;
        leave(context, &scratch, &platform, outcome.as_ref().ok().copied());
        outcome
    })
}

/// Makes repository and store, then runs the printed command to its end.
async fn release(context: &Context, scratch: &Scratch, program: &Path, runner: &str, platform: &Platform) -> Outcome {
    let person = repository::commit(&scratch.repository(), platform.url(), TAG).await?;
    context.output.note(format!("The repository is tagged {TAG}; {person} may approve for production"));
    expose(scratch)?;
    let store = scratch.store().url();
    let repository = scratch.repository().display().to_string();
    let mut words = vec!["run", "--repo", &repository, "--tag", TAG, "--store", &store];
    if runner != "auto" {
        words.extend(["--runner", runner]);
    }
    if context.verbose {
        words.push("--verbose");
    }
    let typed = format!("$ tagline {}", words.join(" "));
    context.output.note(format!("\n{}", context.output.err.paint(Style::Strong, typed)));
    // Ctrl-C is for the command that runs; this one waits for its end and tidies up.
    let _interrupts = signal(SignalKind::interrupt()).map_err(|error| bad("listen to signals", &error))?;
    let status = Command::new(program).args(&words).status().await;
    status.map(exit_of).map_err(|error| bad("run tagline", &error))
}

fn exit_of(status: ExitStatus) -> Exit {
    let all = [Exit::Done, Exit::Unusable, Exit::Waiting, Exit::Rejected, Exit::OutOfReach, Exit::Cancelled];
    all.into_iter().find(|exit| status.code() == Some(i32::from(*exit as u8))).unwrap_or(Exit::Failed)
}

/// Lets the jobs of this store read the tool chains on `PATH` that live in the home.
fn expose(scratch: &Scratch) -> Result<(), Failure> {
    let store = scratch.store();
    store.create()?;
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let folders = tagline_executor::propose(&std::env::var("PATH").unwrap_or_default(), &home);
    // A basic string of TOML is written as one of JSON.
    let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let list = serde_json::to_string(&names).unwrap_or_else(|_| "[]".to_owned());
    // Without namespaces the demo still shows itself: its jobs are our own, and its store holds nothing of anybody's.
    let text = format!("# The tool chains that jobs in the sandbox may read.\nexpose = {list}\nplain-process = true\n");
    let path = store.root().join(live::runner::FILE);
    std::fs::write(&path, text).map_err(|error| bad("write the runner's configuration", &error))
}

/// After a release: that production really answers with it.
fn show(context: &Context, scratch: &Scratch, exit: Exit) {
    if exit != Exit::Done {
        return;
    }
    let facts = &context.output.out;
    let Some(url) = production(scratch) else { return };
    let (mark, text) = match get(&url, "/q/info") {
        Ok(body) => (Mark::Success, format!("{url}/q/info answers {body}")),
        Err(error) => (Mark::Failure, format!("{url} does not answer: {error}")),
    };
    context.output.line(facts.state(mark, &plain(&text)));
}

/// The address the run recorded for production.
fn production(scratch: &Scratch) -> Option<String> {
    let store = Store::open_read_only(&scratch.store()).ok()?;
    let state = ledger::state(&store, RunId(1)).ok()?;
    let deployment = state.deployments.get("production")?;
    Some(deployment.url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty())
}

/// A GET over plain HTTP on this machine; the body of an answer 200.
fn get(url: &str, path: &str) -> std::io::Result<String> {
    let wrong = |why: &str| std::io::Error::other(why.to_owned());
    let host = url.strip_prefix("http://").ok_or_else(|| wrong("it is no http:// address"))?;
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(64 * 1024).read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| wrong("it answered no HTTP"))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.trim().to_owned()),
        Some(status) => Err(wrong(&format!("it answered {status}"))),
        None => Err(wrong("it answered no HTTP")),
    }
}

/// What is left, and how to look at it or go on.
fn leave(context: &Context, scratch: &Scratch, platform: &Platform, exit: Option<Exit>) {
    let line = |text: String| context.output.line(text);
    let store = format!("--store {}", scratch.store().url());
    line(String::new());
    line(format!(
        "The platform is stopped, and with it the shop. Everything else is kept in {}",
        scratch.root.display()
    ));
    if exit == Some(Exit::Waiting) {
        line(format!("  Go on    start the platform again: {}", platform.command()));
        line(format!("           then approve as above, and: tagline resume 1 {store}"));
    }
    if exit.is_some() {
        line(format!("  Look     tagline show 1 {store}"));
        line(format!("           tagline explain 1 notify {store}"));
        line(format!("           tagline environments {store}"));
    }
    line(format!("  Remove   rm -r {}", scratch.root.display()));
}

fn bad(doing: &str, error: &std::io::Error) -> Failure {
    Failure::new(Exit::OutOfReach, "demo", format!("the demo cannot {doing}"))
        .why(error)
        .effect("nothing outside its scratch folder was changed")
        .next("see what this machine lacks: tagline doctor")
}
