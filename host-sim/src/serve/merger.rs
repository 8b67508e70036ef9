//! Merge in the background: what was deleted is worked off while the pool is in use, step by step.
//!
//! * A step is one short hold of the pool and one commit; between two of them everybody else has their turn.
//! * While requests come in, a step is made now and then all the same: so merge yields, and yet it always ends.
//! * Nothing is kept anywhere but in the pool: a new server goes on where the last one was, however that ended.
//! * After an error it waits, says so in its status, and tries again now and then.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cowl::{LayerFlags, Merge};
use serde::{Deserialize, Serialize};

use super::{
    metrics::{Metrics, Operation},
    shared::Shared,
};
use crate::cli::{
    failure::Failure,
    pool::{AnyPool, Records},
};

/// Device operations of one step when nobody is waiting: some ten milliseconds on a disk.
const BUDGET: u32 = 512;
/// The same while requests come in. Much less would go into the commit alone.
const SMALL_BUDGET: u32 = 128;
/// Without requests for so long nobody is waited for.
const QUIET: Duration = Duration::from_millis(3);
/// Time between two steps while requests come in.
const LONGEST: Duration = Duration::from_millis(100);
/// Time between two steps in any case: whoever waits for the pool gets it.
const BREATH: Duration = Duration::from_micros(200);
/// Time until the next attempt after an error.
const RETRY: Duration = Duration::from_secs(10);
/// Weight of the past in the speed that is estimated with, for each second.
const MEMORY: f64 = 0.8;

/// What merge is at.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MergeStatus {
    /// It was told to pause.
    pub paused: bool,
    /// Blocks of deleted layers that are still to be looked at.
    pub left: u64,
    /// How long that will take at the present speed, in seconds, if that is known.
    pub seconds: Option<u64>,
    /// Steps since the server began.
    pub steps: u64,
    /// Why it has stopped, until it tries again.
    pub failed: Option<String>,
}

/// What the thread and those who steer it share.
#[derive(Debug, Default)]
pub struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    stop: bool,
    paused: bool,
    /// Something may have been deleted since the thread last looked.
    awake: bool,
    steps: u64,
    failed: Option<String>,
    speed: Speed,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something may have been deleted.
    pub fn wake(&self) {
        self.lock().awake = true;
        self.changed.notify_all();
    }

    /// Pauses, after the step that is running, or goes on.
    pub fn pause(&self, paused: bool) {
        let mut inner = self.lock();
        inner.paused = paused;
        inner.awake |= !paused;
        drop(inner);
        self.changed.notify_all();
    }

    /// Whether it pauses.
    pub fn is_paused(&self) -> bool {
        self.lock().paused
    }

    /// What it is at. Reads the catalog, a page at a time.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn status(&self, shared: &Shared) -> Result<MergeStatus, Failure> {
        let left = debt(shared)?;
        let inner = self.lock();
        Ok(MergeStatus {
            paused: inner.paused,
            left,
            seconds: if left == 0 { None } else { inner.speed.seconds_for(left) },
            steps: inner.steps,
            failed: inner.failed.clone(),
        })
    }

    /// Notes a step of whoever made it.
    pub fn stepped(&self, step: Merge) {
        let mut inner = self.lock();
        inner.failed = None;
        match step {
            Merge::Idle => inner.speed.rest(),
            Merge::Progress { layer, left } => {
                inner.steps += 1;
                inner.speed.worked(layer.0, left, Instant::now());
            }
        }
    }

    fn failed(&self, failure: &Failure) {
        let mut inner = self.lock();
        inner.failed = Some(failure.what.clone());
        inner.speed.rest();
    }

    fn goes_on(&self) -> bool {
        let inner = self.lock();
        !inner.stop && !inner.paused
    }

    /// Waits until there may be something to do; `false` if it is time to end.
    fn wait(&self) -> bool {
        let mut inner = self.lock();
        loop {
            if inner.stop {
                return false;
            }
            if inner.awake && !inner.paused {
                inner.awake = false;
                return true;
            }
            if inner.failed.is_none() {
                inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (woken, over) = self.changed.wait_timeout(inner, RETRY).unwrap_or_else(PoisonError::into_inner);
            inner = woken;
            inner.awake |= over.timed_out();
        }
    }

    /// Sleeps, unless it is time to end.
    fn sleep(&self, time: Duration) {
        let inner = self.lock();
        if !inner.stop {
            drop(self.changed.wait_timeout(inner, time));
        }
    }
}

/// Blocks of deleted layers that merge still has to look at; branching points stay as they are and do not count.
///
/// # Errors
/// The catalog cannot be read.
pub fn debt(shared: &Shared) -> Result<u64, Failure> {
    let (mut after, mut blocks) = (None, 0);
    loop {
        let page = shared.lock().records(Records::All, after)?;
        let Some(last) = page.last() else { return Ok(blocks) };
        after = Some(last.id);
        let waits = |layer: &&cowl::LayerInfo| layer.flags.contains(LayerFlags::DELETED) && layer.children < 2;
        blocks += page.iter().filter(waits).map(|layer| layer.delta.data + layer.delta.nodes).sum::<u64>();
    }
}

