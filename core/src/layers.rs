//! What the verbs on layers do: create, snapshot, rollback, clone, delete, rename, describe.
//!
//! Each is one checkpoint (see `commit.rs`): what is pending first, then the records. Device order: changed nodes and pages,
//! barrier, superblock twice, barrier. A crash leaves the tree of layers as it was, or wholly changed.

use crate::{
    bytes::wide,
    catalog::Open,
    device::BlockDevice,
    error::Error,
    format::{Entry, Label, Layer, LayerView, MergeMode},
    store::{Outcome, Stop, Store},
    types::{Attributes, LayerFlags, LayerId, LayerKind, Name, SnapshotOf},
};

#[cfg(feature = "async")]
#[path = "asynch/layers.rs"]
pub(crate) mod asynch;

/// Bytes that a description can have.
pub(crate) const DESCRIPTION: usize = 767;

impl<D: BlockDevice> Store<'_, D> {
    /// There is such a record. Apart, so that it takes no stack below what follows.
    #[inline(never)]
    pub(crate) fn expect_layer(&mut self, id: u32) -> Outcome<()> {
        self.place_of(id).map(drop)
    }

    /// Changes a record that is there. Apart, so that it takes its stack and its code once.
    #[inline(never)]
    pub(crate) fn change(&mut self, id: u32, change: &mut (dyn FnMut(&mut Layer) + Send)) -> Outcome<()> {
        let Ok(ref mut open) = self.open(id) else { return Err(Stop) };
        change(&mut open.layer);
        self.save(open);
        Ok(())
    }

    /// The catalog can take so many more records without growing a level in the middle of a verb.
    pub(crate) fn expect_layers(&mut self, count: u64) -> Outcome<()> {
        let last = u64::from(self.sb.next_layer) + count;
        if last > u64::from(u32::MAX) {
            return Err(self.stop(Error::Exhausted));
        }
        self.raise_catalog_for(last)
    }

    /// The epoch that a layer closes; the next one begins.
    pub(crate) fn close_epoch(&mut self) -> Outcome<u32> {
        let epoch = self.sb.epoch;
        self.sb.epoch = epoch.checked_add(1).ok_or_else(|| self.stop(Error::Exhausted))?;
        Ok(epoch)
    }

    /// The text can be a name.
    pub(crate) fn check_name(&mut self, name: &str) -> Outcome<()> {
        if Name::is_possible(name) { Ok(()) } else { Err(self.stop(Error::BadName)) }
    }

    /// The text can be a name, and no other layer has it.
    fn check_free_name(&mut self, name: &str, but: u32) -> Outcome<()> {
        self.check_name(name)?;
        match self.find_name(name)?.map(LayerView::id) {
            Some(id) if id != but => Err(self.stop(Error::NameTaken(LayerId(id)))),
            _ => Ok(()),
        }
    }

    /// A new record with what the caller says of it; the name has been looked at.
    #[inline(never)]
    pub(crate) fn new_layer(&mut self, attributes: &Attributes<'_>, kind: LayerKind) -> Outcome<Open> {
        if attributes.description.len() > DESCRIPTION {
            return Err(self.stop(Error::BadName));
        }
        let mut open = self.open_new()?;
        open.layer.kind = kind;
        open.layer.family = open.layer.id;
        let description = u16::try_from(attributes.description.len()).unwrap_or(0);
        let record = self.record_mut(&open);
        Label::put_made(record, &attributes.uuid, attributes.time);
        Label::put_name(record, attributes.name);
        Label::put_described(record, description);
        self.write_description(open.layer.id, attributes.description, 0)?;
        Ok(open)
    }

    /// A verb that takes space: what is left must still hold the reserve and every promise.
    pub(crate) fn check_room(&mut self) -> Outcome<()> {
        self.check_free(self.sb.free)
    }

    /// The same of so many free blocks.
    #[inline(never)]
    pub(crate) fn check_free(&mut self, free: u64) -> Outcome<()> {
        let needed = self.reserve() + self.sb.guaranteed;
        match needed.saturating_sub(free) {
            0 => Ok(()),
            missing => Err(self.refused(missing)),
        }
    }

    /// As [`check_room`](Self::check_room), counting what merge will give back.
    pub(crate) fn check_promises(&mut self) -> Outcome<()> {
        if self.sb.guaranteed <= self.durable().guaranteed() {
            return Ok(());
        }
        // The new record's pages come out of the reserve, which has them for this.
        let pages = 4 * (u64::from(self.sb.catalog_height) + 3);
        self.check_free(self.sb.free + self.sb.reclaimable + pages)
    }

    pub(crate) fn live(&mut self, id: LayerId, kind: LayerKind) -> Outcome<LayerView<'_>> {
        let place = self.place_of_live(id.0)?;
        if self.view(place).kind() != kind {
            return Err(self.stop(Error::WrongKind(id)));
        }
        Ok(self.view(place))
    }

    /// One child of a layer takes the place of another (0: none).
    pub(crate) fn exchange_child(&mut self, parent: u32, old: u32, new: u32) -> Outcome<()> {
        if parent == 0 {
            return Ok(());
        }
        let mut armed = false;
        self.change(parent, &mut |layer| {
            layer.child_xor ^= old ^ new;
            layer.children = (layer.children + u32::from(new != 0)).saturating_sub(u32::from(old != 0));
            armed = old != 0 && new == 0 && layer.is_deleted();
            layer.flags.set(LayerFlags::ARMED, armed || layer.flags.contains(LayerFlags::ARMED));
        })?;
        if armed {
            self.sb.hint = parent;
        }
        Ok(())
    }

    #[inline(never)]
    pub(crate) fn create_body(
        &mut self,
        attributes: &Attributes<'_>,
        sectors: u64,
        flags: LayerFlags,
    ) -> Outcome<LayerId> {
        self.check_free_name(attributes.name, 0)?;
        let blocks = self.spb.ceil(sectors);
        if blocks == 0 || blocks > 1 << 48 {
            return Err(self.stop(Error::BadParameter("a volume has from one sector to 2^48 blocks")));
        }
        if !(LayerFlags::GUARANTEED | LayerFlags::INTEGRITY).contains(flags) {
            return Err(self.stop(Error::BadParameter("a volume can be guaranteed and have integrity, nothing else")));
        }
        self.expect_layers(1)?;
        let Ok(ref mut open) = self.new_layer(attributes, LayerKind::Volume) else { return Err(Stop) };
        open.layer.flags = flags;
        open.layer.sectors = sectors;
        open.layer.height = self.height_of(sectors);
        self.sb.max_height = self.sb.max_height.max(open.layer.height);
        self.save(open);
        self.check_room()?;
        Ok(LayerId(open.layer.id))
    }

    #[inline(never)]
    pub(crate) fn snapshot_body(&mut self, of: &[SnapshotOf<'_>]) -> Outcome<LayerId> {
        self.expect_layers(wide(of.len()))?;
        let first = self.sb.next_layer;
        let epoch = self.close_epoch()?;
        for one in of {
            self.live(one.volume, LayerKind::Volume)?;
            self.check_free_name(one.attributes.name, 0)?;
            let Ok(ref mut new) = self.new_layer(&one.attributes, LayerKind::Snapshot) else { return Err(Stop) };
            let id = self.put_below(one.volume.0, new, epoch)?;
            for staged in one.attachments {
                self.attach_body(LayerId(id), *staged)?;
            }
        }
        self.check_room()?;
        Ok(LayerId(first))
    }

    /// Makes a new layer of a volume's present state, between the volume and its parent. The new record is open.
    #[inline(never)]
    pub(crate) fn put_below(&mut self, volume: u32, new: &mut Open, epoch: u32) -> Outcome<u32> {
        let id = new.layer.id;
        let Ok(ref mut above) = self.open(volume) else { return Err(Stop) };
        if above.layer.parent_epoch >= epoch && above.layer.parent_epoch != 0 {
            // The same volume twice in one step: the two snapshots would close the same epoch.
            return Err(self.stop(Error::WrongKind(LayerId(volume))));
        }
        let root = self.entry_of(above);
        let (below, above_it) = (&mut new.layer, &mut above.layer);
        let parent = above_it.parent;
        below.epoch = epoch;
        below.parent = parent;
        below.parent_epoch = above_it.parent_epoch;
        below.family = above_it.family;
        below.children = 1;
        below.child_xor = volume;
        below.sectors = above_it.sectors;
        below.height = above_it.height;
        below.flags |= above_it.flags & LayerFlags::INTEGRITY;
        below.data = core::mem::take(&mut above_it.data);
        below.nodes = core::mem::take(&mut above_it.nodes);
        above_it.parent = id;
        above_it.parent_epoch = epoch;
        self.set_root(new, &root);
        self.save(new);
        self.save(above);
        self.exchange_child(parent, volume, id)?;
        Ok(id)
    }

    fn entry_of(&self, open: &Open) -> Entry {
        let (slot, offset) = open.root_place();
        self.entry_in(slot, offset)
    }

    #[inline(never)]
    pub(crate) fn rollback_body(
        &mut self,
        volume: LayerId,
        snapshot: LayerId,
        time: u64,
        keep: Option<&Attributes<'_>>,
    ) -> Outcome<Option<LayerId>> {
        let old = self.live(volume, LayerKind::Volume)?;
        let (family, parent, owned) = (old.family(), old.parent(), old.data() + old.nodes());
        if self.live(snapshot, LayerKind::Snapshot)?.family() != family {
            return Err(self.stop(Error::WrongKind(snapshot)));
        }
        self.expect_layers(1)?;
        let merging = self.sb.merge.mode == MergeMode::Merge && self.sb.merge.layer == parent;
        let kept = match keep {
            Some(attributes) => {
                self.check_free_name(attributes.name, 0)?;
                Some(LayerId(self.put_aside(volume.0, attributes, LayerFlags::empty())?))
            }
            None if owned > 0 || merging => {
                self.forget(volume.0, time)?;
                None
            }
            None => None,
        };
        self.take_over(volume.0, snapshot.0, time)?;
        if keep.is_some() {
            self.check_room()?;
        } else {
            self.check_promises()?;
        }
        Ok(kept)
    }

    /// What a volume holds becomes a snapshot.
    fn put_aside(&mut self, volume: u32, attributes: &Attributes<'_>, flags: LayerFlags) -> Outcome<u32> {
        let Ok(ref mut open) = self.new_layer(attributes, LayerKind::Snapshot) else { return Err(Stop) };
        open.layer.flags = flags;
        let epoch = self.close_epoch()?;
        self.put_below(volume, open, epoch)
    }

    /// What a volume holds becomes a deleted layer without a name.
    #[inline(never)]
    pub(crate) fn forget(&mut self, volume: u32, time: u64) -> Outcome<()> {
        let attributes = Attributes { time, ..Attributes::default() };
        self.sb.hint = self.put_aside(volume, &attributes, LayerFlags::DELETED | LayerFlags::ARMED)?;
        Ok(())
    }

    /// A volume shows what a snapshot of its family holds, and nothing of its own.
    #[inline(never)]
    fn take_over(&mut self, volume: u32, snapshot: u32, time: u64) -> Outcome<()> {
        let Ok(ref mut open) = self.open(volume) else { return Err(Stop) };
        let left = open.layer.parent;
        let target = self.layer(snapshot)?;
        let root = target.root();
        open.layer.height = target.height();
        open.layer.parent = snapshot;
        open.layer.parent_epoch = target.epoch();
        open.layer.sectors = target.sectors();
        self.set_root(open, &root);
        Label::put_reverted(self.record_mut(open), time, snapshot);
        self.save(open);
        if left != snapshot {
            self.exchange_child(left, volume, 0)?;
            self.exchange_child(snapshot, 0, volume)?;
        }
        Ok(())
    }

    #[inline(never)]
    pub(crate) fn clone_body(
        &mut self,
        snapshot: LayerId,
        attributes: &Attributes<'_>,
        guaranteed: bool,
    ) -> Outcome<LayerId> {
        self.live(snapshot, LayerKind::Snapshot)?;
        self.check_free_name(attributes.name, 0)?;
        self.expect_layers(1)?;
        let Ok(ref mut open) = self.new_layer(attributes, LayerKind::Volume) else { return Err(Stop) };
        let id = open.layer.id;
        let source = self.layer(snapshot.0)?;
        let root = source.root();
        open.layer.height = source.height();
        open.layer.parent = snapshot.0;
        open.layer.parent_epoch = source.epoch();
        open.layer.family = source.family();
        open.layer.sectors = source.sectors();
        open.layer.flags = source.flags() & LayerFlags::INTEGRITY;
        open.layer.flags.set(LayerFlags::GUARANTEED, guaranteed);
        self.set_root(open, &root);
        self.save(open);
        self.exchange_child(snapshot.0, 0, id)?;
        self.check_room()?;
        Ok(LayerId(id))
    }

    #[inline(never)]
    pub(crate) fn delete_body(&mut self, id: LayerId) -> Outcome<()> {
        let layer = self.live_layer(id.0)?;
        let closed = layer.epoch();
        let (owner, next) = (layer.owner(), layer.next_in_list());
        if layer.kind() == LayerKind::Attachment && owner != 0 {
            self.detach(id.0, owner, next)?;
        }
        let epoch = if closed == 0 { self.sb.epoch } else { closed };
        self.change(id.0, &mut |layer| {
            layer.epoch = epoch;
            layer.flags |= LayerFlags::DELETED | LayerFlags::ARMED;
            layer.flags.remove(LayerFlags::STAGED);
            layer.owner = 0;
            layer.next_attachment = 0;
        })?;
        if closed == 0 {
            self.close_epoch()?;
        }
        self.sb.hint = id.0;
        Ok(())
    }

    #[inline(never)]
    pub(crate) fn rename_body(&mut self, id: LayerId, name: &str) -> Outcome<()> {
        if self.live_layer(id.0)?.kind() == LayerKind::Attachment {
            return Err(self.stop(Error::WrongKind(id)));
        }
        self.check_free_name(name, id.0)?;
        let Ok(ref open) = self.open(id.0) else { return Err(Stop) };
        Label::put_name(self.record_mut(open), name);
        self.save(open);
        Ok(())
    }

    #[inline(never)]
    pub(crate) fn describe_body(&mut self, id: LayerId, text: &str) -> Outcome<()> {
        let old = self.live_layer(id.0)?.described();
        if text.len() > DESCRIPTION {
            return Err(self.stop(Error::BadName));
        }
        let Ok(ref open) = self.open(id.0) else { return Err(Stop) };
        Label::put_described(self.record_mut(open), u16::try_from(text.len()).unwrap_or(0));
        self.write_description(id.0, text, old)?;
        self.save(open);
        self.check_room()
    }
}
