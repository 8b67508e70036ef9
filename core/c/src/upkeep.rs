//! Everything that looks at the pool as a whole, or works on it in idle time.

use core::{ffi::c_void, ptr};

use cowl::{LayerId, Merge, WhatIf};

use crate::{
    handle::{Handle, enter},
    layers::ids,
    memory::align,
    status::{Failure, Object, Status},
    types::{Checked, Delta, Extent, Finding, FindingKind, PoolInfo, Space, Stats},
};

/// Does a bounded piece of merge: at most `budget` device operations beside the checkpoint of what is pending, one commit.
/// `COWL_STATUS_MORE` while there is more to do, `COWL_STATUS_OK` when no deleted layer is left to work on. `layer` gets the layer that was
/// worked on and `left` the blocks that it still holds; both may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_merge_step(pool: *mut Handle, budget: u32, layer: *mut u32, left: *mut u64) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (to_layer, to_left) = (call.out_or_null(layer)?, call.out_or_null(left)?);
            let (status, layer, left) = match call.pool.merge_step(budget)? {
                Merge::Idle => (Status::Ok, 0, 0),
                Merge::Progress { layer, left } => (Status::More, layer.0, left),
            };
            to_layer.set(layer);
            to_left.set(left);
            Ok(status)
        })
    }
}

/// The first range at or behind `from` in which layer `b` may differ from layer `a`, as it is in `b`; `COWL_STATUS_NONE` if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_diff(pool: *mut Handle, a: u32, b: u32, from: u64, extent: *mut Extent) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(extent)?;
            let Some(found) = call.pool.diff(LayerId(a), LayerId(b), from)? else { return Ok(Status::None) };
            out.set(found.into());
            Ok(Status::Ok)
        })
    }
}

/// The pool's space at this moment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_space_of(pool: *mut Handle, space: *mut Space) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.out(space)?.set(call.pool.space().into());
            Ok(Status::Ok)
        })
    }
}

/// Counts of what was done since the mount.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_stats_of(pool: *mut Handle, stats: *mut Stats) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            call.out(stats)?.set(call.pool.stats().into());
            Ok(Status::Ok)
        })
    }
}

/// What the pool says of itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_pool_info_of(pool: *mut Handle, info: *mut PoolInfo) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(info)?;
            let info = call.pool.info();
            let (merging, merging_from) = info.merging.unwrap_or((0, 0));
            out.set(PoolInfo {
                uuid: info.uuid,
                major: info.version.0,
                minor: info.version.1,
                block_size: info.block_size,
                sector_size: info.sector_size,
                unit_size: info.unit_size,
                journal_units: info.journal_units,
                pending: info.pending,
                pending_used: info.pending_used,
                epoch: info.epoch,
                generation: info.generation,
                next_layer: info.next_layer,
                layers: info.layers,
                deleted: info.deleted,
                staged: info.staged,
                base_sectors: info.base_sectors,
                cache_size: call.pool.cache_size(),
                merging_from,
                merging,
                heights: [info.heights.0, info.heights.1, info.heights.2],
                read_only: u8::from(info.read_only),
                poisoned: u8::from(info.poisoned),
            });
            Ok(Status::Ok)
        })
    }
}

/// Takes in a device that has grown; `blocks` gets the new number of blocks and may be NULL. `COWL_STATUS_DEVICE_TOO_SMALL` if the device turns out to
/// have less than it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_grow(pool: *mut Handle, blocks: *mut u64) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out_or_null(blocks)?;
            out.set(call.pool.grow()?);
            Ok(Status::Ok)
        })
    }
}

/// Tells the device which blocks are free, from a block on, for about `budget` device operations. `COWL_STATUS_MORE`: `next` gets the block to
/// go on from.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_discard_free(pool: *mut Handle, from: u64, budget: u32, next: *mut u64) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(next)?;
            let Some(next) = call.pool.discard_free(from, budget)? else { return Ok(Status::Ok) };
            out.set(next);
            Ok(Status::More)
        })
    }
}

