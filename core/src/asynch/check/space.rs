//! Made from `check/space.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// Compares the space map with the blocks of this pass; the first pass counts what is free below every entry.
    #[inline(never)]
    pub(crate) async fn check_space(&mut self, run: &mut Checking<'_>) -> Outcome<()> {
        let mut path: heapless::Vec<Node, LEVELS> = heapless::Vec::new();
        let _ = path.push(Node::new(self.layout.levels(), 0, &self.durable().space()));
        while let Some(mut node) = path.pop() {
            if let Some(child) = self.check_space_node(run, &mut node).await? {
                let _ = path.push(node);
                let _ = path.push(child);
                continue;
            }
            let level = node.level;
            let first = self.layout.space_range(level.into(), node.position).0;
            let (stored, counted) = (node.entry().free, node.free);
            if node.sound && stored != counted && run.first_pass() {
                run.find(&Finding::FreeCount { level, first, stored, counted });
            }
            if let Some(above) = path.last_mut() {
                above.free += counted;
                above.sound &= node.sound;
            }
        }
        Ok(())
    }

    /// The next child to visit; none if the node is done.
    pub(crate) async fn check_space_node(&mut self, run: &mut Checking<'_>, node: &mut Node) -> Outcome<Option<Node>> {
        let (entry, level) = (node.entry(), u32::from(node.level));
        let (first, end) = self.layout.space_range(level, node.position);
        if !run.first_pass() && (end <= run.from || first >= run.to) {
            return Ok(None);
        }
        if !entry.is_written() {
            node.free = self.layout.free_when_unwritten(level, node.position);
            let shift = self.layout.group_shift();
            for group in (first.max(run.from) >> shift)..Power::of_two(shift).ceil(end.min(run.to)) {
                self.check_bitmap(run, group, None);
            }
            return Ok(None);
        }
        let place = self.layout.space_place(level, node.position, entry.copy);
        if node.next == 0 && entry.generation > self.durable().generation() {
            let later = Err::<(), _>(self.stop(Error::Corrupt { what: Object::SpaceMap, block: place }));
            run.damage(later, &self.failure, None)?;
        }
        let loaded = self.load_at(place, entry.crc, Object::SpaceMap).await;
        let Some(slot) = run.damage(loaded, &self.failure, None)? else {
            node.sound = false;
            return Ok(None);
        };
        if level == 0 {
            node.free = self.check_bitmap(run, node.position, Some(slot));
            return Ok(None);
        }
        let level = level - 1;
        let position = (node.position << self.fan_shift()) + u64::from(node.next);
        if node.next >> self.fan_shift() > 0 || self.layout.space_range(level, position).0 >= end {
            return Ok(None);
        }
        let entry = SpaceEntry::decode(self.cache.bytes(slot), index(node.next.into()) * Entry::SIZE);
        node.next += 1;
        Ok(Some(Node::new(level, position, &entry)))
    }

    /// Compares one bitmap (none: never written) with what was collected; its free blocks, as far as they were looked at.
    pub(crate) fn check_bitmap(&mut self, run: &mut Checking<'_>, group: u64, slot: Option<Slot>) -> u64 {
        let (start, end) = self.layout.space_range(0, group);
        let fixed = self.layout.fixed_in_group(group);
        let whole = run.first_pass() && slot.is_some();
        let from = if whole { start } else { start.max(run.from) };
        let to = if whole { end } else { end.min(run.to) };
        let mut free = 0;
        for first in (from..to).step_by(8) {
            let within = first - start;
            let there = bits_below(end - first);
            let fixed = bits_below(fixed.saturating_sub(within));
            let stored = slot.map_or(fixed, |slot| u8_at(self.cache.bytes(slot), index(within / 8)));
            free += u64::from((!stored & there).count_ones());
            if first < run.from || first >= run.to {
                continue;
            }
            let seen = fixed | u8_at(run.bitmap, index((first - run.from) / 8));
            report(run, first, stored & there, seen & there);
        }
        free
    }
}
