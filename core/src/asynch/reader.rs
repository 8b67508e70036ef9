//! Made from `reader.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::newest::asynch::find_superblock;
use crate::pool::asynch::Result;

/// A pool that is only read, by little code and with little memory: for a boot loader.
///
/// The device is not written to. Nobody else may write to it meanwhile: an [`Image`] holds as long as the reader.
///
/// ```
/// use cowl::{Attributes, FormatOptions, LayerFlags, MountOptions, Pool, RamDisk, Reader, crc32c, reader_workspace_size};
///
/// # fn main() -> Result<(), cowl::Error<cowl::OutOfRange>> {
/// let mut memory = vec![0; 1 << 18];
/// let mut workspace = [0; 8 << 10];
/// let options = FormatOptions::new(512, [7; 16]);
/// # let mut disk = RamDisk::new(&mut memory);
/// # Pool::format(&mut disk, &mut workspace, &options)?;
/// # let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default())?;
/// # let volume = pool.create(&Attributes { name: "firmware", ..Attributes::default() }, 16, LayerFlags::INTEGRITY)?;
/// # pool.write(volume, 0, &[9; 8192])?;
/// # pool.flush()?;
/// // Somebody has written the volume `firmware` in a pool on this disk.
/// let mut small = [0; reader_workspace_size(512, 12)];
/// assert_eq!(options.pending, 12);
/// let mut reader = Reader::mount(&mut disk, &mut small, crc32c)?;
/// if let Some(image) = reader.find("firmware")? {
///     let mut sector = [0; 512];
///     for at in 0..image.sectors() {
///         reader.read(&image, at, &mut sector)?;
///         assert_eq!(sector, [9; 512]);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Reader<'w, D: BlockDevice> {
    pub(crate) medium: Medium<D>,
    pub(crate) saved: &'w Saved,
    /// A node of a tree, or a unit of the journal.
    pub(crate) node: Held<'w>,
    /// The tree, by its root, and the addresses and the height whose lowest node that is; block 0 is no root.
    pub(crate) leaf: (u64, u32, u64),
    /// A block of a layer, or a page of the catalog.
    pub(crate) block: Held<'w>,
    /// The journal's accepted records, one for an address of a layer; the first few are in use.
    pub(crate) records: &'w mut [[u8; Record::SIZE]],
    pub(crate) count: usize,
}

/// Where blocks come from.
pub(crate) struct Medium<D: BlockDevice> {
    pub(crate) device: D,
    pub(crate) checksum: Checksum,
    pub(crate) layout: Layout,
    /// Sectors in a block.
    pub(crate) spb: Power,
    /// Why the call that stopped last did so.
    pub(crate) failure: Error<D::Error>,
}

impl<'w, D: BlockDevice> Reader<'w, D> {
    /// Opens the pool on a device.
    ///
    /// # Errors
    /// As [`Pool::mount`](crate::Pool::mount) to read; [`Error::WrongBase`] for a pool on a base device.
    ///
    /// # Power loss
    /// Nothing is written: as before.
    pub async fn mount(mut device: D, workspace: &'w mut [u8], checksum: Checksum) -> Result<Self, D> {
        let options = MountOptions { read_only: true, checksum };
        let (workspace, saved) = divide(workspace, &device.geometry())?;
        find_superblock(&mut device, workspace, saved, &options).await?;
        let view = SuperblockView(saved);
        if view.base().sectors != 0 {
            return Err(Error::WrongBase);
        }
        let block_size = 1usize << view.block_shift().min(16);
        let skip = padding(workspace, within_block(alignment_of(&device.geometry())?, view)?);
        let records = index(u64::from(view.pending()));
        let needed = skip + 2 * block_size + records * Record::SIZE;
        if workspace.len() < needed {
            return Err(Error::WorkspaceTooSmall { needed: needed + Superblock::FIELDS });
        }
        let (_, workspace) = split(workspace, skip);
        let (node, workspace) = split(workspace, block_size);
        let (block, workspace) = split(workspace, block_size);
        let (workspace, _) = split(workspace, records * Record::SIZE);
        let spb = Power::of_two(u32::from(view.block_shift().saturating_sub(view.sector_shift())));
        let medium = Medium { device, checksum, layout: view.layout(), spb, failure: Error::NotAPool };
        let mut reader = Self {
            medium,
            saved,
            node: Held { found: (0, None), bytes: node },
            leaf: (0, 0, 0),
            block: Held { found: (0, None), bytes: block },
            records: workspace.as_chunks_mut().0,
            count: 0,
        };
        let recovered = reader.recover().await;
        reader.medium.answer(recovered)?;
        Ok(reader)
    }

