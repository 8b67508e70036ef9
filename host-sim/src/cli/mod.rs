//! The `cowl` command: `cowl VERB POOL [LAYER…]`, one file per verb.
//!
//! A verb is a struct of arguments and a function `run`. It opens the pool for as long as it needs, or reaches whoever serves it
//! (`session`), does its work on an [`AnyPool`](pool::AnyPool), and hands a [`Report`](ui::Report) to the `Ui`. A new verb is a
//! file in `verbs`, a variant of `Verb` and a line in `run`.

pub mod anatomy;
pub mod failure;
mod images;
pub(crate) mod interrupt;
mod layer_file;
mod merging;
mod mounts;
pub mod pool;
mod select;
pub mod session;
pub mod size;
mod staging;
pub mod time;
pub mod tree;
pub mod ui;
mod verbs;
pub mod view;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory, Parser, Subcommand};

use failure::Failure;
use size::parse_size;
use ui::Ui;

const AFTER_HELP: &str = "\
Layers are named by their name, by #ID (quote it in a shell), or by UUID. Sizes are bytes or have a unit: 4K, 64M, 2G, 1T (powers of 1024).

A first round:
  cowl format p.cowl --size 4G
  cowl import p.cowl vm disk.img
  cowl snapshot p.cowl vm --name before-upgrade
  cowl write p.cowl vm --offset 1M < patch.bin
  cowl list p.cowl --tree
  cowl rollback p.cowl vm before-upgrade --keep broken
  cowl delete p.cowl broken

Every verb explains itself: `cowl help VERB`. Ctrl-C loses nothing at any moment.

Exit codes:
  0  done                          5  damage found
  1  another failure               6  in use by another process
  2  wrong usage                   7  refused: would destroy or contradict something
  3  not found                     8  the operating system reported an error
  4  no space                      9  a tool or right that is needed is missing
                                130  stopped by Ctrl-C";

/// Under what the help lists the options that all verbs share.
const COMMON: &str = "Options of every verb";

/// Snapshots, rollback, branches and merge for virtual disks, in one pool file or on one disk.
#[derive(Debug, Parser)]
#[command(name = "cowl", version, max_term_width = 110, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Default, Args)]
pub struct Globals {
    /// Print JSON instead of text
    #[arg(long, global = true, help_heading = COMMON)]
    json: bool,
    /// No progress bars and no remarks
    #[arg(long, short, global = true, help_heading = COMMON)]
    quiet: bool,
    /// Memory for the pool's cache and tables; default: an eighth of the pool, 1M to 64M
    #[arg(long, global = true, help_heading = COMMON, value_name = "SIZE", value_parser = parse_size)]
    workspace: Option<u64>,
    /// The read-only image under the pool, if it was formatted on one
    #[arg(long, global = true, help_heading = COMMON, value_name = "IMAGE")]
    base: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a new pool in a file or on a block device
    Format(verbs::format::Args),
    /// Tell about a pool, or about one layer of it
    Info(verbs::info::Args),
    /// List the layers, or draw them as a tree
    #[command(visible_alias = "ls")]
    List(verbs::list::Args),
    /// Make an empty volume
    Create(verbs::create::Args),
    /// Take a snapshot of one volume, or of several at the same moment
    #[command(visible_alias = "snap")]
    Snapshot(verbs::snapshot::Args),
    /// Make a volume again what it was in a snapshot, backwards or forwards
    #[command(visible_alias = "switch")]
    Rollback(verbs::rollback::Args),
    /// Make a new volume that begins as a snapshot
    #[command(visible_alias = "branch")]
    Clone(verbs::clone::Args),
    /// Delete layers anywhere in the tree and give back their space
    #[command(visible_alias = "rm")]
    Delete(verbs::delete::Args),
    /// Finish giving back the space of deleted layers
    Merge(verbs::merge::Args),
    /// Show what the server of a pool counts, for Prometheus
    Metrics(verbs::metrics::Args),
    /// Change the size of a volume
    Resize(verbs::resize::Args),
    /// Give a layer another name
    Rename(verbs::rename::Args),
    /// Show or change the description of a layer
    Describe(verbs::describe::Args),
    /// Attach a file to a layer, to be kept and deleted with it
    Attach(verbs::attach::Args),
    /// Copy a disk image into a volume
    Import(verbs::import::Args),
    /// Copy a layer, or an attachment, into a file
    Export(verbs::export::Args),
    /// Write bytes of a layer to standard output
    Read(verbs::read::Args),
    /// Write standard input into a volume
    Write(verbs::write::Args),
    /// Empty a range of a volume and give back its space
    Discard(verbs::discard::Args),
    /// Show a layer as a file, or mount the file system in it
    Mount(verbs::mount::Args),
    /// Undo `cowl mount`
    #[command(visible_alias = "unmount")]
    Umount(verbs::umount::Args),
    /// Show which ranges differ between two layers
    Diff(verbs::diff::Args),
    /// Tell how much space deleting layers would give back
    WhatIf(verbs::what_if::Args),
    /// Verify every structure of a pool, and the data too with --scrub
    #[command(visible_alias = "fsck")]
    Check(verbs::check::Args),
    /// Show what is on the device: every object with its place
    Inspect(verbs::inspect::Args),
    /// Enlarge a pool
    Grow(verbs::grow::Args),
    /// Serve the layers of a pool as network block devices
    Serve(verbs::serve::Args),
    /// See cowl do its main job on a real file, power cuts included
    Demo(verbs::demo::Args),
    /// Measure what the layer costs over a plain file
    Bench(verbs::bench::Args),
    /// Prove it: every crash state in memory, and real processes on real files
    Sim(verbs::sim::Args),
    /// Print a completion script for a shell
    Completions(verbs::completions::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    if let Some(args) = verbs::sim::worker_alone() {
        interrupt::hear_of_limits();
        return end(&Ui::new(&Globals::default()), verbs::sim::work(&args));
    }
    let cli = Cli::parse();
    interrupt::listen();
    let ui = Ui::new(&cli.globals);
    end(&ui, run(&ui, &cli.verb))
}

/// Says what went wrong, if something did; the exit code.
fn end(ui: &Ui, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(ui, &failure);
            ExitCode::from(failure.kind as u8)
        }
    }
}

