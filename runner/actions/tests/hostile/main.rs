//! Archives made to do harm: each is refused, nothing is written outside the destination, and nothing
//! of it stays inside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod archive;

use archive::{Tar, Zip, gzip};
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tagline_actions::extract::{ExtractError, Limits, Policy, Refusal, apply_layer, extract_tar, extract_zip};

/// A folder to extract into, with things around it that must not change.
struct Scene {
    dir: tempfile::TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["dest", "secret"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("secret/key"), "precious").unwrap();
        fs::write(dir.path().join("x"), "beside").unwrap();
        let mut scene = Self { dir, before: BTreeMap::new() };
        scene.before = scene.outside();
        scene
    }

    fn dest(&self) -> PathBuf {
        self.dir.path().join("dest")
    }

    /// All that lies outside the destination, with contents and permissions.
    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        snapshot(self.dir.path(), &self.dest(), &mut found);
        found
    }

    fn assert_outside_unchanged(&self, case: &str) {
        assert_eq!(self.outside(), self.before, "{case} changed what lies outside");
    }

    fn assert_empty(&self, case: &str) {
        let left: Vec<_> = fs::read_dir(self.dest()).unwrap().collect();
        assert!(left.is_empty(), "{case} left {left:?}");
    }
}

fn snapshot(folder: &Path, except: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path == except {
            continue;
        }
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mode = metadata.permissions().mode();
        let content = if metadata.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
        if metadata.is_dir() {
            snapshot(&path, except, into);
        }
        into.insert(path, format!("{mode:o} {content}"));
    }
}

/// Small limits, so that bombs need not be large.
fn policy() -> Policy {
    Policy {
        limits: Limits { entries: 50, bytes: 4 << 20, ratio: 100, ratio_after: 1 << 16, depth: 16 },
        ..Policy::artifact()
    }
}

type Check = fn(&Refusal) -> bool;

