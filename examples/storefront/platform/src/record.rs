//! What an environment remembers across restarts, as one JSON file written whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::names;

/// The two places a version can run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Blue,
    Green,
}

impl Colour {
    pub(crate) const BOTH: [Self; 2] = [Self::Blue, Self::Green];

    pub(crate) fn other(self) -> Self {
        if self == Self::Blue { Self::Green } else { Self::Blue }
    }

    pub(crate) fn name(self) -> &'static str {
        if self == Self::Blue { "blue" } else { "green" }
    }

    fn named(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|colour| colour.name() == name)
    }
}

/// A version and the bytes it is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) version: String,
    /// 64 hex digits.
    pub(crate) digest: String,
}

impl Release {
    fn from_json(value: &Value) -> Option<Self> {
        let version = names::version(value["version"].as_str()?).ok()?.to_owned();
        let digest = names::digest(value["digest"].as_str()?).ok()?.to_owned();
        Some(Self { version, digest })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"version": self.version, "digest": format!("sha256:{}", self.digest)})
    }
}

/// State of one environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// The public port; never changes.
    pub(crate) port: u16,
    /// Which colour gets the traffic, and since when.
    pub(crate) live: Option<Colour>,
    pub(crate) since: Option<String>,
    /// Whether the other colour was live before, and a rollback leads to it.
    pub(crate) can_roll_back: bool,
    /// The version a rollback left, until the next switch: asked again, a rollback is done already.
    pub(crate) left: Option<String>,
    /// What stands in which colour.
    pub(crate) blue: Option<Release>,
    pub(crate) green: Option<Release>,
}

impl Record {
    pub(crate) fn release(&self, colour: Colour) -> Option<&Release> {
        if colour == Colour::Blue { self.blue.as_ref() } else { self.green.as_ref() }
    }

    pub(crate) fn set_release(&mut self, colour: Colour, release: Release) {
        *(if colour == Colour::Blue { &mut self.blue } else { &mut self.green }) = Some(release);
    }

    /// The colour that holds a version.
    pub(crate) fn holds(&self, version: &str) -> Option<Colour> {
        Colour::BOTH.into_iter().find(|colour| self.release(*colour).is_some_and(|release| release.version == version))
    }

    pub(crate) fn live_version(&self) -> Option<&str> {
        Some(&self.release(self.live?)?.version)
    }

    /// The version a rollback leads to.
    pub(crate) fn previous_version(&self) -> Option<&str> {
        let before = self.live.filter(|_| self.can_roll_back)?.other();
        Some(&self.release(before)?.version)
    }

    /// Reads a record back.
    pub(crate) fn load(file: &Path) -> Result<Self, String> {
        let place = file.display();
        let text = fs::read(file).map_err(|error| format!("{place}: {error}"))?;
        let value: Value = serde_json::from_slice(&text).map_err(|error| format!("{place}: {error}"))?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let port = value["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        Ok(Self {
            port: port.ok_or_else(|| format!("{place}: `port` is not a port"))?,
            live: value["live"].as_str().and_then(Colour::named),
            since: text("since"),
            can_roll_back: value["can_roll_back"] == true,
            left: text("left"),
            blue: Release::from_json(&value["blue"]),
            green: Release::from_json(&value["green"]),
        })
    }

    /// Writes it whole: after a crash the file is the one before or this one.
    pub(crate) fn save(&self, file: &Path) -> io::Result<()> {
        let release = |colour| self.release(colour).map(Release::to_json);
        let value = json!({
            "port": self.port,
            "live": self.live.map(Colour::name),
            "since": self.since,
            "can_roll_back": self.can_roll_back,
            "left": self.left,
            "blue": release(Colour::Blue),
            "green": release(Colour::Green),
        });
        let part = file.with_extension("part");
        let mut written = File::create(&part)?;
        written.write_all(format!("{value:#}\n").as_bytes())?;
        written.sync_all()?;
        fs::rename(&part, file)?;
        file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_as_it_was_saved() {
        let file = std::env::temp_dir().join(format!("platform-record-{}.json", std::process::id()));
        let release = Release { version: "1.2.3".into(), digest: "ab".repeat(32) };
        let full = Record {
            port: 4000,
            live: Some(Colour::Green),
            since: Some("2026-01-01T00:00:00.000Z".into()),
            can_roll_back: true,
            left: Some("1.2.4".into()),
            blue: Some(release.clone()),
            green: Some(Release { version: "1.2.2".into(), ..release }),
        };
        for record in [Record { port: 1, ..Record::default() }, full] {
            record.save(&file).unwrap();
            assert_eq!(Record::load(&file).unwrap(), record);
        }
        fs::write(&file, "{}").unwrap();
        assert!(Record::load(&file).unwrap_err().ends_with("`port` is not a port"));
        fs::remove_file(&file).unwrap();
    }
}
