//! The asking side: one connection for one request.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::message::{Head, Headers};

/// Bytes of an answer that [`fetch`] keeps.
const ANSWER_LIMIT: u64 = 4 * 1024 * 1024;

/// An `http://HOST:PORT/path` address.
#[derive(Clone, Debug)]
pub struct Url {
    /// `HOST:PORT`.
    pub host: String,
    /// The path without its last `/`; empty for a bare address.
    pub path: String,
}

impl Url {
    /// Reads an address; the error says what an address looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not an address like http://127.0.0.1:7420");
        let rest = text.strip_prefix("http://").ok_or_else(wrong)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let plain = |byte: u8| byte.is_ascii_graphic();
        if host.is_empty() || host.contains('@') || !rest.bytes().all(plain) {
            return Err(wrong());
        }
        let host = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        Ok(Self { host, path: path.trim_end_matches('/').to_owned() })
    }
}

/// An open connection on which nothing was sent yet.
pub struct Connection(TcpStream);

/// An answer whose body is still to be read.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: Headers,
    /// The body, up to its end.
    pub body: Box<dyn Read + Send>,
    /// Its length where it is known beforehand; of an answer to HEAD, the length GET would have.
    pub length: Option<u64>,
}

impl Connection {
    /// Connects; `silence` is how long the peer may then take for each read and write.
    pub fn open(address: SocketAddr, silence: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5).min(silence))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(silence))?;
        stream.set_write_timeout(Some(silence))?;
        Ok(Self(stream))
    }

    /// Sends `METHOD target` with exactly `length` bytes of `body` and reads the answer's head.
    /// `headers` holds neither `content-length` nor `connection`.
    pub fn exchange(
        self,
        method: &str,
        target: &str,
        headers: &Headers,
        body: &mut dyn Read,
        length: u64,
    ) -> io::Result<Answer> {
        let mut head = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in headers.iter() {
            write!(head, "{name}: {value}\r\n")?;
        }
        write!(head, "content-length: {length}\r\nconnection: close\r\n\r\n")?;
        let mut stream = self.0;
        let sent = stream.write_all(&head).and_then(|()| io::copy(&mut body.take(length), &mut stream));
        // A server that refuses a body may answer before it has read it all: the answer says more than the broken pipe.
        let sent = match sent {
            Err(error) if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {
                return Err(error);
            }
            other => other.unwrap_or(length),
        };
        if sent != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Answer::read(BufReader::new(stream), method == "HEAD")
    }
}

impl Answer {
    fn read(mut reader: BufReader<TcpStream>, bodiless: bool) -> io::Result<Self> {
        loop {
            let head = Head::read(&mut reader)?.ok_or(io::ErrorKind::UnexpectedEof)??;
            let status = head.line[1].parse().unwrap_or(0);
            match status {
                100..=199 => {}
                200..=599 => {
                    let empty = bodiless || status == 204 || status == 304;
                    let length = head.headers.content_length()?;
                    let bytes = if empty { 0 } else { length.unwrap_or(u64::MAX) };
                    let length = length.or(empty.then_some(0));
                    let body = Box::new(reader.take(bytes));
                    return Ok(Self { status, headers: head.headers, body, length });
                }
                _ => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer has no status"));
                }
            }
        }
    }
}

/// One whole request to `url` followed by `path`, with `length` bytes of `body`: status and text of the answer.
pub fn fetch(
    method: &str,
    url: &Url,
    path: &str,
    headers: &Headers,
    body: &mut dyn Read,
    length: u64,
    silence: Duration,
) -> io::Result<(u16, String)> {
    let address = url.host.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut all = Headers::default();
    all.push("host", &url.host);
    headers.iter().for_each(|(name, value)| all.push(name, value));
    let target = match format!("{}{path}", url.path) {
        empty if empty.is_empty() => "/".to_owned(),
        target => target,
    };
    let mut answer = Connection::open(address, silence)?.exchange(method, &target, &all, body, length)?;
    let mut text = String::new();
    answer.body.by_ref().take(ANSWER_LIMIT).read_to_string(&mut text)?;
    if answer.length.is_some_and(|length| length <= ANSWER_LIMIT && length != text.len() as u64) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((answer.status, text))
}

/// GET without headers of its own or a body.
pub fn get(url: &Url, path: &str, silence: Duration) -> io::Result<(u16, String)> {
    fetch("GET", url, path, &Headers::default(), &mut io::empty(), 0, silence)
}
