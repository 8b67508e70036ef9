//! The harness itself: a device whose flush lies, an oracle that overlooks something.

use crate::bugs::Bug;

pub(super) const BUGS: &[Bug] = bugs! {
    140 "F9" "the device's flush does nothing and says yes" {
        "host-sim/src/sim/disk.rs": "if «!state.lying» {" => "false"
    }
    141 "F13" "the device's flush loses what it makes durable" {
        "host-sim/src/sim/disk.rs": "self.durable[sector as usize] = Some(bytes);" => "let _ = (sector, bytes);"
    }
    143 "F9" "the explorer's disk: the flush does nothing and says yes" {
        "host-sim/src/sim/explore/disk.rs": "if «state.lying» {\n            return Ok(());\n        }\n        for (sector, bytes) in state.pending" => "true"
    }
    144 "O1" "the oracle does not compare what sectors hold" {
        "host-sim/src/sim/model.rs": "let allowed = |bytes: &[u8]| «value_of(bytes) == tag || or(*id, sector, bytes)»;" => "!bytes.is_empty()"
    }
    145 "O2" "the oracle does not notice a layer too many" {
        "host-sim/src/sim/model.rs": "if «!expected.keys().eq(found.keys())» {" => "expected.keys().any(|id| !found.contains_key(id))"
    }
    146 "O2" "the oracle does not compare names and sizes" {
        "host-sim/src/sim/model.rs": "if «*name != layer.name || bytes.len() != layer.content.len() * sector_size» {" => "false"
    }
    147 "O5" "the oracle takes any value for one that was written" {
        "host-sim/src/sim/model.rs": "if «tag_of(bytes).is_some_and(|tag| tags.contains(&tag))» {" => "true"
    }
    148 "O1" "the oracle forgives the loss of what a barrier made durable" {
        "host-sim/src/sim/model.rs": "self.durable = self.now.clone();\n        «self.open.clear();»" => ""
    }
    149 "O11" "the oracle accepts what was refused" {
        "host-sim/src/sim/model.rs": "pub fn refused(&mut self) {\n        «self.in_flight = None;»" => ""
    }
    150 "O6" "the oracle accepts torn sectors where there are checksums" {
        "host-sim/src/sim/model.rs": "if «self.whole» || open.range" => "false"
    }
    151 "O7" "the oracle takes whatever a mount shows" {
        "host-sim/src/sim/model.rs": "let outcome = «self.compare_after_crash(found, sector_size)?»;" => "Outcome::Before"
    }
    152 "O2" "the oracle accepts half of an operation on layers" {
        "host-sim/src/sim/model.rs": "let after = || «compare(after, found, sector_size, &|_, _, _| false, ways)»;" => "compare(after, found, sector_size, &|_, _, _| true, ways)"
    }
};
