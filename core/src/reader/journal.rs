//! The journal, as the small reader takes it: rules J5 to J9 in the words of `docs/FORMAT.md`, chapter 6.

use super::Reader;
use crate::{
    bytes::{copy, u32_at, u64_at},
    device::BlockDevice,
    error::Object,
    format::{GROUP_START, Record, SuperblockView, UNIT_HEADER, Unit},
    store::Outcome,
};

#[cfg(feature = "async")]
#[path = "../asynch/reader/journal.rs"]
pub(crate) mod asynch;

impl<D: BlockDevice> Reader<'_, D> {
    /// Takes in what counts of the journal (FORMAT 6).
    pub(super) fn recover(&mut self) -> Outcome<()> {
        let (mut valid, mut proven, mut sound) = (0, 0, true);
        for place in 0..self.superblock().journal_units() {
            let unit = self.unit(place)?;
            let Some(unit) = unit else {
                sound = false;
                continue;
            };
            if sound {
                valid = unit.sequence;
                proven = unit.mark.max(proven);
            } else if unit.mark > valid {
                return Err(self.medium.damaged(Object::Journal, GROUP_START));
            }
        }
        for place in 0..valid {
            let Some(unit) = self.unit(place)? else {
                return if place < proven { Err(self.medium.damaged(Object::Journal, GROUP_START)) } else { Ok(()) };
            };
            for i in 0..usize::from(unit.count) {
                self.take_in(UNIT_HEADER + i * Record::SIZE, place < proven)?;
            }
        }
        Ok(())
    }

    /// The unit of this generation at a place of the journal.
    fn unit(&mut self, place: u32) -> Outcome<Option<Unit>> {
        let view = SuperblockView(self.saved);
        let (unit_shift, sector_shift) = (u32::from(view.unit_shift()), u32::from(view.sector_shift()));
        let sector = (GROUP_START * self.medium.spb) + (u64::from(place) << unit_shift.saturating_sub(sector_shift));
        self.node.found = (0, None);
        self.leaf.0 = 0;
        let bytes = self.node.bytes.get_mut(..1 << unit_shift).unwrap_or(&mut []);
        self.medium.read(sector, bytes)?;
        let Some(unit) = Unit::decode(bytes, self.medium.checksum) else { return Ok(None) };
        if unit.uuid != view.uuid() || unit.generation < view.generation() {
            return Ok(None);
        }
        if unit.generation > view.generation() {
            return Err(self.medium.damaged(Object::Superblock, 0));
        }
        if unit.sequence != place + 1 {
            return Err(self.medium.damaged(Object::Journal, GROUP_START));
        }
        Ok(Some(unit))
    }

    /// Takes in the record at this offset of a unit, if it is proven or its data is there.
    fn take_in(&mut self, offset: usize, proven: bool) -> Outcome<()> {
        let Some(bytes) = self.node.bytes.get(offset..).and_then(|bytes| bytes.first_chunk::<{ Record::SIZE }>())
        else {
            return Ok(());
        };
        let record = Record::decode(bytes, 0);
        if record.entry.is_block() {
            self.medium.check_pointer(&record.entry, Object::Journal)?;
            if !proven {
                self.medium.load(&mut self.block, &record.entry, false, Object::Journal)?;
                if (self.medium.checksum)(0, self.block.bytes) != record.crc {
                    return Ok(());
                }
            }
        }
        let place = self.place_of(record.layer, record.address).unwrap_or(self.count);
        let possible = record.entry.birth <= self.superblock().epoch() && record.layer != 0;
        match self.records.get_mut(place) {
            Some(kept) if possible => {
                copy(kept, bytes);
                self.count = self.count.max(place + 1);
                Ok(())
            }
            _ => Err(self.medium.damaged(Object::Journal, GROUP_START)),
        }
    }

    /// Where the record for an address of a layer is.
    pub(super) fn place_of(&self, layer: u32, address: u64) -> Option<usize> {
        let known = self.records.get(..self.count).unwrap_or(&[]);
        known.iter().position(|kept| u64_at(kept, Record::ADDRESS) == address && u32_at(kept, Record::LAYER) == layer)
    }
}
