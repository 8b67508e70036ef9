//! The checkpoint: rules C1 to C5.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    35 "C1" "an operation on layers forgets what is pending" {
        "core/src/commit.rs": "let applied = «self.apply_pending()»;" => "Ok(())"
    }
    36 "C1" "pending records of one layer go to another" {
        "core/src/commit.rs": "let Ok(ref mut open) = self.open(«id») else { return Err(Stop) };\n            let mut tree" => "if id > 1 { 1 } else { id }"
    }
    37 "C2" "the catalog's change goes before what is pending" {
        "core/src/commit.rs": "let applied = «self.apply_pending()»;" => "Ok(())",
        "core/src/commit.rs": "Ok(value) => «self.commit().map(|()| value)»," => "match self.apply_pending() { Ok(()) => self.commit().map(|()| value), Err(error) => Err(error) }"
    }
    38 "C3" "barrier 1 is left out" {
        "core/src/commit.rs": "self.sb.cursor = self.next_cursor();\n        «self.barrier()?;»" => ""
    }
    39 "C3" "a parent is written before its children" {
        "core/src/store.rs": "&& «self.cache.dirty_children(slot) == 0»" => "true"
    }
    40 "C3" "a node's checksum is not handed to its parent" {
        "core/src/store.rs": "(parent, offset) => «put_u32(self.cache.bytes_mut(parent), offset + 12, crc)»," => "let _ = (parent, offset);"
    }
    41 "C4" "barrier 2 is left out" {
        "core/src/commit.rs": "self.write_superblock()?;\n        «self.barrier()?;»" => ""
    }
    42 "C4" "the superblock is written before barrier 1" {
        "core/src/commit.rs": "self.barrier()?;\n        self.write_superblock()?;" => "self.write_superblock()?; self.barrier()?;"
    }
    43 "C4" "every generation goes to the same pair of slots" {
        "core/src/commit.rs": "let pair = «u8::from(self.sb.generation % 2 == 1) * 2»;" => "0"
    }
    44 "C4" "a superblock has one copy" {
        "core/src/commit.rs": "for slot in «[pair, pair + 1]» {" => "[pair, pair]"
    }
    45 "C4" "the generation does not increase" {
        "core/src/commit.rs": "«self.sb.generation = generation;»" => ""
    }
    46 "C5" "the pending table is not emptied" {
        "core/src/commit.rs": "self.cache.drop_dirty();\n        «self.pending.clear();»" => ""
    }
    47 "C5" "units of a new generation do not begin at the first place" {
        "core/src/commit.rs": "«self.sequence = 1;»" => ""
    }
    48 "C5" "a new generation vouches for units of the old one" {
        "core/src/commit.rs": "«self.flushed = 0;»" => ""
    }
    50 "C5" "memory forgets that a generation is in force" {
        "core/src/commit.rs": "«copy(self.saved, self.scratch);»" => ""
    }
    51 "C5" "an operation that fails leaves its superblock in memory" {
        "core/src/commit.rs": "self.cache.unpin_all();\n        «self.sb = self.durable().state();»" => ""
    }
    52 "C5" "an operation that fails leaves its nodes in the cache" {
        "core/src/commit.rs": "«self.cache.drop_dirty();\n        self.cache.unpin_all();»" => "self.cache.unpin_all();"
    }
    53 "C5" "layers that are remembered are not looked up again after a change" {
        "core/src/commit.rs": "«self.heads.clear();»\n        let applied" => "",
        "core/src/commit.rs": "self.pending.clear();\n        «self.heads.clear();»" => ""
    }
    153 "C5" "what was taken out of promises counts on in a new generation" {
        "core/src/commit.rs": "self.growth = 0;\n        «self.reserve_used = 0;»" => ""
    }
};
