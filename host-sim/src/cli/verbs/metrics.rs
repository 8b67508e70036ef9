//! `cowl metrics`: what the server of a pool counts.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use serde::Serialize;

use super::super::{
    failure::Failure,
    session::with_server,
    ui::{Report, Style, Ui},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl metrics p.cowl
  cowl metrics p.cowl > /var/lib/node_exporter/cowl.prom

The text format of Prometheus: operations and their latencies, the pool's space, merge debt, clients, device operations. \
The pool must be being served.")]
pub struct Args {
    /// The pool
    pool: PathBuf,
}

#[derive(Debug, Serialize)]
struct Counts {
    prometheus: String,
}

impl Report for Counts {
    fn text(&self, _style: Style, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.prometheus.as_bytes())
    }
}

pub fn run(ui: &Ui, args: &Args) -> Result<(), Failure> {
    let prometheus = with_server(ui, &args.pool, |pool| pool.metrics())?;
    ui.show(&Counts { prometheus })
}
