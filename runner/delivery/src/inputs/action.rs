//! One delivery step, read.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use tagline_actions::Delivery;

use super::reader::Reader;
use super::{
    AnalyseInputs, DeployInputs, MigrateInputs, OperateInputs, Problem, RollbackInputs, RotateInputs, SmokeTestInputs,
    did_you_mean,
};

/// What a step asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// `tagline/deploy`
    Deploy(Box<DeployInputs>),
    /// `tagline/migrate`
    Migrate(Box<MigrateInputs>),
    /// `tagline/smoke-test`
    SmokeTest(Box<SmokeTestInputs>),
    /// `tagline/analyse`
    Analyse(Box<AnalyseInputs>),
    /// `tagline/operate`
    Operate(Box<OperateInputs>),
    /// `tagline/rotate-secret`
    RotateSecret(Box<RotateInputs>),
    /// `tagline/rollback`
    Rollback(Box<RollbackInputs>),
}

impl Action {
    /// Reads a step whose values are all known.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the action's inputs.
    pub fn read(uses: &str, with: &IndexMap<String, String>) -> Result<Self, Vec<Problem>> {
        let (action, problems) = read(uses, with, false)?;
        if problems.is_empty() { Ok(action) } else { Err(problems) }
    }

    /// What is wrong with a step whose values may still hold `${{ }}`: what is known is checked, the rest left.
    pub fn check(uses: &str, with: &IndexMap<String, String>) -> Vec<Problem> {
        read(uses, with, true).map_or_else(|problems| problems, |(_, problems)| problems)
    }

    /// [`Self::check`], and with `protected` also what an environment with reviewers asks; rules about values that are
    /// not known yet are passed over.
    pub fn check_for(uses: &str, with: &IndexMap<String, String>, environment: &str, protected: bool) -> Vec<Problem> {
        match read(uses, with, true) {
            Err(problems) => problems,
            Ok((action, mut problems)) => {
                let open = |key: &str| {
                    let given = with.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
                    given.is_some_and(|(_, value)| super::expression::is_open(value))
                };
                let asked = action.require(environment, protected);
                problems.extend(asked.into_iter().filter(|problem| !open(&problem.key)));
                problems
            }
        }
    }

    /// What the environment asks beyond the action itself: where it has reviewers, what is advice elsewhere is required.
    pub fn require(&self, environment: &str, protected: bool) -> Vec<Problem> {
        match self {
            _ if !protected => Vec::new(),
            Self::Deploy(inputs) => inputs.for_protected(environment),
            Self::Migrate(inputs) => inputs.for_protected(environment),
            Self::Analyse(inputs) => inputs.for_protected(environment),
            Self::SmokeTest(_) | Self::Operate(_) | Self::RotateSecret(_) | Self::Rollback(_) => Vec::new(),
        }
    }

    /// `tagline/deploy` and so on.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deploy(_) => Delivery::Deploy,
            Self::Migrate(_) => Delivery::Migrate,
            Self::SmokeTest(_) => Delivery::SmokeTest,
            Self::Analyse(_) => Delivery::Analyse,
            Self::Operate(_) => Delivery::Operate,
            Self::RotateSecret(_) => Delivery::RotateSecret,
            Self::Rollback(_) => Delivery::Rollback,
        }
        .name()
    }
}

/// Whether `uses` names an action of delivery, of whatever version.
pub fn is_delivery(uses: &str) -> bool {
    let name = uses.trim().split('@').next().unwrap_or_default();
    Delivery::ALL.into_iter().any(|delivery| delivery.name().eq_ignore_ascii_case(name))
}

fn read(uses: &str, with: &IndexMap<String, String>, partial: bool) -> Result<(Action, Vec<Problem>), Vec<Problem>> {
    let delivery = Delivery::lookup(uses).ok_or_else(|| vec![unknown(uses)])?;
    let mut reader = Reader::new(delivery, with, partial);
    let r = &mut reader;
    let action = match delivery {
        Delivery::Deploy => Action::Deploy(Box::new(DeployInputs::read(r))),
        Delivery::Migrate => Action::Migrate(Box::new(MigrateInputs::read(r))),
        Delivery::SmokeTest => Action::SmokeTest(Box::new(SmokeTestInputs::read(r))),
        Delivery::Analyse => Action::Analyse(Box::new(AnalyseInputs::read(r))),
        Delivery::Operate => Action::Operate(Box::new(OperateInputs::read(r))),
        Delivery::RotateSecret => Action::RotateSecret(Box::new(RotateInputs::read(r))),
        Delivery::Rollback => Action::Rollback(Box::new(RollbackInputs::read(r))),
    };
    Ok((action, reader.finish()))
}

fn unknown(uses: &str) -> Problem {
    let names = Delivery::ALL.map(Delivery::name);
    let (name, version) = uses.trim().split_once('@').unwrap_or((uses.trim(), ""));
    if names.contains(&name) {
        return Problem::new("uses", format!("{name} has no version \"{version}\"; write {name}@v1"));
    }
    Problem::new("uses", format!("\"{uses}\" delivers nothing; {}{}", names.join(", "), did_you_mean(name, names)))
}
