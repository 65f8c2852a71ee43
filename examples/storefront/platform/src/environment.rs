//! One environment: a stable port, a database, and two colours of which one is live.
//!
//! Every call is idempotent, and no call leaves the environment worse than it was: what is new is started
//! and found ready before anything that runs is touched.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use storefront_http::{Server, Stopper};

use crate::artifacts::Artifacts;
use crate::clock;
use crate::fault::Fault;
use crate::process::{self, Process, migrate};
use crate::proxy::Proxy;
use crate::record::{Colour, Record, Release};
use crate::route::Route;

/// How long a switch waits for the requests on their way to the old colour; they go on after it, too.
const DRAIN: Duration = Duration::from_secs(10);
/// A version that keeps exiting is started again after 0.2 s, 0.4 s, … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A running environment.
pub(crate) struct Environment {
    name: String,
    folder: PathBuf,
    artifacts: Arc<Artifacts>,
    route: Arc<Route>,
    url: String,
    proxy: Stopper,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Held for the whole of a deployment; `status` reads `seen` instead.
    inner: Mutex<Inner>,
    seen: Mutex<Value>,
}

#[derive(Default)]
struct Inner {
    record: Record,
    blue: Slot,
    green: Slot,
    /// Nothing is started any more.
    stopped: bool,
}

#[derive(Default)]
struct Slot {
    process: Option<Process>,
    /// Starts in a row that did not last, and when the next may be.
    failures: u32,
    next: Option<Instant>,
}

impl Inner {
    fn slot(&mut self, colour: Colour) -> &mut Slot {
        if colour == Colour::Blue { &mut self.blue } else { &mut self.green }
    }
}

impl Environment {
    /// Opens an environment, makes it where it is new, and starts what stood in it.
    pub(crate) fn open(name: &str, folder: PathBuf, artifacts: Arc<Artifacts>) -> Result<Self, String> {
        let failed = |error| format!("environment {name}: {error}");
        fs::create_dir_all(&folder).map_err(|error| failed(error.to_string()))?;
        let file = folder.join("state.json");
        let mut record = if file.exists() { Record::load(&file)? } else { Record::default() };
        let address = SocketAddr::from(([127, 0, 0, 1], record.port));
        let server = Server::bind(address).map_err(|error| failed(format!("cannot listen on {address}: {error}")))?;
        record.port = server.address().port();
        record.save(&file).map_err(|error| failed(error.to_string()))?;

        let route = Arc::new(Route::default());
        let (url, proxy) = (format!("http://{}", server.address()), server.stopper());
        let inner = Mutex::new(Inner { record, ..Inner::default() });
        let handler = Arc::new(Proxy(Arc::clone(&route)));
        let seen = Mutex::new(Value::Null);
        let mut environment =
            Self { name: name.to_owned(), folder, artifacts, route, url, proxy, thread: Mutex::new(None), inner, seen };
        environment.watch();
        environment.thread = Mutex::new(Some(thread::spawn(move || server.run(&handler))));
        Ok(environment)
    }

    /// Starts a release beside the live one, its migrations first, and waits until it is ready.
    pub(crate) fn deploy(&self, release: &Release) -> Result<Value, Fault> {
        let mut inner = self.inner();
        let Release { version, digest } = release;
        if let Some(colour) = inner.record.holds(version) {
            if inner.record.release(colour) == Some(release) {
                self.revive(&mut inner, colour)?;
                return Ok(self.deployed(&mut inner, colour, false));
            }
            if inner.record.live == Some(colour) {
                let live = inner.record.release(colour).map_or("", |live| &live.digest);
                let name = &self.name;
                let message =
                    format!("{version} is live in {name} as sha256:{live}; sha256:{digest} needs a version of its own");
                return Err(Fault::new(409, message));
            }
        }
        let colour = inner.record.live.map_or(Colour::Blue, Colour::other);
        let binary = self.artifacts.get(digest)?;
        let failed = |what: &str, why: String| {
            let live = inner.record.live_version().unwrap_or("nothing").to_owned();
            Fault::new(422, format!("{version} {what}: {why}; {live} stays live in {}", self.name))
        };
        migrate(&binary, &self.database(), &self.folder.join("migrate.log"))
            .map_err(|why| failed("did not migrate the database", why))?;
        let log = self.log(colour);
        let mut process =
            Process::start(&binary, &self.database(), &log).map_err(|why| failed("does not start", why))?;
        process.wait_ready(process::READY).map_err(|why| failed("does not get ready", why))?;

        let mut record = Record { can_roll_back: false, left: None, ..inner.record.clone() };
        record.set_release(colour, release.clone());
        self.save(&record)?;
        inner.record = record;
        let before = inner.slot(colour).process.replace(process);
        if let Some(before) = before {
            before.stop();
        }
        Ok(self.deployed(&mut inner, colour, true))
    }

