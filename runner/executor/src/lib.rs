//! Where a job runs: sandbox, Docker, fake.
