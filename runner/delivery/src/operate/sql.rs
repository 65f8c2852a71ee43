//! Statements that say how many rows they touched, in one transaction.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::inputs::operate::Rows;
use crate::job::MARK;

/// How our text in a statement is quoted; a statement that holds it itself is refused.
pub(super) const QUOTE: &str = "$tagline_sql$";

/// A text as PostgreSQL reads it, whatever is in it.
pub(super) fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "''");
    if text.contains('\\') { format!("E'{escaped}'") } else { format!("'{escaped}'") }
}

fn named(column: &str) -> String {
    format!("\"{}\"", column.replace('"', "\"\""))
}

/// One query that runs statements in one transaction, undoes them all unless the rows that they touch are as many as
/// expected, and prints `tagline:{"rows": N}`.
pub(super) fn transaction(statements: &[String], expected: Rows) -> String {
    let (test, wanted) = match expected {
        Rows::Exactly(count) => (format!("total <> {count}"), format!("{count}")),
        Rows::AtLeast(count) => (format!("total < {count}"), format!("at least {count}")),
    };
    let each = statements
        .iter()
        .map(|sql| format!("execute {QUOTE}{sql}{QUOTE}; get diagnostics n = row_count; total := total + n; "));
    format!(
        "do $tagline$ declare n bigint; total bigint := 0; begin {}if {test} then raise exception \
         '% rows, expected {wanted}; nothing was changed', total; end if; \
         perform set_config('tagline.rows', total::text, false); end $tagline$; \
         select '{MARK}' || jsonb_build_object('rows', current_setting('tagline.rows')::bigint)::text",
        each.collect::<String>()
    )
}

/// The statements of a text: parted by `;` outside of texts, names, comments and dollar quotes.
pub(super) fn statements(sql: &str) -> Vec<String> {
    let (mut all, mut begin, mut at) = (Vec::new(), 0, 0);
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let past = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |found| from + found + end.len());
        at += match first {
            '\'' | '"' => past(&first.to_string(), 1),
            '-' if rest.starts_with("--") => past("\n", 2),
            '/' if rest.starts_with("/*") => past("*/", 2),
            '$' => match dollar(rest) {
                Some(tag) => past(tag, tag.len()),
                None => 1,
            },
            ';' => {
                all.push(sql[begin..at].trim().to_owned());
                begin = at + 1;
                1
            }
            other => other.len_utf8(),
        };
    }
    all.push(sql[begin..].trim().to_owned());
    all.retain(|one| one.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with("--")));
    all
}

/// `$$` or `$name$` at the beginning of a text.
fn dollar(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 2;
    let inner = &text[1..end - 1];
    inner.chars().all(|c| c.is_alphanumeric() || c == '_').then(|| &text[..end])
}

/// One query that prints the rows of a flag, whatever its columns are called: `tagline:{"rows": [{…}]}`.
pub(super) fn flag_rows(table: &str, key: &str, tenant: Option<&str>) -> String {
    let any = |names: &[&str]| {
        let parts: Vec<String> = names.iter().map(|name| format!("to_jsonb(r)->>'{name}'")).collect();
        format!("coalesce({})", parts.join(", "))
    };
    let of_tenant = tenant.map(|tenant| format!(" and {} = {}", any(&TENANTS), quoted(tenant))).unwrap_or_default();
    format!(
        "select '{MARK}' || jsonb_build_object('rows', coalesce(jsonb_agg(to_jsonb(r)), '[]'))::text \
         from {table} r where {} = {}{of_tenant}",
        any(&KEYS),
        quoted(key)
    )
}

/// How the columns of a table of flags are called.
const KEYS: [&str; 3] = ["flag_key", "key", "name"];
const TENANTS: [&str; 2] = ["tenant_id", "tenant"];
const VALUES: [&str; 2] = ["enabled", "value"];

/// The value of a flag in one row: as it was, and what was set there. Everything as SQL reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    table: String,
    column: String,
    /// What its key's columns hold.
    place: String,
    before: String,
    /// What operations have set, each in its turn.
    set: Vec<String>,
}

impl Row {
    /// Each row as it was read, with what it is set to.
    pub(super) fn of_flag(table: &str, rows: &[Value], value: &str) -> Result<Vec<Self>, String> {
        let row = |row: &Value| Self::new(table, row.as_object().ok_or("a row is no object")?, value);
        rows.iter().map(row).collect()
    }

