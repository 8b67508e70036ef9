//! Made from `merge.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::pool::asynch::Pool;
use crate::pool::asynch::Result;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    pub(crate) fn spent(&self) -> u64 {
        self.stats.reads + self.stats.writes + self.stats.flushes + u64::from(self.cache.dirty())
    }

    /// Operations to mark one block in the space map: each node read, another evicted, itself written.
    pub(crate) fn mark_cost(&self) -> u64 {
        3 * (u64::from(self.layout.levels()) + 1)
    }

    /// Operations to free one entry, at worst.
    pub(crate) fn unit_cost(&self, children: u64) -> u64 {
        let height = u64::from(self.sb.max_height);
        let trees = if children > 1 { children + 4 } else { 2 };
        let lookups = if children > 8 { (height + 1) * self.search_cost(children) } else { 0 };
        2 * height * trees + (height + 2) * self.mark_cost() + lookups
    }

    /// Operations to change the records at the end of a step and to commit.
    pub(crate) fn end_cost(&self) -> u64 {
        let path = u64::from(self.sb.catalog_height) + 1;
        12 * path + (2 + path) * self.mark_cost() + 8
    }

    /// Operations to find the children of a layer.
    pub(crate) fn search_cost(&self, children: u64) -> u64 {
        if children <= 1 {
            return 0;
        }
        let pages = ((u64::from(self.sb.next_layer) * SLOT_SIZE) >> self.layout.block_shift) + 2;
        pages * 2
    }

    /// The smallest budget with which a step gets anywhere, as long as no layer has several children.
    pub(crate) fn least_merge_budget(&self) -> u32 {
        u32::try_from(self.unit_cost(1) + self.end_cost()).unwrap_or(u32::MAX)
    }

    /// The step can afford another entry.
    pub(crate) fn affords(&self, budget: Budget, children: u64) -> bool {
        self.spent().saturating_sub(budget.start) + self.unit_cost(children) <= budget.limit
    }

    /// One step of the merge in progress, or of the next.
    pub(crate) async fn merge_step(&mut self, budget: u32) -> Outcome<Merge> {
        self.writable()?;
        let Some(target) = self.merge_target().await? else { return Ok(Merge::Idle) };
        let (id, children) = target;
        let needed = self.unit_cost(children) + self.end_cost() + self.search_cost(children);
        if needed > u64::from(budget) {
            return Err(self.stop(Error::BudgetTooSmall { needed: u32::try_from(needed).unwrap_or(u32::MAX) }));
        }
        self.begin().await?;
        let limit = u64::from(budget) - self.end_cost();
        let budget = Budget { start: self.spent(), limit };
        let result = self.merge_body(id, budget).await;
        self.end(result).await
    }

    /// The layer to work on, and the number of its children.
    #[inline(never)]
    pub(crate) async fn merge_target(&mut self) -> Outcome<Option<(u32, u64)>> {
        let target = |layer: LayerView<'_>| Some((layer.id(), u64::from(layer.children())));
        if self.sb.merge.mode != MergeMode::None {
            return self.layer(self.sb.merge.layer).await.map(target);
        }
        if self.sb.deleted == 0 && self.sb.staged == 0 {
            return Ok(None);
        }
        if self.sb.hint != 0 {
            match self.place_of(self.sb.hint).await {
                Ok(place) if self.can_merge(self.view(place)) => return Ok(target(self.view(place))),
                Err(Stop) if !matches!(self.failure, Error::NoSuchLayer(_)) => return Err(Stop),
                _ => {}
            }
        }
        let mut next = 1;
        while let Some(place) = self.place_from(next).await? {
            let layer = self.view(place);
            if self.can_merge(layer) {
                return Ok(target(layer));
            }
            next = layer.id() + 1;
        }
        Ok(None)
    }

    pub(crate) fn can_merge(&self, layer: LayerView<'_>) -> bool {
        let workable = layer.children() <= 1 || layer.flags().contains(LayerFlags::ARMED);
        layer.is_deleted() && workable || self.is_forgotten(layer)
    }

    #[inline(never)]
    pub(crate) async fn merge_body(&mut self, id: u32, budget: Budget) -> Outcome<Merge> {
        self.bury(id).await?;
        while self.affords(budget, 1) && self.drop_attachment(id).await? {}
        let layer = self.layer(id).await?.decode();
        if layer.first_attachment != 0 {
            return Ok(Merge::Progress { layer: LayerId(id), left: layer.data + layer.nodes });
        }
        if self.sb.merge.mode == MergeMode::None {
            let mode = if layer.children > 1 { MergeMode::Trim } else { MergeMode::Merge };
            self.sb.merge = MergeState { layer: id, mode, front: 0, limit: layer.parent_epoch };
        }
        if self.sb.merge.mode == MergeMode::Trim {
            return self.trim(&layer, budget).await;
        }
        self.merge_into_child(&layer, budget).await
    }

    /// A staged attachment of an earlier mount becomes a deleted layer.
    pub(crate) async fn bury(&mut self, id: u32) -> Outcome<()> {
        if self.layer(id).await?.is_deleted() {
            return Ok(());
        }
        let epoch = self.sb.epoch;
        self.change(id, &mut |layer| {
            layer.flags = LayerFlags::DELETED | LayerFlags::ARMED;
            layer.epoch = epoch;
        })
        .await?;
        self.close_epoch().map(drop)
    }

    /// The first attachment of a deleted layer becomes a deleted layer of its own; false if there is none.
    pub(crate) async fn drop_attachment(&mut self, id: u32) -> Outcome<bool> {
        let attachment = self.layer(id).await?.first_attachment();
        if attachment == 0 {
            return Ok(false);
        }
        let epoch = self.sb.epoch;
        let mut next = 0;
        self.change(attachment, &mut |layer| {
            layer.flags = LayerFlags::DELETED | LayerFlags::ARMED;
            layer.epoch = epoch;
            layer.owner = 0;
            next = core::mem::take(&mut layer.next_attachment);
        })
        .await?;
        self.close_epoch()?;
        self.change(id, &mut |layer| layer.first_attachment = next).await?;
        Ok(true)
    }

    #[inline(never)]
    pub(crate) async fn merge_into_child(&mut self, layer: &Layer, budget: Budget) -> Outcome<Merge> {
        let child = if layer.children == 1 { Some(self.layer(layer.child_xor).await?.decode()) } else { None };
        if child.is_some_and(|child| child.height < layer.height || child.parent != layer.id) || layer.children > 1 {
            let block = self.record_block(layer.id).await?;
            return Err(self.damaged(Object::Layer, block));
        }
        let (done, freed) = self.merge_walk(layer, child.as_ref(), budget).await?;
        let mut left = Freed::default();
        self.change(layer.id, &mut |layer| {
            layer.data = layer.data.saturating_sub(freed.data);
            layer.nodes = layer.nodes.saturating_sub(freed.nodes);
            left = Freed { data: layer.data, nodes: layer.nodes };
        })
        .await?;
        if done {
            self.merge_finish(layer, child.as_ref(), left).await?;
        }
        Ok(Merge::Progress { layer: LayerId(layer.id), left: left.data + left.nodes })
    }

    /// The child takes over what is left, and the layer's place.
    #[inline(never)]
    pub(crate) async fn merge_finish(&mut self, layer: &Layer, child: Option<&Layer>, left: Freed) -> Outcome<()> {
        let heir = child.map_or(0, |child| child.id);
        crate::logging::event!(info, "layer {} merged into {}", layer.id, heir);
        if let Some(child) = child {
            self.change(child.id, &mut |heir| {
                heir.parent = layer.parent;
                heir.parent_epoch = layer.parent_epoch;
                heir.data += left.data;
                heir.nodes += left.nodes;
                if heir.is_deleted() {
                    // A branching point has inherited blocks that perhaps none of its children shares.
                    heir.flags |= LayerFlags::ARMED;
                }
            })
            .await?;
        }
        self.exchange_child(layer.parent, layer.id, heir).await?;
        self.remove(layer.id).await?;
        self.sb.merge = MergeState::default();
        self.sb.hint = 0;
        if child.is_some_and(Layer::is_deleted) {
            self.sb.hint = heir;
        }
        if layer.parent != 0 && self.layer(layer.parent).await?.is_deleted() {
            self.change(layer.parent, &mut |layer| layer.flags |= LayerFlags::ARMED).await?;
            self.sb.hint = layer.parent;
        }
        Ok(())
    }

    /// Walks the layer's map beside the child's from the front on: true when the end is reached.
    pub(crate) async fn merge_walk(
        &mut self,
        layer: &Layer,
        child: Option<&Layer>,
        budget: Budget,
    ) -> Outcome<(bool, Freed)> {
        let end = self.span(layer.height);
        let mut freed = Freed::default();
        while self.sb.merge.front < end && layer.root.is_block() {
            if !self.affords(budget, 1) {
                return Ok((false, freed));
            }
            self.merge_subtree(layer, child, budget, &mut freed).await?;
        }
        Ok((true, freed))
    }

    /// Goes down to the front, frees or skips what is there, and frees the nodes that the front has left behind.
    #[inline(never)]
    pub(crate) async fn merge_subtree(
        &mut self,
        layer: &Layer,
        child: Option<&Layer>,
        budget: Budget,
        freed: &mut Freed,
    ) -> Outcome<()> {
        let front = self.sb.merge.front;
        let limit = layer.parent_epoch;
        let mut path: heapless::Vec<u64, MAX_HEIGHT> = heapless::Vec::new();
        let mut level = layer.height;
        let mut entry = layer.root;
        let mut peer = match child {
            Some(child) => self.entry_at(child.root, child.height, level, front, Object::MapNode).await?,
            None => Entry::EMPTY,
        };
        loop {
            if !entry.is_block() || entry.birth <= limit || entry.same(&peer) {
                self.sb.merge.front = self.behind(level, front);
                break;
            }
            let _ = path.push(entry.block);
            let slot = self.load(&entry, Object::MapNode).await?;
            if level == 1 {
                self.merge_leaf(slot, &peer, limit, budget, freed).await?;
                break;
            }
            let offset = self.child_offset(front, level);
            entry = self.entry_in(slot, offset);
            if peer.is_block() {
                let slot = self.load(&peer, Object::MapNode).await?;
                peer = self.entry_in(slot, offset);
            }
            level -= 1;
        }
        let mut left = layer.height - u8::try_from(path.len()).unwrap_or(0) + 1;
        while let Some(block) = path.pop() {
            if !self.begins(left, self.sb.merge.front) {
                break;
            }
            self.space_mark(block, false).await?;
            freed.nodes += 1;
            left += 1;
        }
        Ok(())
    }

    /// Frees the data blocks of a lowest node, from the front on, as far as the budget goes.
    pub(crate) async fn merge_leaf(
        &mut self,
        slot: Slot,
        peer: &Entry,
        limit: u32,
        budget: Budget,
        freed: &mut Freed,
    ) -> Outcome<()> {
        self.cache.pin(slot);
        let peer_slot = if peer.is_block() { Some(self.load(peer, Object::MapNode).await?) } else { None };
        if let Some(slot) = peer_slot {
            self.cache.pin(slot);
        }
        let before = freed.data;
        loop {
            let offset = self.child_offset(self.sb.merge.front, 1);
            let entry = self.entry_in(slot, offset);
            let other = peer_slot.map_or(Entry::EMPTY, |slot| self.entry_in(slot, offset));
            if entry.is_block() && entry.birth > limit && !entry.same(&other) {
                // The first one was paid for before the walk came down here.
                if freed.data > before && !self.affords(budget, 1) {
                    break;
                }
                self.space_mark(entry.block, false).await?;
                freed.data += 1;
            }
            self.sb.merge.front += 1;
            if self.begins(1, self.sb.merge.front) {
                break;
            }
        }
        self.cache.unpin(slot);
        if let Some(slot) = peer_slot {
            self.cache.unpin(slot);
        }
        Ok(())
    }
}

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Does a bounded piece of merge: at most `budget` device operations (beside the checkpoint of what is pending), one
    /// commit. Everything else may go on between two steps.
    ///
    /// # Errors
    /// [`Error::BudgetTooSmall`] with the smallest budget for the layer that is next.
    ///
    /// # Power loss
    /// The step is done or not; no layer's content changes either way.
    pub async fn merge_step(&mut self, budget: u32) -> Result<Merge, D> {
        self.store.enter();
        let result: Result<Merge, D> = async {
            let done = self.store.merge_step(budget).await;
            self.store.answer(done)
        }
        .await;
        self.store.leave();
        result
    }
}
