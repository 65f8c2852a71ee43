//! The two files.

use super::stack::Stack;

/// `.github/workflows/release.yml`.
pub(super) fn workflow(stack: &Stack) -> String {
    let mut text = String::from(HEAD);
    text.push_str(&job("quality", None, None));
    text.push_str(CHECKOUT);
    text.push_str(&script("Test", &stack.test));
    text.push_str(&job("build", Some("quality"), None));
    text.push_str(CHECKOUT);
    text.push_str(&script("Build", &stack.build));
    text.push_str(&upload(&stack.name, &stack.path));
    text.push_str(&job("sbom", Some("quality"), None));
    text.push_str(CHECKOUT);
    text.push_str(SBOM);
    let mut before = "build, sbom";
    if let (Some(base), true) = (&stack.base, stack.program) {
        text.push_str(&image(stack, base));
        before = "image, sbom";
    }
    for (name, before) in [("staging", before), ("production", "deploy-staging")] {
        text.push_str(&deploy(&stack.name, name, before));
    }
    text
}

const HEAD: &str = "\
name: release

on:
  push:
    tags: [ 'v[0-9]+.[0-9]+.[0-9]+' ]

permissions:
  contents: read

jobs:
";

const CHECKOUT: &str = "      - uses: actions/checkout@v4\n";

const SBOM: &str = "      - uses: tagline/sbom@v1
        with:
          path: .
          output: sbom.cdx.json
      - uses: actions/upload-artifact@v4
        with:
          name: sbom
          path: sbom.cdx.json
          if-no-files-found: error
";

fn job(id: &str, needs: Option<&str>, environment: Option<&str>) -> String {
    let first = if id == "quality" { "" } else { "\n" };
    let needs = needs.map(|needs| format!("    needs: [ {needs} ]\n")).unwrap_or_default();
    let environment = environment.map(|name| format!("    environment: {name}\n")).unwrap_or_default();
    format!("{first}  {id}:\n{needs}    runs-on: ubuntu-latest\n    timeout-minutes: 30\n{environment}    steps:\n")
}

fn script(name: &str, lines: &[String]) -> String {
    match lines {
        [one] => format!("      - name: {name}\n        run: {one}\n"),
        many => {
            let lines: String = many.iter().map(|line| format!("          {line}\n")).collect();
            format!("      - name: {name}\n        run: |\n{lines}")
        }
    }
}

fn upload(name: &str, path: &str) -> String {
    format!(
        "      - uses: actions/upload-artifact@v4\n        with:\n          name: '{name}'\n          path: '{path}'\n          \
         if-no-files-found: error\n"
    )
}

fn download(name: &str) -> String {
    format!(
        "      - uses: actions/download-artifact@v4\n        with:\n          name: '{name}'\n          path: dist\n"
    )
}

/// The image of the container file's last stage with the program in it.
fn image(stack: &Stack, base: &str) -> String {
    let name = &stack.name;
    let head = job("image", Some("build"), None);
    let download = download(name);
    format!(
        "{head}{download}      - uses: tagline/image@v1\n        with:\n          base: '{base}'\n          \
         files: 'dist/{name}:/usr/local/bin/{name}:0755'\n          entrypoint: '/usr/local/bin/{name}'\n          \
         output: image\n      - uses: actions/upload-artifact@v4\n        with:\n          name: image\n          \
         path: image\n          if-no-files-found: error\n"
    )
}

fn deploy(artifact: &str, environment: &str, needs: &str) -> String {
    let head = job(&format!("deploy-{environment}"), Some(needs), Some(environment));
    let download = download(artifact);
    format!(
        "{head}{download}      # Replace this with the command that brings dist/ to {environment}.\n      - name: Deploy\n        \
         run: ls -l dist\n"
    )
}

/// `.tagline/environments.yml`.
pub(super) fn environments(reviewer: &str) -> String {
    // A quoted scalar takes every address there is.
    let reviewer = reviewer.replace('\'', "''");
    format!(
        "# What on GitHub are repository settings. Read from the default branch, never from the tag being released.

teams:
  # People, by the `user.email` of their Git configuration.
  release-managers: [ '{reviewer}' ]

environments:
  staging:
    tags: \">=0.1.0\"

  production:
    tags: \">=0.1.0\"
    after: staging              # these very digests must have passed staging
    reviewers:
      any-of: [ release-managers ]
      required: 1
      # For one person alone. With two people or more take this line out: then nobody approves their own release.
      prevent-self-review: false
    expires: 72h                # silence is a no
"
    )
}
