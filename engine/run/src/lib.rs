//! Events, state, decide, evolve, outstanding; approvals and protection rules. Pure.
