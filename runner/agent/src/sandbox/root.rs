//! The job's `/`: what a step may see.
//!
//! Of the host: `/usr`, `/bin`, `/sbin`, `/lib*`, a listed part of `/etc` ([`etc`]) and the folders under `expose`, all
//! read-only; or instead an unpacked image with a layer of the job's own over it. Beside that a new `/proc`, a `/dev`
//! of the harmless devices, and the job's own workspace, home, temp and `/tmp`.
//! Not there: the host's `/run`, `/var`, `/root`, `/home`, `/sys`, the store, the job folder, Docker's socket.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags};
use tagline_protocol::{SandboxConfig, SandboxRoot};

use super::etc;
use super::mounts::{self, NewRoot};
use super::{STEP, Trouble, refused};
use crate::job::FILE_COMMANDS;

/// Folders of programs and libraries; on merged systems all but the first are links into it.
const TREES: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Devices that hold nothing and reach nothing.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// The folder of the steps' scripts and file commands: five files of at most 16 MiB are read, and scripts lie beside them.
const FILE_COMMANDS_ROOM: &str = "mode=0700,size=128m";
/// Links in `/dev` and what they point to.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Builds the root in the job folder and moves into it. The process must be the first of new user, mount and pid
/// namespaces. An error is one sentence.
pub(super) fn enter(config: &SandboxConfig) -> Result<(), Trouble> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    // The first call that needs a right in the new namespaces: some kernels give those out without any (AppArmor).
    rustix::mount::mount_change("/", private).map_err(|error| refused("mounts of one's own", &error.into()))?;
    // The kernel's table of mounts has no links in its paths.
    let job = fs::canonicalize(&config.job_folder).map_err(say("find the job folder"))?;
    let top = job.join("root");
    let root = match &config.root {
        SandboxRoot::Host => host(&top)?,
        SandboxRoot::Folder { path } => image(&job, &top, path)?,
    };
    mounts::read_only_below(&top).map_err(say("make the host's folders read-only"))?;
    devices(&root).map_err(say("make /dev"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    root.mount("proc", Path::new("/proc"), flags, "").map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            refused("a new /proc (a container that hides parts of it allows none)", &error)
        }
        _ => Trouble::Failed(say("mount /proc")(error)),
    })?;
    identity(&root, config).map_err(say("write /etc"))?;
    own_folders(&root, config, &job).map_err(say("bind the job's folders"))?;
    // Last, so that one below /tmp or the home is not covered again.
    for path in &config.expose {
        expose(&root, &top, Path::new(path))?;
    }
    if config.root == SandboxRoot::Host {
        root.seal().map_err(say("make the root read-only"))?;
    }
    Ok(root.enter().map_err(say("move into the sandbox's root"))?)
}

fn say(what: &str) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("cannot {what} in the sandbox: {error}")
}

/// A root in memory with the host's programs.
fn host(top: &Path) -> Result<NewRoot, String> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mounts::mount("tmpfs", top, flags, "mode=0755,size=16m").map_err(say("mount a root"))?;
    let root = NewRoot::open(top).map_err(say("open the root"))?;
    for name in TREES {
        let source = Path::new("/").join(name);
        match fs::read_link(&source) {
            Ok(target) => root.link(&source, &target),
            Err(_) if source.is_dir() => root.bind_read_only(&source, &source),
            Err(_) => Ok(()),
        }
        .map_err(|error| format!("cannot show /{name} in the sandbox: {error}"))?;
    }
    for pattern in etc::BOUND {
        for name in etc::matches(pattern) {
            let path = Path::new("/etc").join(&name);
            root.bind_read_only(&path, &path)
                .map_err(|error| format!("cannot show /etc/{name} in the sandbox: {error}"))?;
        }
    }
    for name in etc::COPIED {
        copy(&root, name).map_err(|error| format!("cannot copy /etc/{name}: {error}"))?;
    }
    // A step that expects the usual folders finds them empty; what it writes belongs into /tmp.
    for path in ["/run", "/var", "/opt", "/srv", "/mnt", "/media"] {
        root.folder(Path::new(path)).map_err(say("make folders"))?;
    }
    root.link(Path::new("/var/tmp"), Path::new("/tmp")).map_err(say("make folders"))?;
    root.link(Path::new("/var/run"), Path::new("/run")).map_err(say("make folders"))?;
    time_zone(&root).map_err(say("set the time zone"))?;
    Ok(root)
}

