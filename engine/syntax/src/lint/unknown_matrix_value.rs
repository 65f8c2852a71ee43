//! `matrix.X` where no combination has X.

use super::{File, Rule};
use crate::diagnostic::Diagnostic;
use crate::expression::nearest;
use crate::workflow::{Job, Matrix};

pub(super) struct UnknownMatrixValue;

impl Rule for UnknownMatrixValue {
    fn name(&self) -> &'static str {
        "unknown-matrix-value"
    }

    fn doc(&self) -> &'static str {
        "The context `matrix` holds the lists of the job's own matrix and what `include` adds. Any other name is empty, \
         without an error. A matrix that is an expression is not looked at."
    }

    fn bad(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    strategy: { matrix: { node: [20, 22] } }\n    runs-on: ubuntu-latest\n    \
         name: Node ${{ matrix.ndoe }}\n"
    }

    fn good(&self) -> &'static str {
        "on: push\njobs:\n  a:\n    strategy: { matrix: { node: [20, 22], include: [{ npm: 10 }] } }\n    \
         runs-on: ubuntu-latest\n    name: Node ${{ matrix.Node }} with ${{ matrix.npm }}\n"
    }

    fn check(&self, file: &File<'_>, found: &mut Vec<Diagnostic>) {
        for one in file.expressions() {
            let Some(job) = one.place.job else { continue };
            for reference in one.expr.references().iter().filter(|reference| reference.context == "matrix") {
                let (Some(names), Some(name)) = (names(job), reference.keys().next()) else { continue };
                if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    continue;
                }
                let message = match job.strategy.matrix {
                    Some(_) => format!("the matrix of job `{}` has no `{name}`", job.id),
                    None => format!("job `{}` has no matrix, so `{reference}` is empty", job.id),
                };
                let span = file.part(one.text, reference.start, reference.end);
                let report = Diagnostic::warning(self.name(), span, message);
                found.push(match nearest(name, names.iter().copied()) {
                    Some(guess) => report.help(format!("did you mean `{guess}`?")),
                    None => report,
                });
            }
        }
    }
}

/// Every name of a job's matrix; nothing where only a run knows them.
fn names(job: &Job) -> Option<Vec<&str>> {
    let Some(Matrix { tree, .. }) = &job.strategy.matrix else { return Some(Vec::new()) };
    let tree = tree.as_object()?;
    let mut names: Vec<&str> = Vec::new();
    for (name, value) in tree {
        match name.as_str() {
            "exclude" => {}
            "include" => {
                for entry in value.as_array()? {
                    names.extend(entry.as_object()?.keys().map(String::as_str));
                }
            }
            name => names.push(name),
        }
    }
    names.iter().all(|name| !name.contains("${{")).then_some(names)
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::SourceFile;
    use crate::lint::{Options, run};

    fn reports(matrix: &str) -> usize {
        let text = format!(
            "on: push\njobs:\n  a:\n    strategy:\n      matrix: {matrix}\n    runs-on: x\n    name: ${{{{ matrix.b }}}}\n"
        );
        run(&SourceFile::new("a.yml", text), &Options::default()).len()
    }

    #[test]
    fn what_only_a_run_knows_is_let_be() {
        assert_eq!(reports("{ a: [1] }"), 1);
        assert_eq!(reports("{ a: [1], include: [{ b: 1 }] }"), 0);
        assert_eq!(reports("{ a: [1], include: \"${{ fromJSON(vars.A) }}\" }"), 0);
        assert_eq!(reports("{ a: [1], include: [\"${{ fromJSON(vars.A) }}\"] }"), 0);
        assert_eq!(reports("{ a: [1], \"${{ vars.NAME }}\": [1] }"), 0);
        assert_eq!(reports("\"${{ fromJSON(vars.A) }}\""), 0);
    }
}
