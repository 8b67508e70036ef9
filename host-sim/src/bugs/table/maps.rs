//! Maps and the cache: births, owners, checksums.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    87 "C1" "a block born in the parent's epoch is freed" {
        "core/src/commit.rs": "if «old.birth <= tree.limit» {" => "old.birth < tree.limit"
    }
    88 "C1" "a node born in the parent's epoch is freed" {
        "core/src/tree.rs": "let released = if entry.is_block() && «entry.birth > tree.limit» {" => "entry.birth >= tree.limit"
    }
    89 "C1" "a replaced node is never freed" {
        "core/src/tree.rs": "tree.count(entry.birth, -1);\n            «self.release_node(tree, entry.block)»\n        } else" => "Ok(())"
    }
    90 "I3" "a node is changed in place" {
        "core/src/tree.rs": "let (block, ()) = (block?, released?);\n        «»" => "let block = if entry.is_block() && entry.birth > tree.limit && tree.what == Object::MapNode { self.space_mark(block, false)?; self.space_mark(entry.block, true)?; entry.block } else { block };"
    }
    91 "I9" "a new node has the birth of the one before it" {
        "core/src/tree.rs": "let birth = «if tree.keep_birth { entry.birth } else { self.sb.epoch }»;" => "if tree.keep_birth || entry.is_block() { entry.birth } else { self.sb.epoch }"
    }
    92 "I9" "an entry is born an epoch too early" {
        "core/src/write.rs": "let entry = Entry { block, birth: «self.sb.epoch»," => "(self.sb.epoch - 1).max(1)"
    }
    93 "O10" "an empty node stays" {
        "core/src/tree.rs": "if «entry.is_empty()» {\n            self.prune" => "false"
    }
    94 "O10" "a node that goes away is not freed" {
        "core/src/tree.rs": "let released = «self.release_node(tree, entry.block)»;\n            self.unpin" => "Ok(())"
    }
    95 "F11" "the parent's checksum is not compared" {
        "core/src/store.rs": "if «(self.checksum)(0, buffer) != crc» {" => "false"
    }
    96 "F12" "the cache keeps what was at a block before" {
        "core/src/store.rs": "«self.cache.assign(stale, None);»\n        }\n        self.cache.assign(slot, Some(block));" => ""
    }
    97 "I6" "the parent of a dirty node may leave the cache" {
        "core/src/cache.rs": "let held = u8_at(self.meta(slot), PINS) > 0 || «self.dirty_children(slot) > 0»;" => "false"
    }
    98 "I7" "the search in the pending table stops one too late" {
        "core/src/pending.rs": "if «self.key(middle) < (layer, address)» {" => "self.key(middle) <= (layer, address)"
    }
    99 "I7" "a new item takes the place of its neighbour" {
        "core/src/pending.rs": "for place in «behind.as_chunks_mut().0» {" => "behind.as_chunks_mut().0.get_mut(..1).unwrap_or(&mut [])"
    }
};
