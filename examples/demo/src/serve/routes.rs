//! What is answered where.

use std::fmt::Write as _;
use std::{env, fs};

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::http::message::{Request, Response};
use crate::metrics::{gauge, processor_seconds, resident};
use crate::queue;

use super::app::App;
use super::health;

/// Orders are answered without a store: the demo is about releases.
const ORDERS: &str = "/api/v1/orders";
const FLAGS: &str = "/api/v1/flags/";

/// The answer to one request.
pub(super) fn answer(app: &App, request: &Request) -> Response {
    let path = request.path.as_str();
    if let ("POST", ORDERS) = (request.method.as_str(), path) {
        return Response::json(200, &json!({"status": "paid", "tenant": tenant(request)}));
    }
    if !["GET", "HEAD"].contains(&request.method.as_str()) {
        return Response::json(405, &json!({"error": format!("{} is not answered here", request.method)}));
    }
    let version = || json!({"name": app.release.name, "version": app.claimed()});
    match path {
        "/" => page(app, request),
        "/admin/login" => Response::html(format!(
            "<!doctype html><title>{name} login</title>\n<form method=\"post\"><input name=\"user\">\
             <input name=\"password\" type=\"password\"><button>Log in</button></form>\n<footer>{version}</footer>\n",
            name = app.release.name,
            version = app.claimed()
        )),
        "/q/info" | "/api/v1/version" => Response::json(200, &version()),
        "/q/metrics" | "/metrics" | "/actuator/prometheus" => metrics(app),
        ORDERS => Response::json(200, &json!({"tenant": tenant(request), "orders": []})),
        "/api/v1/config" => Response::json(200, &config()),
        "/api/v1/whoami" => whoami(app),
        _ => match path.strip_prefix(FLAGS) {
            Some(name) => flag(app, name, request.parameter("tenant")),
            None => health::answer(app, path)
                .unwrap_or_else(|| Response::json(404, &json!({"error": format!("no such path: {path}")}))),
        },
    }
}

/// A path as a label: known ones only, or every stranger's path would be a series of its own.
pub(super) fn label(path: &str) -> &str {
    const KNOWN: [&str; 9] = [
        "/",
        "/admin/login",
        "/q/info",
        "/q/metrics",
        "/api/v1/version",
        "/api/v1/config",
        "/api/v1/whoami",
        "/api/v1/health",
        ORDERS,
    ];
    match path {
        _ if KNOWN.contains(&path) => path,
        _ if path.starts_with(FLAGS) => "/api/v1/flags/{name}",
        _ if health::known(path) => "/q/health",
        _ => "UNKNOWN",
    }
}

fn tenant(request: &Request) -> &str {
    request.headers.get("x-tenant").unwrap_or("default")
}

fn page(app: &App, request: &Request) -> Response {
    let (name, version) = (&app.release.name, app.claimed());
    let tenant = tenant(request).replace('&', "&amp;").replace('<', "&lt;");
    Response::html(format!(
        "<!doctype html><title>{name}</title>\n<h1>{name}</h1>\n<p>tenant {tenant}</p>\n<footer>version {version}</footer>\n"
    ))
}

fn metrics(app: &App) -> Response {
    if app.faults.now().no_metrics {
        return Response::json(404, &json!({"error": "fault no_metrics"}));
    }
    let mut page = app.metrics.text();
    let seconds = processor_seconds();
    let _ = write!(page, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {seconds}\n");
    gauge(&mut page, "jvm_memory_used_bytes", "area=\"heap\"", resident());
    gauge(&mut page, "process_uptime_seconds", "", app.started.elapsed().as_secs_f64());
    gauge(&mut page, "http_server_connections", "", app.open());
    gauge(&mut page, "orders_completed_ratio", "", completed(app));
    gauge(&mut page, "app_info", &format!("name=\"{}\",version=\"{}\"", app.release.name, app.release.version), 1);
    // A database that is away costs its own gauges, not the page.
    if let Ok(Some(depths)) = app.database.with(queue::depths) {
        depths.write(&mut page);
    }
    Response::text(200, page)
}

/// Share of orders that were paid; 1 before the first.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn completed(app: &App) -> f64 {
    let (all, failed) = (app.metrics.get("orders_total"), app.metrics.get("payment_failures_total"));
    if all == 0 { 1.0 } else { 1.0 - failed as f64 / all as f64 }
}

/// What the environment and the mounted ConfigMap say, for those who change them: variables whose names begin with
/// `APP_`, and the files of `/config` (or `CONFIG_DIR`).
fn config() -> Value {
    let variables: Value =
        env::vars().filter(|(name, _)| name.starts_with("APP_")).map(|(name, value)| (name, json!(value))).collect();
    let folder = env::var("CONFIG_DIR").unwrap_or_else(|_| "/config".to_owned());
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files: Value = entries
        .filter_map(|entry| {
            Some((entry.file_name().into_string().ok()?, json!(fs::read_to_string(entry.path()).ok()?)))
        })
        .collect();
    json!({"env": variables, "files": files})
}

fn whoami(app: &App) -> Response {
    let asked = app.database.with(|client| client.query_one("select current_user::text", &[]));
    from_database(asked, |row| Response::json(200, &json!({"user": row.get::<_, String>(0)})))
}

fn from_database<T>(asked: Result<Option<T>, Failure>, answer: impl FnOnce(T) -> Response) -> Response {
    match asked {
        Ok(Some(value)) => answer(value),
        Ok(None) => Response::json(404, &json!({"error": "no database: DATABASE_URL is not set"})),
        Err(failure) => Response::json(503, &json!({"error": failure.to_string()})),
    }
}

/// A flag by the mounted file where that has it, else by the table.
fn flag(app: &App, name: &str, tenant: Option<&str>) -> Response {
    let found = |enabled: bool, source: &str| {
        Response::json(200, &json!({"flag": name, "tenant": tenant, "enabled": enabled, "source": source}))
    };
    match from_file(name, tenant) {
        Ok(Some(enabled)) => return found(enabled, "file"),
        Ok(None) => {}
        Err(error) => return Response::json(503, &json!({"error": error})),
    }
    let asked = app.database.with(|client| {
        // The row of the tenant, else the one for all.
        let sql = "select enabled from feature_flags where flag_key = $1 \
                   and (tenant_id::text = $2 or tenant_id is null) order by tenant_id nulls last limit 1";
        Ok(client.query_opt(sql, &[&name, &tenant])?.map(|row| row.get::<_, bool>(0)))
    });
    match asked {
        Ok(Some(Some(enabled))) => found(enabled, "database"),
        Ok(_) => Response::json(404, &json!({"error": format!("no flag {name} for this tenant")})),
        Err(failure) => Response::json(503, &json!({"error": failure.to_string()})),
    }
}

/// `{"name": true}`, or `{"name": {"tenant-a": true, "*": false}}`; read at every request, as mounted files change.
fn from_file(name: &str, tenant: Option<&str>) -> Result<Option<bool>, String> {
    let path = env::var("FLAGS_FILE").unwrap_or_else(|_| "/config/flags.json".to_owned());
    let Ok(text) = fs::read_to_string(&path) else {
        return Ok(None);
    };
    let flags: Value = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    Ok(match &flags[name] {
        Value::Object(by) => tenant.and_then(|tenant| by.get(tenant)).or_else(|| by.get("*")).and_then(Value::as_bool),
        other => other.as_bool(),
    })
}