/// Blocks worked off in a second, as an average that forgets.
#[derive(Debug, Default)]
struct Speed {
    last: Option<(u32, u64, Instant)>,
    blocks: f64,
    seconds: f64,
}

impl Speed {
    fn worked(&mut self, layer: u32, left: u64, now: Instant) {
        if let Some((before, had, then)) = self.last {
            let done = if before == layer { had.saturating_sub(left) } else { had };
            let elapsed = now.saturating_duration_since(then).as_secs_f64();
            let keep = MEMORY.powf(elapsed);
            self.blocks = self.blocks * keep + u32::try_from(done).map_or(f64::from(u32::MAX), f64::from);
            self.seconds = self.seconds * keep + elapsed;
        }
        self.last = Some((layer, left, now));
    }

    /// Time in which there is nothing to do does not count.
    fn rest(&mut self) {
        self.last = None;
    }

    fn seconds_for(&self, blocks: u64) -> Option<u64> {
        if self.blocks < 1.0 || self.seconds <= 0.0 {
            return None;
        }
        let blocks = u32::try_from(blocks).map_or(f64::from(u32::MAX), f64::from);
        Duration::try_from_secs_f64((blocks * self.seconds / self.blocks).round()).ok().map(|time| time.as_secs())
    }
}

/// The thread that merges.
#[derive(Debug)]
pub struct Merger {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Merger {
    /// Starts; it first looks whether an earlier server or command has left something to do.
    ///
    /// # Errors
    /// There can be no more threads.
    pub fn start(shared: Arc<Shared>, metrics: Arc<Metrics>, state: Arc<State>) -> io::Result<Self> {
        state.wake();
        let mine = Arc::clone(&state);
        let work = move || {
            let mut untrimmed = false;
            while mine.wait() {
                let worked = work_off(&shared, &metrics, &mine, &mut untrimmed);
                if let Err(failure) = worked.and_then(|()| trim(&shared, &metrics, &mine, &mut untrimmed)) {
                    mine.failed(&failure);
                }
            }
        };
        let thread = thread::Builder::new().name("merge".to_owned()).spawn(work)?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Ends after the step that is running.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.state.lock().stop = true;
        self.state.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended too.
            let _ = thread.join();
        }
    }
}

impl Drop for Merger {
    fn drop(&mut self) {
        self.end();
    }
}

/// Steps until nothing is left, or it is told to pause or to end.
fn work_off(shared: &Shared, metrics: &Metrics, state: &State, untrimmed: &mut bool) -> Result<(), Failure> {
    while state.goes_on() {
        let began = Instant::now();
        let step = AnyPool::merge_step(&mut *shared.lock(), budget(metrics))?;
        state.stepped(step);
        if step == Merge::Idle {
            break;
        }
        *untrimmed = true;
        metrics.count(Operation::MergeStep, 0, began.elapsed());
        give_way(metrics, state);
    }
    Ok(())
}

/// Tells the device what is free, so that a file gets holes there.
fn trim(shared: &Shared, metrics: &Metrics, state: &State, untrimmed: &mut bool) -> Result<(), Failure> {
    let mut from = untrimmed.then_some(0);
    while let Some(next) = from
        && state.goes_on()
    {
        let began = Instant::now();
        from = AnyPool::discard_free(&mut *shared.lock(), next, budget(metrics))?;
        metrics.count(Operation::Trim, 0, began.elapsed());
        give_way(metrics, state);
    }
    *untrimmed = from.is_some();
    Ok(())
}

/// How much a step may do now.
pub fn budget(metrics: &Metrics) -> u32 {
    if metrics.quiet_for() < LONGEST { SMALL_BUDGET } else { BUDGET }
}

/// Lets others have the pool: for a moment, or as long as they keep coming, but not for ever.
pub fn give_way(metrics: &Metrics, state: &State) {
    let began = Instant::now();
    thread::sleep(BREATH);
    while metrics.quiet_for() < QUIET && began.elapsed() < LONGEST && state.goes_on() {
        state.sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Speed;

    #[test]
    fn the_estimate_is_what_is_left_over_the_speed_of_late() {
        let (mut speed, began) = (Speed::default(), Instant::now());
        assert_eq!(speed.seconds_for(10), None);
        let at = |tenths: u64| began + Duration::from_millis(100 * tenths);
        for tenth in 0..=20 {
            speed.worked(1, 10_000 - 10 * tenth, at(tenth));
        }
        assert_eq!(speed.seconds_for(1000), Some(10));
        // Ten times as fast for a minute: the past is forgotten.
        for tenth in 21..=600 {
            speed.worked(2, 100_000 - 100 * tenth, at(tenth));
        }
        assert_eq!(speed.seconds_for(10_000), Some(10));
        speed.rest();
        speed.worked(3, 50, at(100_000));
        assert_eq!(speed.seconds_for(10_000), Some(10), "rest is no work");
    }
}
