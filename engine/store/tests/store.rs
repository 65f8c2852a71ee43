//! The store: what it keeps, what it refuses, and what it notices.

use std::fs;
use std::io::Cursor;

use jiff::Timestamp;
use proptest::prelude::*;
use rusqlite::Connection;
use tagline_plan::Person;
use tagline_run::{Event, Fact, RunId};
use tagline_store::{
    Append, EngineLock, First, Outgoing, RunFilter, SecretScope, Store, StoreError, StoreFolder, Summary,
};

fn place() -> (tempfile::TempDir, StoreFolder) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let folder = StoreFolder::at(scratch.path().join("store"));
    (scratch, folder)
}

fn summary(status: &str) -> Summary {
    Summary { status: status.to_owned(), conclusion: None, attempt: 1 }
}

/// Any event will do: the store does not read a run's meaning.
fn event(reason: &str) -> Event {
    let by = Some(Person { name: "Ona".into(), email: "ona@example.com".into() });
    let fact = Fact::CancelRequested { by, reason: reason.to_owned(), force: false };
    Event { at: Timestamp::UNIX_EPOCH, fact }
}

fn append(run: RunId, seen: u64, reasons: &[&str]) -> Append {
    let events = reasons.iter().map(|reason| event(reason)).collect();
    Append { run, seen, events, summary: summary("waiting"), outgoing: Vec::new() }
}

fn first() -> First {
    First { events: vec![event("first")], summary: summary("queued"), secrets: Vec::new() }
}

fn begin(store: &Store) -> RunId {
    let made = store.create_run("/repo", |_| None, &RunFilter::default(), |_| first());
    made.expect("a run can be begun").0
}

#[test]
fn what_was_appended_is_there_for_the_next_process() {
    let (_scratch, folder) = place();
    let run = begin(&Store::open(&folder).unwrap());
    Store::open(&folder).unwrap().append(&[append(run, 1, &["a", "b"])], &[]).unwrap();
    let reader = Store::open_read_only(&folder).unwrap();
    let seqs: Vec<u64> = reader.events(run, 1).unwrap().into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs, [2, 3]);
    let row = reader.run(run).unwrap();
    assert_eq!((row.seq, row.status.as_str(), row.root.as_str()), (3, "waiting", "/repo"));
    assert_eq!(reader.verify().unwrap().entries, 3);
}

#[test]
fn a_writer_that_has_not_seen_the_newest_event_is_refused_whole() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let (one, two) = (begin(&store), begin(&store));
    let stale = store.append(&[append(one, 1, &["kept?"]), append(two, 0, &["stale"])], &[]);
    assert!(matches!(stale, Err(StoreError::Conflict { run, expected: 0, found: 1 }) if run == two.0));
    assert_eq!(store.events(one, 0).unwrap().len(), 1, "nothing of the transaction was kept");
}

#[test]
fn the_outbox_holds_a_key_once_until_it_is_ticked_off() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let run = begin(&store);
    let outgoing = vec![Outgoing { key: "clean/1".into(), body: "{}".into() }];
    store.append(&[Append { outgoing: outgoing.clone(), ..append(run, 1, &["x"]) }], &[]).unwrap();
    store.append(&[Append { outgoing, ..append(run, 2, &["y"]) }], &[]).unwrap();
    let keys: Vec<String> = store.outbox().unwrap().into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["clean/1"]);
    store.append(&[append(run, 3, &["z"])], &keys).unwrap();
    assert!(store.outbox().unwrap().is_empty());
}

#[test]
fn a_hundred_triggers_of_one_tag_make_one_run() {
    let (_scratch, folder) = place();
    Store::open(&folder).unwrap();
    let trigger = |_| {
        let folder = folder.clone();
        std::thread::spawn(move || {
            let store = Store::open(&folder).unwrap();
            let filter = RunFilter { root: Some("/repo".into()), ..RunFilter::default() };
            let made = store.create_run("/repo", |runs| runs.first().map(|row| RunId(row.id)), &filter, |_| first());
            made.unwrap()
        })
    };
    let threads: Vec<_> = (0..20).map(trigger).collect();
    let made: Vec<(RunId, bool)> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(made.iter().filter(|(_, fresh)| *fresh).count(), 1);
    assert!(made.iter().all(|(run, _)| *run == made[0].0));
}

