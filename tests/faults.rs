//! Each fault of the table, by its number: what must be survived, what must be noticed, what is documented.
//!
//! Scripts over all verbs run on small pools; every device call in turn is the one that goes wrong. Whatever happens: no panic, nothing
//! wrong is read, an error changes nothing or poisons the pool, and after a new mount everything works that was promised.

#![allow(clippy::cast_possible_truncation)]

#[path = "faults/damaged.rs"]
mod damaged;
#[path = "faults/errors.rs"]
mod errors;
#[path = "faults/host.rs"]
mod host;
#[path = "faults/power.rs"]
mod power;
#[path = "faults/script.rs"]
mod script;
