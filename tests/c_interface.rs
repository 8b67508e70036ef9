//! The C interface: its header, and programs in C that use it, on this machine and on an emulated microcontroller.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn interface() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/c")
}

/// The header as it is generated from the sources.
fn generated() -> String {
    let folder = interface();
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut sources: Vec<_> = fs::read_dir(folder.join("src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    sources.sort();
    let builder = sources.into_iter().fold(cbindgen::Builder::new().with_config(config), cbindgen::Builder::with_src);
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

#[test]
fn the_header_that_is_checked_in_is_the_one_that_the_sources_make() {
    let path = interface().join("include/cowl.h");
    let generated = generated();
    if env::var_os("COWL_WRITE_HEADER").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == generated,
        "cowl.h is stale; `COWL_WRITE_HEADER=1 cargo test -p cowl-tests --test c_interface` writes it"
    );
}
