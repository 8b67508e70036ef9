//! The verbs on layers. Each is one commit: after a power loss wholly there or wholly not; once it has returned it is durable, and so
//! is every write before it.

use core::ffi::{c_char, c_void};

use cowl::{LayerFlags, LayerId, SnapshotOf};

use crate::{
    handle::{Call, Handle, enter},
    memory::Out,
    status::{Failure, Status},
    types::{LAYER_GUARANTEED, LAYER_INTEGRITY, LayerAttributes, LayerInfo},
};

/// Volumes that one step can take snapshots of.
pub const SNAPSHOT_VOLUMES: usize = 16;

/// One volume of a snapshot of several.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SnapshotItem {
    /// The volume.
    pub volume: u32,
    /// How many attachments there are.
    pub attachment_count: u32,
    /// Staged attachments that are to belong to the snapshot; may be NULL if there are none.
    pub attachments: *const u32,
    /// What the new snapshot is to be called.
    pub attributes: LayerAttributes,
}

/// Layer numbers as the core knows them.
///
/// # Safety
/// The rules of pointers, for as long as the answer lives.
pub(crate) unsafe fn ids<'a>(call: &Call<'_>, ids: *const u32, count: usize) -> Result<&'a [LayerId], Failure> {
    // SAFETY: a number of a layer is a u32 and nothing more; the rest is handed on.
    unsafe { call.values(ids.cast::<LayerId>(), count, "the layers") }
}

fn deliver(info: Option<cowl::LayerInfo>, out: Out<LayerInfo>) -> Status {
    let Some(info) = info else { return Status::None };
    out.set(info.into());
    Status::Ok
}

fn id(number: u32) -> Option<LayerId> {
    (number != 0).then_some(LayerId(number))
}

/// Makes a volume of `sectors` sectors that reads as zeros (or as the base device). `flags`: `COWL_LAYER_GUARANTEED`,
/// `COWL_LAYER_INTEGRITY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_create(
    pool: *mut Handle,
    attributes: *const LayerAttributes,
    sectors: u64,
    flags: u32,
    volume: *mut u32,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, attributes) = (call.out(volume)?, LayerAttributes::read(call, attributes)?);
            if flags & !(LAYER_GUARANTEED | LAYER_INTEGRITY) != 0 {
                return Err(Failure::with_reason(Status::BadParameter, "flags that a new volume cannot have"));
            }
            out.set(call.pool.create(&attributes, sectors, LayerFlags::from_bits_retain(flags))?.0);
            Ok(Status::Ok)
        })
    }
}

/// Takes a snapshot of a volume.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_snapshot(
    pool: *mut Handle,
    volume: u32,
    attributes: *const LayerAttributes,
    snapshot: *mut u32,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, attributes) = (call.out(snapshot)?, LayerAttributes::read(call, attributes)?);
            out.set(call.pool.snapshot(LayerId(volume), &attributes)?.0);
            Ok(Status::Ok)
        })
    }
}

/// Takes snapshots of up to `COWL_SNAPSHOT_VOLUMES` volumes at one moment, with attachments, in one commit. Their numbers follow one
/// another; the first is given back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_snapshot_all(
    pool: *mut Handle,
    items: *const SnapshotItem,
    count: usize,
    first: *mut u32,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, items) = (call.out(first)?, call.values(items, count, "the items")?);
            let mut of = heapless::Vec::<SnapshotOf<'_>, SNAPSHOT_VOLUMES>::new();
            for item in items {
                let attachment_count = usize::try_from(item.attachment_count).unwrap_or(usize::MAX);
                let one = SnapshotOf {
                    volume: LayerId(item.volume),
                    attributes: item.attributes.resolve(call)?,
                    attachments: ids(call, item.attachments, attachment_count)?,
                };
                let full = |_| Failure::with_reason(Status::BadParameter, "more volumes than one step takes");
                of.push(one).map_err(full)?;
            }
            out.set(call.pool.snapshot_all(&of)?.0);
            Ok(Status::Ok)
        })
    }
}

/// Makes the volume what it was when the snapshot was taken. With `keep` its old state becomes a snapshot of that name, whose number goes
/// to `kept`; with NULL it is given up to merge, and `kept` gets 0. `kept` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_rollback(
    pool: *mut Handle,
    volume: u32,
    snapshot: u32,
    time: u64,
    keep: *const LayerAttributes,
    kept: *mut u32,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out_or_null(kept)?;
            let keep = if keep.is_null() { None } else { Some(LayerAttributes::read(call, keep)?) };
            let kept = call.pool.rollback(LayerId(volume), LayerId(snapshot), time, keep.as_ref())?;
            out.set(kept.map_or(0, |id| id.0));
            Ok(Status::Ok)
        })
    }
}

