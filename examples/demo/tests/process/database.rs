//! Migrations, SQL, secrets and jobs on a PostgreSQL: `TAGLINE_TEST_POSTGRES` is the URL of one where databases may be
//! made. Without it these tests say that they did not run.

use std::process::{Command, Output};

use postgres::{Client, NoTls};
use serde_json::{Value, json};

use crate::common::{Demo, Server, result};

/// A database of its own, dropped at the end.
struct Scratch {
    server: String,
    name: String,
    url: String,
    demo: Demo,
}

impl Scratch {
    fn new(test: &str, faults: &str) -> Option<Self> {
        let Ok(server) = std::env::var("TAGLINE_TEST_POSTGRES") else {
            eprintln!("{test} did not run: TAGLINE_TEST_POSTGRES is not set");
            return None;
        };
        let name = format!("demo_{test}_{}", std::process::id());
        let (authority, _) = server.rsplit_once('/').filter(|(before, _)| before.contains("://")).unwrap();
        let url = format!("{authority}/{name}");
        Client::connect(&server, NoTls).unwrap().batch_execute(&format!("create database {name}")).unwrap();
        Some(Self { server, name, url, demo: Demo::new(faults) })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.demo.command(words);
        command.env("DATABASE_URL", &self.url);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// What a command printed that worked.
    fn text(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command said that failed with 1.
    fn error(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    fn client(&self) -> Client {
        Client::connect(&self.url, NoTls).unwrap()
    }

    /// Three migrations, the last without a way back.
    fn migrations(&self) -> String {
        let file = |name: &str, sql: &str| self.demo.file(name, sql);
        file("001_init.up.sql", "create table shop (id int primary key)");
        file("001_init.down.sql", "drop table shop");
        file("002_name.up.sql", "alter table shop add name text");
        file("002_name.down.sql", "alter table shop drop name");
        file(
            "002_name.verify.sql",
            "select count(*) = 1 from information_schema.columns where column_name = 'name' and table_name = 'shop'",
        );
        let last = file("003_more.up.sql", "create table more (id int)");
        last.strip_suffix("/003_more.up.sql").unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let drop_it = format!("drop database if exists {} with (force)", self.name);
        if let Ok(mut client) = Client::connect(&self.server, NoTls) {
            drop(client.batch_execute(&drop_it));
        }
    }
}

#[test]
fn migrations_go_up_and_down_to_a_named_version() {
    let Some(scratch) = Scratch::new("migrate", "") else { return };
    let dir = scratch.migrations();
    let migrate = |words: &[&str]| scratch.text(&[&["migrate", "--dir", &dir], words].concat());
    let refused = |words: &[&str]| scratch.error(&[&["migrate", "--dir", &dir], words].concat());
    assert_eq!(migrate(&["up", "--to", "2"]), "applied 001_init\napplied 002_name\nversion 002, 2 applied now\n");
    assert_eq!(migrate(&["up", "--to", "2"]), "version 002, 0 applied now\n", "twice is as good as once");
    assert_eq!(
        migrate(&["status"]),
        "001_init applied\n002_name applied\n003_more pending irreversible\nversion 002\n"
    );
    assert_eq!(migrate(&["verify", "--to", "2"]), "ok 001_init\nok 002_name\n");
    assert!(refused(&["verify"]).contains("1 of 3"));
    assert_eq!(migrate(&["down", "--to", "1"]), "reverted 002_name\nversion 001, 1 reverted now\n");
    assert!(refused(&["verify", "--to", "2"]).contains("1 of 3"));
    assert_eq!(migrate(&["up"]), "applied 002_name\napplied 003_more\nversion 003, 2 applied now\n");
    assert!(refused(&["down", "--to", "1"]).contains("down to 1: 003_more is irreversible (no down)"));
    let status: Value = serde_json::from_str(&migrate(&["status", "--json"])).unwrap();
    assert_eq!((&status["version"], &status["dirty"]), (&json!(3), &json!([])));
    scratch.client().batch_execute("alter table shop drop name").unwrap();
    assert!(refused(&["verify"]).contains("1 of 3"), "verify looks at the tables, not only at its own list");
}

#[test]
fn a_migration_that_fails_leaves_the_database_as_before() {
    let Some(scratch) = Scratch::new("broken", "") else { return };
    let dir = scratch.migrations();
    scratch.demo.file("003_more.up.sql", "create table more (id int); insert into more values (1); selec 1");
    let said = scratch.error(&["migrate", "up", "--dir", &dir]);
    assert!(said.contains("003_more.up.sql: ERROR: syntax error at or near \"selec\""), "{said}");
    assert_eq!(
        scratch.text(&["db", "query", "select version, dirty from schema_migrations"]),
        "version\tdirty\n1\tf\n2\tf\n"
    );
    assert!(scratch.error(&["db", "query", "select * from more"]).contains("does not exist"));
    scratch.client().batch_execute("update schema_migrations set dirty = true where version = 2").unwrap();
    assert!(scratch.error(&["migrate", "up", "--dir", &dir]).contains("002 is dirty"));
}

#[test]
fn a_migration_does_not_wait_behind_a_lock() {
    let Some(scratch) = Scratch::new("lock", "") else { return };
    let dir = scratch.migrations();
    scratch.text(&["migrate", "up", "--to", "1", "--dir", &dir]);
    let mut other = scratch.client();
    let mut reader = other.transaction().unwrap();
    reader.batch_execute("select * from shop").unwrap();
    let said = scratch.error(&["migrate", "up", "--dir", &dir, "--lock-timeout", "200ms"]);
    assert!(said.contains("002_name.up.sql") && said.contains("lock timeout"), "{said}");
    reader.rollback().unwrap();
    scratch.text(&["migrate", "up", "--dir", &dir]);
    let mut holder = scratch.client();
    holder.batch_execute("select pg_advisory_lock(7216034112900551)").unwrap();
    let said = scratch.error(&["migrate", "up", "--dir", &dir, "--lock-timeout", "200ms"]);
    assert!(said.contains("another migration holds the lock"), "{said}");
}

#[test]
fn sql_counts_its_rows_and_undoes_what_was_not_expected() {
    let Some(scratch) = Scratch::new("sql", "") else { return };
    scratch.text(&["db", "exec", "create table feature_flags (flag_key text, tenant_id text, enabled boolean)"]);
    let rows = "insert into feature_flags values ('new', null, true), ('new', 'a', false)";
    assert_eq!(scratch.text(&["db", "exec", rows, "--rows", "2"]), "{\"rows\":2}\n");
    let none = "update feature_flags set enabled = false where flag_key = 'nwe'";
    assert!(scratch.error(&["db", "exec", none, "--rows", "1"]).contains("0 rows, expected 1"));
    assert!(scratch.error(&["db", "exec", "delete from feature_flags", "--rows", "1"]).contains("nothing was changed"));
    let query = ["db", "query", "select tenant_id, enabled from feature_flags order by 1", "--json"];
    let rows: Value = serde_json::from_str(&scratch.text(&query)).unwrap();
    assert_eq!(rows, json!([{"tenant_id": "a", "enabled": "f"}, {"tenant_id": null, "enabled": "t"}]));
    let server = Server::start(scratch.command(&["serve"]));
    let enabled = |tenant: &str| server.get(&format!("/api/v1/flags/new?tenant={tenant}")).json()["enabled"].clone();
    assert_eq!((enabled("a"), enabled("b")), (json!(false), json!(true)));
}

#[test]
fn a_rotated_secret_is_used_without_a_restart() {
    let Some(scratch) = Scratch::new("rotate", "") else { return };
    let (first, second) = (format!("{}_a", scratch.name), format!("{}_b", scratch.name));
    let mut client = scratch.client();
    for user in [&first, &second] {
        client.batch_execute(&format!("create role {user} login password 'secret of {user}'")).unwrap();
    }
    let (user, password) =
        (scratch.demo.file("username", &first), scratch.demo.file("password", &format!("secret of {first}\n")));
    let mut command = scratch.command(&["serve"]);
    let url = scratch.demo.file("jdbc-url", &format!("jdbc:{}", scratch.url));
    command.env_remove("DATABASE_URL").env("DATABASE_URL_FILE", url);
    let server = Server::start({
        command.env("DATABASE_USER_FILE", &user).env("DATABASE_PASSWORD_FILE", &password);
        command
    });
    assert_eq!(server.get("/api/v1/whoami").json(), json!({"user": first}));
    assert_eq!(server.get("/q/health/db").status, 200);
    scratch.demo.file("username", &second);
    assert_eq!(server.get("/q/health/db").status, 503, "the new user with the old password");
    scratch.demo.file("password", &format!("secret of {second}"));
    assert_eq!(server.get("/api/v1/whoami").json(), json!({"user": second}));
    let end =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'demo serve' and datname = $1";
    assert_eq!(client.query(end, &[&scratch.name]).unwrap().len(), 1);
    assert_eq!(server.get("/api/v1/whoami").json(), json!({"user": second}), "an ended connection is replaced");
    drop(server);
    client.batch_execute(&format!("drop role {first}; drop role {second}")).unwrap();
}

#[test]
fn a_worker_does_every_job_once_and_ends_the_one_it_has() {
    let Some(scratch) = Scratch::new("worker", "") else { return };
    scratch.text(&["queue", "init"]);
    scratch.text(&["queue", "add", "--count", "20", "--ms", "1"]);
    scratch.text(&["queue", "add", "--count", "1", "--priority", "BULK", "--ms", "1"]);
    let mut command = scratch.command(&["worker"]);
    command.env("WORKER_PRIORITY_FILTER", "CRITICAL,DEFAULT");
    let mut server = Server::start(command);
    let stats = || result(&scratch.run(&["queue", "stats", "--json"]));
    while stats()["done"] != json!(20) {}
    scratch.text(&["queue", "add", "--count", "2", "--ms", "700"]);
    while stats()["leased"] != json!(1) {}
    server.terminate();
    assert_eq!(server.end(), Some(0));
    let expected = json!({"enqueued": 23, "waiting": 2, "leased": 0, "done": 21, "dead": 0, "retried": 0, "lost": 0, "duplicate_effects": 0});
    assert_eq!(stats(), expected);
}

#[test]
fn faulty_workers_show_in_the_numbers() {
    let Some(scratch) = Scratch::new("faulty", "dup_job = true") else { return };
    scratch.text(&["queue", "init"]);
    scratch.text(&["queue", "add", "--count", "3", "--ms", "0"]);
    let server = Server::start(scratch.command(&["worker"]));
    let stats = || result(&scratch.run(&["queue", "stats"]));
    while stats()["done"] != json!(3) {}
    assert_eq!(stats()["duplicate_effects"], json!(3));
    server.fault(r#"{"dup_job": false, "poison_job": true}"#);
    scratch.text(&["queue", "add", "--count", "1", "--priority", "CRITICAL", "--ms", "0"]);
    while stats()["dead"] != json!(1) {}
    let page = server.get("/q/metrics").body;
    for line in ["reporting_job_failed_total 5", "reporting_job_completed_total 3", "reporting_refresh_dlq_depth 1"] {
        assert!(page.lines().any(|given| given == line), "{line}\n{page}");
    }
}
