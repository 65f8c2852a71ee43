//! Whether a registry on this machine speaks TLS: a greeting is sent, and the first byte of the answer tells.
//!
//! Nothing is trusted or refused here. A registry whose certificate is not accepted later speaks TLS all the same, and
//! is not asked again without.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server of this machine answers a greeting at once, in whatever protocol; one that waits for more does not know it.
const PATIENCE: Duration = Duration::from_secs(2);
/// The types of record that a server's answer can begin with.
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// Whether TLS is spoken at `HOST:PORT`, or at HTTPS's own port where there is none.
pub(super) async fn is_spoken(registry: &str) -> bool {
    let host = registry.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map(|(host, _)| host);
    let address = if host.is_some() { registry.to_owned() } else { format!("{registry}:443") };
    let name = host.unwrap_or(registry).trim_start_matches('[').trim_end_matches(']');
    let answered = tokio::time::timeout(PATIENCE, first_byte(&address, name)).await;
    matches!(answered, Ok(Ok(ALERT | HANDSHAKE)))
}

async fn first_byte(address: &str, name: &str) -> io::Result<u8> {
    let mut greeting = Vec::new();
    greet(name, &mut greeting)?;
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&greeting).await?;
    stream.read_u8().await
}

/// The first message of a handshake.
fn greet(name: &str, to: &mut dyn Write) -> io::Result<()> {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    connection.write_tls(to).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers whatever it is told with these bytes, then hangs up.
    fn server(answer: &'static [u8]) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = io::Read::read(&mut stream, &mut [0; 4096]);
                let _ = stream.write_all(answer);
            }
        });
        address
    }

    #[tokio::test]
    async fn the_first_byte_of_the_answer_tells() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A handshake goes on; an alert says that the greeting was understood and is not liked.
        for (answer, spoken) in [
            (b"\x16\x03\x03\x00\x02" as &'static [u8], true),
            (b"\x15\x03\x03\x00\x02\x02\x28", true),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", false),
            (b"", false),
        ] {
            assert_eq!(is_spoken(&server(answer)).await, spoken, "{answer:?}");
        }
        assert!(!is_spoken("127.0.0.1:1").await);
    }
}
