//! Images: a real registry on loopback, layouts on disk, and jobs of the sandbox in them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use tagline_actions::oci::{Layout, LayoutWriter, Platform};
use tagline_executor::registry::{Credentials, Registry, RegistryError};
use tagline_executor::{Environment, Executor, ImageRef, PlainProcess, Sandbox};
use tagline_protocol::Conclusion;
use tagline_tests::gate;

use crate::support::{self, launch, run, spec};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A layout with a static busybox, if this machine has one; its manifest's digest.
fn busybox(place: &Path) -> Option<(PathBuf, String)> {
    let program = fs::read("/bin/busybox").or_else(|_| fs::read("/usr/bin/busybox"));
    let Ok(program) = program else {
        gate::skip("busybox", "busybox-static is not installed; cargo xtask setup does it");
        return None;
    };
    let target = place.join("layout");
    let writer = LayoutWriter::new(&target).unwrap();
    let layer = writer.stream(LAYER, |to| to.write_all(&layer(&program))).unwrap();
    let config = format!(
        r#"{{"architecture":"{}","os":"linux","config":{{"Env":["PATH=/bin","FROM_IMAGE=yes"]}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Platform::host().architecture,
        layer.digest
    );
    let config = writer.document(CONFIG, config.as_bytes()).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
    });
    let manifest = writer.document(MANIFEST, manifest.to_string().as_bytes()).unwrap();
    let digest = manifest.digest.clone();
    writer.finish(manifest).unwrap();
    Some((target, digest))
}

/// `/bin/busybox`, links to it, and a mark.
fn layer(busybox: &[u8]) -> Vec<u8> {
    let place = tempfile::tempdir().unwrap();
    let bin = place.path().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("busybox"), busybox).unwrap();
    fs::set_permissions(bin.join("busybox"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for name in ["sh", "cat", "id", "touch", "ls"] {
        std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
    }
    fs::write(place.path().join("mark"), "of the image\n").unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-C").arg(place.path()).args(["--owner=0", "--group=0", "-c", "."]);
    tar.output().unwrap().stdout
}

fn executor(place: &Path) -> Executor {
    let sandbox = Sandbox::new(Environment::pick(|_| None), place.join("images"));
    Executor::Sandbox(sandbox.plain_process(PlainProcess::Never))
}

#[tokio::test]
async fn a_job_of_the_sandbox_runs_in_an_unpacked_layout_and_leaves_it_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let Some((layout, digest)) = busybox(place.path()) else { return };
    let executor = executor(place.path());
    let mut launch = launch(&executor, place.path(), support::agent());
    launch.image = Some(ImageRef::Layout(layout));
    let script =
        "cat /mark; echo $FROM_IMAGE; touch /new && ls / | busybox grep new; ls /usr /root 2>/dev/null || true";
    for _ in 0..2 {
        let told = run(&executor, &launch, spec(&executor, &[script])).await;
        assert_eq!(told.result().unwrap().conclusion, Conclusion::Success, "{:?}", told.records);
        assert_eq!(told.lines()[..2], ["of the image", "yes"], "{:?}", told.records);
        executor.clean(&launch.folder).await.unwrap();
        fs::remove_file(launch.folder.spool()).unwrap();
    }
    let rootfs = place.path().join("images").join(digest.strip_prefix("sha256:").unwrap()).join("rootfs");
    assert!(rootfs.join("mark").exists());
    assert!(!rootfs.join("new").exists());
    // Nothing of the unpacking is left beside it.
    assert_eq!(fs::read_dir(place.path().join("images")).unwrap().count(), 1);
}

#[tokio::test]
async fn what_is_pushed_comes_back_with_its_digest_and_runs() {
    let Some(address) = gate::require_registry() else { return };
    let place = tempfile::tempdir().unwrap();
    let Some((layout, digest)) = busybox(place.path()) else { return };
    let registry = Registry::new(Credentials::none());
    let name = format!("{address}/tagline-test/executor-{}:1", std::process::id());
    for _ in 0..2 {
        let pushed = registry.push(&layout, None, &name).await.unwrap();
        assert_eq!(pushed.digest, digest);
        assert!(pushed.reference.ends_with(&format!("@{digest}")), "{pushed:?}");
    }
    let target = place.path().join("pulled");
    let pulled = registry.pull(&name, &target).await.unwrap();
    assert_eq!(pulled.digest, digest);
    assert_eq!(registry.resolve(&name).await.unwrap(), pulled);
    let (descriptor, manifest) = Layout::open(&target).unwrap().image(None, &Platform::host()).unwrap();
    assert_eq!(descriptor.digest, digest);
    Layout::open(&target).unwrap().verify(&manifest.layers[0]).unwrap();
    let executor = executor(place.path());
    let mut launch = launch(&executor, place.path(), support::agent());
    launch.image = Some(ImageRef::Reference(pulled.reference));
    let told = run(&executor, &launch, spec(&executor, &["cat /mark"])).await;
    assert_eq!(told.lines(), ["of the image"]);
}

#[tokio::test]
async fn an_image_that_is_not_there_is_named_with_the_registrys_words() {
    let Some(address) = gate::require_registry() else { return };
    let place = tempfile::tempdir().unwrap();
    let registry = Registry::new(Credentials::none());
    let name = format!("{address}/tagline-test/nothing:1");
    let error = registry.pull(&name, &place.path().join("x")).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot pull {name}: ")), "{error}");
    assert!(!place.path().join("x").exists());
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_an_error_with_its_cause() {
    let place = tempfile::tempdir().unwrap();
    let registry = Registry::new(Credentials::none());
    let error = registry.pull("127.0.0.1:1/a/b:1", &place.path().join("x")).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
}

/// A registry that answers every manifest with one document and every blob with one text.
fn liar(manifest: String, blob: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let read = std::io::Read::read(&mut stream, &mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let body = if request.contains("/manifests/") { manifest.as_str() } else { blob };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    address
}

#[tokio::test]
async fn bytes_that_are_not_of_their_digest_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let zeros = format!("sha256:{}", "0".repeat(64));
    let blob = serde_json::json!({ "mediaType": CONFIG, "digest": zeros, "size": 4 });
    let manifest = serde_json::json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": blob, "layers": [] });
    let address = liar(manifest.to_string(), "evil");
    let registry = Registry::new(Credentials::none());
    let target = place.path().join("layout");
    let error = registry.pull(&format!("{address}/a/b:1"), &target).await.unwrap_err();
    assert!(error.to_string().contains(&"0".repeat(64)), "{error}");
    assert!(!target.exists());
    let pinned = format!("{address}/a/b@{zeros}");
    let error = registry.pull(&pinned, &target).await.unwrap_err();
    assert!(matches!(error, RegistryError::Damaged { .. } | RegistryError::Registry { .. }), "{error}");
    assert!(error.to_string().contains(&"0".repeat(64)), "{error}");
    assert!(!target.exists());
}
