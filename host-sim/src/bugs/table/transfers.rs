//! Transfers outside the pool: rules T1 to T6.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    154 "T1" "a checkpoint begins while a transfer is under way" {
        "core/src/transfer.rs": "match «self.held.transfers» {" => "0"
    }
    155 "T4" "a unit takes the checksum of a block that is being written" {
        "core/src/transfer.rs": "if «self.held.unsettled > 0» {" => "false"
    }
    156 "T4" "of two writes over one block the last to be committed gives the checksum" {
        "core/src/transfer.rs": "item.stale = «sum.is_none() || item.stale»;" => "sum.is_none()"
    }
    157 "T3" "the records of prepared writes are not held" {
        "core/src/transfer.rs": "«self.held.items += index(blocks);»" => ""
    }
    158 "T6" "a flush that was begun before a checkpoint counts after it" {
        "core/src/transfer.rs": ".filter(|_| «flushing.generation == self.durable().generation()»)" => "true"
    }
    159 "T4" "a write over a block that is mapped no more gives its checksum to the record that is" {
        "core/src/transfer.rs": "|| «item.record.entry.block != writing.block + i»" => "false"
    }
    160 "T2" "a cancelled write is committed" {
        "core/src/transfer.rs": "pub fn cancel(&mut self, writing: Writing) {\n        «self.store.settle_transfer(&writing);»" => "let sums = [0; 64]; let count = index(writing.blocks).min(64); return drop(self.commit(writing, sums.get(..count).unwrap_or(&[])));"
    }
    161 "T5" "a write in place that was broken off leaves its block with the old checksum" {
        "core/src/transfer.rs": "«self.store.rewritten_apart(&writing, None);»" => ""
    }
};
