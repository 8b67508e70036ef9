//! `cowl merge`: works off what was deleted, or steers the server that does so in the background.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::super::{
    failure::{Failure, Kind},
    merging,
    pool::AnyPool,
    session::{Access, with_pool, with_server},
    size::Bytes,
    ui::{Report, Style, Ui},
};
use crate::serve::merger::MergeStatus;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl merge p.cowl
  cowl merge p.cowl --pause

Needed after `delete --no-merge`, or when a delete was stopped. It moves no data, goes on where it stopped, and punches \
holes into the pool's file where space became free.
While a pool is being served its server merges in the background, with respect for whoever uses the pool; `cowl info` tells \
how far it is. `cowl merge` then helps it, --pause lets it rest until --resume or until the pool is served again.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// Do not punch holes into the pool's file
    #[arg(long)]
    no_trim: bool,
    /// Let the merge of the pool's server rest
    #[arg(long, conflicts_with = "no_trim")]
    pause: bool,
    /// Let the merge of the pool's server go on
    #[arg(long, conflicts_with_all = ["no_trim", "pause"])]
    resume: bool,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    if args.pause || args.resume {
        let view = with_server(ui, &args.pool, |pool| {
            pool.pause_merge(args.pause)?;
            MergeView::of(pool)?
                .ok_or_else(|| Failure::new(Kind::Other, "the pool's server does not tell of its merge"))
        })?;
        return ui.show(&view);
    }
    let report = with_pool(ui, &args.pool, Access::Write, |pool| {
        if pool.merge_status()?.is_some_and(|status| status.paused) {
            return Err(
                Failure::new(Kind::Refused, "merge was told to pause").hint("`cowl merge POOL --resume` lets it go on")
            );
        }
        let before = pool.space()?.free;
        merging::merge_all(ui, pool)?;
        if !args.no_trim {
            merging::trim(ui, pool)?;
        }
        super::delete::reclaimed(pool, Vec::new(), before)
    })?;
    ui.show(&report)
}

/// What the merge of a server is at.
#[derive(Debug, Serialize)]
pub struct MergeView {
    /// It was told to pause.
    paused: bool,
    /// Bytes of deleted layers that it still has to look at.
    left: u64,
    /// How long that will take.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    /// Why it has stopped for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<String>,
}

impl MergeView {
    /// Of a pool; none if nobody serves it.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn of(pool: &mut dyn AnyPool) -> Result<Option<Self>, Failure> {
        let units = pool.units();
        let view = |status: MergeStatus| Self {
            paused: status.paused,
            left: units.blocks(status.left),
            seconds: status.seconds.filter(|_| !status.paused),
            failed: status.failed,
        };
        Ok(pool.merge_status()?.map(view))
    }

    /// There is nothing to do and nothing wrong.
    pub fn rests(&self) -> bool {
        !self.paused && self.left == 0 && self.failed.is_none()
    }
}

impl std::fmt::Display for MergeView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.failed, self.paused, self.left) {
            (Some(why), ..) => write!(f, "stopped for now, {} to go: {why}", Bytes(self.left)),
            (None, true, left) => write!(f, "paused, {} to go", Bytes(left)),
            (None, false, 0) => f.write_str("nothing to do"),
            (None, false, left) => match self.seconds {
                Some(seconds) => write!(f, "{} to go, about {}", Bytes(left), duration(seconds)),
                None => write!(f, "{} to go", Bytes(left)),
            },
        }
    }
}

impl Report for MergeView {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "merge: {self}")
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::MergeView;

    #[test]
    fn what_merge_is_at_is_said_in_words() {
        let view = |paused, left, seconds, failed: Option<&str>| {
            MergeView { paused, left, seconds, failed: failed.map(str::to_owned) }.to_string()
        };
        assert_eq!(view(false, 0, None, None), "nothing to do");
        assert_eq!(view(false, 1 << 30, Some(200), None), "1 GiB to go, about 3 min");
        assert_eq!(view(false, 1 << 30, Some(7200), None), "1 GiB to go, about 2 h");
        assert_eq!(view(false, 4096, None, None), "4 KiB to go");
        assert_eq!(view(true, 4096, None, None), "paused, 4 KiB to go");
        assert_eq!(view(false, 4096, Some(1), Some("no disk")), "stopped for now, 4 KiB to go: no disk");
    }
}