/// Tars that a policy for artifacts refuses, with the rule each breaks.
fn tars() -> Vec<(String, Vec<u8>, Check)> {
    let mut cases: Vec<(String, Vec<u8>, Check)> = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, check: Check| {
        cases.push((format!("tar: {name}"), bytes, check));
    };
    let tar = Tar::new;
    let parent: Check = |why| matches!(why, Refusal::Parent);
    for name in [
        "../x",
        "..",
        "a/../../x",
        "./../x",
        "a/..",
        "a/b/../../../x",
        "../",
        "a//../x",
        "../../../../../../../../tmp/tagline-escape",
    ] {
        add(&format!("parent {name}"), tar().file(name, "evil").end(), parent);
        add(&format!("parent folder {name}"), tar().folder(name).end(), parent);
    }
    add("parent by GNU long name", tar().long_name("../x").file("ok", "evil").end(), parent);
    add("parent by PAX path", tar().pax(&[("path", "../x")]).file("ok", "evil").end(), parent);
    let absolute: Check = |why| matches!(why, Refusal::Absolute);
    for name in ["/x", "/etc/passwd", "//x", "/../x"] {
        add(&format!("absolute {name}"), tar().file(name, "evil").end(), absolute);
    }
    add("absolute by PAX path", tar().pax(&[("path", "/tmp/x")]).file("ok", "evil").end(), absolute);
    let escape: Check = |why| matches!(why, Refusal::LinkEscapes { .. });
    for target in ["../secret", "/etc", "/", "..", "a/../../secret", "../dest/../secret", "", "./../../x"] {
        add(&format!("link to {target:?}"), tar().symlink("link", target).end(), escape);
    }
    add("deep link", tar().symlink("a/b", "../../secret").end(), escape);
    add("link by PAX linkpath", tar().pax(&[("linkpath", "../secret")]).symlink("l", "ok").end(), escape);
    add("link by GNU long link", tar().long_link("../secret").symlink("l", "ok").end(), escape);
    let through: Check = |why| matches!(why, Refusal::Through { .. });
    add("file through a link", tar().folder("real").symlink("l", "real").file("l/x", "evil").end(), through);
    add("folder through a link", tar().folder("real").symlink("l", "real").folder("l/x").end(), through);
    add("link through a link", tar().folder("real").symlink("l", "real").symlink("l/x", "y").end(), through);
    add("file beneath a file", tar().file("a", "x").file("a/b", "y").end(), through);
    add("file through a hard link", tar().file("a", "x").hard_link("b", "a").file("b/c", "y").end(), through);
    let duplicate: Check = |why| matches!(why, Refusal::Duplicate);
    add("link, then a file of its name", tar().symlink("l", "x").file("l", "evil").end(), duplicate);
    add("file twice", tar().file("a", "1").file("a", "2").end(), duplicate);
    add("file twice, spelled differently", tar().file("a", "1").file("./a", "2").end(), duplicate);
    add("folder, then a file", tar().folder("a").file("a", "2").end(), duplicate);
    add("folder, then a link", tar().folder("a").symlink("a", "b").end(), duplicate);
    add("link, then a folder", tar().symlink("a", "b").folder("a").end(), duplicate);
    add("implied folder, then a link", tar().file("a/b", "x").symlink("a", "c").end(), duplicate);
    let collision: Check = |why| matches!(why, Refusal::CaseCollision { .. });
    add("names that differ by case", tar().file("Readme", "1").file("README", "2").end(), collision);
    add("folders that differ by case", tar().file("A/x", "1").file("a/y", "2").end(), collision);
    add("names that differ by case beyond ASCII", tar().file("Ž", "1").file("ž", "2").end(), collision);
    let hard: Check = |why| matches!(why, Refusal::HardLink { .. });
    for target in ["../x", "/etc/passwd", "missing", "", "self", "../secret/key"] {
        add(&format!("hard link to {target:?}"), tar().hard_link("self", target).end(), hard);
    }
    add("hard link to a link", tar().symlink("l", "x").hard_link("h", "l").end(), hard);
    add("hard link to a folder", tar().folder("d").hard_link("h", "d").end(), hard);
    add("hard link to a later file", tar().hard_link("h", "a").file("a", "x").end(), hard);
    let device: Check = |why| matches!(why, Refusal::Device);
    for kind in [b'3', b'4', b'6'] {
        add(&format!("device of type {}", char::from(kind)), tar().typed("dev", kind, b"").end(), device);
    }
    let kinds: Check = |why| matches!(why, Refusal::Type(_));
    for kind in *b"7SVMDZ!" {
        add(&format!("type {}", char::from(kind)), tar().typed("a", kind, b"").end(), kinds);
    }
    let special: Check = |why| matches!(why, Refusal::SpecialBits);
    for mode in [0o4755, 0o2755, 0o6777, 0o7000] {
        add(&format!("mode {mode:o}"), tar().mode("su", mode).end(), special);
    }
    let size: Check = |why| matches!(why, Refusal::SizeMismatch { .. });
    add("PAX size larger", tar().pax(&[("size", "1536")]).file("a", "x").end(), size);
    add("PAX size smaller", tar().pax(&[("size", "0")]).file("a", "x").end(), size);
    add("link with a body", tar().typed("l", b'2', b"body").end(), |why| {
        matches!(why, Refusal::SizeMismatch { .. } | Refusal::LinkEscapes { .. })
    });
    add("folder with a body", tar().typed("d", b'5', b"body").end(), size);
    let names: Check = |why| matches!(why, Refusal::TwoNames);
    add("two PAX paths", tar().pax(&[("path", "a"), ("path", "b")]).file("c", "x").end(), names);
    add("GNU and PAX name", tar().long_name("a").pax(&[("path", "b")]).file("c", "x").end(), names);
    let malformed: Check = |why| matches!(why, Refusal::Malformed(_));
    add("PAX sparse", tar().pax(&[("GNU.sparse.map", "0,1")]).file("c", "x").end(), malformed);
    add("PAX size no number", tar().pax(&[("size", "-1")]).file("c", "x").end(), malformed);
    add("PAX broken", tar().typed("p", b'x', b"99 path=x\n").file("c", "x").end(), malformed);
    add("PAX of length zero", tar().typed("p", b'x', b"0 path=x\n").file("c", "x").end(), malformed);
    add("global PAX path", tar().typed("p", b'g', b"9 path=x\n").file("c", "x").end(), malformed);
    add("ends in a PAX header", tar().pax(&[("path", "a")]).end(), malformed);
    add("wrong checksum", tar().file("a", "x").flip(0).end(), malformed);
    add("bytes after the end", [tar().file("a", "x").end(), b"more".to_vec()].concat(), malformed);
    add("a second archive", [tar().file("a", "x").end(), tar().file("b", "x").end()].concat(), malformed);
    let truncated: Check = |why| matches!(why, Refusal::Truncated);
    add("no end mark", tar().file("a", "x").cut(1024), truncated);
    add("cut in a body", tar().file("a", &"x".repeat(2000)).cut(2048), truncated);
    add("cut in a header", tar().file("a", "x").cut(1200), truncated);
    add("empty", Vec::new(), truncated);
    add("cut gzip", gzip(&tar().file("a", "x").end())[..30].to_vec(), truncated);
    add("size beyond the end", tar().claims("a", u64::MAX >> 2).end(), |why| {
        matches!(why, Refusal::Truncated | Refusal::TooLarge { .. })
    });
    add("other bytes", b"this is not an archive at all".repeat(30), malformed);
    let packed: Check = |why| matches!(why, Refusal::Compression(_));
    add("zstd", [b"\x28\xb5\x2f\xfd".to_vec(), vec![0; 600]].concat(), packed);
    add("bzip2", [b"BZh9".to_vec(), vec![0; 600]].concat(), packed);
    let name: Check = |why| matches!(why, Refusal::Name(_));
    add("empty name", tar().file("", "x").end(), name);
    add("zero byte in a PAX name", tar().pax(&[("path", "a\0b")]).file("c", "x").end(), name);
    add("component too long", tar().pax(&[("path", &"n".repeat(256))]).file("c", "x").end(), name);
    add("name too long", tar().pax(&[("path", &"n/".repeat(3000))]).file("c", "x").end(), name);
    add("file as the root", tar().file("./.", "x").end(), name);
    add("the staging folder's name", tar().file(".tagline-extract-1-1/x", "x").end(), name);
    let deep: Check = |why| matches!(why, Refusal::TooDeep { .. });
    add("too deep", tar().pax(&[("path", &"d/".repeat(17))]).file("c", "x").end(), deep);
    let many = (0..51).fold(tar(), |tar, index| tar.file(&format!("f{index}"), ""));
    add("too many entries", many.end(), |why| matches!(why, Refusal::TooMany { limit: 50 }));
    let big = tar().file("big", &"x".repeat(5 << 20)).end();
    add("too large", big, |why| matches!(why, Refusal::TooLarge { .. }));
    let bomb = gzip(&tar().file("bomb", &"\0".repeat(3 << 20)).end());
    add("gzip bomb", bomb, |why| matches!(why, Refusal::Ratio { limit: 100 }));
    let header_bomb = tar().typed("p", b'L', &vec![b'a'; 2 << 20]).file("c", "x").end();
    add("long name of 2 MiB", header_bomb, malformed);
    // What came before the fault must go as well.
    add("good files, then an escape", tar().file("good", "x").file("sub/good", "x").file("../x", "evil").end(), parent);
    cases
}

