//! A check that lets clients go on: of the durable state, through a mount of its own that only reads.
//!
//! What the durable superblock leads to is not written over before the next one is durable (rules A1, A2 and C1 to C4), so whatever such
//! a walk reads while the generation stays the same belongs to that generation. What it says counts if the generation is still the same
//! when it has ended. It asks now and then, and ends early if others have followed.
//!
//! Neither the pending table nor the journal is looked at, and data only to be read, or verified where it is never written over.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cowl::{BlockDevice, Geometry, MountOptions, Pool};

use crate::{
    DeviceError,
    cli::{
        failure::Failure,
        pool::{Examined, Order, examine},
    },
    device::{Base, Direct},
    serve::{mount, shared::Shared},
};

/// Memory of the mount, at first; it takes more if the pool needs it.
const WORKSPACE: usize = 4 << 20;

/// The pool's device, to read from until the walk is void.
struct View {
    direct: Arc<Direct>,
    geometry: Geometry,
    void: Arc<AtomicBool>,
}

impl View {
    fn refused(&self, action: &'static str, why: &'static str) -> DeviceError {
        DeviceError::other(action, self.direct.path(), why)
    }
}

impl BlockDevice for View {
    type Error = DeviceError;

    fn geometry(&self) -> Geometry {
        Geometry { read_only: true, ..self.geometry }
    }

    fn read(&mut self, sector: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        if self.void.load(Ordering::Relaxed) {
            return Err(self.refused("read", "the pool has gone on"));
        }
        self.direct.read(sector, buffer)
    }

