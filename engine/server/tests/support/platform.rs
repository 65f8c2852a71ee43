//! The real platform, outside the engine, behind a wire that counts what jobs ask of it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// What the platform asks of its callers.
pub(crate) const TOKEN: &str = "platform-secret-4711";

/// Calls by method and path.
pub(crate) type Calls = BTreeMap<String, u32>;

/// A platform that runs.
pub(crate) struct Platform {
    child: Child,
    address: SocketAddr,
    wire: Wire,
}

impl Platform {
    /// Starts one on free ports.
    pub(crate) fn start(program: &Path, state: &Path) -> Self {
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--state"]).arg(state).env("PLATFORM_TOKEN", TOKEN);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let address = said["url"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Self { child, address, wire: Wire::to(address) }
    }

    /// Where jobs reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.wire.address)
    }

    /// What jobs asked of it so far.
    pub(crate) fn calls(&self) -> Calls {
        self.wire.calls.lock().unwrap().clone()
    }

    /// What runs where, as it says itself.
    pub(crate) fn environments(&self) -> Value {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "GET /environments HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // What it runs ends with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes connections on; each carries one request.
struct Wire {
    address: SocketAddr,
    calls: Arc<Mutex<Calls>>,
    ended: Arc<AtomicBool>,
}

impl Wire {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self {
            address: listener.local_addr().unwrap(),
            calls: Arc::new(Mutex::new(Calls::new())),
            ended: Arc::new(AtomicBool::new(false)),
        };
        let (calls, ended) = (wire.calls.clone(), wire.ended.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let calls = calls.clone();
                thread::spawn(move || pass(stream, target, &calls));
            }
        });
        wire
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// One connection, until the answer is through. Whoever hangs up ends it.
fn pass(client: TcpStream, target: SocketAddr, calls: &Mutex<Calls>) -> Option<()> {
    let server = TcpStream::connect(target).ok()?;
    let mut reading = BufReader::new(client.try_clone().ok()?);
    let mut line = String::new();
    reading.read_line(&mut line).ok()?;
    let call = line.rsplit_once(' ').map_or("", |(call, _)| call).to_owned();
    *calls.lock().ok()?.entry(call).or_default() += 1;
    let mut sending = server.try_clone().ok()?;
    sending.write_all(line.as_bytes()).ok()?;
    thread::spawn(move || io::copy(&mut reading, &mut sending));
    let (mut answers, mut back) = (server, client);
    let _ = io::copy(&mut answers, &mut back);
    let _ = back.shutdown(Shutdown::Both);
    let _ = answers.shutdown(Shutdown::Both);
    Some(())
}