fn zips() -> Vec<(String, Vec<u8>, Check)> {
    let mut cases: Vec<(String, Vec<u8>, Check)> = Vec::new();
    let mut add = |name: &str, bytes: Vec<u8>, check: Check| {
        cases.push((format!("zip: {name}"), bytes, check));
    };
    let zip = Zip::new;
    for name in ["../x", "a/../../x", ".."] {
        add(name, zip().file(name, b"evil").end(), |why| matches!(why, Refusal::Parent));
    }
    add("absolute", zip().file("/x", b"evil").end(), |why| matches!(why, Refusal::Absolute));
    for name in ["..\\x", "C:\\x"] {
        add(name, zip().file(name, b"evil").end(), |why| matches!(why, Refusal::Name(_)));
    }
    let escape: Check = |why| matches!(why, Refusal::LinkEscapes { .. });
    add("link out", zip().entry("l", b"../secret", 0o120_777).end(), escape);
    add("absolute link", zip().entry("l", b"/etc", 0o120_777).end(), escape);
    let pair = zip().entry("l", b"real", 0o120_777).file("l/x", b"evil").end();
    add("file through a link", pair, |why| matches!(why, Refusal::Through { .. }));
    let device: Check = |why| matches!(why, Refusal::Device);
    for mode in [0o020_666, 0o060_666, 0o010_666, 0o140_666] {
        add(&format!("device {mode:o}"), zip().entry("dev", b"", mode).end(), device);
    }
    let duplicate: Check = |why| matches!(why, Refusal::Duplicate | Refusal::Malformed(_));
    add("name twice", zip().file("a", b"1").file("a", b"2").end(), duplicate);
    let collision: Check = |why| matches!(why, Refusal::CaseCollision { .. });
    add("names that differ by case", zip().file("A", b"1").file("a", b"2").end(), collision);
    let broken: Check = |why| matches!(why, Refusal::Malformed(_) | Refusal::Truncated);
    add("empty", Vec::new(), broken);
    add("cut", zip().file("a", b"1").end()[..30].to_vec(), broken);
    add("bytes after the end", [zip().file("a", b"1").end(), b"more".to_vec()].concat(), broken);
    add("wrong checksum", zip().file("a", b"1").wrong_checksum().end(), broken);
    add("encrypted", zip().file("a", b"1").encrypted().end(), |why| {
        matches!(why, Refusal::Encrypted | Refusal::Malformed(_))
    });
    let lie: Check = |why| {
        matches!(
            why,
            Refusal::SizeMismatch { .. }
                | Refusal::Malformed(_)
                | Refusal::TooLarge { .. }
                | Refusal::Ratio { .. }
                | Refusal::Truncated
        )
    };
    add("claims less than it holds", zip().deflated("a", &[b'x'; 5000]).claims(10).end(), lie);
    add("claims more than it holds", zip().deflated("a", &[b'x'; 5000]).claims(50_000).end(), lie);
    add("claims far too much", zip().deflated("a", b"x").claims(u32::MAX - 1).end(), lie);
    let bomb = zip().deflated("bomb", &vec![0; 3 << 20]).end();
    add("bomb", bomb, |why| matches!(why, Refusal::Ratio { .. }));
    let many = (0..51).fold(zip(), |zip, index| zip.file(&format!("f{index}"), b""));
    add("too many entries", many.end(), |why| matches!(why, Refusal::TooMany { .. }));
    cases
}

