//! Acceptance: end to end, conformance, crash.
