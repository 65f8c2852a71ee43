//! What is looked at before anything starts: the fourteen variables, a migration of one's own, the alert rules.

use tagline_rows::retail::{Retail, SECRETS, VARIABLES};
use tagline_rows::{Ground, Row};

#[test]
fn ra8_each_of_the_fourteen_variables_is_missed_before_the_first_step() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("RA8", "environments.yml: required-variables, secrets");
    let retail = Retail::new(&ground);
    let mut patch = 0;
    let mut refused = |name: &str| {
        patch += 1;
        let version = format!("1.0.{patch}");
        retail.tag(&version, "");
        retail.run(&version).code(2).stderr_has(name);
        retail.tagline.nothing_began();
    };
    for name in VARIABLES {
        let file = retail.repo.path().join(".tagline/environments.yml");
        let text = std::fs::read_to_string(file).expect("a file of the example");
        let line = text.lines().find(|line| line.starts_with(&format!("  {name}: "))).expect("it has a value");
        let (_, value) = line.split_once(": ").expect("it has a value");
        retail.set(&[(name, "''")]);
        refused(name);
        retail.set(&[(name, value)]);
    }
    for name in SECRETS {
        retail.tagline.run(["secret", "rm", name]).success();
        refused(name);
        retail.secret(name, "a-value");
    }
    row.holds();
}

#[test]
fn ra19_a_new_migration_is_written_and_tried_on_this_machine() {
    let Some(ground) = Ground::require() else { return };
    let row = Row::new("RA19", "tagline init --template migration; tagline migration try");
    let retail = Retail::new(&ground);
    let dir = "retail-backend/migrations";
    let made = ["init", "--template", "migration", "--set", "name=add_phone", "--set", &format!("dir={dir}")];
    retail.tagline.run(made).success();
    let file = |end: &str| format!("{dir}/003_add_phone.{end}.sql");
    for end in ["up", "down"] {
        assert!(retail.repo.path().join(file(end)).exists(), "{} is missing", file(end));
    }
    let administrator = &ground.postgres;
    let (server, _) = administrator.rsplit_once('/').expect("a URL with a database");
    let attempt = |name: &str| {
        retail.database.as_administrator(&format!("create database {name}"));
        let url = format!("{server}/{name}");
        let tried = retail.tagline.run(["migration", "try", "--database", &url, "--dir", dir]);
        retail.database.as_administrator(&format!("drop database {name} with (force)"));
        tried
    };
    let name = format!("try_{}", std::process::id());
    retail.repo.write(&file("up"), "alter table users add column phone text");
    retail.repo.write(&file("down"), "alter table users drop column phone");
    attempt(&name).success().stdout_has("003_add_phone");
    // A way back that leaves something is found before anybody needs it.
    retail.repo.write(&file("down"), "select 1");
    attempt(&name).code(1).stderr_has("phone");
    row.holds();
}
