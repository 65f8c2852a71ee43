//! `demo queue`: jobs in PostgreSQL, with leases, attempts, dead letters and five priorities.

use std::collections::BTreeMap;

use postgres::{Client, Error};

use crate::metrics::gauge;

/// From the most to the least urgent.
pub(crate) const PRIORITIES: [&str; 5] = ["CRITICAL", "HIGH", "DEFAULT", "LOW", "BULK"];

/// Jobs that wait, by priority, and those given up.
pub(crate) struct Depths {
    waiting: BTreeMap<String, i64>,
    dead: i64,
}

impl Depths {
    /// Adds the gauges to a page.
    pub(crate) fn write(&self, page: &mut String) {
        for priority in PRIORITIES {
            let labels = format!("priority=\"{}\"", priority.to_ascii_lowercase());
            let depth = self.waiting.get(priority).copied().unwrap_or(0);
            gauge(page, "jobs_queue_depth", &labels, depth);
            gauge(page, "reporting_refresh_queue_depth", &labels, depth);
        }
        gauge(page, "jobs_dlq_depth", "", self.dead);
        gauge(page, "reporting_refresh_dlq_depth", "", self.dead);
    }
}

/// Reads the depths; an error where there is no queue.
pub(crate) fn depths(client: &mut Client) -> Result<Depths, Error> {
    let rows = client.query("select priority, state, count(*) from jobs where state <> 'done' group by 1, 2", &[])?;
    let mut depths = Depths { waiting: BTreeMap::new(), dead: 0 };
    for row in rows {
        let (priority, state, count): (String, String, i64) = (row.get(0), row.get(1), row.get(2));
        match state.as_str() {
            "dead" => depths.dead += count,
            "waiting" => *depths.waiting.entry(priority).or_default() += count,
            _ => {}
        }
    }
    Ok(depths)
}
