//! Calls that take long, and what they let in between.
//!
//! `what-if` lets others in, and begins again if the pool has changed too much; so does `check`, which has a mount of its own beside
//! the clients'. `anatomy` is one piece: the core has no steps for it.

use std::{
    sync::{
        PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use cowl::{LayerId, Merge};

use super::{
    Service,
    answer::Tell,
    beside,
    call::Reply,
    fields::{Owned, Step},
};
use crate::{
    cli::{
        failure::{Failure, Kind},
        pool::{AnyPool, Examined, Order},
    },
    serve::{
        merger,
        metrics::{Operation, Present},
    },
};

/// Memory for counting that a command can ask for.
const MOST_MEMORY: u64 = 256 << 20;
/// Findings that are told one by one: a message holds them.
const MOST_TOLD: u64 = 1000;
/// Objects in one message.
const ITEMS: usize = 512;
/// Device reads of one step of [`Call::WhatIfFreed`].
const QUESTION: u32 = 256;
/// How often a question is asked again because the pool has changed, before nobody is let in between any more.
const AGAIN: u32 = 3;
/// How often a long call tells how far it is.
const TELLING: Duration = Duration::from_millis(200);

/// Worked out in steps with others in between. The question walks nodes of the maps, which a checkpoint may free: after one
/// it is asked again from the start.
pub fn freed(service: &Service, set: &[LayerId]) -> Result<Owned, Failure> {
    for _ in 0..AGAIN {
        let mut pool = service.shared.lock();
        let mut question = pool.what_if(set)?;
        let generation = pool.info().generation;
        while pool.info().generation == generation {
            if let Some(freed) = question.step(&mut *pool, QUESTION)? {
                return Ok(Owned(freed));
            }
            drop(pool);
            thread::sleep(Duration::from_micros(100));
            pool = service.shared.lock();
        }
    }
    AnyPool::what_if_freed(&mut *service.shared.lock(), set).map(Owned)
}

/// As the merge in the background makes it: short, and with respect for others.
pub fn merge_step(service: &Service, budget: u32) -> Result<Step, Failure> {
    if service.merge.is_paused() {
        return Ok(Merge::Idle.into());
    }
    let began = Instant::now();
    let step = AnyPool::merge_step(&mut *service.shared.lock(), budget.min(merger::budget(&service.metrics)))?;
    service.metrics.count(Operation::MergeStep, 0, began.elapsed());
    service.merge.stepped(step);
    merger::give_way(&service.metrics, &service.merge);
    Ok(step.into())
}

/// As [`merge_step`].
pub fn discard_free(service: &Service, from: u64, budget: u32) -> Result<Option<u64>, Failure> {
    let began = Instant::now();
    let next = AnyPool::discard_free(&mut *service.shared.lock(), from, budget.min(merger::budget(&service.metrics)))?;
    service.metrics.count(Operation::Trim, 0, began.elapsed());
    merger::give_way(&service.metrics, &service.merge);
    Ok(next)
}

/// Beside the clients if they let it: if a checkpoint came between, again, and the last time with the pool for itself. It runs in a
/// thread of its own, so that telling about it never makes the pool wait for a command.
pub fn check(service: &Service, memory: u64, scrub: bool, told: u64, tell: Tell<'_>) -> Result<Examined, Failure> {
    let order = Order {
        memory: usize::try_from(memory.clamp(64, MOST_MEMORY)).unwrap_or(1 << 20),
        scrub,
        told: usize::try_from(told.min(MOST_TOLD)).unwrap_or(0),
    };
    let (done, of, listening) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(true));
    let work = || {
        let mut progress = |now, total| {
            done.store(now, Ordering::Relaxed);
            of.store(total, Ordering::Relaxed);
        };
        // One at a time: each takes memory for counting.
        let _turn = service.checks.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..AGAIN {
            let wanted = || listening.load(Ordering::Relaxed);
            if let Some(examined) = beside::check(&service.shared, &order, &wanted, &mut progress)? {
                return Ok(examined);
            }
            if !wanted() {
                return Err(Failure::new(Kind::Interrupted, "the command has gone away"));
            }
        }
        AnyPool::check(&mut *service.shared.lock(), &order, &mut progress)
    };
    thread::scope(|scope| {
        let checking = scope.spawn(work);
        let mut next = Instant::now() + TELLING;
        while !checking.is_finished() {
            thread::sleep(Duration::from_millis(2));
            if listening.load(Ordering::Relaxed) && Instant::now() >= next {
                let (done, of) = (done.load(Ordering::Relaxed), of.load(Ordering::Relaxed));
                listening.store(tell(&Reply::Progress { done, of }).is_ok(), Ordering::Relaxed);
                next = Instant::now() + TELLING;
            }
        }
        checking.join().unwrap_or_else(|_| Err(Failure::new(Kind::Other, "the check has failed within the server")))
    })
}

/// The whole list is made in one hold of the pool, and sent in parts afterwards.
pub fn anatomy(service: &Service, data: bool, tell: Tell<'_>) -> Result<(), Failure> {
    let mut items = AnyPool::anatomy(&mut *service.shared.lock(), data)?;
    while !items.is_empty() {
        let rest = items.split_off(items.len().min(ITEMS));
        let sent = tell(&Reply::Items(std::mem::replace(&mut items, rest)));
        sent.map_err(|error| Failure::new(Kind::Io, format!("the command has gone away: {error}")))?;
    }
    Ok(())
}

/// Everything that is counted, as text.
pub fn metrics(service: &Service) -> Result<String, Failure> {
    let debt = merger::debt(&service.shared)?;
    let present = {
        let pool = service.shared.lock();
        Present {
            info: pool.info(),
            space: pool.space(),
            stats: pool.stats(),
            clients: service.clients.total(),
            debt,
            paused: service.merge.is_paused(),
        }
    };
    service
        .metrics
        .text(&present)
        .map_err(|error| Failure::new(Kind::Other, format!("cannot show the counts: {error}")))
}
