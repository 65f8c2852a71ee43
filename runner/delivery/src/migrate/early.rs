//! What the tagged files alone show of a migration.

use super::files::read;
use super::plan::target;
use crate::Site;
use crate::inputs::migrate::Style;
use crate::inputs::{MigrateInputs, Problem};

/// What is wrong with the folder, or with the version to reach, at its input.
pub(crate) fn of_files(site: &Site, inputs: &MigrateInputs) -> Vec<Problem> {
    let at = |input: &str, line: &str| Problem::new(input, line.strip_prefix("to: ").unwrap_or(line));
    let files = match &inputs.dir {
        Some(dir) if inputs.style != Style::Job => match read(&site.tree, dir, inputs.style) {
            Ok((files, _)) => files,
            Err(lines) => return lines.iter().map(|line| at("dir", line)).collect(),
        },
        _ => Vec::new(),
    };
    let mut lines = Vec::new();
    target(inputs, &files, &mut lines);
    lines.iter().map(|line| at("to", line)).collect()
}
