//! The `tagline` command.
fn main() {}
