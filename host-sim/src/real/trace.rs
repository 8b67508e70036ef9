//! The system calls of a worker are those that the simulator predicts.

use std::path::Path;

use super::{Outcome, Round, Shadow, Stop, Syscall, Target, strace::listen, worker::history};

/// Runs a history in a worker under strace and compares its calls with the simulator's; the calls, if they agree.
///
/// # Errors
/// Where they differ.
pub fn trace(program: &Path, dir: &Path, shape: usize, seed: u64, count: usize) -> Outcome<Vec<Syscall>> {
    let target = Target::create(&dir.join("trace.cowl"), shape)?;
    let ops = history(&target.config, seed, count);
    let expected = Shadow::new(&target.config, target.bytes()?, &target.model).calls(&ops)?;
    let round = Round { program: program.to_path_buf(), path: target.path.clone(), seed, count, stop: Stop::Never };
    let (ended, heard) = listen(&round, &target, None)?;
    if ended.code != Some(0) || !ended.said.is_empty() || ended.answers.len() != count {
        return Err(format!("the worker did {} of {count} operations: {}", ended.answers.len(), ended.said));
    }
    let seen: Vec<Syscall> = heard.into_iter().map(|heard| heard.call).collect();
    agree(&seen, &expected).map_err(|why| format!("{why} (shape {shape}, seed {seed})"))?;
    Ok(seen)
}

/// The process's calls are the simulator's.
///
/// # Errors
/// The first that differs.
pub fn agree(seen: &[Syscall], expected: &[Syscall]) -> Outcome<()> {
    let differ = (0..seen.len().max(expected.len())).find(|at| seen.get(*at) != expected.get(*at));
    match differ {
        None => Ok(()),
        Some(at) => Err(format!("call {at}: the process did {:?}, the simulator {:?}", seen.get(at), expected.get(at))),
    }
}
