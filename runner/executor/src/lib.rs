//! Where a job runs: sandbox, Docker, fake.
//!
//! An [`Executor`] brings a job's agent up and finds, kills and cleans it; a [`Link`] is the engine's side of the
//! protocol with that agent. Between the two lies only the [`JobFolder`]: whoever has it and the token can take a job
//! over, whichever engine started it.

mod config;
mod docker;
mod environment;
mod error;
mod executor;
mod exposure;
mod fake;
mod folder;
mod inside;
mod launch;
mod link;
mod probe;
mod process;
mod readable;
pub mod registry;
mod remove;
mod sandbox;

pub use config::{Config, ConfigError};
pub use docker::{DEFAULT_IMAGE, Docker, Orphan};
pub use environment::Environment;
pub use error::{ExecutorError, chain};
pub use executor::{Executor, Found, Launched};
pub use exposure::{Exposure, ExposureError, propose};
pub use fake::{Fake, Hold, Script};
pub use folder::{AgentFile, FolderError, JobFolder};
pub use inside::{Inside, read_regular};
pub use launch::{ImageRef, Key, Launch, Limits, LimitsError};
pub use link::{Commands, Link, LinkError, LinkEvent, LogReader, RawLine};
pub use probe::Isolation;
pub use process::Process;
pub use sandbox::{PlainProcess, Sandbox};
