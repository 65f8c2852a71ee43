//! Images: built, read back, layered; and bills of materials made of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tagline_actions::Builtin;
use tagline_actions::extract::apply_layer;
use tagline_actions::image::{Image, ImageError, ImageSpec, build};
use tagline_actions::inputs::Inputs;
use tagline_actions::oci::{Layout, OciError, Platform, unpack_image};
use tagline_actions::sbom::{SbomSpec, catalog_path, make};

fn spec(with: &[(&str, &str)]) -> Result<ImageSpec, ImageError> {
    ImageSpec::read(&Inputs::new(Builtin::Image, with.iter().copied())?)
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
    }
}

const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n";

/// A workspace with a built `base` layout, and an `app` on top of it.
fn scene() -> (tempfile::TempDir, Image) {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            ("root/bin/tool", "tool"),
            ("root/var/lib/dpkg/status", STATUS),
            ("root/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"),
            ("app/server", "server"),
            ("app/sub/Cargo.lock", "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n"),
        ],
    );
    fs::set_permissions(dir.path().join("app/server"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("tool", dir.path().join("root/bin/alias")).unwrap();
    let base =
        spec(&[("files", "root:/"), ("env", "PATH=/bin\nA=1"), ("cmd", "tool"), ("output", "base"), ("tag", "base:1")]);
    build(&base.unwrap(), dir.path()).unwrap();
    let app = spec(&[
        ("base", "base@base:1"),
        ("files", "app:/srv\napp/server:/usr/bin/:0755"),
        ("entrypoint", "[\"/srv/server\", \"--port 1\"]"),
        ("env", "A=2"),
        ("labels", "team=ops"),
        ("expose", "8080"),
        ("user", "1000:1000"),
        ("workdir", "/srv"),
        ("version", "1.2.3"),
    ]);
    let image = build(&app.unwrap(), dir.path()).unwrap();
    (dir, image)
}

#[test]
fn the_same_input_gives_the_same_digest() {
    let (one_dir, one) = scene();
    let (other_dir, other) = scene();
    assert_ne!(one_dir.path(), other_dir.path());
    assert_eq!((&one.digest, one.size), (&other.digest, other.size));
    assert_eq!(one.platform, "linux/amd64");
    // Built again over the layout that is there already.
    fs::write(one_dir.path().join("app/server"), "other").unwrap();
    let again = spec(&[("base", "base"), ("files", "app:/srv")]).unwrap();
    assert_ne!(build(&again, one_dir.path()).unwrap().digest, one.digest);
}

#[test]
fn an_image_unpacks_to_what_went_in() {
    let (dir, image) = scene();
    let layout = Layout::open(&image.layout).unwrap();
    let rootfs = dir.path().join("rootfs");
    let config = unpack_image(&layout, Some("1.2.3"), &Platform::parse("linux/amd64").unwrap(), &rootfs).unwrap();
    assert_eq!(config.entrypoint, ["/srv/server", "--port 1"]);
    assert!(config.cmd.is_empty(), "a new entry point drops the base's arguments");
    assert_eq!(config.env, ["PATH=/bin", "A=2"]);
    assert_eq!((config.working_dir.as_str(), config.user.as_str()), ("/srv", "1000:1000"));
    assert_eq!(fs::read_to_string(rootfs.join("bin/alias")).unwrap(), "tool");
    for program in ["srv/server", "usr/bin/server"] {
        let mode = fs::metadata(rootfs.join(program)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{program}");
    }
    let (descriptor, manifest) = layout.image(None, &Platform::host()).unwrap();
    assert_eq!(descriptor.digest, image.digest);
    for blob in [&manifest.config].into_iter().chain(&manifest.layers) {
        layout.verify(blob).unwrap();
    }
    let config: serde_json::Value = serde_json::from_slice(&layout.document(&manifest.config).unwrap()).unwrap();
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.version"], "1.2.3");
    assert_eq!(config["config"]["ExposedPorts"]["8080/tcp"], serde_json::json!({}));
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2);
}

#[test]
fn a_damaged_blob_is_refused_wherever_it_is_read() {
    let (dir, _) = scene();
    let base = dir.path().join("base");
    for entry in fs::read_dir(base.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        fs::write(&path, &bad).unwrap();
        let again = spec(&[("base", "base"), ("files", "app:/srv"), ("output", "again")]).unwrap();
        let error = build(&again, dir.path()).unwrap_err();
        assert!(matches!(error, ImageError::Oci(OciError::Damaged { .. })), "{error}");
        assert!(!dir.path().join("again").exists());
        let layout = Layout::open(&base).unwrap();
        let rootfs = dir.path().join("rootfs");
        unpack_image(&layout, None, &Platform::host(), &rootfs).unwrap_err();
        assert!(!rootfs.exists());
        catalog_path(&base, None).unwrap_err();
        fs::write(&path, &good).unwrap();
    }
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 4, "root, app, base and image only");
}

