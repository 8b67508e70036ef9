//! Recovery and mounting: rules J5 to J8 and M1 to M7.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    16 "J5" "the data of the unproven tail is not looked at" {
        "core/src/recover.rs": "|| «self.data_matches(&record)?»" => "true"
    }
    17 "J5" "proven records are rejected if their data has changed since" {
        "core/src/recover.rs": "if «unit.sequence <= proven» ||" => "false"
    }
    19 "J5" "earlier records replace later ones" {
        "core/src/recover.rs": "if !self.replay(«place», proven)? {" => "valid - 1 - place"
    }
    20 "J5" "the last unit is not replayed" {
        "core/src/recover.rs": "for place in 0..«valid» {" => "valid.saturating_sub(1)"
    }
    21 "J6" "everything recovered counts as proven" {
        "core/src/recover.rs": "if !self.replay(place, «proven»)? {" => "valid"
    }
    22 "J7" "a proven unit that is lost is taken for a torn tail" {
        "core/src/recover.rs": "} else if «unit.mark > valid» {" => "false"
    }
    23 "J8" "a lost superblock is not noticed by the units that build on it" {
        "core/src/recover.rs": "if «unit.generation > self.sb.generation» {" => "false"
    }
    24 "M1" "the flush at mount is left out" {
        "core/src/newest.rs": "if !geometry.read_only {\n        «device.flush().map_err(Error::Device)?;»" => ""
    }
    25 "M2" "the oldest superblock is taken" {
        "core/src/newest.rs": "map_or(Ordering::Less, |(newest, _)| «newest.cmp(&generation)»)" => "generation.cmp(&newest)"
    }
    26 "M2" "only the first copy of each superblock is read" {
        "core/src/newest.rs": "if «newest.is_some_and(|(_, known)| known != shift) || slot == 0 && shift > 9» {" => "newest.is_some_and(|(_, known)| known != shift) || slot == 0 && shift > 9 || slot % 2 == 1"
    }
    27 "M3" "the sweep begins over blocks that the journal names" {
        "core/src/recover.rs": "self.window.rewind(«position», 0);" => "0"
    }
    28 "M4" "no checkpoint before the first change after a mount" {
        "core/src/mount.rs": "fresh: «true»," => "false"
    }
    29 "M5" "unmounting leaves what is pending to the next flush" {
        "core/src/pool.rs": "if self.store.pending.len() > 0 {\n                «self.store.checkpoint()?;»" => ""
    }
    30 "M6" "a failed flush does not poison" {
        "core/src/commit.rs": "self.device.flush().map_err(|error| «self.poison(\"a flush\", error)»)" => "self.unread(error)"
    }
    31 "M6" "a failed write of data does not poison" {
        "core/src/store.rs": "self.device.write(sector, buffer).map_err(|error| «self.poison(\"writing data\", error)»)" => "self.unread(error)"
    }
    32 "M6" "a failed write of a node does not poison" {
        "core/src/store.rs": "if let Err(error) = self.device.write(block * self.spb, self.cache.bytes(slot)) {\n            return Err(«self.poison(\"writing metadata\", error)»)" => "self.unread(error)"
    }
    33 "M6" "nobody asks whether the pool is poisoned" {
        "core/src/store.rs": "if «self.poisoned» {\n            return Err(self.stop(Error::Poisoned))" => "false"
    }
    34 "M7" "the pending table takes all the memory there is" {
        "core/src/mount.rs": "let table = «index(u64::from(sb.pending())) * PENDING_ITEM»;" => "(index(u64::from(sb.pending())) * PENDING_ITEM).max(workspace.len().saturating_sub(needed_for(sb) + 4096) / PENDING_ITEM * PENDING_ITEM)"
    }
    163 "O15" "the small reader does not look at the data of the unproven tail" {
        "core/src/reader/journal.rs": "if «!proven» {" => "false"
    }
    164 "O15" "the small reader keeps the first of several records" {
        "core/src/reader/journal.rs": "let place = «self.place_of(record.layer, record.address).unwrap_or(self.count)»;" => "self.count"
    }
    165 "O15" "the small reader takes a unit of an earlier generation" {
        "core/src/reader/journal.rs": "if unit.uuid != view.uuid() || «unit.generation < view.generation()» {" => "false"
    }
    166 "O15" "the small reader takes the node in memory for the one of another tree" {
        "core/src/reader.rs": "let known = height > 0 && entry.is_block() && «self.leaf == leaf»;" => "self.leaf.0 != 0 && self.leaf.2 == leaf.2"
    }
    167 "O15" "the small reader does not verify what it reads" {
        "core/src/reader.rs": "if «checked && (self.checksum)(0, held.bytes) != entry.crc» {" => "false"
    }
    168 "O15" "the small reader looks no further than the first page of the catalog" {
        "core/src/reader.rs": "while id < «self.superblock().next_layer()» {" => "self.superblock().next_layer().min(4)"
    }
    169 "O15" "the small reader finds deleted layers" {
        "core/src/reader.rs": "if sought && «!layer.is_deleted()» && Layer::has_name(record, name) {" => "true"
    }
};
