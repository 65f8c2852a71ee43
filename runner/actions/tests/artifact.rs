//! Artifacts as a workflow uses them: packed, placed, unpacked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tagline_actions::Builtin;
use tagline_actions::artifact::{ArtifactError, Download, Kind, Packed, Upload, pack, unpack};
use tagline_actions::inputs::Inputs;

fn workspace(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("content of {file}")).unwrap();
    }
    dir
}

fn upload(with: &[(&str, &str)]) -> Upload {
    Upload::read(&Inputs::new(Builtin::UploadArtifact, with.iter().copied()).unwrap()).unwrap()
}

fn download(with: &[(&str, &str)]) -> Download {
    Download::read(&Inputs::new(Builtin::DownloadArtifact, with.iter().copied()).unwrap()).unwrap()
}

fn packed(dir: &Path, with: &[(&str, &str)]) -> Result<Option<Packed>, ArtifactError> {
    pack(&upload(with), dir, None, &dir.join("../out.tar"))
}

fn paths(dir: &Path, path: &str) -> Vec<String> {
    let packed = packed(dir, &[("path", path)]).unwrap();
    packed.map_or(Vec::new(), |packed| {
        let name = |file: tagline_actions::artifact::PackedFile| file.path.display().to_string();
        packed.files.into_iter().map(name).collect()
    })
}

