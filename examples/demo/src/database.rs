//! The way to PostgreSQL: settings from the environment or from mounted files, read anew for every connection.
//!
//! `DATABASE_URL` is `postgres://…` or `jdbc:postgresql://…`; `DATABASE_USER` and `DATABASE_PASSWORD` win over what it
//! says. Each may be given as a file by `…_FILE` instead, so that a rotated secret is used without a restart.

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{env, fs};

use postgres::{Client, Config, NoTls};

use crate::failure::Failure;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Where the database is and who asks.
#[derive(Clone, PartialEq)]
pub(crate) struct Settings {
    url: String,
    user: Option<String>,
    password: Option<String>,
}

impl Settings {
    /// As the environment has them now; `None` where no database is meant.
    pub(crate) fn read() -> Result<Option<Self>, Failure> {
        let Some(url) = setting("DATABASE_URL")? else {
            return Ok(None);
        };
        let url = url.strip_prefix("jdbc:").map(str::to_owned).unwrap_or(url);
        Ok(Some(Self { url, user: setting("DATABASE_USER")?, password: setting("DATABASE_PASSWORD")? }))
    }

    /// As [`Self::read`], for a command that needs a database.
    pub(crate) fn required() -> Result<Self, Failure> {
        let missing = "DATABASE_URL is not set; like postgres://user:password@host:5432/database";
        Self::read()?.ok_or_else(|| Failure::usage(missing))
    }

    /// The same server and account, another database.
    pub(crate) fn with_database(&self, name: &str) -> Self {
        let (head, query) = self.url.split_once('?').map_or((self.url.as_str(), ""), |(head, query)| (head, query));
        let begin = head.find("://").map_or(0, |at| at + 3);
        let end = head[begin..].find('/').map_or(head.len(), |at| begin + at);
        let tail = if query.is_empty() { String::new() } else { format!("?{query}") };
        Self { url: format!("{}/{name}{tail}", &head[..end]), ..self.clone() }
    }

    /// The database's name.
    pub(crate) fn database(&self) -> Result<String, Failure> {
        let config: Config = self.url.parse().map_err(|error: postgres::Error| Failure::usage(sentence(&error)))?;
        Ok(config.get_dbname().unwrap_or("postgres").to_owned())
    }

    /// Connects; `name` is shown by the server in `pg_stat_activity`.
    pub(crate) fn connect(&self, name: &str) -> Result<Client, Failure> {
        let mut config: Config = self.url.parse().map_err(|error: postgres::Error| {
            Failure::usage(format!(
                "DATABASE_URL: {}; like postgres://user:password@host:5432/database",
                sentence(&error)
            ))
        })?;
        if let Some(user) = &self.user {
            config.user(user);
        }
        if let Some(password) = &self.password {
            config.password(password);
        }
        config.connect_timeout(CONNECT).tcp_user_timeout(CONNECT).application_name(name);
        Ok(config.connect(NoTls)?)
    }
}

fn setting(name: &str) -> Result<Option<String>, Failure> {
    let file = format!("{name}_FILE");
    match (env::var(name), env::var(&file)) {
        (Ok(_), Ok(_)) => Err(Failure::usage(format!("both {name} and {file} are set; give one"))),
        (Ok(value), Err(_)) => Ok(Some(value)),
        (Err(_), Ok(path)) => match fs::read_to_string(&path) {
            Ok(value) => Ok(Some(value.trim_end_matches(['\r', '\n']).to_owned())),
            Err(error) => Err(Failure::new(format!("{file}: {path}: {error}"))),
        },
        (Err(_), Err(_)) => Ok(None),
    }
}

/// Connects by the environment, for a command that needs a database.
pub(crate) fn connect(name: &str) -> Result<Client, Failure> {
    Settings::required()?.connect(name)
}

/// An error with its causes, in one line: the outermost alone says only `db error`.
pub(crate) fn sentence(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let position = match said.position() {
            Some(postgres::error::ErrorPosition::Original(at)) => format!(" at character {at}"),
            _ => String::new(),
        };
        return format!("{}: {}{position} ({})", said.severity(), said.message(), said.code().code());
    }
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// One connection for many requests, made anew when it broke or the settings changed.
#[derive(Default)]
pub(crate) struct Shared(Mutex<Option<(Settings, Client)>>);

impl Shared {
    /// Runs `act`, which takes 5 s at most, on the connection; `None` where no database is meant. A held connection that
    /// turns out to have ended is replaced once, as a pool does: `act` may run twice.
    pub(crate) fn with<T>(
        &self,
        act: impl Fn(&mut Client) -> Result<T, postgres::Error>,
    ) -> Result<Option<T>, Failure> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(settings) = Settings::read()? else {
            return Ok(None);
        };
        if let Some((used, mut client)) = held.take().filter(|(used, _)| *used == settings) {
            let done = act(&mut client);
            if !client.is_closed() {
                *held = Some((used, client));
                return Ok(Some(done?));
            }
        }
        let mut client = settings.connect("demo serve")?;
        client.batch_execute("set statement_timeout = '5s'")?;
        let done = act(&mut client);
        *held = Some((settings, client));
        Ok(Some(done?))
    }
}
