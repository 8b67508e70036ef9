//! A pool that another process serves, call by call.

use std::{
    io::{self, ErrorKind},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use cowl::{Attributes, Delta, Extent, LayerFlags, LayerId, LayerInfo, Merge, PoolInfo, SnapshotOf, Space};
use serde::de::DeserializeOwned;

use super::{
    call::{Call, Hello, New, PROTOCOL, Reply, Taken},
    fields::{Blocks, Info, Layer, Owned, Range, Step},
    place::{connect, socket_of},
    wire::{MOST_DATA, receive, send},
};
use crate::{
    cli::{
        anatomy::Item,
        failure::{Failure, Kind},
        pool::{AnyPool, Examined, Order, Records},
        view::Units,
    },
    serve::merger::MergeStatus,
};

/// A connection to the server of a pool.
#[derive(Debug)]
pub struct Remote {
    stream: UnixStream,
    /// The control socket.
    path: PathBuf,
    units: Units,
    /// Data was written, and nothing since has made it durable.
    unsettled: bool,
    /// What came with the last answer.
    data: Vec<u8>,
}

impl Remote {
    /// Connects to the server of the pool; `None` if there is none.
    ///
    /// # Errors
    /// The server belongs to another user, speaks another version of the protocol, or works on too many commands.
    pub fn connect(pool: &Path) -> Result<Option<Self>, Failure> {
        let path = socket_of(pool).map_err(|error| Failure::file("look at", pool, &error))?;
        let stream = match connect(&path) {
            Ok(Some(stream)) => stream,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                let what = format!("{} is served by another user: {error}", pool.display());
                return Err(Failure::new(Kind::Missing, what)
                    .hint("only that user and root can work on it as long as it is served"));
            }
            Err(error) => return Err(Failure::file("connect to", &path, &error)),
        };
        let mut remote =
            Self { stream, path, units: Units { sector: 0, block: 0 }, unsettled: false, data: Vec::new() };
        remote.greet()?;
        let info = remote.info()?;
        remote.units = Units { sector: info.sector_size, block: info.block_size };
        Ok(Some(remote))
    }

    /// Leaves the pool as an unmount would: what was written is durable, and in the trees. Operations on layers are so anyway, and what
    /// was refused needs no checkpoint, which on a full file system could not be made.
    ///
    /// # Errors
    /// As [`cowl::Pool::checkpoint`].
    pub fn settle(&mut self) -> Result<(), Failure> {
        if self.unsettled { self.checkpoint() } else { Ok(()) }
    }

    fn greet(&mut self) -> Result<(), Failure> {
        // A server that turns this command away may have ended the connection before it reads anything.
        let sent = send(&self.stream, &Hello::ours(), &[]);
        let theirs: Option<Hello> = receive(&self.stream, &mut self.data).map_err(|error| self.lost(&error))?;
        let Some(theirs) = theirs else {
            return Err(self.lost(&sent.err().unwrap_or_else(|| ErrorKind::UnexpectedEof.into())));
        };
        if theirs.cowl == PROTOCOL {
            return Ok(());
        }
        let what = format!(
            "the pool is served by cowl {}, which speaks version {} of the control protocol; this is cowl {} with version {PROTOCOL}",
            theirs.version,
            theirs.cowl,
            Hello::ours().version
        );
        Err(Failure::new(Kind::Refused, what).hint("use the version of cowl that serves the pool"))
    }

    fn lost(&self, error: &io::Error) -> Failure {
        let what = match error.kind() {
            ErrorKind::InvalidData => format!("what listens at {} is no server of cowl: {error}", self.path.display()),
            _ => format!("the pool's server at {} has gone away: {error}", self.path.display()),
        };
        Failure::new(Kind::Io, what).hint("`cowl list POOL` shows what was done; what was not can be done again")
    }

    fn call<T: DeserializeOwned>(&mut self, call: &Call) -> Result<T, Failure> {
        self.exchange(call, &[], &mut |_| {})
    }

    /// Sends a call with its data, hands on what the server tells on the way, and takes the answer.
    fn exchange<T: DeserializeOwned>(
        &mut self,
        call: &Call,
        data: &[u8],
        on_the_way: &mut dyn FnMut(Reply),
    ) -> Result<T, Failure> {
        // If the server has ended the connection, it may have said why: that is read first.
        let sent = send(&self.stream, call, data);
        if let Err(error) = &sent
            && error.kind() == ErrorKind::InvalidInput
        {
            return Err(Failure::new(Kind::Usage, error.to_string()));
        }
        loop {
            let reply = receive(&self.stream, &mut self.data).map_err(|error| self.lost(&error))?;
            match reply {
                None => return Err(self.lost(&sent.err().unwrap_or_else(|| ErrorKind::UnexpectedEof.into()))),
                Some(Reply::Failed(failure)) => return Err(failure),
                Some(Reply::Done(value)) => {
                    self.unsettled |= call.moves_data();
                    return serde_json::from_value(value).map_err(|error| self.lost(&error.into()));
                }
                Some(reply) => on_the_way(reply),
            }
        }
    }
}