/// Makes a new volume that starts as the snapshot is. `guaranteed`: 1 to reserve all its space.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_clone(
    pool: *mut Handle,
    snapshot: u32,
    attributes: *const LayerAttributes,
    guaranteed: u32,
    volume: *mut u32,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, attributes) = (call.out(volume)?, LayerAttributes::read(call, attributes)?);
            out.set(call.pool.clone_snapshot(LayerId(snapshot), &attributes, guaranteed != 0)?.0);
            Ok(Status::Ok)
        })
    }
}

/// Deletes a layer and its attachments: they are gone at once, their space comes back by `cowl_merge_step`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_delete(pool: *mut Handle, layer: u32) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { enter(pool, |call| Ok(call.pool.delete(LayerId(layer)).map(|()| Status::Ok)?)) }
}

/// Gives a layer another name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_rename(pool: *mut Handle, layer: u32, name: *const c_char) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let name = call.text(name)?;
            call.pool.rename(LayerId(layer), name)?;
            Ok(Status::Ok)
        })
    }
}

/// Gives a layer another description, of up to 767 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_describe(pool: *mut Handle, layer: u32, text: *const c_char) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let text = call.text(text)?;
            call.pool.describe(LayerId(layer), text)?;
            Ok(Status::Ok)
        })
    }
}

/// Changes the size of a volume.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_resize(pool: *mut Handle, volume: u32, sectors: u64) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { enter(pool, |call| Ok(call.pool.resize(LayerId(volume), sectors).map(|()| Status::Ok)?)) }
}

/// Makes room for a blob of `length` bytes that is to be attached to a layer. It is written like a volume, and is gone at the next
/// mount if no layer has taken it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_stage_attachment(
    pool: *mut Handle,
    attributes: *const LayerAttributes,
    length: u64,
    staged: *mut u32,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, attributes) = (call.out(staged)?, LayerAttributes::read(call, attributes)?);
            out.set(call.pool.stage_attachment(&attributes, length)?.0);
            Ok(Status::Ok)
        })
    }
}

/// Gives a staged attachment to a layer; it never changes again and goes with the layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_attach(pool: *mut Handle, layer: u32, staged: u32) -> Status {
    // SAFETY: the rules of pointers.
    unsafe { enter(pool, |call| Ok(call.pool.attach(LayerId(layer), LayerId(staged)).map(|()| Status::Ok)?)) }
}

/// A live layer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_layer_of(pool: *mut Handle, layer: u32, info: *mut LayerInfo) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(info)?;
            Ok(deliver(Some(call.pool.layer(LayerId(layer))?), out))
        })
    }
}

/// The volume or snapshot with this name; `COWL_STATUS_NONE` if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_find(pool: *mut Handle, name: *const c_char, info: *mut LayerInfo) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, name) = (call.out(info)?, call.text(name)?);
            Ok(deliver(call.pool.find(name)?, out))
        })
    }
}

/// The first live volume or snapshot behind the number `after` (0 to begin); `COWL_STATUS_NONE` at the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_next_layer(pool: *mut Handle, after: u32, info: *mut LayerInfo) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(info)?;
            Ok(deliver(call.pool.next_layer(id(after))?, out))
        })
    }
}

/// The first record behind the number `after` (0 to begin): any kind, deleted layers too; `COWL_STATUS_NONE` at the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_next_record(pool: *mut Handle, after: u32, info: *mut LayerInfo) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(info)?;
            Ok(deliver(call.pool.next_record(id(after))?, out))
        })
    }
}

/// The first attachment of a layer (`after` 0), or the one behind `after`; `COWL_STATUS_NONE` at the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_next_attachment(
    pool: *mut Handle,
    owner: u32,
    after: u32,
    info: *mut LayerInfo,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(info)?;
            Ok(deliver(call.pool.next_attachment(LayerId(owner), id(after))?, out))
        })
    }
}

/// Copies as much of a layer's description as fits, not terminated; `length` gets how much that is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_description(
    pool: *mut Handle,
    layer: u32,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, buffer) = (call.out(length)?, call.bytes_mut(buffer.cast::<c_void>(), size)?);
            out.set(call.pool.description(LayerId(layer), buffer)?);
            Ok(Status::Ok)
        })
    }
}
