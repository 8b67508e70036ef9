//! The cache: a fixed number of block buffers for metadata, each known by its block on the device.
//!
//! Pure bookkeeping over slices of the workspace; reading and writing is the [store](crate::store)'s. Invariants:
//! - a block is in at most one slot;
//! - a slot with pins or with dirty children is never given away, so the parent of a dirty node is always there to take
//!   its checksum;
//! - every dirty slot is on the dirty list (which may also name clean ones).
//!
//! A slot's bookkeeping, 32 bytes: block, chain, parent slot, dirty list, checksum, offset in the parent, dirty children,
//! pins, flags.

use crate::bytes::{index, put_u8, put_u16, put_u32, put_u64, split, u8_at, u16_at, u32_at, u64_at, wide};

/// Number of a slot.
pub(crate) type Slot = u32;

/// No slot.
pub(crate) const NONE: Slot = u32::MAX;
/// As a parent: the catalog root in the superblock.
pub(crate) const CATALOG_ROOT: Slot = u32::MAX - 1;
/// As a parent: the space root in the superblock.
pub(crate) const SPACE_ROOT: Slot = u32::MAX - 2;

/// Bytes of bookkeeping for each slot, its share of the hash table included.
pub(crate) const OVERHEAD: usize = META + 4;
const META: usize = 32;
const VACANT: u64 = u64::MAX;

const BLOCK: usize = 0;
const CHAIN: usize = 8;
const PARENT: usize = 12;
const LIST: usize = 16;
const CRC: usize = 20;
const OFFSET: usize = 24;
const CHILDREN: usize = 26;
const PINS: usize = 28;
const FLAGS: usize = 29;

const DIRTY: u8 = 1;
const USED: u8 = 2;
const LISTED: u8 = 4;
const MAP: u8 = 8;

pub(crate) struct Cache<'w> {
    meta: &'w mut [[u8; META]],
    table: &'w mut [u8],
    data: &'w mut [u8],
    block_size: usize,
    slots: u32,
    hand: u32,
    dirty_head: Slot,
    dirty: u32,
}

impl<'w> Cache<'w> {
    /// Divides the memory into as many slots as fit; all vacant.
    pub(crate) fn new(memory: &'w mut [u8], block_size: usize) -> Self {
        let slots = (memory.len() / block_size.saturating_add(OVERHEAD)).min(index(u64::from(u32::MAX - 8)));
        let (data, rest) = split(memory, slots * block_size);
        let (meta, rest) = split(rest, slots * META);
        let meta = meta.as_chunks_mut().0;
        let table = split(rest, slots * 4).0;
        let slots = u32::try_from(slots).unwrap_or(0);
        let mut cache = Self { meta, table, data, block_size, slots, hand: 0, dirty_head: NONE, dirty: 0 };
        cache.reset();
        cache
    }

    #[inline]
    pub(crate) fn slots(&self) -> u32 {
        self.slots
    }

    fn reset(&mut self) {
        self.table.fill(0xff);
        self.meta.fill([0; META]);
        for slot in 0..self.slots {
            put_u64(self.meta_mut(slot), BLOCK, VACANT);
        }
        self.dirty_head = NONE;
        self.dirty = 0;
    }

    #[inline]
    fn meta(&self, slot: Slot) -> &[u8; META] {
        debug_assert!(slot < self.slots, "slot {slot}");
        self.meta.get(slot as usize).unwrap_or(&[0; META])
    }

    #[inline]
    fn meta_mut(&mut self, slot: Slot) -> &mut [u8] {
        self.meta.get_mut(slot as usize).map_or(&mut [], |meta| meta)
    }

    #[inline]
    fn bucket(&self, block: u64) -> usize {
        let hash = block.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        index((hash * u64::from(self.slots)) >> 32) * 4
    }

    #[inline]
    pub(crate) fn find(&self, block: u64) -> Option<Slot> {
        let mut slot = u32_at(self.table, self.bucket(block));
        for _ in 0..self.slots {
            if slot == NONE || self.block(slot) == block {
                break;
            }
            slot = u32_at(self.meta(slot), CHAIN);
        }
        (slot != NONE).then_some(slot)
    }

    #[inline]
    pub(crate) fn block(&self, slot: Slot) -> u64 {
        u64_at(self.meta(slot), BLOCK)
    }

    #[inline]
    pub(crate) fn is_vacant(&self, slot: Slot) -> bool {
        self.block(slot) == VACANT
    }