impl AnyPool for Remote {
    fn units(&self) -> Units {
        self.units
    }

    fn info(&mut self) -> Result<PoolInfo, Failure> {
        self.call::<Info>(&Call::Info).map(|info| info.0)
    }

    fn space(&mut self) -> Result<Space, Failure> {
        self.call::<Blocks>(&Call::Space).map(|space| space.0)
    }

    fn find(&mut self, name: &str) -> Result<Option<LayerInfo>, Failure> {
        self.call::<Option<Layer>>(&Call::Find { name: name.to_owned() }).map(|found| found.map(LayerInfo::from))
    }

    fn layer(&mut self, id: LayerId) -> Result<LayerInfo, Failure> {
        self.call::<Layer>(&Call::Layer { id: id.0 }).map(LayerInfo::from)
    }

    fn records(&mut self, which: Records, after: Option<LayerId>) -> Result<Vec<LayerInfo>, Failure> {
        let page = self.call::<Vec<Layer>>(&Call::Records { which, after: after.map(|id| id.0) })?;
        Ok(page.into_iter().map(LayerInfo::from).collect())
    }

    fn description(&mut self, layer: LayerId) -> Result<String, Failure> {
        self.call(&Call::Description { layer: layer.0 })
    }

    fn create(&mut self, new: &Attributes<'_>, sectors: u64, flags: LayerFlags) -> Result<LayerId, Failure> {
        self.call(&Call::Create { new: New::from(new), sectors, flags: flags.bits() }).map(LayerId)
    }

    fn snapshot(&mut self, of: &[SnapshotOf<'_>]) -> Result<LayerId, Failure> {
        let taken = |one: &SnapshotOf<'_>| Taken {
            volume: one.volume.0,
            new: New::from(&one.attributes),
            attachments: one.attachments.iter().map(|id| id.0).collect(),
        };
        self.call(&Call::Snapshot { of: of.iter().map(taken).collect() }).map(LayerId)
    }

    fn rollback(
        &mut self,
        volume: LayerId,
        snapshot: LayerId,
        time: u64,
        keep: Option<&Attributes<'_>>,
        force: bool,
    ) -> Result<Option<LayerId>, Failure> {
        let keep = keep.map(New::from);
        let call = Call::Rollback { volume: volume.0, snapshot: snapshot.0, time, keep, force };
        self.call::<Option<u32>>(&call).map(|kept| kept.map(LayerId))
    }

    fn clone_snapshot(
        &mut self,
        snapshot: LayerId,
        new: &Attributes<'_>,
        guaranteed: bool,
    ) -> Result<LayerId, Failure> {
        self.call(&Call::CloneSnapshot { snapshot: snapshot.0, new: New::from(new), guaranteed }).map(LayerId)
    }

    fn delete(&mut self, layer: LayerId, force: bool) -> Result<(), Failure> {
        self.call(&Call::Delete { layer: layer.0, force })
    }

    fn rename(&mut self, layer: LayerId, name: &str) -> Result<(), Failure> {
        self.call(&Call::Rename { layer: layer.0, name: name.to_owned() })
    }

    fn describe(&mut self, layer: LayerId, text: &str) -> Result<(), Failure> {
        self.call(&Call::Describe { layer: layer.0, text: text.to_owned() })
    }

    fn resize(&mut self, volume: LayerId, sectors: u64, force: bool) -> Result<(), Failure> {
        self.call(&Call::Resize { volume: volume.0, sectors, force })
    }

    fn stage_attachment(&mut self, new: &Attributes<'_>, length: u64) -> Result<LayerId, Failure> {
        self.call(&Call::StageAttachment { new: New::from(new), length }).map(LayerId)
    }

