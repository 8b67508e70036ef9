//! Made from `verbs.rs` by `tests/twin`: change that one.

#![allow(unused_imports, private_interfaces, clippy::pedantic)]

use super::*;

use crate::device::asynch::BlockDevice;
use crate::pool::asynch::Pool;
use crate::pool::asynch::Result;

impl<D: BlockDevice, B: BlockDevice<Error = D::Error>> Pool<'_, D, B> {
    /// Makes a volume of `sectors` sectors that reads as zeros (or as the base device).
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::BadName`], [`Error::BadParameter`], [`Error::NoSpace`] (for a guaranteed volume: its
    /// whole size must be free).
    ///
    /// # Power loss
    /// The volume is there or it is not.
    pub async fn create(&mut self, attributes: &Attributes<'_>, sectors: u64, flags: LayerFlags) -> Result<LayerId, D> {
        self.store.enter();
        let result: Result<LayerId, D> = async {
            self.store.start().await?;
            let result = self.store.create_body(attributes, sectors, flags).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// Takes a snapshot of a volume.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::WrongKind`], [`Error::NoSpace`] if a guaranteed volume could not be kept.
    ///
    /// # Power loss
    /// The snapshot is there or it is not.
    pub async fn snapshot(&mut self, volume: LayerId, attributes: &Attributes<'_>) -> Result<LayerId, D> {
        self.snapshot_all(&[SnapshotOf { volume, attributes: *attributes, attachments: &[] }]).await
    }

    /// Takes snapshots of several volumes at one moment, with attachments. Their numbers follow one another; the first is
    /// returned.
    ///
    /// # Errors
    /// As [`snapshot`](Self::snapshot).
    ///
    /// # Power loss
    /// All of them are there or none is.
    pub async fn snapshot_all(&mut self, of: &[SnapshotOf<'_>]) -> Result<LayerId, D> {
        self.store.enter();
        let result: Result<LayerId, D> = async {
            if of.is_empty() {
                return Err(Error::BadParameter("a snapshot of at least one volume"));
            }
            self.store.start().await?;
            let result = self.store.snapshot_body(of).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// Makes the volume what it was when the snapshot was taken; forwards or backwards, newer snapshots stay. With `keep` the
    /// old state becomes a snapshot, whose number is returned; else it is given up to merge.
    ///
    /// # Errors
    /// [`Error::WrongKind`] if the snapshot is not of the volume's tree.
    ///
    /// # Power loss
    /// The volume is wholly what it was before, or wholly rolled back.
    pub async fn rollback(
        &mut self,
        volume: LayerId,
        snapshot: LayerId,
        time: u64,
        keep: Option<&Attributes<'_>>,
    ) -> Result<Option<LayerId>, D> {
        self.store.enter();
        let result: Result<Option<LayerId>, D> = async {
            self.store.start().await?;
            let result = self.store.rollback_body(volume, snapshot, time, keep).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// Makes a new volume that starts as the snapshot is.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::WrongKind`], [`Error::NoSpace`].
    ///
    /// # Power loss
    /// The volume is there or it is not.
    pub async fn clone_snapshot(
        &mut self,
        snapshot: LayerId,
        attributes: &Attributes<'_>,
        guaranteed: bool,
    ) -> Result<LayerId, D> {
        self.store.enter();
        let result: Result<LayerId, D> = async {
            self.store.start().await?;
            let result = self.store.clone_body(snapshot, attributes, guaranteed).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// Deletes a layer: it is gone at once, its space comes back by [`merge_step`](Self::merge_step). Its attachments go with it.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`].
    ///
    /// # Power loss
    /// The layer is there or it is gone.
    pub async fn delete(&mut self, layer: LayerId) -> Result<(), D> {
        self.store.enter();
        let result: Result<(), D> = async {
            self.store.start().await?;
            let result = self.store.delete_body(layer).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// Gives a layer another name.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::BadName`].
    ///
    /// # Power loss
    /// The old name or the new one.
    pub async fn rename(&mut self, layer: LayerId, name: &str) -> Result<(), D> {
        self.store.enter();
        let result: Result<(), D> = async {
            self.store.start().await?;
            let result = self.store.rename_body(layer, name).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// Gives a layer another description, of up to 767 bytes.
    ///
    /// # Errors
    /// [`Error::BadName`] if it is longer.
    ///
    /// # Power loss
    /// The old description or the new one.
    pub async fn describe(&mut self, layer: LayerId, text: &str) -> Result<(), D> {
        self.store.enter();
        let result: Result<(), D> = async {
            self.store.start().await?;
            let result = self.store.describe_body(layer, text).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// Makes room for a blob of `length` bytes that is to be attached to a layer. It is written like a volume and belongs to
    /// nobody before [`attach`](Self::attach) or [`snapshot_all`](Self::snapshot_all) takes it; at the next mount it is gone.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::NoSpace`].
    ///
    /// # Power loss
    /// Nothing is left of it.
    pub async fn stage_attachment(&mut self, attributes: &Attributes<'_>, length: u64) -> Result<LayerId, D> {
        self.store.enter();
        let result: Result<LayerId, D> = async {
            self.store.start().await?;
            let result = self.store.stage_body(attributes, length).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// Gives a staged attachment to a layer; it never changes again and goes with the layer.
    ///
    /// # Errors
    /// [`Error::NameTaken`] if the layer has one of that name; [`Error::WrongKind`].
    ///
    /// # Power loss
    /// The layer has it or it has not.
    pub async fn attach(&mut self, layer: LayerId, staged: LayerId) -> Result<(), D> {
        self.store.enter();
        let result: Result<(), D> = async {
            self.store.start().await?;
            let result = self.store.attach_body(layer, staged).await;
            self.store.finish(result).await
        }
        .await;
        self.store.leave();
        result
    }

    /// A live layer.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`], also for deleted ones.
    pub async fn layer(&mut self, id: LayerId) -> Result<LayerInfo, D> {
        self.store.enter();
        let result: Result<LayerInfo, D> = async {
            let found = self.store.live_layer(id.0).await.map(LayerView::info);
            self.store.answer(found)
        }
        .await;
        self.store.leave();
        result
    }

    /// The volume or snapshot with this name.
    ///
    /// # Errors
    /// The device's.
    pub async fn find(&mut self, name: &str) -> Result<Option<LayerInfo>, D> {
        self.store.enter();
        let result: Result<Option<LayerInfo>, D> = async {
            let found = self.store.find_name(name).await.map(|found| found.map(LayerView::info));
            self.store.answer(found)
        }
        .await;
        self.store.leave();
        result
    }

    /// The first record behind this one: any kind, deleted layers too.
    ///
    /// # Errors
    /// The device's.
    pub async fn next_record(&mut self, after: Option<LayerId>) -> Result<Option<LayerInfo>, D> {
        self.store.enter();
        let result: Result<Option<LayerInfo>, D> = async {
            let from = after.map_or(1, |id| id.0.saturating_add(1));
            let found = self.store.record_from(from).await.map(|found| found.map(LayerView::info));
            self.store.answer(found)
        }
        .await;
        self.store.leave();
        result
    }

    /// The first live volume or snapshot behind this one.
    ///
    /// # Errors
    /// The device's.
    pub async fn next_layer(&mut self, after: Option<LayerId>) -> Result<Option<LayerInfo>, D> {
        let mut after = after;
        while let Some(info) = self.next_record(after).await? {
            if info.kind != LayerKind::Attachment && !info.flags.contains(LayerFlags::DELETED) {
                return Ok(Some(info));
            }
            after = Some(info.id);
        }
        Ok(None)
    }

    /// The first attachment of a layer, or the one behind `after`. Whoever goes on until there is none comes to an end.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`], also if `after` is not an attachment of this layer; [`Error::Corrupt`] if the list leads back to itself.
    pub async fn next_attachment(&mut self, owner: LayerId, after: Option<LayerId>) -> Result<Option<LayerInfo>, D> {
        self.store.enter();
        let result: Result<Option<LayerInfo>, D> = async {
            let found = self
                .store
                .attachment_behind(owner.0, after.map_or(0, |id| id.0))
                .await
                .map(|found| found.map(LayerView::info));
            self.store.answer(found)
        }
        .await;
        self.store.leave();
        result
    }

    /// Copies a layer's description into `buffer`; its length.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`].
    pub async fn description(&mut self, layer: LayerId, buffer: &mut [u8]) -> Result<usize, D> {
        self.store.enter();
        let result: Result<usize, D> = async {
            let length = self.store.description(layer.0, buffer).await;
            self.store.answer(length)
        }
        .await;
        self.store.leave();
        result
    }
}
