//! Merge and trim: rules G1 and G2.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    118 "G1" "merge frees what belongs to the grandparent" {
        "core/src/merge.rs": "if !entry.is_block() || «entry.birth <= limit» || entry.same(&peer) {" => "entry.birth < limit"
    }
    119 "G1" "merge frees data that the child shares" {
        "core/src/merge.rs": "if entry.is_block() && entry.birth > limit && «!entry.same(&other)» {" => "true"
    }
    120 "G1" "merge does not skip what the child shares" {
        "core/src/merge.rs": "|| «entry.same(&peer)» {\n                self.sb.merge.front" => "false"
    }
    121 "G1" "the front does not come along" {
        "core/src/merge.rs": "«self.sb.merge.front += 1;»" => ""
    }
    122 "G1" "the front is not stored" {
        "core/src/format/superblock/state.rs": "put_u64(bytes, 160, «self.merge.front»);" => "0"
    }
    123 "G1" "applying records does not honour the front" {
        "core/src/commit.rs": "tree.limit = «self.limit_for(open.layer.parent, open.layer.parent_epoch, item.record.address)»;" => "open.layer.parent_epoch"
    }
    124 "G1" "nodes that the front has left are not freed" {
        "core/src/merge.rs": "«self.space_mark(block, false)?;\n            freed.nodes += 1;»" => ""
    }
    125 "G1" "the child keeps the deleted layer's epoch" {
        "core/src/merge.rs": "«heir.parent_epoch = layer.parent_epoch;»" => ""
    }
    126 "I10" "the child does not take over the counts" {
        "core/src/merge.rs": "«heir.data += left.data;»" => ""
    }
    127 "I11" "the grandparent does not learn of its new child" {
        "core/src/merge.rs": "«self.exchange_child(layer.parent, layer.id, heir)?;»" => ""
    }
    128 "G1" "every step begins a merge anew" {
        "core/src/merge.rs": "if «self.sb.merge.mode == MergeMode::None» {\n            let mode" => "self.sb.merge.mode != MergeMode::Trim"
    }
    129 "G1" "the front goes one too far" {
        "core/src/merge.rs": "self.sb.merge.front = «self.behind(level, front)»;\n                break;" => "self.behind(level, front) + 1"
    }
    130 "G2" "trim looks at one child only" {
        "core/src/trim.rs": "return Ok(true);\n            }\n        «»}\n        let mut next = peers.more;" => "break;"
    }
    131 "G2" "trim clears what an ancestor owns" {
        "core/src/trim.rs": "if «owned && !stays || zero» {" => "!stays || zero"
    }
    132 "G2" "trim makes nodes that belong to nobody" {
        "core/src/trim.rs": "tree.keep_birth = «true»;" => "false"
    }
    133 "G2" "trim frees a block and keeps the entry" {
        "core/src/trim.rs": "«self.tree_set(tree, front, level, &Entry::EMPTY)?;»" => ""
    }
    134 "G2" "a replaced entry does not arm the branching point again" {
        "core/src/commit.rs": "if «applied.replaced != 0» {" => "false"
    }
};
