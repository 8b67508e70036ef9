//! Leaves out of the programs what nothing calls.

fn main() {
    println!("cargo:rustc-link-arg=--gc-sections");
}
