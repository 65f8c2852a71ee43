//! Statements that say how many rows they touched, in one transaction.

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

/// For each row as it was read: the statement that sets its value, and the one that puts it back.
pub(super) fn flag_changes(table: &str, rows: &[Value], value: &str) -> Result<Vec<(String, String)>, String> {
    rows.iter().map(|row| flag_change(table, row.as_object().ok_or("a row is no object")?, value)).collect()
}

fn flag_change(table: &str, row: &Map<String, Value>, value: &str) -> Result<(String, String), String> {
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
    let set = |value: &str| format!("update {table} set {} = {value} where {}", named(column), places.join(" and "));
    Ok((set(&quoted(value)), set(&literal(&row[column]))))
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
        let changes = flag_changes("feature_flags", &rows, "false").unwrap();
        assert_eq!(
            changes,
            [
                (
                    "update feature_flags set \"enabled\" = 'false' where \"flag_key\" = 'new''ui' and \"tenant_id\" is null".to_owned(),
                    "update feature_flags set \"enabled\" = 'true' where \"flag_key\" = 'new''ui' and \"tenant_id\" is null".to_owned(),
                ),
                (
                    "update feature_flags set \"enabled\" = 'false' where \"flag_key\" = 'new''ui' and \"tenant_id\" = 'a'".to_owned(),
                    "update feature_flags set \"enabled\" = null where \"flag_key\" = 'new''ui' and \"tenant_id\" = 'a'".to_owned(),
                ),
            ]
        );
        assert!(flag_changes("t", &[json!({"a": 1})], "x").unwrap_err().contains("no column"));
        assert_eq!(quoted("a\\'b"), "E'a\\\\''b'");
    }
}
