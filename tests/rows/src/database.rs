//! A database of one test.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Ground;

/// A new database with a role of its own, both gone with this value.
#[derive(Debug)]
pub struct Database {
    administrator: String,
    in_pods: String,
    name: String,
    /// Its password.
    pub password: String,
}

impl Database {
    /// Makes one.
    #[track_caller]
    pub fn new(ground: &Ground) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("shop_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let (administrator, in_pods) = (ground.postgres.clone(), ground.postgres_in_pods.clone());
        let database = Self { administrator, in_pods, name, password: "first-password".to_owned() };
        let (name, password) = (&database.name, &database.password);
        database.as_administrator(&format!("create role {name} login createrole createdb password '{password}'"));
        database.as_administrator(&format!("create database {name} owner {name}"));
        database
    }

    /// The name of the database and of its role.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `postgres://HOST:PORT/NAME` as pods reach it, without who: what a Secret's `jdbc-url` holds.
    pub fn url(&self) -> String {
        place(&self.in_pods, &self.name)
    }

    /// Runs SQL in it as its owner; rows as `a|b`, a line each.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        let (name, password) = (&self.name, &self.password);
        psql(&place(&self.administrator, name).replacen("://", &format!("://{name}:{password}@"), 1), sql)
    }

    /// Runs SQL as the administrator of the server, in its own database.
    #[track_caller]
    pub fn as_administrator(&self, sql: &str) -> String {
        psql(&self.administrator, sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // What a failed test leaves behind goes with the server.
        for sql in ["drop database NAME with (force)", "drop role NAME"] {
            let _ = command(&self.administrator, &sql.replace("NAME", &self.name)).output();
        }
    }
}

/// The server of an address, with another database and without who.
fn place(url: &str, name: &str) -> String {
    let (_, server) = url.rsplit_once('@').unwrap_or(("", url));
    let (host, _) = server.split_once('/').unwrap_or((server, ""));
    format!("postgres://{host}/{name}")
}

fn command(url: &str, sql: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
    command.args(["--dbname", url, "--command", sql]);
    command
}

#[track_caller]
fn psql(url: &str, sql: &str) -> String {
    let out = command(url, sql).output().expect("psql is on the PATH");
    assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}
