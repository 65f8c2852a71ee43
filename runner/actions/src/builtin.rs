//! The actions that need no fetching: their names and the inputs they know, for lint and for the agent.

mod delivery;

pub use delivery::Delivery;

/// An action built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// `actions/checkout`
    Checkout,
    /// `actions/upload-artifact`
    UploadArtifact,
    /// `actions/download-artifact`
    DownloadArtifact,
    /// `tagline/image`
    Image,
    /// `tagline/sbom`
    Sbom,
    /// One that the engine carries out on a cluster.
    Delivery(Delivery),
}

/// What values an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// One value a line.
    Lines,
    /// A boolean of YAML's core schema.
    Boolean,
    /// A whole number.
    Integer,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// How far an input is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Wholly.
    Full,
    /// Accepted, and without effect, for the reason given.
    NoEffect(&'static str),
    /// Refused with another value than its default.
    Refused,
}

/// One input of a built-in action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Its name, in lower case; steps may write it in any case.
    pub name: &'static str,
    /// Whether a step must give it.
    pub required: bool,
    /// Its value when a step does not give it.
    pub default: Option<&'static str>,
    /// What values it takes.
    pub kind: Kind,
    /// How far it is carried out.
    pub support: Support,
}

impl Builtin {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Checkout,
        Self::UploadArtifact,
        Self::DownloadArtifact,
        Self::Image,
        Self::Sbom,
        Self::Delivery(Delivery::Deploy),
        Self::Delivery(Delivery::Migrate),
        Self::Delivery(Delivery::SmokeTest),
        Self::Delivery(Delivery::Analyse),
        Self::Delivery(Delivery::Operate),
        Self::Delivery(Delivery::RotateSecret),
        Self::Delivery(Delivery::Rollback),
    ];

    /// The built-in that `uses` names: GitHub's own at any version, Tagline's at `v1`.
    pub fn lookup(uses: &str) -> Option<Self> {
        let (name, version) = uses.trim().split_once('@')?;
        let builtin = Self::ALL.into_iter().find(|one| one.name().eq_ignore_ascii_case(name))?;
        let known = match builtin {
            Self::Image | Self::Sbom | Self::Delivery(_) => version == "v1",
            _ => !version.is_empty(),
        };
        known.then_some(builtin)
    }

    /// `OWNER/NAME`, without a version.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkout => "actions/checkout",
            Self::UploadArtifact => "actions/upload-artifact",
            Self::DownloadArtifact => "actions/download-artifact",
            Self::Image => "tagline/image",
            Self::Sbom => "tagline/sbom",
            Self::Delivery(delivery) => delivery.name(),
        }
    }

    /// The inputs it knows.
    pub fn inputs(self) -> &'static [Input] {
        match self {
            Self::Checkout => CHECKOUT,
            Self::UploadArtifact => UPLOAD,
            Self::DownloadArtifact => DOWNLOAD,
            Self::Image => IMAGE,
            Self::Sbom => SBOM,
            Self::Delivery(delivery) => delivery.inputs(),
        }
    }

    /// The outputs it sets.
    pub fn outputs(self) -> &'static [&'static str] {
        match self {
            Self::Checkout => &["ref", "commit"],
            Self::UploadArtifact => &["artifact-id", "artifact-url", "artifact-digest"],
            Self::DownloadArtifact => &["download-path"],
            Self::Image => &["digest", "size", "platform", "layout"],
            Self::Sbom => &["path", "components", "digest"],
            Self::Delivery(delivery) => delivery.outputs(),
        }
    }
}

const fn input(name: &'static str, kind: Kind) -> Input {
    Input { name, required: false, default: None, kind, support: Support::Full }
}

impl Input {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn refused(mut self) -> Self {
        self.support = Support::Refused;
        self
    }

    const fn no_effect(mut self, why: &'static str) -> Self {
        self.support = Support::NoEffect(why);
        self
    }
}

use Kind::{Boolean, Choice, Integer, Lines, Text};

const NO_CREDENTIALS: &str = "the source is handed to the job, which holds no credentials for it";
const OTHER_RUNS: &str = "artifacts of other runs are not reached with a token";

