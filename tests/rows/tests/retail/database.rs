//! Migrations up, verified and down, with a backup before; and what the data is afterwards.

use serde_json::json;
use tagline_rows::retail::{PRODUCTION, Retail};
use tagline_rows::village::in_order;
use tagline_rows::{Ground, Row};
use tagline_tests::Outcome;

/// The database to a version, as `database.yml` does it.
#[track_caller]
fn database(retail: &Retail, direction: &str, to: &str) -> Outcome {
    let payload =
        retail.scratch.write("payload.json", json!({"inputs": {"direction": direction, "to": to}}).to_string());
    let payload = payload.to_string_lossy().into_owned();
    retail.tagline.run(["run", "database", "--event", "workflow_dispatch", "--payload", &payload])
}

#[test]
fn ra9_ra13_migrations_go_up_and_down_and_leave_the_data_whole() {
    let Some(ground) = Ground::require() else { return };
    let mut rows = [
        Row::new("RA9", "release.yml: tagline/migrate@v1 backup, verify-args; database.yml: direction: down"),
        Row::new("RA13", "database.yml: tagline/smoke-test@v1 jobs: k8s/jobs/integrity.yaml"),
    ];
    let retail = Retail::found(&ground);
    let load = retail.load("/");
    let run = retail.deliver("1.0.1");
    in_order(&retail.milestones(run, "production"), &["backed-up", "migrated", "created", "switched"]);
    let preferences = || retail.database.sql("select id, preferences->>'newsletter' from users order by id");
    assert_eq!(preferences(), "1|false\n2|true\n3|true", "who had none has the usual ones, the others keep theirs");

    // Down to 1: only those lose theirs who got them by the migration.
    let down = database(&retail, "down", "1");
    down.success();
    let run = retail.newest();
    in_order(&retail.milestones(run, "database"), &["backed-up", "migrated"]);
    assert_eq!(preferences(), "1|false\n2|\n3|");
    assert_eq!(retail.database.sql("select max(version) from schema_migrations"), "1");
    // And up again.
    database(&retail, "up", "2").success();
    assert_eq!(preferences(), "1|false\n2|true\n3|true");

    // One whose way back would lose data has none, and is not passed downwards.
    let lost = "alter table users add column phone text; update users set email = lower(email)";
    retail.repo.write("retail-backend/migrations/003_fold_addresses.up.sql", lost);
    retail.repo.commit("A migration without a way back");
    database(&retail, "up", "3").success();
    let refused = database(&retail, "down", "2");
    refused.code(1).stderr_has("irreversible");
    assert_eq!(retail.database.sql("select max(version) from schema_migrations"), "3", "nothing was changed");

    // Data that is not whole any more is said, though the migration itself is good.
    retail.database.sql("insert into orders (user_id, cents) values (999, 5)");
    let broken = database(&retail, "up", "3");
    broken.code(1).stderr_has("1 orders belong to no user");
    assert_eq!(retail.live().0, "retail-backend-green");
    assert!(!retail.kubectl(PRODUCTION).all("jobs").is_empty());
    let report = load.end();
    report.none_failed(10_000);
    for row in &mut rows {
        row.load(&report).holds();
    }
}
