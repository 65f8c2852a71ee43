//! Dispatcher, timers, triggers and the socket: everything that drives runs.
