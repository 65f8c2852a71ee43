//! The state of a running demo, and what happens to every request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::database;
use crate::faults::Active;
use crate::http::message::{Request, Response};
use crate::http::server::Stopper;
use crate::metrics::Metrics;
use crate::release::Release;
use crate::units;

use super::routes;

/// The longest `?ms=`, in milliseconds.
const SLOWEST: u64 = 60_000;

/// A running demo.
pub(crate) struct App {
    /// What is baked in.
    pub(crate) release: Release,
    /// What it does wrong.
    pub(crate) faults: Active,
    /// What it counted.
    pub(crate) metrics: Metrics,
    /// The database, if any.
    pub(crate) database: database::Shared,
    /// When it began.
    pub(crate) started: Instant,
    ending: AtomicBool,
    stopper: OnceLock<Stopper>,
}

impl App {
    /// A demo of a release, from now on.
    pub(crate) fn new(release: Release) -> Self {
        let metrics = Metrics::default();
        // Known from the start: a counter that appears with its first failure has no rate before it.
        for name in ["payment_failures_total", "orders_total", "jobs_enqueued_total"] {
            metrics.add(name, 0);
        }
        Self {
            faults: Active::new(release.faults.clone()),
            release,
            metrics,
            database: database::Shared::default(),
            started: Instant::now(),
            ending: AtomicBool::new(false),
            stopper: OnceLock::new(),
        }
    }

    pub(super) fn connections(&self, of: Stopper) {
        // Set once, when the server is bound.
        drop(self.stopper.set(of));
    }

    /// Connections open now.
    pub(super) fn open(&self) -> usize {
        self.stopper.get().map_or(0, Stopper::connections)
    }

    /// It was asked to end: no longer ready, takes no new job.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked to end.
    pub(crate) fn ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    /// Why it is not ready.
    pub(super) fn unready(&self) -> Option<&'static str> {
        match (self.ending(), self.faults.now().never_ready) {
            (true, _) => Some("ending"),
            (false, true) => Some("fault never_ready"),
            (false, false) => None,
        }
    }

    /// The version it claims to be.
    pub(super) fn claimed(&self) -> String {
        self.faults.now().wrong_version.unwrap_or_else(|| self.release.version.clone())
    }

    /// Answers one request, faults and counting included.
    pub(super) fn answer(&self, request: &Request) -> Response {
        let began = Instant::now();
        let suffered = self.faults.request(&request.path, request.headers.get("x-tenant"));
        let asked = request.parameter("ms").and_then(|ms| ms.parse().ok()).unwrap_or(0);
        let wait = suffered.latency + Duration::from_millis(SLOWEST.min(asked));
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        let response = if suffered.error {
            log("ERROR", &format!("{} {} failed: fault error_rate", request.method, request.path));
            Response::json(500, &json!({"error": "fault error_rate"}))
        } else {
            routes::answer(self, request)
        };
        let uri = routes::label(&request.path);
        if uri == "/api/v1/orders" {
            self.metrics.add("orders_total", 1);
            self.metrics.add("payment_failures_total", u64::from(response.status >= 500));
        }
        let labels = format!("status=\"{}\",uri=\"{uri}\"", response.status);
        self.metrics.observe("http_server_requests_seconds", labels, began.elapsed());
        response
    }
}

/// One line of the log, on standard output as containers do.
pub(crate) fn log(level: &str, text: &str) {
    println!("{} {level} {text}", units::now());
}