#[test]
fn a_run_whose_secrets_cannot_be_sealed_is_not_begun() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let scope = |run: RunId| SecretScope { root: format!("run:{run}"), environment: None };
    let begin = || {
        let secrets = |run| vec![(scope(run), "TOKEN".to_owned(), "a value".to_owned())];
        store.create_run("/repo", |_| None, &RunFilter::default(), |run| First { secrets: secrets(run), ..first() })
    };
    fs::write(folder.key(), "too short to be a key").unwrap();
    begin().unwrap_err();
    assert!(store.runs(&RunFilter::default()).unwrap().is_empty());
    fs::remove_file(folder.key()).unwrap();
    let (run, _) = begin().unwrap();
    assert_eq!(store.secret(&scope(run), "TOKEN").unwrap().as_deref(), Some("a value"));
}

#[test]
fn one_engine_a_store_and_the_second_learns_who() {
    let (_scratch, folder) = place();
    folder.create().unwrap();
    let lock = EngineLock::take(&folder, "tagline serve").unwrap();
    let Err(StoreError::Busy { holder, .. }) = EngineLock::take(&folder, "tagline run") else { panic!("two engines") };
    assert_eq!(holder, format!("process {} (tagline serve)", std::process::id()));
    assert_eq!(EngineLock::holder(&folder), Some(holder));
    drop(lock);
    assert_eq!(EngineLock::holder(&folder), None);
    EngineLock::take(&folder, "tagline run").unwrap();
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let (_scratch, folder) = place();
    begin(&Store::open(&folder).unwrap());
    Connection::open(folder.database()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for opened in [Store::open(&folder), Store::open_read_only(&folder)] {
        assert!(matches!(opened, Err(StoreError::Newer { found: 99, .. })), "{opened:?}");
    }
}

#[test]
fn there_is_no_store_until_somebody_writes() {
    let (_scratch, folder) = place();
    assert!(matches!(Store::open_read_only(&folder), Err(StoreError::Missing(_))));
    assert!(!folder.root().exists());
    for url in ["postgres://x", "relative/path", "sqlite://relative"] {
        assert!(matches!(StoreFolder::from_url(url), Err(StoreError::Url(_))), "{url}");
    }
    assert_eq!(StoreFolder::from_url("sqlite:///a/b").unwrap().url(), "sqlite:///a/b");
}

#[test]
fn every_changed_removed_or_moved_row_is_named() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let run = begin(&store);
    store.append(&[append(run, 1, &["a", "b", "c"])], &[]).unwrap();
    let mutations = [
        ("UPDATE journal SET event = replace(event, '\"b\"', '\"B\"') WHERE number = 3", "journal entry 3"),
        ("UPDATE journal SET at = at + 1 WHERE number = 2", "journal entry 2"),
        ("DELETE FROM journal WHERE number = 2", "journal entry 2"),
        ("UPDATE journal SET run = 7 WHERE number = 4", "journal entry 4"),
        ("UPDATE journal SET hash = zeroblob(32) WHERE number = 1", "journal entry 1"),
    ];
    for (sql, named) in mutations {
        let copy =
            StoreFolder::at(folder.root().with_file_name(format!("copy-{}", named.replace(' ', "-") + &sql[..6])));
        store.backup(copy.root()).unwrap();
        Connection::open(copy.database()).unwrap().execute(sql, []).unwrap();
        let Err(StoreError::Damaged { what, .. }) = Store::open_read_only(&copy).unwrap().verify() else {
            panic!("{sql} went unnoticed")
        };
        assert_eq!(what, named, "{sql}");
    }
}

