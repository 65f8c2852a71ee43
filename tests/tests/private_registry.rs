//! A registry that speaks TLS with a certificate of its own authority and wants a login: images are pushed, built upon
//! and run from there, with the login of Docker's configuration or of the job.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tagline_tests::{Repo, Scratch, TAG, Tagline, ended, gate, until};

/// `ana`, whose password is `pass:word`, as `htpasswd -B` writes it.
const USERS: &str = "ana:$2y$04$kGFra5HrK4Oq8iQCKXJuVOGWb/tG2ULmH189Q2FM14TTQWYXFZexu\n";
/// The Base64 of `ana:pass:word`.
const AUTH: &str = "YW5hOnBhc3M6d29yZA==";

/// The registry; it ends with this value.
struct Registry {
    child: Child,
    address: String,
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What Docker pulled from it; where it has nothing it says so.
        let mut remove = Command::new("docker");
        remove.args(["image", "rm", "--force", &format!("{}/shop/web:2", self.address)]).stdin(Stdio::null());
        let _ = remove.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl Registry {
    /// None where this machine has not what it takes.
    fn start(scratch: &Scratch) -> Option<Self> {
        for program in ["docker-registry", "openssl", "busybox"] {
            let found = Command::new(program).arg("--help").stdout(Stdio::null()).stderr(Stdio::null()).status();
            if found.is_err() {
                gate::skip(program, "it is not installed; cargo xtask setup does it");
                return None;
            }
        }
        certificates(scratch);
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let at = |name: &str| scratch.join(name).display().to_string();
        scratch.write("users", USERS);
        let config = scratch.write(
            "registry.yml",
            format!(
                "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 auth: {{htpasswd: {{realm: shop, path: {}}}}}\n\
                 http: {{addr: '{port}', tls: {{certificate: {}, key: {}}}}}\n",
                at("data"),
                at("users"),
                at("server.pem"),
                at("server.key")
            ),
        );
        let mut serve = Command::new("docker-registry");
        serve.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { child: serve.spawn().expect("docker-registry starts"), address: port.to_string() };
        until("the registry listens", || TcpStream::connect(&registry.address).ok());
        Some(registry)
    }

    /// `config.json` of Docker with ana's login, in a folder of its own.
    fn docker_config(&self, scratch: &Scratch) -> String {
        let text = format!(r#"{{"auths":{{"{}":{{"auth":"{AUTH}"}}}}}}"#, self.address);
        let file = scratch.write("docker/config.json", text);
        file.parent().expect("a folder").display().to_string()
    }
}

/// An authority `ca.pem`, and a certificate of its for this machine.
fn certificates(scratch: &Scratch) {
    let make = |line: &str| {
        let mut openssl = Command::new("openssl");
        openssl.args(line.split(' ')).current_dir(scratch.path()).stdin(Stdio::null());
        let mut child = openssl.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("openssl starts");
        assert!(ended("openssl", &mut child).success(), "openssl {line}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    scratch.write("names", "subjectAltName=IP:127.0.0.1\n");
    make(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=shop-ca"));
    make(&format!("req {key} -keyout server.key -out server.csr -subj /CN=registry"));
    make("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile names");
}

/// One job pushes an image, the next runs in it.
fn workflow(registry: &Registry, container: &str) -> String {
    format!(
        "on: {{push: {{tags: ['v*']}}}}
jobs:
  build:
    runs-on: x
    steps:
      - run: mkdir bin && cp \"$(command -v busybox)\" bin/busybox
      - uses: tagline/image@v1
        with:
          files: |
            bin/busybox:/bin/busybox:0755
            bin/busybox:/bin/sh:0755
          env: PATH=/bin
          push: {address}/shop/web:1
      - uses: tagline/image@v1
        with: {{base: '{address}/shop/web:1', cmd: sh, output: second, push: '{address}/shop/web:2'}}
  use:
    needs: build
    runs-on: x
    container:
      image: {address}/shop/web:2
{container}    steps:
      - run: echo in the image with $(busybox basename /a/shoes)
",
        address = registry.address
    )
}

/// Somebody who trusts the authority.
fn somebody(scratch: &Scratch, repo: &Repo) -> Tagline {
    let authority: &Path = &scratch.join("ca.pem");
    scratch.tagline().dir(repo.path()).env("SSL_CERT_FILE", &authority.display().to_string())
}

#[test]
fn images_are_pushed_and_run_with_dockers_login() {
    let scratch = Scratch::new();
    let Some(registry) = Registry::start(&scratch) else { return };
    let repo = scratch.project(&workflow(&registry, ""));
    let tagline = somebody(&scratch, &repo).env("DOCKER_CONFIG", &registry.docker_config(&scratch));
    tagline.run(["run", "--tag", TAG, "--runner", "sandbox", "-v"]).success().stderr_has("in the image with shoes");
}

#[test]
fn the_login_of_a_job_is_worked_out_and_masked() {
    let scratch = Scratch::new();
    let Some(registry) = Registry::start(&scratch) else { return };
    let login =
        "      credentials: {username: '${{ env.WHO }}', password: '${{ fromJSON(secrets.LOGIN).password }}'}\n";
    let file = workflow(&registry, login).replace("  use:\n", "  use:\n    env: {WHO: ana}\n");
    let file = file.replace("echo in", "echo pass\":\"word; echo in");
    let repo = scratch.project(&file);
    // The image is there already; what runs it knows nothing but the job's own login.
    let builder = somebody(&scratch, &repo).env("DOCKER_CONFIG", &registry.docker_config(&scratch));
    builder.run(["run", "--tag", TAG, "--runner", "sandbox", "--job", "build"]).success();
    let secrets = scratch.write("secrets.env", "LOGIN={\"password\": \"pass:word\"}\n");
    let using = file.replace("    needs: build\n", "");
    repo.workflow("release.yml", &using).commit("Use it");
    let tagline = somebody(&scratch, &repo);
    let runners: &[&str] = if gate::require_docker() { &["sandbox", "docker"] } else { &["sandbox"] };
    for (number, runner) in runners.iter().enumerate() {
        let tag = format!("v1.3.{number}");
        repo.tag(&tag);
        let secrets = secrets.to_str().expect("a plain path");
        let out = tagline.run(["run", "--tag", &tag, "--runner", runner, "-v", "--job", "use", "--secrets", secrets]);
        out.success().stderr_has("in the image with shoes").lacks("pass:word");
    }
}

#[test]
fn an_unknown_authority_and_a_missing_login_are_told() {
    let scratch = Scratch::new();
    let Some(registry) = Registry::start(&scratch) else { return };
    let repo = scratch.project(&workflow(&registry, ""));
    // TLS with a certificate that is not trusted: nothing goes on without TLS.
    let stranger = scratch.tagline().dir(repo.path()).env("DOCKER_CONFIG", &registry.docker_config(&scratch));
    let out = stranger.run(["run", "--tag", TAG, "--runner", "sandbox", "-v"]);
    out.code(1).stdout_has("invalid peer certificate: UnknownIssuer");
    repo.tag("v1.2.4");
    let out = somebody(&scratch, &repo).run(["run", "--tag", "v1.2.4", "--runner", "sandbox", "-v"]);
    out.code(1).stdout_has("wants a login");
}