    /// Takes the slot out of the table and gives it another block; `None` leaves it vacant.
    pub(crate) fn assign(&mut self, slot: Slot, block: Option<u64>) {
        if !self.is_vacant(slot) {
            self.unlink(slot);
        }
        put_u64(self.meta_mut(slot), BLOCK, block.unwrap_or(VACANT));
        if let Some(block) = block {
            let bucket = self.bucket(block);
            let next = u32_at(self.table, bucket);
            put_u32(self.meta_mut(slot), CHAIN, next);
            put_u32(self.table, bucket, slot);
        }
    }

    fn unlink(&mut self, slot: Slot) {
        let next = u32_at(self.meta(slot), CHAIN);
        let bucket = self.bucket(self.block(slot));
        let mut at = u32_at(self.table, bucket);
        if at == slot {
            put_u32(self.table, bucket, next);
            return;
        }
        for _ in 0..self.slots {
            if at == NONE {
                return;
            }
            let after = u32_at(self.meta(at), CHAIN);
            if after == slot {
                put_u32(self.meta_mut(at), CHAIN, next);
                return;
            }
            at = after;
        }
    }

    #[inline]
    pub(crate) fn bytes(&self, slot: Slot) -> &[u8] {
        let start = slot as usize * self.block_size;
        self.data.get(start..start + self.block_size).unwrap_or(&[])
    }

    #[inline]
    pub(crate) fn bytes_mut(&mut self, slot: Slot) -> &mut [u8] {
        let start = slot as usize * self.block_size;
        self.data.get_mut(start..start + self.block_size).unwrap_or(&mut [])
    }

    #[inline]
    pub(crate) fn crc(&self, slot: Slot) -> u32 {
        u32_at(self.meta(slot), CRC)
    }

    #[inline]
    pub(crate) fn set_crc(&mut self, slot: Slot, crc: u32) {
        put_u32(self.meta_mut(slot), CRC, crc);
    }

    /// The slot of the parent, and where in it the entry for this one is.
    #[inline]
    pub(crate) fn parent(&self, slot: Slot) -> (Slot, usize) {
        (u32_at(self.meta(slot), PARENT), usize::from(u16_at(self.meta(slot), OFFSET)))
    }

    #[inline]
    fn flag(&self, slot: Slot, flag: u8) -> bool {
        u8_at(self.meta(slot), FLAGS) & flag != 0
    }

    #[inline]
    fn set_flag(&mut self, slot: Slot, flag: u8, on: bool) {
        let old = u8_at(self.meta(slot), FLAGS);
        put_u8(self.meta_mut(slot), FLAGS, if on { old | flag } else { old & !flag });
    }

    /// Marks the slot as used lately.
    #[inline]
    pub(crate) fn touch(&mut self, slot: Slot) {
        self.set_flag(slot, USED, true);
    }

    pub(crate) fn pin(&mut self, slot: Slot) {
        let pins = u8_at(self.meta(slot), PINS);
        put_u8(self.meta_mut(slot), PINS, pins.saturating_add(1));
    }

    pub(crate) fn unpin(&mut self, slot: Slot) {
        let pins = u8_at(self.meta(slot), PINS);
        put_u8(self.meta_mut(slot), PINS, pins.saturating_sub(1));
    }

    #[inline]
    pub(crate) fn is_dirty(&self, slot: Slot) -> bool {
        self.flag(slot, DIRTY)
    }

    /// Someone relies on the slot: it is dirty or pinned.
    pub(crate) fn is_held(&self, slot: Slot) -> bool {
        self.is_dirty(slot) || u8_at(self.meta(slot), PINS) > 0
    }

    /// Number of dirty slots.
    pub(crate) fn dirty(&self) -> u32 {
        self.dirty
    }

    #[inline]
    pub(crate) fn dirty_children(&self, slot: Slot) -> u16 {
        u16_at(self.meta(slot), CHILDREN)
    }

    fn count_child(&mut self, parent: Slot, up: bool) {
        if parent < self.slots {
            let children = self.dirty_children(parent);
            let children = if up { children.saturating_add(1) } else { children.saturating_sub(1) };
            put_u16(self.meta_mut(parent), CHILDREN, children);
        }
    }

    /// The dirty slot is a node of a layer's map.
    #[inline]
    pub(crate) fn is_map(&self, slot: Slot) -> bool {
        self.flag(slot, MAP)
    }

    /// Says what the dirty slot is.
    pub(crate) fn set_map(&mut self, slot: Slot, map: bool) {
        self.set_flag(slot, MAP, map);
    }

