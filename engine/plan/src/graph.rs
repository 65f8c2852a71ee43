//! The graph of jobs: an order in which each job stands after its needs, and each job's ancestors.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};
use tagline_syntax::workflow::Job;

/// The jobs' ids, each after all it needs; among those that may come next, the one that stands first in the file.
///
/// The reader of workflow files has refused cycles and unknown needs; a job in a cycle would be left out here.
pub(crate) fn order(jobs: &IndexMap<String, Job>) -> Vec<String> {
    let graph = graph(jobs);
    let mut waiting: Vec<usize> =
        graph.node_indices().map(|n| graph.neighbors_directed(n, Direction::Incoming).count()).collect();
    let mut ready: BTreeSet<NodeIndex> = graph.node_indices().filter(|n| waiting[n.index()] == 0).collect();
    let mut ordered = Vec::with_capacity(jobs.len());
    while let Some(node) = ready.pop_first() {
        ordered.push(graph[node].clone());
        for next in graph.neighbors_directed(node, Direction::Outgoing) {
            waiting[next.index()] -= 1;
            if waiting[next.index()] == 0 {
                ready.insert(next);
            }
        }
    }
    ordered
}

/// Everything that comes before each job, by job, in the order of `ordered` (which [`order`] made).
pub(crate) fn ancestors(jobs: &IndexMap<String, Job>, ordered: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut before: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let place: BTreeMap<&str, usize> = ordered.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
    for id in ordered {
        let mut all = BTreeSet::new();
        for need in &jobs[id].needs {
            if let (Some(place), Some(theirs)) = (place.get(need.as_str()), before.get(need)) {
                all.insert(*place);
                all.extend(theirs);
            }
        }
        before.insert(id.clone(), all);
    }
    before.into_iter().map(|(id, all)| (id, all.into_iter().map(|i| ordered[i].clone()).collect())).collect()
}

fn graph(jobs: &IndexMap<String, Job>) -> DiGraph<String, ()> {
    let mut graph = DiGraph::with_capacity(jobs.len(), jobs.len());
    let nodes: BTreeMap<&str, NodeIndex> = jobs.keys().map(|id| (id.as_str(), graph.add_node(id.clone()))).collect();
    for (id, job) in jobs {
        for need in &job.needs {
            if let Some(from) = nodes.get(need.as_str()) {
                graph.update_edge(*from, nodes[id.as_str()], ());
            }
        }
    }
    graph
}
