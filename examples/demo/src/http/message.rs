//! Requests and responses as values, and the buffer both sides read them from.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

/// Bytes of a whole head, and headers in it, at most.
const HEAD_LIMIT: usize = 16 * 1024;
const HEADER_LIMIT: usize = 64;
/// Bytes of a body, at most.
const BODY_LIMIT: usize = 1024 * 1024;

/// Why a message could not be read.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The peer ended the connection before the first byte of it.
    Closed,
    /// The connection failed, or ended in the middle.
    Io(io::Error),
    /// It is not HTTP/1.1 as spoken here.
    Malformed(&'static str),
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => out.write_str("the connection was closed before the first byte"),
            Self::Io(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                out.write_str("timed out")
            }
            Self::Io(error) => write!(out, "{error}"),
            Self::Malformed(reason) => out.write_str(reason),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Headers in the order of the wire; names in lower case.
#[derive(Debug, Default)]
pub(crate) struct Headers(Vec<(String, String)>);

impl Headers {
    fn new(parsed: &[httparse::Header<'_>]) -> Result<Self, Broken> {
        let pair = |header: &httparse::Header<'_>| {
            let value = std::str::from_utf8(header.value).map_err(|_| Broken::Malformed("a header is not UTF-8"))?;
            Ok((header.name.to_ascii_lowercase(), value.to_owned()))
        };
        parsed.iter().map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// The first value under `name`, which is given in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether the connection ends after this message.
    pub(crate) fn closes(&self) -> bool {
        self.get("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
    }

    /// The length of the body; `None` where nothing is said.
    fn length(&self) -> Result<Option<usize>, Broken> {
        if self.get("transfer-encoding").is_some() {
            return Err(Broken::Malformed("a chunked body is not read here; send content-length"));
        }
        let mut given = self.0.iter().filter(|(name, _)| name == "content-length");
        let Some((_, text)) = given.next() else {
            return Ok(None);
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(length) if digits && given.next().is_none() && length <= BODY_LIMIT => Ok(Some(length)),
            _ => Err(Broken::Malformed("content-length is not one number up to 1 MiB")),
        }
    }
}

/// One request, read to its end.
#[derive(Debug)]
pub(crate) struct Request {
    /// As sent, in upper case by convention.
    pub(crate) method: String,
    /// As sent, beginning with `/`.
    pub(crate) path: String,
    query: String,
    /// The headers.
    pub(crate) headers: Headers,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of `name` in the query, as sent.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}

/// An answer as its reader has it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The headers.
    pub(crate) headers: Headers,
    /// The body.
    pub(crate) body: Vec<u8>,
    /// Whether the connection cannot be used again.
    pub(crate) last: bool,
}

/// Bytes read from a connection and not used yet.
#[derive(Debug, Default)]
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    /// Whether the beginning of a next message is here already.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads one request.
    pub(crate) fn request(&mut self, from: &mut impl Read) -> Result<Request, Broken> {
        let (mut request, used) = self.head(from, |bytes, headers| {
            let mut parsed = httparse::Request::new(headers);
            let httparse::Status::Complete(used) = parsed.parse(bytes)? else {
                return Ok(None);
            };
            let (path, query) = split(parsed.path.unwrap_or_default());
            let (method, body) = (parsed.method.unwrap_or_default().to_owned(), Vec::new());
            Ok(Some((Headers::new(parsed.headers).map(|headers| Request { method, path, query, headers, body }), used)))
        })?;
        if !request.path.starts_with('/') {
            return Err(Broken::Malformed("the first line is not METHOD /path HTTP/1.1"));
        }
        self.0.drain(..used);
        request.body = self.body(from, request.headers.length()?.unwrap_or(0))?;
        Ok(request)
    }

    /// Reads one answer to a GET.
    pub(crate) fn answer(&mut self, from: &mut impl Read) -> Result<Answer, Broken> {
        let (mut answer, used) = self.head(from, |bytes, headers| {
            let mut parsed = httparse::Response::new(headers);
            let httparse::Status::Complete(used) = parsed.parse(bytes)? else {
                return Ok(None);
            };
            let status = parsed.code.unwrap_or_default();
            let answer = |headers: Headers| Answer { status, last: headers.closes(), headers, body: Vec::new() };
            Ok(Some((Headers::new(parsed.headers).map(answer), used)))
        })?;
        self.0.drain(..used);
        match (answer.status, answer.headers.length()?) {
            (204 | 304, _) => {}
            (_, Some(length)) => answer.body = self.body(from, length)?,
            (_, None) => {
                answer.last = true;
                answer.body = std::mem::take(&mut self.0);
                from.take(BODY_LIMIT as u64).read_to_end(&mut answer.body)?;
            }
        }
        Ok(answer)
    }

    /// Reads until `parse` has its head, and says how many bytes that is.
    fn head<T>(
        &mut self,
        from: &mut impl Read,
        parse: impl for<'b> Fn(
            &'b [u8],
            &mut [httparse::Header<'b>],
        ) -> Result<Option<(Result<T, Broken>, usize)>, httparse::Error>,
    ) -> Result<(T, usize), Broken> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADER_LIMIT];
            match parse(&self.0, &mut headers) {
                Ok(Some((value, used))) => return value.map(|value| (value, used)),
                Ok(None) if self.0.len() > HEAD_LIMIT => return Err(Broken::Malformed("the head is over 16 KiB")),
                Ok(None) => {}
                Err(_) => return Err(Broken::Malformed("the head is not HTTP/1.1")),
            }
            if !self.more(from)? {
                let reason = if self.0.is_empty() { Broken::Closed } else { ErrorKind::UnexpectedEof.into_broken() };
                return Err(reason);
            }
        }
    }

    fn body(&mut self, from: &mut impl Read, length: usize) -> Result<Vec<u8>, Broken> {
        while self.0.len() < length {
            if !self.more(from)? {
                return Err(ErrorKind::UnexpectedEof.into_broken());
            }
        }
        let rest = self.0.split_off(length);
        Ok(std::mem::replace(&mut self.0, rest))
    }

    /// Takes what has arrived; false at the end.
    fn more(&mut self, from: &mut impl Read) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        loop {
            match from.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    self.0.extend_from_slice(&bytes[..count]);
                    return Ok(count > 0);
                }
            }
        }
    }
}

