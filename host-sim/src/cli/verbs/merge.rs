//! `cowl merge`: works off what was deleted.

use std::path::PathBuf;

use super::super::{
    failure::Failure,
    merging,
    session::{Access, with_pool},
    ui::Ui,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  cowl merge p.cowl

Needed after `delete --no-merge`, or when a delete was stopped. It moves no data, goes on where it stopped, and punches \
holes into the pool's file where space became free.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// Do not punch holes into the pool's file
    #[arg(long)]
    no_trim: bool,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let report = with_pool(ui, &args.pool, Access::Write, |pool| {
        let before = pool.space().free;
        merging::merge_all(ui, pool)?;
        if !args.no_trim {
            merging::trim(ui, pool)?;
        }
        Ok(super::delete::reclaimed(pool, Vec::new(), before))
    })?;
    ui.show(&report)
}
