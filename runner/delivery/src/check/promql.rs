//! What a query of PromQL is made of, as far as checks must know: its metrics, and mistakes that make it answer something
//! else than it seems to. The server judges the syntax; a query that is not understood here has no findings.

use std::collections::BTreeSet;

/// A query, read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query(Expr);

#[derive(Debug, Clone, PartialEq)]
enum Expr {
    Literal,
    Selector(Option<String>),
    Call(String, Vec<Expr>),
    /// An aggregation over labels: `sum by (le) (…)`.
    Sum {
        labels: Vec<String>,
        inner: Vec<Expr>,
    },
    Binary(String, Box<Expr>, Box<Expr>),
}

const AGGREGATIONS: [&str; 14] = [
    "sum",
    "avg",
    "min",
    "max",
    "count",
    "group",
    "stddev",
    "stdvar",
    "topk",
    "bottomk",
    "quantile",
    "count_values",
    "limitk",
    "limit_ratio",
];

/// Functions that are for counters only.
const OF_COUNTERS: [&str; 3] = ["rate", "irate", "increase"];

impl Query {
    /// Reads a query; None where it is not understood.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text)?;
        let mut parser = Parser { tokens: &tokens, place: 0 };
        let expr = parser.binary(0)?;
        (parser.place == tokens.len()).then_some(Self(expr))
    }

    /// The names of its metrics.
    pub(crate) fn metrics(&self) -> BTreeSet<String> {
        let mut metrics = BTreeSet::new();
        self.0.walk(&mut |expr| {
            if let Expr::Selector(Some(name)) = expr {
                metrics.insert(name.clone());
            }
        });
        metrics
    }

    /// Function and metric, where a function for counters is used.
    pub(crate) fn rates(&self) -> Vec<(String, String)> {
        let mut rates = Vec::new();
        self.0.walk(&mut |expr| {
            if let Expr::Call(name, arguments) = expr
                && OF_COUNTERS.contains(&name.as_str())
                && let [Expr::Selector(Some(metric))] = arguments.as_slice()
            {
                rates.push((name.clone(), metric.clone()));
            }
        });
        rates
    }

    /// What makes it answer something else than it seems to.
    pub(crate) fn mistakes(&self) -> Vec<&'static str> {
        let mut mistakes = Vec::new();
        self.0.walk(&mut |expr| match expr {
            Expr::Binary(op, left, right) if op == "/" => {
                let apart = |side: &Expr| side.has_series() && !side.is_one();
                if apart(left) && right.has_series() || apart(right) && left.has_series() {
                    mistakes.push("ratio without sum on both sides: each series is divided by itself");
                }
            }
            Expr::Call(name, arguments) if name == "histogram_quantile" => {
                let by_bound = arguments.get(1).is_some_and(Expr::is_by_le);
                if !by_bound {
                    mistakes.push("histogram_quantile without sum by (le): one answer for each pod");
                }
            }
            _ => {}
        });
        mistakes.dedup();
        mistakes
    }
}

impl Expr {
    fn walk(&self, look: &mut impl FnMut(&Self)) {
        look(self);
        match self {
            Self::Literal | Self::Selector(_) => {}
            Self::Call(_, inner) | Self::Sum { inner, .. } => inner.iter().for_each(|each| each.walk(look)),
            Self::Binary(_, left, right) => {
                left.walk(look);
                right.walk(look);
            }
        }
    }

    /// It depends on series.
    fn has_series(&self) -> bool {
        let mut found = false;
        self.walk(&mut |expr| found |= matches!(expr, Self::Selector(_)));
        found
    }

    /// Its series are put together.
    fn is_one(&self) -> bool {
        match self {
            Self::Literal | Self::Sum { .. } => true,
            Self::Selector(_) => false,
            Self::Call(name, inner) => matches!(name.as_str(), "scalar" | "vector") || inner.iter().all(Self::is_one),
            Self::Binary(_, left, right) => left.is_one() && right.is_one(),
        }
    }

