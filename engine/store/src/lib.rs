//! Journal, projections, outbox, locks and artifacts in one SQLite file and one folder.
