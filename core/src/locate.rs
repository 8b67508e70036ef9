//! Where the blocks of a layer are: the pending table first, then the tree.

use crate::{
    bytes::{put_u8, put_u32, put_u64, u8_at, u32_at, u64_at},
    device::BlockDevice,
    error::Object,
    format::Entry,
    pending::Known,
    store::{Outcome, Store},
    types::{LayerFlags, LayerId, LayerKind},
};

#[cfg(feature = "async")]
#[path = "asynch/locate.rs"]
pub(crate) mod asynch;

/// What reading and writing needs to know of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) id: u32,
    pub(crate) kind: LayerKind,
    pub(crate) flags: LayerFlags,
    pub(crate) parent: u32,
    pub(crate) parent_epoch: u32,
    pub(crate) root: Entry,
    pub(crate) height: u8,
    pub(crate) sectors: u64,
}

/// Neighbouring blocks of a layer of one kind, on the device one behind the other if they are data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) entry: Entry,
    pub(crate) count: u64,
    /// The earliest birth among its entries.
    pub(crate) oldest: u32,
}

impl Run {
    fn hole(count: u64) -> Self {
        Self { entry: Entry::EMPTY, count, oldest: 0 }
    }
}

impl<D: BlockDevice> Store<'_, D> {
    /// What reading and writing needs to know of a live layer.
    pub(crate) fn head(&mut self, id: LayerId) -> Outcome<Head> {
        if let Some(head) = self.heads.find(id.0) {
            return Ok(head);
        }
        let layer = self.live_layer(id.0)?;
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
    pub(crate) fn effective(&mut self, head: &Head, address: u64) -> Outcome<(Entry, Option<Known>)> {
        if let Some(item) = self.pending.find(head.id, address) {
            return Ok((item.record.entry, Some(Known::of(&item))));
        }
        Ok((self.tree_entry(head, address)?, None))
    }

    /// What the tree has for an address.
    pub(crate) fn tree_entry(&mut self, head: &Head, address: u64) -> Outcome<Entry> {
        let entry = self.entry_at(head.root, head.height, 0, address, Object::MapNode)?;
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
    pub(crate) fn run(&mut self, head: &Head, address: u64, most: u64) -> Outcome<Run> {
        let most = most.max(1);
        if let Some(item) = self.pending.find(head.id, address) {
            let entry = item.record.entry;
            return Ok(Run { entry, count: self.pending_run(head, address, &entry, most), oldest: entry.birth });
        }
        let next = self.pending.next_address(head.id, address).map_or(most, |next| most.min(next - address));
        self.tree_run(head.root, head.height, address, next)
    }

    /// Pending items in a row that continue the first.
    fn pending_run(&self, head: &Head, address: u64, first: &Entry, most: u64) -> u64 {
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
    pub(crate) fn tree_run(&mut self, root: Entry, height: u8, address: u64, most: u64) -> Outcome<Run> {
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
            let slot = self.load(&entry, Object::MapNode)?;
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
    pub(crate) fn owned_run(&mut self, head: &Head, address: u64, block: u64, most: u64) -> Outcome<u64> {
        let alone = self.pending.next_address(head.id, address).map_or(most, |next| most.min(next - address));
        if alone == 0 {
            return Ok(0);
        }
        let run = self.tree_run(head.root, head.height, address, alone)?;
        // Limits differ only on the two sides of a front.
        let limit = self.limit_of(head, address).max(self.limit_of(head, address + run.count - 1));
        let owned = run.entry.is_block() && run.entry.block == block && run.oldest > limit;
        Ok(if owned { run.count } else { 0 })
    }

    /// Nodes on the way to an address that the layer does not own yet: by so many the map grows if the entry changes.
    pub(crate) fn path_growth(&mut self, head: &Head, address: u64) -> Outcome<u8> {
        let limit = self.limit_of(head, address);
        let mut growth = 0;
        for below in 0..head.height {
            let entry = self.entry_at(head.root, head.height, below + 1, address, Object::MapNode)?;
            growth += u8::from(!entry.is_block() || entry.birth <= limit);
        }
        Ok(growth)
    }
}

/// The entry is what follows `count` blocks after the first, for a transfer in one piece.
fn continues(first: &Entry, count: u64, entry: &Entry) -> bool {
    if first.is_block() {
        entry.is_block() && entry.block == first.block + count
    } else {
        !entry.is_block() && entry.is_empty() == first.is_empty()
    }
}

/// Layers in use, as the catalog has them: the last few that were asked for. Layer 0 is none.
pub(crate) struct Heads<'w> {
    kept: &'w mut [[u8; Head::SIZE]],
    /// The one that goes next.
    oldest: usize,
}

impl<'w> Heads<'w> {
    /// Bytes of the workspace for them.
    pub(crate) const MEMORY: usize = 4 * Head::SIZE;

    pub(crate) fn new(memory: &'w mut [u8]) -> Self {
        let mut heads = Self { kept: memory.as_chunks_mut().0, oldest: 0 };
        heads.clear();
        heads
    }

    pub(crate) fn find(&self, id: u32) -> Option<Head> {
        // A place that holds none is all zeros.
        self.kept.iter().find(|kept| id != 0 && u32_at(*kept, 0) == id).map(Head::take)
    }

    pub(crate) fn keep(&mut self, head: &Head) {
        if let Some(kept) = self.kept.get_mut(self.oldest) {
            head.put(kept);
        }
        self.oldest = if self.oldest + 1 < self.kept.len() { self.oldest + 1 } else { 0 };
    }

    pub(crate) fn clear(&mut self) {
        self.kept.fill([0; Head::SIZE]);
        self.oldest = 0;
    }
}

impl Head {
    const SIZE: usize = 48;

    fn put(&self, bytes: &mut [u8; Self::SIZE]) {
        put_u32(bytes, 0, self.id);
        put_u32(bytes, 4, self.flags.bits());
        put_u32(bytes, 8, self.parent);
        put_u32(bytes, 12, self.parent_epoch);
        self.root.encode(bytes, 16);
        put_u64(bytes, 32, self.sectors);
        put_u8(bytes, 40, self.height);
        put_u8(bytes, 41, self.kind.number());
    }

    fn take(bytes: &[u8; Self::SIZE]) -> Self {
        Self {
            id: u32_at(bytes, 0),
            flags: LayerFlags::from_bits_retain(u32_at(bytes, 4)),
            parent: u32_at(bytes, 8),
            parent_epoch: u32_at(bytes, 12),
            root: Entry::decode(bytes, 16),
            sectors: u64_at(bytes, 32),
            height: u8_at(bytes, 40),
            kind: LayerKind::of_number(u8_at(bytes, 41)),
        }
    }

    pub(crate) fn has_integrity(&self) -> bool {
        self.flags.contains(LayerFlags::INTEGRITY)
    }

    pub(crate) fn is_guaranteed(&self) -> bool {
        self.flags.contains(LayerFlags::GUARANTEED)
    }
}
