//! The runbook's own commands beside ours: they must still fail the way they did.

use tagline_rows::Ground;
use tagline_rows::retail::{PRODUCTION, Retail};

#[test]
fn as_printed_the_runbook_fails_as_it_always_did() {
    let Some(ground) = Ground::require() else { return };
    let retail = Retail::new(&ground);
    let push = |version: &str| {
        retail.repo.write("retail-backend/release.toml", format!("version = \"{version}\"\n"));
        retail.edit(".github/workflows/found.yml", |text| {
            let (before, _) = text.rsplit_once("retail-backend:").expect("its tag");
            format!("{before}retail-backend:{version}\n")
        });
        retail.tagline.run(["run", "found", "--event", "workflow_dispatch"]).success();
    };
    for version in ["1.0.7", "1.0.8", "1.0.9"] {
        push(version);
    }
    let image = format!("{}/retail-backend", ground.registry);
    let mut command = std::process::Command::new("bash");
    command.arg("as-printed.sh").arg(retail.namespace(PRODUCTION)).args([&image, "1.0.7", "1.0.8", "1.0.9"]);
    command.current_dir(retail.repo.path()).env("KUBECONFIG", &ground.kubeconfig).env("DEMO", &ground.demo);
    let out = command.output().expect("bash");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    println!("{said}");
    assert!(out.status.success(), "{said}");
}
