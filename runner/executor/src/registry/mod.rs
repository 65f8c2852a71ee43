//! Images between a registry and OCI layout folders.
//!
//! Invariants: every byte pulled is checked against its digest before the layout appears; what is pushed keeps its
//! digests, because manifests travel as the bytes they are; plain HTTP is spoken to this machine only, and only where
//! the registry there does not speak TLS.

mod auth;
mod pull;
mod push;
mod tls;
mod token;

use std::path::PathBuf;
use std::time::Duration;

use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tagline_actions::oci::OciError;

use crate::error::chain;

pub use auth::{Credentials, Login};

/// To reach a registry.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const READ: Duration = Duration::from_mins(1);
/// How this client calls itself.
const AGENT: &str = concat!("tagline/", env!("CARGO_PKG_VERSION"));

/// An image could not be pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The name of the image.
    #[error("`{text}` is not the name of an image: {why}")]
    Name {
        /// As given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// The registry refuses or is not there.
    #[error("cannot {action} {image}: {why}")]
    Registry {
        /// `pull`, `push`.
        action: &'static str,
        /// Which image.
        image: String,
        /// In the registry's words.
        why: String,
    },
    /// What came is not what the digest promises.
    #[error("the registry's answer for {image} is damaged: {what} should be {expected} and is {found}")]
    Damaged {
        /// Which image.
        image: String,
        /// Which part.
        what: &'static str,
        /// The digest asked for.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// The layout on disk.
    #[error(transparent)]
    Layout(#[from] OciError),
    /// Docker's configuration with the credentials.
    #[error("cannot use the credentials in {path}: {why}", path = path.display())]
    Credentials {
        /// Which file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// An identity token that gives no access.
    #[error(
        "cannot log in to {registry} with the identity token in Docker's configuration: {why}; `docker login {registry}` \
         stores another one"
    )]
    Identity {
        /// The registry's host.
        registry: String,
        /// Why not.
        why: String,
    },
    /// The client cannot be made.
    #[error("cannot prepare for speaking to registries: {0}")]
    Client(String),
}

/// An image in a registry or a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `registry/name@sha256:…`.
    pub reference: String,
    /// The manifest's digest.
    pub digest: String,
}

/// A client of registries.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    credentials: Credentials,
}

impl Registry {
    /// With these credentials.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials }
    }

    /// What the user's Docker configuration gives.
    pub fn of_user() -> Self {
        Self::new(Credentials::of_user())
    }

    /// The same, but a login that is given comes before what is known.
    #[must_use]
    pub(crate) fn or_given(&self, login: Option<&Login>) -> Self {
        Self { credentials: self.credentials.or_given(login) }
    }

    /// A client for one image's registry, logged in where credentials are known.
    async fn client(&self, image: &Reference, access: Access) -> Result<Client, RegistryError> {
        let host = image.resolve_registry();
        let login = self.credentials.find(host).await?;
        // An error means that this process has a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let plain = is_loopback(host) && !tls::is_spoken(host).await;
        let auth = match login {
            None => RegistryAuth::Anonymous,
            Some(Login::Password { user, password }) => RegistryAuth::Basic(user, password),
            Some(Login::Identity(refresh)) => {
                let token = token::access(image, &refresh, access, if plain { "http" } else { "https" }).await;
                let wrong = |why| RegistryError::Identity { registry: host.to_owned(), why };
                token.map_err(wrong)?.map_or(RegistryAuth::Anonymous, RegistryAuth::Bearer)
            }
        };
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            use_monolithic_push: true,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(READ),
            user_agent: AGENT,
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| RegistryError::Client(error.to_string()))?;
        client.store_auth_if_needed(host, &auth).await;
        Ok(client)
    }
}

/// What is to be done in a repository of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Pull,
    Push,
}

/// Reads the name of an image as Docker does: `debian` is `docker.io/library/debian:latest`.
fn reference(text: &str) -> Result<Reference, RegistryError> {
    text.parse().map_err(|error| RegistryError::Name { text: text.to_owned(), why: format!("{error}") })
}

/// The repository by digest.
fn by_digest(image: &Reference, digest: &str) -> String {
    format!("{}/{}@{digest}", image.registry(), image.repository())
}

/// Whether the registry is on this machine: only there plain HTTP may be spoken.
fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.rsplit_once(':').map_or(registry, |(host, _port)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// One sentence for the user out of the client's errors, which wrap what matters.
fn failure(action: &'static str, image: &Reference, error: &OciDistributionError) -> RegistryError {
    let why = match error {
        OciDistributionError::RegistryError { envelope, .. } => envelope
            .errors
            .iter()
            .map(|error| match error.message.as_str() {
                "" => format!("{:?}", error.code),
                message => message.to_owned(),
            })
            .collect::<Vec<_>>()
            .join(", "),
        OciDistributionError::ImageManifestNotFoundError(_) => "the registry has no such image".to_owned(),
        OciDistributionError::UnauthorizedError { .. } => wants_login(image),
        // The answer to a question for a header has no body to read it from.
        OciDistributionError::RequestError(error) if error.status() == Some(http::StatusCode::UNAUTHORIZED) => {
            wants_login(image)
        }
        other => chain(other),
    };
    RegistryError::Registry { action, image: image.whole(), why }
}

fn wants_login(image: &Reference) -> String {
    format!("the registry {} wants a login; `docker login` stores one", image.resolve_registry())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:40401", "[::1]:5000", "127.9.9.9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "ghcr.io",
            "index.docker.io",
            "10.0.0.1:5000",
            "localhost.example.com",
            "127.0.0.1.example.com:80",
            "[fe80::1]:5000",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_bad_name_is_named() {
        let error = reference("UPPER CASE").unwrap_err().to_string();
        assert!(error.contains("`UPPER CASE` is not the name of an image"), "{error}");
    }
}
