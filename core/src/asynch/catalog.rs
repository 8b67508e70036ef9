//! Made from `catalog.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    #[inline(never)]
    pub(crate) fn record_place(&self, id: u32, part: u64) -> (u64, usize) {
        let byte = u64::from(id) * SLOT_SIZE + part;
        (byte >> self.layout.block_shift, index(byte & ((1 << self.layout.block_shift) - 1)))
    }

    /// The page, if there is one.
    pub(crate) async fn page(&mut self, page: u64) -> Outcome<Option<Slot>> {
        let (root, height) = (self.sb.catalog, self.sb.catalog_height);
        let entry = self.entry_at(root, height, 0, page, Object::Catalog).await?;
        if entry.is_block() { self.load(&entry, Object::Catalog).await.map(Some) } else { Ok(None) }
    }

    /// The page, ready to be changed.
    pub(crate) async fn page_mut(&mut self, page: u64) -> Outcome<Slot> {
        if page >= self.span(self.sb.catalog_height) {
            // It was raised before the first record was opened.
            return Err(self.damaged(Object::Catalog, self.sb.catalog.block));
        }
        let mut tree = Tree::catalog(self.sb.catalog_height);
        let (holder, offset) = self.descend_mut(&mut tree, page, 0).await?;
        self.node_mut(&mut tree, holder, offset).await
    }

    /// Grows the catalog so that this layer number has a page. Before any record is opened: a new root renews pages.
    pub(crate) async fn raise_catalog_for(&mut self, id: u64) -> Outcome<()> {
        let page = ((id + 1) * SLOT_SIZE) >> self.layout.block_shift;
        while page >= self.span(self.sb.catalog_height) {
            self.raise_catalog().await?;
        }
        Ok(())
    }

    /// Puts a node on top of the catalog.
    pub(crate) async fn raise_catalog(&mut self) -> Outcome<()> {
        let old = self.sb.catalog;
        self.sb.catalog_height += 1;
        if !old.is_block() {
            return Ok(());
        }
        // The old root may be dirty: it is written first, so that its checksum is known.
        self.clean_all(false).await?;
        let old = self.sb.catalog;
        self.sb.catalog = Entry::EMPTY;
        let mut tree = Tree::catalog(self.sb.catalog_height);
        let (holder, offset) = (tree.holder, tree.offset);
        let slot = self.node_mut(&mut tree, holder, offset).await?;
        old.encode(self.cache.bytes_mut(slot), 0);
        Ok(())
    }

    /// The record at a place of a page; what is there has been looked at by [`record_at`](Self::record_at).
    pub(crate) fn view(&self, (slot, offset): (Slot, usize)) -> LayerView<'_> {
        LayerView::new(self.cache.bytes(slot).get(offset..).unwrap_or(&[]))
    }

    /// The number of the record at a place of a page, 0 if there is none; damage if it cannot be one.
    pub(crate) fn record_at(&mut self, place: (Slot, usize)) -> Outcome<u32> {
        let layer = self.view(place);
        let id = layer.id();
        if layer.is_possible() && (id == 0 || self.is_possible(layer)) {
            Ok(id)
        } else {
            Err(self.damaged_page(place.0))
        }
    }

    pub(crate) fn damaged_page(&mut self, slot: Slot) -> Stop {
        self.damaged(Object::Layer, self.cache.block(slot))
    }

    /// The record's numbers are such that arithmetic on them stays in bounds.
    pub(crate) fn is_possible(&self, layer: LayerView<'_>) -> bool {
        let height = (1..=height_limit(self.fan_shift())).contains(&layer.height());
        let size = self.spb.ceil(layer.sectors()) <= 1 << 48;
        height && size && layer.data() <= self.layout.total && layer.nodes() <= self.layout.total
    }

    /// A layer's record; any kind, deleted ones too.
    pub(crate) async fn layer(&mut self, id: u32) -> Outcome<LayerView<'_>> {
        let place = self.place_of(id).await?;
        Ok(self.view(place))
    }

    /// Where a layer's record is.
    pub(crate) async fn place_of(&mut self, id: u32) -> Outcome<(Slot, usize)> {
        let (page, offset) = self.record_place(id, 0);
        if id == 0 {
            return Err(self.no_layer(id));
        }
        let Some(slot) = self.page(page).await? else { return Err(self.no_layer(id)) };
        match self.record_at((slot, offset))? {
            0 => Err(self.no_layer(id)),
            found if found == id => Ok((slot, offset)),
            _ => Err(self.damaged_page(slot)),
        }
    }

    /// There is no layer of this number.
    pub(crate) fn no_layer(&mut self, id: u32) -> Stop {
        self.stop(Error::NoSuchLayer(LayerId(id)))
    }

    /// The block with a layer's record, to name it in a report of damage.
    pub(crate) async fn record_block(&mut self, id: u32) -> Outcome<u64> {
        let (page, _) = self.record_place(id, 0);
        Ok(self.page(page).await?.map_or(self.sb.catalog.block, |slot| self.cache.block(slot)))
    }

    /// A layer's record, if it is not deleted.
    pub(crate) async fn live_layer(&mut self, id: u32) -> Outcome<LayerView<'_>> {
        let place = self.place_of_live(id).await?;
        Ok(self.view(place))
    }

    /// Where a layer's record is, if it is not deleted.
    pub(crate) async fn place_of_live(&mut self, id: u32) -> Outcome<(Slot, usize)> {
        let place = self.place_of(id).await?;
        let layer = self.view(place);
        if layer.is_deleted() || self.is_forgotten(layer) {
            return Err(self.no_layer(id));
        }
        Ok(place)
    }

    /// A staged attachment of an earlier mount: nothing but garbage.
    pub(crate) fn is_forgotten(&self, layer: LayerView<'_>) -> bool {
        layer.flags().contains(LayerFlags::STAGED) && layer.mounted() != self.mounted
    }

    /// Slots and entries of nodes that a catalog can have on this device: a scan that looks at more goes around in circles.
    pub(crate) fn catalog_limit(&self) -> u64 {
        self.layout.total << (self.layout.block_shift - 3)
    }

    /// Where a scan looks for the record of this number, page and offset; none behind the last. `left` counts down to damage.
    pub(crate) fn next_place(&mut self, id: u32, left: &mut u64) -> Outcome<Option<(u64, usize)>> {
        let (page, offset) = self.record_place(id, 0);
        if id >= self.sb.next_layer || page >= self.span(self.sb.catalog_height) {
            return Ok(None);
        }
        *left = left.checked_sub(1).ok_or_else(|| self.damaged(Object::Catalog, self.sb.catalog.block))?;
        Ok(Some((page, offset)))
    }

    /// The first record at or after this number.
    pub(crate) async fn record_from(&mut self, id: u32) -> Outcome<Option<LayerView<'_>>> {
        let found = self.place_from(id).await?;
        Ok(found.map(|place| self.view(place)))
    }

    /// Where that record is.
    pub(crate) async fn place_from(&mut self, id: u32) -> Outcome<Option<(Slot, usize)>> {
        let mut id = id.max(1);
        let mut left = self.catalog_limit();
        while let Some((page, offset)) = self.next_place(id, &mut left)? {
            let Some(slot) = self.page(page).await? else {
                let skipped = self.empty_pages_end(page).await?;
                let byte = skipped.saturating_mul(1 << self.layout.block_shift);
                id = u32::try_from(byte.saturating_add(SLOT_SIZE - 1) / SLOT_SIZE).unwrap_or(u32::MAX).max(id + 1);
                continue;
            };
            let found = self.record_at((slot, offset))?;
            if found == id {
                return Ok(Some((slot, offset)));
            }
            if found != 0 {
                return Err(self.damaged_page(slot));
            }
            id += 1;
        }
        Ok(None)
    }

    /// One past the pages that are known to be missing together with this one.
    pub(crate) async fn empty_pages_end(&mut self, page: u64) -> Outcome<u64> {
        let (root, height) = (self.sb.catalog, self.sb.catalog_height);
        if page >= self.span(height) {
            return Ok(u64::MAX);
        }
        for level in (0..height + 1).rev() {
            if !self.entry_at(root, height, level, page, Object::Catalog).await?.is_block() {
                return Ok(self.behind(level, page));
            }
        }
        Ok(page + 1)
    }

    /// A record, to be changed.
    pub(crate) async fn open(&mut self, id: u32) -> Outcome<Open> {
        self.expect_layer(id).await?;
        let (page, offset) = self.record_place(id, 0);
        let slot = self.page_mut(page).await?;
        self.record_at((slot, offset))?;
        self.cache.pin(slot);
        let layer = self.view((slot, offset)).decode();
        Ok(Open { slot, offset, layer, counted: true })
    }

    /// A new record, with the next number.
    pub(crate) async fn open_new(&mut self) -> Outcome<Open> {
        let id = self.sb.next_layer;
        self.sb.next_layer = id.checked_add(1).ok_or_else(|| self.stop(Error::Exhausted))?;
        let (page, offset) = self.record_place(id, 0);
        let slot = self.page_mut(page).await?;
        self.cache.pin(slot);
        let layer = Layer { id, ..Layer::FREE };
        let open = Open { slot, offset, layer, counted: false };
        if self.view((slot, offset)).id() != 0 {
            // There is a layer of this number: the superblock has forgotten it.
            return Err(self.damaged_page(slot));
        }
        let record = self.record_mut(&open);
        record.fill(0);
        // A page that is all zeros would be taken for one that nobody needs.
        layer.put(record);
        Ok(open)
    }

    /// The record that is open, on its page.
    pub(crate) fn record_mut(&mut self, open: &Open) -> &mut [u8] {
        self.cache.bytes_mut(open.slot).get_mut(open.offset..open.offset + RECORD_SIZE).unwrap_or(&mut [])
    }

    /// Puts the record back, and what it changes into the superblock's sums. The root is left as the page has it.
    pub(crate) fn save(&mut self, open: &Open) {
        let before = if open.counted { self.view((open.slot, open.offset)).decode() } else { Layer::FREE };
        let (before, after) = (self.tally(&before), self.tally(&open.layer));
        open.layer.put(self.record_mut(open));
        let sb = &mut self.sb;
        sb.guaranteed = (sb.guaranteed + after.guaranteed).saturating_sub(before.guaranteed);
        sb.reclaimable = (sb.reclaimable + after.reclaimable).saturating_sub(before.reclaimable);
        sb.layers = (sb.layers + after.layers).saturating_sub(before.layers);
        sb.deleted = (sb.deleted + after.deleted).saturating_sub(before.deleted);
        sb.staged = (sb.staged + after.staged).saturating_sub(before.staged);
        self.cache.unpin(open.slot);
    }

    /// Sets the root of a record that is open.
    pub(crate) fn set_root(&mut self, open: &Open, root: &Entry) {
        let (slot, offset) = open.root_place();
        root.encode(self.cache.bytes_mut(slot), offset);
    }

    /// Removes a record; its page too if nothing else is on it.
    #[inline(never)]
    pub(crate) async fn remove(&mut self, id: u32) -> Outcome<()> {
        let Ok(ref mut open) = self.open(id).await else { return Err(Stop) };
        let described = self.view((open.slot, open.offset)).described();
        self.write_description(id, "", described).await?;
        open.layer = Layer::FREE;
        self.save(open);
        self.record_mut(open).fill(0);
        self.prune_page(self.record_place(id, 0).0).await
    }

    pub(crate) async fn prune_page(&mut self, page: u64) -> Outcome<()> {
        let mut tree = Tree::catalog(self.sb.catalog_height);
        self.prune(&mut tree, page, 0).await?;
        if !self.sb.catalog.is_block() {
            self.sb.catalog_height = 0;
        }
        Ok(())
    }

    /// Stores a description over one of `old` bytes.
    pub(crate) async fn write_description(&mut self, id: u32, text: &str, old: u16) -> Outcome<()> {
        let mut done = 0;
        let length = text.len().max(usize::from(old));
        while done < length {
            let (page, offset) = self.record_place(id, wide(RECORD_SIZE + done));
            let part = (self.block_size() - offset).min(length - done);
            let slot = self.page_mut(page).await?;
            let bytes = self.cache.bytes_mut(slot).get_mut(offset..offset + part).unwrap_or(&mut []);
            for (i, byte) in bytes.iter_mut().enumerate() {
                *byte = text.as_bytes().get(done + i).copied().unwrap_or(0);
            }
            self.prune_page(page).await?;
            done += part;
        }
        Ok(())
    }

    /// Copies a live layer's description into `buffer`; its length.
    pub(crate) async fn description(&mut self, id: u32, buffer: &mut [u8]) -> Outcome<usize> {
        let layer = self.live_layer(id).await?;
        let length = usize::from(layer.described()).min(buffer.len());
        let mut done = 0;
        while done < length {
            let (page, offset) = self.record_place(id, wide(RECORD_SIZE + done));
            let part = (self.block_size() - offset).min(length - done);
            let Some(slot) = self.page(page).await? else {
                let block = self.record_block(id).await?;
                return Err(self.damaged(Object::Catalog, block));
            };
            let from = self.cache.bytes(slot).get(offset..offset + part).unwrap_or(&[]);
            if let Some(to) = buffer.get_mut(done..done + from.len()) {
                copy(to, from);
            }
            done += part;
        }
        Ok(length)
    }

    /// The layer with this name among live volumes and snapshots. Reads the whole catalog.
    pub(crate) async fn find_name(&mut self, name: &str) -> Outcome<Option<LayerView<'_>>> {
        let found = self.place_of_name(name).await?;
        Ok(found.map(|place| self.view(place)))
    }

    pub(crate) async fn place_of_name(&mut self, name: &str) -> Outcome<Option<(Slot, usize)>> {
        let mut next = 1;
        while let Some(id) = self.next_with_name(next, name).await? {
            let place = self.place_of(id).await?;
            let layer = self.view(place);
            if !layer.is_deleted() && layer.kind() != LayerKind::Attachment {
                return Ok(Some(place));
            }
            next = id + 1;
        }
        Ok(None)
    }

    /// The first record at or after this number that has the name; other records are not decoded.
    pub(crate) async fn next_with_name(&mut self, from: u32, name: &str) -> Outcome<Option<u32>> {
        let mut id = from;
        let mut left = self.catalog_limit();
        while let Some((page, offset)) = self.next_place(id, &mut left)? {
            let Some(slot) = self.page(page).await? else {
                id = self.record_from(id).await?.map_or(u32::MAX, LayerView::id);
                continue;
            };
            let last = ((page + 1) << self.layout.block_shift) / SLOT_SIZE;
            let bytes = self.cache.bytes(slot).get(offset..).unwrap_or(&[]);
            for record in bytes.chunks(index(SLOT_SIZE)) {
                if id < self.sb.next_layer && Layer::has_name(record, name) {
                    return Ok(Some(id));
                }
                id += 1;
            }
            id = id.max(u32::try_from(last).unwrap_or(u32::MAX));
        }
        Ok(None)
    }

    /// Height of a map for so many sectors.
    pub(crate) fn height_of(&self, sectors: u64) -> u8 {
        height_for(self.spb.ceil(sectors), self.fan_shift())
    }
}
