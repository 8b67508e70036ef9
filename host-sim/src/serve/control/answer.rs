//! What each call does to the pool.
//!
//! The pool is locked for one call, and never while something is sent.

use std::{
    io,
    net::Shutdown,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use cowl::{Attributes, LayerFlags, LayerId, SnapshotOf};
use serde::Serialize;
use serde_json::Value;

use super::{
    Service,
    call::{Call, New, Reply, Taken},
    connection::Command,
    data,
    fields::{Blocks, Info, Layer, Range},
    long,
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        pool::AnyPool,
    },
    serve::{metrics::Operation, shared::OwnPool},
};

/// Tells a command something on the way.
pub type Tell<'t> = &'t mut dyn FnMut(&Reply) -> io::Result<()>;

/// Does what is asked. `bytes` is what came with the call, and afterwards what goes with the answer.
///
/// # Errors
/// As the call of the same name fails on a pool.
pub fn answer(
    service: &Service,
    command: &mut Command,
    call: Call,
    bytes: &mut Vec<u8>,
    tell: Tell<'_>,
) -> Result<Value, Failure> {
    let operation = operation(&call);
    let came = bytes.len();
    let began = Instant::now();
    command.changed |= matches!(call, Call::Delete { .. } | Call::Rollback { .. } | Call::MergeStep { .. });
    let done = perform(service, command, call, bytes, tell);
    match (operation, &done) {
        (None, _) => {}
        (Some(operation), Ok(_)) => {
            service.metrics.count(operation, came.max(bytes.len()) as u64, began.elapsed());
        }
        (Some(operation), Err(_)) => service.metrics.failed(operation),
    }
    done
}

/// As what a call is counted. Steps of merge and trim are counted without the pause that follows them.
fn operation(call: &Call) -> Option<Operation> {
    match call {
        Call::Read { .. } => Some(Operation::Read),
        Call::Write { .. } | Call::WriteBytes { .. } => Some(Operation::Write),
        Call::Discard { .. } => Some(Operation::Discard),
        Call::WriteZeroes { .. } => Some(Operation::WriteZeroes),
        Call::Flush => Some(Operation::Flush),
        Call::Create { .. } | Call::CloneSnapshot { .. } => Some(Operation::Create),
        Call::Snapshot { .. } => Some(Operation::Snapshot),
        Call::Rollback { .. } => Some(Operation::Rollback),
        Call::Delete { .. } => Some(Operation::Delete),
        Call::Resize { .. } => Some(Operation::Resize),
        _ => None,
    }
}

fn perform(
    service: &Service,
    command: &mut Command,
    call: Call,
    bytes: &mut Vec<u8>,
    tell: Tell<'_>,
) -> Result<Value, Failure> {
    if matches!(call, Call::Read { .. }) || call.moves_data() {
        return data::perform(service, &call, bytes);
    }
    bytes.clear();
    let shared = &service.shared;
    match call {
        Call::Check { memory, scrub, told } => value(&long::check(service, memory, scrub, told, tell)?),
        Call::Anatomy { data } => value(&long::anatomy(service, data, tell)?),
        Call::WhatIfFreed { set } => value(&long::freed(service, &ids(&set))?),
        Call::Metrics => value(&long::metrics(service)?),
        Call::MergeStatus => value(&service.merge.status(shared)?),
        Call::PauseMerge { paused } => {
            service.merge.pause(paused);
            value(&())
        }
        Call::MergeStep { budget } => value(&long::merge_step(service, budget)?),
        Call::DiscardFree { from, budget } => value(&long::discard_free(service, from, budget)?),
        Call::Flush => value(&shared.flush()?),
        Call::Extent { layer, sector } => value(&Range(shared.extent(LayerId(layer), sector)?)),
        Call::Enter { layer } => enter(service, command, LayerId(layer)),
        Call::Rollback { volume: layer, .. } | Call::Delete { layer, .. } | Call::Resize { volume: layer, .. } => {
            let _hold = service.clients.hold(LayerId(layer));
            disturb(service, command, &call)?;
            simple(&mut shared.lock(), command, call)
        }
        call => simple(&mut shared.lock(), command, call),
    }
}

