//! The commands that look at runs, run as commands.

use serde_json::json;

use crate::place::Place;

#[test]
fn without_a_store_there_are_no_runs_and_no_store_is_made() {
    let place = Place::repository(&[]);
    assert_eq!(place.run(&["runs", "--json"]).exits(0).json(), json!([]));
    let said = place.run(&["runs"]).exits(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("", "0 runs\n"));
    for args in
        [&["show", "1"][..], &["logs", "1"], &["explain", "1", "a"], &["artifacts", "ls", "1"], &["store", "verify"]]
    {
        let said = place.run(args).exits(2);
        assert!(said.err.contains("error[no-store]"), "{args:?}: {}", said.err);
    }
    assert_eq!(place.run(&["environments", "--json"]).exits(0).json(), json!([]));
    assert_eq!(place.run(&["secret", "ls", "--json"]).exits(0).json(), json!([]));
    assert!(!place.store().exists());
}

#[test]
fn a_secret_is_set_from_standard_input_and_its_value_is_nowhere() {
    let place = Place::repository(&[]);
    place.feed(&["secret", "set", "database_url"], "postgres://hunter22\n").exits(0);
    place.feed(&["secret", "set", "DATABASE_URL", "--environment", "Production"], "hunter2222").exits(0);
    let list = place.run(&["secret", "ls", "--json"]).exits(0);
    assert_eq!(list.json()[0]["name"], "DATABASE_URL");
    let whose: Vec<_> = list.json().as_array().unwrap().iter().map(|one| one["environment"].clone()).collect();
    assert_eq!(whose, [json!(null), json!("production")]);
    assert_eq!(
        place.run(&["secret", "ls", "--environment", "production", "--json"]).json().as_array().unwrap().len(),
        1
    );
    for entry in std::fs::read_dir(place.store()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"hunter22"), "{}", entry.path().display());
    }
    place.run(&["secret", "rm", "DATABASE_URL"]).exits(0);
    place.run(&["secret", "rm", "DATABASE_URL"]).exits(1);
    place.feed(&["secret", "set", "GITHUB_X"], "long enough").exits(2);
    place.feed(&["secret", "set", "SHORT"], "abc").exits(2);
    place.feed(&["secret", "set", "HUGE"], &"x".repeat(70_000)).exits(2);
}

#[test]
fn a_store_from_elsewhere_is_named_by_its_url() {
    let place = Place::repository(&[]);
    place.run(&["runs", "--store", "postgres://db"]).exits(2);
    assert_eq!(place.run(&["runs", "--json", "--store", "sqlite:///nowhere/at/all"]).exits(0).json(), json!([]));
    std::fs::create_dir_all(place.store()).unwrap();
    std::fs::write(
        place.store().join("tagline.db"),
        "this is no database, and longer than a header would be".repeat(9),
    )
    .unwrap();
    place.run(&["runs"]).exits(5);
}

#[test]
fn the_doctor_tries_everything_and_fails_only_for_what_is_needed() {
    let place = Place::repository(&[]);
    let said = place.run(&["doctor", "--json"]);
    let checks = said.json();
    let state = |name: &str| {
        let check = checks.as_array().unwrap().iter().find(|check| check["name"] == name);
        check.unwrap_or_else(|| panic!("no {name} in {checks}"))["state"].as_str().unwrap().to_owned()
    };
    assert_eq!((state("store"), state("git")), ("success".to_owned(), "success".to_owned()), "{checks}");
    let broken = checks.as_array().unwrap().iter().any(|check| check["state"] == "failure");
    assert_eq!(said.code, i32::from(broken), "{checks}");
    assert!(["sandbox", "docker"].iter().all(|name| state(name) != "failure") || broken);
    assert!(!place.store().exists(), "looking makes no store");
}

#[test]
fn environments_are_those_of_the_file() {
    let rules = "environments:\n  staging:\n  production: { after: staging, reviewers: { any-of: [a@example.com] } }\n";
    let place = Place::repository(&[(".tagline/environments.yml", rules)]);
    let said = place.run(&["environments"]).exits(0);
    let expected = "\
ENVIRONMENT  LIVE  SINCE  APPROVED BY  STATE
staging      -     -      -            never deployed
production   -     -      -            never deployed
";
    assert_eq!(said.out, expected);
    let one = place.run(&["environments", "production"]).exits(0).out;
    assert!(one.contains("  After      staging\n  Reviewers  1 of a@example.com\n"), "{one}");
    place.run(&["environments", "nowhere"]).exits(2);
    let typo = place.feed(&["secret", "set", "TOKEN", "--environment", "prodution"], "long enough").exits(2);
    assert!(typo.err.contains("error[unknown-environment]"), "{}", typo.err);
    place.feed(&["secret", "set", "TOKEN", "--environment", "production"], "long enough").exits(0);
}

#[test]
fn what_cannot_be_written_has_failed() {
    let place = Place::repository(&[]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(place.command(&["runs", "--json"]).stdout(full).status().unwrap().code(), Some(1));
}
