//! What the fuzz targets do with their bytes.
//!
//! Each function takes any bytes at all, makes a run of them, and panics if cowl breaks a promise. The targets in `fuzz/` call
//! them and do nothing else; the tests run them on the committed corpus, with the stable compiler.
//!
//! | function | the bytes choose | the promise |
//! |---|---|---|
//! | [`ops`] | a history | the pool shows what the model says, after every operation and after every new mount |
//! | [`power_cuts`] | a history, where the power fails, and what each pending sector becomes | what is found is what a plain disk could hold; also when it fails again |
//! | [`errors`] | a history, and which calls of the device fail | an error changes nothing or poisons the pool; nothing acknowledged is lost |
//! | [`hostile_image`] | a device's content, and verbs | an answer or a typed error, after a bounded number of device calls |
//! | [`format()`] | bytes of every object on the device | nothing panics, and what is written is read back as it was |
//! | [`stream`] | what a client of the NBD server sends | every whole request is answered once and as a disk would; no other layer changes |
//!
//! A run begins with a copy of a pool that was formatted once, so that short inputs take microseconds.

// Inputs are cut down to small numbers on purpose, and the harness ends where it is wrong.
#![allow(clippy::cast_possible_truncation)]

mod bench;
mod errors;
mod flat;
mod format;
mod hostile;
mod input;
mod ops;
mod power_cuts;
#[cfg(feature = "nbd")]
mod replies;
mod sample;
#[cfg(feature = "nbd")]
mod stream;

pub use errors::errors;
pub use format::format;
pub use hostile::hostile_image;
pub use ops::ops;
pub use power_cuts::power_cuts;
#[cfg(feature = "nbd")]
pub use stream::stream;

/// What a target does with its bytes.
pub type Target = fn(&[u8]);

/// The name of each target, and what it does.
pub const TARGETS: &[(&str, Target)] = &[
    ("ops", ops),
    ("power_cuts", power_cuts),
    ("errors", errors),
    ("hostile_image", hostile_image),
    ("format", format),
    #[cfg(feature = "nbd")]
    ("stream", stream),
];
