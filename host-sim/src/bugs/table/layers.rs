//! Operations on layers.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    100 "O3" "taking a snapshot does not begin an epoch" {
        "core/src/layers.rs": "self.sb.epoch = «epoch.checked_add(1).ok_or_else(|| self.stop(Error::Exhausted))?»;" => "epoch"
    }
    101 "I11" "a volume remembers its snapshot's epoch off by one" {
        "core/src/layers.rs": "above_it.parent_epoch = «epoch»;" => "epoch - 1"
    }
    102 "I11" "the number of children is not updated" {
        "core/src/layers.rs": "«layer.children = (layer.children + u32::from(new != 0)).saturating_sub(u32::from(old != 0));»" => ""
    }
    103 "I11" "the numbers of children are not updated" {
        "core/src/layers.rs": "«layer.child_xor ^= old ^ new;»" => ""
    }
    104 "I10" "a volume keeps the counts of what its snapshot owns" {
        "core/src/layers.rs": "below.data = «core::mem::take(&mut above_it.data)»;" => "above_it.data"
    }
    105 "O2" "rollback keeps the old content" {
        "core/src/layers.rs": "«self.set_root(open, &root);»\n        Label::put_reverted" => ""
    }
    106 "W1" "rollback keeps the old parent's epoch" {
        "core/src/layers.rs": "open.layer.parent = snapshot;\n        «open.layer.parent_epoch = target.epoch();»" => ""
    }
    107 "O2" "rollback keeps the old size" {
        "core/src/layers.rs": "«open.layer.sectors = target.sectors();»" => ""
    }
    108 "O10" "rollback drops the old head without giving it to merge" {
        "core/src/layers.rs": "None if «owned > 0 || merging» => {" => "merging"
    }
    109 "W1" "a clone owns what its snapshot owns" {
        "core/src/layers.rs": "open.layer.parent_epoch = «source.epoch()»;" => "source.parent_epoch()"
    }
    110 "O2" "the number of a removed layer is given out again" {
        "core/src/catalog.rs": "«»let described = self.view((open.slot" => "if id + 1 == self.sb.next_layer { self.sb.next_layer = id; }"
    }
    111 "O2" "deleting a snapshot takes its last child along" {
        "core/src/layers.rs": "«»let epoch = if closed == 0 {" => "let deleted = self.layer(id.0)?.decode(); if deleted.children == 1 { let mut open = self.open(deleted.child_xor)?; open.layer.flags |= LayerFlags::DELETED; self.save(&open); }"
    }
    112 "O11" "room is looked for after a volume was made, and not undone" {
        "core/src/commit.rs": "Err(Stop) => «Err(Stop)»,\n        };\n        if result.is_err()" => "{ if matches!(self.failure, Error::NoSpace { .. }) { self.commit()?; return Err(Stop); } Err(Stop) }"
    }
    113 "O5" "a volume made smaller keeps what was cut off" {
        "core/src/resize.rs": "«self.cut(open, blocks, limit)?»;" => "0"
    }
    114 "O5" "a volume made larger shows what is behind its old end" {
        "core/src/resize.rs": "«self.hide_tail(volume, old)?;»" => ""
    }
    115 "O10" "a map made smaller loses what was cut off" {
        "core/src/resize.rs": "if «owned > 0 || merging» {" => "merging"
    }
    116 "O2" "a staged attachment outlives its mount" {
        "core/src/catalog.rs": "layer.flags().contains(LayerFlags::STAGED) && «layer.mounted() != self.mounted»" => "layer.mounted() == 0"
    }
    117 "O2" "a name can be given twice" {
        "core/src/layers.rs": "Some(id) if «id != but» => Err(self.stop(Error::NameTaken" => "id == u32::MAX"
    }
};
