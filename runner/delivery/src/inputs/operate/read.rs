//! Reads `tagline/operate`: each verb has knobs of its own, and no other's.

use std::collections::BTreeMap;

use super::{DatabaseRef, FlagKnobs, FlagStore, Hpa, OperateInputs, Pods, RestoreKnobs, Rows, Verb};
use crate::inputs::migrate::{CHECKS, JobKnobs, verbatim};
use crate::inputs::reader::Reader;
use crate::inputs::source::image;
use crate::inputs::units::{dns_label, dns_subdomain};
use crate::inputs::{JobSource, Quantity, WorkloadRef, did_you_mean};

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Scale,
    Restart,
    SetEnv,
    SetResources,
    Config,
    Flag,
    Backup,
    Restore,
    Sql,
    Exec,
}

/// Each verb with the knobs that are its own.
const VERBS: [(&str, Word, &[&str]); 10] = [
    ("scale", Word::Scale, &["workloads", "replicas", "hpa"]),
    ("restart", Word::Restart, &["workloads"]),
    ("set-env", Word::SetEnv, &["workloads", "container", "env"]),
    ("set-resources", Word::SetResources, &["workloads", "container", "requests", "limits"]),
    ("config", Word::Config, &["config", "data", "restart"]),
    (
        "flag",
        Word::Flag,
        &[
            "store",
            "key",
            "tenant",
            "value",
            "table",
            "config",
            "restart",
            "database",
            "job",
            "image",
            "args",
            "container",
        ],
    ),
    ("backup", Word::Backup, &["job", "image", "args", "container", "min-size", "check"]),
    (
        "restore",
        Word::Restore,
        &["job", "image", "args", "container", "backup", "into", "in-place", "stop-writers", "writers"],
    ),
    ("sql", Word::Sql, &["sql", "database", "expect-rows", "job", "image", "args", "container"]),
    ("exec", Word::Exec, &["workloads", "container", "command", "pods"]),
];

/// Verbs have these in common.
const COMMON: [&str; 6] = ["do", "reason", "undo", "finally", "for", "timeout"];

/// Verbs that leave nothing to undo.
const LASTING: [Word; 5] = [Word::Restart, Word::Backup, Word::Restore, Word::Sql, Word::Exec];

impl OperateInputs {
    pub(in crate::inputs) fn read(reader: &mut Reader<'_>) -> Self {
        let choices = VERBS.map(|(name, word, _)| (name, word));
        let word = reader.choice("do", "an operation", &choices);
        if reader.is_given("do") && reader.are_settled(&["do"]) {
            foreign_knobs(reader, word);
        }
        let undo = reader.flag("undo");
        let finally = reader.flag("finally");
        let lasting = reader.maybe_period("for");
        let name = VERBS.iter().find(|(_, one, _)| *one == word).map_or("", |(name, ..)| name);
        for (key, asked) in [("undo", undo), ("finally", finally), ("for", lasting.is_some())] {
            reader.rule(&[key, "do"], asked && LASTING.contains(&word), || {
                format!("{name} cannot be undone; remove {key}")
            });
        }
        // What is undone was remembered: its knobs need not be said again, but those that say which.
        let verb = verb(reader, word, undo);
        if let Verb::Scale { hpa: Hpa::Suspend, .. } = verb {
            reader.rule(&["for", "hpa", "undo", "do"], lasting.is_none() && !undo, || {
                "hpa: suspend needs it: until when nothing scales by itself; 1h".to_owned()
            });
        }
        Self { verb, reason: reader.text("reason"), undo, finally, lasting, timeout: reader.period("timeout") }
    }
}

fn foreign_knobs(reader: &mut Reader<'_>, word: Word) {
    let Some((name, _, own)) = VERBS.iter().find(|(_, one, _)| *one == word) else { return };
    let all: Vec<&'static str> = VERBS.iter().flat_map(|(.., keys)| keys.iter().copied()).collect();
    for key in all {
        if reader.is_given(key) && !own.contains(&key) && !COMMON.contains(&key) {
            reader.problem(key, format!("{name} has no use for it; {}", own.join(", ")));
        }
    }
}

