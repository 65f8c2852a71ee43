//! What the containers of a Job print: read to be said and judged, and kept as evidence.

use std::fmt::Write as _;

use indexmap::IndexMap;

use crate::Object;
use crate::cluster::{Cluster, ClusterError, LogCall, Since};

/// Of the log that is followed, the beginning of a longer one is read.
const MOST: u32 = 4 << 20;
/// Of each container at most so many bytes are kept.
const KEPT: usize = 1 << 20;
/// Of a longer log the last so many lines are asked for, and at most so many bytes: fewer lines where that is not enough.
const LINES: [u32; 3] = [5000, 100, 1];
const ASKED: u32 = 8 << 20;

/// What one container has printed so far, from its beginning, and whether there is more of it than is read; None where it has
/// no log, or none any more.
pub(super) async fn of_container(
    cluster: &Cluster,
    pod: &str,
    container: &str,
) -> Result<Option<(String, bool)>, ClusterError> {
    read(cluster, pod, container, None, MOST).await
}

/// The log, and whether there was more of it.
async fn read(
    cluster: &Cluster,
    pod: &str,
    container: &str,
    lines: Option<u32>,
    bytes: u32,
) -> Result<Option<(String, bool)>, ClusterError> {
    let container = Some(container.to_owned());
    let call = LogCall { container, since: Since::Start, lines, bytes, ..LogCall::default() };
    match cluster.logs(pod, &call).await {
        Ok(logs) => Ok(logs.none.is_none().then_some((logs.text, logs.cut))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What every container printed, by pod and container, in the order they were seen.
#[derive(Debug, Default)]
pub(super) struct Printed(IndexMap<(String, String), String>);

impl Printed {
    /// Reads what the containers of these pods printed; what was read before stays where a pod is gone since. What cannot be
    /// read is given back, a line each.
    pub(super) async fn gather(&mut self, cluster: &Cluster, pods: &[Object]) -> Vec<String> {
        let mut problems = Vec::new();
        for pod in pods {
            for container in begun(pod) {
                match last_part(cluster, pod.name(), &container).await {
                    Ok(Some(text)) => drop(self.0.insert((pod.name().to_owned(), container), text)),
                    Ok(None) => {}
                    Err(error) => problems.push(format!("the log of {} {container} is not kept: {error}", pod.id())),
                }
            }
        }
        problems
    }

    /// What was read elsewhere, where nothing is known of that container.
    pub(super) fn or(&mut self, pod: &str, container: &str, text: &str) {
        let text = || cut(text.to_owned());
        self.0.entry((pod.to_owned(), container.to_owned())).or_insert_with(text);
    }

    /// What that container printed, by pod and name.
    pub(super) fn text(&self, (pod, container): (&str, &str)) -> Option<&str> {
        self.0.get(&(pod.to_owned(), container.to_owned())).map(String::as_str)
    }

    /// The line that tells most: of that container, or where none is to blame, of the last one that spoke.
    pub(super) fn telling_line(&self, of: Option<(&str, &str)>) -> Option<String> {
        match of {
            Some(of) => telling_line(self.text(of)?),
            None => self.0.values().rev().find_map(|text| telling_line(text)),
        }
    }

    /// As a file of evidence: each container under its name where there are several. None where nothing was printed.
    pub(super) fn file(&self) -> Option<String> {
        let some: Vec<_> = self.0.iter().filter(|(_, text)| !text.is_empty()).collect();
        if let [(_, only)] = some.as_slice() {
            return Some((*only).clone());
        }
        let mut file = String::new();
        for ((pod, container), text) in some {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            let _ = write!(file, "==> {pod} {container}\n{text}{end}");
        }
        (!file.is_empty()).then_some(file)
    }
}

/// The last line that says what failed, as test programs and tools write it (TAP: testanything.org, "Test lines"), among the
/// last few; else the last one that says anything. Shortened.
pub(super) fn telling_line(text: &str) -> Option<String> {
    const FEW: usize = 10;
    const SIGNS: [&str; 5] = ["error", "fatal", "fail", "not ok", "panic"];
    let says = |line: &&str| line.contains(char::is_alphanumeric);
    let lines = || text.lines().rev().map(str::trim).filter(says);
    let fails = |line: &&str| {
        SIGNS.iter().any(|sign| line.get(..sign.len()).is_some_and(|word| word.eq_ignore_ascii_case(sign)))
    };
    let line = lines().take(FEW).find(fails).or_else(|| lines().next())?;
    Some(line.chars().take(300).collect())
}

/// The containers of a pod that have begun; those that prepare it come first.
fn begun(pod: &Object) -> Vec<String> {
    let lists = ["/status/initContainerStatuses", "/status/containerStatuses"];
    let all = lists.iter().flat_map(|list| pod.list(list));
    let begun = all.filter(|status| status["state"]["waiting"].is_null());
    begun.filter_map(|status| Some(status["name"].as_str()?.to_owned())).collect()
}

/// The whole log, or the last part of a long one: an end says more of a failure than a beginning.
async fn last_part(cluster: &Cluster, pod: &str, container: &str) -> Result<Option<String>, ClusterError> {
    let whole = u32::try_from(KEPT).unwrap_or(u32::MAX);
    match read(cluster, pod, container, None, whole).await? {
        Some((_, true)) => {
            let mut end = None;
            for lines in LINES {
                end = read(cluster, pod, container, Some(lines), ASKED).await?;
                if end.as_ref().is_none_or(|(_, more)| !more) {
                    break;
                }
            }
            Ok(end.map(|(text, _)| cut(text)))
        }
        found => Ok(found.map(|(text, _)| text)),
    }
}

/// Without its beginning where it is too long, from a whole line on.
fn cut(text: String) -> String {
    if text.len() <= KEPT {
        return text;
    }
    let from = text.ceil_char_boundary(text.len() - KEPT);
    let rest = text.get(from..).unwrap_or_default();
    rest.split_once('\n').map_or(rest, |(_, lines)| lines).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_of_a_long_log_is_kept_by_whole_lines() {
        let long = format!("first\n{}\nlast\n", "ä".repeat(KEPT / 2));
        assert_eq!(cut(long), "last\n");
        assert_eq!(cut("short".to_owned()), "short");
        assert!(cut("ä".repeat(KEPT)).len() <= KEPT);
    }

    #[test]
    fn containers_are_told_apart_where_there_are_several() {
        let mut printed = Printed::default();
        assert_eq!((printed.file(), printed.telling_line(None)), (None, None));
        printed.or("p", "a", "one\n");
        printed.or("p", "quiet", "");
        assert_eq!(printed.file().as_deref(), Some("one\n"));
        printed.or("p", "b", "two\nthree \n\n");
        assert_eq!(printed.file().as_deref(), Some("==> p a\none\n==> p b\ntwo\nthree \n\n"));
        assert_eq!(printed.telling_line(Some(("p", "a"))).as_deref(), Some("one"));
        assert_eq!(printed.telling_line(Some(("p", "quiet"))), None);
        assert_eq!(printed.telling_line(None).as_deref(), Some("three"));
    }

    #[test]
    fn the_line_that_tells_most_is_what_failed_and_never_mere_marks() {
        let tap = "TAP version 14\nnot ok - api\n  ---\n  got: \"refused\"\n  ...\n";
        assert_eq!(telling_line(tap).as_deref(), Some("not ok - api"));
        assert_eq!(
            telling_line("error: api does not hold: refused\n  ...\n").as_deref(),
            Some("error: api does not hold: refused")
        );
        assert_eq!(telling_line("ERROR 1\nERROR 2\nbye\n").as_deref(), Some("ERROR 2"));
        assert_eq!(telling_line("one\ntwo \n---\n\n").as_deref(), Some("two"));
        let long_ago = format!("error: tried again\n{}", "went on\n".repeat(20));
        assert_eq!(telling_line(&long_ago).as_deref(), Some("went on"));
        assert_eq!(telling_line("---\n\n"), None);
    }

    #[test]
    fn only_containers_that_have_begun_have_a_log() {
        let pod = Object(json!({"status": {
            "initContainerStatuses": [{"name": "prepare", "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [{"name": "main", "state": {"running": {}}}, {"name": "late", "state": {"waiting": {}}}],
        }}));
        assert_eq!(begun(&pod), ["prepare", "main"]);
    }
}
