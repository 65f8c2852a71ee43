//! Credentials for registries: given with a job, else from Docker's own configuration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::RegistryError;

/// A helper may ask a password manager, but not for ever.
const HELPER: Duration = Duration::from_secs(30);

/// How somebody logs in to a registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    /// As who, with what.
    Password {
        /// The user's name.
        user: String,
        /// The password, or a token in its place.
        password: String,
    },
    /// Docker's identity token: a refresh token, which the registry's token server changes for one that lasts minutes.
    Identity(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Self::Identity(_) => f.write_str("Identity(…)"),
        }
    }
}

impl Login {
    /// Of a pair as credential helpers give it, where the user `<token>` marks an identity token.
    fn of_pair(user: String, secret: String) -> Self {
        if user == "<token>" { Self::Identity(secret) } else { Self::Password { user, password: secret } }
    }
}

/// Where credentials are looked for.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    given: Option<Login>,
    file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    auths: BTreeMap<String, Entry>,
    #[serde(rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    #[serde(rename = "identitytoken")]
    identity_token: String,
}

/// What `docker-credential-NAME get` prints.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

impl Credentials {
    /// None at all.
    pub fn none() -> Self {
        Self::default()
    }

    /// Of a `config.json` as Docker writes it.
    pub fn in_file(path: &Path) -> Self {
        Self { given: None, file: Some(path.to_owned()) }
    }

    /// `$DOCKER_CONFIG/config.json`, or `~/.docker/config.json`.
    pub fn of_user() -> Self {
        let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
        let home = || std::env::home_dir().map(|home| home.join(".docker"));
        match folder.or_else(home) {
            Some(folder) => Self::in_file(&folder.join("config.json")),
            None => Self::none(),
        }
    }

    /// These, but a login that is given comes before them, whatever the registry.
    #[must_use]
    pub(crate) fn or_given(&self, login: Option<&Login>) -> Self {
        Self { given: login.or(self.given.as_ref()).cloned(), file: self.file.clone() }
    }

    /// For a registry's host; none where nothing is known.
    pub(crate) async fn find(&self, host: &str) -> Result<Option<Login>, RegistryError> {
        if self.given.is_some() {
            return Ok(self.given.clone());
        }
        let Some(path) = &self.file else {
            return Ok(None);
        };
        let wrong = |why: String| RegistryError::Credentials { path: path.clone(), why };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let config: Config = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        let names = names(host);
        let helper = names.iter().find_map(|name| config.helpers.get(name));
        if let Some(helper) = helper.or(config.store.as_ref()) {
            return ask(helper, &names).await.map_err(wrong);
        }
        let entry = names.iter().find_map(|name| config.auths.get(name));
        entry.map_or(Ok(None), |entry| entry.login().map_err(wrong))
    }
}

impl Entry {
    fn login(&self) -> Result<Option<Login>, String> {
        if !self.identity_token.is_empty() {
            return Ok(Some(Login::Identity(self.identity_token.clone())));
        }
        if self.auth.is_empty() {
            let known = !self.username.is_empty();
            return Ok(known.then(|| Login::of_pair(self.username.clone(), self.password.clone())));
        }
        let decoded = STANDARD.decode(&self.auth).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        match pair {
            Some((user, password)) => Ok(Some(Login::of_pair(user.to_owned(), password.to_owned()))),
            None => Err("an `auth` there is not the Base64 of `user:password`".to_owned()),
        }
    }
}

/// The keys under which a host's credentials may stand; Docker Hub has a history.
fn names(host: &str) -> Vec<String> {
    let mut names = vec![host.to_owned(), format!("https://{host}"), format!("http://{host}")];
    if host == "index.docker.io" {
        names.insert(0, "https://index.docker.io/v1/".to_owned());
        names.push("docker.io".to_owned());
    }
    names
}

/// Asks a credential helper for the first name it knows.
async fn ask(helper: &str, names: &[String]) -> Result<Option<Login>, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !helper.bytes().all(plain) {
        return Err(format!("`{helper}` is not the name of a credential helper"));
    }
    let program = format!("docker-credential-{helper}");
    for name in names {
        let asked = tokio::time::timeout(HELPER, get(&program, name));
        let printed = asked
            .await
            .map_err(|_| format!("{program} did not answer within 30 s"))?
            .map_err(|error| format!("cannot run {program}: {error}"))?;
        if let Some(helped) = printed {
            return Ok(Some(Login::of_pair(helped.username, helped.secret)));
        }
    }
    Ok(None)
}

/// One question; a helper that knows nothing ends with an error.
async fn get(program: &str, name: &str) -> std::io::Result<Option<Helped>> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = child.stdin.take().expect("the helper's input is a pipe");
    // A helper that does not read its question says no by its exit code.
    let _ = input.write_all(name.as_bytes()).await;
    drop(input);
    let output = child.wait_with_output().await?;
    let printed = serde_json::from_slice(&output.stdout).ok();
    Ok(printed.filter(|_| output.status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(config: &str, host: &str) -> Result<Option<Login>, RegistryError> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        Credentials::in_file(&path).find(host).await
    }

    fn password(user: &str, password: &str) -> Login {
        Login::Password { user: user.to_owned(), password: password.to_owned() }
    }

    #[tokio::test]
    async fn credentials_are_found_under_each_of_a_hosts_names() {
        let auth = STANDARD.encode("ana:pass:word");
        let config = format!(
            r#"{{"auths":{{"https://index.docker.io/v1/":{{"auth":"{auth}"}},"r.example:5000":{{"identitytoken":"t"}}}}}}"#
        );
        let hub = found(&config, "index.docker.io").await.unwrap();
        assert_eq!(hub, Some(password("ana", "pass:word")));
        let own = found(&config, "r.example:5000").await.unwrap();
        assert_eq!(own, Some(Login::Identity("t".to_owned())));
        assert_eq!(found(&config, "ghcr.io").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_damaged_configuration_is_an_error_and_a_missing_one_is_not() {
        for config in ["{", r#"{"auths":{"a.b":{"auth":"!"}}}"#, r#"{"credsStore":"../x"}"#] {
            let error = found(config, "a.b").await.unwrap_err();
            assert!(matches!(error, RegistryError::Credentials { .. }), "{config}");
        }
        let missing = Credentials::in_file(Path::new("/nowhere/config.json"));
        assert_eq!(missing.find("a.b").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_login_that_is_given_comes_first_and_is_not_shown() {
        let given = password("ana", "hidden");
        let credentials = Credentials::in_file(Path::new("/nowhere/config.json")).or_given(Some(&given));
        assert_eq!(credentials.find("a.b").await.unwrap(), Some(given));
        assert!(!format!("{credentials:?} {:?}", Login::Identity("hidden".to_owned())).contains("hidden"));
    }
}
