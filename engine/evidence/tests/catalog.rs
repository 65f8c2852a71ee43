//! Trees of files and the bills of materials made of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use tagline_evidence::catalog::{Catalog, catalog};
use tagline_evidence::sbom::{Format, Subject, write};
use tagline_evidence::tree::FolderTree;

fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn cataloged(files: &[(&str, &str)]) -> Catalog {
    catalog(&FolderTree::new(tree(files).path())).unwrap()
}

fn purls(files: &[(&str, &str)]) -> Vec<String> {
    let found = cataloged(files);
    assert_eq!(found.problems, [], "{files:?}");
    found.components.into_iter().map(|one| one.purl).collect()
}

const CARGO: &str = r#"
version = 4

[[package]]
name = "app"
version = "0.1.0"
dependencies = ["serde"]

[[package]]
name = "serde"
version = "1.0.219"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "5f0e2c6ed6606019b4e29e69dbaba95b11854410e5347d525002456dbbb786b6"

[[package]]
name = "forked"
version = "2.0.0"
source = "git+https://git.example/forked?branch=main#0a1b2c"
"#;

const NPM_3: &str = r#"{"name": "app", "lockfileVersion": 3, "packages": {
  "": {"name": "app", "version": "1.0.0"},
  "packages/own": {"version": "1.0.0"},
  "node_modules/own": {"resolved": "packages/own", "link": true},
  "node_modules/@babel/core": {"version": "7.1.0", "integrity": "sha512-AAAA"},
  "node_modules/a/node_modules/lodash": {"version": "4.17.21"},
  "node_modules/alias": {"name": "real", "version": "2.0.0"}}}"#;

const NPM_1: &str = r#"{"lockfileVersion": 1, "dependencies": {
  "@babel/core": {"version": "7.1.0", "dependencies": {"lodash": {"version": "4.17.21"}}},
  "alias": {"version": "npm:real@2.0.0"},
  "own": {"version": "file:packages/own"}}}"#;

const NPM_PURLS: &[&str] = &["pkg:npm/%40babel/core@7.1.0", "pkg:npm/lodash@4.17.21", "pkg:npm/real@2.0.0"];

