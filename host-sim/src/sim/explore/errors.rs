//! The error sweep: every device call of an operation fails in turn, and then the power too.

use cowl::{Error, LayerId, Pool};

use super::{
    choices::Choices,
    disk::{CrashDisk, Fault, Kind},
    judge::{Bench, Broken},
    scenario::Scenario,
    token::Token,
    walk::{Violation, Watch},
};
use crate::sim::{
    disk::Failed,
    history::{Op, apply, found, mount},
    model::Model,
};

/// What a sweep has done.
#[derive(Debug, Default)]
pub struct Faults {
    /// Calls that were made to fail.
    pub calls: u64,
    /// Recoveries afterwards.
    pub runs: u64,
    /// Images that they stand for.
    pub images: u128,
    /// What went wrong.
    pub violations: Vec<Violation>,
}

/// Images after a failed call that are looked at one by one.
const LIMIT: u64 = 2000;

/// Lets every device call of the last operation fail, once and for good, unless somebody ends it.
pub fn sweep(scenario: &Scenario, letters: &[u8], bench: &mut Bench, watch: &Watch) -> Faults {
    let mut faults = Faults::default();
    let ops = scenario.operations(letters);
    if ops.last() == Some(&Op::Kill) {
        return faults;
    }
    for (for_good, kept) in [(false, true), (true, false), (true, true)] {
        let mut call = 0;
        while !watch.over() {
            let fault = Fault { call, for_good, kept };
            match with_fault(scenario, &ops, fault, bench, &mut faults) {
                Ok(true) => faults.calls += 1,
                Ok(false) => break,
                Err((choices, broken)) => {
                    let token = Token { fault: Some(fault), choices, ..Token::new(scenario, letters, 1) };
                    faults.violations.push(Violation { token, broken });
                    return faults;
                }
            }
            call += 1;
        }
    }
    faults
}

type Problem = (Vec<u16>, Broken);

fn problem(what: String) -> Problem {
    (Vec::new(), Broken { promise: "O11", what })
}

fn said<E: std::fmt::Debug>(what: &str) -> impl Fn(E) -> Problem + '_ {
    move |error| problem(format!("{what}: {error:?}"))
}

/// Plays the history with that fault in its last operation; false if there is no such call.
pub fn with_fault(
    scenario: &Scenario,
    ops: &[Op],
    fault: Fault,
    bench: &mut Bench,
    faults: &mut Faults,
) -> Result<bool, Problem> {
    let sector_size = scenario.config.sector_size;
    let disk = scenario.disk(1);
    let mut model = scenario.model.clone();
    let history = scenario.history(ops);
    let (last, prefix) = history.split_last().expect("a history has an operation");
    let mut prefix = prefix.split(|op| *op == Op::Kill).peekable();
    while let Some(part) = prefix.next() {
        let mut pool = mount(disk.clone(), &mut bench.workspace).map_err(said("mount"))?;
        let seen = found(&mut pool).map_err(said("read after a mount"))?;
        model.adopt(&seen, sector_size).map_err(problem)?;
        for op in part {
            apply(&mut pool, &mut model, *op).map_err(said("operation"))?;
        }
        if prefix.peek().is_none() {
            disk.record();
            disk.fail(fault);
            let result = apply(&mut pool, &mut model, *last);
            let Some(kind) = disk.repair() else { return Ok(false) };
            live_on(&mut pool, &mut model, *last, result, kind, sector_size)?;
        }
    }
    let cut = disk.cuts().pop().expect("the present is a cut");
    let mut choices = Choices::default();
    for _ in 0..LIMIT {
        let image = disk.after(&cut, std::mem::take(&mut choices));
        let judged = bench.recover(&image, &mut model.clone(), false);
        faults.runs += 1;
        faults.images += image.images();
        choices = image.take_choices();
        judged.map_err(|broken| (choices.path(), broken))?;
        if !choices.advance() {
            break;
        }
    }
    Ok(true)
}

/// The running pool after a failed call: unchanged if it was a read, else poisoned.
fn live_on(
    pool: &mut Pool<'_, CrashDisk>,
    model: &mut Model,
    op: Op,
    result: Result<bool, Error<Failed>>,
    kind: Kind,
    sector_size: usize,
) -> Result<(), Problem> {
    let seen = found(pool).map_err(said("a failed call keeps others from reading"))?;
    if kind == Kind::Read {
        if result.is_err() && op.is_barrier() {
            model.refused();
            model
                .compare(&seen, sector_size)
                .map_err(|what| problem(format!("a failed read changed something: {what}")))?;
        }
        return pool.flush().map_err(said("a failed read stays")).and_then(|()| keep(pool, model, sector_size));
    }
    if let Ok(done) = result {
        return Err(problem(format!("a failed {kind:?} was not reported, but {done}")));
    }
    model
        .compare_after_crash(&seen, sector_size)
        .map_err(|what| problem(format!("after a failed {kind:?}: {what}")))?;
    match (pool.flush(), pool.write(LayerId(1), 0, &vec![1; sector_size])) {
        (Err(_), Err(_)) => Ok(()),
        both => Err(problem(format!("after a failed {kind:?} the pool goes on: {both:?}"))),
    }
}

/// What is there after a flush is what must stay.
fn keep(pool: &mut Pool<'_, CrashDisk>, model: &mut Model, sector_size: usize) -> Result<(), Problem> {
    let seen = found(pool).map_err(said("read"))?;
    model
        .adopt(&seen, sector_size)
        .map(drop)
        .map_err(|what| problem(format!("after a failed read and a flush: {what}")))
}
