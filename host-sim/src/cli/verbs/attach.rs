//! `cowl attach`: files that are kept with a layer and go with it.

use std::path::PathBuf;

use super::super::{
    failure::{Failure, Kind},
    pool::AnyPool,
    select,
    session::{Access, with_pool},
    staging::{Request, parse_request, stage},
    ui::Ui,
};
use super::Done;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl attach p.cowl before-upgrade config=vm.xml
  cowl export p.cowl before-upgrade --attachment config vm.xml

What belongs to the moment of a snapshot is better given to `cowl snapshot --attach`, which commits both in one step.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
    /// The layer
    layer: String,
    /// The files, as NAME=FILE
    #[arg(required = true, value_name = "NAME=FILE", value_parser = parse_request)]
    files: Vec<Request>,
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    ui.show(&with_pool(ui, &args.pool, Access::Write, |pool| attach(ui, pool, args))?)
}

fn attach(ui: &Ui, pool: &mut dyn AnyPool, args: &Args) -> Result<Done, Failure> {
    let layer = select::layer(pool, &args.layer)?;
    let present = select::attachments(pool, layer.id)?;
    if let Some(taken) = args.files.iter().find(|request| present.iter().any(|other| *other.name == *request.name)) {
        return Err(Failure::new(
            Kind::Refused,
            format!("{} already has an attachment `{}`", select::show(&layer), taken.name),
        ));
    }
    let staged = stage(ui, pool, &args.files)?;
    for (id, request) in staged.iter().zip(&args.files) {
        pool.attach(layer.id, *id)
            .map_err(|failure| failure.during(format_args!("cannot attach `{}`", request.name)))?;
    }
    let names: Vec<&str> = args.files.iter().map(|request| request.name.as_str()).collect();
    Done::new(pool, &staged, format!("{} now has {}", select::show(&layer), names.join(", ")))
}
