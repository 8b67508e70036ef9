//! Ctrl-C: the first one asks the command to stop at the next point where nothing is half done, the second ends it at once.
//! Either loses nothing that had been committed; the first one also commits what is in flight.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::failure::{Failure, Kind};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Listens to SIGINT, SIGTERM and SIGHUP.
pub fn listen() {
    let answer = || {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(Kind::Interrupted as i32);
        }
    };
    // Without a handler the signal ends the process, which is as safe.
    let _ = ctrlc::set_handler(answer);
    hear_of_limits();
}

/// Lets a limit on the size of files (`RLIMIT_FSIZE`) be an error of the write, not the end of the process.
pub fn hear_of_limits() {
    // Without the handler the process ends, which loses nothing either.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Whether somebody wants the command to stop.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Fails if somebody wants the command to stop; `hint` says how to go on.
///
/// # Errors
/// [`Kind::Interrupted`].
pub fn check(what: &str, hint: &str) -> Result<(), Failure> {
    if asked() { Err(Failure::new(Kind::Interrupted, format!("stopped: {what}")).hint(hint)) } else { Ok(()) }
}
