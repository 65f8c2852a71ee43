//! The format of GITHUB_ENV, GITHUB_OUTPUT and GITHUB_STATE: `NAME=VALUE`, or `NAME<<DELIMITER`, lines, `DELIMITER`.

use thiserror::Error;

/// Why a file is not understood; the step that wrote it fails.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EnvFileError {
    /// A line is neither form. It is not quoted: it may be a line of a secret, and what it holds of one that was made
    /// in this step nobody masks.
    #[error("line {line} is neither `NAME=VALUE` nor `NAME<<DELIMITER`; a value of several lines needs the second")]
    Format {
        /// From 1.
        line: usize,
    },
    /// `<<DELIMITER` without a name, or `NAME<<` without a delimiter.
    #[error("line {line}: `NAME<<DELIMITER` needs both a name and a delimiter")]
    Heredoc {
        /// From 1.
        line: usize,
    },
    /// The value does not end.
    #[error(
        "line {line}: the value of `{name}` does not end: matching delimiter not found: `{delimiter}` must stand on a line of its own"
    )]
    Delimiter {
        /// Where the value begins, from 1.
        line: usize,
        /// Whose value.
        name: String,
        /// What was looked for.
        delimiter: String,
    },
}

/// Names and values in order, later ones of a name as well. A byte order mark is skipped.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, EnvFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Lines { rest: text, number: 0 };
    let mut pairs = Vec::new();
    while let Some((line, _)) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        let pair = match (equals, heredoc) {
            (Some(equals), heredoc) if heredoc.is_none_or(|heredoc| equals < heredoc) => {
                simple(line, equals, lines.number)?
            }
            (_, Some(heredoc)) => lines.heredoc(&line[..heredoc], &line[heredoc + 2..])?,
            _ => return Err(EnvFileError::Format { line: lines.number }),
        };
        pairs.push(pair);
    }
    Ok(pairs)
}

fn simple(line: &str, equals: usize, number: usize) -> Result<(String, String), EnvFileError> {
    if equals == 0 {
        return Err(EnvFileError::Format { line: number });
    }
    Ok((line[..equals].to_owned(), line[equals + 1..].to_owned()))
}

/// Lines with the line end that follows each.
struct Lines<'t> {
    rest: &'t str,
    number: usize,
}

impl<'t> Lines<'t> {
    fn next(&mut self) -> Option<(&'t str, &'t str)> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        let feed = usize::from(!rest.is_empty());
        self.rest = &rest[feed..];
        Some(match line.strip_suffix('\r').filter(|_| feed == 1) {
            Some(line) => (line, "\r\n"),
            None => (line, &rest[..feed]),
        })
    }

    /// The lines up to the delimiter, with their own ends but for the last.
    fn heredoc(&mut self, name: &str, delimiter: &str) -> Result<(String, String), EnvFileError> {
        let begin = self.number;
        if name.is_empty() || delimiter.is_empty() {
            return Err(EnvFileError::Heredoc { line: begin });
        }
        let mut value = String::new();
        let mut last_end = "";
        while let Some((line, end)) = self.next() {
            if line == delimiter {
                return Ok((name.to_owned(), value));
            }
            value.push_str(last_end);
            value.push_str(line);
            last_end = end;
        }
        Err(EnvFileError::Delimiter { line: begin, name: name.to_owned(), delimiter: delimiter.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> (String, String) {
        parse(text).unwrap().remove(0)
    }

    #[test]
    fn whichever_sign_comes_first_decides() {
        assert_eq!(one("A=b<<c"), ("A".into(), "b<<c".into()));
        assert_eq!(one("A<<=E\nx\n=E\n"), ("A".into(), "x".into()));
    }

    #[test]
    fn values_keep_their_own_line_ends() {
        assert_eq!(one("A<<E\r\nx\r\ny\r\nE\r\n").1, "x\r\ny");
        assert_eq!(one("A<<E\n\nx\n\nE").1, "\nx\n");
    }

    #[test]
    fn a_line_that_may_be_one_of_a_secret_is_not_quoted() {
        let line = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        let error = parse(&format!("KEY=-----BEGIN PRIVATE KEY-----\n{line}\n")).unwrap_err().to_string();
        assert!(!error.contains("MII") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn what_is_neither_form_is_an_error_with_its_line() {
        assert_eq!(parse("A=1\nnothing"), Err(EnvFileError::Format { line: 2 }));
        assert!(matches!(parse("=1"), Err(EnvFileError::Format { .. })));
        assert!(matches!(parse("A<<\nx\n"), Err(EnvFileError::Heredoc { line: 1 })));
        assert!(matches!(parse("<<E\nx\nE"), Err(EnvFileError::Heredoc { .. })));
        assert!(matches!(parse("A<<E\nx\n E"), Err(EnvFileError::Delimiter { .. })));
    }
}