fn assert_refused(case: &str, result: Result<impl std::fmt::Debug, ExtractError>, check: Check) {
    let error = result.expect_err(case);
    let why = error.refusal().unwrap_or_else(|| panic!("{case}: not a refusal: {error}"));
    assert!(check(why), "{case}: refused for another reason: {error}");
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    let (tars, zips) = (tars(), zips());
    assert!(tars.len() + zips.len() >= 100, "{}", tars.len() + zips.len());
    for (case, bytes, check) in tars {
        let scene = Scene::new();
        assert_refused(&case, extract_tar(&bytes[..], &scene.dest(), &policy()), check);
        scene.assert_empty(&case);
        scene.assert_outside_unchanged(&case);
    }
    for (case, bytes, check) in zips {
        let scene = Scene::new();
        assert_refused(&case, extract_zip(Cursor::new(bytes), &scene.dest(), &policy()), check);
        scene.assert_empty(&case);
        scene.assert_outside_unchanged(&case);
    }
}

#[test]
fn hostile_archives_change_nothing_outside_as_layers_either() {
    for (case, bytes, _) in tars() {
        // 2 MiB of name and 5 MiB of file are within a layer's limits; all else is judged as above.
        let scene = Scene::new();
        let _ = apply_layer(&bytes[..], &scene.dest());
        scene.assert_outside_unchanged(&case);
    }
}

