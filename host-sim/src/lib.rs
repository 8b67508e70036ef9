//! cowl on a host with an operating system.
//!
//! * [`device`]: [`FileDevice`] and [`LinuxBlockDevice`], the devices on which pools live there.
//! * [`fn@crc32c`]: the processor's own CRC instruction, to be handed to cowl as its [`Checksum`](cowl::Checksum).
//! * [`cli`]: the `cowl` command, verb by verb; [`demo`]: what `cowl demo` shows.
//! * [`mod@bench`]: what the layer costs over a plain file.
//! * [`bugs`]: planted bugs, with which the simulator itself is tried.
//! * [`serve`]: a pool for many clients at once.
//! * [`sim`]: the simulated disk, the reference model, and histories with power cuts.
//! * [`fuzzing`]: what the fuzz targets do with their bytes.
//!
//! Whoever needs the devices and the simulator alone, to try a device or a layer of their own, depends on it with
//! `default-features = false` and gets these, [`fuzzing`], and none of what the command needs. The features, all of them on by default:
//!
//! * `cli`: the command, and all modules that it is made of;
//! * `nbd`: how clients are served, without the sockets;
//! * `proptest`: [`sim::strategy`].
//!
//! A pool on a file, in a few lines:
//!
//! ```no_run
//! use cowl::{Attributes, FormatOptions, LayerFlags, MountOptions, Pool};
//! use cowl_host::FileDevice;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut device = FileDevice::create("pool.cowl", 64 << 20)?;
//! let mut workspace = vec![0; 1 << 20];
//! Pool::format(&mut device, &mut workspace, &FormatOptions::new(4096, [7; 16]))?;
//!
//! let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default())?;
//! let vm = pool.create(&Attributes { name: "vm", ..Attributes::default() }, 2048, LayerFlags::empty())?;
//! pool.write(vm, 0, &[1; 512])?;
//! pool.flush()?;
//! pool.unmount()?;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "cli")]
pub mod bench;
#[cfg(feature = "cli")]
pub mod bugs;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod demo;
pub mod device;
pub mod fuzzing;
#[cfg(feature = "cli")]
pub mod real;
#[cfg(feature = "nbd")]
pub mod serve;
pub mod sim;

use crc_fast::{CrcAlgorithm, Digest};

pub use device::{DeviceError, FileDevice, FileOptions, HostDevice, LinuxBlockDevice};

/// CRC-32C by the processor's own instructions where it has them: the same sums as [`cowl::crc32c`], many times faster.
#[expect(clippy::cast_possible_truncation, reason = "a sum of 32 bits")]
pub fn crc32c(so_far: u32, bytes: &[u8]) -> u32 {
    let mut sum = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!so_far));
    sum.update(bytes);
    sum.finalize() as u32
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_hardware_checksum_is_the_software_checksum() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|i| (i * 7 % 251) as u8).collect();
        for cut in [0, 1, 511, 4096, 9_999] {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(super::crc32c(super::crc32c(0, head), tail), cowl::crc32c(0, &bytes));
        }
    }
}
