//! What a file or device already holds: a pool, a file system, a partition table, a container of another kind.
//!
//! Formatting asks here first. A signature that is found is reliable; that none is found proves nothing, which is why
//! `cowl format` also refuses every file that has content.

use std::{fs::File, io, os::unix::fs::FileExt};

/// Magic numbers: where, what, and whose.
const SIGNATURES: &[(u64, &[u8], &str)] = &[
    (0, b"XFSB", "an XFS file system"),
    (0, b"LUKS\xba\xbe", "a LUKS encrypted volume"),
    (0, b"QFI\xfb", "a qcow2 disk image"),
    (0, b"hsqs", "a squashfs file system"),
    (0, b"KDMV", "a VMDK disk image"),
    (0, b"vhdxfile", "a VHDX disk image"),
    (0, b"\xfc\x4e\x2b\xa9", "a member of a Linux RAID array"),
    (0, b"\x1f\x8b\x08", "a gzip archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"\x7fELF", "an executable"),
    (3, b"NTFS    ", "an NTFS file system"),
    (3, b"EXFAT   ", "an exFAT file system"),
    (3, b"-FVE-FS-", "a BitLocker volume"),
    (32, b"NXSB", "an APFS container"),
    (54, b"FAT12   ", "a FAT file system"),
    (54, b"FAT16   ", "a FAT file system"),
    (82, b"FAT32   ", "a FAT file system"),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI disk image"),
    (0x438, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    (512, b"EFI PART", "a GPT partition table"),
    (4096, b"EFI PART", "a GPT partition table"),
    (1024, b"\xe2\xe1\xf5\xe0", "an EROFS file system"),
    (1024, b"\x10\x20\xf5\xf2", "an F2FS file system"),
    (1024, b"H+\x00\x04", "an HFS+ file system"),
    (1024, b"HX\x00\x05", "an HFSX file system"),
    (4086, b"SWAPSPACE2", "swap space"),
    (4086, b"SWAP-SPACE", "swap space"),
    (16_374, b"SWAPSPACE2", "swap space"),
    (65_526, b"SWAPSPACE2", "swap space"),
    (4096, b"\xfc\x4e\x2b\xa9", "a member of a Linux RAID array"),
    (4120, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "a bcache device"),
    (4120, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", "a bcachefs file system"),
    (32_769, b"CD001", "an ISO 9660 file system"),
    (32_768, b"JFS1", "a JFS file system"),
    (65_588, b"ReIsEr", "a ReiserFS file system"),
    (0x1_0040, b"_BHRfS_M", "a btrfs file system"),
    (0x2_0000, b"\x0c\xb1\xba\x00\x00\x00\x00\x00", "a member of a ZFS pool"),
    (510, b"\x55\xaa", "an MBR partition table or a boot sector"),
];

/// The first bytes of a pool's superblock.
const POOL_MAGIC: &[u8; 8] = b"COWLPOOL";
/// Block sizes that a pool can have.
const BLOCK_SHIFTS: std::ops::RangeInclusive<u32> = 9..=16;
/// Superblock slots, one block apart, from the start of the device.
const SLOTS: u64 = 4;

/// What a pool's superblock says about how its device has to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolShape {
    /// Bytes in a block.
    pub block: u32,
    /// Bytes in a sector.
    pub sector: u32,
    /// Bytes in a unit of the journal, at least the physical unit.
    pub unit: u32,
}

/// The shape of the pool in a file, from the first superblock slot that looks like one; nothing is verified here.
pub fn pool_shape(file: &File) -> Option<PoolShape> {
    let mut head = [0; 64];
    for (shift, slot) in slots() {
        if read_at(file, slot << shift, &mut head).ok()? && head.starts_with(POOL_MAGIC) {
            let [block, sector, unit] = [head[52], head[53], head[54]].map(u32::from);
            let usable = block == shift && (9..=block).contains(&sector) && (9..=16).contains(&unit);
            if usable {
                return Some(PoolShape { block: 1 << block, sector: 1 << sector, unit: 1 << unit });
            }
        }
    }
    None
}

/// What the file or device holds, in words, if anything is recognised.
///
/// # Errors
/// Reading fails.
pub fn identify(file: &File) -> io::Result<Option<&'static str>> {
    let mut head = [0; 16];
    for (shift, slot) in slots() {
        if read_at(file, slot << shift, &mut head[..8])? && head.starts_with(POOL_MAGIC) {
            return Ok(Some("a cowl pool"));
        }
    }
    for &(offset, magic, name) in SIGNATURES {
        let bytes = &mut head[..magic.len()];
        if read_at(file, offset, bytes)? && bytes == magic {
            return Ok(Some(name));
        }
    }
    for sector in 0..4 {
        if read_at(file, sector * 512, &mut head[..8])? && head.starts_with(b"LABELONE") {
            return Ok(Some("an LVM physical volume"));
        }
    }
    Ok(None)
}

fn slots() -> impl Iterator<Item = (u32, u64)> {
    BLOCK_SHIFTS.flat_map(|shift| (0..SLOTS).map(move |slot| (shift, slot)))
}

/// Fills the buffer; `false` if the file ends before that.
fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact_at(buffer, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::{PoolShape, SIGNATURES, identify, pool_shape};

    #[test]
    fn every_known_signature_is_recognised_and_zeros_are_nothing() {
        for &(offset, magic, name) in SIGNATURES {
            let file = tempfile::tempfile().unwrap();
            file.set_len(1 << 20).unwrap();
            assert_eq!(identify(&file).unwrap(), None);
            file.write_all_at(magic, offset).unwrap();
            assert_eq!(identify(&file).unwrap(), Some(name));
        }
    }

    #[test]
    fn a_pool_is_recognised_by_any_of_its_slots_and_tells_its_shape() {
        for slot in 0..4_u64 {
            let file = tempfile::tempfile().unwrap();
            file.set_len(1 << 20).unwrap();
            file.write_all_at(b"COWLPOOL", slot * 4096).unwrap();
            file.write_all_at(&[12, 9, 13], slot * 4096 + 52).unwrap();
            assert_eq!(identify(&file).unwrap(), Some("a cowl pool"));
            assert_eq!(pool_shape(&file), Some(PoolShape { block: 4096, sector: 512, unit: 8192 }));
        }
    }

    #[test]
    fn an_empty_or_tiny_file_is_nothing() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!((identify(&file).unwrap(), pool_shape(&file)), (None, None));
        file.write_all_at(b"hello", 0).unwrap();
        assert_eq!((identify(&file).unwrap(), pool_shape(&file)), (None, None));
    }
}