#[test]
fn a_backup_is_whole_while_the_store_is_in_use() {
    let (scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let run = begin(&store);
    let (digest, _) = store.blobs().put(Cursor::new(b"artifact")).unwrap();
    let scope = SecretScope { root: "/repo".into(), environment: None };
    store.set_secret(&scope, "TOKEN", "s3cret-value", 0).unwrap();
    let job = folder.job(run.0, "build", 1);
    fs::create_dir_all(job.join("work")).unwrap();
    fs::write(job.join("spool.jsonl"), "{}\n").unwrap();
    fs::write(job.join("work/private"), "scratch").unwrap();
    let target = scratch.path().join("backup");
    assert_eq!(store.backup(&target).unwrap().verified.entries, 1);
    let copy = StoreFolder::at(&target);
    let restored = Store::open(&copy).unwrap();
    assert_eq!(restored.events(run, 0).unwrap().len(), 1);
    restored.blobs().verify(&digest).unwrap();
    assert_eq!(restored.secret(&scope, "TOKEN").unwrap().as_deref(), Some("s3cret-value"));
    assert!(copy.job(run.0, "build", 1).join("spool.jsonl").exists());
    assert!(!copy.job(run.0, "build", 1).join("work").exists());
    assert!(store.backup(&target).is_err(), "a backup never overwrites");
}

#[test]
fn a_blob_that_is_not_what_its_name_says_is_found_by_the_backup() {
    let (scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    store.blobs().put(Cursor::new(b"whole")).unwrap();
    let (digest, _) = store.blobs().put(Cursor::new(b"artifact")).unwrap();
    let path = store.blobs().path(&digest).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"another").unwrap();
    let target = scratch.path().join("backup");
    let copied = store.backup(&target).unwrap();
    assert_eq!(copied.damaged, [digest], "it is told, and the rest is kept");
    assert!(target.exists());
}

#[test]
fn secrets_given_to_a_run_come_with_the_row_that_removes_them() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let run = begin(&store);
    let scope = SecretScope { root: "run:1".into(), environment: None };
    let removal = Outgoing { key: "secrets/1/given".into(), body: "{}".into() };
    let given = [("TOKEN", "s3cret-value"), ("OTHER", "s3cret-too")];
    store.give_secrets(run, &scope, given, 0, removal.clone()).unwrap();
    store.give_secrets(run, &scope, [("TOKEN", "s3cret-new")], 1, removal).unwrap();
    assert_eq!(store.secret(&scope, "TOKEN").unwrap().as_deref(), Some("s3cret-new"));
    assert_eq!(store.secrets(&scope).unwrap().len(), 2);
    let keys: Vec<String> = store.outbox().unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(keys, ["secrets/1/given"]);
}

#[test]
fn a_secret_opens_only_under_its_own_name_and_scope() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let scope =
        |environment: Option<&str>| SecretScope { root: "/r".into(), environment: environment.map(str::to_owned) };
    store.set_secret(&scope(Some("Production")), "TOKEN", "s3cret-value", 1).unwrap();
    assert_eq!(store.secret(&scope(Some("production")), "TOKEN").unwrap().as_deref(), Some("s3cret-value"));
    assert_eq!(store.secret(&scope(None), "TOKEN").unwrap(), None);
    let raw = fs::read(folder.database()).unwrap();
    let wal = fs::read(folder.root().join("tagline.db-wal")).unwrap_or_default();
    for bytes in [&raw, &wal] {
        assert!(!bytes.windows(12).any(|window| window == b"s3cret-value"));
    }
    let connection = Connection::open(folder.database()).unwrap();
    connection.execute("UPDATE secrets SET name = 'OTHER'", []).unwrap();
    assert!(matches!(store.secret(&scope(Some("production")), "OTHER"), Err(StoreError::Damaged { .. })));
}

#[test]
fn the_secrets_of_a_repository_are_listed_with_those_of_its_environments_only() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    for (root, environment, name) in
        [("/r", Some("b"), "B"), ("/r", None, "A"), ("/r", Some("a"), "B"), ("/r2", None, "C"), ("/", Some("r"), "D")]
    {
        let scope = SecretScope { root: root.into(), environment: environment.map(str::to_owned) };
        store.set_secret(&scope, name, "a value", 7).unwrap();
    }
    let all = store.all_secrets("/r").unwrap();
    let names: Vec<_> = all.iter().map(|one| (one.environment.as_deref(), one.name.as_str())).collect();
    assert_eq!(names, [(None, "A"), (Some("a"), "B"), (Some("b"), "B")]);
}