    fn attach(&mut self, layer: LayerId, staged: LayerId) -> Result<(), Failure> {
        self.call(&Call::Attach { layer: layer.0, staged: staged.0 })
    }

    fn enter(&mut self, layer: LayerId) -> Result<(), Failure> {
        self.call(&Call::Enter { layer: layer.0 })
    }

    fn read(&mut self, layer: LayerId, sector: u64, buffer: &mut [u8]) -> Result<(), Failure> {
        let mut sector = sector;
        for part in buffer.chunks_mut(MOST_DATA) {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.call::<()>(&Call::Read { layer: layer.0, sector, length })?;
            if self.data.len() != part.len() {
                return Err(self.lost(&io::Error::new(ErrorKind::InvalidData, "an answer of another length")));
            }
            part.copy_from_slice(&self.data);
            sector += part.len() as u64 / u64::from(self.units.sector.max(1));
        }
        Ok(())
    }

    fn write(&mut self, volume: LayerId, sector: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut sector = sector;
        for part in bytes.chunks(MOST_DATA) {
            self.exchange::<()>(&Call::Write { volume: volume.0, sector }, part, &mut |_| {})?;
            sector += part.len() as u64 / u64::from(self.units.sector.max(1));
        }
        Ok(())
    }

    fn write_bytes(&mut self, volume: LayerId, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut offset = offset;
        for part in bytes.chunks(MOST_DATA) {
            self.exchange::<()>(&Call::WriteBytes { volume: volume.0, offset }, part, &mut |_| {})?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn discard(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), Failure> {
        self.call(&Call::Discard { volume: volume.0, sector, count })
    }

    fn write_zeroes(&mut self, volume: LayerId, sector: u64, count: u64) -> Result<(), Failure> {
        self.call(&Call::WriteZeroes { volume: volume.0, sector, count })
    }

    fn extent(&mut self, layer: LayerId, sector: u64) -> Result<Extent, Failure> {
        self.call::<Range>(&Call::Extent { layer: layer.0, sector }).map(|extent| extent.0)
    }

    fn diff(&mut self, a: LayerId, b: LayerId, from: u64) -> Result<Option<Extent>, Failure> {
        self.call::<Option<Range>>(&Call::Diff { a: a.0, b: b.0, from }).map(|found| found.map(|extent| extent.0))
    }

    fn what_if_freed(&mut self, set: &[LayerId]) -> Result<Delta, Failure> {
        let set = set.iter().map(|id| id.0).collect();
        self.call::<Owned>(&Call::WhatIfFreed { set }).map(|freed| freed.0)
    }

    fn check(&mut self, order: &Order, progress: &mut dyn FnMut(u64, u64)) -> Result<Examined, Failure> {
        let Order { memory, scrub, told } = *order;
        let call = Call::Check { memory: memory as u64, scrub, told: told as u64 };
        self.exchange(&call, &[], &mut |reply| {
            if let Reply::Progress { done, of } = reply {
                progress(done, of);
            }
        })
    }

    fn merge_step(&mut self, budget: u32) -> Result<Merge, Failure> {
        self.call::<Step>(&Call::MergeStep { budget }).map(Merge::from)
    }

    fn discard_free(&mut self, from: u64, budget: u32) -> Result<Option<u64>, Failure> {
        self.call(&Call::DiscardFree { from, budget })
    }

    fn grow(&mut self, size: Option<u64>) -> Result<u64, Failure> {
        self.call(&Call::Grow { size })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.call(&Call::Flush)
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        self.call::<()>(&Call::Checkpoint)?;
        self.unsettled = false;
        Ok(())
    }

    fn anatomy(&mut self, data: bool) -> Result<Vec<Item>, Failure> {
        let mut items = Vec::new();
        self.exchange::<()>(&Call::Anatomy { data }, &[], &mut |reply| {
            if let Reply::Items(more) = reply {
                items.extend(more);
            }
        })?;
        Ok(items)
    }

    fn merge_status(&mut self) -> Result<Option<MergeStatus>, Failure> {
        self.call(&Call::MergeStatus).map(Some)
    }

    fn pause_merge(&mut self, paused: bool) -> Result<(), Failure> {
        self.call(&Call::PauseMerge { paused })
    }

    fn metrics(&mut self) -> Result<String, Failure> {
        self.call(&Call::Metrics)
    }
}