#[test]
fn whiteouts_cannot_reach_outside() {
    let tar = Tar::new;
    for (case, bytes) in [
        ("whiteout of ..", tar().file(".wh...", "").end()),
        ("whiteout of .", tar().file(".wh..", "").end()),
        ("whiteout of nothing", tar().file(".wh.", "").end()),
        ("whiteout in ..", tar().file("../.wh.x", "").end()),
        ("opaque in ..", tar().file("../secret/.wh..wh..opq", "").end()),
        ("device outside dev", tar().typed("etc/zero", b'3', b"").end()),
    ] {
        let scene = Scene::new();
        assert!(apply_layer(&bytes[..], &scene.dest()).is_err(), "{case}");
        scene.assert_outside_unchanged(case);
    }
    // A lower layer's link is not followed by what a higher layer hides or writes.
    let link = tar().symlink("out", "../secret").end();
    for (case, bytes) in [
        ("hide through a link", tar().file("out/.wh.key", "").end()),
        ("hide all through a link", tar().file("out/.wh..wh..opq", "").end()),
        ("write through a link", tar().file("out/key", "evil").end()),
        ("hard link through a link", tar().hard_link("mine", "out/key").end()),
    ] {
        let scene = Scene::new();
        apply_layer(&link[..], &scene.dest()).unwrap();
        let _ = apply_layer(&bytes[..], &scene.dest());
        assert!(!scene.dest().join("mine").exists(), "{case}");
        scene.assert_outside_unchanged(case);
    }
}

#[test]
fn set_user_id_bits_of_a_zip_are_dropped() {
    let scene = Scene::new();
    let zip = Zip::new().entry("su", b"x", 0o106_755).end();
    extract_zip(Cursor::new(zip), &scene.dest(), &policy()).unwrap();
    let mode = fs::metadata(scene.dest().join("su")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

#[test]
fn links_left_in_the_destination_are_not_followed() {
    let tar = Tar::new;
    for (case, bytes, refused) in [
        ("file beneath a link", tar().file("out/key", "evil").end(), true),
        ("folder over a link", tar().folder("out").end(), true),
        ("file over a link", tar().file("out", "mine").end(), false),
    ] {
        let scene = Scene::new();
        symlink("../secret", scene.dest().join("out")).unwrap();
        let result = extract_tar(&bytes[..], &scene.dest(), &policy());
        assert_eq!(result.is_err(), refused, "{case}");
        scene.assert_outside_unchanged(case);
    }
}

#[test]
fn what_stands_in_the_way_is_found_before_anything_moves() {
    let scene = Scene::new();
    fs::create_dir(scene.dest().join("z")).unwrap();
    let bytes = Tar::new().file("a", "new").file("z", "a file over a folder").end();
    let error = extract_tar(&bytes[..], &scene.dest(), &policy()).unwrap_err();
    assert_eq!(error.refusal(), Some(&Refusal::Exists));
    assert!(!scene.dest().join("a").exists());
}

#[test]
fn good_archives_still_unpack() {
    let scene = Scene::new();
    let tar = Tar::new()
        .folder("./")
        .folder("sub")
        .mode("sub/run", 0o755)
        .symlink("sub/link", "../top")
        .file("top", "content")
        .hard_link("also-top", "top")
        .pax(&[("path", &format!("long/{}", "n".repeat(200))), ("mtime", "1.5")])
        .file("cut", "x")
        .end();
    for bytes in [tar.clone(), gzip(&tar)] {
        let done = extract_tar(&bytes[..], &scene.dest(), &policy()).unwrap();
        assert_eq!((done.files, done.bytes), (4, 9));
    }
    let at = |name: &str| scene.dest().join(name);
    assert_eq!(fs::read_to_string(at("sub/link")).unwrap(), "content");
    assert_eq!(fs::read_to_string(at("also-top")).unwrap(), "content");
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("sub"), mode("sub/run"), mode("top")), (0o755, 0o755, 0o644));
    assert!(at(&format!("long/{}", "n".repeat(200))).exists());
    let zip = Zip::new().deflated("zipped", b"abc").entry("d/", b"", 0o040_755).end();
    extract_zip(Cursor::new(zip), &scene.dest(), &policy()).unwrap();
    assert_eq!(fs::read_to_string(at("zipped")).unwrap(), "abc");
    assert_eq!(fs::read_dir(scene.dest()).unwrap().count(), 6);
}