const CHECKOUT: &[Input] = &[
    input("repository", Text),
    input("ref", Text),
    input("path", Text),
    input("clean", Boolean).or("true"),
    input("fetch-depth", Integer).or("1"),
    input("fetch-tags", Boolean).or("false"),
    input("token", Text).no_effect(NO_CREDENTIALS),
    input("persist-credentials", Boolean).or("true").no_effect(NO_CREDENTIALS),
    input("show-progress", Boolean).or("true").no_effect("nothing is fetched over a network"),
    input("set-safe-directory", Boolean).or("true").no_effect("the workspace belongs to the job's user"),
    input("ssh-key", Text).refused(),
    input("ssh-known-hosts", Text).refused(),
    input("ssh-strict", Boolean).or("true").refused(),
    input("ssh-user", Text).or("git").refused(),
    input("filter", Text).refused(),
    input("sparse-checkout", Lines).refused(),
    input("sparse-checkout-cone-mode", Boolean).or("true").refused(),
    input("lfs", Boolean).or("false").refused(),
    input("submodules", Choice(&["false", "true", "recursive"])).or("false").refused(),
    input("github-server-url", Text).refused(),
];

const UPLOAD: &[Input] = &[
    input("name", Text).or("artifact"),
    input("path", Lines).required(),
    input("if-no-files-found", Choice(&["warn", "error", "ignore"])).or("warn"),
    input("retention-days", Integer).no_effect("artifacts are kept as long as their run"),
    input("compression-level", Integer).or("6").no_effect("artifacts are kept uncompressed under their digest"),
    input("overwrite", Boolean).or("false"),
    input("include-hidden-files", Boolean).or("false"),
];

const DOWNLOAD: &[Input] = &[
    input("name", Text),
    input("pattern", Text),
    input("path", Text),
    input("merge-multiple", Boolean).or("false"),
    input("artifact-ids", Text).refused(),
    input("github-token", Text).no_effect(OTHER_RUNS),
    input("repository", Text).refused(),
    input("run-id", Text).refused(),
];

const IMAGE: &[Input] = &[
    input("base", Text).or("scratch"),
    input("files", Lines),
    input("entrypoint", Lines),
    input("cmd", Lines),
    input("env", Lines),
    input("workdir", Text),
    input("user", Text),
    input("labels", Lines),
    input("expose", Lines),
    input("tag", Text),
    input("version", Text),
    input("platform", Text).or("linux/amd64"),
    input("output", Text).or("image"),
    input("push", Text),
];

const SBOM: &[Input] = &[
    input("path", Text).or("."),
    input("image", Text),
    input("format", Choice(&["cyclonedx", "spdx"])).or("cyclonedx"),
    input("name", Text),
    input("version", Text),
    input("output", Text).or("sbom.cdx.json"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_github_s_own_are_free_and_tagline_s_are_not() {
        for (uses, expected) in [
            ("actions/checkout@v4", Some(Builtin::Checkout)),
            ("Actions/Checkout@v6.0.1", Some(Builtin::Checkout)),
            ("actions/upload-artifact@main", Some(Builtin::UploadArtifact)),
            ("tagline/sbom@v1", Some(Builtin::Sbom)),
            ("tagline/sbom@v2", None),
            ("tagline/deploy@v1", Some(Builtin::Delivery(Delivery::Deploy))),
            ("tagline/deploy@v2", None),
            ("tagline/image", None),
            ("actions/checkout@", None),
            ("actions/checkout/sub@v4", None),
            ("./actions/checkout@v4", None),
        ] {
            assert_eq!(Builtin::lookup(uses), expected, "{uses}");
        }
    }

    #[test]
    fn no_input_is_listed_twice_and_names_are_lower_case() {
        for builtin in Builtin::ALL {
            let mut names: Vec<_> = builtin.inputs().iter().map(|input| input.name).collect();
            assert!(names.iter().all(|name| *name == name.to_lowercase()));
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), builtin.inputs().len(), "{builtin:?}");
        }
    }
    #[test]
    fn what_does_nothing_says_so() {
        let input = Builtin::UploadArtifact.inputs().iter().find(|input| input.name == "retention-days").unwrap();
        assert!(matches!(input.support, Support::NoEffect(_)));
    }
}
