//! Flush and journal: rules J1 to J4.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    1 "J1" "a unit goes to the place of the next one" {
        "core/src/commit.rs": "self.unit_sector(«self.sequence - 1»)" => "self.sequence"
    }
    2 "J2" "a unit's checksum covers the header only" {
        "core/src/format/journal.rs": "checksum(sum, «bytes.get(8..).unwrap_or(&[])»)" => "bytes.get(8..UNIT_HEADER).unwrap_or(&[])"
    }
    3 "J2" "a unit with the identifier of another pool is accepted" {
        "core/src/recover.rs": ".filter(|unit| «unit.uuid == self.durable().uuid()»)" => "unit.count > 0"
    }
    4 "J2" "a unit of an earlier generation is accepted" {
        "core/src/recover.rs": "if «unit.generation < self.sb.generation» {" => "false",
        "core/src/recover.rs": "|unit: &Unit| «unit.generation == generation» &&" => "unit.generation <= generation"
    }
    5 "J2" "the first record of a unit is left out" {
        "core/src/commit.rs": "let mut next = «0»;" => "usize::from(self.pending.len() > 1)"
    }
    6 "J3" "the second unit of a group vouches for the first" {
        "core/src/commit.rs": "mark: «self.flushed»," => "self.sequence - 1"
    }
    7 "J3" "a unit vouches for itself" {
        "core/src/commit.rs": "mark: «self.flushed»," => "self.sequence"
    }
    8 "J4" "the flush of the journal is left out" {
        "core/src/commit.rs": "if let Some(flushing) = self.begin_flush()? {\n            «self.barrier()?;»" => "if !flushing.has_units() { self.barrier()?; }"
    }
    9 "J4" "a flush without new records does not flush" {
        "core/src/transfer.rs": "if new == 0 {\n            «return Ok(Some(Flushing { generation, mark: None, last: 0 }));»" => "return Ok(None);"
    }
    10 "J4" "the flush goes before the units instead of behind them" {
        "core/src/commit.rs": "if let Some(flushing) = self.begin_flush()? {\n            self.barrier()?;\n            self.end_flush(&flushing);\n        }" => "self.barrier()?; if let Some(flushing) = self.begin_flush()? { self.end_flush(&flushing); }"
    }
    11 "J4" "a full journal runs over its end" {
        "core/src/transfer.rs": "if last > «u64::from(self.durable().journal_units())»" => "u64::from(self.durable().journal_units()) + 2"
    }
    12 "J4" "the checksum of a block rewritten in part is not taken again" {
        "core/src/commit.rs": "«self.refresh_checksums()?;»" => ""
    }
    13 "J4" "records count as journaled by a flush that only wrote some" {
        "core/src/transfer.rs": "let units = «parts(new, crate::format::Unit::capacity(unit_size))»;" => "(new / crate::format::Unit::capacity(unit_size)).max(1)"
    }
    14 "J4" "everything flushed counts as proven at once" {
        "core/src/transfer.rs": "self.proven = «self.proven.max(mark)»;" => "self.sequence - 1"
    }
    15 "W2" "a block rewritten as a whole keeps its old checksum" {
        "core/src/write.rs": "«item.record.crc = (self.checksum)(0, bytes);»" => ""
    }
};
