//! `tagline init`, run as a command.

use crate::place::Place;

#[test]
fn the_first_files_lint_clean_and_plan_and_are_never_overwritten() {
    let cargo = ("Cargo.toml", "[package]\nname = \"shop\"\nversion = \"1.0.0\"\n");
    let place = Place::repository(&[cargo, ("src/main.rs", "fn main() {}\n")]);
    let said = place.run(&["init"]).exits(0);
    assert_eq!(said.out, "wrote .github/workflows/release.yml\nwrote .tagline/environments.yml\n");
    assert!(said.err.contains("for the Cargo.toml found here"), "{}", said.err);
    let lint = place.run(&["lint"]).exits(0);
    assert!(lint.out.starts_with("0 errors in 2 files, "), "{}", lint.out);
    place.commit();
    place.git(&["tag", "v0.1.0"]);
    let plan = place.run(&["plan", "--tag", "v0.1.0"]).exits(0);
    assert!(plan.out.contains("= approval           1 of release-managers (production)"), "{}", plan.out);
    let before = place.read(".github/workflows/release.yml");
    assert!(place.read(".tagline/environments.yml").contains("'ona@example.com'"));
    let again = place.run(&["init"]).exits(2);
    assert!(again.err.contains("error[file-exists]"), "{}", again.err);
    assert_eq!(place.read(".github/workflows/release.yml"), before);
}

#[test]
fn a_folder_without_git_is_enough() {
    let place = Place::new();
    place.write("sub/go.mod", "module example.com/shop\n");
    place.run(&["init", "sub"]).exits(0);
    assert!(place.read("sub/.github/workflows/release.yml").contains("go test ./..."));
    place.run(&["init", "missing"]).exits(2);
}
