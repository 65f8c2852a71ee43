//! The built-in actions, between their functions in `tagline-actions` and the agent.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use tagline_actions::artifact::{self, Download, IfNoFilesFound, Upload};
use tagline_actions::checkout::{self, Checkout};
use tagline_actions::image::{self, Base, ImageSpec};
use tagline_actions::inputs::Inputs;
use tagline_actions::oci::{Layout, LayoutWriter};
use tagline_actions::sbom::{self, SbomSpec};
use tagline_actions::{Builtin, Support};
use tagline_protocol::{Reply, Request};

use super::wire::{Ask, Line, Order};

/// Carries out an action; an error is why the step fails.
pub(super) fn carry_out(order: &Order, line: &mut Line) -> Result<(), String> {
    let builtin = Builtin::lookup(&order.uses).ok_or_else(|| unknown(&order.uses))?;
    let inputs = Inputs::new(builtin, &order.with).map_err(text)?;
    warn_of_inputs(builtin, order, &inputs, line)?;
    let mut action = Action { order, inputs, line, workspace: PathBuf::from(&order.paths.workspace) };
    match builtin {
        Builtin::Checkout => action.checkout(),
        Builtin::UploadArtifact => action.upload(),
        Builtin::DownloadArtifact => action.download(),
        Builtin::Image => action.image(),
        Builtin::Sbom => action.sbom(),
        // The agent asks the engine itself; no process is started for it.
        Builtin::Delivery(_) => Err(format!("{} is carried out by the engine", builtin.name())),
    }
}

/// What is said of an action that is not built in.
pub(crate) fn unknown(uses: &str) -> String {
    let known: Vec<&str> = Builtin::ALL.iter().map(|builtin| builtin.name()).collect();
    format!(
        "`uses: {uses}` is not carried out; built in are {} (tagline's own as @v1). Write the step as `run:` instead",
        known.join(", ")
    )
}

fn warn_of_inputs(builtin: Builtin, order: &Order, inputs: &Inputs, line: &Line) -> Result<(), String> {
    let warn = |text: String| line.tell(&Ask::Warn { text }).map_err(text_of);
    for name in inputs.unknown() {
        warn(format!("{} has no input `{name}`; it is ignored", builtin.name()))?;
    }
    for (name, value) in &order.with {
        let known = builtin.inputs().iter().find(|input| input.name.eq_ignore_ascii_case(name));
        if let Some((input, Support::NoEffect(why))) = known.map(|input| (input, input.support))
            && Some(value.as_str()) != input.default
        {
            warn(format!("{}: input `{name}` has no effect: {why}", builtin.name()))?;
        }
    }
    Ok(())
}

fn text<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}

fn text_of(error: impl std::fmt::Display) -> String {
    format!("the agent is gone: {error}")
}

/// The path of an open file or folder: the kernel leads it to the very same one.
fn path_of(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

struct Action<'a> {
    order: &'a Order,
    inputs: Inputs,
    line: &'a mut Line,
    workspace: PathBuf,
}

