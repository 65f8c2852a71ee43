//! `tagline sbom`: what is in a folder or an image layout.

use tagline_actions::sbom::catalog_path;
use tagline_evidence::sbom::{Format, Subject, write};

use crate::args::{SbomArgs, SbomFormat};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::words::{count, plain};

/// Runs it: the document on standard output, what could not be read on standard error.
pub(crate) fn run(context: &Context, args: &SbomArgs) -> Outcome {
    if !args.path.is_dir() {
        let path = args.path.display();
        return Err(Failure::unusable("no-such-folder", format!("{path} is not a folder"))
            .next("name a folder or an OCI image layout: tagline sbom ."));
    }
    let catalog = catalog_path(&args.path, None).map_err(|error| {
        Failure::of(Exit::Failed, "sbom", &error).effect("nothing was written").next("tagline sbom .")
    })?;
    let name = args.path.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let subject = Subject { name, ..Subject::default() };
    let format = match args.format {
        SbomFormat::Cyclonedx => Format::CycloneDx,
        SbomFormat::Spdx => Format::Spdx,
    };
    let document = write(&catalog, &subject, format);
    context.output.stream(|out| out.write_all(document.as_bytes()));
    for problem in &catalog.problems {
        context.output.note(format!("warning[incomplete]: {}: {}", plain(&problem.path), plain(&problem.why)));
    }
    context.output.note(count(catalog.components.len(), "component"));
    Ok(Exit::Done)
}
