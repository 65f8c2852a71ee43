//! What a Job prints for us among what it prints for people.

use serde_json::Value;

/// A line that begins with this is for us; the rest of it is JSON.
pub const MARK: &str = "tagline:";

/// The result that a log holds: the last marked line, else the last line that is a JSON object.
pub fn result(log: &str) -> Option<Value> {
    let lines = || log.lines().rev().map(str::trim);
    let marked = lines().find_map(|line| serde_json::from_str(line.split_once(MARK)?.1).ok());
    marked.or_else(|| lines().find_map(|line| serde_json::from_str(line).ok().filter(Value::is_object)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_word_counts() {
        assert_eq!(result("a\n{\"rows\": 1}\n{\"rows\": 2}\nbye"), Some(json!({"rows": 2})));
        assert_eq!(result("?column?\ntagline:{\"rows\": 3}\n{\"rows\": 1}\n"), Some(json!({"rows": 3})));
        assert_eq!(result("no\n12\n{broken"), None);
    }
}
