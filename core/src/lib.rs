//! cowl: a copy-on-write layer between a block device and whoever uses it.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::host_endian_bytes, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

#[cfg(test)]
extern crate std;

mod admit;
mod bytes;
mod cache;
mod catalog;
mod check;
mod checksum;
mod commit;
mod device;
mod diff;
mod discard;
mod error;
pub mod format;
mod layers;
mod locate;
mod merge;
mod mount;
mod pending;
mod pool;
mod read;
mod resize;
mod space;
mod store;
mod tree;
mod trim;
mod types;
mod view;
mod walk;
mod what_if;
mod window;
mod write;

pub use check::{Checked, Finding};
pub use checksum::{Checksum, crc32c};
pub use device::{BlockDevice, Counters, Counting, Geometry, NoBase, OutOfRange, Partition, RamDisk};
pub use error::{Error, Object};
pub use layers::Layers;
pub use mount::{FormatOptions, Limits, MountOptions, workspace_size};
pub use pool::{Pool, PoolInfo};
pub use types::{
    Attributes, Delta, Extent, ExtentKind, LayerFlags, LayerId, LayerInfo, LayerKind, Merge, Name, SnapshotOf, Space,
    Stats,
};
pub use view::{Cursor, LayerDevice};
pub use what_if::WhatIf;