    /// The volume or snapshot of this name; the first of those without one for the empty name.
    ///
    /// # Errors
    /// The device's; [`Error::Corrupt`].
    ///
    /// # Power loss
    /// Changes nothing.
    pub async fn find(&mut self, name: &str) -> Result<Option<Image>, D> {
        let found = self.find_name(name, 0).await;
        self.medium.answer(found)
    }

    /// The attachment of this name of a layer.
    ///
    /// # Errors
    /// The device's; [`Error::Corrupt`].
    ///
    /// # Power loss
    /// Changes nothing.
    pub async fn attachment(&mut self, of: &Image, name: &str) -> Result<Option<Image>, D> {
        let found = self.find_name(name, of.id).await;
        self.medium.answer(found)
    }

    /// Fills `buffer` with the sectors of a layer from `sector` on.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Corrupt`], the device's; `buffer` is then undefined.
    ///
    /// # Power loss
    /// Changes nothing.
    pub async fn read(&mut self, image: &Image, sector: u64, buffer: &mut [u8]) -> Result<(), D> {
        let done = self.read_sectors(image, sector, buffer).await;
        self.medium.answer(done)
    }

    /// The device below.
    pub fn device_mut(&mut self) -> &mut D {
        &mut self.medium.device
    }

    /// Gives the device back.
    pub fn into_device(self) -> D {
        self.medium.device
    }

