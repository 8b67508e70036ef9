//! The `cowl` command; everything it does is in `cowl_host::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cowl_host::cli::main()
}
