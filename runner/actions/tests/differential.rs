//! The same archive, read by this extractor and by GNU tar: both see the same files.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use tagline_actions::Builtin;
use tagline_actions::artifact::{Upload, pack};
use tagline_actions::extract::{Policy, extract_tar};
use tagline_actions::inputs::Inputs;

fn source() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let long = "n".repeat(180);
    for (name, content) in [
        ("src/plain", "1"),
        ("src/sub/žąsis", "2"),
        (&format!("src/{long}/{long}"), "3"),
        ("src/run", "4"),
        ("src/empty", ""),
        ("src/blocks", &"x".repeat(1536)),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::set_permissions(dir.path().join("src/run"), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn tar(arguments: &[&str], folder: &Path) -> String {
    let output = Command::new("tar").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn same(one: &Path, other: &Path) {
    let output = Command::new("diff").args(["-r", "--no-dereference"]).args([one, other]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn what_gnu_tar_packs_comes_out_the_same() {
    let dir = source();
    symlink("../plain", dir.path().join("src/sub/link")).unwrap();
    fs::hard_link(dir.path().join("src/plain"), dir.path().join("src/hard")).unwrap();
    for (format, gzip) in [("gnu", ""), ("pax", ""), ("gnu", "-z"), ("posix", "-z"), ("oldgnu", "")] {
        let mut arguments = vec!["-c", "-f", "out.tar", "--format", format, "-C", "src", "."];
        arguments.extend(Some(gzip).filter(|flag| !flag.is_empty()));
        tar(&arguments, dir.path());
        let into = dir.path().join(format!("{format}{gzip}"));
        let archive = fs::File::open(dir.path().join("out.tar")).unwrap();
        extract_tar(archive, &into, &Policy::artifact()).unwrap();
        same(&dir.path().join("src"), &into);
        let mode = fs::metadata(into.join("run")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{format}");
    }
}

#[test]
fn what_is_packed_here_comes_out_of_gnu_tar_the_same() {
    let dir = source();
    let inputs = Inputs::new(Builtin::UploadArtifact, [("path", "src")]).unwrap();
    let output = dir.path().join("out.tar");
    let packed = pack(&Upload::read(&inputs).unwrap(), dir.path(), None, &output).unwrap().unwrap();
    let listed = tar(&["-t", "--quoting-style=literal", "-f", "out.tar"], dir.path());
    let ours: Vec<String> = packed.files.iter().map(|file| file.path.display().to_string()).collect();
    assert_eq!(listed.lines().collect::<Vec<_>>(), ours);
    fs::create_dir(dir.path().join("again")).unwrap();
    tar(&["-x", "-f", "out.tar", "-C", "again"], dir.path());
    same(&dir.path().join("src"), &dir.path().join("again"));
}