/// An image's root, with a writable layer that goes when the job goes.
fn image(job: &Path, top: &Path, lower: &str) -> Result<NewRoot, String> {
    let (upper, work) = (job.join("overlay/upper"), job.join("overlay/work"));
    for path in [&upper, &work] {
        fs::create_dir_all(path).map_err(say("make the layer"))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        escape(Path::new(lower)),
        escape(&upper),
        escape(&work)
    );
    mounts::mount("overlay", top, MountFlags::NOSUID | MountFlags::NODEV, &options).map_err(|error| {
        format!(
            "cannot lay the job's own layer over the image at {lower}: {error}; this needs Linux 5.11 and a store \
             on an ordinary file system; the docker runner does without"
        )
    })?;
    NewRoot::open(top).map_err(say("open the image"))
}

/// Commas and colons part the options of an overlay.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace('\\', r"\\").replace(',', r"\,").replace(':', r"\:")
}

fn expose(root: &NewRoot, top: &Path, path: &Path) -> Result<(), String> {
    let plain = path.is_absolute() && !path.components().any(|part| part.as_os_str() == "..");
    if !plain {
        return Err(format!("cannot expose {}: write an absolute path", path.display()));
    }
    let place = top.join(path.strip_prefix("/").unwrap_or(path));
    root.bind_read_only(path, path)
        .and_then(|()| mounts::read_only_below(&place))
        .map_err(|error| format!("cannot expose {} to the job: {error}", path.display()))
}

fn copy(root: &NewRoot, name: &str) -> io::Result<()> {
    let path = Path::new("/etc").join(name);
    match fs::read(&path) {
        Ok(content) => root.file(&path, &content).map(drop),
        // Not every machine has every file.
        Err(_) => Ok(()),
    }
}

fn time_zone(root: &NewRoot) -> io::Result<()> {
    let path = Path::new("/etc/localtime");
    match fs::read_link(path) {
        Ok(target) => root.link(path, &target),
        Err(_) => copy(root, "localtime"),
    }
}

fn devices(root: &NewRoot) -> io::Result<()> {
    let dev = Path::new("/dev");
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    root.mount("tmpfs", dev, flags, "mode=0755,size=1m")?;
    for name in DEVICES {
        root.bind(&dev.join(name), &dev.join(name))?;
    }
    for (name, target) in LINKS {
        root.link(&dev.join(name), Path::new(target))?;
    }
    root.mount("devpts", &dev.join("pts"), flags, "newinstance,ptmxmode=0666,mode=0620")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    root.mount("tmpfs", &dev.join("shm"), flags, "mode=1777")
}

/// Who the users are; in an image also the host's names of the network, as Docker does.
fn identity(root: &NewRoot, config: &SandboxConfig) -> io::Result<()> {
    if config.root == SandboxRoot::Host {
        root.file(Path::new("/etc/passwd"), etc::passwd(&config.paths.home).as_bytes())?;
        root.file(Path::new("/etc/group"), etc::GROUP.as_bytes())?;
    } else {
        for name in ["hosts", "resolv.conf"] {
            copy(root, name)?;
        }
    }
    Ok(())
}

/// Home first: the usual workspace lies below it.
fn own_folders(root: &NewRoot, config: &SandboxConfig, job: &Path) -> io::Result<()> {
    let paths = &config.paths;
    let mut places = vec![
        ("home", PathBuf::from(&paths.home)),
        ("work", PathBuf::from(&paths.workspace)),
        ("temp", PathBuf::from(&paths.temp)),
        ("tmp", PathBuf::from("/tmp")),
    ];
    places.sort_by_key(|(_, path)| path.components().count());
    for (name, path) in places {
        root.bind(&job.join(name), &path)?;
    }
    // What had to be made on the way to the workspace is the steps' as well.
    for path in Path::new(&paths.workspace).ancestors().skip(1).filter(|path| path.starts_with(&paths.home)) {
        root.give(path, STEP)?;
    }
    // They are made for each step and gone with it: on a disk that is a tenth of a short step's time.
    let files = Path::new(&paths.temp).join(FILE_COMMANDS);
    root.mount("tmpfs", &files, MountFlags::NOSUID | MountFlags::NODEV, FILE_COMMANDS_ROOM)
}
