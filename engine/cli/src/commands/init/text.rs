//! The two files, from the templates in `pipelines/`.

use handlebars::{Handlebars, RenderError, no_escape};
use serde_json::{Value, json};

use super::stack::Stack;

const WORKFLOW: &str = include_str!("../../../../../pipelines/release.yml.hbs");
const ENVIRONMENTS: &str = include_str!("../../../../../pipelines/environments.yml.hbs");

/// `.github/workflows/release.yml`.
pub(super) fn workflow(stack: &Stack) -> Result<String, RenderError> {
    let base = stack.base.as_deref().filter(|_| stack.program);
    let built = if base.is_some() { "image, sbom" } else { "build, sbom" };
    let facts = json!({
        "name": stack.name,
        "test": stack.test,
        "build": stack.build,
        "path": stack.path,
        "base": base.unwrap_or_default(),
        "stages": [
            {"environment": "staging", "needs": built},
            {"environment": "production", "needs": "deploy-staging"},
        ],
    });
    render(WORKFLOW, &facts)
}

/// `.tagline/environments.yml`.
pub(super) fn environments(reviewer: &str) -> Result<String, RenderError> {
    // A quoted scalar takes every address there is.
    render(ENVIRONMENTS, &json!({"reviewer": reviewer.replace('\'', "''")}))
}

/// Strict: a name the template has and the facts have not is an error. Nothing is escaped: this is no HTML.
fn render(template: &str, facts: &Value) -> Result<String, RenderError> {
    let mut handlebars = Handlebars::new();
    handlebars.set_strict_mode(true);
    handlebars.register_escape_fn(no_escape);
    handlebars.render_template(template, facts)
}