impl Action<'_> {
    fn home(&self) -> &Path {
        Path::new(&self.order.paths.home)
    }

    fn output(&self, name: &str, value: &dyn std::fmt::Display) -> Result<(), String> {
        let (name, value) = (name.to_owned(), value.to_string());
        self.line.tell(&Ask::Output { name, value }).map_err(text_of)
    }

    fn say(&self, text: String) -> Result<(), String> {
        self.line.tell(&Ask::Say { text }).map_err(text_of)
    }

    fn inbox(&mut self, name: &str) -> Result<File, String> {
        let ask = Ask::Inbox { name: name.to_owned() };
        self.line.open(&ask).map(|(_, file)| file)
    }

    fn checkout(&mut self) -> Result<(), String> {
        let checkout = Checkout::read(&self.inputs).map_err(text)?;
        let reply = self.line.engine(Request::Source {
            repository: checkout.repository.clone().unwrap_or_default(),
            reference: checkout.git_ref.clone().unwrap_or_default(),
            fetch_depth: checkout.fetch_depth,
            fetch_tags: checkout.fetch_tags,
        })?;
        let Reply::Source { file, commit, reference } = reply else {
            return Err("the engine answered something else than a source".to_owned());
        };
        let tar = self.inbox(&file)?;
        checkout::unpack_source(tar, &self.workspace, &checkout.path, checkout.clean).map_err(text)?;
        self.output("ref", &reference)?;
        self.output("commit", &commit)?;
        self.say(format!("Checked out {reference} at {commit}"))
    }

    fn upload(&mut self) -> Result<(), String> {
        let upload = Upload::read(&self.inputs).map_err(text)?;
        let (file, tar) = self.line.open(&Ask::OutboxFile)?;
        let packed = artifact::pack(&upload, &self.workspace, Some(self.home()), &path_of(&tar)).map_err(text)?;
        let Some(packed) = packed else {
            let message = format!("no files were found with the provided path: {}; nothing is uploaded", upload.path);
            return match upload.if_no_files_found {
                IfNoFilesFound::Ignore => self.say(message),
                _ => self.line.tell(&Ask::Warn { text: message }).map_err(text_of),
            };
        };
        let reply = self.line.engine(Request::Upload {
            name: upload.name.clone(),
            file,
            digest: format!("sha256:{}", packed.sha256),
            size: packed.size,
            overwrite: upload.overwrite,
            kind: packed.kind.word().to_owned(),
        })?;
        let Reply::Uploaded { id, digest } = reply else {
            return Err("the engine answered something else than an upload".to_owned());
        };
        self.output("artifact-id", &id)?;
        self.output("artifact-digest", &digest.strip_prefix("sha256:").unwrap_or(&digest))?;
        self.output("artifact-url", &"")?;
        let files = match packed.files.len() {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        };
        self.say(format!("Artifact {}: {files}, {} bytes, {digest}", upload.name, packed.size))
    }

    fn download(&mut self) -> Result<(), String> {
        let download = Download::read(&self.inputs).map_err(text)?;
        let reply = self.line.engine(Request::Download {
            name: download.name.clone().unwrap_or_default(),
            pattern: download.pattern.clone().unwrap_or_default(),
        })?;
        let Reply::Downloaded { artifacts, left_out } = reply else {
            return Err("the engine answered something else than artifacts".to_owned());
        };
        for text in left_out {
            self.line.tell(&Ask::Warn { text }).map_err(text_of)?;
        }
        let names: Vec<String> = artifacts.iter().map(|(name, _)| name.clone()).collect();
        let placements = download.place(&names, &self.workspace, Some(self.home())).map_err(text)?;
        for placement in &placements {
            let Some((name, file)) = artifacts.iter().find(|(name, _)| *name == placement.artifact) else {
                continue;
            };
            let tar = self.inbox(file)?;
            artifact::unpack(tar, &self.workspace, &placement.folder).map_err(text)?;
            self.say(format!("Artifact {name} is in {}", placement.folder.display()))?;
        }
        let target = match download.path.strip_prefix('~') {
            Some(rest) => self.home().join(rest.trim_start_matches('/')),
            None => self.workspace.join(&download.path),
        };
        self.output("download-path", &target.display())
    }

    fn image(&mut self) -> Result<(), String> {
        let mut spec = ImageSpec::read(&self.inputs).map_err(text)?;
        // Open until the image is built: the base is read from it.
        let mut _base = None;
        if let Base::Layout { path, .. } = &spec.base
            && !self.workspace.join(path).is_dir()
        {
            let layout = self.base_image()?;
            spec.base = Base::Layout { path: path_of(&layout).to_string_lossy().into_owned(), reference: None };
            _base = Some(layout);
        }
        let image = image::build(&spec, &self.workspace).map_err(text)?;
        self.output("digest", &image.digest)?;
        self.output("size", &image.size)?;
        self.output("platform", &image.platform)?;
        self.output("layout", &image.layout.display())?;
        self.say(format!("Image {} for {}, {} bytes", image.digest, image.platform, image.size))?;
        let Some(target) = self.inputs.text("push").map(str::to_owned) else {
            return Ok(());
        };
        let layout = self.stage(&spec, &image)?;
        let reply = self.line.engine(Request::Push { layout, reference: target, digest: image.digest.clone() })?;
        let Reply::Pushed { reference } = reply else {
            return Err("the engine answered something else than a push".to_owned());
        };
        self.output("reference", &reference)?;
        self.say(format!("Pushed {reference}"))
    }

    /// A base from a registry, as a layout.
    fn base_image(&mut self) -> Result<File, String> {
        let reference = self.inputs.text("base").unwrap_or_default().to_owned();
        let reply = self.line.engine(Request::Image { reference })?;
        let Reply::Image { layout, .. } = reply else {
            return Err("the engine answered something else than an image".to_owned());
        };
        self.inbox(&layout)
    }

    /// Copies the built layout to where the engine takes it from.
    fn stage(&mut self, spec: &ImageSpec, image: &image::Image) -> Result<String, String> {
        let (name, folder) = self.line.open(&Ask::OutboxFolder)?;
        let layout = Layout::open(&image.layout).map_err(text)?;
        let (descriptor, manifest) = layout.image(Some(&image.digest), &spec.platform).map_err(text)?;
        let writer = LayoutWriter::new(&path_of(&folder).join("layout")).map_err(text)?;
        for blob in manifest.layers.iter().chain([&manifest.config, &descriptor]) {
            writer.copy(&layout, blob).map_err(text)?;
        }
        writer.finish(descriptor).map_err(text)?;
        Ok(format!("{name}/layout"))
    }

    fn sbom(&mut self) -> Result<(), String> {
        let spec = SbomSpec::read(&self.inputs).map_err(text)?;
        let made = sbom::make(&spec, &self.workspace).map_err(text)?;
        for problem in &made.problems {
            let text = format!("the bill of materials is incomplete: {}: {}", problem.path, problem.why);
            self.line.tell(&Ask::Warn { text }).map_err(text_of)?;
        }
        self.output("path", &made.path.display())?;
        self.output("components", &made.components)?;
        self.output("digest", &format!("sha256:{}", made.sha256))?;
        self.say(format!("{} components in {}", made.components, made.path.display()))
    }
}