    fn new(table: &str, row: &Map<String, Value>, value: &str) -> Result<Self, String> {
        let find = |names: &[&'static str]| names.iter().copied().find(|name| row.contains_key(*name));
        let key = find(&KEYS).ok_or("the table has no column flag_key, key or name")?;
        let column = find(&VALUES).ok_or("the table has no column enabled or value")?;
        let literal = |value: &Value| match value {
            Value::Null => "null".to_owned(),
            Value::String(text) => quoted(text),
            other => quoted(&other.to_string()),
        };
        let mut places = vec![format!("{} = {}", named(key), literal(&row[key]))];
        if let Some(tenant) = find(&TENANTS) {
            places.push(match &row[tenant] {
                Value::Null => format!("{} is null", named(tenant)),
                value => format!("{} = {}", named(tenant), literal(value)),
            });
        }
        let (before, set) = (literal(&row[column]), vec![quoted(value)]);
        Ok(Self { table: table.to_owned(), column: named(column), place: places.join(" and "), before, set })
    }

    /// Sets it.
    pub(super) fn forward(&self) -> String {
        let value = self.set.last().map_or("null", String::as_str);
        format!("update {} set {} = {value} where {}", self.table, self.column, self.place)
    }

    /// Puts it back, if it holds what was set: otherwise somebody has changed it since.
    ///
    /// The union makes PostgreSQL read our text as a value of the column, whatever its type is, before they are compared.
    pub(super) fn back(&self) -> String {
        let Self { table, column, place, before, set } = self;
        let values: Vec<String> = set.iter().map(|value| format!("union all select {value}")).collect();
        format!(
            "update {table} set {column} = {before} where {place} and {column}::text in \
             (select v::text from (select {column} from {table} where false {}) as ours(v))",
            values.join(" ")
        )
    }

    /// Adds what newer rows say: of one that is known, what it was set to; the others as they are.
    pub(super) fn merge(known: &mut Vec<Self>, newer: &[Self]) {
        for row in newer {
            let is_it =
                |one: &&mut Self| (&one.table, &one.column, &one.place) == (&row.table, &row.column, &row.place);
            match known.iter_mut().find(is_it) {
                Some(one) => {
                    let new: Vec<_> = row.set.iter().filter(|value| !one.set.contains(value)).cloned().collect();
                    one.set.extend(new);
                }
                None => known.push(row.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statements_are_parted_where_they_end() {
        let parted =
            statements("select ';' ; -- a;b\nupdate t set \"a;b\" = 1;do $x$ begin; end $x$; /* ; */ ;; select $1");
        assert_eq!(
            parted,
            ["select ';'", "-- a;b\nupdate t set \"a;b\" = 1", "do $x$ begin; end $x$", "/* ; */", "select $1"]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,60}") {
            let _ = statements(&text);
        }
    }

    #[test]
    fn rows_are_set_and_put_back_one_by_one() {
        let rows = [
            json!({"flag_key": "new'ui", "tenant_id": null, "enabled": true}),
            json!({"flag_key": "new'ui", "tenant_id": "a", "enabled": null}),
        ];
        let rows = Row::of_flag("feature_flags", &rows, "false").unwrap();
        let set = "update feature_flags set \"enabled\" = 'false' where \"flag_key\" = 'new''ui' and \"tenant_id\"";
        assert_eq!([rows[0].forward(), rows[1].forward()], [format!("{set} is null"), format!("{set} = 'a'")]);
        let ours = "and \"enabled\"::text in (select v::text from (select \"enabled\" from feature_flags where false \
                    union all select 'false') as ours(v))";
        let (yes, none) = (set.replace("= 'false'", "= 'true'"), set.replace("= 'false'", "= null"));
        assert_eq!([rows[0].back(), rows[1].back()], [format!("{yes} is null {ours}"), format!("{none} = 'a' {ours}")]);
        assert!(Row::of_flag("t", &[json!({"a": 1})], "x").unwrap_err().contains("no column"));
        assert_eq!(quoted("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn rows_of_two_operations_are_one_each() {
        let row = |tenant: &str, value: bool| json!({"key": "ui", "tenant": tenant, "value": value});
        let mut known = Row::of_flag("t", &[row("a", true)], "false").unwrap();
        let newer = Row::of_flag("t", &[row("a", false), row("b", true)], "off").unwrap();
        Row::merge(&mut known, &newer);
        Row::merge(&mut known, &newer);
        assert_eq!(known.len(), 2, "the row that came later too");
        assert_eq!(
            (known[0].before.as_str(), known[0].set.as_slice()),
            ("'true'", &["'false'".to_owned(), "'off'".to_owned()][..])
        );
        assert_eq!(known[1], newer[1]);
    }
}
