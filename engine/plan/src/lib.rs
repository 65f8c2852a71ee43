//! Workflow and tag to plan: graph, matrix, gates, digests, explanation. Pure.
