//! Requests and responses as values; reading a head is the only parser.
//!
//! Whatever two readers could understand differently is refused: folded lines, blanks around a header
//! name, a second `Content-Length`, any `Transfer-Encoding` of a request.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

/// Bytes of a whole head, and lines in it, at most.
const HEAD_LIMIT: u64 = 16 * 1024;
const HEADER_LIMIT: usize = 64;

/// Headers in the order of the wire; names are kept in lower case.
#[derive(Clone, Debug, Default)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value under `name`, which is given in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// All pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Adds a pair at the end; the name is given in lower case.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The length of the body by `Content-Length`; an error where it is no number or is given twice.
    pub fn content_length(&self) -> Result<Option<u64>, Malformed> {
        let mut lengths = self.iter().filter(|(name, _)| *name == "content-length");
        let Some((_, text)) = lengths.next() else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(length) if digits && lengths.next().is_none() => Ok(Some(length)),
            _ => Err(Malformed::bad("content-length is not one number")),
        }
    }

    /// Whether the peer wants the connection closed after this message.
    pub fn closes(&self) -> bool {
        self.get("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
    }
}

/// A message that is not understood, with the status to answer.
#[derive(Debug)]
pub struct Malformed {
    /// 400, 411, 431 or 505.
    pub status: u16,
    /// What is wrong, as one sentence.
    pub reason: &'static str,
}

impl Malformed {
    pub(crate) fn bad(reason: &'static str) -> Self {
        Self { status: 400, reason }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.reason)
    }
}

impl From<Malformed> for io::Error {
    fn from(malformed: Malformed) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, malformed.reason)
    }
}

/// First line and headers of a message.
#[derive(Debug)]
pub struct Head {
    /// The three words of the first line.
    pub line: [String; 3],
    /// What follows it.
    pub headers: Headers,
}

impl Head {
    /// Reads up to the empty line. `None`: the peer closed before the first byte.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Result<Self, Malformed>>> {
        let mut from = from.take(HEAD_LIMIT);
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            from.read_until(b'\n', &mut line)?;
            if line.is_empty() && lines.is_empty() {
                return Ok(None);
            }
            let Some(text) = line.strip_suffix(b"\n") else {
                let reason = "the head is cut short, or longer than 16 KiB";
                return Ok(Some(Err(Malformed { status: 431, reason })));
            };
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.is_empty() {
                return Ok(Some(Self::parse(&lines)));
            }
            lines.push(text.to_vec());
        }
    }

    fn parse(lines: &[Vec<u8>]) -> Result<Self, Malformed> {
        let text = |line: &Vec<u8>| match std::str::from_utf8(line) {
            Ok(text) if !text.bytes().any(|byte| byte < b' ' && byte != b'\t') => Ok(text.to_owned()),
            _ => Err(Malformed::bad("the head holds control characters or is not UTF-8")),
        };
        let (first, rest) = lines.split_first().ok_or(Malformed::bad("the head is empty"))?;
        if rest.len() > HEADER_LIMIT {
            return Err(Malformed { status: 431, reason: "more than 64 headers" });
        }
        let first = text(first)?;
        let mut words = first.splitn(3, ' ').map(str::to_owned);
        let line = [(); 3].map(|()| words.next().unwrap_or_default());
        let mut headers = Headers::default();
        for line in rest {
            let line = text(line)?;
            let (name, value) = line.split_once(':').ok_or(Malformed::bad("a header without a colon"))?;
            let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(token) {
                return Err(Malformed::bad("a header name holds other characters than a token may"));
            }
            headers.push(name.to_ascii_lowercase(), value.trim_matches([' ', '\t']));
        }
        Ok(Self { line, headers })
    }
}

