//! Whether a push starts a workflow, and the sentence that says why.

use super::list::PatternList;
use super::pattern::{Pattern, PatternError, Subject};
use crate::workflow::Event;

/// The filters of `on.push`; one that is not given is `None`, which differs from an empty one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PushFilter {
    /// `branches`
    pub branches: Option<PatternList>,
    /// `branches-ignore`
    pub branches_ignore: Option<PatternList>,
    /// `tags`
    pub tags: Option<PatternList>,
    /// `tags-ignore`
    pub tags_ignore: Option<PatternList>,
    /// `paths`
    pub paths: Option<PatternList>,
    /// `paths-ignore`
    pub paths_ignore: Option<PatternList>,
}

/// What was pushed, by its name without `refs/…/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushRef<'n> {
    /// A tag.
    Tag(&'n str),
    /// A branch.
    Branch(&'n str),
}

/// Whether the workflow runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it runs.
    pub runs: bool,
    /// A sentence without a full stop, for `explain`.
    pub reason: String,
}

impl Verdict {
    fn new(runs: bool, reason: String) -> Self {
        Self { runs, reason }
    }
}

impl PushFilter {
    /// The filters of an event; reports every pattern that is none.
    pub fn of_event(event: &Event) -> Result<Self, Vec<PatternError>> {
        type Parse = fn(&[String], Subject) -> Result<PatternList, Vec<PatternError>>;
        let (include, ignore): (Parse, Parse) = (PatternList::parse, PatternList::parse_ignore);
        let mut errors = Vec::new();
        let mut read = |patterns: &Option<Vec<String>>, subject, parse: Parse| {
            let list = parse(patterns.as_deref()?, subject);
            list.map_err(|found| errors.extend(found)).ok()
        };
        let filter = Self {
            branches: read(&event.branches, Subject::Ref, include),
            branches_ignore: read(&event.branches_ignore, Subject::Ref, ignore),
            tags: read(&event.tags, Subject::Ref, include),
            tags_ignore: read(&event.tags_ignore, Subject::Ref, ignore),
            paths: read(&event.paths, Subject::Path, include),
            paths_ignore: read(&event.paths_ignore, Subject::Path, ignore),
        };
        if errors.is_empty() { Ok(filter) } else { Err(errors) }
    }

    /// Whether a push starts the workflow. `changed` are the paths of the changed files, `None` where they are
    /// not known, and then path filters let the push pass. They do not look at pushes of tags.
    pub fn matches(&self, pushed: &PushRef<'_>, changed: Option<&[&str]>) -> Verdict {
        let by_ref = self.by_ref(pushed);
        match pushed {
            PushRef::Branch(_) if by_ref.runs => self.by_paths(changed).unwrap_or(by_ref),
            _ => by_ref,
        }
    }

    fn by_ref(&self, pushed: &PushRef<'_>) -> Verdict {
        let branches = (&self.branches, &self.branches_ignore);
        let tags = (&self.tags, &self.tags_ignore);
        let (kind, name, own, other_kind, other) = match pushed {
            PushRef::Tag(name) => ("tag", name, tags, "branches", branches),
            PushRef::Branch(name) => ("branch", name, branches, "tags", tags),
        };
        let what = format!("{kind} `{name}`");
        match own {
            (Some(included), _) => included_verdict(&what, name, included),
            (None, Some(ignored)) => match ignored.ignoring(name) {
                Some(pattern) => Verdict::new(false, format!("{what} is ignored by `{}`", pattern.text())),
                None => Verdict::new(true, format!("{what} is not ignored")),
            },
            (None, None) if other.0.is_some() || other.1.is_some() => {
                Verdict::new(false, format!("the filters name {other_kind} only, so {what} starts nothing"))
            }
            (None, None) => Verdict::new(true, format!("no filter excludes {what}")),
        }
    }

    fn by_paths(&self, changed: Option<&[&str]>) -> Option<Verdict> {
        let changed = changed?;
        if let Some(paths) = &self.paths {
            let found = changed.iter().find(|path| paths.included(path));
            return Some(match found {
                Some(path) => Verdict::new(true, format!("the changed file `{path}` matches `paths`")),
                None => Verdict::new(false, "no changed file matches `paths`".to_owned()),
            });
        }
        let ignored = self.paths_ignore.as_ref()?;
        let kept = changed.iter().find(|path| ignored.ignoring(path).is_none());
        Some(match kept {
            Some(path) => Verdict::new(true, format!("the changed file `{path}` is not ignored")),
            None if changed.is_empty() => Verdict::new(true, "no file changed, so none is ignored".to_owned()),
            None => Verdict::new(false, "`paths-ignore` ignores every changed file".to_owned()),
        })
    }
}

