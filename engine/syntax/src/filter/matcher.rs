//! Matching by simulating all states at once: no pattern can take more than its length per character.

/// One state of a pattern: what it takes, and how often.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// One character.
    One(Set),
    /// Any number of characters.
    Many(Set),
    /// Nothing, or all of the next so many nodes.
    Optional(usize),
}

/// A set of characters.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Set {
    /// Every character.
    Any,
    /// All but `/`.
    NotSlash,
    /// From one to the other, both included.
    Ranges(Vec<(char, char)>),
}

impl Set {
    pub(super) fn single(c: char) -> Self {
        Self::Ranges(vec![(c, c)])
    }

    fn holds(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::NotSlash => c != '/',
            Self::Ranges(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)),
        }
    }
}

/// Whether the nodes take all of `text`.
pub(super) fn matches(nodes: &[Node], text: &str) -> bool {
    let mut active = vec![false; nodes.len() + 1];
    let mut next = active.clone();
    active[0] = true;
    skip_ahead(nodes, &mut active);
    for c in text.chars() {
        next.fill(false);
        for (state, node) in nodes.iter().enumerate().filter(|(state, _)| active[*state]) {
            match node {
                Node::One(set) => next[state + 1] |= set.holds(c),
                Node::Many(set) => next[state] |= set.holds(c),
                Node::Optional(_) => {}
            }
        }
        skip_ahead(nodes, &mut next);
        std::mem::swap(&mut active, &mut next);
    }
    active[nodes.len()]
}

/// Activates what can be reached without a character. Steps lead forward only, so one pass does it.
fn skip_ahead(nodes: &[Node], active: &mut [bool]) {
    for (state, node) in nodes.iter().enumerate() {
        if !active[state] {
            continue;
        }
        match node {
            Node::One(_) => {}
            Node::Many(_) => active[state + 1] = true,
            Node::Optional(count) => {
                active[state + 1] = true;
                active[state + 1 + count] = true;
            }
        }
    }
}
