//! Formatting (M5) and what is on the device.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    135 "M5" "formatting does not wipe the journal" {
        "core/src/mkfs.rs": "for block in «0..GROUP_START + self.layout.journal_blocks» {" => "0..GROUP_START"
    }
    136 "M5" "formatting wipes journal and superblocks in any order" {
        "core/src/mkfs.rs": "can lead to it any more.\n        «self.device.flush().map_err(|error| self.unread(error))?;»" => ""
    }
    137 "C4" "a superblock's checksum covers only its first part" {
        "core/src/format/superblock.rs": "«bytes.get(16..)».unwrap_or(&[]))" => "bytes.get(16..128)"
    }
    138 "C4" "the spares are not stored" {
        "core/src/format/spares.rs": "put_u64(fields, SPARE_COUNT, «self.count.into()»);" => "0"
    }
    142 "J1" "units are not as large as what the device rewrites as a whole" {
        "core/src/mkfs.rs": "let unit = «geometry.physical_size.max(geometry.sector_size)».max(512);" => "geometry.sector_size"
    }
    139 "G1" "the epoch is not stored with the generation" {
        "core/src/format/superblock/state.rs": "put_u32(bytes, 72, «self.epoch»);" => "self.epoch.min(2)"
    }
};
