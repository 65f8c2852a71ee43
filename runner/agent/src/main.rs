//! The agent: process 1 of a job.

fn main() -> std::process::ExitCode {
    tagline_agent::main()
}