fn finding(of: &cowl::Finding) -> Finding {
    let mut finding = Finding {
        kind: FindingKind::Unknown,
        object: Object::None,
        layer: 0,
        level: 0,
        block: 0,
        stored: 0,
        expected: 0,
        what: ptr::null(),
        what_length: 0,
    };
    let mut name = |what: &'static str| (finding.what, finding.what_length) = (what.as_ptr().cast(), what.len());
    match *of {
        cowl::Finding::Count { what, .. } => name(what),
        cowl::Finding::Field { field, .. } => name(field),
        _ => {}
    }
    let number = |layer: Option<LayerId>| layer.map_or(0, |layer| layer.0);
    match *of {
        cowl::Finding::Damaged { what, block, layer } => {
            let (kind, object, layer) = (FindingKind::Damaged, Object::of(what), number(layer));
            Finding { kind, object, layer, block, ..finding }
        }
        cowl::Finding::NotMarked { block } => Finding { kind: FindingKind::NotMarked, block, ..finding },
        cowl::Finding::Leaked { block } => Finding { kind: FindingKind::Leaked, block, ..finding },
        cowl::Finding::UsedTwice { block } => Finding { kind: FindingKind::UsedTwice, block, ..finding },
        cowl::Finding::Count { layer, stored, counted, .. } => {
            Finding { kind: FindingKind::Count, layer: number(layer), stored, expected: counted, ..finding }
        }
        cowl::Finding::Field { layer, stored, expected, .. } => {
            Finding { kind: FindingKind::Field, layer: layer.0, stored, expected, ..finding }
        }
        cowl::Finding::FreeCount { level, first, stored, counted } => {
            let (kind, level) = (FindingKind::FreeCount, u32::from(level));
            Finding { kind, level, block: first, stored, expected: counted, ..finding }
        }
        cowl::Finding::SuperblockCopy { slot } => {
            Finding { kind: FindingKind::SuperblockCopy, level: u32::from(slot), ..finding }
        }
        _ => finding,
    }
}

/// Walks everything and reports what is wrong. `scratch` holds a bit for each block, at least 64 bytes: the more of them fit, the
/// fewer walks. `scrub` 1: every data block is read too. `report` is told every finding, and `progress` now and then how many blocks have
/// been visited, of how many; both get `context`, may be NULL and must not call the pool. `checked` gets the sum.
///
/// Damage that is found is reported, not returned: the pool is sound if `checked.findings` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_check(
    pool: *mut Handle,
    scratch: *mut c_void,
    size: usize,
    scrub: u32,
    report: Option<unsafe extern "C" fn(context: *mut c_void, finding: *const Finding)>,
    progress: Option<unsafe extern "C" fn(context: *mut c_void, visited: u64, of: u64)>,
    context: *mut c_void,
    checked: *mut Checked,
) -> Status {
    // SAFETY: the rules of pointers; the callbacks keep to the same.
    unsafe {
        enter(pool, |call| {
            let (out, scratch) = (call.out(checked)?, call.bytes_mut(scratch, size)?);
            let mut tell = |found: &cowl::Finding| {
                if let Some(report) = report {
                    let found = finding(found);
                    report(context, &raw const found);
                }
            };
            let mut watch = |visited: u64, of: u64| {
                if let Some(progress) = progress {
                    progress(context, visited, of);
                }
            };
            let sum = call.pool.check_watched(scratch, scrub != 0, &mut tell, &mut watch)?;
            let cowl::Checked { findings, blocks, layers, scrubbed, passes } = sum;
            out.set(Checked { findings, blocks, layers, scrubbed, passes });
            Ok(Status::Ok)
        })
    }
}

/// What deleting layers would free: the answer being worked out, in memory of the caller's.
pub struct Question {
    /// Address of the pool that is asked, disguised.
    tag: usize,
    what_if: WhatIf<'static>,
}

const ASKED: usize = 0x7a1f_0c35;

/// Begins to work out what deleting all layers of a set, and merging, would free. The question lies in the memory given, and `*question` leads to it;
/// there is nothing to be ended. The memory and the set must stay as they are until the answer is there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_what_if(
    pool: *mut Handle,
    set: *const u32,
    count: usize,
    memory: *mut c_void,
    size: usize,
    question: *mut *mut Question,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let (out, set) = (call.out(question)?, ids(call, set, count)?);
            let start = call.bytes_mut(memory, size)?.as_mut_ptr();
            let place = align::<Question>(start, size)?;
            place.write(Question { tag: call.handle.addr() ^ ASKED, what_if: call.pool.what_if(set)? });
            out.set(place);
            Ok(Status::Ok)
        })
    }
}

/// Works on the answer for about `budget` device reads: `COWL_STATUS_MORE` while there is more to do, then `COWL_STATUS_OK` and the answer in
/// `freed`. It is the answer for the pool as it is then: after a change in between the work begins anew.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cowl_what_if_step(
    pool: *mut Handle,
    question: *mut Question,
    budget: u32,
    freed: *mut Delta,
) -> Status {
    // SAFETY: the rules of pointers.
    unsafe {
        enter(pool, |call| {
            let out = call.out(freed)?;
            call.place(question, "the question")?;
            if (*question).tag != call.handle.addr() ^ ASKED {
                return Err(Failure::new(Status::NotMounted));
            }
            let Some(answer) = (*question).what_if.step(call.pool, budget)? else { return Ok(Status::More) };
            out.set(answer.into());
            Ok(Status::Ok)
        })
    }
}