    fn write(&mut self, _sector: u64, _buffer: &[u8]) -> Result<(), DeviceError> {
        Err(self.refused("write", "a check only reads"))
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// What a check finds while others work on the pool; none if the pool has gone on meanwhile, if it cannot be mounted beside itself
/// (after an error of its device, or on a base, which is nobody else's to read), or if it is not `wanted` any more.
///
/// # Errors
/// The device's.
pub fn check(
    shared: &Shared,
    order: &Order,
    wanted: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Option<Examined>, Failure> {
    let void = Arc::new(AtomicBool::new(false));
    let options = MountOptions { read_only: true, checksum: shared.checksum() };
    let geometry = shared.look(|pool| Ok(pool.device().geometry()))?;
    let mut view = View { direct: Arc::clone(shared.direct()), geometry, void: Arc::clone(&void) };
    let Ok(mut workspace) = mount::enough(&mut view, &mut Base::None, WORKSPACE, false, &options) else {
        return Ok(None);
    };
    // Nobody writes to the journal while it is looked through.
    let mut held = shared.lock();
    let about = held.info();
    if about.poisoned || about.base_sectors > 0 {
        return Ok(None);
    }
    if !about.read_only && about.pending_used > 0 {
        held.checkpoint()?;
    }
    let generation = held.info().generation;
    view.geometry = held.device().geometry();
    let Ok(mut pool) = Pool::mount(&mut view, &mut workspace, &options) else { return Ok(None) };
    drop(held);
    let is_current = || shared.look(|pool| Ok(pool.info().generation)).is_ok_and(|now| now == generation);
    let mut watch = |done, of| {
        progress(done, of);
        if !wanted() || !is_current() {
            void.store(true, Ordering::Relaxed);
        }
    };
    let examined = examine(&mut pool, order, &mut watch);
    if void.load(Ordering::Relaxed) || !is_current() { Ok(None) } else { examined.map(Some) }
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, os::unix::fs::FileExt, path::Path};

    use cowl::{Attributes, FormatOptions, LayerFlags, LayerId};

    use super::{Examined, Order, check};
    use crate::{
        FileOptions, HostDevice,
        cli::pool::AnyPool,
        device::Base,
        serve::{mount, shared::Shared},
    };

    const BLOCK: usize = 4096;
    const BLOCKS: u64 = 1024;
    const SIZE: u64 = 16 << 20;
    /// So little memory that it takes several walks.
    const ORDER: Order = Order { memory: 128, scrub: true, told: 10 };

    fn named(name: &str) -> Attributes<'_> {
        Attributes { name, ..Attributes::default() }
    }

    fn filled(shared: &Shared, volume: LayerId, value: u8) {
        for block in 0..BLOCKS {
            shared.write(volume, block * 8, &[value; BLOCK]).unwrap();
        }
    }

    /// A pool in a new file with a full volume, a snapshot, and what was written since.
    fn served(path: &Path) -> (Shared, LayerId) {
        let mut device = HostDevice::File(FileOptions::new().create(path, SIZE).unwrap());
        let options = FormatOptions { pending: 128, journal_units: 16, ..FormatOptions::new(4096, [7; 16]) };
        cowl::Pool::format(&mut device, &mut vec![0; 1 << 20], &options).unwrap();
        let shared = Shared::new(mount::mount(device, Base::None, 1 << 20, true, false).unwrap());
        let volume = shared.lock().create(&named("v"), BLOCKS * 8, LayerFlags::empty()).unwrap();
        filled(&shared, volume, 1);
        shared.lock().snapshot(volume, &named("s")).unwrap();
        for block in (0..BLOCKS).step_by(8) {
            shared.write(volume, block * 8, &[2; BLOCK]).unwrap();
        }
        (shared, volume)
    }

    /// Checks, and lets `work` do something with the pool in the middle of it.
    fn while_doing(shared: &Shared, mut work: impl FnMut()) -> (Option<Examined>, u32) {
        let mut turns = 0;
        let mut progress = |_, _| {
            work();
            turns += 1;
        };
        (check(shared, &ORDER, &|| true, &mut progress).unwrap(), turns)
    }

    #[test]
    fn clients_write_in_place_and_flush_while_a_check_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, volume) = served(&dir.path().join("p"));
        let (examined, turns) = while_doing(&shared, || {
            shared.write(volume, 0, &[3; BLOCK]).unwrap();
            shared.flush().unwrap();
        });
        assert!(turns > 0);
        let (examined, held) =
            (examined.unwrap(), AnyPool::check(&mut *shared.lock(), &ORDER, &mut |_, _| {}).unwrap());
        assert_eq!((examined.findings, examined.blocks), (0, held.blocks));
    }

    #[test]
    fn nobody_hears_of_a_walk_through_a_generation_that_is_not_durable_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, volume) = served(&dir.path().join("p"));
        let mut first = true;
        let (examined, turns) = while_doing(&shared, || {
            if std::mem::take(&mut first) {
                shared.write(volume, 8, &[3; BLOCK]).unwrap();
                shared.lock().checkpoint().unwrap();
            }
        });
        assert!(examined.is_none() && turns == 1, "it ends at once");
        assert!(check(&shared, &ORDER, &|| false, &mut |_, _| {}).unwrap().is_none(), "nobody waits for it");
    }

    #[test]
    fn nor_of_one_that_met_what_was_freed_and_used_again_in_a_later_walk() {
        let dir = tempfile::tempdir().unwrap();
        let (shared, volume) = served(&dir.path().join("p"));
        let mut value = 3;
        let (examined, _) = while_doing(&shared, || {
            // Everything moves, often enough to come around.
            for _ in 0..4 {
                let snapshot = shared.look(|pool| pool.snapshot(volume, &named("again"))).unwrap();
                filled(&shared, volume, value);
                shared.lock().delete(snapshot).unwrap();
                shared.lock().merge_all(1 << 16).unwrap();
                value += 1;
            }
        });
        assert!(examined.is_none());
        assert_eq!(AnyPool::check(&mut *shared.lock(), &ORDER, &mut |_, _| {}).unwrap().findings, 0);
    }

    #[test]
    fn damage_is_found_beside_clients() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let (shared, volume) = served(&path);
        shared.lock().checkpoint().unwrap();
        let items = AnyPool::anatomy(&mut *shared.lock(), false).unwrap();
        let node = items.iter().find(|item| item.object == "map").and_then(|item| item.offset).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[0x55], node + 100).unwrap();
        let (examined, _) = while_doing(&shared, || shared.write(volume, 0, &[9; BLOCK]).unwrap());
        assert!(examined.unwrap().findings > 0);
    }
}