fn verb(reader: &mut Reader<'_>, word: Word, undo: bool) -> Verb {
    let needs = |reader: &mut Reader<'_>, keys: &[&'static str], why: &str| {
        for key in keys {
            if !reader.is_given(key) && reader.are_settled(&["do", "undo"]) && reader.is_given("do") {
                reader.problem(key, why.to_owned());
            }
        }
    };
    match word {
        Word::Scale => {
            needs(reader, &["workloads"], "scale what?");
            if !undo {
                needs(reader, &["replicas"], "scale to how many pods?");
            }
            Verb::Scale {
                workloads: reader.words("workloads", WorkloadRef::parse),
                replicas: reader.count("replicas", 0).unwrap_or_default(),
                hpa: reader.choice("hpa", "what an autoscaler does", &HPA),
            }
        }
        Word::Restart => {
            needs(reader, &["workloads"], "restart what?");
            Verb::Restart { workloads: reader.words("workloads", WorkloadRef::parse) }
        }
        Word::SetEnv => {
            needs(reader, &["workloads"], "of what?");
            if !undo {
                needs(reader, &["env"], "NAME=VALUE lines; NAME- removes one");
            }
            Verb::SetEnv {
                workloads: reader.words("workloads", WorkloadRef::parse),
                container: reader.read("container", dns_label),
                env: changes(reader, "env"),
            }
        }
        Word::SetResources => {
            needs(reader, &["workloads"], "of what?");
            let nothing = !reader.is_given("requests") && !reader.is_given("limits") && !undo;
            reader.rule(&["requests", "do", "undo"], nothing, || {
                "neither requests nor limits are given; cpu=500m".to_owned()
            });
            resources(reader)
        }
        Word::Config => {
            needs(reader, &["config"], "which ConfigMap?");
            if !undo {
                needs(reader, &["data"], "KEY=VALUE lines; KEY- removes one");
            }
            Verb::Config {
                name: reader.read("config", dns_subdomain).unwrap_or_default(),
                data: changes(reader, "data"),
                restart: reader.flag("restart"),
            }
        }
        Word::Flag => {
            needs(reader, &["key"], "which flag?");
            if !undo {
                needs(reader, &["value"], "set to what?");
            }
            flag(reader)
        }
        Word::Backup => {
            needs(reader, &["job"], "nothing takes the backup; cronjob/NAME or a manifest's path");
            Verb::Backup {
                job: job(reader),
                min_size: reader.bytes("min-size"),
                check: reader.choice("check", "a check of a backup", &CHECKS),
            }
        }
        Word::Restore => {
            needs(reader, &["job"], "nothing restores; cronjob/NAME or a manifest's path");
            needs(reader, &["backup"], "which backup?");
            restore(reader)
        }
        Word::Sql => {
            needs(reader, &["sql"], "which statements?");
            needs(reader, &["database"], "where? secret/NAME/KEY");
            Verb::Sql {
                sql: reader.text("sql").unwrap_or_default(),
                database: database(reader),
                expect_rows: reader.read("expect-rows", rows).unwrap_or(Rows::AtLeast(1)),
                job: job(reader),
            }
        }
        Word::Exec => {
            needs(reader, &["workloads"], "in whose pods?");
            needs(reader, &["command"], "a program, and each argument on a line of its own");
            Verb::Exec {
                workloads: reader.words("workloads", WorkloadRef::parse),
                container: reader.read("container", dns_label),
                command: reader.lines("command", verbatim),
                pods: reader.choice("pods", "which pods", &[("one", Pods::One), ("all", Pods::All)]),
            }
        }
    }
}

const HPA: [(&str, Hpa); 3] = [("respect", Hpa::Respect), ("suspend", Hpa::Suspend), ("set-min", Hpa::SetMin)];

/// `NAME=VALUE`, or `NAME-` for one that is to go.
fn changes(reader: &mut Reader<'_>, key: &'static str) -> BTreeMap<String, Option<String>> {
    let lines = reader.lines(key, |line| match (line.split_once('='), line.strip_suffix('-')) {
        (Some((name, value)), _) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), Some(value.trim().to_owned())))
        }
        (None, Some(name)) if !name.is_empty() => Ok((name.to_owned(), None)),
        _ => Err(format!("\"{line}\" is neither NAME=VALUE nor NAME-")),
    });
    let mut changes = BTreeMap::new();
    for (name, value) in lines {
        if changes.insert(name.clone(), value).is_some() {
            reader.problem(key, format!("\"{name}\" is given twice"));
        }
    }
    changes
}

fn resources(reader: &mut Reader<'_>) -> Verb {
    const NAMES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
    let read = |reader: &mut Reader<'_>, key: &'static str| -> BTreeMap<String, Quantity> {
        let pairs = reader.lines(key, |line| {
            let (name, value) = line.split_once('=').ok_or_else(|| format!("\"{line}\" is not cpu=500m"))?;
            let (name, value) = (name.trim(), value.trim());
            if !NAMES.contains(&name) {
                return Err(format!("\"{name}\" is not a resource; {}{}", NAMES.join(", "), did_you_mean(name, NAMES)));
            }
            Ok((name.to_owned(), Quantity::parse(value)?))
        });
        pairs.into_iter().collect()
    };
    let (requests, limits) = (read(reader, "requests"), read(reader, "limits"));
    for (name, request) in &requests {
        let limit = limits.get(name).filter(|limit| limit.milli() < request.milli());
        if let Some(limit) = limit {
            reader.problem("requests", format!("{name} {request} is above the limit {limit}"));
        }
    }
    Verb::SetResources {
        workloads: reader.words("workloads", WorkloadRef::parse),
        container: reader.read("container", dns_label),
        requests,
        limits,
    }
}

