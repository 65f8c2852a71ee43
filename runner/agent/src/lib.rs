//! Process 1 of a job: runs its steps.