    /// Put together by `le`, and maybe more.
    fn is_by_le(&self) -> bool {
        match self {
            Self::Sum { labels, .. } => labels.iter().any(|label| label == "le"),
            Self::Call(_, inner) => inner.iter().any(Self::is_by_le),
            Self::Binary(_, left, right) => left.is_by_le() || right.is_by_le(),
            Self::Literal | Self::Selector(_) => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Name(String),
    Number,
    Text,
    /// `{…}` as a whole, with the name that a `__name__=` in it gives.
    Matchers(Option<String>),
    /// `[…]` as a whole.
    Range,
    Sign(String),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let letters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut place = 0;
    while let Some(letter) = letters.get(place).copied() {
        let start = place;
        place += 1;
        let run = |place: &mut usize, inner: &dyn Fn(char) -> bool| {
            while letters.get(*place).is_some_and(|letter| inner(*letter)) {
                *place += 1;
            }
        };
        match letter {
            _ if letter.is_whitespace() => {}
            '#' => run(&mut place, &|letter| letter != '\n'),
            'a'..='z' | 'A'..='Z' | '_' | ':' => {
                run(&mut place, &|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':');
                tokens.push(Token::Name(letters[start..place].iter().collect()));
            }
            // Durations too: 5m, 1h30m.
            '0'..='9' | '.' => {
                run(&mut place, &|letter| letter.is_ascii_alphanumeric() || letter == '.');
                tokens.push(Token::Number);
            }
            '"' | '\'' | '`' => {
                place = end_of_text(&letters, start)?;
                tokens.push(Token::Text);
            }
            '{' => {
                place = end_of_group(&letters, start, '}')?;
                tokens.push(Token::Matchers(name_in(&letters[start + 1..place - 1].iter().collect::<String>())));
            }
            '[' => {
                place = end_of_group(&letters, start, ']')?;
                tokens.push(Token::Range);
            }
            '=' | '!' | '<' | '>' if letters.get(place) == Some(&'=') => {
                place += 1;
                tokens.push(Token::Sign(letters[start..place].iter().collect()));
            }
            '+' | '-' | '*' | '/' | '%' | '^' | '(' | ')' | ',' | '<' | '>' | '@' => {
                tokens.push(Token::Sign(letter.to_string()));
            }
            _ => return None,
        }
    }
    Some(tokens)
}

/// The place behind a quoted text.
fn end_of_text(letters: &[char], start: usize) -> Option<usize> {
    let quote = letters[start];
    let mut place = start + 1;
    loop {
        match letters.get(place)? {
            '\\' if quote != '`' => place += 2,
            letter if *letter == quote => return Some(place + 1),
            _ => place += 1,
        }
    }
}

/// The place behind a group; texts in it may hold its end.
fn end_of_group(letters: &[char], start: usize, end: char) -> Option<usize> {
    let mut place = start + 1;
    loop {
        match letters.get(place)? {
            '"' | '\'' | '`' => place = end_of_text(letters, place)?,
            letter if *letter == end => return Some(place + 1),
            _ => place += 1,
        }
    }
}

/// The name that matchers give: `__name__="up"`.
fn name_in(matchers: &str) -> Option<String> {
    let (_, rest) = matchers.split_once("__name__")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(name, _)| name.to_owned())
}

/// How closely operators bind, loosest first.
const BINDING: [&[&str]; 6] =
    [&["or"], &["and", "unless"], &["==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/", "%", "atan2"], &["^"]];

struct Parser<'t> {
    tokens: &'t [Token],
    place: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.place).cloned();
        self.place += 1;
        token
    }

    fn text(&self) -> Option<&str> {
        match self.tokens.get(self.place)? {
            Token::Name(text) | Token::Sign(text) => Some(text),
            _ => None,
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        let found = self.text() == Some(text);
        self.place += usize::from(found);
        found
    }

    fn binary(&mut self, level: usize) -> Option<Expr> {
        let Some(operators) = BINDING.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        while let Some(op) = self.text().filter(|text| operators.contains(text)).map(str::to_owned) {
            self.place += 1;
            self.takes("bool");
            while ["on", "ignoring", "group_left", "group_right"].into_iter().any(|word| self.takes(word)) {
                if self.text() == Some("(") {
                    self.labels()?;
                }
            }
            let right = self.binary(level + 1)?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<Expr> {
        if self.takes("-") || self.takes("+") {
            return self.unary();
        }
        let expr = self.primary()?;
        loop {
            if matches!(self.tokens.get(self.place), Some(Token::Range)) {
                self.place += 1;
            } else if self.takes("offset") {
                self.takes("-");
                self.next()?;
            } else if self.takes("@") {
                if matches!(self.next()?, Token::Name(_)) && self.takes("(") && !self.takes(")") {
                    return None;
                }
            } else {
                return Some(expr);
            }
        }
    }

    fn primary(&mut self) -> Option<Expr> {
        match self.next()? {
            Token::Number | Token::Text => Some(Expr::Literal),
            Token::Matchers(name) => Some(Expr::Selector(name)),
            Token::Sign(sign) if sign == "(" => {
                let expr = self.binary(0)?;
                self.takes(")").then_some(expr)
            }
            Token::Name(name) if AGGREGATIONS.contains(&name.as_str()) => self.aggregation(),
            Token::Name(name) if self.text() == Some("(") => Some(Expr::Call(name, self.arguments()?)),
            Token::Name(name) => match self.tokens.get(self.place) {
                Some(Token::Matchers(_)) => {
                    self.place += 1;
                    Some(Expr::Selector(Some(name)))
                }
                _ if ["inf", "nan"].contains(&name.to_ascii_lowercase().as_str()) => Some(Expr::Literal),
                _ => Some(Expr::Selector(Some(name))),
            },
            _ => None,
        }
    }

    fn aggregation(&mut self) -> Option<Expr> {
        let mut labels = self.grouping()?;
        let inner = self.arguments()?;
        labels.extend(self.grouping()?);
        Some(Expr::Sum { labels, inner })
    }

    /// `by (a, b)`; what `without` names is not what is left, but `le` is left unless it is named.
    fn grouping(&mut self) -> Option<Vec<String>> {
        if self.takes("by") {
            return self.labels();
        }
        if self.takes("without") {
            let away = self.labels()?;
            return Some(if away.iter().any(|label| label == "le") { Vec::new() } else { vec!["le".to_owned()] });
        }
        Some(Vec::new())
    }

    fn labels(&mut self) -> Option<Vec<String>> {
        let mut labels = Vec::new();
        if !self.takes("(") {
            return None;
        }
        while !self.takes(")") {
            match self.next()? {
                Token::Name(name) => labels.push(name),
                Token::Sign(sign) if sign == "," => {}
                _ => return None,
            }
        }
        Some(labels)
    }

    fn arguments(&mut self) -> Option<Vec<Expr>> {
        let mut arguments = Vec::new();
        if !self.takes("(") {
            return None;
        }
        while !self.takes(")") {
            arguments.push(self.binary(0)?);
            self.takes(",");
        }
        Some(arguments)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mistakes(text: &str) -> Vec<&'static str> {
        Query::parse(text).unwrap_or_else(|| panic!("{text} is read")).mistakes()
    }

    #[test]
    fn a_ratio_of_single_series_is_a_mistake() {
        let wrong = r#"rate(http_requests_total{status=~"5.."}[5m]) / rate(http_requests_total[5m]) > 0.05"#;
        assert_eq!(mistakes(wrong), ["ratio without sum on both sides: each series is divided by itself"]);
        assert_eq!(mistakes("sum(rate(a_total[5m])) / rate(b_total[5m])").len(), 1);
        for right in [
            r#"sum(rate(a{s=~"5.."}[5m])) / sum(rate(a[5m]))"#,
            "sum by (le) (rate(a[5m])) / ignoring(x) group_left sum(rate(a[5m]))",
            "(sum(rate(a[5m])) or vector(0)) / clamp_min(sum(rate(b[5m])), 1)",
            "memory_bytes / 1024",
            "1 - avg(up)",
        ] {
            assert_eq!(mistakes(right), Vec::<&str>::new(), "{right}");
        }
    }

    #[test]
    fn a_quantile_of_single_pods_is_a_mistake() {
        assert_eq!(mistakes("histogram_quantile(0.95, rate(d_bucket[5m]))").len(), 1);
        assert_eq!(mistakes("histogram_quantile(0.95, sum(rate(d_bucket[5m])))").len(), 1);
        assert!(mistakes("histogram_quantile(0.95, sum by (le) (rate(d_bucket[5m])))").is_empty());
        assert!(mistakes("histogram_quantile(0.95, sum(rate(d_bucket[5m])) by (le, uri))").is_empty());
        assert!(mistakes("histogram_quantile(0.95, sum without (pod) (rate(d_bucket[5m])))").is_empty());
    }

    #[test]
    fn metrics_and_rates_are_found() {
        let query = Query::parse(
            r#"sum(rate(dlq_depth{queue="a}b"}[5m] offset 1h)) > 2 * max(up{job='x'}) unless {__name__="other"} @ end()"#,
        );
        let query = query.unwrap();
        assert_eq!(query.metrics().into_iter().collect::<Vec<_>>(), ["dlq_depth", "other", "up"]);
        assert_eq!(query.rates(), [("rate".to_owned(), "dlq_depth".to_owned())]);
        assert_eq!(Query::parse("sum(").map(|query| query.mistakes()), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r#"[a-z(){}\[\]"'/+ ,0-9=~<>@-]{0,40}"#) {
            if let Some(query) = Query::parse(&text) {
                query.mistakes();
                query.metrics();
            }
        }
    }
}
