//! Changing one field of a pool's metadata so that every checksum is right again: damage that only a check can find.

use cowl::{
    BlockDevice, crc32c,
    format::{Entry, Label, Layer, LayerView, Layout, RECORD_SIZE, SLOT_SIZE, SpaceEntry, Superblock},
};

use crate::SparseDisk;

/// Changes all four slots of the superblock of a pool of 512-byte blocks; their checksums are right.
///
/// # Panics
/// Not all slots are in use.
pub fn change_superblocks(disk: &mut SparseDisk, change: &dyn Fn(&mut Superblock)) {
    for slot in 0..4u8 {
        let mut bytes = [0; 512];
        disk.read(slot.into(), &mut bytes).expect("a slot");
        let mut superblock = Superblock::decode(&bytes, crc32c).expect("all four slots are in use");
        change(&mut superblock);
        superblock.encode(&mut bytes, slot, crc32c);
        disk.write(slot.into(), &bytes).expect("a slot");
    }
}

/// A pool on a disk of 512-byte sectors, unmounted, to be changed behind its back.
#[derive(Debug, Clone)]
pub struct Image {
    /// The disk.
    pub disk: SparseDisk,
    /// The newest superblock; [`seal`](Self::seal) writes it back.
    pub superblock: Superblock,
}

/// The way to a layer's record.
struct Way {
    /// The nodes from the root on, each with its entry and the offset of the next.
    nodes: Vec<(Entry, [u8; 512], usize)>,
    /// The entry of the page.
    page: Entry,
    /// Where the record is in it.
    offset: usize,
}

impl Image {
    /// Finds the newest superblock; for blocks of 512 bytes.
    ///
    /// # Panics
    /// There is none.
    pub fn new(mut disk: SparseDisk) -> Self {
        let found = (0..4).filter_map(|slot| {
            let mut bytes = [0; 512];
            disk.read(slot, &mut bytes).expect("a sector");
            Superblock::decode(&bytes, crc32c)
        });
        let superblock = found.max_by_key(|superblock| superblock.generation).expect("a superblock");
        assert_eq!((superblock.block_shift, superblock.sector_shift), (9, 9));
        Self { disk, superblock }
    }

    /// Where the fixed things are.
    pub fn layout(&self) -> Layout {
        self.superblock.layout()
    }

    /// A block.
    ///
    /// # Panics
    /// It lies outside the disk.
    pub fn block(&mut self, block: u64) -> [u8; 512] {
        let mut bytes = [0; 512];
        self.disk.read(block, &mut bytes).expect("a block of the disk");
        bytes
    }

    fn store(&mut self, block: u64, bytes: &[u8; 512]) -> u32 {
        self.disk.write(block, bytes).expect("a block of the disk");
        crc32c(0, bytes)
    }

    /// Writes the superblock back into both slots of its pair.
    pub fn seal(mut self) -> SparseDisk {
        let pair = u8::from(self.superblock.generation % 2 == 1) * 2;
        for slot in [pair, pair + 1] {
            let mut bytes = [0; 512];
            self.superblock.encode(&mut bytes, slot, crc32c);
            self.store(slot.into(), &bytes);
        }
        self.disk
    }

    /// A layer's record.
    ///
    /// # Panics
    /// There is none.
    pub fn layer(&mut self, id: u32) -> Layer {
        let mut found = None;
        self.change_layer(id, |layer| found = Some(*layer));
        found.expect("a record")
    }

    /// The block with a layer's record.
    pub fn page_of(&mut self, id: u32) -> u64 {
        self.way_to(id).page.block
    }

    fn way_to(&mut self, id: u32) -> Way {
        let byte = u64::from(id) * SLOT_SIZE;
        let (page, offset) = (byte / 512, usize::try_from(byte % 512).expect("an offset"));
        let mut nodes = Vec::new();
        let mut entry = self.superblock.catalog;
        for level in (1..=self.superblock.catalog_height).rev() {
            let node = self.block(entry.block);
            let at = usize::try_from((page >> (5 * (u64::from(level) - 1))) % 32).expect("an index") * Entry::SIZE;
            nodes.push((entry, node, at));
            entry = Entry::decode(&node, at);
        }
        Way { nodes, page: entry, offset }
    }

    /// Changes a layer's record, and the checksums from its page to the superblock.
    ///
    /// # Panics
    /// There is no such record.
    pub fn change_layer(&mut self, id: u32, change: impl FnOnce(&mut Layer)) {
        self.change_record(id, |record| {
            let mut layer = Layer::decode(record).expect("a record");
            change(&mut layer);
            layer.encode(record);
        });
    }

    /// Changes what a layer's record keeps for whoever asks.
    ///
    /// # Panics
    /// There is no such record.
    pub fn change_label(&mut self, id: u32, change: impl FnOnce(&mut Label)) {
        self.change_record(id, |record| {
            let mut label = LayerView::new(record).label();
            change(&mut label);
            label.encode(record);
        });
    }

    fn change_record(&mut self, id: u32, change: impl FnOnce(&mut [u8])) {
        let Way { nodes, page: mut entry, offset } = self.way_to(id);
        let mut bytes = self.block(entry.block);
        let record = &mut bytes[offset..offset + RECORD_SIZE];
        assert_eq!(LayerView::new(record).id(), id, "the record's number");
        change(record);
        entry.crc = self.store(entry.block, &bytes);
        for (holder, mut node, at) in nodes.into_iter().rev() {
            entry.encode(&mut node, at);
            entry = Entry { crc: self.store(holder.block, &node), ..holder };
        }
        self.superblock.catalog = entry;
    }

    /// Changes the entry of the space map that leads to a node, and what the node holds, and the checksums above.
    ///
    /// # Panics
    /// The node was never written.
    pub fn change_space(&mut self, level: u32, position: u64, change: impl FnOnce(&mut SpaceEntry, &mut [u8; 512])) {
        let layout = self.layout();
        let mut path = Vec::new();
        let mut entry = self.superblock.space;
        for above in (level + 1..=layout.levels()).rev() {
            let place = layout.space_place(above, position >> (5 * (above - level)), entry.copy);
            let node = self.block(place);
            let below = (position >> (5 * (above - 1 - level))) % 32;
            let at = usize::try_from(below).expect("an index") * Entry::SIZE;
            path.push((place, entry, node, at));
            entry = SpaceEntry::decode(&node, at);
        }
        assert!(entry.is_written());
        let place = layout.space_place(level, position, entry.copy);
        let mut bytes = self.block(place);
        change(&mut entry, &mut bytes);
        entry.crc = self.store(place, &bytes);
        for (place, holder, mut node, at) in path.into_iter().rev() {
            entry.encode(&mut node, at);
            entry = SpaceEntry { crc: self.store(place, &node), ..holder };
        }
        self.superblock.space = entry;
    }
}