/// A workspace in a folder of its own, so that the tar lies beside it.
fn nested(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let files: Vec<String> = files.iter().map(|file| format!("ws/{file}")).collect();
    let dir = workspace(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let ws = dir.path().join("ws");
    (dir, ws)
}

#[test]
fn paths_start_at_what_the_patterns_share() {
    let (_dir, ws) = nested(&["dist/a.js", "dist/sub/b.js", "dist/sub/b.map", "logs/c.txt", "top.txt"]);
    for (path, expected) in [
        ("dist", &["a.js", "sub/b.js", "sub/b.map"][..]),
        ("dist/", &["a.js", "sub/b.js", "sub/b.map"]),
        ("./dist", &["a.js", "sub/b.js", "sub/b.map"]),
        ("dist/sub/b.js", &["b.js"]),
        ("dist/**/*.js", &["a.js", "sub/b.js"]),
        ("dist\nlogs", &["dist/a.js", "dist/sub/b.js", "dist/sub/b.map", "logs/c.txt"]),
        ("dist/a.js\ndist/sub/b.js", &["a.js", "sub/b.js"]),
        ("dist\n!**/*.map", &["a.js", "sub/b.js"]),
        ("dist\n!dist/sub", &["a.js"]),
        ("top.txt\nmissing", &["top.txt"]),
        ("*/c.txt", &["logs/c.txt"]),
        ("missing", &[]),
    ] {
        assert_eq!(paths(&ws, path), expected, "{path:?}");
    }
}

#[test]
fn hidden_files_come_along_only_when_asked() {
    let (_dir, ws) = nested(&["dist/.env", "dist/.cache/x", "dist/seen"]);
    assert_eq!(paths(&ws, "dist"), ["seen"]);
    let all = packed(&ws, &[("path", "dist"), ("include-hidden-files", "true")]);
    assert_eq!(all.unwrap().unwrap().files.len(), 3);
}

#[test]
fn the_same_files_give_the_same_digest_wherever_and_whenever() {
    let digest = || {
        let (_dir, ws) = nested(&["dist/a", "dist/b/c", "dist/b/d"]);
        fs::set_permissions(ws.join("dist/a"), fs::Permissions::from_mode(0o700)).unwrap();
        let epoch = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(std::process::id().into());
        fs::File::options().append(true).open(ws.join("dist/b/c")).unwrap().set_modified(epoch).unwrap();
        packed(&ws, &[("path", "dist")]).unwrap().unwrap()
    };
    let (one, other) = (digest(), digest());
    assert_eq!(one, other);
    assert_eq!(one.files.iter().map(|file| file.executable).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn what_is_packed_comes_out_again() {
    let (dir, ws) = nested(&["dist/a", "dist/b/c", "else"]);
    fs::set_permissions(ws.join("dist/a"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("../../else", ws.join("dist/b/link")).unwrap();
    symlink("nowhere", ws.join("dist/broken")).unwrap();
    let packed = packed(&ws, &[("path", "dist")]).unwrap().unwrap();
    let tar = dir.path().join("out.tar");
    assert_eq!(packed.size, fs::metadata(&tar).unwrap().len());
    let other = tempfile::tempdir().unwrap();
    let into = other.path().join("in/here");
    unpack(fs::File::open(&tar).unwrap(), other.path(), &into).unwrap();
    assert_eq!(fs::read_to_string(into.join("b/c")).unwrap(), "content of ws/dist/b/c");
    assert_eq!(fs::read_to_string(into.join("b/link")).unwrap(), "content of ws/else");
    assert!(fs::symlink_metadata(into.join("b/link")).unwrap().is_file());
    assert!(!into.join("broken").exists());
    assert_eq!(fs::metadata(into.join("a")).unwrap().permissions().mode() & 0o111, 0o111);
}

#[test]
fn nothing_found_is_told_as_asked() {
    let (dir, ws) = nested(&["x"]);
    for quiet in ["warn", "ignore"] {
        let result = packed(&ws, &[("path", "none"), ("if-no-files-found", quiet)]);
        assert_eq!(result.unwrap(), None);
    }
    let error = packed(&ws, &[("path", "none"), ("if-no-files-found", "error")]).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
    assert!(!dir.path().join("out.tar").exists());
}

#[test]
fn files_other_systems_cannot_hold_are_refused() {
    for (files, part) in [(&["a:b"][..], "`:`"), (&["q?"], "`?`"), (&["Read", "READ"], "upper and lower case")] {
        let (_dir, ws) = nested(files);
        let error = packed(&ws, &[("path", ".")]).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn wrong_inputs_are_named() {
    let read = |with: &[(&str, &str)]| {
        Upload::read(&Inputs::new(Builtin::UploadArtifact, with.iter().copied()).unwrap()).unwrap_err().to_string()
    };
    assert!(read(&[("path", "x"), ("name", "../x")]).contains("`../x`"));
    assert!(read(&[("path", "x"), ("if-no-files-found", "fail")]).contains("warn, error or ignore"));
    assert!(read(&[("path", "x"), ("compression-level", "11")]).contains("0 to 9"));
    assert!(read(&[]).contains("`path` is required"));
}

#[test]
fn artifacts_go_where_github_puts_them() {
    let available: Vec<String> = ["dist", "dist-arm", "logs"].map(String::from).to_vec();
    let workspace = Path::new("/ws");
    let place = |with: &[(&str, &str)]| -> Vec<(String, String)> {
        let placed = download(with).place(&available, workspace, Some(Path::new("/home/me")));
        let pair = |one: tagline_actions::artifact::Placement| (one.artifact, one.folder.display().to_string());
        placed.unwrap().into_iter().map(pair).collect()
    };
    let pair = |name: &str, folder: &str| (name.to_owned(), folder.to_owned());
    assert_eq!(place(&[("name", "dist"), ("path", "in")]), [pair("dist", "/ws/in")]);
    assert_eq!(place(&[("name", "logs"), ("path", "~/in")]), [pair("logs", "/home/me/in")]);
    assert_eq!(place(&[("pattern", "dist*")]), [pair("dist", "/ws/dist"), pair("dist-arm", "/ws/dist-arm")]);
    assert_eq!(place(&[("pattern", "*s"), ("merge-multiple", "true"), ("path", "all")]), [pair("logs", "/ws/all")]);
    assert_eq!(place(&[]).len(), 3);
    assert_eq!(place(&[("name", "logs")]), [pair("logs", "/ws")]);
    let error = download(&[("name", "nope")]).place(&available, workspace, None).unwrap_err();
    assert!(error.to_string().contains("dist, dist-arm, logs"), "{error}");
}

#[test]
fn a_link_a_step_left_in_the_workspace_is_not_followed() {
    let (dir, ws) = nested(&["dist/a"]);
    packed(&ws, &[("path", "dist")]).unwrap();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), ws.join("out")).unwrap();
    for folder in ["out", "out/deeper"] {
        let tar = fs::File::open(dir.path().join("out.tar")).unwrap();
        assert!(unpack(tar, &ws, &ws.join(folder)).is_err());
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_an_artifact_is_stands_in_its_bytes() {
    let dir = workspace(&["app.json", "notes.txt"]);
    let path = |name: &str| dir.path().join(name);
    fs::write(path("a.cdx.json"), r#"{"bomFormat": "CycloneDX", "components": [{"name": "serde"}]}"#).unwrap();
    fs::write(path("a.spdx.json"), r#"{"spdxVersion": "SPDX-2.3", "packages": []}"#).unwrap();
    fs::write(path("b.json"), r#"{"bomFormat": "CycloneDX"}"#).unwrap();
    // A manifest that calls itself a bill of materials is none: bills are exempt from what must have passed before.
    let manifest = r#"{"apiVersion": "v1", "kind": "Pod", "bomFormat": "CycloneDX", "components": []}"#;
    fs::write(path("pod.json"), manifest).unwrap();
    fs::write(path("both.json"), r#"{"bomFormat": "CycloneDX", "components": [], "packages": []}"#).unwrap();
    fs::create_dir(path("image")).unwrap();
    fs::write(path("image/oci-layout"), "{}").unwrap();
    fs::write(path("image/index.json"), "{}").unwrap();
    let kind = |what: &str| packed(dir.path(), &[("path", what)]).unwrap().unwrap().kind;
    assert_eq!(kind("a.cdx.json"), Kind::Sbom);
    assert_eq!(kind("a.cdx.json\na.spdx.json"), Kind::Sbom);
    assert_eq!(kind("image"), Kind::Image);
    let files =
        ["app.json", "b.json", "notes.txt", "pod.json", "both.json", "a.cdx.json\nnotes.txt", "a.cdx.json\nb.json"];
    for what in files {
        assert_eq!(kind(what), Kind::File, "{what}");
    }
}

#[test]
fn what_a_job_hands_over_as_an_artifact_need_not_be_packed_by_us() {
    let bill = r#"{"bomFormat": "CycloneDX", "components": []}"#;
    let tar = |files: &[(&str, tar::EntryType, &str)]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, entry, body) in files {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*entry);
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, body.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let (regular, link) = (tar::EntryType::Regular, tar::EntryType::Symlink);
    let good = tar(&[("a.json", regular, bill)]);
    assert_eq!(Kind::of(&good[..]), Kind::Sbom);
    let twice = r#"{"bomFormat": "CycloneDX", "components": [], "components": []}"#;
    let unfinished = &bill[..bill.len() - 1];
    for bad in [
        b"not a tar".to_vec(),
        good[..700].to_vec(),
        tar(&[]),
        tar(&[("a.json", regular, bill), ("b.json", link, "")]),
        tar(&[("a.json", regular, twice)]),
        tar(&[("a.json", regular, unfinished)]),
        tar(&[("a.json", regular, &format!("{bill}{bill}"))]),
        tar(&[("oci-layout", link, ""), ("index.json", regular, "{}")]),
    ] {
        assert_eq!(Kind::of(&bad[..]), Kind::File, "{}", String::from_utf8_lossy(&bad));
    }
}
