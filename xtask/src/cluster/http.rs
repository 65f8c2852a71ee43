//! One plain GET: all that the chores ask of servers on this machine.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(3);

/// Status and body of `http://ADDRESS PATH`; none where nothing answers within 3 s.
pub(super) fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;

    #[test]
    fn status_and_body_of_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a request");
            let mut asked = String::new();
            let mut lines = BufReader::new(stream.try_clone().expect("a second handle"));
            while !asked.ends_with("\r\n\r\n") {
                lines.read_line(&mut asked).expect("a request");
            }
            stream.write_all(b"HTTP/1.0 503 No\r\nServer: x\r\n\r\nnot yet\n").expect("an answer");
            asked
        });
        assert_eq!(get(&address, "/-/ready"), Some((503, "not yet\n".to_owned())));
        assert!(server.join().expect("the server").starts_with("GET /-/ready HTTP/1.0\r\n"));
        assert_eq!(get(&address, "/-/ready"), None);
    }
}
