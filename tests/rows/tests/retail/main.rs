//! The retail shop's rows: its runbook's procedures as releases, on a real cluster, under load.

mod alerts;
mod as_printed;
mod database;
mod inputs;
mod production;
mod staging;
mod triggers;