    /// Moves the traffic to a deployed version that is ready.
    pub(crate) fn switch(&self, version: &str) -> Result<Value, Fault> {
        let mut inner = self.inner();
        let missing = || Fault::new(409, format!("{version} is not deployed in {}; deploy it first", self.name));
        let colour = inner.record.holds(version).ok_or_else(missing)?;
        if inner.record.live == Some(colour) {
            return Ok(self.switched(&mut inner, true, false));
        }
        self.check(&mut inner, colour)?;
        let can_roll_back = inner.record.live.is_some();
        let record = Record { live: Some(colour), can_roll_back, left: None, ..inner.record.clone() };
        let drained = self.turn(&mut inner, record)?;
        Ok(self.switched(&mut inner, drained, true))
    }

    /// Moves the traffic back to the version that was live before.
    pub(crate) fn rollback(&self) -> Result<Value, Fault> {
        let mut inner = self.inner();
        let Some(live) = inner.record.live.filter(|_| inner.record.can_roll_back) else {
            if inner.record.left.is_some() {
                return Ok(self.switched(&mut inner, true, false));
            }
            return Err(Fault::new(409, format!("no earlier version is kept in {}", self.name)));
        };
        self.revive(&mut inner, live.other())?;
        self.check(&mut inner, live.other())?;
        let left = inner.record.live_version().map(str::to_owned);
        let record = Record { live: Some(live.other()), can_roll_back: false, left, ..inner.record.clone() };
        let drained = self.turn(&mut inner, record)?;
        Ok(self.switched(&mut inner, drained, true))
    }

    /// What stands where, as of the last look.
    pub(crate) fn status(&self) -> Value {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts again what has exited, unless a call is at work here.
    pub(crate) fn watch(&self) {
        let Ok(mut inner) = self.inner.try_lock() else {
            return;
        };
        if inner.stopped {
            return;
        }
        for colour in Colour::BOTH {
            let due = inner.slot(colour).next.is_none_or(|next| next <= Instant::now());
            if inner.record.release(colour).is_none() || !due {
                continue;
            }
            if let Err(fault) = self.revive(&mut inner, colour) {
                eprintln!("{} {}: {}", self.name, colour.name(), fault.message);
            }
        }
        self.look(&mut inner);
    }

    /// Ends the public port, then both colours.
    pub(crate) fn stop(&self) {
        self.proxy.stop();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A server that panicked has ended as well.
            drop(thread.join());
        }
        let mut inner = self.inner();
        inner.stopped = true;
        for colour in Colour::BOTH {
            if let Some(process) = inner.slot(colour).process.take() {
                process.stop();
            }
        }
    }

