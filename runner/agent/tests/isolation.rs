//! What a step can see and reach.
#![allow(clippy::allow_attributes, clippy::print_stderr, reason = "a test may say why it skips")]

mod support;

use std::fs;

use serde_json::json;
use support::{Sandbox, Starter, job};
use tagline_protocol::{Conclusion, Launch, SandboxRoot};

#[test]
fn the_host_is_not_there() {
    for starter in Starter::all() {
        let sandbox = Sandbox::launch(starter);
        let Launch::Up { isolation, .. } = &sandbox.launch else { panic!("{:?}", sandbox.launch) };
        assert_eq!(isolation.join(" "), "user mount pid ipc uts");
        let folder = sandbox.folder.path().display().to_string();
        let story = sandbox.run(job(json!([
            "for f in /etc/shadow /etc/gshadow /etc/ssh /etc/docker /var/run/docker.sock /run/docker.sock /root /var/lib /sys/kernel /dev/sda /dev/kmsg; do test -e $f && echo \"there: $f\"; done; ls -A /run /home /var/tmp | tr '\\n' ' '",
            &format!("test -e {folder} && echo there; true"),
            "cat /proc/1/environ 2>/dev/null | wc -c; ls /proc/1/fd 2>/dev/null | wc -l; ls /proc | grep -c '^[0-9]*$'",
            "grep -E 'NoNewPrivs|CapEff|CapPrm|CapAmb|CapInh' /proc/self/status | awk '{print $2}' | sort -u | tr '\\n' ' '",
            "touch /usr/x /etc/x /x /bin/x 2>/dev/null || true; ls /x /usr/x /etc/x 2>/dev/null || true; touch /tmp/a ~/b c ../e ../../f $RUNNER_TEMP/d /dev/shm/e && echo writable; test -c /dev/null && echo hi > /dev/null",
            "ls /proc/self/fd | tr '\\n' ' '; ps -o sid= -p $$ | tr -d ' '",
            "mount -t tmpfs x /mnt 2>&1 | head -1 | grep -c . ; unshare -U true 2>/dev/null; whoami; getent hosts localhost >/dev/null && echo resolves",
        ])));
        assert_eq!(story.result().conclusion, Conclusion::Success, "{starter:?} {}", story.text());
        assert!(!story.output(0).contains("there:"), "{}", story.output(0));
        assert_eq!(story.output(1), "");
        let seen = story.output(2);
        let numbers: Vec<u32> = seen.split_whitespace().map(|number| number.parse().unwrap()).collect();
        assert_eq!((numbers[0], numbers[1]), (0, 0), "the agent's memory and files are hidden");
        assert!(numbers[2] < 8, "only the job's own processes are seen: {seen}");
        assert_eq!(story.output(3).trim(), "0000000000000000 1");
        assert_eq!(story.output(4), "writable\n");
        assert!(story.output(5).starts_with("0 1 2 3 "), "{}", story.output(5));
        assert!(story.output(6).contains("runner\nresolves"), "{}", story.output(6));
    }
}

#[test]
fn exposed_folders_are_there_and_read_only() {
    for starter in Starter::all() {
        let shown = tempfile::Builder::new().prefix("tools").tempdir().unwrap();
        fs::set_permissions(shown.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(shown.path().join("tool"), "contents").unwrap();
        let path = shown.path().to_str().unwrap().to_owned();
        let sandbox = Sandbox::launch_with(starter, |config| config.expose = vec![path.clone()]);
        let story = sandbox.run(job(json!([format!("cat {path}/tool; touch {path}/new 2>&1 | grep -c 'Read-only'")])));
        assert_eq!(story.output(0), "contents1\n", "{}", story.text());
    }
}

#[test]
fn a_folder_that_cannot_be_exposed_is_named() {
    let sandbox = Sandbox::launch_with(Starter::Own, |config| config.expose = vec!["/no/such/folder".into()]);
    let Launch::Failed { why } = &sandbox.launch else { panic!("{:?}", sandbox.launch) };
    assert!(why.contains("/no/such/folder"), "{why}");
}

#[test]
fn an_image_s_files_are_the_job_s_own() {
    for starter in Starter::all() {
        let image = tempfile::Builder::new().prefix("image").tempdir().unwrap();
        let root = image.path();
        fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        for folder in ["bin", "etc", "proc", "dev", "tmp"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        // A root file system needs one static program: the agent's own file stands in for a shell that prints.
        fs::copy("/bin/busybox", root.join("bin/sh"))
            .map_or_else(|_| eprintln!("no busybox: only the launch is tried"), |_| {});
        // A link that leads out of the image must not lead the sandbox's own files out of it.
        std::os::unix::fs::symlink("/etc/../../../../etc/hosts", root.join("etc/hosts")).unwrap();
        if starter == Starter::Unprivileged {
            for path in [root.to_owned(), root.join("etc"), root.join("bin")] {
                std::os::unix::fs::chown(path, Some(1000), Some(1000)).unwrap();
            }
        }
        let before = fs::read("/etc/hosts").unwrap();
        let path = root.to_str().unwrap().to_owned();
        let sandbox = Sandbox::launch_with(starter, |config| config.root = SandboxRoot::Folder { path });
        assert!(matches!(sandbox.launch, Launch::Up { .. }), "{:?}", sandbox.launch);
        assert_eq!(fs::read("/etc/hosts").unwrap(), before);
        if root.join("bin/sh").exists() {
            let mut spec = job(json!(["echo from $0; echo changed > /tmp/x; echo ok"]));
            spec.in_container = true;
            let story = sandbox.run(spec);
            assert!(story.output(0).ends_with("ok\n"), "{}", story.text());
        }
        assert!(!root.join("tmp/x").exists());
    }
}
