//! The keys of a job's `container` beside its image: worked out when the job starts, or refused before anything does.

use tagline_tests::{Scratch, TAG, gate};

/// A job in a container with these keys.
fn job(keys: &str, script: &str) -> String {
    format!(
        "on: {{push: {{tags: ['v*']}}}}\nenv: {{HOST: shop-of}}\njobs:\n  build:\n    runs-on: x\n    strategy: {{matrix: \
         {{who: [ana]}}}}\n    container:\n      image: {}\n{keys}    steps:\n      - {{name: Look, run: '{script}'}}\n",
        gate::BASH
    )
}

#[test]
fn variables_and_options_are_worked_out_with_secrets_masked() {
    if !gate::require_docker() {
        return;
    }
    let scratch = Scratch::new();
    let keys = "      env: {TOKEN: 'of ${{ secrets.TOKEN }}', PLAIN: '${{ env.HOST }} ${{ github.ref_name }}'}\n      \
                options: --hostname ${{ matrix.who }} --cpus 1\n";
    let repo = scratch.project(&job(keys, "echo \"$PLAIN, $(hostname), $TOKEN, ${#TOKEN}\""));
    let secrets = scratch.write("secrets.env", "TOKEN=hidden-value\n");
    let tagline = scratch.tagline().dir(repo.path());
    let secrets = secrets.to_str().expect("a plain path");
    let out = tagline.run(["run", "--tag", TAG, "--runner", "docker", "-v", "--secrets", secrets]);
    out.success().stderr_has("shop-of v1.2.3, ana, of ***, 15").lacks("hidden-value");
}

#[test]
fn options_that_come_out_wrong_are_told_once_with_their_place() {
    if !gate::require_docker() {
        return;
    }
    let scratch = Scratch::new();
    let repo = scratch.project(&job("      options: --privileged ${{ matrix.who }}\n", "echo never"));
    let out = scratch.tagline().dir(repo.path()).run(["run", "--tag", TAG, "--runner", "docker"]);
    out.code(1)
        .stdout_has("container.options at line 9, column 16: the container option `--privileged` is not carried out");
}

#[test]
fn ports_volumes_and_what_only_the_inside_knows_are_refused_at_once() {
    let scratch = Scratch::new();
    let keys = "      ports: [80]\n      volumes: ['/var/run/docker.sock:/docker.sock']\n      env: {A: '${{ runner.temp }}'}\n";
    let repo = scratch.project(&job(keys, "echo never"));
    let tagline = scratch.tagline().dir(repo.path());
    let out = tagline.run(["run", "--tag", TAG]);
    out.code(2).stderr_has("the port `80` of a container");
    out.stderr_has("the volume `/var/run/docker.sock:/docker.sock` of a container").stderr_has("release.yml:10:");
    out.stderr_has("`runner.temp` in the `env` of a container");
    tagline.nothing_began();
}
