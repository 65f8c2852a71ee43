//! Logins with Docker's identity tokens, against a scripted registry and server of tokens.

use std::fs;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};

use tagline_executor::registry::{Credentials, Registry};

const MANIFEST: &str = "{}";

/// A registry that takes the token `short` only, which its server of tokens gives for the identity token `long-lived`;
/// what the server was asked with.
fn registry() -> (String, Receiver<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (asked, forms) = channel();
    let own = address.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = request(&mut stream);
            let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{own}/token\",service=\"shop\"\r\n");
            let (status, head, body) = if let Some((_, form)) = request.split_once("/token HTTP/1.1") {
                let form = form.rsplit("\r\n\r\n").next().unwrap_or_default().to_owned();
                let known = form.contains("refresh_token=long-lived&");
                let _ = asked.send(form);
                if known {
                    ("200 OK", String::new(), r#"{"access_token":"short"}"#)
                } else {
                    ("401 No", String::new(), "")
                }
            } else if request.to_ascii_lowercase().contains("authorization: bearer short\r\n") {
                ("200 OK", String::new(), MANIFEST)
            } else {
                ("401 Unauthorized", challenge, "{}")
            };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, forms)
}

/// A request with its body, or the beginning of what is none.
fn request(stream: &mut std::net::TcpStream) -> String {
    let mut text = String::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece).unwrap_or(0);
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
        let length = text.to_ascii_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let ended = text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length.unwrap_or(0));
        let is_http = text.starts_with("GET ") || text.starts_with("POST ");
        if read == 0 || ended || !is_http {
            return text;
        }
    }
}

async fn resolve(token: &str) -> (Result<String, String>, Receiver<String>) {
    let (address, forms) = registry();
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("config.json");
    fs::write(&config, format!(r#"{{"auths":{{"{address}":{{"identitytoken":"{token}"}}}}}}"#)).unwrap();
    let registry = Registry::new(Credentials::in_file(&config));
    let found = registry.resolve(&format!("{address}/a/b:1")).await;
    (found.map(|image| image.digest).map_err(|error| error.to_string()), forms)
}

#[tokio::test]
async fn an_identity_token_is_changed_for_one_that_the_registry_takes() {
    let (found, forms) = resolve("long-lived").await;
    assert!(found.unwrap().starts_with("sha256:"));
    let form = forms.recv().unwrap();
    for part in
        ["grant_type=refresh_token", "refresh_token=long-lived", "service=shop", "scope=repository%3Aa%2Fb%3Apull"]
    {
        assert!(form.split('&').any(|pair| pair == part), "{form}");
    }
    assert!(forms.try_recv().is_err(), "one token is enough");
}

#[tokio::test]
async fn an_identity_token_that_is_not_taken_is_told() {
    let (found, _forms) = resolve("revoked").await;
    let error = found.unwrap_err();
    assert!(error.contains("with the identity token in Docker's configuration"), "{error}");
    assert!(error.contains("/token answers 401") && error.contains("`docker login 127.0.0.1:"), "{error}");
    assert!(!error.contains("revoked"), "{error}");
}
