//! Faults of the process itself: a leak, an end by memory, an end by exit code.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::app::{App, log};

const TICK: Duration = Duration::from_millis(100);
const MIB: usize = 1024 * 1024;
/// What `oom` takes each tick: a container's limit is met within seconds.
const GULP: usize = 64 * MIB;

/// Lets the faults of the process act, for as long as it lives.
pub(super) fn start(app: &Arc<App>) {
    let app = Arc::clone(app);
    thread::spawn(move || {
        let mut held: Vec<Vec<u8>> = Vec::new();
        loop {
            let faults = app.faults.now();
            if let Some(code) = faults.exit_code {
                log("ERROR", &format!("ends with {code}: fault exit_code"));
                std::process::exit(i32::from(code));
            }
            let bytes = if faults.oom { GULP } else { leaked(faults.leak_mb_s) };
            if bytes > 0 {
                // Written, not only reserved: memory counts when it is touched.
                held.push(vec![1; bytes]);
            }
            thread::sleep(TICK);
        }
    });
}

/// Bytes to lose in one tick.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 10 GiB a second, by its check")]
fn leaked(mib_each_second: f64) -> usize {
    (mib_each_second * 1024.0 * 1024.0 * TICK.as_secs_f64()) as usize
}
