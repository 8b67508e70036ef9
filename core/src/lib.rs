//! cowl turns one block device into a pool of virtual disks with snapshots, rollback, branches and merge, in a fixed
//! amount of memory and safe against power loss at any moment.
//!
//! *cowl* stands for **co**py-on-**w**rite **l**ayer: it sits between a block device and whoever uses it. A
//! [`Pool`] on a [`BlockDevice`] holds *layers*: volumes, which can be written, and snapshots, which never change. They form a
//! tree of any shape. Taking a snapshot, rolling back to one and branching off from one cost a few block writes, whatever
//! the size of the volume; deleting a layer moves no data; reading through ten thousand snapshots costs what
//! reading through none does.
//!
//! It is not a filesystem, no volume manager over several devices, no RAID, and no flash translation layer: raw NOR and
//! NAND need one below. It does not compress, deduplicate or encrypt.
//!
//! # The picture
//!
//! ```text
//!   read, write, discard, flush        snapshot, rollback, clone, delete, merge_step        diff, what_if, check
//!  ┌──────────────────────────────────────────────────────────────────────────────────────────────────────────┐
//!  │ Pool       pending   the newest map changes, in memory                                                   │
//!  │            journal   the same on the device, for `flush`                                                 │
//!  │            catalog   one record for each layer ──► map: one tree for each layer, nodes shared            │
//!  │            space     bitmaps of free blocks, each in two fixed places                                    │
//!  │            cache     blocks of metadata, checksummed on the way in and out                               │
//!  └──────────────────────────────────────────────────────────────────────────────────────────────────────────┘
//!   BlockDevice          geometry, read, write, flush, discard
//! ```
//!
//! Every entry of a map carries its *birth*, the epoch in which it was written. What was born after a layer's parent was
//! closed is the layer's own; everything else belongs to an ancestor. There are no reference counts.
//!
//! # An example
//!
//! ```
//! use cowl::{Attributes, FormatOptions, LayerFlags, MountOptions, Pool, RamDisk};
//!
//! # fn main() -> Result<(), cowl::Error<cowl::OutOfRange>> {
//! let mut memory = vec![0; 1 << 20]; // a disk of 1 MiB
//! let mut workspace = [0; 16 << 10]; // all the memory that cowl uses
//! let mut disk = RamDisk::new(&mut memory);
//! Pool::format(&mut disk, &mut workspace, &FormatOptions::new(512, [7; 16]))?;
//!
//! let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default())?;
//! let named = |name| Attributes { name, ..Attributes::default() };
//! let volume = pool.create(&named("vm"), 512, LayerFlags::empty())?;
//! pool.write(volume, 8, &[1; 512])?;
//! let before = pool.snapshot(volume, &named("before"))?;
//! pool.write(volume, 8, &[2; 512])?;
//! pool.flush()?;
//!
//! pool.rollback(volume, before, 0, None)?;
//! let mut sector = [0; 512];
//! pool.read(volume, 8, &mut sector)?;
//! assert_eq!(sector, [1; 512]);
//! pool.unmount()?;
//! # Ok(())
//! # }
//! ```
//!
//! # Power loss
//!
//! - **Data**: after a power loss every sector of a volume holds what the last completed [`Pool::flush`] made durable, or something
//!   written to it since, old or new, each sector for itself. Never another block's data. With
//!   [`LayerFlags::INTEGRITY`] whole blocks are old or new.
//! - **Operations on layers** (create, snapshot, rollback, clone, delete, rename, describe, resize, attach) are wholly there or
//!   wholly not; once the call has returned they are durable, and so is every write before them.
//! - **Merge** goes on where the last finished step left it. No reader can tell.
//! - **Mounting** writes nothing. Recovery reads the superblocks, the journal, and the data that its last units name.
//! - Dropping a [`Pool`] is a power loss without the loss of power: what was flushed is there. [`Pool::unmount`] leaves
//!   nothing to be recovered.
//!
//! All of it rests on a device that keeps the contract of [`BlockDevice`], above all that of `flush`. After a failed write or
//! flush the pool refuses changes until it is mounted again.
//!
//! # Space
//!
//! A volume is *thin*, or *guaranteed*: then the pool sets aside every block of data and metadata that it can come to need, and
//! refuses volumes and snapshots that would break the promise. Writes to thin volumes report [`Error::NoSpace`] before
//! anything is changed. [`Pool::space`] is exact at any moment.
//!
//! # Memory
//!
//! The caller hands over one workspace; [`workspace_size`] says how small it may be. There is no allocator, no
//! recursion, and no `unsafe`. More memory makes the pool faster and changes nothing else.
//!
//! Who only reads, as a boot loader does, takes [`Reader`]: it needs a tenth of the code and a quarter of the memory.
//!
//! # Features
//!
//! None is on by default; none changes behaviour or format.
//!
//! - `defmt`: `defmt::Format` on public types, and log lines through `defmt`.
//! - `log`: log lines through `log`.
//! - `crc-table`: a 16 KiB table for the software checksum, several times faster. A checksum in hardware is handed in
//!   with [`MountOptions::checksum`].
//! - `async`: the module `asynch`, the same pool over devices that are waited for.
//!
//! # Further reading
//!
//! `docs/DESIGN.md` explains why it works, with the protocol rule by rule and a table of what each crash leaves;
//! `docs/FORMAT.md` is the format; `docs/PORTING.md` is for those who write a device.
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::host_endian_bytes, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

#[cfg(test)]
extern crate std;

mod admit;
mod allocate;
#[cfg(feature = "async")]
pub mod asynch;
mod attachments;
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
mod info;
mod layers;
mod locate;
mod logging;
mod merge;
mod mkfs;
mod mount;
mod newest;
mod pending;
mod pool;
mod read;
mod reader;
mod recover;
mod resize;
mod space;
mod store;
mod tally;
mod transfer;
mod tree;
mod trim;
mod types;
mod verbs;
mod view;
mod walk;
mod what_if;
mod window;
mod write;

pub use check::{Checked, Finding};
pub use checksum::{Checksum, crc32c};
pub use device::{BlockDevice, Counters, Counting, Geometry, NoBase, OutOfRange, Partition, RamDisk};
pub use error::{Error, Object};
pub use info::PoolInfo;
pub use mkfs::FormatOptions;
pub use mount::{Limits, MountOptions, workspace_size};
pub use pool::Pool;
pub use reader::{Image, Reader, reader_workspace_size};
pub use transfer::{Flushing, Reading, Writing};
pub use types::{
    Attributes, Delta, Extent, ExtentKind, LayerFlags, LayerId, LayerInfo, LayerKind, Merge, Name, SnapshotOf, Space,
    Stats,
};
pub use verbs::Layers;
pub use view::{Cursor, LayerDevice};
pub use what_if::WhatIf;
