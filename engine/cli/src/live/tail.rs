//! Following the logs of the jobs that run, for `-v`: one task a spool, lines into one channel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tagline_executor::LogReader;
use tagline_protocol::{Record, Stream};
use tagline_run::{Attempt, JobKey, RunState};
use tagline_store::StoreFolder;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::spool;

/// How long the next line of a finished job's log is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// A line longer than this is shown in pieces, so that one without end needs no more memory.
const LONGEST: usize = 64 * 1024;
/// Lines that wait to be shown; a slow terminal slows the reading.
const WAITING: usize = 64;

/// A line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// The job's display name.
    pub(crate) job: String,
    /// The line, as the spool has it.
    pub(crate) text: String,
}

/// The logs that are followed.
#[derive(Debug)]
pub(crate) struct Tails {
    folder: StoreFolder,
    sender: mpsc::Sender<LogLine>,
    lines: mpsc::Receiver<LogLine>,
    tasks: BTreeMap<(JobKey, Attempt), JoinHandle<()>>,
    /// Those that were shown, or had ended before anybody looked.
    over: BTreeSet<(JobKey, Attempt)>,
}

impl Tails {
    /// Follows nothing yet; what has ended by now it will not follow.
    pub(crate) fn new(folder: &StoreFolder, state: &RunState) -> Self {
        let (sender, lines) = mpsc::channel(WAITING);
        let ended = state.legs().filter(|(_, leg)| leg.ended.is_some());
        let over = ended.map(|(key, leg)| (key.clone(), leg.attempt)).collect();
        Self { folder: folder.clone(), sender, lines, tasks: BTreeMap::new(), over }
    }

    /// Follows every job that has begun, from the start of its log: also one that has ended since anybody looked.
    pub(crate) fn follow(&mut self, state: &RunState) {
        for (key, leg) in state.legs() {
            let id = (key.clone(), leg.attempt);
            if leg.started.is_none() || self.tasks.contains_key(&id) || self.over.contains(&id) {
                continue;
            }
            let path = spool::path(&self.folder, state.run, &key, leg.attempt);
            let (sender, job) = (self.sender.clone(), leg.ready.leg.name.clone());
            self.tasks.insert(id, tokio::spawn(read(LogReader::new(&path, 0), job, sender)));
        }
    }

    /// The next line; never none.
    pub(crate) async fn next(&mut self) -> LogLine {
        match self.lines.recv().await {
            Some(line) => line,
            None => std::future::pending().await,
        }
    }

    /// Shows what is left of the logs of jobs that have ended.
    pub(crate) async fn rest(&mut self, state: &RunState, mut show: impl FnMut(&LogLine)) {
        self.follow(state);
        let over = |key: &JobKey| state.leg(key).is_some_and(|leg| leg.ended.is_some());
        let ids: Vec<_> = self.tasks.keys().filter(|(key, _)| over(key)).cloned().collect();
        for id in ids {
            let Some(mut task) = self.tasks.remove(&id) else { continue };
            self.over.insert(id);
            loop {
                tokio::select! {
                    biased;
                    Some(line) = self.lines.recv() => show(&line),
                    _ = &mut task => break,
                    // A lost job's log has no last record: what is there must do.
                    () = tokio::time::sleep(PATIENCE) => {
                        task.abort();
                        break;
                    }
                }
            }
        }
        while let Ok(line) = self.lines.try_recv() {
            show(&line);
        }
    }
}

impl Drop for Tails {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

async fn read(mut reader: LogReader, job: String, sender: mpsc::Sender<LogLine>) {
    let mut piece = String::new();
    loop {
        loop {
            let record = match reader.next_line() {
                Ok(Some(line)) => serde_json::from_slice::<Record>(line.bytes),
                Ok(None) => break,
                Err(_) => return,
            };
            match record {
                Ok(Record::Log { stream: Stream::Output | Stream::Group, lines, open, .. }) => {
                    let last = lines.len().saturating_sub(1);
                    for (at, line) in lines.into_iter().enumerate() {
                        piece.push_str(&line);
                        if open && at == last && piece.len() < LONGEST {
                            continue;
                        }
                        let text = std::mem::take(&mut piece);
                        if sender.send(LogLine { job: job.clone(), text }).await.is_err() {
                            return;
                        }
                    }
                }
                Ok(Record::JobFinished { .. }) => return,
                _ => {}
            }
        }
        if reader.grown().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use indexmap::IndexMap;
    use tagline_protocol::{Conclusion, JobResult};

    use super::super::sample::Sample;
    use super::*;

    fn spool_of(folder: &StoreFolder, state: &RunState, job: &str) {
        let output = Record::Log {
            step: Some(0),
            at: 0,
            stream: Stream::Output,
            lines: vec![format!("{job} says")],
            open: false,
        };
        let (outputs, why, url) = (IndexMap::new(), String::new(), String::new());
        let result = JobResult { conclusion: Conclusion::Success, outputs, url, why, timed_out: false };
        let lines = [output, Record::JobFinished { result, at: 0 }]
            .map(|record| serde_json::to_string(&record).unwrap() + "\n");
        let (key, _) = state.legs().find(|(key, _)| key.job == job).unwrap();
        let path = spool::path(folder, state.run, &key, Attempt(1));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, lines.concat()).unwrap();
    }

    #[tokio::test]
    async fn a_job_that_began_and_ended_unseen_is_shown_and_one_that_ended_before_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = StoreFolder::at(scratch.path());
        let (before, now) = (Sample::new().state, Sample::staging().state);
        for job in ["quality", "build"] {
            spool_of(&folder, &now, job);
        }
        let mut shown = Vec::new();
        let mut tails = Tails::new(&folder, &before);
        tails.rest(&now, |line| shown.push(line.text.clone())).await;
        shown.sort();
        assert_eq!(shown, ["build says", "quality says"]);
        tails.rest(&now, |line| panic!("{line:?} is shown again")).await;
        Tails::new(&folder, &now).rest(&now, |line| panic!("{line:?} was shown by others")).await;
    }
}
