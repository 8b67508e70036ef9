//! A walk over what a layer owns: its nodes, each before what is below it, and its data blocks, in address order.
//!
//! Every block of every map is owned by exactly one layer, so the walks over all layers visit each block once. Reads only;
//! no recursion: the path is at most [`MAX_HEIGHT`] entries.

use crate::{
    device::BlockDevice,
    error::Object,
    format::{Entry, Layer, MAX_HEIGHT, MergeMode},
    store::{Outcome, Store},
};

#[cfg(feature = "async")]
#[path = "asynch/walk.rs"]
pub(crate) mod asynch;

/// A position in a layer's map.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    id: u32,
    parent: u32,
    parent_epoch: u32,
    root: Entry,
    height: u8,
    level: u8,
    address: u64,
    /// The nodes above, as they are stored.
    path: heapless::Vec<[u8; Entry::SIZE], MAX_HEIGHT>,
    /// What was found so far. More than the device has blocks, and a node leads back to itself.
    found: u64,
}

/// Something that the layer owns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owned {
    pub(crate) entry: Entry,
    pub(crate) level: u8,
    pub(crate) address: u64,
    /// Birth of the node that holds the entry; the root has none.
    pub(crate) holder_birth: Option<u32>,
}

impl Walk {
    pub(crate) fn new(layer: &Layer) -> Self {
        Self {
            id: layer.id,
            parent: layer.parent,
            parent_epoch: layer.parent_epoch,
            root: layer.root,
            height: layer.height,
            level: layer.height,
            address: 0,
            path: heapless::Vec::new(),
            found: 0,
        }
    }

    /// Goes behind what is at this level.
    fn advance<D: BlockDevice>(&mut self, store: &Store<'_, D>) {
        self.address = store.behind(self.level, self.address);
        while self.level < self.height && store.begins(self.level + 1, self.address) {
            self.path.pop();
            self.level += 1;
        }
    }

    /// Does not go below the node that was visited last.
    pub(crate) fn skip<D: BlockDevice>(&mut self, store: &Store<'_, D>, visited: &Owned) {
        if visited.level > 0 {
            self.path.pop();
            self.level += 1;
            self.advance(store);
        }
    }

    /// The next thing that the layer owns.
    pub(crate) fn next<D: BlockDevice>(&mut self, store: &mut Store<'_, D>) -> Outcome<Option<Owned>> {
        while self.address < store.span(self.height) {
            let holder = self.path.last().map(|node| Entry::decode(node, 0));
            let entry = match holder {
                None => self.root,
                Some(node) => {
                    let slot = store.load(&node, Object::MapNode)?;
                    store.entry_in(slot, store.child_offset(self.address, self.level + 1))
                }
            };
            let limit = self.limit(store, self.address);
            if !entry.is_block() || entry.birth <= limit || self.is_behind_front(store) {
                self.advance(store);
                continue;
            }
            self.found += 1;
            if self.found > store.layout.total {
                return Err(store.damaged(Object::MapNode, entry.block));
            }
            let found =
                Owned { entry, level: self.level, address: self.address, holder_birth: holder.map(|node| node.birth) };
            if self.level == 0 {
                self.advance(store);
            } else {
                let mut node = [0; Entry::SIZE];
                entry.encode(&mut node, 0);
                let _ = self.path.push(node);
                self.level -= 1;
            }
            return Ok(Some(found));
        }
        Ok(None)
    }

    /// Entries at an address that were born later are the layer's own.
    pub(crate) fn limit<D: BlockDevice>(&self, store: &Store<'_, D>, address: u64) -> u32 {
        store.limit_for(self.parent, self.parent_epoch, address)
    }

    /// The layer is being merged and has given away what is here.
    fn is_behind_front<D: BlockDevice>(&self, store: &Store<'_, D>) -> bool {
        let merge = &store.sb.merge;
        let end = self.address.saturating_add(store.span(self.level));
        merge.mode == MergeMode::Merge && merge.layer == self.id && end <= merge.front
    }
}
