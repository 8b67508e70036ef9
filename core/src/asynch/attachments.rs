//! Made from `attachments.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::store::asynch::Store;

impl<D: BlockDevice> Store<'_, D> {
    /// Takes an attachment out of its owner's list, where `behind` follows it.
    pub(crate) async fn detach(&mut self, attachment: u32, owner: u32, behind: u32) -> Outcome<()> {
        let mut holder = owner;
        for _ in 0..self.sb.layers {
            let mut after = 0;
            self.change(holder, &mut |layer| {
                let is_owner = layer.id == owner;
                let next = if is_owner { &mut layer.first_attachment } else { &mut layer.next_attachment };
                after = *next;
                if after == attachment {
                    *next = behind;
                }
            })
            .await?;
            if after == attachment || after == 0 {
                break;
            }
            holder = after;
        }
        Ok(())
    }

    /// The number of the attachment behind this one (0: the first) in its owner's list; 0 behind the last. The list is followed from its
    /// start: if the next one was there before, it goes around in circles.
    pub(crate) async fn next_attachment(&mut self, owner: u32, after: u32) -> Outcome<u32> {
        let mut at = self.live_layer(owner).await?.first_attachment();
        if after == 0 {
            return Ok(at);
        }
        let next = self.live_layer(after).await?.next_in_list();
        for _ in 0..self.sb.layers {
            if at == 0 {
                return Err(self.no_layer(after));
            }
            if at == next {
                break;
            }
            if at == after {
                return Ok(next);
            }
            at = self.layer(at).await?.next_in_list();
        }
        let block = self.record_block(after).await?;
        Err(self.damaged(Object::Layer, block))
    }

    /// The attachment behind this one (0: the first) in its owner's list.
    pub(crate) async fn attachment_behind(&mut self, owner: u32, after: u32) -> Outcome<Option<LayerView<'_>>> {
        match self.next_attachment(owner, after).await? {
            0 => Ok(None),
            next => self.layer(next).await.map(Some),
        }
    }

    #[inline(never)]
    pub(crate) async fn stage_body(&mut self, attributes: &Attributes<'_>, length: u64) -> Outcome<LayerId> {
        self.check_name(attributes.name)?;
        self.expect_layers(1).await?;
        let Ok(ref mut open) = self.new_layer(attributes, LayerKind::Attachment).await else { return Err(Stop) };
        open.layer.flags = LayerFlags::STAGED;
        open.layer.sectors = self.sector().ceil(length).max(1);
        if self.spb.ceil(open.layer.sectors) > 1 << 48 {
            return Err(self.stop(Error::BadParameter("an attachment has at most 2^48 blocks")));
        }
        open.layer.height = self.height_of(open.layer.sectors);
        let mount = self.mounted;
        Label::put_attachment(self.record_mut(open), length, mount);
        self.sb.max_height = self.sb.max_height.max(open.layer.height);
        self.save(open);
        self.check_room()?;
        Ok(LayerId(open.layer.id))
    }

    #[inline(never)]
    pub(crate) async fn attach_body(&mut self, owner: LayerId, staged: LayerId) -> Outcome<()> {
        let holder = self.live_layer(owner.0).await?;
        let (kind, first) = (holder.kind(), holder.first_attachment());
        let attachment = self.live(staged, LayerKind::Attachment).await?;
        let (name, flags) = (attachment.name(), attachment.flags());
        if kind == LayerKind::Attachment {
            return Err(self.stop(Error::WrongKind(owner)));
        }
        if !flags.contains(LayerFlags::STAGED) {
            return Err(self.stop(Error::WrongKind(staged)));
        }
        let mut next = first;
        for _ in 0..self.sb.layers {
            if next == 0 {
                break;
            }
            let other = self.layer(next).await?;
            let after = other.next_in_list();
            if other.name() == name {
                return Err(self.stop(Error::NameTaken(LayerId(next))));
            }
            next = after;
        }
        self.change(staged.0, &mut |layer| {
            layer.flags.remove(LayerFlags::STAGED);
            layer.owner = owner.0;
            layer.next_attachment = first;
        })
        .await?;
        self.change(owner.0, &mut |layer| layer.first_attachment = staged.0).await
    }
}
