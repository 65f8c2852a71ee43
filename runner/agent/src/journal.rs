//! Everything that leaves the job passes here: log lines, annotations, results. It is masked, put in order, gathered
//! into batches and appended to the spool.
//!
//! Invariants: a record never overtakes lines said before it; nothing unmasked is written; after the disk has failed
//! nothing more is written but the end of step and job.

use std::time::{Duration, Instant};

use indexmap::IndexMap;
use tagline_protocol::{Annotation, AnnotationLevel, Record, Stream};

use crate::clock;
use crate::control::Control;
use crate::output::mask::{MaskStream, Masker};
use crate::output::sanitise::{Sanitiser, sanitise};
use crate::spool::Spool;

/// A batch of lines is written at this size.
const BATCH_BYTES: usize = 64 * 1024;
/// A batch of lines is written at this age.
const BATCH_AGE: Duration = Duration::from_millis(50);
/// Annotations of one level in one step; GitHub keeps ten.
const ANNOTATIONS: usize = 10;
/// Characters of an annotation's message.
const ANNOTATION_LENGTH: usize = 4096;

/// The job's outgoing side.
#[derive(Debug)]
pub struct Journal {
    spool: Spool,
    control: Control,
    masker: Masker,
    step: Option<u32>,
    batch: Batch,
    long: Long,
    annotations: [usize; 3],
    failure: Option<String>,
}

/// Lines gathered, all of one stream.
#[derive(Debug, Default)]
struct Batch {
    lines: Vec<String>,
    bytes: usize,
    began: Option<(Instant, u64)>,
    stream: Option<Stream>,
    /// The last line goes on.
    open: bool,
}

/// A line too long to be held.
#[derive(Debug, Default)]
struct Long {
    sanitiser: Sanitiser,
    mask: MaskStream,
    /// Masked bytes that do not end with a whole character.
    rest: Vec<u8>,
}

impl Journal {
    /// A journal over a spool; the engine hears of its growth.
    pub fn new(spool: Spool, control: Control) -> Self {
        Self {
            spool,
            control,
            masker: Masker::default(),
            step: None,
            batch: Batch::default(),
            long: Long::default(),
            annotations: [0; 3],
            failure: None,
        }
    }

