//! Made from `recover.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// Reads the journal into the pending table (J5 to J9).
    #[inline(never)]
    pub(crate) async fn recover(&mut self) -> Outcome<()> {
        let mut valid = 0;
        let mut proven = 0;
        let mut position = 0;
        let mut sound = true;
        for place in 0..self.durable().journal_units() {
            let Some(unit) = self.read_unit(place).await? else {
                sound = false;
                continue;
            };
            if unit.generation > self.sb.generation {
                return Err(self.damaged(Object::Superblock, 0));
            }
            if unit.generation < self.sb.generation {
                sound = false;
                continue;
            }
            if unit.sequence != place + 1 {
                // It was written here instead of elsewhere, perhaps over a unit that was durable.
                return Err(self.damaged(Object::Journal, GROUP_START));
            }
            position = self.furthest(&unit, position);
            if sound {
                valid = unit.sequence;
                proven = proven.max(unit.mark);
            } else if unit.mark > valid {
                // A unit that was durable when this one was written is not valid: damage, not a torn tail.
                return Err(self.damaged(Object::Journal, GROUP_START));
            }
        }
        for place in 0..valid {
            if !self.replay(place, proven).await? {
                valid = place;
                break;
            }
        }
        self.sequence = valid + 1;
        self.flushed = valid;
        self.proven = proven;
        self.window.rewind(position, 0);
        Ok(())
    }

    /// A unit of this pool, in the scratch buffer.
    pub(crate) async fn read_unit(&mut self, place: u32) -> Outcome<Option<Unit>> {
        let sector = self.unit_sector(place);
        let bytes = self.scratch.get_mut(..1 << self.durable().unit_shift()).unwrap_or(&mut []);
        self.stats.reads += 1;
        if let Err(error) = self.device.read(sector, bytes).await {
            return Err(self.unread(error));
        }
        Ok(Unit::decode(bytes, self.checksum).filter(|unit| unit.uuid == self.durable().uuid()))
    }

    /// Where the sweep of allocation must go on, given a unit in the scratch buffer: behind every block that it names (A1).
    pub(crate) fn furthest(&self, unit: &Unit, mut position: u64) -> u64 {
        for i in 0..usize::from(unit.count) {
            let entry = Record::decode(self.scratch, UNIT_HEADER + i * Record::SIZE).entry;
            if entry.is_block() && entry.block < self.layout.total {
                position = position.max(self.window.distance(entry.block, self.layout.total) + 1);
            }
        }
        position
    }

    /// Takes in the records of a valid unit: all of them if it is proven, else those whose data is there. False if the unit of an
    /// unproven place is another one at this second look: its sector was being written when the power went.
    pub(crate) async fn replay(&mut self, place: u32, proven: u32) -> Outcome<bool> {
        let generation = self.sb.generation;
        let same = |unit: &Unit| unit.generation == generation && unit.sequence == place + 1;
        let Some(unit) = self.read_unit(place).await?.filter(same) else {
            return if place < proven { Err(self.damaged(Object::Journal, GROUP_START)) } else { Ok(false) };
        };
        for i in 0..usize::from(unit.count) {
            let record = Record::decode(self.scratch, UNIT_HEADER + i * Record::SIZE);
            if unit.sequence <= proven || !record.entry.is_block() || self.data_matches(&record).await? {
                self.accept(&record, unit.sequence)?;
            }
        }
        Ok(true)
    }

    pub(crate) async fn data_matches(&mut self, record: &Record) -> Outcome<bool> {
        self.check_pointer(Object::Journal, record.entry.block)?;
        let slot = self.vacate().await?;
        let buffer = self.cache.bytes_mut(slot);
        self.stats.reads += 1;
        if let Err(error) = self.device.read(record.entry.block * self.spb, buffer).await {
            return Err(self.unread(error));
        }
        Ok((self.checksum)(0, buffer) == record.crc)
    }

    pub(crate) fn accept(&mut self, record: &Record, unit: u32) -> Outcome<()> {
        if record.entry.is_block() {
            self.check_pointer(Object::Journal, record.entry.block)?;
        }
        if record.entry.birth > self.sb.epoch || record.layer == 0 {
            return Err(self.damaged(Object::Journal, GROUP_START));
        }
        let item = Item { record: *record, unit, ..Item::default() };
        if self.pending.insert(&item) { Ok(()) } else { Err(self.damaged(Object::Journal, GROUP_START)) }
    }
}