    /// Marks the slot as changed, with the place that is to take its checksum.
    pub(crate) fn set_dirty(&mut self, slot: Slot, parent: Slot, offset: usize) {
        debug_assert!(!self.is_dirty(slot));
        put_u32(self.meta_mut(slot), PARENT, parent);
        put_u16(self.meta_mut(slot), OFFSET, u16::try_from(offset).unwrap_or(0));
        self.set_flag(slot, DIRTY, true);
        self.set_flag(slot, MAP, false);
        self.dirty += 1;
        self.count_child(parent, true);
        if !self.flag(slot, LISTED) {
            self.set_flag(slot, LISTED, true);
            let next = self.dirty_head;
            put_u32(self.meta_mut(slot), LIST, next);
            self.dirty_head = slot;
        }
    }

    /// The slot is as on the device again, or is dropped.
    pub(crate) fn set_clean(&mut self, slot: Slot) {
        if self.is_dirty(slot) {
            self.set_flag(slot, DIRTY, false);
            self.dirty -= 1;
            let (parent, _) = self.parent(slot);
            self.count_child(parent, false);
        }
    }

    /// First slot of the dirty list.
    pub(crate) fn dirty_list(&self) -> Slot {
        self.dirty_head
    }

    /// The slot after this one on the dirty list.
    pub(crate) fn dirty_after(&self, slot: Slot) -> Slot {
        u32_at(self.meta(slot), LIST)
    }

    /// Lets go of every pin: for operations that were broken off.
    pub(crate) fn unpin_all(&mut self) {
        for slot in 0..self.slots {
            put_u8(self.meta_mut(slot), PINS, 0);
        }
    }

    /// Forgets the dirty list; what is still dirty on it is dropped from the cache.
    pub(crate) fn drop_dirty(&mut self) {
        while self.dirty_head != NONE {
            let slot = self.dirty_head;
            self.dirty_head = self.dirty_after(slot);
            self.set_flag(slot, LISTED, false);
            if self.is_dirty(slot) {
                self.set_clean(slot);
                self.assign(slot, None);
            }
        }
    }

    /// A slot that may be given away: vacant or clean if there is one, else a dirty one that must be written first.
    pub(crate) fn victim(&mut self) -> Option<Slot> {
        for dirty_too in [false, true] {
            for _ in 0..2 * self.slots {
                let slot = self.hand;
                self.hand = (self.hand + 1) % self.slots.max(1);
                let held = u8_at(self.meta(slot), PINS) > 0 || self.dirty_children(slot) > 0;
                if held || (self.is_dirty(slot) && !dirty_too) {
                    continue;
                }
                if self.flag(slot, USED) && !self.is_vacant(slot) {
                    self.set_flag(slot, USED, false);
                    continue;
                }
                return Some(slot);
            }
        }
        None
    }

    /// Slots that memory of this size gives.
    pub(crate) const fn memory_for(slots: usize, block_size: usize) -> usize {
        slots * (block_size + OVERHEAD)
    }

    /// Blocks' bytes that the cache holds, for figures.
    pub(crate) fn capacity(&self) -> u64 {
        u64::from(self.slots) * wide(self.block_size)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, NONE};

    #[test]
    fn a_slot_with_a_dirty_child_is_never_given_away() {
        let mut memory = [0; 3 * (64 + super::OVERHEAD)];
        let mut cache = Cache::new(&mut memory, 64);
        for (slot, block) in [(0, 10), (1, 11), (2, 12)] {
            cache.assign(slot, Some(block));
        }
        cache.set_dirty(0, super::CATALOG_ROOT, 0);
        cache.set_dirty(1, 0, 16);
        for _ in 0..10 {
            assert_eq!(cache.victim(), Some(2));
        }
        cache.pin(2);
        assert_eq!(cache.victim(), Some(1));
        cache.set_clean(1);
        cache.pin(1);
        assert_eq!(cache.victim(), Some(0));
    }

    #[test]
    fn blocks_are_found_until_they_are_replaced_or_dropped() {
        let mut memory = [0; 4 * (64 + super::OVERHEAD)];
        let mut cache = Cache::new(&mut memory, 64);
        for round in 0..50u64 {
            for slot in 0..4 {
                cache.assign(slot, Some(round * 4 + u64::from(slot)));
            }
            for slot in 0..4 {
                assert_eq!(cache.find(round * 4 + u64::from(slot)), Some(slot));
            }
            assert_eq!(round.checked_sub(1).and_then(|old| cache.find(old * 4)), None);
        }
        cache.set_dirty(2, NONE, 0);
        cache.drop_dirty();
        assert_eq!(cache.find(49 * 4 + 2), None);
        assert_eq!(cache.dirty(), 0);
    }
}
