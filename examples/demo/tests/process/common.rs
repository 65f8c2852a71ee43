//! The binary as a child process, and requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The `demo` command with a release file of its own.
pub(crate) struct Demo {
    folder: TempDir,
}

impl Demo {
    /// A demo of version 1.2.3 with the given lines under `[faults]`.
    pub(crate) fn new(faults: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("name = \"shop\"\nversion = \"1.2.3\"\n[faults]\n{faults}\n");
        std::fs::write(folder.path().join("release.toml"), text).unwrap();
        Self { folder }
    }

    /// A file of the folder that goes with the demo.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The command, not started.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_demo"));
        command.args(words).env("RELEASE_FILE", self.folder.path().join("release.toml"));
        command.env("FLAGS_FILE", self.folder.path().join("flags.json"));
        command.env_remove("DATABASE_URL").stdin(Stdio::null());
        command
    }

    /// The command, run to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// A server on free ports, with these arguments.
    pub(crate) fn serve(&self, words: &[&str]) -> Server {
        Server::start(self.command(&[&["serve"], words].concat()))
    }
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) admin: String,
    /// Read, or the server would block on a full pipe.
    pub(crate) log: BufReader<ChildStdout>,
}

impl Server {
    /// Starts a `serve` or `worker` command on free ports and waits until it listens.
    pub(crate) fn start(mut command: Command) -> Self {
        command.args(["--host", "127.0.0.1", "--port", "0", "--admin-port", "0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        let text = |key: &str| line[key].as_str().unwrap().to_owned();
        Self { url: text("url"), admin: text("admin"), child, log }
    }

    /// GET on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Answer {
        ask(&self.url, &format!("GET {path} HTTP/1.1\r\nconnection: close\r\n\r\n"))
    }

    /// Changes faults by the admin port.
    pub(crate) fn fault(&self, json: &str) -> Answer {
        let length = json.len();
        ask(
            &self.admin,
            &format!("POST /fault HTTP/1.1\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{json}"),
        )
    }

    /// Asks until the answer is as wanted. It ends: the test runner's patience is the limit.
    pub(crate) fn until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        loop {
            let answer = self.get(path);
            if wanted(&answer) {
                return answer;
            }
        }
    }

    /// Waits until so many connections are open.
    pub(crate) fn until_connections(&self, count: usize) {
        let line = format!("connections {count}\n");
        let dump = "GET /dump HTTP/1.1\r\nconnection: close\r\n\r\n";
        while !ask(&self.admin, dump).body.contains(&line) {}
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        signal(&self.child, "TERM");
    }

    /// Waits for the end: the exit code, none where a signal ended it.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, name: &str) {
    let kill = format!("kill -{name} {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

/// An answer as a test looks at it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// From the bytes of a whole connection.
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A connection to a server.
pub(crate) fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap()
}

/// One request as given, and everything up to the end of the connection.
pub(crate) fn ask(url: &str, request: &str) -> Answer {
    let mut stream = connect(url);
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    Answer::parse(&text)
}

/// The last line of a command's standard output as JSON.
pub(crate) fn result(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(line).unwrap()
}
