//! Writing and discarding: rules W1 to W5.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    54 "W1" "a block of the snapshot just taken counts as the volume's own" {
        "core/src/write.rs": "None => (entry.is_block() && «entry.birth > self.limit_of(head, address)»," => "entry.birth >= self.limit_of(head, address)"
    }
    55 "W1" "the merge's front is not honoured" {
        "core/src/commit.rs": "parent != 0 && «address < merge.front»" => "false"
    }
    56 "W2" "a block that the unproven tail names is written over" {
        "core/src/write.rs": "(entry.is_block(), «item.unit == 0 || item.unit <= self.proven»)" => "true"
    }
    57 "W2" "a volume with integrity is written in place" {
        "core/src/write.rs": "if owned && settled && «!head.has_integrity()» {" => "true"
    }
    58 "W3" "a part of a new block is written without the rest" {
        "core/src/write.rs": "«self.compose(head, address, &old)?;»" => "self.store.scratch.fill(0);"
    }
    59 "W3" "a record goes to the neighbouring address" {
        "core/src/write.rs": "store.note_data(head, «address», block + wide(i), content, growth)?;" => "address ^ 1"
    }
    60 "W3" "the data of a new block is not written" {
        "core/src/write.rs": "let bytes = bytes.get(..index(count) * size).unwrap_or(&[]);\n        «store.device_write(block * store.spb, bytes)?;»" => "if growth.is_none() { store.device_write(block * store.spb, bytes)?; }"
    }
    61 "W4" "a full table is called a lack of space" {
        "core/src/admit.rs": "if «self.pending.len() > 0 || self.window.taken > 0» {\n            return self.checkpoint();" => "false"
    }
    62 "W4" "a long write is not admitted as a whole" {
        "core/src/write.rs": "«self.store.admit_range(volume, sector / spb, (sector + count - 1) / spb)?;»" => ""
    }
    63 "W4" "a relocation may not use the slack" {
        "core/src/admit.rs": "let slack = «if demand.relocation { SLACK } else { 0 }»;" => "0"
    }
    64 "W5" "a discard is admitted like a write" {
        "core/src/discard.rs": "if «room || growth == 0 && gives_back == 0 && self.room() >= demand.items» {" => "room",
        "core/src/discard.rs": "blocks: «gives_back», ..demand" => "1"
    }
    65 "W5" "a discarded block shows the base again" {
        "core/src/discard.rs": "let target = «if over_base { Entry::ZERO } else { Entry::EMPTY }»;" => "Entry::EMPTY"
    }
    66 "W5" "a discard takes the last block in part" {
        "core/src/discard.rs": "let end = sector + count;\n        let last = «if end == head.sectors { spb.ceil(end) } else { end / spb }»;\n        self.clear" => "spb.ceil(end)"
    }
    67 "O5" "a run goes on over blocks that do not follow each other" {
        "core/src/locate.rs": "entry.is_block() && «entry.block == first.block + count»" => "true"
    }
    68 "O13" "a run from the tree goes on over pending records" {
        "core/src/locate.rs": "let next = «self.pending.next_address(head.id, address).map_or(most, |next| most.min(next - address))»;" => "most"
    }
    69 "O5" "the checksum of data is not verified" {
        "core/src/read.rs": "if «head.has_integrity() && (store.checksum)(0, store.scratch) != entry.crc» {" => "false"
    }
};
