//! The retail shop's rows: its runbook's procedures as releases, on a real cluster, under load.

mod inputs;
mod production;
mod triggers;
