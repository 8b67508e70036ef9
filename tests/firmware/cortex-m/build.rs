//! Tells the linker what memory the machine has: one machine for each instruction set.

use std::{env, fs, path::PathBuf};

/// Instruction set; KiB of flash and of memory.
const MACHINES: [(&str, u32, u32); 3] = [
    ("thumbv6m-none-eabi", 256, 16),       // microbit
    ("thumbv7m-none-eabi", 256, 64),       // lm3s6965evb
    ("thumbv7em-none-eabihf", 4096, 4096), // mps2-an386
];

fn main() {
    let target = env::var("TARGET").expect("cargo sets it");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let (_, flash, memory) =
        MACHINES.iter().find(|(name, ..)| *name == target).expect("a target that build.rs knows a machine for");
    let layout = format!(
        "MEMORY {{\n  FLASH : ORIGIN = 0x00000000, LENGTH = {flash}K\n  RAM : ORIGIN = 0x20000000, LENGTH = {memory}K\n}}\n"
    );
    fs::write(out.join("memory.x"), layout).expect("the output directory can be written");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=--nmagic");
    println!("cargo:rustc-link-arg=-Tlink.x");
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
}
