//! Tells the linker where the program goes.

use std::{env, path::PathBuf};

fn main() {
    let source = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let machine = if env::var("TARGET").is_ok_and(|target| target.starts_with("riscv")) { "riscv" } else { "x86_64" };
    println!("cargo:rerun-if-changed={machine}.x");
    println!("cargo:rustc-link-arg=-T{}", source.join(format!("{machine}.x")).display());
    println!("cargo:rustc-link-arg=--no-pie");
    println!("cargo:rustc-link-arg=--nmagic");
}
