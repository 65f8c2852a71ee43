//! What engine and agent say to each other; versioned.