    /// Makes sure that the process of a colour runs; leads the traffic to it where it is live.
    fn revive(&self, inner: &mut Inner, colour: Colour) -> Result<(), Fault> {
        let live = inner.record.live == Some(colour);
        let Some(release) = inner.record.release(colour).cloned() else {
            return Ok(());
        };
        let slot = inner.slot(colour);
        if slot.process.as_mut().is_some_and(|process| !process.has_exited()) {
            if slot.next.is_some_and(|next| next + LONGEST_PAUSE < Instant::now()) {
                (slot.failures, slot.next) = (0, None);
            }
            return Ok(());
        }
        let pause = Duration::from_millis(200) * 2_u32.saturating_pow(slot.failures.min(16));
        slot.failures += 1;
        slot.next = Some(Instant::now() + pause.min(LONGEST_PAUSE));
        slot.process = None;
        let binary = self.artifacts.get(&release.digest)?;
        let started = Process::start(&binary, &self.database(), &self.log(colour));
        let mut process =
            started.map_err(|why| Fault::new(500, format!("{} does not start: {why}", release.version)))?;
        let ready = process.wait_ready(process::BACK);
        if live {
            self.route.set(Some(Arc::clone(&process.target)));
        }
        slot.process = Some(process);
        ready.map_err(|why| Fault::new(500, format!("{} does not get ready: {why}", release.version)))
    }

    /// Refuses a colour that is not ready now.
    fn check(&self, inner: &mut Inner, colour: Colour) -> Result<(), Fault> {
        let ready = match &mut inner.slot(colour).process {
            Some(process) => process.ready(),
            None => Err("it does not run".to_owned()),
        };
        ready.map_err(|why| Fault::new(409, format!("{} is not ready in {}: {why}", colour.name(), self.name)))
    }

    /// The one place where traffic moves: remembered first, then done, then the old colour drained.
    fn turn(&self, inner: &mut Inner, record: Record) -> Result<bool, Fault> {
        let record = Record { since: Some(clock::now()), ..record };
        self.save(&record)?;
        let before = std::mem::replace(&mut inner.record, record).live;
        let now = inner.record.live;
        let mut target = |colour: Option<Colour>| Some(Arc::clone(&inner.slot(colour?).process.as_ref()?.target));
        let (old, new) = (target(before), target(now));
        self.route.set(new);
        Ok(old.is_none_or(|old| old.drain(DRAIN)))
    }

    fn deployed(&self, inner: &mut Inner, colour: Colour, changed: bool) -> Value {
        self.look(inner);
        let preview = inner.slot(colour).process.as_ref().map(Process::url);
        let mut answer = inner.record.release(colour).map_or(Value::Null, Release::to_json);
        answer["environment"] = json!(self.name);
        answer["colour"] = json!(colour.name());
        answer["preview_url"] = json!(preview);
        answer["changed"] = json!(changed);
        answer
    }

    fn switched(&self, inner: &mut Inner, drained: bool, changed: bool) -> Value {
        self.look(inner);
        let record = &inner.record;
        let (live, previous) = (record.live_version(), record.previous_version());
        json!({
            "environment": self.name, "live": live, "previous": previous,
            "url": self.url, "drained": drained, "changed": changed,
        })
    }

    /// Renews what `status` answers.
    fn look(&self, inner: &mut Inner) {
        let mut colours = [Value::Null, Value::Null];
        for (colour, place) in Colour::BOTH.into_iter().zip(&mut colours) {
            let Some(release) = inner.record.release(colour) else {
                continue;
            };
            *place = release.to_json();
            let process = &mut inner.slot(colour).process;
            let runs = process.as_mut().is_some_and(|process| !process.has_exited());
            place["state"] = json!(if runs { "running" } else { "stopped" });
            place["url"] = json!(process.as_ref().filter(|_| runs).map(Process::url));
        }
        let record = &inner.record;
        let live = record.live.and_then(|colour| {
            let mut live = record.release(colour)?.to_json();
            live["colour"] = json!(colour.name());
            live["since"] = json!(record.since);
            Some(live)
        });
        let [blue, green] = colours;
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = json!({
            "name": self.name, "url": self.url, "live": live, "previous": record.previous_version(),
            "colours": {"blue": blue, "green": green},
        });
    }

    fn save(&self, record: &Record) -> Result<(), Fault> {
        let saved = record.save(&self.folder.join("state.json"));
        saved.map_err(|error| Fault::internal("the state was not written", error))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database(&self) -> PathBuf {
        self.folder.join("storefront.db")
    }

    fn log(&self, colour: Colour) -> PathBuf {
        self.folder.join(format!("{}.log", colour.name()))
    }
}
