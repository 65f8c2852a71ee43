//! What `run` and `plan` find out about deliveries before anything runs.

use std::path::Path;
use std::sync::Arc;

use tagline_server::delivery::{Coming, Foreseen, OutOfReach, Reached, foresee, reach};
use tagline_server::planner::Planned;
use tagline_store::Store;
use tagline_syntax::diagnostic::{Diagnostic, SourceFile};

use crate::context::Context;
use crate::diagnostics;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::{count, plain};

/// A plan whose clusters were asked whether they answer.
pub(super) struct Asked<'p> {
    pub(super) planned: &'p Planned,
    reached: Reached,
}

/// Asks the clusters that plans deliver to.
pub(super) async fn ask(planned: &[Planned]) -> Vec<Asked<'_>> {
    let mut asked = Vec::with_capacity(planned.len());
    for planned in planned {
        asked.push(Asked { planned, reached: reach(&planned.plan).await });
    }
    asked
}

/// The environments whose cluster cannot be used now.
pub(super) fn away<'a>(asked: &'a [Asked<'_>]) -> Vec<&'a OutOfReach> {
    asked.iter().flat_map(|one| &one.reached.away).collect()
}

/// What the deliveries of a plan would do, and why they cannot be made.
pub(super) struct Ahead {
    pub(super) deliveries: Vec<Vec<Coming>>,
    pub(super) refused: Option<Failure>,
}

/// Looks at the deliveries of plans; `root` is the repository's folder.
pub(super) async fn look(
    context: &Context,
    asked: &[Asked<'_>],
    root: &Path,
    store: Option<&Arc<Store>>,
) -> Result<Ahead, Failure> {
    let (mut found, mut deliveries) = (Vec::new(), Vec::new());
    for Asked { planned, reached } in asked {
        let looked = foresee(planned, root, store, reached).await.map_err(|why| {
            Failure::failed("no-source", "the files that are delivered cannot be read")
                .why(why)
                .effect("nothing was run")
                .next("tagline doctor")
        })?;
        let Foreseen { deliveries: coming, inputs, refused } = looked;
        deliveries.push(coming);
        found.push((&planned.source, inputs, refused));
    }
    Ok(Ahead { deliveries, refused: refusal(context, &found) })
}

/// All that stands against deliveries, drawn at its place: what is wrong with the files is exit 2, what only a cluster has
/// against them exit 1.
fn refusal(context: &Context, found: &[(&SourceFile, Vec<Diagnostic>, Vec<Diagnostic>)]) -> Option<Failure> {
    let draw = |file: &SourceFile, one: &Diagnostic| diagnostics::render(file, one, &context.output.err);
    let all = found.iter().flat_map(|(file, inputs, refused)| inputs.iter().chain(refused).map(|one| draw(file, one)));
    let drawn: Vec<String> = all.collect();
    if drawn.is_empty() {
        return None;
    }
    let bad = found.iter().any(|(_, inputs, _)| !inputs.is_empty());
    let exit = if bad { Exit::Unusable } else { Exit::Failed };
    let message = format!("the release cannot be delivered: {}", count(drawn.len(), "problem"));
    let next = "correct what is named, then look again: tagline plan";
    let failure = Failure::new(exit, "cannot-deliver", message).effect("nothing was run").next(next);
    Some(Failure { before: drawn.join("\n\n").into(), ..failure })
}

/// What a plan's deliveries would do, in lines.
pub(super) fn lines(deliveries: &[Coming]) -> Vec<String> {
    let mut lines = Vec::new();
    for one in deliveries {
        let (job, name, environment) = (plain(&one.job), plain(&one.name), plain(&one.environment));
        lines.push(format!("{job}, step {} ({name}) to {environment}:", one.step + 1));
        lines.extend(one.summary.iter().map(|line| format!("  {}", plain(line))));
    }
    lines
}