#[test]
fn lock_files_give_the_packages_they_lock() {
    assert_eq!(
        purls(&[("Cargo.lock", CARGO)]),
        [
            "pkg:cargo/app@0.1.0",
            "pkg:cargo/forked@2.0.0?vcs_url=git%2Bhttps:%2F%2Fgit.example%2Fforked%3Fbranch%3Dmain%230a1b2c",
            "pkg:cargo/serde@1.0.219",
        ]
    );
    assert_eq!(purls(&[("web/package-lock.json", NPM_3)]), NPM_PURLS);
    assert_eq!(purls(&[("package-lock.json", NPM_1)]), NPM_PURLS);
    let yarn = "# yarn lockfile v1\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1.0\":\n  version \"7.1.0\"\n  resolved \"https://r.example/core.tgz\"\n  integrity sha512-AAAA\n  dependencies:\n    lodash \"^4\"\n\nlodash@^4:\n  version \"4.17.21\"\n\nalias@npm:real@^2:\n  version \"2.0.0\"\n";
    assert_eq!(purls(&[("yarn.lock", yarn)]), NPM_PURLS);
    let berry = "__metadata:\n  version: 8\n\n\"@babel/core@npm:^7.0.0\":\n  version: 7.1.0\n  resolution: \"@babel/core@npm:7.1.0\"\n\n\"alias@npm:real@^2\":\n  version: 2.0.0\n  resolution: \"real@npm:2.0.0\"\n\n\"lodash@npm:^4\":\n  version: 4.17.21\n  resolution: \"lodash@npm:4.17.21\"\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n  resolution: \"app@workspace:.\"\n";
    assert_eq!(purls(&[("yarn.lock", berry)]), NPM_PURLS);
    for pnpm in [
        "lockfileVersion: '9.0'\npackages:\n  '@babel/core@7.1.0':\n    resolution: {integrity: sha512-AAAA}\n  lodash@4.17.21:\n    resolution: {integrity: sha512-AAAA}\n  real@2.0.0: {resolution: {}}\n",
        "lockfileVersion: '6.0'\npackages:\n  /@babel/core@7.1.0(peer@1.0.0):\n    dev: true\n  /lodash@4.17.21: {}\n  /real@2.0.0: {}\n",
        "lockfileVersion: 5.4\npackages:\n  /@babel/core/7.1.0_peer@1.0.0: {dev: true}\n  /lodash/4.17.21: {}\n  /real/2.0.0: {}\n",
    ] {
        assert_eq!(purls(&[("pnpm-lock.yaml", pnpm)]), NPM_PURLS, "{pnpm}");
    }
    let module = "module example.com/app\n\ngo 1.22\n\nrequire github.com/BurntSushi/toml v1.4.0 // indirect\nrequire (\n\tgolang.org/x/sys v0.20.0\n\texample.com/local v1.0.0\n\texample.com/moved v1.0.0\n)\nreplace example.com/local => ../local\nreplace example.com/moved v1.0.0 => example.com/fork v1.1.0\nexclude golang.org/x/sys v0.1.0\n";
    let sum =
        "golang.org/x/sys v0.20.0 h1:AAAA\ngolang.org/x/sys v0.20.0/go.mod h1:BBBB\ngolang.org/x/old v0.1.0 h1:CCCC\n";
    assert_eq!(
        purls(&[("go.mod", module), ("go.sum", sum)]),
        [
            "pkg:golang/example.com/fork@v1.1.0",
            "pkg:golang/github.com/burntsushi/toml@v1.4.0",
            "pkg:golang/golang.org/x/sys@v0.20.0",
        ]
    );
    let requirements = "# pinned\nDjango_Thing[extra]==4.2 ; python_version > '3' \\\n    --hash=sha256:abcd\n--index-url https://pypi.example\nrequests==2.32.0  # why\n";
    assert_eq!(purls(&[("requirements.txt", requirements)]), ["pkg:pypi/django-thing@4.2", "pkg:pypi/requests@2.32.0"]);
    let uv = "version = 1\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\nsource = { virtual = \".\" }\n[[package]]\nname = \"requests\"\nversion = \"2.32.0\"\nsource = { registry = \"https://pypi.example\" }\n";
    assert_eq!(purls(&[("uv.lock", uv)]), ["pkg:pypi/requests@2.32.0"]);
    let poetry = "[[package]]\nname = \"requests\"\nversion = \"2.32.0\"\n[metadata]\nlock-version = \"2.0\"\n";
    assert_eq!(purls(&[("poetry.lock", poetry)]), ["pkg:pypi/requests@2.32.0"]);
}

