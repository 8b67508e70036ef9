//! Damage: every flipped bit of every reachable byte of metadata, and every single lost, misdirected, duplicated or stale write.
//!
//! - `flips`: ten reference images, each bit in turn. By default every seventh bit of each image is turned (all of them in some byte
//!   after seven images); with `COWL_EVERY_BIT=1` every bit, as `.ci/run` does.
//! - `writes`: all short histories, each device write in turn going wrong.

#![allow(clippy::cast_possible_truncation)]

#[path = "damage/flips.rs"]
mod flips;
#[path = "damage/images.rs"]
mod images;
#[path = "damage/writes.rs"]
mod writes;
