//! `needs`: every name is a job, no job waits for itself, and some job can begin.

use std::collections::HashMap;

use indexmap::IndexMap;

use crate::diagnostic::{Diagnostic, Span};
use crate::expression::nearest;
use crate::read::{MAX_CANDIDATES, Reader};
use crate::workflow::Job;

/// One name in `needs` with its place.
pub(super) struct Need {
    pub(super) name: String,
    pub(super) span: Span,
}

/// Checks the names, puts them into the jobs as the needed jobs spell them, and reports cycles.
pub(super) fn resolve(
    reader: &mut Reader<'_>,
    jobs: &mut IndexMap<String, Job>,
    needs: &IndexMap<String, Vec<Need>>,
    span: Span,
) {
    let ids: Vec<String> = jobs.keys().cloned().collect();
    let numbers: HashMap<String, usize> =
        ids.iter().enumerate().map(|(number, id)| (id.to_lowercase(), number)).collect();
    let mut unknown = false;
    let mut edges: Vec<Vec<(usize, Span)>> = vec![Vec::new(); ids.len()];
    for (from, (id, needs)) in needs.iter().enumerate() {
        for need in needs {
            let Some(to) = numbers.get(&need.name.to_lowercase()).copied() else {
                let message = format!("job `{id}` needs `{}`, which is not a job", need.name);
                let others = ids.iter().map(String::as_str).filter(|other| *other != id.as_str());
                let guess = nearest(&need.name, others.take(MAX_CANDIDATES));
                reader.report(Diagnostic::error("unknown-job", need.span, message).suggest(need.span, guess));
                unknown = true;
                continue;
            };
            edges[from].push((to, need.span));
            let names = &mut jobs[id].needs;
            if !names.contains(&ids[to]) {
                names.push(ids[to].clone());
            }
        }
    }
    let waits = needs.values().all(|needs| !needs.is_empty());
    if waits && !unknown {
        let at = Span::new(span.start, span.start);
        let report = Diagnostic::error("no-first-job", at, "every job needs another, so none can begin");
        reader.report(report.help("leave `needs` away in the job that comes first"));
    }
    for cycle in cycles(&edges) {
        report_cycle(reader, &ids, &cycle);
    }
}

/// Most cycles told of one file: each names all its jobs.
const MAX_CYCLES: usize = 10;

/// Cycles found by one walk in the file's order, each as its jobs with the place that names the next.
fn cycles(edges: &[Vec<(usize, Span)>]) -> Vec<Vec<(usize, Span)>> {
    let mut done = vec![false; edges.len()];
    // How far each job is along the path; none when it is not on it.
    let mut along: Vec<Option<usize>> = vec![None; edges.len()];
    let mut found = Vec::new();
    for start in 0..edges.len() {
        // Each entry: a job, and which of its needs to follow next. No recursion: a chain may be long.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        along[start] = Some(0);
        while let Some((job, next)) = path.last_mut() {
            let edge = edges[*job].get(*next).copied().filter(|_| !done[*job]);
            let Some((to, _)) = edge else {
                done[*job] = true;
                along[*job] = None;
                path.pop();
                continue;
            };
            *next += 1;
            if let Some(from) = along[to] {
                let cycle = path[from..].iter().map(|(job, next)| (*job, edges[*job][*next - 1].1));
                found.push(cycle.collect());
                if found.len() == MAX_CYCLES {
                    return found;
                }
            } else if !done[to] {
                along[to] = Some(path.len());
                path.push((to, 0));
            }
        }
    }
    found
}

fn report_cycle(reader: &mut Reader<'_>, ids: &[String], cycle: &[(usize, Span)]) {
    let names = cycle.iter().chain(cycle.first()).map(|(job, _)| ids[*job].as_str());
    let names = names.collect::<Vec<_>>().join(" → ");
    let Some((_, last)) = cycle.last() else { return };
    let mut report = Diagnostic::error("cycle", *last, format!("the jobs wait for each other: {names}"));
    for (_, span) in &cycle[..cycle.len() - 1] {
        report = report.label(*span, "by way of this");
    }
    reader.report(report.help("take one of these `needs` away"));
}
