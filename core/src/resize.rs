//! Resizing a volume; its snapshots keep their sizes.
//!
//! Growing puts nodes on top of the map. Shrinking cuts the map along the new end and leaves the old state to a deleted layer below,
//! which merge works off: the cost does not depend on how much is cut. One checkpoint each; a crash leaves the old size or
//! the new one. Sectors behind the end of the last block are zeroed before they come into view; in place only if they share no physical
//! unit with what is in view, which a torn write would take along.

use crate::{
    bytes::index,
    catalog::Open,
    device::BlockDevice,
    error::Error,
    format::{Entry, MergeMode},
    pool::{Pool, Result},
    store::{Outcome, Stop, Store},
    types::{LayerFlags, LayerId, LayerKind},
    write::Source,
};

#[cfg(feature = "async")]
#[path = "asynch/resize.rs"]
pub(crate) mod asynch;

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Makes a volume larger or smaller. What is cut off is gone; what is new reads as zeros (or as the base device, from the end
    /// of the last block that was written on).
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::BadParameter`] for nothing or too much, [`Error::WrongKind`] for a snapshot.
    ///
    /// # Power loss
    /// The old size and content or the new.
    pub fn resize(&mut self, volume: LayerId, sectors: u64) -> Result<(), D> {
        let done = self.resize_to(volume, sectors);
        self.store.answer(done)
    }

    fn resize_to(&mut self, volume: LayerId, sectors: u64) -> Outcome<()> {
        self.store.writable()?;
        let old = self.store.live(volume, LayerKind::Volume)?.sectors();
        let spb = self.store.spb;
        if sectors == 0 || spb.ceil(sectors) > 1 << 48 {
            return Err(self.store.stop(Error::BadParameter("a volume has from one sector to 2^48 blocks")));
        }
        if sectors > old && old % spb != 0 {
            self.store.leave_fresh()?;
            self.hide_tail(volume, old)?;
        }
        self.store.begin()?;
        let result = self.store.resize_body(volume, sectors);
        self.store.end(result)
    }

    /// Zeroes what an earlier, larger size may have left behind the end in the last block; past the base device's end alone.
    fn hide_tail(&mut self, volume: LayerId, sectors: u64) -> Outcome<()> {
        let spb = self.store.spb;
        let head = self.store.head(volume)?;
        let (address, within) = (sectors / spb, sectors % spb);
        let (entry, _) = self.store.effective(&head, address)?;
        if !entry.is_block() {
            return Ok(());
        }
        let shared = sectors % self.store.unit() != 0;
        self.write_within(volume, address, within, spb.get() - within, Source::Zeros, shared)
    }
}

impl<D: BlockDevice> Store<'_, D> {
    #[inline(never)]
    fn resize_body(&mut self, volume: LayerId, sectors: u64) -> Outcome<()> {
        let layer = self.live(volume, LayerKind::Volume)?;
        let (parent, parent_epoch, created) = (layer.parent(), layer.parent_epoch(), layer.created());
        let (held, owned) = (layer.sectors(), layer.data() + layer.nodes());
        let blocks = self.spb.ceil(sectors);
        if sectors < held {
            let free = self.sb.free;
            let limit = self.limit_for(parent, parent_epoch, blocks);
            self.expect_layers(1)?;
            let merging = self.sb.merge.mode == MergeMode::Merge && self.sb.merge.layer == parent;
            if owned > 0 || merging {
                self.forget(volume.0, created)?;
            }
            let Ok(ref mut open) = self.open(volume.0) else { return Err(Stop) };
            let copies = self.cut(open, blocks, limit)?;
            open.layer.sectors = sectors;
            self.save(open);
            if copies > 0 && !open.layer.flags.contains(LayerFlags::GUARANTEED) {
                // No merge gives them back.
                self.check_free(free.saturating_sub(copies.into()))?;
            }
            return self.check_promises();
        }
        let Ok(ref mut open) = self.open(volume.0) else { return Err(Stop) };
        let height = self.height_of(sectors);
        while open.layer.height < height {
            self.raise_map(open)?;
        }
        open.layer.sectors = sectors;
        self.sb.max_height = self.sb.max_height.max(open.layer.height);
        self.save(open);
        self.check_room()
    }

    /// Puts a node on top of a map.
    fn raise_map(&mut self, open: &mut Open) -> Outcome<()> {
        let (slot, offset) = open.root_place();
        // The checksum of the old root must be known.
        self.clean_all(true)?;
        let old = self.held_entry(slot, offset);
        open.layer.height += 1;
        self.set_root(open, &Entry::EMPTY);
        if old.is_empty() {
            return Ok(());
        }
        let mut tree = Self::map_tree(open);
        let node = self.node_mut(&mut tree, slot, offset)?;
        old.encode(self.cache.bytes_mut(node), 0);
        open.layer.nodes = open.layer.nodes.saturating_add_signed(tree.nodes);
        Ok(())
    }

    /// Removes every entry of a map from an address on. The volume owns nothing of it, and before it was closed only what was born after
    /// `limit`: how many of the nodes that it gets now it did not have then.
    fn cut(&mut self, open: &mut Open, address: u64, limit: u32) -> Outcome<u32> {
        let mut tree = Self::map_tree(open);
        let fan = self.span(1);
        let (mut holder, mut offset) = (tree.holder, tree.offset);
        if address >= self.span(tree.height) {
            return Ok(0);
        }
        let mut copies = 0;
        let mut reached = tree.height;
        for below in (0..tree.height).rev() {
            let level = below + 1;
            let entry = self.held_entry(holder, offset);
            if !entry.is_block() {
                break;
            }
            copies += u32::from(entry.birth <= limit);
            let slot = self.node_mut(&mut tree, holder, offset)?;
            reached = level;
            let aligned = self.begins(level - 1, address);
            let keep = self.child_offset(address, level) + if aligned { 0 } else { Entry::SIZE };
            let end = index(fan) * Entry::SIZE;
            if let Some(rest) = self.cache.bytes_mut(slot).get_mut(keep..end) {
                rest.fill(0);
            }
            if aligned {
                break;
            }
            (holder, offset) = (slot, self.child_offset(address, level));
        }
        self.prune(&mut tree, address, reached)?;
        open.layer.nodes = open.layer.nodes.saturating_add_signed(tree.nodes);
        Ok(copies)
    }
}
