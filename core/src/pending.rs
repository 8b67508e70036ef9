//! The pending table: map changes since the last checkpoint, sorted by layer and address.
//!
//! Pure bookkeeping over a slice of the workspace: the items in the order in which they came, and their places in sorted order, so
//! that a new one moves four bytes for each of those behind it. Invariants: at most one item for each layer and address; never
//! more items than the capacity that the superblock records, so that any later mount can hold what it recovers.

use crate::{
    bytes::{array, index, put_array, put_u32, split, u8_at, u32_at, u64_at},
    format::Record,
};

const ITEM: usize = 36;
const PLACE: usize = 4;
/// The word behind the record: the unit (a pool has at most 2^20), growth (a map has at most ten levels), flags.
const UNIT: u32 = (1 << 24) - 1;
const GROWTH_AT: u32 = 24;
const GROWTH: u8 = 15;
const STALE: u32 = 1 << 28;
const RESERVED: u32 = 1 << 29;
/// Bytes of the workspace for each item.
pub(crate) const PENDING_ITEM: usize = ITEM + PLACE;

/// A pending change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Item {
    pub(crate) record: Record,
    /// The journal unit that holds it; 0 if none does.
    pub(crate) unit: u32,
    /// Nodes by which the checkpoint may make the map grow on its account, unless they are reserved.
    pub(crate) growth: u8,
    /// The checksum of the data must be computed again before it is journaled.
    pub(crate) stale: bool,
    /// Its block came out of the volume's own reserve.
    pub(crate) reserved: bool,
}

/// What an item says beside its record: so much of it is asked for most of the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    pub(crate) unit: u32,
    pub(crate) reserved: bool,
}

impl Known {
    pub(crate) fn of(item: &Item) -> Self {
        Self { unit: item.unit, reserved: item.reserved }
    }
}

pub(crate) struct Pending<'w> {
    bytes: &'w mut [u8],
    /// Places of the items in `bytes`, sorted.
    order: &'w mut [u8],
    length: usize,
    capacity: usize,
}

