//! Where an environment's requests go, and how many are on their way there.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// One running version, as the proxy sees it.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    running: Mutex<usize>,
    idle: Condvar,
}

/// The target of the public port; changed in one step.
#[derive(Default)]
pub(crate) struct Route(RwLock<Option<Arc<Target>>>);

/// One request on its way; ends when dropped.
pub(crate) struct Pass(Arc<Target>);

impl Target {
    pub(crate) fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address, running: Mutex::new(0), idle: Condvar::new() })
    }

    /// Waits until no request is on its way; false when some still are after `limit`.
    pub(crate) fn drain(&self, limit: Duration) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.idle.wait_timeout_while(running, limit, |running| *running > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}

impl Route {
    pub(crate) fn set(&self, target: Option<Arc<Target>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Sends one request on its way. It counts before the route can change, so a drain never misses it.
    pub(crate) fn enter(&self) -> Option<Pass> {
        let target = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let target = Arc::clone(target.as_ref()?);
        *target.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Some(Pass(target))
    }
}

impl Pass {
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.idle.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_waits_for_those_who_entered_before_the_switch() {
        let target = |port| Target::new(SocketAddr::from(([127, 0, 0, 1], port)));
        let (blue, green) = (target(1), target(2));
        let route = Route::default();
        assert!(route.enter().is_none());
        route.set(Some(Arc::clone(&blue)));
        let before = route.enter().unwrap();
        route.set(Some(green));
        assert_eq!((before.address().port(), route.enter().unwrap().address().port()), (1, 2));
        assert!(!blue.drain(Duration::ZERO));
        drop(before);
        assert!(blue.drain(Duration::ZERO));
    }
}
