//! The server against a peer that does as it likes.

#![expect(clippy::unwrap_used, reason = "what a test calls fails as the test does")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use storefront_http::{Request, Response, Server, Stopper, Url};

/// A server that answers the path and the length of the body it was sent, and reads none of it.
fn start() -> (SocketAddr, Stopper, thread::JoinHandle<()>) {
    let server = Server::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let (address, stopper) = (server.address(), server.stopper());
    let answer = |request: &mut Request<'_>| {
        let text = format!("{} {}", request.path, request.remaining());
        Response::new(200, "text/plain", text)
    };
    (address, stopper, thread::spawn(move || server.run(&Arc::new(answer))))
}

fn head(reader: &mut impl BufRead) -> Vec<String> {
    reader.lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect()
}

#[test]
fn a_body_left_unread_is_not_taken_for_the_next_request() {
    let (address, stopper, server) = start();
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(b"POST /a HTTP/1.1\r\nContent-Length: 19\r\n\r\nGET /x HTTP/1.1\r\n\r\nHEAD /b HTTP/1.1\r\n\r\n")
        .unwrap();
    let mut reader = BufReader::new(&stream);
    assert_eq!(head(&mut reader), ["HTTP/1.1 200 OK", "content-type: text/plain", "content-length: 5"]);
    let mut body = [0; 5];
    reader.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"/a 19");
    // The answer to HEAD has the length, and no body.
    assert_eq!(head(&mut reader).last().unwrap(), "content-length: 4");
    stopper.stop();
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "");
    server.join().unwrap();
}

#[test]
fn one_connection_too_many_is_told_so() {
    let (address, stopper, server) = start();
    let ask = |stream: &mut TcpStream| {
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        head(&mut BufReader::new(stream)).swap_remove(0)
    };
    let mut open: Vec<TcpStream> = (0..128).map(|_| TcpStream::connect(address).unwrap()).collect();
    for stream in &mut open {
        assert_eq!(ask(stream), "HTTP/1.1 200 OK");
    }
    let one_more = TcpStream::connect(address).unwrap();
    assert_eq!(head(&mut BufReader::new(one_more))[0], "HTTP/1.1 503 Service Unavailable");
    stopper.stop();
    server.join().unwrap();
}

#[test]
fn addresses_are_read_strictly() {
    let url = Url::parse("http://127.0.0.1:7420/base/").unwrap();
    assert_eq!((url.host.as_str(), url.path.as_str()), ("127.0.0.1:7420", "/base"));
    assert_eq!(Url::parse("http://shop").unwrap().host, "shop:80");
    for text in ["", "127.0.0.1:7420", "https://shop", "http://", "http://a@b", "http://a b", "http://a\r\nX: y"] {
        assert!(Url::parse(text).is_err(), "{text:?}");
    }
}