/// The command's grammar, for completion scripts and its own test.
pub fn grammar() -> clap::Command {
    Cli::command()
}

fn run(ui: &Ui, verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Format(args) => verbs::format::run(ui, args),
        Verb::Info(args) => verbs::info::run(ui, args),
        Verb::List(args) => verbs::list::run(ui, args),
        Verb::Create(args) => verbs::create::run(ui, args),
        Verb::Snapshot(args) => verbs::snapshot::run(ui, args),
        Verb::Rollback(args) => verbs::rollback::run(ui, args),
        Verb::Clone(args) => verbs::clone::run(ui, args),
        Verb::Delete(args) => verbs::delete::run(ui, args),
        Verb::Merge(args) => verbs::merge::run(ui, args),
        Verb::Metrics(args) => verbs::metrics::run(ui, args),
        Verb::Resize(args) => verbs::resize::run(ui, args),
        Verb::Rename(args) => verbs::rename::run(ui, args),
        Verb::Describe(args) => verbs::describe::run(ui, args),
        Verb::Attach(args) => verbs::attach::run(ui, args),
        Verb::Import(args) => verbs::import::run(ui, args),
        Verb::Export(args) => verbs::export::run(ui, args),
        Verb::Read(args) => verbs::read::run(ui, args),
        Verb::Write(args) => verbs::write::run(ui, args),
        Verb::Discard(args) => verbs::discard::run(ui, args),
        Verb::Mount(args) => verbs::mount::run(ui, args),
        Verb::Umount(args) => verbs::umount::run(ui, args),
        Verb::Diff(args) => verbs::diff::run(ui, args),
        Verb::WhatIf(args) => verbs::what_if::run(ui, args),
        Verb::Check(args) => verbs::check::run(ui, args),
        Verb::Inspect(args) => verbs::inspect::run(ui, args),
        Verb::Grow(args) => verbs::grow::run(ui, args),
        Verb::Serve(args) => verbs::serve::run(ui, args),
        Verb::Demo(args) => verbs::demo::run(ui, args),
        Verb::Bench(args) => verbs::bench::run(ui, args),
        Verb::Sim(args) => verbs::sim::run(ui, args),
        Verb::Completions(args) => verbs::completions::run(ui, args),
    }
}

fn complain(ui: &Ui, failure: &Failure) {
    // If standard error is gone there is nobody left to be told; the exit code stays.
    let mut err = io::stderr().lock();
    if ui.json() {
        let _ = writeln!(err, "{}", failure.to_json());
        return;
    }
    let _ = writeln!(err, "cowl: {}", failure.what);
    if let Some(hint) = &failure.hint {
        let _ = writeln!(err, "      {hint}");
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Cli, grammar};

    #[test]
    fn the_grammar_is_sound_and_every_verb_has_an_example() {
        let grammar = grammar();
        grammar.clone().debug_assert();
        for verb in grammar.get_subcommands() {
            let help =
                verb.get_after_help().unwrap_or_else(|| panic!("{} has no example", verb.get_name())).to_string();
            assert!(help.contains(&format!("cowl {}", verb.get_name())), "{}", verb.get_name());
        }
    }

    #[test]
    fn the_usage_that_is_promised_parses() {
        for line in [
            "cowl format p.cowl --size 4G --block 4K",
            "cowl create p.cowl vm --size 2G --guaranteed",
            "cowl import p.cowl vm disk.img",
            "cowl snapshot p.cowl vm --name before-upgrade --description text --attach memory=vm.mem",
            "cowl snapshot p.cowl a b --name x",
            "cowl rollback p.cowl vm before-upgrade --keep broken",
            "cowl switch p.cowl vm before-upgrade",
            "cowl clone p.cowl before-upgrade test",
            "cowl delete p.cowl before-upgrade",
            "cowl delete p.cowl before-upgrade --no-merge",
            "cowl merge p.cowl",
            "cowl merge p.cowl --pause",
            "cowl metrics p.cowl",
            "cowl mount p.cowl before-upgrade /mnt --filesystem",
            "cowl umount /mnt",
            "cowl rollback p.cowl vm before-upgrade --force",
            "cowl export p.cowl vm out.img",
            "cowl read p.cowl vm --offset 1 --length 2",
            "cowl write p.cowl vm --offset 1",
            "cowl list p.cowl --tree --json",
            "cowl what-if p.cowl a b",
            "cowl check p.cowl --scrub --base golden.img",
            "cowl serve p.cowl --socket s --export root=vm --export old=#2 --read-only",
            "cowl serve p.cowl --tcp 0.0.0.0:10809 --tls-certificates pki",
            "cowl demo",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
