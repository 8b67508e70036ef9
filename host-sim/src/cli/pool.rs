//! The pool that a verb works on: opened by this process, or served by another one.
//!
//! A verb does not know which. [`HostPool`] answers at once; [`Remote`](crate::serve::control::Remote) sends each call to the
//! server, which lets other users of the pool in between any two.

use cowl::{
    Attributes, BlockDevice, Delta, Error, Extent, Finding, LayerFlags, LayerId, LayerInfo, Merge, Pool, PoolInfo,
    SnapshotOf, Space,
};
use embedded_io::{Seek as _, SeekFrom, Write as _};
use serde::{Deserialize, Serialize};

use super::{
    anatomy::{self, Item},
    failure::{Failure, Kind},
    size::Bytes,
    view::Units,
};
use crate::{DeviceError, HostDevice, device::HostPool, serve::merger::MergeStatus};

/// Records that are listed in one call.
const PAGE: usize = 64;

/// Which records of the catalog are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Records {
    /// Every one: deleted layers and attachments too.
    All,
    /// Live volumes and snapshots.
    Layers,
    /// The attachments of this layer.
    AttachmentsOf(u32),
}

/// What a check is to do.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// Bytes of memory for counting.
    pub memory: usize,
    /// Data is read too.
    pub scrub: bool,
    /// Findings that are told one by one, at most.
    pub told: usize,
}

/// What a check has found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Examined {
    /// Number of findings, unreadable copies of the superblock left out.
    pub findings: u64,
    /// Slots of the superblock that cannot be read while another can: what a power cut during a checkpoint leaves.
    pub unreadable_copies: Vec<u8>,
    /// The first of them, in words.
    pub told: Vec<String>,
    /// Blocks in use.
    pub blocks: u64,
    /// Walks that were needed.
    pub passes: u64,
}

