//! What is asked of every pool that is judged, whatever has happened to it before.

use cowl::{BlockDevice, Error, Finding, LayerId, Merge, Pool, Reader};

use super::{
    disk::{Call, SimDisk},
    history::{found, merge_step, mount},
    model::{Found, Model},
};

/// Says what was being done when an error came.
pub(crate) fn text<T: std::fmt::Debug>(what: &str) -> impl Fn(T) -> String + '_ {
    move |error| format!("{what}: {error:?}")
}

/// The pool's own check finds nothing; with `scrub` it reads the data too. A slot of the superblock that was being written may be
/// torn.
///
/// # Errors
/// What was found.
pub fn sound<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    scrub: bool,
) -> Result<(), String> {
    let mut findings = Vec::new();
    let mut tell = |finding: &Finding| findings.push(*finding);
    pool.check(&mut [0; 1024], scrub, &mut tell).map_err(text("check"))?;
    findings.retain(|finding| !matches!(finding, Finding::SuperblockCopy { .. }));
    if findings.is_empty() { Ok(()) } else { Err(format!("check: {findings:?}")) }
}

/// The small reader finds on a device what a mount has shown; nothing is said of pools on a base, which it does not read.
///
/// # Errors
/// It does not.
pub fn reads_alike<D: BlockDevice>(device: D, workspace: &mut [u8], seen: &Found) -> Result<(), String> {
    let mut reader = Reader::mount(device, workspace, crate::crc32c).map_err(text("mount of the reader"))?;
    all_alike(&mut reader, seen, &mut Vec::new())
}

/// The same of a reader that has been mounted, which reads into this memory.
///
/// # Errors
/// It shows something else.
pub fn all_alike<D: BlockDevice>(reader: &mut Reader<'_, D>, seen: &Found, again: &mut Vec<u8>) -> Result<(), String> {
    for (id, (name, bytes)) in seen {
        let image = reader.find(name).map_err(text("search of the reader"))?;
        let image = image.filter(|image| image.id() == LayerId(*id));
        let image = image.ok_or_else(|| format!("the reader does not find layer {id}, {name}"))?;
        again.clear();
        again.resize(bytes.len(), 0xaa);
        reader.read(&image, 0, again).map_err(text("the reader's read"))?;
        if again != bytes {
            return Err(format!("the reader shows something else of layer {id}, {name}"));
        }
        if reader.read(&image, image.sectors(), again).is_ok() {
            return Err(format!("the reader reads on behind the end of layer {id}, {name}"));
        }
    }
    // What histories call their snapshots, of which some were deleted and are still there, to be merged.
    let last = seen.keys().next_back().copied().unwrap_or(0);
    let snapshots = (last.saturating_sub(12)..last.saturating_add(2)).filter(|id| !seen.contains_key(id));
    for name in snapshots.map(|id| format!("s{id}")) {
        if let Some(image) = reader.find(&name).map_err(text("search of the reader"))? {
            return Err(format!("the reader finds {name}, which is not there: {image:?}"));
        }
    }
    Ok(())
}

/// What a pool shows that is mounted after a power cut; mounting and reading it costs one flush and no write.
///
/// # Errors
/// It cannot be mounted or read, or that costs more.
pub fn recovered(disk: &SimDisk, workspace: &mut [u8]) -> Result<Found, String> {
    disk.take_calls();
    let mut pool = mount(disk.clone(), workspace).map_err(text("mount after a cut"))?;
    let seen = found(&mut pool).map_err(text("read after a cut"))?;
    drop(pool);
    reads_alike(disk.clone(), workspace, &seen)?;
    let calls = disk.take_calls();
    if calls == [Call::Flush, Call::Flush] {
        Ok(seen)
    } else {
        Err(format!("mounts that are not one flush: {calls:?}"))
    }
}

/// The pool works, and goes on showing what it has shown.
///
/// # Errors
/// It does not.
pub fn works_on(disk: SimDisk, workspace: &mut [u8], seen: &Found) -> Result<(), String> {
    let mut pool = mount(disk, workspace).map_err(text("mount again"))?;
    pool.checkpoint().map_err(text("checkpoint after a cut"))?;
    sound(&mut pool, true)?;
    let again = found(&mut pool).map_err(text("read again"))?;
    if again == *seen { Ok(()) } else { Err("what was shown has changed".into()) }
}

/// Deletes all layers of the model, and merges in small steps; as many blocks must be free as before there were any.
///
/// # Errors
/// Something is left.
pub fn leaves_nothing<D: BlockDevice, B: BlockDevice<Error = D::Error>>(
    pool: &mut Pool<'_, D, B>,
    model: &Model,
    fresh: u64,
) -> Result<(), String> {
    for id in model.now.keys() {
        pool.delete(LayerId(*id)).map_err(text("delete"))?;
    }
    loop {
        match pool.merge_step(1) {
            Ok(Merge::Idle) => break,
            Ok(Merge::Progress { .. }) | Err(Error::BudgetTooSmall { .. }) => {
                merge_step(pool, 200).map_err(text("merge"))?;
            }
            Err(error) => return Err(text("merge")(error)),
        }
    }
    sound(pool, true)?;
    let (free, layers) = (pool.space().free, pool.info().layers);
    if free == fresh && layers == 0 { Ok(()) } else { Err(format!("{free} free instead of {fresh}, {layers} layers")) }
}
