//! What a migration takes away that the version before may still use.

/// Words of a statement, in order, and what it does.
const LOSSES: [(&[&str], &str); 6] = [
    (&["drop", "column"], "drops a column"),
    (&["drop", "table"], "drops a table"),
    (&["rename", "column"], "renames a column"),
    (&["rename", "to"], "renames something"),
    (&["set", "not", "null"], "makes a column required"),
    (&["truncate"], "empties a table"),
];

/// What the statements of a file take away, each once. Comments and texts in quotes are left out.
pub(super) fn losses(sql: &str) -> Vec<String> {
    let bare = bare(sql).to_ascii_lowercase();
    let mut found = Vec::new();
    for statement in bare.split(';') {
        let words: Vec<&str> =
            statement.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
        for (sign, what) in LOSSES {
            let together = words.windows(sign.len()).any(|window| window == sign);
            if together && !found.iter().any(|known| known == what) {
                found.push(what.to_owned());
            }
        }
    }
    found
}

/// Without comments and texts.
fn bare(sql: &str) -> String {
    let mut bare = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let end = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if first == '\'' {
            rest[1..].find('\'').map_or(rest.len(), |at| at + 2)
        } else {
            bare.push(first);
            first.len_utf8()
        };
        rest = &rest[end..];
    }
    bare
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_taken_away_is_seen_and_nothing_else() {
        assert_eq!(losses("ALTER TABLE a\n DROP COLUMN b; drop table c;"), ["drops a column", "drops a table"]);
        assert_eq!(
            losses("-- drop table a\nselect 'drop table b'; /* drop column */ alter table a add column dropped text"),
            Vec::<String>::new()
        );
        assert_eq!(losses("alter table a alter column b set not null"), ["makes a column required"]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = losses(&text);
        }
    }
}