fn included_verdict(what: &str, name: &str, included: &PatternList) -> Verdict {
    match included.deciding(name) {
        Some(pattern) if pattern.is_negated() => {
            Verdict::new(false, format!("{what} is taken out by `{}`", pattern.text()))
        }
        Some(pattern) => Verdict::new(true, format!("{what} matches `{}`", pattern.text())),
        None => {
            let patterns: Vec<_> = included.patterns().iter().map(Pattern::text).collect();
            Verdict::new(false, format!("{what} matches none of `{}`", patterns.join("`, `")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PushFilter, PushRef, Verdict};
    use crate::workflow::Event;

    fn list(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|&pattern| pattern.to_owned()).collect()
    }

    fn push(event: &Event, pushed: PushRef<'_>, changed: &[&str]) -> Verdict {
        PushFilter::of_event(event).unwrap().matches(&pushed, Some(changed))
    }

    #[test]
    fn tags_alone_leave_branches_out_and_the_other_way_round() {
        let tags = Event { tags: Some(list(&["v[0-9]+.[0-9]+.[0-9]+"])), ..Event::default() };
        assert!(push(&tags, PushRef::Tag("v1.22.3"), &[]).runs);
        let branch = push(&tags, PushRef::Branch("main"), &[]);
        assert_eq!(branch.reason, "the filters name tags only, so branch `main` starts nothing");
        let prerelease = push(&tags, PushRef::Tag("v1.2.3-rc.1"), &[]);
        assert_eq!(prerelease.reason, "tag `v1.2.3-rc.1` matches none of `v[0-9]+.[0-9]+.[0-9]+`");

        let branches = Event { branches_ignore: Some(list(&["wip/**"])), ..Event::default() };
        assert!(push(&branches, PushRef::Branch("main"), &[]).runs);
        assert!(!push(&branches, PushRef::Branch("wip/a/b"), &[]).runs);
        assert!(!push(&branches, PushRef::Tag("v1.0.0"), &[]).runs);
        assert!(push(&Event::default(), PushRef::Tag("v1.0.0"), &[]).runs);
    }

    #[test]
    fn branches_and_paths_must_both_pass_and_tags_have_no_paths() {
        let event = Event {
            branches: Some(list(&["main"])),
            tags: Some(list(&["v*"])),
            paths: Some(list(&["src/**", "!**.md"])),
            ..Event::default()
        };
        assert!(push(&event, PushRef::Branch("main"), &["docs/a", "src/a.rs"]).runs);
        assert!(!push(&event, PushRef::Branch("main"), &["src/a.md"]).runs);
        assert!(!push(&event, PushRef::Branch("next"), &["src/a.rs"]).runs);
        assert!(push(&event, PushRef::Tag("v1"), &["docs/a"]).runs);
        let unknown = PushFilter::of_event(&event).unwrap().matches(&PushRef::Branch("main"), None);
        assert!(unknown.runs);
    }

    #[test]
    fn ignored_paths_stop_a_push_only_when_all_are_ignored() {
        let event = Event { paths_ignore: Some(list(&["docs/**"])), ..Event::default() };
        assert!(!push(&event, PushRef::Branch("main"), &["docs/a", "docs/b/c"]).runs);
        assert!(push(&event, PushRef::Branch("main"), &["docs/a", "src/b"]).runs);
    }

    #[test]
    fn the_last_match_decides() {
        let event = Event { tags: Some(list(&["v*", "!v1.*", "v1.9.0"])), ..Event::default() };
        assert!(push(&event, PushRef::Tag("v2.0.0"), &[]).runs);
        assert_eq!(push(&event, PushRef::Tag("v1.2.0"), &[]).reason, "tag `v1.2.0` is taken out by `!v1.*`");
        assert!(push(&event, PushRef::Tag("v1.9.0"), &[]).runs);
        assert!(!push(&event, PushRef::Tag("v1/2"), &[]).runs);
    }

    #[test]
    fn every_bad_pattern_is_reported() {
        let event = Event { tags: Some(list(&["!v1"])), paths: Some(list(&["[", "+"])), ..Event::default() };
        assert_eq!(PushFilter::of_event(&event).unwrap_err().len(), 3);
    }
}
