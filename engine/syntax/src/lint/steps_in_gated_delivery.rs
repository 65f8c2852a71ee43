//! What a delivery step is given comes from a step before it, so nobody can approve it.

use super::{File, Rule};
use crate::diagnostic::Diagnostic;
use crate::expression::Template;

pub(super) struct StepsInGatedDelivery;

impl Rule for StepsInGatedDelivery {
    fn name(&self) -> &'static str {
        "steps-in-gated-delivery"
    }

    fn doc(&self) -> &'static str {
        "What a delivery step does is worked out before its environment's approval, and exactly that is approved. Outputs of \
         steps of the same job are not known by then. Make the value an output of an earlier job and take it from `needs`."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    environment: staging\n    steps:\n      - id: b\n        \
         run: make\n      - uses: tagline/deploy@v1\n        with: { images: \"shop=${{ steps.b.outputs.image }}\" }\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  b:\n    runs-on: ubuntu-latest\n    outputs: { image: \"${{ steps.b.outputs.image }}\" }\n    \
         steps:\n      - id: b\n        run: make\n  a:\n    needs: b\n    runs-on: ubuntu-latest\n    environment: \
         staging\n    steps:\n      - uses: tagline/deploy@v1\n        with: { images: \"shop=${{ needs.b.outputs.image \
         }}\" }\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for (job, step) in file.steps() {
            let (Some((uses, with)), Some(_)) = (step.delivery(), &job.environment) else { continue };
            for (name, value) in with {
                let names_steps = |template: Template| template.references().iter().any(|r| r.context == "steps");
                if !Template::parse(&value.text).is_ok_and(names_steps) {
                    continue;
                }
                let message = format!(
                    "`{name}` of {} comes from a step of the same job, so it is not known when the approval is asked for",
                    uses.text
                );
                let help = "make it an output of an earlier job, and take it from `needs`";
                found.push(Diagnostic::error(self.name(), file.span(value), message).help(help));
            }
        }
    }
}