    pub(crate) fn superblock(&self) -> SuperblockView<'_> {
        SuperblockView(self.saved)
    }

    /// The live layer of this name: an attachment of `owner`, or what is none if that is 0.
    pub(crate) async fn find_name(&mut self, name: &str, owner: u32) -> Outcome<Option<Image>> {
        let shift = self.medium.layout.block_shift;
        let mut left = self.medium.layout.total << (shift - 3);
        let mut id = 1;
        while id < self.superblock().next_layer() {
            let catalog = Object::Catalog;
            let (mut entry, height) = (self.superblock().catalog(), self.superblock().catalog_height());
            left = left.checked_sub(1).ok_or_else(|| self.medium.damaged(catalog, entry.block))?;
            let byte = u64::from(id) * SLOT_SIZE;
            let below = self.look_up(&mut entry, height, byte >> shift, catalog).await?;
            if !entry.is_block() {
                let hole = shift + u32::from(below) * self.medium.layout.fan_shift();
                let end = (byte.checked_shr(hole).unwrap_or(0) + 1).checked_shl(hole);
                id = end.and_then(|end| u32::try_from(end.div_ceil(SLOT_SIZE)).ok()).unwrap_or(u32::MAX);
                continue;
            }
            self.medium.load(&mut self.block, &entry, true, catalog).await?;
            let offset = index(byte & ((1 << shift) - 1));
            let record = self.block.bytes.get(offset..).unwrap_or(&[]);
            let layer = LayerView::new(record);
            let attached = layer.kind() == LayerKind::Attachment;
            let sought = if owner == 0 { !attached } else { attached && layer.owner() == owner };
            if sought && !layer.is_deleted() && Layer::has_name(record, name) {
                let image = Image {
                    id,
                    root: layer.root(),
                    height: layer.height(),
                    integrity: layer.flags().contains(LayerFlags::INTEGRITY),
                    sectors: layer.sectors(),
                    length: layer.length(),
                };
                let size = self.medium.spb.ceil(image.sectors) <= 1 << 48;
                let height = (1..=height_limit(self.medium.layout.fan_shift())).contains(&image.height);
                if layer.id() != id || !size || !height {
                    return Err(self.medium.damaged(Object::Layer, entry.block));
                }
                return Ok(Some(image));
            }
            id += 1;
        }
        Ok(None)
    }

    pub(crate) async fn read_sectors(&mut self, image: &Image, sector: u64, buffer: &mut [u8]) -> Outcome<()> {
        let size = Power::of_two(u32::from(self.superblock().sector_shift()));
        let bytes = wide(buffer.len());
        let end = sector.checked_add(bytes / size);
        if bytes % size != 0 || end.is_none_or(|end| end > image.sectors) {
            return Err(self.medium.stop(Error::OutOfRange { sectors: image.sectors }));
        }
        let spb = self.medium.spb;
        let (mut address, mut within) = (sector / spb, index((sector % spb) * size));
        let mut rest = buffer;
        while !rest.is_empty() {
            let (part, behind) = split(rest, self.block.bytes.len().saturating_sub(within));
            let mut entry = image.root;
            match self.place_of(image.id, address).and_then(|place| self.records.get(place)) {
                Some(record) => entry = Entry::decode(record, 0),
                None => {
                    self.look_up(&mut entry, image.height, address, Object::MapNode).await?;
                }
            }
            if entry.is_block() {
                self.medium.load(&mut self.block, &entry, image.integrity, Object::Data).await?;
                copy(part, self.block.bytes.get(within..).unwrap_or(&[]));
            } else {
                part.fill(0);
            }
            (rest, address, within) = (behind, address + 1, 0);
        }
        Ok(())
    }

    /// Puts in the place of a tree's root what the tree has for an address; how many levels of it there are below that, more than any tree
    /// has for what it does not reach.
    pub(crate) async fn look_up(&mut self, entry: &mut Entry, height: u8, address: u64, what: Object) -> Outcome<u8> {
        let fan = self.medium.layout.fan_shift();
        let shifted = |levels: u8| address.checked_shr(fan * u32::from(levels)).unwrap_or(0);
        if shifted(height) != 0 {
            *entry = Entry::EMPTY;
            return Ok(u8::MAX);
        }
        // The height takes four bits of the at least five that the shift has left.
        let leaf = (entry.block, entry.crc, address >> fan << 4 | u64::from(height));
        let known = height > 0 && entry.is_block() && self.leaf == leaf;
        let mut below = if known { 1 } else { height };
        while below > 0 && entry.is_block() {
            if !known {
                self.leaf.0 = 0;
                self.medium.load(&mut self.node, entry, true, what).await?;
            }
            below -= 1;
            *entry = Entry::decode(self.node.bytes, index(shifted(below) % Power::of_two(fan)) * Entry::SIZE);
            if below == 0 {
                self.leaf = leaf;
            }
        }
        Ok(below)
    }
}

impl<D: BlockDevice> Medium<D> {
    pub(crate) async fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Outcome<()> {
        self.device.read(sector, buffer).await.map_err(|error| self.stop(Error::Device(error)))
    }

    /// Has the block that an entry points to in memory, with the checksum that the entry says.
    pub(crate) async fn load(
        &mut self,
        held: &mut Held<'_>,
        entry: &Entry,
        checked: bool,
        what: Object,
    ) -> Outcome<()> {
        self.check_pointer(entry, what)?;
        let wanted = (entry.block, checked.then_some(entry.crc));
        if held.found == wanted {
            return Ok(());
        }
        held.found = (0, None);
        self.read(entry.block * self.spb, held.bytes).await?;
        if checked && (self.checksum)(0, held.bytes) != entry.crc {
            return Err(self.damaged(what, entry.block));
        }
        held.found = wanted;
        Ok(())
    }

    pub(crate) fn check_pointer(&mut self, entry: &Entry, what: Object) -> Outcome<()> {
        if self.layout.is_usable(entry.block) { Ok(()) } else { Err(self.damaged(what, entry.block)) }
    }

    pub(crate) fn stop(&mut self, why: Error<D::Error>) -> Stop {
        self.failure = why;
        Stop
    }

    pub(crate) fn damaged(&mut self, what: Object, block: u64) -> Stop {
        self.stop(damaged(what, block))
    }

    pub(crate) fn answer<T>(&mut self, result: Outcome<T>) -> Result<T, D> {
        result.map_err(|Stop| core::mem::replace(&mut self.failure, Error::NotAPool))
    }
}
