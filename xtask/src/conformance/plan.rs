//! Kind `plan`: the combinations of each job's matrix, as `tagline plan --json` has them.

use anyhow::Result;
use serde_json::Value;

use super::Verdict::{self, Fail, Pass};
use super::case::Case;
use super::engine::Engine;

pub(super) fn judge(engine: &Engine, case: &Case) -> Result<Verdict> {
    let folder = engine.folder()?;
    let file = ".github/workflows/case.yml";
    folder.write(file, case.text()?)?;
    folder.commit()?;
    let said = engine.run(&folder, &["plan", file, "--json"])?;
    let Ok(plan) = serde_json::from_str::<Value>(&said.stdout) else {
        return Ok(Fail(format!("it has no plan: {}", said.brief())));
    };
    let jobs = case.expected["jobs"].as_object().cloned().unwrap_or_default();
    for (id, wanted) in &jobs {
        let found = sorted(&plan["jobs"][id]["legs"], |leg| leg["matrix"].clone());
        let wanted = sorted(&wanted["matrix"], Clone::clone);
        if found != wanted {
            return Ok(Fail(format!("job `{id}` has {found:?}, not {wanted:?}")));
        }
    }
    Ok(Pass)
}

/// The combinations as texts with sorted keys, in sorted order.
fn sorted(list: &Value, one: impl Fn(&Value) -> Value) -> Vec<String> {
    let mut texts: Vec<String> = list
        .as_array()
        .into_iter()
        .flatten()
        .map(|value| {
            let mut pairs: Vec<String> =
                one(value).as_object().into_iter().flatten().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.sort();
            pairs.join(", ")
        })
        .collect();
    texts.sort();
    texts
}
