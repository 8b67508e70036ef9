//! `cowl completions`: scripts for shells.

use std::io;

use clap_complete::Shell;

use super::super::{failure::Failure, grammar, ui::Ui};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cowl completions bash > /etc/bash_completion.d/cowl
  cowl completions zsh > ~/.zfunc/_cowl")]
pub struct Args {
    /// The shell
    shell: Shell,
}

pub fn run(_ui: &Ui, args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut grammar(), "cowl", &mut script);
    super::super::ui::settle(io::Write::write_all(&mut io::stdout(), &script))
}
