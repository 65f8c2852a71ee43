//! The inputs of `tagline/image@v1`.

use super::{FileSpec, ImageError, platform_or_host};
use crate::inputs::Inputs;
use crate::oci::Platform;

/// What an image is built on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An image in an OCI layout.
    Layout {
        /// Folder of the layout, from the workspace.
        path: String,
        /// Its name in the layout; `None` means the only one.
        reference: Option<String>,
    },
}

/// What to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// What it is built on.
    pub base: Base,
    /// What is put in.
    pub files: Vec<FileSpec>,
    /// The program and its first arguments; given, it drops the base's arguments.
    pub entrypoint: Vec<String>,
    /// Further arguments.
    pub cmd: Vec<String>,
    /// `KEY=VALUE`, over those of the base.
    pub env: Vec<(String, String)>,
    /// Folder to start in.
    pub workdir: Option<String>,
    /// `UID[:GID]` or names.
    pub user: Option<String>,
    /// Labels, over those of the base.
    pub labels: Vec<(String, String)>,
    /// Ports, as `8080` or `8080/tcp`.
    pub expose: Vec<String>,
    /// The name the image gets in the layout.
    pub tag: Option<String>,
    /// The version it carries as a label, and as its name where there is no tag.
    pub version: Option<String>,
    /// What it runs on.
    pub platform: Platform,
    /// Folder of the layout to write, from the workspace.
    pub output: String,
}

impl ImageSpec {
    /// Reads the inputs. `base` is `scratch` or `LAYOUT[@NAME]`; lists are one value a line, or a JSON
    /// array for `entrypoint` and `cmd`.
    pub fn read(inputs: &Inputs) -> Result<Self, ImageError> {
        let text = |name: &str| inputs.text(name).map(str::to_owned);
        let base = match inputs.text("base").unwrap_or("scratch") {
            "scratch" => Base::Scratch,
            layout => {
                let (path, reference) =
                    layout.split_once('@').map_or((layout, None), |(path, name)| (path, Some(name)));
                Base::Layout { path: path.to_owned(), reference: reference.map(str::to_owned) }
            }
        };
        let platform = platform_or_host(inputs.text("platform")).ok_or_else(|| {
            let given = inputs.text("platform").unwrap_or_default();
            inputs.wrong("platform", given, "OS/ARCHITECTURE, as linux/amd64")
        })?;
        let files = inputs
            .lines("files")
            .into_iter()
            .map(|line| FileSpec::parse(line).ok_or_else(|| inputs.wrong("files", line, "SOURCE:/DESTINATION[:MODE]")))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            base,
            files,
            entrypoint: words(inputs, "entrypoint")?,
            cmd: words(inputs, "cmd")?,
            env: pairs(inputs, "env")?,
            workdir: text("workdir"),
            user: text("user"),
            labels: pairs(inputs, "labels")?,
            expose: ports(inputs)?,
            tag: text("tag"),
            version: text("version"),
            platform,
            output: text("output").unwrap_or_else(|| "image".to_owned()),
        })
    }

    /// The image's name in the layout.
    pub fn reference(&self) -> Option<String> {
        self.tag.clone().or_else(|| self.version.clone())
    }
}

/// A JSON array of strings, or one word a line.
fn words(inputs: &Inputs, name: &str) -> Result<Vec<String>, ImageError> {
    match inputs.text(name) {
        Some(text) if text.starts_with('[') => Ok(serde_json::from_str(text)
            .map_err(|_| inputs.wrong(name, text, "a JSON array of strings, or one word a line"))?),
        _ => Ok(inputs.lines(name).into_iter().map(str::to_owned).collect()),
    }
}

fn pairs(inputs: &Inputs, name: &str) -> Result<Vec<(String, String)>, ImageError> {
    let pair = |line: &str| match line.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(inputs.wrong(name, line, "KEY=VALUE on each line").into()),
    };
    inputs.lines(name).into_iter().map(pair).collect()
}

fn ports(inputs: &Inputs) -> Result<Vec<String>, ImageError> {
    let port = |line: &str| {
        let (number, protocol) = line.split_once('/').unwrap_or((line, "tcp"));
        let fits = number.parse::<u16>().is_ok() && matches!(protocol, "tcp" | "udp" | "sctp");
        if !fits {
            return Err(inputs.wrong("expose", line, "PORT or PORT/tcp").into());
        }
        Ok(format!("{number}/{protocol}"))
    };
    inputs.lines("expose").into_iter().map(port).collect()
}