fn flag(reader: &mut Reader<'_>) -> Verb {
    let in_config_map = reader.choice("store", "a store of flags", &[("sql", false), ("configmap", true)]);
    let (needed, foreign): (&'static str, &[&'static str]) = if in_config_map {
        ("config", &["database", "table", "job", "image", "args"])
    } else {
        ("database", &["config"])
    };
    if reader.are_settled(&["store", "do"]) && reader.is_given("do") {
        let store = if in_config_map { "configmap" } else { "sql" };
        if !reader.is_given(needed) {
            reader.problem(needed, format!("store: {store} needs it"));
        }
        for key in foreign.iter().filter(|key| reader.is_given(key)).copied().collect::<Vec<_>>() {
            reader.problem(key, format!("store: {store} has no use for it"));
        }
    }
    let store = if in_config_map {
        FlagStore::ConfigMap {
            name: reader.read("config", dns_subdomain).unwrap_or_default(),
            restart: reader.flag("restart"),
        }
    } else {
        FlagStore::Sql {
            database: database(reader),
            table: reader.read("table", table).unwrap_or_default(),
            job: job(reader),
        }
    };
    Verb::Flag(FlagKnobs {
        store,
        key: reader.text("key").unwrap_or_default(),
        tenant: reader.text("tenant"),
        value: reader.text("value").unwrap_or_default(),
    })
}

fn restore(reader: &mut Reader<'_>) -> Verb {
    let knobs = RestoreKnobs {
        job: job(reader),
        backup: reader.text("backup").unwrap_or_default(),
        into: reader.read("into", identifier),
        in_place: reader.text("in-place"),
        stop_writers: reader.flag("stop-writers"),
        writers: reader.words("writers", WorkloadRef::parse),
    };
    reader.rule(&["into", "in-place"], knobs.into.is_some() && knobs.in_place.is_some(), || {
        "given together with in-place; either a new database or the live one".to_owned()
    });
    let no_reason = knobs.in_place.as_deref().is_some_and(|why| matches!(why, "true" | "false" | "yes" | "no"));
    reader.rule(&["in-place"], no_reason, || "restore into the live database needs in-place: reason".to_owned());
    reader.rule(&["writers", "stop-writers"], knobs.stop_writers && knobs.writers.is_empty(), || {
        "stop-writers needs to know who writes; workloads, or stop-writers: false".to_owned()
    });
    Verb::Restore(knobs)
}

pub(in crate::inputs) fn job(reader: &mut Reader<'_>) -> JobKnobs {
    JobKnobs {
        source: reader.read("job", JobSource::parse),
        container: reader.read("container", dns_label),
        image: reader.read("image", image),
        args: reader.lines("args", verbatim),
        env: BTreeMap::new(),
    }
}

fn database(reader: &mut Reader<'_>) -> DatabaseRef {
    let read = reader.read("database", |text| {
        let wrong = || format!("\"{text}\" is not secret/NAME/KEY, the key that holds the database's URL");
        let rest = text.strip_prefix("secret/").ok_or_else(wrong)?;
        let (secret, key) = rest.split_once('/').unwrap_or((rest, "url"));
        if key.is_empty() || key.contains('/') {
            return Err(wrong());
        }
        Ok(DatabaseRef { secret: dns_subdomain(secret)?, key: key.to_owned() })
    });
    read.unwrap_or_else(|| DatabaseRef { secret: String::new(), key: String::new() })
}

fn rows(text: &str) -> Result<Rows, String> {
    let wrong = |_| format!("\"{text}\" is not a number of rows; 3, or 1+ for at least one");
    match text.strip_suffix('+') {
        Some(least) => least.parse().map(Rows::AtLeast).map_err(wrong),
        None => text.parse().map(Rows::Exactly).map_err(wrong),
    }
}

/// `[SCHEMA.]TABLE`, unquoted: it becomes part of a statement.
fn table(text: &str) -> Result<String, String> {
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 2 || parts.iter().any(|part| identifier(part).is_err()) {
        return Err(format!("\"{text}\" is not a table's name; a-z, 0-9 and _"));
    }
    Ok(text.to_owned())
}

fn identifier(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if begins && text.len() <= 63 && text.bytes().all(inner) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is not a database's name; a-z, 0-9 and _"))
}
