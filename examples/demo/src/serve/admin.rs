//! The admin port, which no Service names: faults for tests, and a dump for evidence.

use std::fmt::Write;
use std::fs;

use serde_json::{Value, json};

use crate::http::message::{Request, Response};
use crate::metrics::resident;
use crate::units;

use super::app::{App, log};

/// `GET /fault` and `POST /fault` with what changes; `GET /dump`.
pub(super) fn answer(app: &App, request: &Request) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/fault") => Response::json(200, &app.faults.set().json()),
        ("POST", "/fault") => {
            let changes = serde_json::from_slice::<Value>(&request.body).map_err(|error| error.to_string());
            match changes.and_then(|changes| app.faults.change(&changes).map(|()| changes)) {
                Ok(changes) => {
                    log("WARN", &format!("faults changed: {changes}"));
                    Response::json(200, &app.faults.set().json())
                }
                Err(error) => Response::json(400, &json!({"error": error})),
            }
        }
        ("GET" | "POST", "/dump") => Response::text(200, dump(app)),
        (_, "/fault" | "/dump") => Response::json(405, &json!({"error": "GET or POST"})),
        _ => Response::json(404, &json!({"error": "here are /fault and /dump"})),
    }
}

/// Threads and memory as the kernel sees them, and what the demo knows of itself.
fn dump(app: &App) -> String {
    let mut text = format!(
        "{name} {version} at {now}, up {up:.1} s\nconnections {open}\nresident {resident} bytes\nready {ready}\nfaults {faults}\n\nthreads\n",
        name = app.release.name,
        version = app.release.version,
        now = units::now(),
        up = app.started.elapsed().as_secs_f64(),
        open = app.open(),
        resident = resident(),
        ready = app.unready().unwrap_or("yes"),
        faults = app.faults.set().json(),
    );
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (name, status) = (read("comm"), read("status"));
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or_default();
        // Writing to a String cannot fail.
        _ = writeln!(text, "{} {} {}", task.file_name().display(), name.trim(), state.trim());
    }
    let memory = fs::read_to_string("/proc/self/status").unwrap_or_default();
    text += "\nmemory\n";
    memory.lines().filter(|line| line.starts_with("Vm") || line.starts_with("Rss")).for_each(|line| {
        _ = writeln!(text, "{line}");
    });
    text
}
