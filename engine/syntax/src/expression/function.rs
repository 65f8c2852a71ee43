//! The functions of the language: names and numbers of arguments.

/// A function an expression may call. Which ones a place offers is
/// [`Availability`](super::Availability)'s business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `contains(search, item)`
    Contains,
    /// `startsWith(text, start)`
    StartsWith,
    /// `endsWith(text, end)`
    EndsWith,
    /// `format(text, …)`
    Format,
    /// `join(array, separator?)`
    Join,
    /// `toJSON(value)`
    ToJson,
    /// `fromJSON(text)`
    FromJson,
    /// `case(condition, value, …, otherwise)`
    Case,
    /// `hashFiles(pattern, …)`
    HashFiles,
    /// `success()`, at a job also `success('job', …)`
    Success,
    /// `failure()`, at a job also `failure('job', …)`
    Failure,
    /// `always()`
    Always,
    /// `cancelled()`
    Cancelled,
}

/// Most arguments a call may have.
pub(super) const MAX_ARGUMENTS: usize = 255;

impl Function {
    /// Every function.
    pub const ALL: [Function; 13] = [
        Function::Contains,
        Function::StartsWith,
        Function::EndsWith,
        Function::Format,
        Function::Join,
        Function::ToJson,
        Function::FromJson,
        Function::Case,
        Function::HashFiles,
        Function::Success,
        Function::Failure,
        Function::Always,
        Function::Cancelled,
    ];

    /// The name as GitHub's documentation writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Format => "format",
            Self::Join => "join",
            Self::ToJson => "toJSON",
            Self::FromJson => "fromJSON",
            Self::Case => "case",
            Self::HashFiles => "hashFiles",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Always => "always",
            Self::Cancelled => "cancelled",
        }
    }

    /// The function of that name, in any case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name().eq_ignore_ascii_case(name))
    }

    /// Whether the function asks how the job or run went, which replaces the implicit `success()`.
    pub fn is_status(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Always | Self::Cancelled)
    }

    /// Whether the place must supply the function: it needs more than its arguments.
    pub fn is_special(self) -> bool {
        self.is_status() || self == Self::HashFiles
    }

    /// The fewest and most arguments the function takes anywhere.
    pub fn arity(self) -> (usize, usize) {
        match self {
            Self::Contains | Self::StartsWith | Self::EndsWith => (2, 2),
            Self::Format | Self::HashFiles => (1, MAX_ARGUMENTS),
            Self::Join => (1, 2),
            Self::ToJson | Self::FromJson => (1, 1),
            Self::Case => (3, MAX_ARGUMENTS),
            Self::Success | Self::Failure => (0, MAX_ARGUMENTS),
            Self::Always | Self::Cancelled => (0, 0),
        }
    }

    /// Why `count` arguments are wrong, `None` where they are right.
    pub(super) fn arity_error(self, count: usize) -> Option<String> {
        let (min, max) = self.arity();
        let name = self.name();
        if self == Self::Case && count >= min && count.is_multiple_of(2) {
            return Some(format!(
                "`case` takes an odd number of arguments (conditions with their values, then the value otherwise), not {count}"
            ));
        }
        (!(min..=max).contains(&count)).then(|| wrong_count(name, (min, max), count))
    }
}

/// The sentence about a call with `count` arguments where `min..=max` are taken.
pub(super) fn wrong_count(name: &str, (min, max): (usize, usize), count: usize) -> String {
    let wanted = match (min, max) {
        (0, 0) => "no arguments".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        (min, max) if min == max => format!("{min} arguments"),
        (min, MAX_ARGUMENTS) if count < min => {
            let plural = if min == 1 { "" } else { "s" };
            format!("at least {min} argument{plural}")
        }
        (_, MAX_ARGUMENTS) => format!("at most {MAX_ARGUMENTS} arguments"),
        (min, max) => format!("{min} to {max} arguments"),
    };
    format!("`{name}` takes {wanted}, not {count}")
}