/// Gives some bytes, and then fails.
struct Broken(usize);
impl std::io::Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::Error::other("the power went"));
        }
        self.0 -= 1;
        buffer.fill(1);
        Ok(buffer.len())
    }
}

#[test]
fn a_damaged_blob_is_noticed_and_a_half_one_never_seen() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let (digest, size) = store.blobs().put(Cursor::new(vec![7; 300_000])).unwrap();
    assert_eq!(size, 300_000);
    assert_eq!(store.blobs().put(Cursor::new(vec![7; 300_000])).unwrap().0, digest);
    assert!(store.blobs().put(Broken(2)).is_err());
    let files = |folder: &std::path::Path| fs::read_dir(folder).unwrap().count();
    assert_eq!(files(&folder.blobs()), 1, "only `sha256` is there");
    let path = store.blobs().path(&digest).unwrap();
    fs::remove_file(&path).unwrap();
    fs::write(&path, vec![8; 300_000]).unwrap();
    assert!(matches!(store.blobs().verify(&digest), Err(StoreError::Damaged { .. })));
    assert!(store.blobs().path("sha256:../../etc/passwd").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Projections made again from the journal are what they were.
    #[test]
    fn projections_are_the_journals(batches in proptest::collection::vec((0_usize..3, 1_usize..4), 1..12)) {
        let (_scratch, folder) = place();
        let store = Store::open(&folder).unwrap();
        let runs = [begin(&store), begin(&store), begin(&store)];
        let mut seen = [1_u64; 3];
        for (which, count) in batches {
            store.append(&[append(runs[which], seen[which], &vec!["x"; count])], &[]).unwrap();
            seen[which] += count as u64;
        }
        let before = store.runs(&RunFilter::default()).unwrap();
        let known = before.clone();
        let fold = move |events: &[Event]| {
            let row = known.iter().find(|row| row.seq == events.len() as u64).ok_or("no such run")?;
            Ok(summary(&row.status))
        };
        store.rebuild(&fold).unwrap();
        prop_assert_eq!(store.runs(&RunFilter::default()).unwrap(), before);
        prop_assert_eq!(store.verify().unwrap().entries, seen.iter().sum::<u64>());
    }
}

#[test]
fn deliveries_are_found_by_environment_however_much_else_ran() {
    let (_scratch, folder) = place();
    let store = Store::open(&folder).unwrap();
    let planned = |environment: &str, uses: &str, unit: &str| Event {
        at: Timestamp::UNIX_EPOCH,
        fact: Fact::Milestone {
            key: tagline_run::JobKey::new("production", 0),
            attempt: tagline_run::Attempt(1),
            step: 2,
            milestone: tagline_run::Milestone {
                name: tagline_store::PLANNED.to_owned(),
                text: String::new(),
                data: serde_json::json!({"environment": environment, "uses": uses, "unit": unit, "plan": "sha256:1"}),
            },
        },
    };
    let deliver = |environment: &str, uses: &str, unit: &str| {
        let run = begin(&store);
        let append = Append { events: vec![planned(environment, uses, unit)], ..append(run, 1, &[]) };
        store.append(&[append], &[]).unwrap();
        run
    };
    let first = deliver("Production", "tagline/deploy@v1", "shop");
    deliver("staging", "tagline/deploy@v1", "shop");
    for _ in 0..120 {
        begin(&store);
    }
    let second = deliver("production", "tagline/rollback@v1", "api");
    let found = || {
        let rows = store.deliveries("/repo", "PRODUCTION").unwrap();
        rows.into_iter().map(|row| (row.run, row.unit, row.uses, row.job, row.attempt, row.step)).collect::<Vec<_>>()
    };
    let row =
        |run: RunId, unit: &str, uses: &str| (run.0, unit.to_owned(), uses.to_owned(), "production".to_owned(), 1, 2);
    let expected = [row(second, "api", "tagline/rollback@v1"), row(first, "shop", "tagline/deploy@v1")];
    assert_eq!(found(), expected);
    store.rebuild(&|_| Ok(summary("completed"))).unwrap();
    assert_eq!(found(), expected);
    assert!(store.deliveries("/elsewhere", "production").unwrap().is_empty());
}
