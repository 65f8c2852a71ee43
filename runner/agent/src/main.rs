//! The agent: process 1 of a job.
fn main() {}
