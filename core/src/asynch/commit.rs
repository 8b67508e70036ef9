//! Made from `commit.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// Blocks that are set aside for checkpoints: what one writes at worst.
    pub(crate) fn reserve(&self) -> u64 {
        let height = u64::from(self.sb.max_height);
        let catalog = u64::from(self.sb.catalog_height) + 1;
        let pending = u64::from(self.durable().pending());
        pending * (height + catalog) + SPARES as u64 + 2 * height + 4 * (catalog + 2) + SLACK
    }

    /// Starts a checkpoint and applies what is pending (C1).
    pub(crate) async fn begin(&mut self) -> Outcome<()> {
        self.writable()?;
        self.check_idle()?;
        let generation = self.durable().generation().checked_add(1).ok_or_else(|| self.stop(Error::Exhausted))?;
        self.sb.generation = generation;
        self.began = (self.window.position(self.layout.total), self.window.taken);
        self.building = true;
        self.heads.clear();
        let applied = self.apply_pending().await;
        if applied.is_err() {
            self.abort();
        }
        applied
    }

    /// Ends a checkpoint: commits it, or drops it if the verb failed.
    pub(crate) async fn end<T>(&mut self, result: Outcome<T>) -> Outcome<T> {
        let result = match result {
            Ok(value) => self.commit().await.map(|()| value),
            Err(Stop) => Err(Stop),
        };
        if result.is_err() {
            self.abort();
        }
        result
    }

    /// A verb of the pool's begins.
    pub(crate) async fn start(&mut self) -> Result<(), Error<D::Error>> {
        let begun = self.begin().await;
        self.answer(begun)
    }

    /// A verb of the pool's ends; what its caller is told.
    pub(crate) async fn finish<T>(&mut self, result: Outcome<T>) -> Result<T, Error<D::Error>> {
        let ended = self.end(result).await;
        self.answer(ended)
    }

    /// A checkpoint with nothing but what is pending.
    pub(crate) async fn checkpoint(&mut self) -> Outcome<()> {
        self.begin().await?;
        self.end(Ok(())).await
    }

    /// A mount writes nothing; the first change makes what it recovered durable (M4).
    pub(crate) async fn leave_fresh(&mut self) -> Outcome<()> {
        self.writable()?;
        if self.fresh { self.checkpoint().await } else { Ok(()) }
    }

    pub(crate) fn abort(&mut self) {
        crate::logging::event!(debug, "checkpoint {} dropped, poisoned: {}", self.sb.generation, self.poisoned);
        self.cache.drop_dirty();
        self.cache.unpin_all();
        self.sb = self.durable().state();
        self.spares.take(self.saved);
        self.window.rewind(self.began.0, self.began.1);
        self.heads.clear();
        self.building = false;
    }

    #[inline(never)]
    pub(crate) async fn commit(&mut self) -> Outcome<()> {
        self.refill_spares().await?;
        self.spares.add_later_ones();
        let applied = self.pending.len();
        self.clean_all(false).await?;
        self.sb.cursor = self.next_cursor();
        self.barrier().await?;
        self.write_superblock().await?;
        self.barrier().await?;
        // What was written last.
        copy(self.saved, self.scratch);
        self.building = false;
        self.cache.drop_dirty();
        self.pending.clear();
        self.heads.clear();
        self.sequence = 1;
        self.flushed = 0;
        self.proven = 0;
        self.growth = 0;
        self.reserve_used = 0;
        self.fresh = false;
        self.window.restart(self.sb.cursor);
        self.stats.checkpoints += 1;
        crate::logging::event!(
            debug,
            "checkpoint {}: {} records, {} blocks free",
            self.sb.generation,
            crate::bytes::wide(applied),
            self.sb.free
        );
        Ok(())
    }

    /// Where the next generation allocates: onwards, but from the start again when the pool would spread far beyond what it
    /// uses, so that a sparse file below stays small.
    pub(crate) fn next_cursor(&self) -> u64 {
        let total = self.layout.total;
        let next = self.window.block(self.window.position(total), total);
        onwards(next, total.saturating_sub(self.sb.free))
    }

    /// The flush of the device: the only one outside of mounting and formatting.
    pub(crate) async fn barrier(&mut self) -> Outcome<()> {
        self.stats.flushes += 1;
        self.device.flush().await.map_err(|error| self.poison("a flush", error))
    }

    pub(crate) async fn write_superblock(&mut self) -> Outcome<()> {
        let pair = u8::from(self.sb.generation % 2 == 1) * 2;
        self.scratch.fill(0);
        copy(self.scratch, self.saved);
        if let Some(fields) = self.scratch.first_chunk_mut() {
            self.sb.put(fields);
            self.spares.put(fields);
        }
        for slot in [pair, pair + 1] {
            Superblock::seal(self.scratch, slot, self.checksum);
            let length = self.sector_size.max(crate::format::SUPERBLOCK_SIZE).min(self.scratch.len());
            self.stats.writes += 1;
            let bytes = self.scratch.get(..length).unwrap_or(&[]);
            if let Err(error) = self.device.write(u64::from(slot) * self.spb, bytes).await {
                return Err(self.poison("writing a superblock", error));
            }
        }
        Ok(())
    }

    /// The epoch up to which entries at this address belong to others than the layer with this parent.
    pub(crate) fn limit_for(&self, parent: u32, parent_epoch: u32, address: u64) -> u32 {
        let merge = &self.sb.merge;
        if merge.mode == MergeMode::Merge && merge.layer == parent && parent != 0 && address < merge.front {
            merge.limit
        } else {
            parent_epoch
        }
    }

    /// The map of a record that is open, to be changed.
    pub(crate) fn map_tree(open: &Open) -> Tree {
        let (holder, offset) = open.root_place();
        Tree {
            holder,
            offset,
            height: open.layer.height,
            what: Object::MapNode,
            limit: open.layer.parent_epoch,
            own_limit: open.layer.parent_epoch,
            keep_birth: false,
            nodes: 0,
            parents_nodes: 0,
        }
    }

    #[inline(never)]
    pub(crate) async fn apply_pending(&mut self) -> Outcome<()> {
        let mut i = 0;
        while let Some(id) = self.pending.layer_of(i) {
            let Ok(ref mut open) = self.open(id).await else { return Err(Stop) };
            let mut tree = Self::map_tree(open);
            let mut applied = Applied::default();
            while self.pending.layer_of(i) == Some(id) {
                let Some(ref item) = self.pending.get(i) else { break };
                tree.limit = self.limit_for(open.layer.parent, open.layer.parent_epoch, item.record.address);
                self.apply_entry(&mut tree, &mut applied, item.record.address, &item.record.entry).await?;
                i += 1;
            }
            self.settle(open, &tree, &applied).await?;
        }
        self.clean_all(true).await
    }

    /// Puts one entry into a map; the block that it replaces is freed if it was owned.
    pub(crate) async fn apply_entry(
        &mut self,
        tree: &mut Tree,
        applied: &mut Applied,
        address: u64,
        entry: &Entry,
    ) -> Outcome<()> {
        if entry.is_block() {
            self.space_mark(entry.block, true).await?;
            applied.data += 1;
        }
        let old = self.tree_set(tree, address, 0, entry).await?;
        if !old.is_block() {
            return Ok(());
        }
        if old.birth <= tree.limit {
            applied.replaced = applied.replaced.max(old.birth);
            return Ok(());
        }
        if old.birth > tree.own_limit {
            applied.data -= 1;
        } else {
            applied.parents_data -= 1;
        }
        self.space_mark(old.block, false).await
    }

    /// Enters the counts into the layer's record, and what concerns its parent into the parent's.
    #[inline(never)]
    pub(crate) async fn settle(&mut self, open: &mut Open, tree: &Tree, applied: &Applied) -> Outcome<()> {
        open.layer.data = open.layer.data.saturating_add_signed(applied.data);
        open.layer.nodes = open.layer.nodes.saturating_add_signed(tree.nodes);
        let parent = open.layer.parent;
        self.save(open);
        if parent == 0 {
            return Ok(());
        }
        if applied.parents_data != 0 || tree.parents_nodes != 0 {
            self.change(parent, &mut |layer| {
                layer.data = layer.data.saturating_add_signed(applied.parents_data);
                layer.nodes = layer.nodes.saturating_add_signed(tree.parents_nodes);
            })
            .await?;
        }
        if applied.replaced != 0 {
            self.arm(parent, applied.replaced).await?;
        }
        Ok(())
    }

    /// A child has replaced an entry of this birth: a deleted branching point that owned it may have become its last holder.
    pub(crate) async fn arm(&mut self, parent: u32, birth: u32) -> Outcome<()> {
        let layer = self.layer(parent).await?;
        let idle = layer.is_deleted() && !layer.flags().contains(LayerFlags::ARMED);
        if idle && layer.children() > 1 && birth > layer.parent_epoch() {
            self.change(parent, &mut |layer| layer.flags |= LayerFlags::ARMED).await?;
            self.sb.hint = parent;
        }
        Ok(())
    }

    /// Makes everything durable that was written (J4).
    pub(crate) async fn flush(&mut self) -> Outcome<()> {
        if let Some(flushing) = self.begin_flush().await? {
            self.barrier().await?;
            self.end_flush(&flushing);
        }
        Ok(())
    }

    /// Writes the records that are in no unit yet into this many units.
    pub(crate) async fn write_group(&mut self, units: usize, unit_size: usize) -> Outcome<()> {
        self.refresh_checksums().await?;
        self.write_units(units, unit_size).await
    }

    /// Reads back the blocks of which a part was written after their record was made.
    pub(crate) async fn refresh_checksums(&mut self) -> Outcome<()> {
        for i in 0..self.pending.len() {
            let Some(mut item) = self.pending.get(i).filter(|item| item.unit == 0 && item.stale) else { continue };
            self.read_scratch(item.record.entry.block).await?;
            item.record.crc = (self.checksum)(0, self.scratch);
            item.stale = false;
            self.pending.set(i, &item);
        }
        Ok(())
    }

    pub(crate) async fn write_units(&mut self, units: usize, unit_size: usize) -> Outcome<()> {
        let capacity = Unit::capacity(unit_size);
        let mut next = 0;
        for _ in 0..units {
            self.scratch.fill(0);
            let mut count = 0;
            while count < capacity && next < self.pending.len() {
                if let Some(item) = self.pending.get(next).filter(|item| item.unit == 0) {
                    item.record.encode(self.scratch, UNIT_HEADER + count * Record::SIZE);
                    self.pending.set(next, &Item { unit: self.sequence, ..item });
                    count += 1;
                }
                next += 1;
            }
            let unit = Unit {
                uuid: self.durable().uuid(),
                generation: self.sb.generation,
                sequence: self.sequence,
                mark: self.flushed,
                count: u16::try_from(count).unwrap_or(0),
            };
            let sector = self.unit_sector(self.sequence - 1);
            let bytes = self.scratch.get_mut(..unit_size).unwrap_or(&mut []);
            unit.seal(bytes, self.checksum);
            self.stats.writes += 1;
            if let Err(error) = self.device.write(sector, bytes).await {
                return Err(self.poison("writing the journal", error));
            }
            self.sequence += 1;
        }
        Ok(())
    }

    /// First sector of a place of the journal.
    pub(crate) fn unit_sector(&self, place: u32) -> u64 {
        crate::format::GROUP_START * self.spb + u64::from(place) * self.unit().get()
    }
}
