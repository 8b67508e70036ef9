//! The check of the catalog's records: each for itself, against its parent, against its children and its attachments.
//!
//! Children and attachments are counted in the memory that the caller handed in, 12 bytes for a layer: children, exclusive or of
//! their numbers, attachments. If the layers are more than fit, the catalog is read again for each part.

use super::Checking;
use crate::{
    bytes::{index, put_u32, u32_at, wide},
    device::BlockDevice,
    error::{Error, Object},
    format::{Layer, LayerView, MergeMode},
    layers::DESCRIPTION,
    store::{Outcome, Stop, Store},
    types::{LayerFlags, LayerKind},
};

#[cfg(feature = "async")]
#[path = "../asynch/check/records.rs"]
pub(crate) mod asynch;

/// Bytes that count for one layer.
const TALLY: usize = 12;

impl<D: BlockDevice> Store<'_, D> {
    /// What a record says of itself and of its parent.
    pub(super) fn check_record(&mut self, run: &mut Checking<'_>, layer: &Layer) -> Outcome<()> {
        let id = layer.id;
        run.field(id, "flags", layer.flags.bits(), possible_flags(layer).bits());
        let closed = layer.is_deleted() || layer.kind == LayerKind::Snapshot;
        let latest = self.sb.epoch.saturating_sub(1);
        let epoch = if closed { layer.epoch.max(layer.parent_epoch.saturating_add(1)).min(latest) } else { 0 };
        run.field(id, "epoch", layer.epoch, epoch);
        run.field(id, "height", layer.height, layer.height.max(self.height_of(layer.sectors)));
        let record = self.layer(id)?;
        let (described, length) = (record.described(), record.length());
        run.field(id, "description", described, wide(usize::from(described).min(DESCRIPTION)));
        let (possible, sectors) = match layer.kind {
            LayerKind::Attachment => (length, self.sector().ceil(length).max(1)),
            _ => (0, layer.sectors.max(1)),
        };
        run.field(id, "length", length, possible);
        run.field(id, "sectors", layer.sectors, sectors);
        self.check_parent(run, layer)?;
        self.check_owner(run, layer)
    }

    fn check_parent(&mut self, run: &mut Checking<'_>, layer: &Layer) -> Outcome<()> {
        if layer.parent == 0 {
            run.field(layer.id, "parent_epoch", layer.parent_epoch, 0u32);
            return Ok(());
        }
        match self.known(layer.parent)? {
            Some(parent) if parent.kind() != LayerKind::Attachment && layer.kind != LayerKind::Attachment => {
                run.field(layer.id, "parent_epoch", layer.parent_epoch, parent.epoch());
                run.field(layer.id, "family", layer.family, parent.family());
            }
            _ => run.field(layer.id, "parent", layer.parent, 0u32),
        }
        Ok(())
    }

    fn check_owner(&mut self, run: &mut Checking<'_>, layer: &Layer) -> Outcome<()> {
        let attached =
            layer.kind == LayerKind::Attachment && !layer.is_deleted() && !layer.flags.contains(LayerFlags::STAGED);
        if !attached {
            run.field(layer.id, "owner", layer.owner, 0u32);
            run.field(layer.id, "next_attachment", layer.next_attachment, 0u32);
        } else if !self.owns(layer.owner)? {
            run.field(layer.id, "owner", layer.owner, 0u32);
        }
        if layer.kind == LayerKind::Attachment {
            run.field(layer.id, "first_attachment", layer.first_attachment, 0u32);
        }
        Ok(())
    }

    /// The record, unless there is none or it is damaged, which is reported elsewhere.
    pub(super) fn known(&mut self, id: u32) -> Outcome<Option<LayerView<'_>>> {
        match self.place_of(id) {
            Ok(place) => Ok(Some(self.view(place))),
            Err(Stop) if matches!(self.failure, Error::NoSuchLayer(_) | Error::Corrupt { .. }) => Ok(None),
            Err(Stop) => Err(Stop),
        }
    }

    /// There is a layer of this number that can have attachments.
    fn owns(&mut self, id: u32) -> Outcome<bool> {
        Ok(self.known(id)?.is_some_and(|layer| layer.kind() != LayerKind::Attachment))
    }

    /// What records say of their children and attachments, and the superblock of the merge in progress.
    pub(super) fn check_relations(&mut self, run: &mut Checking<'_>) -> Outcome<()> {
        match (self.check_all_relations(run), &self.failure) {
            // Where the catalog cannot be read is reported by the walk over its nodes.
            (Err(Stop), Error::Corrupt { what: Object::Catalog | Object::Layer, .. }) => Ok(()),
            (result, _) => result,
        }
    }

    fn check_all_relations(&mut self, run: &mut Checking<'_>) -> Outcome<()> {
        self.check_merge(run)?;
        let part = u32::try_from(run.bitmap.len() / TALLY).unwrap_or(u32::MAX);
        let mut next = 1;
        while let Some(first) = self.record_from(next)?.map(LayerView::id) {
            let end = first.saturating_add(part);
            self.count_relations(run, first, end)?;
            next = first;
            while let Some(layer) = self.record_from(next)?.filter(|layer| layer.id() < end).map(LayerView::decode) {
                self.check_relations_of(run, &layer, index(u64::from(layer.id - first)) * TALLY)?;
                next = layer.id + 1;
            }
            next = next.max(end);
        }
        Ok(())
    }

    /// Counts the children and attachments of the layers from `first` to `end`.
    fn count_relations(&mut self, run: &mut Checking<'_>, first: u32, end: u32) -> Outcome<()> {
        run.bitmap.fill(0);
        let mut next = 1;
        while let Some(layer) = self.record_from(next)? {
            next = layer.id() + 1;
            let attachment = layer.kind() == LayerKind::Attachment;
            let above = if attachment { layer.owner() } else { layer.parent() };
            if !(first..end).contains(&above) {
                continue;
            }
            let at = index(u64::from(above - first)) * TALLY;
            let mut add = |offset: usize, change: &dyn Fn(u32) -> u32| {
                put_u32(run.bitmap, at + offset, change(u32_at(run.bitmap, at + offset)));
            };
            if attachment {
                add(8, &|count| count + 1);
            } else {
                add(0, &|count| count + 1);
                add(4, &|sum| sum ^ layer.id());
            }
        }
        Ok(())
    }

    fn check_relations_of(&mut self, run: &mut Checking<'_>, layer: &Layer, at: usize) -> Outcome<()> {
        let children = u32_at(run.bitmap, at);
        run.count("children", Some(crate::LayerId(layer.id)), layer.children.into(), children.into());
        run.field(layer.id, "child_xor", layer.child_xor, u32_at(run.bitmap, at + 4));
        let attachments = u32_at(run.bitmap, at + 8);
        if layer.kind == LayerKind::Attachment {
            return Ok(());
        }
        if let Some(listed) = self.check_chain(run, layer, attachments)? {
            run.count("attachments", Some(crate::LayerId(layer.id)), listed.into(), attachments.into());
        }
        Ok(())
    }

    /// The length of a layer's list of attachments, at most one more than it can have; none if the list is broken.
    fn check_chain(&mut self, run: &mut Checking<'_>, owner: &Layer, most: u32) -> Outcome<Option<u32>> {
        let (mut holder, mut field, mut next) = (owner.id, "first_attachment", owner.first_attachment);
        let mut length = 0;
        while next != 0 && length <= most {
            match self.known(next)?.filter(|layer| layer.kind() == LayerKind::Attachment) {
                None => {
                    run.field(holder, field, next, 0u32);
                    return Ok(None);
                }
                Some(attachment) if attachment.owner() != owner.id => {
                    let (id, above) = (attachment.id(), attachment.owner());
                    // An owner that is none is reported with the attachment itself.
                    if self.owns(above)? {
                        run.field(id, "owner", above, owner.id);
                    }
                    return Ok(None);
                }
                Some(attachment) => {
                    (holder, field, next) = (attachment.id(), "next_attachment", attachment.next_in_list());
                    length += 1;
                }
            }
        }
        Ok(Some(length))
    }

    fn check_merge(&mut self, run: &mut Checking<'_>) -> Outcome<()> {
        let merge = self.sb.merge;
        if merge.mode == MergeMode::None {
            return Ok(());
        }
        match self.known(merge.layer)?.filter(|layer| layer.is_deleted()) {
            Some(layer) => run.field(layer.id(), "merge_limit", merge.limit, layer.parent_epoch()),
            None => run.field(merge.layer, "merge_layer", merge.layer, 0u32),
        }
        Ok(())
    }
}

/// The flags of a layer without those that a layer of its kind cannot have; an attachment that nobody owns is staged.
fn possible_flags(layer: &Layer) -> LayerFlags {
    let mut possible = match layer.kind {
        LayerKind::Volume => LayerFlags::GUARANTEED | LayerFlags::INTEGRITY | LayerFlags::DELETED,
        LayerKind::Snapshot => LayerFlags::INTEGRITY | LayerFlags::DELETED,
        LayerKind::Attachment => LayerFlags::DELETED,
    };
    let deleted = layer.is_deleted();
    possible.set(LayerFlags::ARMED, deleted);
    possible.set(LayerFlags::STAGED, layer.kind == LayerKind::Attachment && !deleted);
    let mut flags = layer.flags & possible;
    if layer.kind == LayerKind::Attachment && !deleted && layer.owner == 0 {
        flags |= LayerFlags::STAGED;
    }
    flags
}
