//! What is answered to which request.
//!
//! Live: the process answers. Started: it has been ready once. Ready: the database answers, its schema is at
//! least the one this build needs, and no stop was asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use serde_json::{Value, json};
use storefront_http::{Handler, Request, Response};

use crate::metrics::Metrics;
use crate::migrations;
use crate::products::{self, Product};

/// Bytes of a request's body, at most.
const BODY_LIMIT: u64 = 64 * 1024;

/// The service, shared by all connections.
pub struct Service {
    database: Mutex<Connection>,
    metrics: Metrics,
    started: AtomicBool,
    stopping: AtomicBool,
}

impl Handler for Service {
    fn handle(&self, request: &mut Request<'_>) -> Response {
        let begin = Instant::now();
        let response = self.route(request).unwrap_or_else(|error| problem(500, &format!("database: {error}")));
        self.metrics.count(response.status, begin.elapsed());
        response.header("x-content-type-options", "nosniff")
    }
}

impl Service {
    /// A service over an open database, migrated or not.
    pub fn new(database: Connection) -> Self {
        let database = Mutex::new(database);
        Self {
            database,
            metrics: Metrics::default(),
            started: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
        }
    }

    /// From now on the service is not ready; it still answers.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    fn route(&self, request: &mut Request<'_>) -> rusqlite::Result<Response> {
        let path = request.path.clone();
        let read = matches!(request.method.as_str(), "GET" | "HEAD");
        Ok(match path.as_str() {
            "/api/products" if request.method == "POST" => self.create(request)?,
            _ if !read => problem(405, "only GET, and POST to /api/products").header("allow", "GET, HEAD, POST"),
            "/" => self.front()?,
            "/q/health/live" => health(true, "the process answers"),
            "/q/health/ready" => self.ready(),
            "/q/health/started" => self.started(),
            "/q/metrics" => Response::new(200, "text/plain; version=0.0.4", self.metrics.text()),
            "/q/info" => self.info()?,
            "/api/products" => self.list(request.parameter("after").unwrap_or_default())?,
            path => match path.strip_prefix("/api/products/") {
                Some(sku) => self.product(sku)?,
                None => problem(404, "there is nothing here"),
            },
        })
    }

    fn ready(&self) -> Response {
        if self.stopping.load(Ordering::SeqCst) {
            return health(false, "stopping");
        }
        match migrations::current(&self.database()) {
            Err(error) => health(false, &format!("database: {error}")),
            Ok(schema) if schema < migrations::EXPECTED => {
                let expected = migrations::EXPECTED;
                health(false, &format!("the schema is at {schema}, {expected} is needed; run `storefront migrate up`"))
            }
            Ok(schema) => {
                self.started.store(true, Ordering::SeqCst);
                health(true, &format!("database answers, schema at {schema}"))
            }
        }
    }

    fn started(&self) -> Response {
        if self.started.load(Ordering::SeqCst) { health(true, "has been ready") } else { self.ready() }
    }

    fn info(&self) -> rusqlite::Result<Response> {
        let schema = migrations::current(&self.database())?;
        let (version, commit) = (crate::version(), crate::commit());
        Ok(Response::json(200, json!({"name": "storefront", "version": version, "commit": commit, "schema": schema})))
    }

    fn list(&self, after: &str) -> rusqlite::Result<Response> {
        if !after.is_empty() && !products::is_sku(after) {
            return Ok(problem(400, "after: not a sku"));
        }
        let page = products::list(&self.database(), after)?;
        let next = page.last().filter(|_| page.len() == products::PAGE_LIMIT as usize);
        let next = next.map(|last| format!("/api/products?after={}", last.sku));
        let page: Vec<Value> = page.iter().map(Product::to_json).collect();
        Ok(Response::json(200, json!({"products": page, "next": next})))
    }

    fn product(&self, sku: &str) -> rusqlite::Result<Response> {
        let found = if products::is_sku(sku) { products::find(&self.database(), sku)? } else { None };
        Ok(found.map_or_else(|| problem(404, "no such product"), |product| Response::json(200, product.to_json())))
    }

    fn create(&self, request: &mut Request<'_>) -> rusqlite::Result<Response> {
        let Some(body) = request.bytes(BODY_LIMIT) else {
            return Ok(problem(413, "the body is longer than 64 KiB, or ended early"));
        };
        let product = match Product::from_json(&body) {
            Ok(product) => product,
            Err(wrong) => {
                return Ok(Response::json(422, json!({"error": "not a product", "wrong": wrong})));
            }
        };
        if !products::add(&self.database(), &product)? {
            return Ok(problem(409, &format!("{} exists already", product.sku)));
        }
        let place = format!("/api/products/{}", product.sku);
        Ok(Response::json(201, product.to_json()).header("location", &place))
    }

    fn front(&self) -> rusqlite::Result<Response> {
        let rows: String = products::list(&self.database(), "")?.iter().map(row).collect();
        let version = crate::version();
        let page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>Storefront</title>\
             <h1>Storefront</h1><table><tr><th>Product<th>Price<th>In stock{rows}</table><p>Version {version}</p></html>\n"
        );
        let page = Response::new(200, "text/html; charset=utf-8", page);
        Ok(page.header("content-security-policy", "default-src 'none'"))
    }

    fn database(&self) -> MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(product: &Product) -> String {
    let name = product.name.replace('&', "&amp;").replace('<', "&lt;");
    let (whole, cents) = (product.price_cents / 100, product.price_cents % 100);
    format!("<tr><td>{name}<td>{whole}.{cents:02}<td>{}", product.stock)
}

fn health(up: bool, detail: &str) -> Response {
    let (status, word) = if up { (200, "UP") } else { (503, "DOWN") };
    Response::json(status, json!({"status": word, "detail": detail}))
}

fn problem(status: u16, error: &str) -> Response {
    Response::json(status, json!({"error": error}))
}