    /// Masks these values from now on.
    pub fn mask<'v>(&mut self, values: impl IntoIterator<Item = &'v str>) {
        self.masker.add(values);
    }

    /// The text as it may be shown.
    pub fn masked(&self, text: &str) -> String {
        self.masker.mask(text).into_owned()
    }

    /// Whether a text holds a secret.
    pub fn is_secret(&self, text: &str) -> bool {
        self.masker.touches(text)
    }

    /// Why nothing can be written any more, if so.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Lines and annotations belong to this step from now on; none is the job itself.
    pub fn enter(&mut self, step: Option<u32>) {
        self.flush();
        self.step = step;
        self.annotations = [0; 3];
    }

    /// A line of a stream, as printed: cleaned and masked here.
    pub fn line(&mut self, stream: Stream, raw: &[u8]) {
        let clean = sanitise(raw);
        let masked = self.masker.mask_bytes(&clean);
        let text = String::from_utf8_lossy(&masked).into_owned();
        self.push(stream, text);
    }

    /// A part of a line that is too long to be held.
    pub fn part(&mut self, stream: Stream, raw: &[u8], last: bool) {
        let mut clean = Vec::with_capacity(raw.len());
        self.long.sanitiser.push(raw, &mut clean);
        self.long.mask.push(&self.masker, &clean, &mut self.long.rest);
        if last {
            self.long.sanitiser.finish();
            self.long.mask.finish(&self.masker, &mut self.long.rest);
        }
        let whole = if last { self.long.rest.len() } else { whole_characters(&self.long.rest) };
        let text = String::from_utf8_lossy(&self.long.rest[..whole]).into_owned();
        self.long.rest.drain(..whole);
        self.gather(stream, text);
        self.batch.open = !last;
        self.flush();
    }

    /// Lines of the agent itself.
    pub fn say(&mut self, text: &str) {
        for line in text.lines() {
            self.line(Stream::Agent, line.as_bytes());
        }
    }

    /// An annotation that is a line of the log as well, as on GitHub: nothing else in the log says it.
    pub fn tell(&mut self, level: AnnotationLevel, message: &str, properties: &IndexMap<String, String>) {
        let word = match level {
            AnnotationLevel::Notice => "Notice",
            AnnotationLevel::Warning => "Warning",
            AnnotationLevel::Error => "Error",
        };
        self.say(&format!("{word}: {message}"));
        self.annotate(level, message, properties);
    }

    /// An annotation of what the log says already. GitHub keeps ten of a level in a step.
    pub fn annotate(&mut self, level: AnnotationLevel, message: &str, properties: &IndexMap<String, String>) {
        let count = &mut self.annotations[level as usize];
        *count += 1;
        if *count > ANNOTATIONS {
            return;
        }
        let clean = |text: &str| {
            let lines: Vec<String> =
                text.split('\n').map(|line| String::from_utf8_lossy(&sanitise(line.as_bytes())).into_owned()).collect();
            self.masker.mask(&lines.join("\n")).chars().take(ANNOTATION_LENGTH).collect()
        };
        let annotation = Annotation {
            step: self.step,
            level,
            message: clean(message),
            properties: properties.iter().map(|(name, value)| (name.clone(), clean(value))).collect(),
        };
        self.record(&Record::Annotation(annotation));
    }

    /// An annotation of the agent's own.
    pub fn warn(&mut self, message: &str) {
        self.tell(AnnotationLevel::Warning, message, &IndexMap::new());
    }

    /// Any record but a log and the end of step or job; its texts are masked by the caller.
    pub fn record(&mut self, record: &Record) {
        self.flush();
        if self.failure.is_none() {
            let result = self.spool.append(record);
            self.after(result);
        }
    }

    /// The end of a step: the end before it is on the disk first, and this one soon.
    pub fn finish_step(&mut self, record: &Record) {
        self.flush();
        let result = self.spool.settle().and_then(|()| self.spool.append_last(record));
        self.after(result);
        self.spool.sync();
    }

    /// The end of the job. An error means that the engine cannot learn of it from the spool.
    pub fn finish_job(mut self, record: &Record) -> std::io::Result<()> {
        self.flush();
        self.spool.append_last(record)?;
        let length = self.spool.length();
        let control = self.control;
        self.spool.close()?;
        control.grown(length);
        Ok(())
    }

    /// When the lines gathered must be written at the latest.
    pub fn due(&self) -> Option<Instant> {
        self.batch.began.map(|(began, _)| began + BATCH_AGE)
    }

    /// Writes the lines gathered if they are due.
    pub fn flush_due(&mut self) {
        if self.due().is_some_and(|due| due <= Instant::now()) {
            self.flush();
        }
    }

    /// Writes the lines gathered.
    pub fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let (Some((_, at)), Some(stream), None) = (batch.began, batch.stream, &self.failure) else {
            return;
        };
        let result =
            self.spool.append(&Record::Log { step: self.step, at, stream, lines: batch.lines, open: batch.open });
        self.after(result);
    }

    fn push(&mut self, stream: Stream, text: String) {
        self.gather(stream, text);
        if self.batch.bytes >= BATCH_BYTES {
            self.flush();
        }
    }

    fn gather(&mut self, stream: Stream, text: String) {
        if self.batch.stream.is_some_and(|current| current != stream) {
            self.flush();
        }
        self.batch.stream = Some(stream);
        self.batch.began.get_or_insert_with(|| (Instant::now(), clock::now()));
        self.batch.bytes += text.len() + 4;
        self.batch.lines.push(text);
    }

    fn after(&mut self, result: std::io::Result<()>) {
        match result {
            Ok(()) => self.control.grown(self.spool.length()),
            Err(error) => {
                let why =
                    || format!("the log could not be written: {error}; make room on the disk that holds the store");
                self.failure.get_or_insert_with(why);
            }
        }
    }
}

/// How many bytes from the start end with a whole character, as far as that can be known.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        // No length: the end is missing. Bytes that are no character at all are not waited for.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => bytes.len(),
    }
}
