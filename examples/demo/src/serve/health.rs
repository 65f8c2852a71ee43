//! Health, by the names of two frameworks, and the state of what the demo depends on.
//!
//! A dependency is named by the environment: `DEP_REDIS=host:port` is tried by a connection, `up` and `down` are said
//! to be so.

use std::env;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::json;

use crate::http::message::Response;

use super::app::App;

/// How long a dependency may take to accept a connection.
const PROBE: Duration = Duration::from_secs(2);
const ACTUATOR: &str = "/actuator/health/";

/// The answer, where `path` is one of health.
pub(super) fn answer(app: &App, path: &str) -> Option<Response> {
    match path {
        "/q/health/live" | "/q/health/started" | "/api/v1/health" | "/actuator/health/liveness" => Some(state(None)),
        "/q/health" | "/q/health/ready" | "/actuator/health" | "/actuator/health/readiness" => {
            Some(state(app.unready().map(str::to_owned)))
        }
        "/q/health/db" | "/actuator/health/db" => {
            Some(match app.database.with(|client| client.simple_query("select 1")) {
                Ok(Some(_)) => state(None),
                Ok(None) => Response::json(404, &json!({"error": "no database: DATABASE_URL is not set"})),
                Err(failure) => state(Some(failure.to_string())),
            })
        }
        _ => path.strip_prefix(ACTUATOR).map(dependency),
    }
}

/// Whether `path` is one of health.
pub(super) fn known(path: &str) -> bool {
    path == "/q/health" || path == "/actuator/health" || path.starts_with("/q/health/") || path.starts_with(ACTUATOR)
}

/// `{"status":"UP"}` and nothing more, or DOWN with its reason.
fn state(down: Option<String>) -> Response {
    match down {
        None => Response::json(200, &json!({"status": "UP"})),
        Some(reason) => Response::json(503, &json!({"status": "DOWN", "reason": reason})),
    }
}

fn dependency(name: &str) -> Response {
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let variable = format!("DEP_{}", name.to_ascii_uppercase());
    let at = env::var(&variable).ok().filter(|_| plain);
    match at.as_deref() {
        None => Response::json(404, &json!({"status": "UNKNOWN", "reason": format!("{variable} is not set")})),
        Some("up") => state(None),
        Some("down") => state(Some(format!("{variable}=down"))),
        Some(at) => state(probe(at).err().map(|error| format!("{at}: {error}"))),
    }
}

fn probe(at: &str) -> std::io::Result<()> {
    let address = at.to_socket_addrs()?.next().ok_or(std::io::ErrorKind::AddrNotAvailable)?;
    TcpStream::connect_timeout(&address, PROBE).map(drop)
}
