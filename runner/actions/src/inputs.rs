//! What a step gives an action in `with:`, read as GitHub's toolkit reads it.

use crate::builtin::{Builtin, Support};
use std::collections::BTreeMap;
use thiserror::Error;

/// An input that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InputError {
    /// It is required and not given, or empty.
    #[error("{action}: input `{input}` is required and not supplied")]
    Missing {
        /// The action as `OWNER/NAME`.
        action: &'static str,
        /// The input's name.
        input: String,
    },
    /// Its value is not of its kind.
    #[error("{action}: input `{input}` is `{value}`, expected {expected}")]
    Wrong {
        /// The action as `OWNER/NAME`.
        action: &'static str,
        /// The input's name.
        input: String,
        /// The value given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// GitHub's action knows it, this one does not carry it out.
    #[error("{action}: input `{input}` is not carried out yet; remove it")]
    Unsupported {
        /// The action as `OWNER/NAME`.
        action: &'static str,
        /// The input's name.
        input: String,
    },
}

/// The inputs of one step, its action's defaults filled in. Names are compared without regard to case.
#[derive(Debug, Clone)]
pub struct Inputs {
    action: Builtin,
    values: BTreeMap<String, String>,
    unknown: Vec<String>,
}

impl Inputs {
    /// Takes a step's `with:`, values already evaluated. An input that is known but not carried out is
    /// an error when it is given another value than its default.
    pub fn new<K: AsRef<str>, V: AsRef<str>>(
        action: Builtin,
        with: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, InputError> {
        let known = action.inputs();
        let mut values: BTreeMap<String, String> =
            known.iter().filter_map(|input| Some((input.name.to_owned(), input.default?.to_owned()))).collect();
        let mut unknown = Vec::new();
        for (name, value) in with {
            let (name, value) = (name.as_ref(), value.as_ref().trim());
            match known.iter().find(|input| input.name.eq_ignore_ascii_case(name)) {
                None => unknown.push(name.to_owned()),
                Some(input) if input.support == Support::Refused && value != input.default.unwrap_or_default() => {
                    return Err(InputError::Unsupported { action: action.name(), input: input.name.to_owned() });
                }
                Some(input) => {
                    values.insert(input.name.to_owned(), value.to_owned());
                }
            }
        }
        Ok(Self { action, values, unknown })
    }

    /// Inputs given that the action does not know; GitHub warns of them.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// A value as text; `None` when not given or empty.
    pub fn text(&self, input: &str) -> Option<&str> {
        self.values.get(input).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A value that must be there.
    pub fn required(&self, input: &str) -> Result<&str, InputError> {
        self.text(input).ok_or_else(|| InputError::Missing { action: self.action.name(), input: input.to_owned() })
    }

    /// `true`, `True`, `TRUE` or `false`, `False`, `FALSE`, the booleans of YAML's core schema.
    pub fn boolean(&self, input: &str) -> Result<Option<bool>, InputError> {
        match self.text(input) {
            None => Ok(None),
            Some("true" | "True" | "TRUE") => Ok(Some(true)),
            Some("false" | "False" | "FALSE") => Ok(Some(false)),
            Some(other) => Err(self.wrong(input, other, "true or false")),
        }
    }

    /// A whole number from `least` to `most`.
    pub fn integer(&self, input: &str, least: i64, most: i64) -> Result<Option<i64>, InputError> {
        let Some(text) = self.text(input) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                let expected = format!("a whole number from {least} to {most}");
                Err(self.wrong(input, text, &expected))
            }
        }
    }

    /// The lines of a value, trimmed, empty ones left out.
    pub fn lines(&self, input: &str) -> Vec<&str> {
        self.text(input).unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }

    /// The error for a value that is not what was `expected`.
    pub fn wrong(&self, input: &str, value: &str, expected: &str) -> InputError {
        InputError::Wrong {
            action: self.action.name(),
            input: input.to_owned(),
            value: value.to_owned(),
            expected: expected.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(with: &[(&str, &str)]) -> Result<Inputs, InputError> {
        Inputs::new(Builtin::UploadArtifact, with.iter().copied())
    }

    #[test]
    fn kinds_are_read_and_errors_name_action_and_input() {
        let inputs =
            upload(&[("PATH", " dist "), ("overwrite", "True"), ("retention-days", "x"), ("pth", "1")]).unwrap();
        assert_eq!(inputs.text("path"), Some("dist"));
        assert_eq!(inputs.boolean("overwrite"), Ok(Some(true)));
        assert_eq!(inputs.boolean("include-hidden-files"), Ok(Some(false)));
        assert_eq!(inputs.unknown(), ["pth"]);
        assert_eq!(
            inputs.integer("retention-days", 0, 90).unwrap_err().to_string(),
            "actions/upload-artifact: input `retention-days` is `x`, expected a whole number from 0 to 90"
        );
        let yes = upload(&[("overwrite", "yes")]).unwrap();
        assert!(yes.boolean("overwrite").unwrap_err().to_string().contains("true or false"));
        let missing = upload(&[]).unwrap().required("path").unwrap_err();
        assert!(missing.to_string().contains("`path` is required"));
    }

    #[test]
    fn what_is_not_carried_out_is_refused_unless_it_asks_for_nothing() {
        let lfs = |value| Inputs::new(Builtin::Checkout, [("lfs", value)]);
        assert!(lfs("false").is_ok());
        assert!(lfs("true").unwrap_err().to_string().contains("`lfs`"));
    }
}
