//! Time that the processor has spent on this process: other work on the machine changes nothing about what a harness gets done.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use rustix::{
    process::{Resource, Rlimit, getrlimit, setrlimit},
    time::{ClockId, clock_gettime},
};

/// How often somebody else's end is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// The processor's time that this process has taken.
pub fn used() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The system ends this process when it has taken that much.
///
/// # Errors
/// The system refuses.
pub fn end_after(time: Duration) -> Result<(), String> {
    let seconds = (used() + time).as_secs() + 1;
    let old = getrlimit(Resource::Cpu);
    let limit = old.maximum.map_or(seconds, |most| most.min(seconds));
    let both = Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::Cpu, both).map_err(|error| format!("a limit of processor time: {error}"))
}

/// How long a harness still has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    end: Duration,
}

impl Clock {
    pub(super) fn new(time: Duration) -> Self {
        Self { end: used() + time }
    }

    pub(super) fn is_over(&self) -> bool {
        used() >= self.end
    }

    /// A clock that ends earlier.
    pub(super) fn part(&self, time: Duration) -> Self {
        Self { end: self.end.min(used() + time) }
    }

    /// Sets the flag when the time is over, while something runs.
    pub(super) fn stops<T>(&self, flag: &AtomicBool, run: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    thread::sleep(GLANCE);
                    if self.is_over() {
                        flag.store(true, Ordering::Relaxed);
                    }
                }
            });
            let result = run();
            done.store(true, Ordering::Relaxed);
            result
        })
    }
}
