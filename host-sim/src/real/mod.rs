//! Real processes on real files, held against the reference model.
//!
//! A *worker* is this very program, run again: it opens a pool in a file as every verb does, works off a seeded history and
//! acknowledges each operation with a byte on its standard output. The parent keeps a [`Shadow`]: the same history on a simulated
//! disk that began with the file's bytes. Whatever ends the worker, the shadow knows what must be in the file, and what may be.

// Seeds, tags and sectors are small by construction.
#![allow(clippy::cast_possible_truncation)]

mod full;
mod fuse;
mod kill;
mod materialise;
mod powercut;
mod round;
mod shadow;
mod strace;
mod syscalls;
mod target;
mod trace;
mod worker;

pub use full::{Quota, Refused, SmallFilesystem, run_out};
pub use fuse::{CutDisk, Halved, Power};
pub use kill::{Kills, Lives, PARTS};
pub use materialise::{judge, materialise};
pub use powercut::{Cuts, Victim};
pub use round::{Ended, Round, Stop, this_program};
pub use shadow::{Refusal, Shadow};
pub use strace::{Heard, Syscall, available, listen, parse_line};
pub use syscalls::{Strike, Struck, WAYS, Way, refusal};
pub use target::{SHAPES, Target, judge_bytes, open_and_compare, open_and_judge};
pub use trace::{agree, trace};
pub use worker::{ACK_DONE, ACK_FAILED, ACK_REFUSED, history, operations, perform, work};

/// What goes wrong, told to a person.
pub type Outcome<T> = Result<T, String>;

pub(crate) fn said<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |error| format!("{what}: {error}")
}
