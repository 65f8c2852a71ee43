//! Values that many inputs share: durations, shares, sizes, counts, names.

mod amount;
mod job_source;
mod period;
mod quantity;
mod share;
mod workload;

pub use amount::{Amount, Replicas};
pub use job_source::JobSource;
pub(super) use job_source::relative_path;
pub use period::Period;
pub use quantity::Quantity;
pub use share::Share;
pub use workload::WorkloadRef;
pub(super) use workload::{dns_label, dns_subdomain};
