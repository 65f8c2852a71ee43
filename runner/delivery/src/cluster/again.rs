//! Writes on objects that others change too: on one that changed in between it is read again, decided again, written again.
//!
//! Such a write bears the resourceVersion that it was decided on, so it never undoes unseen what somebody else did. That a
//! controller or an autoscaler was quicker is no failure; an object that never holds still is one, and nobody waits for it.

use super::ClusterError;

/// How often a write is made again. From the read to the write it takes milliseconds: what others change in between, a
/// status or a number of pods, they do not change so often in a row, unless two are fighting over it.
const AGAIN: u32 = 5;

/// How often one write was made again so far.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Whether a write that was refused so is to be made again: its object changed in between, and a try is left. Any other
    /// refusal is an answer.
    pub(crate) fn again(&mut self, refused: &ClusterError) -> bool {
        matches!(refused, ClusterError::Changed { .. }) && self.one_more()
    }

    /// Whether a try is left; it is used up by that.
    pub(crate) fn one_more(&mut self) -> bool {
        let left = self.0 < AGAIN;
        self.0 += u32::from(left);
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_made_again_only_where_its_object_changed_and_not_for_ever() {
        let what = || "Service/shop".to_owned();
        let changed = ClusterError::Changed { what: what(), why: "the object has been modified".to_owned() };
        let mut tries = Tries::default();
        for other in [
            ClusterError::NotFound(what()),
            ClusterError::Conflict { what: what(), managers: Vec::new() },
            ClusterError::Denied { what: what(), why: String::new() },
        ] {
            assert!(!tries.again(&other), "{other}");
        }
        // Those used none up.
        assert_eq!((0..20).filter(|_| tries.again(&changed)).count(), 5);
        assert!(!tries.one_more());
    }
}