/// Everything that a verb asks of a pool. Calls of the same name do what they do in [`Pool`], and fail as there.
#[allow(clippy::missing_errors_doc)]
pub trait AnyPool {
    /// The sizes that never change.
    fn units(&self) -> Units;
    /// As [`Pool::info`].
    fn info(&mut self) -> Result<PoolInfo, Failure>;
    /// As [`Pool::space`].
    fn space(&mut self) -> Result<Space, Failure>;
    /// As [`Pool::find`].
    fn find(&mut self, name: &str) -> Result<Option<LayerInfo>, Failure>;
    /// As [`Pool::layer`].
    fn layer(&mut self, id: LayerId) -> Result<LayerInfo, Failure>;
    /// The next records behind `after`, in order: a few at a time, none at the end.
    fn records(&mut self, which: Records, after: Option<LayerId>) -> Result<Vec<LayerInfo>, Failure>;
    /// The description of a layer; a deleted one has none any more.
    fn description(&mut self, layer: LayerId) -> Result<String, Failure>;
    /// As [`Pool::create`].
    fn create(&mut self, new: &Attributes<'_>, sectors: u64, flags: LayerFlags) -> Result<LayerId, Failure>;
    /// As [`Pool::snapshot_all`].
    fn snapshot(&mut self, of: &[SnapshotOf<'_>]) -> Result<LayerId, Failure>;
    /// As [`Pool::rollback`]. A volume with clients is refused, unless forced: then they are cut off first.
    fn rollback(
        &mut self,
        volume: LayerId,
        snapshot: LayerId,
        time: u64,
        keep: Option<&Attributes<'_>>,
        force: bool,
    ) -> Result<Option<LayerId>, Failure>;
    /// As [`Pool::clone_snapshot`].
    fn clone_snapshot(&mut self, snapshot: LayerId, new: &Attributes<'_>, guaranteed: bool)
    -> Result<LayerId, Failure>;
    /// As [`Pool::delete`]; for layers with clients as [`rollback`](Self::rollback).
    fn delete(&mut self, layer: LayerId, force: bool) -> Result<(), Failure>;
    /// As [`Pool::rename`].
    fn rename(&mut self, layer: LayerId, name: &str) -> Result<(), Failure>;
    /// As [`Pool::describe`].
    fn describe(&mut self, layer: LayerId, text: &str) -> Result<(), Failure>;
    /// As [`Pool::resize`]; to make a volume with clients smaller is as [`rollback`](Self::rollback).
    fn resize(&mut self, volume: LayerId, sectors: u64, force: bool) -> Result<(), Failure>;
    /// As [`Pool::stage_attachment`].
    fn stage_attachment(&mut self, new: &Attributes<'_>, length: u64) -> Result<LayerId, Failure>;
    /// As [`Pool::attach`].
    fn attach(&mut self, layer: LayerId, staged: LayerId) -> Result<(), Failure>;
    /// Counts as a client of the layer for as long as this pool is open: it is not rolled back or deleted without force.
    fn enter(&mut self, layer: LayerId) -> Result<(), Failure>;
    /// As [`Pool::read`].
    fn read(&mut self, layer: LayerId, sector: u64, buffer: &mut [u8]) -> Result<(), Failure>;
    /// As [`Pool::write`].
    fn write(&mut self, volume: LayerId, sector: u64, bytes: &[u8]) -> Result<(), Failure>;
    /// Writes at any byte.
    fn write_bytes(&mut self, volume: LayerId, offset: u64, bytes: &[u8]) -> Result<(), Failure>;
    /// As [`Pool::discard`].
    fn discard(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), Failure>;
    /// As [`Pool::write_zeroes`].
    fn write_zeroes(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), Failure>;
    /// As [`Pool::extent`].
    fn extent(&mut self, layer: LayerId, sector: u64) -> Result<Extent, Failure>;
    /// As [`Pool::diff`].
    fn diff(&mut self, a: LayerId, b: LayerId, from: u64) -> Result<Option<Extent>, Failure>;
    /// As [`Pool::what_if_freed`].
    fn what_if_freed(&mut self, set: &[LayerId]) -> Result<Delta, Failure>;
    /// As [`Pool::check_watched`].
    fn check(&mut self, order: &Order, progress: &mut dyn FnMut(u64, u64)) -> Result<Examined, Failure>;
    /// As [`Pool::merge_step`], with a larger budget if that one is too small for anything.
    fn merge_step(&mut self, budget: u32) -> Result<Merge, Failure>;
    /// As [`Pool::discard_free`].
    fn discard_free(&mut self, from: u64, budget: u32) -> Result<Option<u64>, Failure>;
    /// Makes a file longer if a size is given, then as [`Pool::grow`].
    fn grow(&mut self, size: Option<u64>) -> Result<u64, Failure>;
    /// As [`Pool::flush`].
    fn flush(&mut self) -> Result<(), Failure>;
    /// As [`Pool::checkpoint`].
    fn checkpoint(&mut self) -> Result<(), Failure>;
    /// Every object on the device.
    fn anatomy(&mut self, data: bool) -> Result<Vec<Item>, Failure>;
    /// What the server's merge is at; none if the pool is not served.
    fn merge_status(&mut self) -> Result<Option<MergeStatus>, Failure>;
    /// Lets the server's merge pause, or go on.
    fn pause_merge(&mut self, paused: bool) -> Result<(), Failure>;
    /// The server's counts, as text for Prometheus.
    fn metrics(&mut self) -> Result<String, Failure>;
}

/// Checks a pool, whatever it is on.
///
/// # Errors
/// The device's.
pub fn examine<D, B>(
    pool: &mut Pool<'_, D, B>,
    order: &Order,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Examined, Failure>
where
    D: BlockDevice<Error = DeviceError>,
    B: BlockDevice<Error = DeviceError>,
{
    let mut scratch = vec![0; order.memory];
    let mut examined = Examined::default();
    let mut tell = |finding: &Finding| {
        if let Finding::SuperblockCopy { slot } = finding {
            examined.unreadable_copies.push(*slot);
        } else if examined.told.len() < order.told {
            examined.told.push(format!("{finding:?}"));
        }
    };
    let sum = pool.check_watched(&mut scratch, order.scrub, &mut tell, progress)?;
    let findings = sum.findings - examined.unreadable_copies.len() as u64;
    Ok(Examined { findings, blocks: sum.blocks, passes: sum.passes, ..examined })
}

impl AnyPool for HostPool<'_, '_> {
    fn units(&self) -> Units {
        let info = Pool::info(self);
        Units { sector: info.sector_size, block: info.block_size }
    }

    fn info(&mut self) -> Result<PoolInfo, Failure> {
        Ok(Pool::info(self))
    }

    fn space(&mut self) -> Result<Space, Failure> {
        Ok(Pool::space(self))
    }

    fn find(&mut self, name: &str) -> Result<Option<LayerInfo>, Failure> {
        Ok(Pool::find(self, name)?)
    }

    fn layer(&mut self, id: LayerId) -> Result<LayerInfo, Failure> {
        Ok(Pool::layer(self, id)?)
    }

    fn records(&mut self, which: Records, after: Option<LayerId>) -> Result<Vec<LayerInfo>, Failure> {
        let mut page: Vec<LayerInfo> = Vec::new();
        while page.len() < PAGE {
            let last = page.last().map(|last| last.id).or(after);
            let next = match which {
                Records::All => self.next_record(last)?,
                Records::Layers => self.next_layer(last)?,
                Records::AttachmentsOf(owner) => self.next_attachment(LayerId(owner), last)?,
            };
            let Some(next) = next else { break };
            page.push(next);
        }
        Ok(page)
    }

    fn description(&mut self, layer: LayerId) -> Result<String, Failure> {
        let info = Pool::layer(self, layer)?;
        let mut buffer = vec![0; usize::from(info.description)];
        if buffer.is_empty() || info.flags.contains(LayerFlags::DELETED) {
            return Ok(String::new());
        }
        let length = Pool::description(self, layer, &mut buffer)?;
        buffer.truncate(length);
        Ok(String::from_utf8_lossy(&buffer).into_owned())
    }

    fn create(&mut self, new: &Attributes<'_>, sectors: u64, flags: LayerFlags) -> Result<LayerId, Failure> {
        Ok(Pool::create(self, new, sectors, flags)?)
    }

    fn snapshot(&mut self, of: &[SnapshotOf<'_>]) -> Result<LayerId, Failure> {
        Ok(self.snapshot_all(of)?)
    }

    fn rollback(
        &mut self,
        volume: LayerId,
        snapshot: LayerId,
        time: u64,
        keep: Option<&Attributes<'_>>,
        _force: bool,
    ) -> Result<Option<LayerId>, Failure> {
        Ok(Pool::rollback(self, volume, snapshot, time, keep)?)
    }

    fn clone_snapshot(
        &mut self,
        snapshot: LayerId,
        new: &Attributes<'_>,
        guaranteed: bool,
    ) -> Result<LayerId, Failure> {
        Ok(Pool::clone_snapshot(self, snapshot, new, guaranteed)?)
    }

    fn delete(&mut self, layer: LayerId, _force: bool) -> Result<(), Failure> {
        Ok(Pool::delete(self, layer)?)
    }

    fn rename(&mut self, layer: LayerId, name: &str) -> Result<(), Failure> {
        Ok(Pool::rename(self, layer, name)?)
    }

    fn describe(&mut self, layer: LayerId, text: &str) -> Result<(), Failure> {
        Ok(Pool::describe(self, layer, text)?)
    }

    fn resize(&mut self, volume: LayerId, sectors: u64, _force: bool) -> Result<(), Failure> {
        Ok(Pool::resize(self, volume, sectors)?)
    }

    fn stage_attachment(&mut self, new: &Attributes<'_>, length: u64) -> Result<LayerId, Failure> {
        Ok(Pool::stage_attachment(self, new, length)?)
    }

    fn attach(&mut self, layer: LayerId, staged: LayerId) -> Result<(), Failure> {
        Ok(Pool::attach(self, layer, staged)?)
    }

    fn enter(&mut self, _layer: LayerId) -> Result<(), Failure> {
        Ok(())
    }

    fn read(&mut self, layer: LayerId, sector: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        Ok(Pool::read(self, layer, sector, buffer)?)
    }

    fn write(&mut self, volume: LayerId, sector: u64, bytes: &[u8]) -> Result<(), Failure> {
        Ok(Pool::write(self, volume, sector, bytes)?)
    }

    fn write_bytes(&mut self, volume: LayerId, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut cursor = self.cursor(volume)?;
        cursor.seek(SeekFrom::Start(offset))?;
        Ok(cursor.write_all(bytes)?)
    }

    fn discard(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), Failure> {
        Ok(Pool::discard(self, volume, sector, count)?)
    }

    fn write_zeroes(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), Failure> {
        Ok(Pool::write_zeroes(self, volume, sector, count)?)
    }

    fn extent(&mut self, layer: LayerId, sector: u64) -> Result<Extent, Failure> {
        Ok(Pool::extent(self, layer, sector)?)
    }

    fn diff(&mut self, a: LayerId, b: LayerId, from: u64) -> Result<Option<Extent>, Failure> {
        Ok(Pool::diff(self, a, b, from)?)
    }

    fn what_if_freed(&mut self, set: &[LayerId]) -> Result<Delta, Failure> {
        Ok(Pool::what_if_freed(self, set)?)
    }

    fn check(&mut self, order: &Order, progress: &mut dyn FnMut(u64, u64)) -> Result<Examined, Failure> {
        examine(self, order, progress)
    }

    fn merge_step(&mut self, budget: u32) -> Result<Merge, Failure> {
        match Pool::merge_step(self, budget) {
            Err(Error::BudgetTooSmall { needed }) if needed > budget => Ok(Pool::merge_step(self, needed)?),
            done => Ok(done?),
        }
    }

    fn discard_free(&mut self, from: u64, budget: u32) -> Result<Option<u64>, Failure> {
        Ok(Pool::discard_free(self, from, budget)?)
    }

    fn grow(&mut self, size: Option<u64>) -> Result<u64, Failure> {
        let device: &mut HostDevice = self.device_mut();
        match size {
            Some(size) if size < device.size() => {
                let what = format!("the pool has {} already; it does not become smaller", Bytes(device.size()));
                return Err(Failure::new(Kind::Refused, what).hint("export its layers into a smaller pool"));
            }
            Some(size) => device.extend(size)?,
            None => device.refresh()?,
        }
        Ok(Pool::grow(self)?)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(Pool::flush(self)?)
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        Ok(Pool::checkpoint(self)?)
    }

    fn anatomy(&mut self, data: bool) -> Result<Vec<Item>, Failure> {
        anatomy::walk(self.device_mut(), data)
    }

    fn merge_status(&mut self) -> Result<Option<MergeStatus>, Failure> {
        Ok(None)
    }

    fn pause_merge(&mut self, _paused: bool) -> Result<(), Failure> {
        Err(not_served("there is no merge in the background that could pause"))
    }

    fn metrics(&mut self) -> Result<String, Failure> {
        Err(not_served("nobody counts what is done with it"))
    }
}

fn not_served(what: &str) -> Failure {
    Failure::new(Kind::Refused, format!("the pool is not being served: {what}")).hint("`cowl serve POOL` serves it")
}
