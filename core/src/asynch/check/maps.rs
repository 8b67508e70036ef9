//! Made from `check/maps.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;
use crate::walk::asynch::Walk;

impl<D: BlockDevice> Store<'_, D> {
    #[inline(never)]
    pub(crate) async fn check_catalog_nodes(&mut self, run: &mut Checking<'_>, totals: &mut Totals) -> Outcome<()> {
        // The catalog is walked like a map that owns everything; its pages are where a map has data.
        let tree = Layer { root: self.sb.catalog, height: self.sb.catalog_height, ..Layer::FREE };
        let mut walk = Walk::new(&tree);
        loop {
            let found = self.next_owned(run, &mut walk, Object::Catalog, totals).await;
            let Some(Some(owned)) = run.damage(found, &self.failure, None)? else { return Ok(()) };
            let loaded = self.load(&owned.entry, Object::Catalog).await;
            if run.damage(loaded, &self.failure, None)?.is_none() {
                walk.skip(self, &owned);
            }
        }
    }

    /// The next block that a tree owns, marked; none at its end.
    pub(crate) async fn next_owned(
        &mut self,
        run: &mut Checking<'_>,
        walk: &mut Walk,
        what: Object,
        totals: &mut Totals,
    ) -> Outcome<Option<Owned>> {
        let Some(owned) = walk.next(self).await? else { return Ok(None) };
        totals.used += 1;
        if totals.used > self.layout.total {
            // More than there can be: a node that leads back to itself.
            return Err(self.stop(Error::Corrupt { what, block: owned.entry.block }));
        }
        run.mark(owned.entry.block);
        Ok(Some(owned))
    }

    #[inline(never)]
    pub(crate) async fn check_layer(
        &mut self,
        run: &mut Checking<'_>,
        layer: &Layer,
        totals: &mut Totals,
    ) -> Outcome<()> {
        let id = Some(LayerId(layer.id));
        totals.layers += 1;
        totals.deleted += u32::from(layer.is_deleted());
        totals.staged += u32::from(layer.flags.contains(LayerFlags::STAGED));
        let (guaranteed, reclaimable) = self.sums_of(layer);
        totals.guaranteed += guaranteed;
        totals.reclaimable += reclaimable;
        totals.height = totals.height.max(layer.height);
        if run.first_pass() {
            self.check_record(run, layer).await?;
        }
        // While a merge runs, parent and child are about to differ. A parent that is damaged itself is reported where it is walked over.
        let compared = run.first_pass() && layer.parent != 0 && !self.is_merging(layer);
        let known = if compared { self.known(layer.parent).await? } else { None };
        let parent = &known.map(Map::of);
        if let Some(parent) = parent {
            self.check_same(run, layer, parent, layer.height, 0, &layer.root).await?;
        }
        let (mut data, mut nodes, mut walk) = (0, 0, Walk::new(layer));
        let sound = loop {
            let found = self.next_owned(run, &mut walk, Object::MapNode, totals).await;
            let Some(found) = run.damage(found, &self.failure, id)? else { break false };
            let Some(owned) = found else { break true };
            *(if owned.level == 0 { &mut data } else { &mut nodes }) += 1;
            if !self.check_owned(run, layer, parent.as_ref(), &owned).await? {
                walk.skip(self, &owned);
            }
        };
        if sound {
            self.check_counts(run, layer, data, nodes);
        }
        Ok(())
    }

    /// The counts of what a layer owns. While a merge runs, the child owns below the front what the parent still counts.
    pub(crate) fn check_counts(&mut self, run: &mut Checking<'_>, layer: &Layer, data: u64, nodes: u64) {
        if self.is_merging(layer) {
            return;
        }
        run.count("data blocks", Some(LayerId(layer.id)), layer.data, data);
        run.count("nodes", Some(LayerId(layer.id)), layer.nodes, nodes);
    }

    /// The layer is merged into its child at the moment, or is that child.
    pub(crate) fn is_merging(&self, layer: &Layer) -> bool {
        let merge = &self.sb.merge;
        merge.mode == MergeMode::Merge && (merge.layer == layer.id || merge.layer == layer.parent)
    }

    /// What a node leads to and the layer does not own, its parent has in the same place: nobody else keeps it from being freed.
    pub(crate) async fn check_inherited(
        &mut self,
        run: &mut Checking<'_>,
        layer: &Layer,
        parent: &Map,
        node: &Owned,
    ) -> Outcome<()> {
        for i in 0..1u64 << self.fan_shift() {
            let slot = self.load(&node.entry, Object::MapNode).await?;
            let entry = self.entry_in(slot, index(i) * Entry::SIZE);
            let address = node.address.saturating_add(i * self.span(node.level - 1));
            self.check_same(run, layer, parent, node.level - 1, address, &entry).await?;
        }
        Ok(())
    }

    /// An entry that is inherited, and what the parent has.
    pub(crate) async fn check_same(
        &mut self,
        run: &mut Checking<'_>,
        layer: &Layer,
        parent: &Map,
        level: u8,
        address: u64,
        entry: &Entry,
    ) -> Outcome<()> {
        if !entry.is_block() || entry.birth > layer.parent_epoch {
            return Ok(());
        }
        let there = match self.entry_at(parent.root(), parent.height(), level, address, Object::MapNode).await {
            Err(Stop) if matches!(self.failure, Error::Corrupt { .. }) => return Ok(()),
            there => there?,
        };
        if level > parent.height() || !there.same(entry) {
            run.find(&Finding::Damaged { what: Object::MapNode, block: entry.block, layer: Some(LayerId(layer.id)) });
        }
        Ok(())
    }

    /// One thing that a layer owns, and what it leads to is compared with the parent; false if nothing below it can be looked at.
    pub(crate) async fn check_owned(
        &mut self,
        run: &mut Checking<'_>,
        layer: &Layer,
        parent: Option<&Map>,
        owned: &Owned,
    ) -> Outcome<bool> {
        let id = Some(LayerId(layer.id));
        let block = owned.entry.block;
        // What is in the map of a layer that nobody writes any more was born before that was so.
        let closed = if layer.epoch == 0 { self.sb.epoch } else { layer.epoch };
        let late = owned.entry.birth > self.sb.epoch.min(closed)
            || owned.holder_birth.is_some_and(|holder| holder < owned.entry.birth);
        let behind = owned.address >= self.spb.ceil(layer.sectors);
        if (late || behind) && run.first_pass() {
            run.find(&Finding::Damaged { what: Object::MapNode, block, layer: id });
        }
        if owned.level > 0 {
            let loaded = self.load(&owned.entry, Object::MapNode).await;
            let sound = run.damage(loaded, &self.failure, id)?.is_some();
            if let Some(parent) = parent.filter(|_| sound) {
                self.check_inherited(run, layer, parent, owned).await?;
            }
            return Ok(sound);
        }
        let pointer = self.check_pointer(Object::MapNode, block);
        if run.damage(pointer, &self.failure, id)?.is_none() || !run.scrub || !run.first_pass() {
            return Ok(true);
        }
        self.read_scratch(block).await?;
        if layer.flags.contains(LayerFlags::INTEGRITY) {
            run.sum.scrubbed += 1;
            if (self.checksum)(0, self.scratch) != owned.entry.crc {
                run.find(&Finding::Damaged { what: Object::Data, block, layer: id });
            }
        }
        Ok(true)
    }
}
