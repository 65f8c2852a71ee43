//! `tagline init --template migration`: the next numbered migration, in the style of those that are there.

use std::path::Path;

use handlebars::Handlebars;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::json;
use tagline_delivery::inputs::migrate::Style;
use tagline_delivery::migrate::{Migration, read_migrations};

use super::write;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};

const UP: &str = include_str!("../../../../../pipelines/migration.up.sql.hbs");
const DOWN: &str = include_str!("../../../../../pipelines/migration.down.sql.hbs");

/// Writes it.
pub(super) fn run(context: &Context, root: &Path, set: &[(String, String)]) -> Outcome {
    let find = |wanted: &str| set.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
    if let Some((key, _)) = set.iter().find(|(key, _)| key != "name" && key != "dir") {
        let known = "name, dir";
        return Err(Failure::unusable("unknown-setting", format!("the template has no {{{key}}}; it has: {known}")));
    }
    let missing = || Failure::unusable("no-value", "{name} has no value; --set name=add_preferences");
    let name = find("name").filter(|name| is_name(name)).ok_or_else(|| match find("name") {
        None => missing(),
        Some(name) => Failure::unusable("bad-value", format!("name \"{name}\" is not a-z, 0-9 and _")),
    })?;
    let dir = find("dir").unwrap_or("migrations");
    let (known, style) = known(root, dir)?;
    let names = names(&known, style, name, &Timestamp::now().to_zoned(TimeZone::UTC));
    for (file, template) in &names {
        let text = Handlebars::new().render_template(template, &json!({"name": name}));
        let text =
            text.map_err(|error| Failure::failed("bug", "the built-in template cannot be filled in").why(error))?;
        let text = if style == Style::Mybatis { format!("{text}\n-- //@UNDO\n") } else { text };
        write(&root.join(dir).join(file), &text)?;
        context.output.line(format!("wrote {dir}/{file}"));
    }
    context.output.note(format!("  next    write it, then try it: tagline migration try --dir {dir} --database URL"));
    Ok(Exit::Done)
}

fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.len() <= 60 && name.bytes().all(inner)
}

/// What is there already; nothing where there is no folder yet.
fn known(root: &Path, dir: &str) -> Result<(Vec<Migration>, Style), Failure> {
    let place = root.join(dir);
    let sql = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| entry.path().extension().is_some_and(|end| end == "sql"))
    };
    if !std::fs::read_dir(&place).is_ok_and(|mut entries| entries.any(sql)) {
        return Ok((Vec::new(), Style::Tagline));
    }
    read_migrations(root, dir, Style::Auto).map_err(|problems| {
        let failure = Failure::unusable("migrations", "the migrations that are there are not in order");
        problems.into_iter().fold(failure, Failure::why).effect("nothing was written")
    })
}

/// The files, each with its template.
fn names(known: &[Migration], style: Style, name: &str, now: &Zoned) -> Vec<(String, &'static str)> {
    let last = known.last();
    let digits = |file: &str| file.trim_start_matches('V').bytes().take_while(u8::is_ascii_digit).count();
    let width = last.map_or(3, |last| digits(&last.file));
    let by_clock = style == Style::Mybatis || last.is_some_and(|last| !last.version.is_counted());
    let next = last.and_then(|last| last.version.next());
    let number = match next {
        _ if by_clock => now.strftime(if width > 8 || last.is_none() { "%Y%m%d%H%M%S" } else { "%Y%m%d" }).to_string(),
        Some(next) => format!("{:0>width$}", next.to_string().trim_start_matches('0')),
        None => format!("{:0>width$}", 1),
    };
    match style {
        Style::Flyway => vec![(format!("V{number}__{name}.sql"), UP), (format!("U{number}__{name}.sql"), DOWN)],
        Style::Mybatis => vec![(format!("{number}_{name}.sql"), UP)],
        _ => vec![(format!("{number}_{name}.up.sql"), UP), (format!("{number}_{name}.down.sql"), DOWN)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(files: &[&str]) -> Vec<String> {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("migrations")).unwrap();
        for file in files {
            // What undoes stands in the same file in one style only.
            let alone = !file.contains("__") && !file.contains(".up.") && !file.contains(".down.");
            let text = if alone { "select 1;\n-- //@UNDO\nselect 1;" } else { "select 1;" };
            std::fs::write(tree.path().join("migrations").join(file), text).unwrap();
        }
        let (known, style) = known(tree.path(), "migrations").unwrap();
        let now: Zoned = "2026-01-02T03:04:05[UTC]".parse().unwrap();
        names(&known, style, "add_preferences", &now).into_iter().map(|(file, _)| file).collect()
    }

    #[test]
    fn the_next_number_is_in_the_style_that_is_there() {
        assert_eq!(next(&[]), ["001_add_preferences.up.sql", "001_add_preferences.down.sql"]);
        assert_eq!(
            next(&["0009_a.up.sql", "0009_a.down.sql"]),
            ["0010_add_preferences.up.sql", "0010_add_preferences.down.sql"]
        );
        assert_eq!(next(&["V1__a.sql", "V2__b.sql"]), ["V3__add_preferences.sql", "U3__add_preferences.sql"]);
        assert_eq!(next(&["20250101_a.sql"]), ["20260102_add_preferences.sql"]);
    }

    #[test]
    fn a_name_is_an_identifier() {
        assert!(is_name("add_2fa") && !is_name("") && !is_name("Add") && !is_name("../x"));
    }
}
