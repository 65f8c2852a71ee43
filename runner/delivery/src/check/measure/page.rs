//! A page of metrics as a pod serves it: the text format of Prometheus (0.0.4), and what of OpenMetrics differs from it only
//! at the end of a line.

use std::collections::{BTreeMap, BTreeSet};

/// One line: a series and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// Sorted by name.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// What a pod says of itself at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Page {
    samples: BTreeMap<String, Vec<Sample>>,
    /// `counter`, `gauge`, `histogram`, by the name in `# TYPE`.
    types: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page; `wanted` says which metrics are kept.
    ///
    /// # Errors
    /// The first line that cannot be read, with its number.
    pub(crate) fn parse(text: &str, wanted: impl Fn(&str) -> bool) -> Result<Self, String> {
        let mut page = Self::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(comment) = line.strip_prefix('#') {
                page.comment(comment);
            } else if !line.is_empty() {
                let (name, sample) = sample(line).ok_or_else(|| format!("line {} is no metric: {line}", number + 1))?;
                if wanted(name) {
                    page.samples.entry(name.to_owned()).or_default().push(sample);
                }
            }
        }
        Ok(page)
    }

    fn comment(&mut self, comment: &str) {
        let mut words = comment.split_whitespace();
        if let (Some("TYPE"), Some(name), Some(kind)) = (words.next(), words.next(), words.next()) {
            self.types.insert(name.to_owned(), kind.to_owned());
        }
    }

    /// The metrics on it.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.samples.keys().cloned().collect()
    }

    /// The series of a metric.
    pub(crate) fn samples(&self, metric: &str) -> &[Sample] {
        self.samples.get(metric).map(Vec::as_slice).unwrap_or_default()
    }

    /// What `# TYPE` says of a metric; OpenMetrics leaves `_total` away there.
    pub(crate) fn kind(&self, metric: &str) -> Option<&str> {
        let kind = self.types.get(metric).or_else(|| self.types.get(metric.strip_suffix("_total")?));
        kind.map(String::as_str)
    }
}

/// `name{label="value",…} 1.5 [timestamp] [# exemplar]`
fn sample(line: &str) -> Option<(&str, Sample)> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inner) => labels(inner)?,
        None => (BTreeMap::new(), rest),
    };
    let value = match rest.split_whitespace().next()? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        text => text.parse().ok()?,
    };
    (!name.is_empty()).then_some((name, Sample { labels, value }))
}

/// The labels up to the closing brace, and what is behind it.
fn labels(mut rest: &str) -> Option<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let quoted = after.trim_start().strip_prefix('"')?;
        let (value, after) = value(quoted)?;
        labels.insert(name.trim().to_owned(), value);
        rest = after;
    }
}

/// A label's value up to the closing quote: `\\`, `\"` and `\n` are escapes.
fn value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((place, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => value.push(match letters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = r#"
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{status="200",path="a\"b\\c\nd,}"} 1027 1395066363000
http_requests_total{ status = "500" , } 3
up 1
latency_bucket{le="+Inf"} 2 # {trace_id="x"} 0.67
ratio NaN
# EOF
"#;

    #[test]
    fn a_page_is_read_with_its_labels() {
        let page = Page::parse(TEXT, |_| true).unwrap();
        let requests = page.samples("http_requests_total");
        assert_eq!(requests[0].labels["path"], "a\"b\\c\nd,}");
        assert_eq!((requests[0].value, requests[1].value), (1027.0, 3.0));
        assert_eq!(requests[1].labels["status"], "500");
        assert_eq!(page.samples("latency_bucket")[0].labels["le"], "+Inf");
        assert!(page.samples("ratio")[0].value.is_nan());
        assert_eq!(page.kind("http_requests_total"), Some("counter"));
        assert_eq!(page.names().len(), 4);
    }

    #[test]
    fn a_page_that_is_none_says_which_line() {
        let error = Page::parse("up 1\n<html>\n", |_| true).unwrap_err();
        assert_eq!(error, "line 2 is no metric: <html>");
        for text in ["a{b=\"c} 1", "a{b=\"c\"}", "a", "a x", "{} 1"] {
            assert!(Page::parse(text, |_| true).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,80}") {
            let _ = Page::parse(&text, |_| true);
        }

        #[test]
        fn any_value_of_a_label_comes_back(value in ".{0,20}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            if !value.contains(['\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{b}', '\u{c}']) {
                let page = Page::parse(&format!("m{{l=\"{escaped}\"}} 1"), |_| true).unwrap();
                prop_assert_eq!(&page.samples("m")[0].labels["l"], &value);
            }
        }
    }
}
