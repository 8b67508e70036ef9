//! The two ioctls of Linux block devices that rustix has no function for.

use std::{fs::File, io};

use rustix::ioctl::{Getter, Setter, ioctl, opcode};

/// `BLKGETSIZE64`: the size of a block device in bytes.
pub(super) fn size(file: &File) -> io::Result<u64> {
    // SAFETY: the kernel defines the opcode as one that stores a `u64` through the pointer, whatever the size_t in its name.
    let size = unsafe { ioctl(file, Getter::<{ opcode::read::<usize>(0x12, 114) }, u64>::new()) }?;
    Ok(size)
}

/// `BLKDISCARD`: tells the device that a range of bytes is not needed.
pub(super) fn discard(file: &File, offset: u64, length: u64) -> rustix::io::Result<()> {
    // SAFETY: the kernel defines the opcode as one that reads two `u64` (start and length in bytes) through the pointer.
    unsafe { ioctl(file, Setter::<{ opcode::none(0x12, 119) }, [u64; 2]>::new([offset, length])) }
}
