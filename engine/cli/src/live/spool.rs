//! The last log lines of a job, read from the end of its spool; the spool may be huge and may still grow.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tagline_executor::read_regular;
use tagline_protocol::{AnnotationLevel, Record, SPOOL, Stream};
use tagline_run::{Attempt, JobKey, RunId};
use tagline_store::StoreFolder;

/// How much of a spool's end is looked at first, and at most.
const WINDOW: u64 = 64 * 1024;
const WIDEST: u64 = 8 * 1024 * 1024;

/// The spool of one attempt of a job.
pub(crate) fn path(folder: &StoreFolder, run: RunId, key: &JobKey, attempt: Attempt) -> PathBuf {
    folder.job(run.0, &key.to_string(), attempt.0).join(SPOOL)
}

/// What the end of a spool says of one step.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Its last output lines, oldest first, as they stand in the spool.
    pub(crate) lines: Vec<String>,
    /// Its error annotations, oldest first.
    pub(crate) errors: Vec<String>,
}

/// The last `count` lines of a step's output; of the whole job's where no step is named. A spool that is not there has
/// none.
pub(crate) fn tail(path: &Path, step: Option<u32>, count: usize) -> io::Result<Tail> {
    let mut file = match read_regular(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tail::default()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    let mut window = WINDOW;
    loop {
        let start = length.saturating_sub(window);
        let found = read(&mut file, start, step, count)?;
        if found.lines.len() >= count || start == 0 || window >= WIDEST {
            return Ok(found);
        }
        window *= 4;
    }
}

fn read(file: &mut File, start: u64, step: Option<u32>, count: usize) -> io::Result<Tail> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(WIDEST).read_to_end(&mut bytes)?;
    let mut found = Tail::default();
    let mut open = false;
    // A window that begins within a line begins with a piece that is no record; it is passed over.
    for record in bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()) {
        match record {
            Record::Log { step: of, stream: Stream::Output | Stream::Group, lines, open: goes_on, .. }
                if step.is_none() || of == step =>
            {
                let mut lines = lines.into_iter();
                if let (true, Some(last)) = (open, found.lines.last_mut()) {
                    last.push_str(&lines.next().unwrap_or_default());
                }
                found.lines.extend(lines);
                open = goes_on;
            }
            Record::Annotation(note)
                if note.level == AnnotationLevel::Error && (step.is_none() || note.step == step) =>
            {
                found.errors.push(note.message);
            }
            _ => {}
        }
    }
    let extra = found.lines.len().saturating_sub(count);
    found.lines.drain(..extra);
    Ok(found)
}

/// How long the job has written nothing; none where that is not known.
pub(crate) fn silent_for(path: &Path) -> Option<Duration> {
    let changed = std::fs::metadata(path).ok()?.modified().ok()?;
    SystemTime::now().duration_since(changed).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn spool(records: &[Record]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for record in records {
            writeln!(file, "{}", serde_json::to_string(record).unwrap()).unwrap();
        }
        file
    }

    fn log(step: u32, lines: &[&str], open: bool) -> Record {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Record::Log { step: Some(step), at: 0, stream: Stream::Output, lines, open }
    }

    #[test]
    fn the_last_lines_of_a_step_are_found_behind_those_of_later_steps() {
        let mut records: Vec<Record> = (0..50).map(|n| log(1, &[&format!("one {n}")], false)).collect();
        records.extend((0..2_000).map(|n| log(2, &[&format!("two {n} {}", "x".repeat(100))], false)));
        let file = spool(&records);
        let found = tail(file.path(), Some(1), 3).unwrap();
        assert_eq!(found.lines, ["one 47", "one 48", "one 49"]);
        assert_eq!(tail(file.path(), None, 1).unwrap().lines.len(), 1);
    }

    #[test]
    fn a_line_in_pieces_is_one_line() {
        let file = spool(&[log(0, &["a", "long "], true), log(0, &["line"], false)]);
        assert_eq!(tail(file.path(), Some(0), 10).unwrap().lines, ["a", "long line"]);
    }

    #[test]
    fn no_spool_has_no_lines() {
        assert_eq!(tail(Path::new("/nonexistent/spool.jsonl"), None, 5).unwrap(), Tail::default());
    }
}
