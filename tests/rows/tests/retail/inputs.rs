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
