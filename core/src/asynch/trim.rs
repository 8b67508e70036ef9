//! Made from `trim.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// One or several of a layer's addresses are worked off.
    #[inline(never)]
    pub(crate) async fn trim(&mut self, layer: &Layer, budget: Budget) -> Outcome<Merge> {
        let Ok(ref peers) = self.children_of(layer.id).await else { return Err(Stop) };
        let Ok(ref mut open) = self.open(layer.id).await else { return Err(Stop) };
        if self.sb.merge.front == 0 {
            // What changes from here on arms it again.
            open.layer.flags.remove(LayerFlags::ARMED);
        }
        let mut tree = Self::map_tree(open);
        tree.keep_birth = true;
        let mut applied = Applied::default();
        let end = self.span(layer.height);
        let children = u64::from(layer.children);
        while self.sb.merge.front < end && self.affords(budget, children) {
            self.trim_front(layer, &mut tree, &mut applied, peers).await?;
        }
        let done = self.sb.merge.front >= end;
        if done {
            self.sb.merge = MergeState::default();
            self.sb.hint = 0;
        }
        open.layer.data = open.layer.data.saturating_add_signed(applied.data);
        open.layer.nodes = open.layer.nodes.saturating_add_signed(tree.nodes);
        let left = open.layer.data + open.layer.nodes;
        self.save(open);
        Ok(Merge::Progress { layer: LayerId(layer.id), left })
    }

    /// Works off what is at the front: a subtree that stays, or one entry that goes.
    #[inline(never)]
    pub(crate) async fn trim_front(
        &mut self,
        layer: &Layer,
        tree: &mut Tree,
        applied: &mut Applied,
        peers: &Peers,
    ) -> Outcome<()> {
        let front = self.sb.merge.front;
        let (mut holder, mut offset) = (tree.holder, tree.offset);
        let mut level = layer.height;
        loop {
            let entry = self.held_entry(holder, offset);
            let owned = entry.is_block() && entry.birth > tree.limit;
            self.pin(holder);
            let shared = if owned { self.is_shared(layer.id, peers, &entry, level, front).await } else { Ok(false) };
            self.unpin(holder);
            let stays = shared?;
            // The search may have written the node that the entry leads to: its checksum is known only now.
            let entry = self.held_entry(holder, offset);
            if stays || !owned || level == 0 {
                let zero = !entry.is_block() && !entry.is_empty();
                if owned && !stays || zero {
                    self.tree_set(tree, front, level, &Entry::EMPTY).await?;
                }
                if owned && !stays {
                    self.space_mark(entry.block, false).await?;
                    applied.data -= 1;
                }
                self.sb.merge.front = self.behind(level, front);
                return Ok(());
            }
            holder = self.load(&entry, Object::MapNode).await?;
            offset = self.child_offset(front, level);
            level -= 1;
        }
    }

    /// The children of a layer.
    #[inline(never)]
    pub(crate) async fn children_of(&mut self, id: u32) -> Outcome<Peers> {
        let mut peers = Peers::default();
        let mut next = 1;
        while let Some(layer) = self.record_from(next).await? {
            if is_child(layer, id) && peers.known.push(Map::of(layer)).is_err() {
                peers.more = layer.id();
                break;
            }
            next = layer.id() + 1;
        }
        Ok(peers)
    }

    /// One of the children has the same entry at this place.
    pub(crate) async fn is_shared(
        &mut self,
        id: u32,
        peers: &Peers,
        entry: &Entry,
        level: u8,
        address: u64,
    ) -> Outcome<bool> {
        for map in &peers.known {
            if self.map_has(map, level, address, entry).await? {
                return Ok(true);
            }
        }
        let mut next = peers.more;
        while next != 0 {
            let Some(layer) = self.record_from(next).await? else { break };
            next = layer.id() + 1;
            let (child, map) = (is_child(layer, id), Map::of(layer));
            if child && self.map_has(&map, level, address, entry).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
