//! A scratch PostgreSQL: its data dies with the cluster. It listens on loopback and, for pods, on the node's address.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::home::Home;
use super::process::{Component, running};
use super::state::State;
use super::{network, node};
use crate::shell;

const READY: Duration = Duration::from_secs(30);
/// The superuser; its password guards nothing but test data, and only pods and this machine reach the server.
const USER: &str = "postgres";
const PASSWORD: &str = "tagline-test";
/// The data, inside the node's mount namespace: the server's user may not look into the cache.
const DATA: &str = "/var/lib/tagline-postgres";

/// The address of a server with this host and port, for the superuser.
pub(super) fn url(host: &str, port: u16) -> String {
    format!("postgres://{USER}:{PASSWORD}@{host}:{port}/postgres")
}

/// The folder of the newest server's programs, if one is installed.
pub(super) fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let number = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let mut found: Vec<(u32, PathBuf)> =
        versions.filter_map(|entry| Some((number(&entry.path())?, entry.path().join("bin")))).collect();
    found.retain(|(_, bin)| bin.join("postgres").is_file());
    found.into_iter().max().map(|(_, bin)| bin)
}

/// Starts it and waits until it takes connections.
pub(super) fn start(home: &Home, state: &mut State) -> Result<bool> {
    let bin = programs().context("no PostgreSQL server in /usr/lib/postgresql")?;
    if !home.run("node/lib/tagline-postgres/PG_VERSION").exists() {
        initialise(home, state, &bin)?;
    }
    let mut server = Component::new("postgres", bin.join("postgres")).inside(node::holder_id(state)?);
    server.before.extend(as_postgres());
    let settings = [
        format!("listen_addresses={}", listen(state)),
        format!("port={}", state.ports.postgres),
        "unix_socket_directories=".to_owned(),
        "max_connections=200".to_owned(),
        // Test data: a crash of the machine may take it.
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
    ];
    server.args = ["-D", DATA].map(str::to_owned).to_vec();
    server.args.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
    let started = server.start(home, state)?;
    let port = state.ports.postgres.to_string();
    let ready =
        || shell::output(Command::new(bin.join("pg_isready")).args(["-q", "-h", "127.0.0.1", "-p", &port])).is_ok();
    let mut up = false;
    shell::wait(READY, || {
        up = ready();
        up || !running(state, "postgres")
    });
    ensure!(up, "PostgreSQL does not answer; see {}", home.logs().join("postgres.log").display());
    Ok(started)
}

/// Loopback, and where pods of our cluster reach this machine.
fn listen(state: &State) -> String {
    if state.foreign { "127.0.0.1".to_owned() } else { format!("127.0.0.1,{}", network::NODE) }
}

/// What makes a command run as the server's user, which Debian's package has made.
fn as_postgres() -> Vec<String> {
    ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"].map(str::to_owned).to_vec()
}

/// Makes the data folder, with password logins from this machine and from pods.
fn initialise(home: &Home, state: &State, bin: &Path) -> Result<()> {
    let script = format!(
        "set -e; rm -rf {DATA}; install -d -o postgres -m 700 {DATA}; cd {DATA}; \
         printf %s {PASSWORD} > /run/postgres-password; chown postgres /run/postgres-password; \
         {} {}/initdb -D {DATA} -U {USER} -A scram-sha-256 --pwfile=/run/postgres-password -E UTF8 --locale=C.UTF-8 --no-sync; \
         echo 'host all all {} scram-sha-256' >> {DATA}/pg_hba.conf",
        as_postgres().join(" "),
        bin.display(),
        network::PODS,
    );
    let mut command = Command::new("nsenter");
    command.arg(format!("--mount=/proc/{}/ns/mnt", node::holder_id(state)?)).args(["--", "sh", "-c", &script]);
    shell::output(&mut command)
        .with_context(|| format!("cannot make a database in {}", home.run("node/lib").display()))?;
    Ok(())
}
