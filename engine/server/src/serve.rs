//! The engine's socket beside the store: commands of other processes come in here.

use std::future::Future;
use std::io;

use tagline_run::RunId;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;

use crate::engine::Engine;
use crate::wire::{Request, Response, Trouble};

/// A command's line may be this long: a vote with its signature is a few KiB.
const LONGEST_LINE: u64 = 1024 * 1024;

/// Listens on the store's socket until `until` is done, then ends the engine. Jobs that run go on by themselves.
///
/// # Errors
/// When the socket cannot be made.
pub async fn serve(engine: Engine, until: impl Future<Output = ()>) -> io::Result<()> {
    let path = engine.store().folder().socket();
    // Whoever left it is gone: this engine has the lock.
    let _ = std::fs::remove_file(&path);
    let listener = crate::socket::listen(&path)?;
    let engine = std::sync::Arc::new(engine);
    tokio::pin!(until);
    loop {
        tokio::select! {
            () = &mut until => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let engine = engine.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(&engine, stream).await {
                            tracing::debug!(%error, "a command hung up");
                        }
                    });
                }
                Err(error) => tracing::warn!(%error, "a command could not be let in"),
            },
        }
    }
    drop::<UnixListener>(listener);
    let _ = std::fs::remove_file(&path);
    engine.stop();
    Ok(())
}

async fn converse(engine: &Engine, stream: UnixStream) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut limited = tokio::io::AsyncReadExt::take(&mut reader, LONGEST_LINE);
        if limited.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        match serde_json::from_slice(&line) {
            Ok(Request::Tell { run, input }) => {
                say(&mut writer, &Response::of(engine.tell(run, *input).await)).await?;
            }
            Ok(Request::TakeUp { run }) => {
                let answer = match engine.take_up(run).await {
                    Ok(_) => Response::TakenUp,
                    Err(error) => Response::failed(&error),
                };
                say(&mut writer, &answer).await?;
            }
            Ok(Request::Follow { run }) => return follow(engine, run, &mut writer).await,
            Err(error) => {
                let why = format!("the engine does not understand this command: {error}");
                return say(&mut writer, &Response::Failed { why, trouble: Trouble::Other }).await;
            }
        }
    }
}

/// One line for each change of a run, and one at once, so that nothing is missed before the first.
async fn follow(engine: &Engine, run: RunId, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut updates = engine.watch();
    say(writer, &Response::Changed { run }).await?;
    loop {
        match updates.recv().await {
            Ok(update) if update.run == run => say(writer, &Response::Changed { run }).await?,
            Ok(_) => {}
            // It missed some: whoever follows looks for itself anyway.
            Err(RecvError::Lagged(_)) => say(writer, &Response::Changed { run }).await?,
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

async fn say(writer: &mut OwnedWriteHalf, response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    writer.write_all(&line).await
}