#[test]
fn wrong_inputs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("files", "only-a-source"),
        ("files", "a:relative"),
        ("files", "a:/b:4755"),
        ("files", "a:/b:0644:x"),
        ("expose", "http"),
        ("env", "NO_VALUE"),
        ("platform", "amd64"),
        ("entrypoint", "[1]"),
    ] {
        let error = spec(&[(name, value)]).unwrap_err();
        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
    }
    fs::create_dir(dir.path().join("ws")).unwrap();
    fs::write(dir.path().join("secret"), "x").unwrap();
    std::os::unix::fs::symlink("../secret", dir.path().join("ws/link")).unwrap();
    for files in ["../secret:/x", "link:/x", "missing:/x"] {
        let spec = spec(&[("files", files)]).unwrap();
        assert!(build(&spec, &dir.path().join("ws")).is_err(), "{files}");
    }
    let taken = spec(&[("output", ".")]).unwrap();
    assert!(build(&taken, &dir.path().join("ws")).is_err());
    assert!(dir.path().join("ws/link").symlink_metadata().is_ok());
}

fn layer(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
        }
        tar.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn layers_go_over_each_other_and_whiteouts_take_away() {
    let dir = tempfile::tempdir().unwrap();
    let apply = |entries: &[(&str, &str)]| {
        apply_layer(&layer(entries)[..], dir.path()).unwrap();
    };
    apply(&[
        ("a/one", "1"),
        ("a/two", "2"),
        ("b/sub/three", "3"),
        ("b/sub/four", "4"),
        ("c", "file"),
        ("d/x", "x"),
        ("e/old", "5"),
    ]);
    apply(&[
        ("a/.wh.one", ""),
        ("b/.wh..wh..opq", ""),
        ("b/sub/new", "n"),
        ("c/", ""),
        ("c/inner", "now a folder"),
        ("d", "now a file"),
        ("e/new", "6"),
        ("e/.wh..wh..opq", ""),
        (".wh..wh.plnk", ""),
    ]);
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).ok();
    assert_eq!(read("a/one"), None);
    assert_eq!(read("a/two").as_deref(), Some("2"));
    assert_eq!(read("b/sub/three"), None);
    assert_eq!(read("b/sub/new").as_deref(), Some("n"));
    assert_eq!(read("c/inner").as_deref(), Some("now a folder"));
    assert_eq!(read("d").as_deref(), Some("now a file"));
    assert_eq!(read("e/old"), None);
    assert_eq!(read("e/new").as_deref(), Some("6"), "an opaque mark spares its own layer");
    assert!(read(".wh..wh.plnk").is_none());
}

#[test]
fn special_bits_of_a_layer_are_stripped_and_modes_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    for (name, mode, kind) in [
        ("su", 0o4755, tar::EntryType::Regular),
        ("private", 0o600, tar::EntryType::Regular),
        ("tmp/", 0o1777, tar::EntryType::Directory),
        ("closed/", 0o000, tar::EntryType::Directory),
        ("dev/null", 0o666, tar::EntryType::Char),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000);
        header.set_size(0);
        tar.append_data(&mut header, name, &b""[..]).unwrap();
    }
    apply_layer(&tar.into_inner().unwrap()[..], dir.path()).unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("su"), mode("private"), mode("tmp"), mode("closed")), (0o755, 0o600, 0o1777, 0o700));
    assert!(!dir.path().join("dev/null").exists());
    let time = fs::metadata(dir.path().join("su")).unwrap().modified().unwrap();
    assert_eq!(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs(), 1_000_000);
}

#[test]
fn a_bill_of_materials_reads_an_image_without_unpacking_it() {
    let (dir, image) = scene();
    let catalog = catalog_path(&image.layout, None).unwrap();
    let found: Vec<_> = catalog.components.iter().map(|one| one.purl.as_str()).collect();
    assert_eq!(found, ["pkg:cargo/a@1.0.0", "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12"]);
    let inputs = Inputs::new(Builtin::Sbom, [("path", "image"), ("name", "app"), ("version", "1.2.3")]).unwrap();
    let sbom = make(&SbomSpec::read(&inputs).unwrap(), dir.path()).unwrap();
    assert_eq!(sbom.components, 2);
    let again = make(&SbomSpec::read(&inputs).unwrap(), dir.path()).unwrap();
    assert_eq!(sbom.sha256, again.sha256);
    let folder = catalog_path(&dir.path().join("app"), None).unwrap();
    assert_eq!(folder.components.len(), 1);
}
