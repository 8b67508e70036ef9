//! Allocation and admission: rules A1 to A3.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    70 "A1" "a block is given out twice" {
        "core/src/window.rs": "self.set(self.next, «first + count», length - count);" => "first"
    }
    71 "A1" "a spare is used twice" {
        "core/src/allocate.rs": "match «self.spares.pop()» {" => "self.spares.get(self.spares.len().wrapping_sub(1))"
    }
    72 "A2" "a freed block is reused in the same generation" {
        "core/src/allocate.rs": "let mut entry = «self.durable().space()»;" => "self.sb.space"
    }
    73 "A2" "a freed page is reused in the same generation" {
        "core/src/allocate.rs": "«self.spares.push_later(block);»" => "self.spares.push(block);"
    }
    74 "A2" "a node of the space map is changed in place" {
        "core/src/space.rs": "let copy = «if entry.is_written() { 1 - entry.copy } else { 0 }»;" => "entry.copy"
    }
    75 "A2" "blocks given out in this generation are discarded as free" {
        "core/src/pool.rs": "«self.checkpoint()?;»\n        self.window.rewind(0, 0);" => ""
    }
    77 "A3" "growth of the maps is not reserved" {
        "core/src/admit.rs": "let must_stay = «self.reserve() - slack + self.growth + self.held.growth + demand.growth + promised»;" => "self.reserve() - slack + promised"
    }
    78 "A3" "the reserve of a checkpoint forgets the maps" {
        "core/src/commit.rs": "«pending * (height + catalog) + SPARES as u64 + 2 * height» + 4" => "0"
    }
    79 "A3" "what is promised to guaranteed volumes is given to others" {
        "core/src/admit.rs": "let promised = «self.sb.guaranteed.saturating_sub(self.reserve_used).saturating_sub(demand.promised)»;" => "0"
    }
    80 "A3" "nodes are not promised to guaranteed volumes" {
        "core/src/tally.rs": "blocks.saturating_sub(layer.data) + «nodes.saturating_sub(layer.nodes)»" => "0"
    }
    81 "A3" "a snapshot of a guaranteed volume is not refused for want of space" {
        "core/src/layers.rs": "«self.check_room()?;»\n        Ok(LayerId(first))" => ""
    }
    82 "I2" "a used block is not marked" {
        "core/src/commit.rs": "«self.space_mark(entry.block, true)?;»\n            applied.data += 1;" => ""
    }
    83 "I2" "a replaced block is never freed" {
        "core/src/commit.rs": "applied.parents_data -= 1;\n        }\n        «self.space_mark(old.block, false)»" => "Ok(())"
    }
    84 "I2" "a replaced block is freed twice" {
        "core/src/commit.rs": "applied.parents_data -= 1;\n        }\n        «self.space_mark(old.block, false)»" => "self.space_mark(old.block, false)?; self.space_mark(old.block, false)"
    }
    85 "I2" "a freed block is not counted above its bitmap" {
        "core/src/space.rs": "let mut entry = self.space_entry(holder, offset);\n                «entry.free = if used { entry.free.saturating_sub(1) } else { entry.free + 1 };»" => "entry.free = if used { entry.free.saturating_sub(1) } else { entry.free };"
    }
    86 "I2" "a new spare is not marked in the space map" {
        "core/src/allocate.rs": "«self.space_mark(block, true)?;\n            self.sb.free += 1;»" => ""
    }
    162 "A3" "what a volume made smaller copies is taken from what is promised to others" {
        "core/src/resize.rs": "«self.check_free(free.saturating_sub(copies.into()))?;»" => ""
    }
};