trait IntoBroken {
    fn into_broken(self) -> Broken;
}

impl IntoBroken for ErrorKind {
    fn into_broken(self) -> Broken {
        Broken::Io(self.into())
    }
}

fn split(target: &str) -> (String, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (path.to_owned(), query.to_owned())
}

/// One response.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    media_type: &'static str,
    body: String,
}

impl Response {
    /// Plain text.
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, media_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// A page.
    pub(crate) fn html(body: String) -> Self {
        Self { status: 200, media_type: "text/html; charset=utf-8", body }
    }

    /// A JSON document.
    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, media_type: "application/json", body: format!("{body}\n") }
    }

    /// Writes it with one header more, as one packet where it fits.
    pub(crate) fn write(self, to: &mut impl Write, extra: &str, bodiless: bool, close: bool) -> io::Result<()> {
        let Self { status, media_type, body } = self;
        let (reason, length) = (reason(status), body.len());
        let connection = if close { "close" } else { "keep-alive" };
        let mut bytes = format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\
             {extra}\r\nconnection: {connection}\r\n\r\n"
        );
        if !bodiless {
            bytes += &body;
        }
        to.write_all(bytes.as_bytes())
    }
}

/// The words after a status code; clients ignore them, people do not.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Result<Request, Broken> {
        Buffer::default().request(&mut text.as_bytes())
    }

    #[test]
    fn requests_follow_each_other_on_one_connection() {
        let mut wire = "POST /a?b=c&ms=5 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhiGET /d HTTP/1.1\r\n\r\n".as_bytes();
        let mut buffer = Buffer::default();
        let first = buffer.request(&mut wire).unwrap();
        assert_eq!((first.path.as_str(), first.parameter("ms"), first.body.as_slice()), ("/a", Some("5"), &b"hi"[..]));
        assert_eq!(buffer.request(&mut wire).unwrap().path, "/d");
        assert!(matches!(buffer.request(&mut wire), Err(Broken::Closed)));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(matches!(request(text), Err(Broken::Malformed(_))), "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(20_000));
        assert!(matches!(request(&long), Err(Broken::Malformed(_))));
        assert!(matches!(request("GET / HTTP/1.1\r\nHos"), Err(Broken::Io(_))));
    }

    #[test]
    fn an_answer_says_whether_its_connection_lasts() {
        let read = |text: &str| Buffer::default().answer(&mut text.as_bytes()).unwrap();
        assert!(!read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").last);
        assert!(read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi").last);
        let unbounded = read("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        assert_eq!((unbounded.body.as_slice(), unbounded.last), (&b"until the end"[..], true));
    }
}