/// One request, its body still to be read.
pub struct Request<'a> {
    /// As sent, in upper case by convention.
    pub method: String,
    /// The path, as sent (not decoded), beginning with `/`.
    pub path: String,
    /// What follows the first `?`.
    pub query: Option<String>,
    /// The headers.
    pub headers: Headers,
    /// Exactly the announced bytes.
    pub body: io::Take<&'a mut dyn Read>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(head: Head, from: &'a mut dyn Read) -> Result<Self, Malformed> {
        let [method, target, version] = head.line;
        if version != "HTTP/1.1" && version != "HTTP/1.0" {
            return Err(Malformed { status: 505, reason: "only HTTP/1.1 and HTTP/1.0 are spoken here" });
        }
        if head.headers.get("transfer-encoding").is_some() {
            return Err(Malformed { status: 411, reason: "a body needs content-length; chunks are not read" });
        }
        if method.is_empty() || !target.starts_with('/') {
            return Err(Malformed::bad("the first line is not METHOD /path HTTP/1.1"));
        }
        let length = head.headers.content_length()?.unwrap_or(0);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (target, None),
        };
        Ok(Self { method, path, query, headers: head.headers, body: from.take(length) })
    }

    /// Bytes of the body not read yet.
    pub fn remaining(&self) -> u64 {
        self.body.limit()
    }

    /// The whole body, or `None` where it is longer than `limit` bytes or ends early.
    pub fn bytes(&mut self, limit: u64) -> Option<Vec<u8>> {
        let length = self.remaining();
        if length > limit {
            return None;
        }
        let mut bytes = Vec::new();
        self.body.read_to_end(&mut bytes).ok()?;
        (bytes.len() as u64 == length).then_some(bytes)
    }

    /// The value of `name` in the query, as sent.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let pairs = self.query.as_deref()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// What follows a response's head.
pub enum Payload {
    /// A body at hand.
    Bytes(Vec<u8>),
    /// A body passed on; without a length it lasts until its reader ends, and the connection closes.
    Stream(Box<dyn Read + Send>, Option<u64>),
}

/// One response.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers but `content-length` and `connection`, which the server writes.
    pub headers: Headers,
    /// The body.
    pub payload: Payload,
}

impl Response {
    /// A response of a body and its media type.
    pub fn new(status: u16, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut headers = Headers::default();
        headers.push("content-type", media_type);
        Self { status, headers, payload: Payload::Bytes(body.into()) }
    }

    /// A JSON response; `body` is JSON already.
    pub fn json(status: u16, body: impl fmt::Display) -> Self {
        Self::new(status, "application/json", format!("{body}\n"))
    }

    /// The same with one header more; the name is given in lower case.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Writes it; `bodiless` for the answer to HEAD. Says whether the connection can be used again.
    pub(crate) fn write(self, to: &mut impl Write, bodiless: bool, close: bool) -> io::Result<bool> {
        let length = match &self.payload {
            Payload::Bytes(bytes) => Some(bytes.len() as u64),
            Payload::Stream(_, length) => *length,
        };
        let close = close || length.is_none();
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).into_bytes();
        for (name, value) in self.headers.iter() {
            write!(head, "{name}: {value}\r\n")?;
        }
        if let Some(length) = length.filter(|_| self.status >= 200 && self.status != 204 && self.status != 304) {
            write!(head, "content-length: {length}\r\n")?;
        }
        head.extend_from_slice(if close { b"connection: close\r\n\r\n" } else { b"\r\n" });
        match self.payload {
            _ if bodiless => to.write_all(&head)?,
            Payload::Bytes(bytes) => to.write_all(&[head, bytes].concat())?,
            Payload::Stream(mut reader, length) => {
                to.write_all(&head)?;
                let sent = io::copy(&mut reader, to)?;
                if length.is_some_and(|length| length != sent) {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
            }
        }
        to.flush()?;
        Ok(!close)
    }
}

/// The words after a status code; clients ignore them, people do not.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<(String, String), u16> {
        let head = Head::read(&mut text.as_bytes()).unwrap().unwrap().map_err(|error| error.status)?;
        let mut rest: &[u8] = b"";
        let request = Request::new(head, &mut rest).map_err(|error| error.status)?;
        Ok((request.method, request.path))
    }

    #[test]
    fn a_plain_request_is_read() {
        assert_eq!(request("GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"), Ok(("GET".into(), "/a".into())));
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        for (text, status) in [
            ("GET / HTTP/1.1\r\nA : b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            ("GET http://x/ HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/2\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nA: \u{1b}[2J\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: x\r\n", 431),
        ] {
            assert_eq!(request(text), Err(status), "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(20_000));
        assert_eq!(request(&long), Err(431));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(65));
        assert_eq!(request(&many), Err(431));
    }
}
