//! The asking side: connections that may be kept, each request with one deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use super::message::{Answer, Broken, Buffer};

/// An `http://HOST:PORT/path?query` address, its host looked up once.
#[derive(Clone, Debug)]
pub(crate) struct Url {
    host: String,
    target: String,
    /// Where connections go.
    pub(crate) address: SocketAddr,
}

impl Url {
    /// Reads an address; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address like http://127.0.0.1:8080/path");
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if host.is_empty() || host.contains('@') || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let named = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let found = named.to_socket_addrs().map_err(|error| format!("{host}: {error}"))?.next();
        let address = found.ok_or_else(|| format!("{host}: no address"))?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { host: host.to_owned(), target: format!("{slash}{target}"), address })
    }

    /// The whole head of a GET of this address; `query` is added to what it has, `headers` are lines with their ends.
    pub(crate) fn get(&self, query: &str, headers: &str, close: bool) -> String {
        let Self { host, target, .. } = self;
        let joint = match (query, target.contains('?')) {
            ("", _) => "",
            (_, true) => "&",
            (_, false) => "?",
        };
        let connection = if close { "close" } else { "keep-alive" };
        format!("GET {target}{joint}{query} HTTP/1.1\r\nhost: {host}\r\n{headers}connection: {connection}\r\n\r\n")
    }
}

/// An open connection with nothing under way.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Buffer,
}

impl Connection {
    /// Connects until `deadline`.
    pub(crate) fn open(address: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Buffer::default() })
    }

    /// Whether a kept connection can carry another request: neither ended nor spoken on by the server.
    pub(crate) fn usable(&self) -> bool {
        let asked = self.stream.set_nonblocking(true).and_then(|()| {
            let waiting = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            waiting
        });
        asked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Sends one request and reads its answer, both until `deadline`.
    pub(crate) fn exchange(&mut self, request: &str, deadline: Instant) -> Result<Answer, Broken> {
        self.stream.set_write_timeout(Some(left(deadline)?))?;
        self.stream.write_all(request.as_bytes())?;
        self.buffer.answer(&mut Until { stream: &self.stream, deadline })
    }
}

/// Reads with one deadline for all of it.
struct Until<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Until<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(bytes)
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// One GET on a connection of its own. An address that refuses is knocked at again for `patience`; the answer is there
/// within `timeout` of the connection.
pub(crate) fn get(url: &str, patience: Duration, timeout: Duration) -> Result<Answer, String> {
    let url = Url::parse(url)?;
    let deadline = || Instant::now() + timeout;
    let mut connection =
        knock(patience, || Connection::open(url.address, deadline())).map_err(|error| error.to_string())?;
    connection.exchange(&url.get("", "", true), deadline()).map_err(|error| error.to_string())
}

/// Opens, again and again while it is refused.
fn knock<T>(patience: Duration, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const AGAIN: Duration = Duration::from_millis(200);
    let begun = Instant::now();
    loop {
        match open() {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && begun.elapsed() < patience => {
                thread::sleep(AGAIN);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_query() {
        let line = |text: &str, query: &str| {
            Url::parse(text).unwrap().get(query, "", true).split(" HTTP").next().unwrap().to_owned()
        };
        assert_eq!(line("http://127.0.0.1:1", ""), "GET /");
        assert_eq!(line("http://127.0.0.1:1/a?b=c", "ms=1"), "GET /a?b=c&ms=1");
        assert_eq!(line("http://127.0.0.1?b=c", ""), "GET /?b=c");
        for wrong in ["https://127.0.0.1/", "127.0.0.1", "http://", "http://a@127.0.0.1/", "http://127.0.0.1/a b"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_refuses_is_knocked_at_again_and_nothing_else() {
        let mut left = [ErrorKind::NotFound, ErrorKind::ConnectionRefused, ErrorKind::ConnectionRefused].to_vec();
        let mut open = |patience| knock(patience, || left.pop().map_or(Ok("open"), |kind| Err(kind.into())));
        assert_eq!(open(Duration::ZERO).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert_eq!(open(Duration::from_secs(9)).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(open(Duration::ZERO).unwrap(), "open");
    }
}
