//! A job names an environment that the environments file does not have.

use super::{File, Rule};
use crate::diagnostic::Diagnostic;
use crate::expression::nearest;

pub(super) struct UnknownEnvironment;

impl Rule for UnknownEnvironment {
    fn name(&self) -> &'static str {
        "unknown-environment"
    }

    fn doc(&self) -> &'static str {
        "GitHub creates an environment that it does not know, without any protection: a typing mistake skips the approval. \
         Here an environment must be in `.tagline/environments.yml`. Without that file this is a warning, and an error \
         once a tag is released. Names that are expressions are checked when their value is known."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    environment: prodution\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    environment: Production\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for environment in file.workflow.jobs.values().filter_map(|job| job.environment.as_ref()) {
            let name = &environment.name.text;
            let span = file.span(&environment.name);
            if name.contains("${{") {
                continue;
            }
            let Some(known) = file.options.environments else {
                let message = format!("there is no .tagline/environments.yml, so nothing protects `{name}`");
                let help = "write the environment there: releasing a tag needs it";
                found.push(Diagnostic::warning(self.name(), span, message).help(help));
                continue;
            };
            if known.environments.keys().any(|other| other.eq_ignore_ascii_case(name)) {
                continue;
            }
            let origin = file.options.environments_origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
            let message = format!("`{name}` is not in .tagline/environments.yml{origin}");
            let guess = nearest(name, known.environments.keys().map(String::as_str));
            let effect = "GitHub would create it without protection";
            let mut report = Diagnostic::error(self.name(), span, message).suggest(span, guess);
            report.help = Some(match report.help {
                Some(help) => format!("{help} {effect}"),
                None => effect.to_owned(),
            });
            found.push(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::{Severity, SourceFile};
    use crate::lint::{Options, run};

    #[test]
    fn without_the_file_it_is_a_warning() {
        let text = "on: push\njobs:\n  a:\n    runs-on: x\n    environment: { name: production }\n  b:\n    runs-on: x\n    \
                    environment: ${{ github.ref_name }}\n";
        let found = run(&SourceFile::new("a.yml", text), &Options::default());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].code, found[0].severity), ("unknown-environment", Severity::Warning));
    }
}
