//! Adapters between cowl and the traits of others, each a file to be copied.
//!
//! | file | below cowl | on top of cowl |
//! |---|---|---|
//! | `virtio.rs` | a virtio-blk disk (`virtio-drivers`) | |
//! | `efi.rs` | a disk of the firmware (`uefi`, block I/O) | |
//! | `sdmmc.rs` | an SD card (`embedded-sdmmc`) | its FAT on a volume |
//! | `driver.rs` | an async driver (`block-device-driver`, embassy), for pools of both colours | |
//! | `async_volume.rs` | | async code that takes such a driver, on an async pool |
//! | `storage.rs` | a flash with read-modify-write (`embedded-storage`) | |
//! | `bytes.rs` | | code that takes such a storage |
//! | `littlefs.rs` | | littlefs on a volume |
//!
//! What sits on top takes any `cowl::BlockDevice`: a volume is one through `Pool::volume_device`. Most of those traits know no flush, and those who use
//! them count on a write being durable once it has returned: there every write is flushed. `sdmmc.rs`, `bytes.rs` and `littlefs.rs` count in sectors of
//! 512 bytes: they fail on a volume of a pool with larger ones.
//!
//! `virtio.rs` and `efi.rs` are what the machines in `tests/firmware` run on.
#![no_std]

pub mod async_volume;
pub mod bytes;
pub mod driver;
pub mod efi;
pub mod littlefs;
pub mod sdmmc;
pub mod storage;
pub mod virtio;