#[test]
fn what_cannot_be_read_is_reported_and_makes_the_document_incomplete() {
    for (name, content) in [
        ("Cargo.lock", "not toml ["),
        ("package-lock.json", "{"),
        ("package-lock.json", r#"{"lockfileVersion": 4, "packages": {}}"#),
        ("pnpm-lock.yaml", "packages: ["),
        ("requirements.txt", "requests>=2"),
        ("requirements.txt", "-r more.txt"),
        ("poetry.lock", "[[package]]\nversion = 1"),
        ("yarn.lock", "what is this"),
        ("var/lib/dpkg/status", "Package: x\nStatus: install ok installed\n"),
    ] {
        let found = cataloged(&[(name, content)]);
        assert_eq!(found.problems.len(), 1, "{name}: {content}");
        assert_eq!(found.problems[0].path, name);
        let document = write(&found, &Subject::default(), Format::CycloneDx);
        assert!(document.contains("\"incomplete\""));
    }
}

#[test]
fn a_package_found_twice_is_listed_once_with_both_places() {
    let found = cataloged(&[("a/Cargo.lock", CARGO), ("b/Cargo.lock", CARGO)]);
    assert_eq!(found.components.len(), 3);
    assert!(found.components.iter().all(|one| one.found_in.len() == 2));
}

#[test]
fn folders_that_builds_leave_behind_are_not_looked_into() {
    let found = purls(&[
        ("target/package/Cargo.lock", CARGO),
        (".git/Cargo.lock", CARGO),
        ("node_modules/x/Cargo.lock", CARGO),
        ("node_modules/.package-lock.json", NPM_1),
        ("package-lock.json", r#"{"lockfileVersion": 3, "packages": {}}"#),
    ]);
    assert!(found.is_empty(), "{found:?}");
    let record = purls(&[("node_modules/.package-lock.json", NPM_3)]);
    assert_eq!(record, NPM_PURLS, "without a lock file npm's record counts");
}

#[test]
fn links_are_not_followed() {
    let dir = tree(&[("real/Cargo.lock", CARGO)]);
    std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink("real/Cargo.lock", dir.path().join("Cargo.lock")).unwrap();
    let found = catalog(&FolderTree::new(dir.path())).unwrap();
    let places: Vec<_> = found.components[0].found_in.iter().collect();
    assert_eq!(places, ["real/Cargo.lock"]);
}

#[test]
fn a_folder_that_cannot_be_listed_is_a_problem_and_no_end() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tree(&[("Cargo.lock", CARGO), ("closed/Cargo.lock", CARGO)]);
    let closed = dir.path().join("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let may_everything = fs::read_dir(&closed).is_ok();
    let found = catalog(&FolderTree::new(dir.path())).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(!found.components.is_empty());
    let problems: Vec<_> = found.problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(problems, if may_everything { vec![] } else { vec!["closed"] });
}

#[test]
fn cyclonedx_has_what_the_specification_demands() {
    let subject = Subject { name: Some("app".into()), version: Some("1.2.3".into()), timestamp: None };
    let files = [("Cargo.lock", CARGO), ("package-lock.json", NPM_3)];
    let text = write(&cataloged(&files), &subject, Format::CycloneDx);
    assert_eq!(text, write(&cataloged(&files), &subject, Format::CycloneDx));
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["bomFormat"], &document["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let serial = document["serialNumber"].as_str().unwrap();
    let hex: Vec<usize> = serial.strip_prefix("urn:uuid:").unwrap().split('-').map(str::len).collect();
    assert_eq!(hex, [8, 4, 4, 4, 12]);
    assert_eq!(document["metadata"]["component"]["version"], "1.2.3");
    assert!(document["metadata"].get("timestamp").is_none());
    let mut references = BTreeSet::new();
    for component in document["components"].as_array().unwrap() {
        for field in ["type", "name", "version", "purl", "bom-ref"] {
            assert!(component[field].is_string(), "{field} of {component}");
        }
        assert!(component["evidence"]["occurrences"][0]["location"].is_string());
        assert!(references.insert(component["bom-ref"].to_string()));
    }
    let serde = &document["components"].as_array().unwrap()[2];
    assert_eq!(serde["hashes"][0]["alg"], "SHA-256");
    let timed = Subject { timestamp: Some("2026-11-21T09:00:00Z".into()), ..subject };
    let timed: Value = serde_json::from_str(&write(&cataloged(&files), &timed, Format::CycloneDx)).unwrap();
    assert_eq!(timed["metadata"]["timestamp"], "2026-11-21T09:00:00Z");
    assert_eq!(timed["serialNumber"], document["serialNumber"]);
}

#[test]
fn spdx_names_every_package_and_how_it_belongs() {
    let found = cataloged(&[("package-lock.json", NPM_3)]);
    let document: Value = serde_json::from_str(&write(&found, &Subject::default(), Format::Spdx)).unwrap();
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    assert_eq!(document["packages"].as_array().unwrap().len(), 4);
    assert_eq!(document["relationships"].as_array().unwrap().len(), 4);
    assert_eq!(document["packages"][1]["name"], "@babel/core");
    assert_eq!(document["packages"][1]["externalRefs"][0]["referenceLocator"], "pkg:npm/%40babel/core@7.1.0");
}
