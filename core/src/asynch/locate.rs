//! Made from `locate.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// What reading and writing needs to know of a live layer.
    pub(crate) async fn head(&mut self, id: LayerId) -> Outcome<Head> {
        if let Some(head) = self.heads.find(id.0) {
            return Ok(head);
        }
        let layer = self.live_layer(id.0).await?;
        let head = Head {
            id: id.0,
            kind: layer.kind(),
            flags: layer.flags(),
            parent: layer.parent(),
            parent_epoch: layer.parent_epoch(),
            root: layer.root(),
            height: layer.height(),
            sectors: layer.sectors(),
        };
        self.heads.keep(&head);
        Ok(head)
    }

    /// What an address of a layer holds now.
    pub(crate) async fn effective(&mut self, head: &Head, address: u64) -> Outcome<(Entry, Option<Known>)> {
        if let Some(item) = self.pending.find(head.id, address) {
            return Ok((item.record.entry, Some(Known::of(&item))));
        }
        Ok((self.tree_entry(head, address).await?, None))
    }

    /// What the tree has for an address.
    pub(crate) async fn tree_entry(&mut self, head: &Head, address: u64) -> Outcome<Entry> {
        let entry = self.entry_at(head.root, head.height, 0, address, Object::MapNode).await?;
        if entry.is_block() {
            self.check_pointer(Object::MapNode, entry.block)?;
        }
        Ok(entry)
    }

    /// Entries of the layer at this address that were born later are its own.
    pub(crate) fn limit_of(&self, head: &Head, address: u64) -> u32 {
        self.limit_for(head.parent, head.parent_epoch, address)
    }

    /// The run that starts at an address, at most `most` blocks. Reads at most one node a level.
    pub(crate) async fn run(&mut self, head: &Head, address: u64, most: u64) -> Outcome<Run> {
        let most = most.max(1);
        if let Some(item) = self.pending.find(head.id, address) {
            let entry = item.record.entry;
            return Ok(Run { entry, count: self.pending_run(head, address, &entry, most), oldest: entry.birth });
        }
        let next = self.pending.next_address(head.id, address).map_or(most, |next| most.min(next - address));
        self.tree_run(head.root, head.height, address, next).await
    }

    /// Pending items in a row that continue the first.
    pub(crate) fn pending_run(&self, head: &Head, address: u64, first: &Entry, most: u64) -> u64 {
        let mut count = 1;
        while count < most {
            let next = self.pending.find(head.id, address + count);
            match next {
                Some(item) if continues(first, count, &item.record.entry) => count += 1,
                _ => break,
            }
        }
        count
    }

    /// The run that starts at an address of a tree; it ends with the node at the latest.
    pub(crate) async fn tree_run(&mut self, root: Entry, height: u8, address: u64, most: u64) -> Outcome<Run> {
        let end = self.span(height).max(address + 1);
        if address >= self.span(height) {
            return Ok(Run::hole(most));
        }
        let mut entry = root;
        for below in (0..height).rev() {
            let level = below + 1;
            if !entry.is_block() {
                let hole_end = self.behind(level, address).min(end);
                return Ok(Run::hole(most.min(hole_end - address)));
            }
            let slot = self.load(&entry, Object::MapNode).await?;
            entry = self.entry_in(slot, self.child_offset(address, level));
            if level == 1 {
                let left = self.behind(1, address) - address;
                let (mut count, mut oldest) = (1, entry.birth);
                while count < most.min(left) {
                    let next = self.entry_in(slot, self.child_offset(address + count, 1));
                    if !continues(&entry, count, &next) {
                        break;
                    }
                    count += 1;
                    oldest = oldest.min(next.birth);
                }
                if entry.is_block() {
                    self.check_pointer(Object::MapNode, entry.block)?;
                    self.check_pointer(Object::MapNode, entry.block + count - 1)?;
                }
                return Ok(Run { entry, count, oldest });
            }
        }
        Err(self.damaged(Object::MapNode, root.block))
    }

    /// Blocks in a row from an address on that the tree alone maps, to this block and those behind it, and that the layer owns. It may
    /// say fewer than there are.
    pub(crate) async fn owned_run(&mut self, head: &Head, address: u64, block: u64, most: u64) -> Outcome<u64> {
        let alone = self.pending.next_address(head.id, address).map_or(most, |next| most.min(next - address));
        if alone == 0 {
            return Ok(0);
        }
        let run = self.tree_run(head.root, head.height, address, alone).await?;
        // Limits differ only on the two sides of a front.
        let limit = self.limit_of(head, address).max(self.limit_of(head, address + run.count - 1));
        let owned = run.entry.is_block() && run.entry.block == block && run.oldest > limit;
        Ok(if owned { run.count } else { 0 })
    }

    /// Nodes on the way to an address that the layer does not own yet: by so many the map grows if the entry changes.
    pub(crate) async fn path_growth(&mut self, head: &Head, address: u64) -> Outcome<u8> {
        let limit = self.limit_of(head, address);
        let mut growth = 0;
        for below in 0..head.height {
            let entry = self.entry_at(head.root, head.height, below + 1, address, Object::MapNode).await?;
            growth += u8::from(!entry.is_block() || entry.birth <= limit);
        }
        Ok(growth)
    }
}