impl<'w> Pending<'w> {
    /// A table of as many items as fit.
    pub(crate) fn new(memory: &'w mut [u8]) -> Self {
        let capacity = memory.len() / PENDING_ITEM;
        let (bytes, order) = split(memory, capacity * ITEM);
        Self { bytes, order, length: 0, capacity }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.length >= self.capacity
    }

    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.capacity - self.length
    }

    pub(crate) fn clear(&mut self) {
        self.length = 0;
    }

    #[inline]
    pub(crate) fn get(&self, i: usize) -> Option<Item> {
        if i >= self.length {
            return None;
        }
        let bytes = &array::<ITEM>(self.bytes, self.place(i));
        let word = u32_at(bytes, Record::SIZE);
        Some(Item {
            record: Record::decode(bytes, 0),
            unit: word & UNIT,
            growth: u8_at(bytes, Record::SIZE + 3) & GROWTH,
            stale: word & STALE != 0,
            reserved: word & RESERVED != 0,
        })
    }

    /// The layer that the item at this place in order is about.
    pub(crate) fn layer_of(&self, i: usize) -> Option<u32> {
        (i < self.length).then(|| self.key(i).0)
    }

    pub(crate) fn set(&mut self, i: usize, item: &Item) {
        let bytes = &mut [0; ITEM];
        item.record.encode(bytes, 0);
        debug_assert!(item.unit <= UNIT && item.growth <= GROWTH);
        let flags = if item.stale { STALE } else { 0 } | if item.reserved { RESERVED } else { 0 };
        put_u32(bytes, Record::SIZE, item.unit | u32::from(item.growth) << GROWTH_AT | flags);
        put_array(self.bytes, self.place(i), bytes);
    }

    #[inline]
    fn key(&self, i: usize) -> (u32, u64) {
        let bytes = &array::<12>(self.bytes, self.place(i) + 16);
        (u32_at(bytes, 8), u64_at(bytes, 0))
    }

    /// Where the item is that comes at this place in order.
    #[inline]
    fn place(&self, i: usize) -> usize {
        index(u64::from(u32_at(self.order, i * PLACE))) * ITEM
    }

    /// Index of the first item at or after this place.
    #[inline]
    pub(crate) fn lower_bound(&self, layer: u32, address: u64) -> usize {
        let (mut low, mut high) = (0, self.length);
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < (layer, address) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Where the item of this place is, or would be.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) fn search(&self, layer: u32, address: u64) -> Result<usize, usize> {
        let i = self.lower_bound(layer, address);
        if i < self.length && self.key(i) == (layer, address) { Ok(i) } else { Err(i) }
    }

    #[inline]
    pub(crate) fn find(&self, layer: u32, address: u64) -> Option<Item> {
        if self.length == 0 {
            return None;
        }
        self.search(layer, address).ok().and_then(|i| self.get(i))
    }

    /// The first address at or after this one that the table has an item for.
    #[inline]
    pub(crate) fn next_address(&self, layer: u32, address: u64) -> Option<u64> {
        let i = self.lower_bound(layer, address);
        (i < self.length && self.key(i).0 == layer).then(|| self.key(i).1)
    }

    /// Items that no journal unit holds.
    pub(crate) fn count_new(&self) -> usize {
        (0..self.length).filter(|i| u32_at(self.bytes, i * ITEM + 32) & UNIT == 0).count()
    }

    /// Some item of these addresses is such.
    pub(crate) fn any(&self, layer: u32, address: u64, count: u64, such: impl Fn(&Item) -> bool) -> bool {
        (self.lower_bound(layer, address)..self.length)
            .take_while(|i| self.key(*i) < (layer, address + count))
            .any(|i| self.get(i).is_some_and(|item| such(&item)))
    }

    /// Puts the item in its place, over the one that is there; false if the table is full.
    pub(crate) fn insert(&mut self, item: &Item) -> bool {
        self.put(self.search(item.record.layer, item.record.address), item)
    }

    /// As [`insert`](Self::insert), with the outcome of the search for its place.
    pub(crate) fn put(&mut self, at: Result<usize, usize>, item: &Item) -> bool {
        match at {
            Ok(i) => self.set(i, item),
            Err(_) if self.is_full() => return false,
            Err(i) => {
                let end = self.length.saturating_add(1) * PLACE;
                let behind = self.order.get_mut(i * PLACE..end).unwrap_or(&mut []);
                let mut moved = u32::try_from(self.length).unwrap_or(u32::MAX).to_le_bytes();
                for place in behind.as_chunks_mut().0 {
                    core::mem::swap(place, &mut moved);
                }
                self.length += 1;
                self.set(i, item);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{Item, PENDING_ITEM, Pending};
    use crate::format::Record;

    #[test]
    fn items_stay_sorted_and_one_for_each_place() {
        let mut memory = [0; 8 * PENDING_ITEM];
        let mut pending = Pending::new(&mut memory);
        for (layer, address) in [(2, 5), (1, 9), (2, 1), (1, 9), (3, 0)] {
            let record = Record { layer, address, crc: layer + 100, ..Record::default() };
            assert!(pending.insert(&Item { record, unit: 4, stale: true, ..Item::default() }));
        }
        let keys: Vec<_> = (0..pending.len()).map(|i| pending.key(i)).collect();
        assert_eq!(keys, [(1, 9), (2, 1), (2, 5), (3, 0)]);
        assert_eq!(pending.next_address(2, 2), Some(5));
        assert_eq!(pending.next_address(2, 6), None);
        assert!(pending.find(1, 9).is_some_and(|item| item.stale && item.unit == 4 && !item.reserved));
    }

    #[test]
    fn all_of_an_item_is_kept_whatever_there_is_of_it() {
        let mut memory = [0; 8 * PENDING_ITEM];
        let mut pending = Pending::new(&mut memory);
        let mut items = Vec::new();
        for ((address, unit), growth) in (0..).zip([0, 1, 1 << 20, 0, 7, 0]).zip([10, 0, 15].into_iter().cycle()) {
            let record = Record { layer: 3, address: 9 - address, crc: 0xffff_ffff, ..Record::default() };
            let (stale, reserved) = (address % 2 == 1, address % 3 == 0);
            items.push(Item { record, unit, growth, stale, reserved });
            assert!(pending.insert(items.last().unwrap()));
        }
        assert!(items.iter().all(|item| pending.find(3, item.record.address) == Some(*item)));
        assert_eq!(pending.count_new(), 3, "whatever else their words hold");
    }

    #[test]
    fn a_full_table_refuses_a_new_place_but_not_an_old_one() {
        let mut memory = [0; 2 * PENDING_ITEM];
        let mut pending = Pending::new(&mut memory);
        for address in 0..2 {
            assert!(
                pending.insert(&Item { record: Record { layer: 1, address, ..Record::default() }, ..Item::default() })
            );
        }
        assert!(
            !pending.insert(&Item { record: Record { layer: 1, address: 7, ..Record::default() }, ..Item::default() })
        );
        assert!(
            pending.insert(&Item { record: Record { layer: 1, address: 1, ..Record::default() }, ..Item::default() })
        );
    }
}