/// Calls that are one call on the pool, short by themselves.
fn simple(pool: &mut OwnPool, command: &mut Command, call: Call) -> Result<Value, Failure> {
    let pool: &mut dyn AnyPool = pool;
    match call {
        Call::Info => value(&Info(pool.info()?)),
        Call::Space => value(&Blocks(pool.space()?)),
        Call::Find { name } => value(&pool.find(&name)?.map(Layer::from)),
        Call::Layer { id } => value(&Layer::from(pool.layer(LayerId(id))?)),
        Call::Records { which, after } => {
            let page = pool.records(which, after.map(LayerId))?;
            value(&page.into_iter().map(Layer::from).collect::<Vec<_>>())
        }
        Call::Description { layer } => value(&pool.description(LayerId(layer))?),
        Call::Create { new, sectors, flags } => {
            value(&pool.create(&Attributes::from(&new), sectors, LayerFlags::from_bits_truncate(flags))?.0)
        }
        Call::Snapshot { of } => value(&snapshot(pool, command, &of)?.0),
        Call::Rollback { volume, snapshot, time, keep, force } => {
            let keep: Option<Attributes<'_>> = keep.as_ref().map(Attributes::from);
            let kept = pool.rollback(LayerId(volume), LayerId(snapshot), time, keep.as_ref(), force)?;
            value(&kept.map(|id| id.0))
        }
        Call::CloneSnapshot { snapshot, new, guaranteed } => {
            value(&pool.clone_snapshot(LayerId(snapshot), &Attributes::from(&new), guaranteed)?.0)
        }
        Call::Delete { layer, force } => value(&pool.delete(LayerId(layer), force)?),
        Call::Rename { layer, name } => value(&pool.rename(LayerId(layer), &name)?),
        Call::Describe { layer, text } => value(&pool.describe(LayerId(layer), &text)?),
        Call::Resize { volume, sectors, force } => value(&pool.resize(LayerId(volume), sectors, force)?),
        Call::StageAttachment { new, length } => value(&stage(pool, command, &new, length)?.0),
        Call::Attach { layer, staged } => {
            pool.attach(LayerId(layer), LayerId(staged))?;
            command.staged.retain(|id| id.0 != staged);
            value(&())
        }
        Call::Diff { a, b, from } => value(&pool.diff(LayerId(a), LayerId(b), from)?.map(Range)),
        Call::Grow { size } => value(&pool.grow(size)?),
        Call::Checkpoint => value(&pool.checkpoint()?),
        // The rest was answered before.
        _ => Err(Failure::new(Kind::Other, "the server does not know this call")),
    }
}

fn stage(pool: &mut dyn AnyPool, command: &mut Command, new: &New, length: u64) -> Result<LayerId, Failure> {
    let id = pool.stage_attachment(&Attributes::from(new), length)?;
    command.staged.push(id);
    Ok(id)
}

fn snapshot(pool: &mut dyn AnyPool, command: &mut Command, taken: &[Taken]) -> Result<LayerId, Failure> {
    let attachments: Vec<Vec<LayerId>> = taken.iter().map(|one| ids(&one.attachments)).collect();
    let of: Vec<SnapshotOf<'_>> = taken
        .iter()
        .zip(&attachments)
        .map(|(one, attachments)| SnapshotOf {
            volume: LayerId(one.volume),
            attributes: Attributes::from(&one.new),
            attachments,
        })
        .collect();
    let first = pool.snapshot(&of)?;
    command.staged.retain(|id| !attachments.iter().flatten().any(|bound| bound == id));
    Ok(first)
}

/// Refuses a change to a layer under its clients, or cuts them off. Nobody new can come in: the layer is held.
fn disturb(service: &Service, command: &mut Command, call: &Call) -> Result<(), Failure> {
    let (layer, force) = match call {
        Call::Rollback { volume, force, .. } | Call::Resize { volume, force, .. } => (LayerId(*volume), *force),
        Call::Delete { layer, force } => (LayerId(*layer), *force),
        _ => return Ok(()),
    };
    let count = service.clients.count(layer);
    if count == 0 {
        return Ok(());
    }
    let found = service.shared.lock().layer(layer)?;
    if matches!(call, Call::Resize { sectors, .. } if *sectors >= found.sectors) {
        return Ok(());
    }
    if force {
        // It cannot wait for itself.
        command.entered.retain(|(entered, _)| *entered != layer);
        service.clients.fence(layer);
        return Ok(());
    }
    let name = found.name;
    let clients = if count == 1 { "a client".to_owned() } else { format!("{count} clients") };
    Err(Failure::new(Kind::Refused, format!("`{name}` is in use by {clients} of the pool's server"))
        .hint("disconnect first; with --force the server cuts them off, and what they have not flushed is lost"))
}

/// The command is a client from now on: to cut it off is to end its connection.
fn enter(service: &Service, command: &mut Command, layer: LayerId) -> Result<Value, Failure> {
    service.shared.lock().layer(layer)?;
    let stream = command.stream.clone();
    let again = AtomicBool::new(false);
    let ticket = service.clients.enter(layer, move || {
        // At first it hears nothing more but is answered; then that ends too.
        let how = if again.swap(true, Ordering::Relaxed) { Shutdown::Both } else { Shutdown::Read };
        if let Some(stream) = &stream {
            // One that has ended already needs no end.
            let _ = stream.shutdown(how);
        }
    });
    command.entered.push((layer, ticket));
    value(&())
}

fn ids(numbers: &[u32]) -> Vec<LayerId> {
    numbers.iter().copied().map(LayerId).collect()
}

/// A result as it travels.
///
/// # Errors
/// It has no form in JSON, which no result here is.
pub fn value(of: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(of).map_err(|error| Failure::new(Kind::Other, format!("cannot answer: {error}")))
}
