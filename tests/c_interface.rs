//! The C interface: its header, and programs in C that use it, on this machine and on an emulated microcontroller.
//!
//! The programs lie in `tests/c`. What they leave on their disk is opened here by the core, which must find what they wrote.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use cowl::{FormatOptions, LayerFlags, LayerKind, MountOptions, Pool, RamDisk};

const SECTORS: usize = 2048;

/// `ABI_VERSION`, and the checksum of what the header of that version declares.
const DECLARED: (u32, u32) = (1, 0x1a3b_6577);

/// The files of the program that runs on this machine.
const HOST: [&str; 6] = ["host.c", "scenario.c", "misuse.c", "disk.c", "devices.c", "damage.c"];

/// All panics are gone only if the whole library is optimized at once, which Cargo does if nothing but the static library is built.
const SMALL: [&str; 8] = [
    "rustc",
    "--crate-type",
    "staticlib",
    "--profile",
    "small",
    "--no-default-features",
    "--features",
    "panic-handler,checksum",
];

fn interface() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/c")
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("c")
}

/// The header as it is generated from the sources.
fn generated() -> String {
    let folder = interface();
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let builder = cbindgen::Builder::new().with_config(config).with_src(folder.join("src/lib.rs"));
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    String::from_utf8(header).unwrap()
}

/// What the command says; fails with all of it if it does not succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{said}\n{complained}", output.status);
    said.into_owned()
}

/// The tools are there; otherwise says which is not, and fails where everything must be there.
fn have(tools: &[&str]) -> bool {
    let lacking = tools.iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
    report(lacking.map(|tool| format!("{tool} is not installed")))
}

fn have_target(target: &str) -> bool {
    let folder = run(Command::new("rustc").args(["--print", "target-libdir", "--target", target]));
    report((!Path::new(folder.trim()).is_dir()).then(|| format!("the target {target} is not installed")))
}

fn report(lacking: Option<String>) -> bool {
    let Some(why) = lacking else { return true };
    assert!(env::var_os("COWL_REQUIRE_ALL").is_none(), "{why}");
    println!("not run: {why}");
    false
}

/// Builds the static library; where it lies. Cargo waits for the folder if another test is building.
fn library(arguments: &[&str], place: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c-interface");
    run(Command::new(env!("CARGO"))
        .current_dir(interface())
        .args(arguments)
        .args(["-q", "-p", "cowl-c", "--locked", "--target-dir"])
        .arg(&target));
    target.join(place).join("libcowl_c.a")
}

fn c_files(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| programs().join(name)).collect()
}

fn compile(compiler: &str, flags: &[&str]) -> Command {
    let mut command = Command::new(compiler);
    command.args(["-Wall", "-Wextra", "-Werror", "-g", "-I"]).arg(interface().join("include")).args(flags);
    command
}

/// Bytes of code and constants that the linker took from the library, as its map has them.
fn linked(map: &str) -> u64 {
    let (_, taken) = map.split_once("Linker script and memory map").unwrap();
    let (taken, _) = taken.split_once("\nOUTPUT(").unwrap();
    let of_library = taken.lines().filter(|line| line.contains("libcowl_c.a("));
    let sizes = of_library.filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("0x"));
        let (_, size) = (words.next()?, words.next()?);
        u64::from_str_radix(size.strip_prefix("0x")?, 16).ok()
    });
    sizes.sum()
}

/// The header without its comments.
fn declarations(header: &str) -> String {
    let mut kept = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = comment.split_once("*/").expect("comments end").1;
    }
    kept.push_str(rest);
    kept.lines().flat_map(|line| [line.split("//").next().unwrap_or_default(), "\n"]).collect()
}

/// A checksum of what the header declares, however it is spaced.
fn fingerprint(header: &str) -> u32 {
    let mut dense = declarations(header);
    dense.retain(|character| !character.is_whitespace());
    cowl::crc32c(0, dense.as_bytes())
}

/// What the scenario must have left on its disk, seen through the core itself.
fn verify(image: &Path) {
    let mut bytes = fs::read(image).unwrap();
    let mut disk = RamDisk::new(&mut bytes);
    let mut workspace = vec![0; 1 << 20];
    let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
    let mut findings = Vec::new();
    pool.check(&mut [0; 512], true, &mut |finding| findings.push(*finding)).unwrap();
    assert_eq!(findings, []);
    let root = pool.find("root").unwrap().expect("made by the program");
    for sector in 0..64 {
        let expected = if sector < 40 { u8::try_from((sector * 7 + 3) & 255).unwrap() } else { 0 };
        let mut read = [!expected; 512];
        pool.read(root.id, sector, &mut read).unwrap();
        assert!(read.iter().all(|byte| *byte == expected), "sector {sector}");
    }
    let data = pool.find("data").unwrap().expect("made by the program");
    assert_eq!(data.flags, LayerFlags::GUARANTEED | LayerFlags::INTEGRITY);
    let before = pool.find("before root").unwrap().expect("made by the program");
    assert_eq!((before.kind, before.created), (LayerKind::Snapshot, 7));
    assert_eq!((root.reverted_from, root.reverted_at), (Some(before.id), Some(99)));
    let config = pool.next_attachment(before.id, None).unwrap().expect("attached by the program");
    assert_eq!((config.name.as_str(), config.length), ("config", 11));
    assert_eq!(pool.layers().count(), 5);
}

#[test]
fn the_header_that_is_checked_in_is_the_one_that_the_sources_make() {
    let path = interface().join("include/cowl.h");
    let generated = generated();
    if env::var_os("COWL_WRITE_HEADER").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    let how = "`COWL_WRITE_HEADER=1 cargo test -p cowl-tests --test c_interface` writes it";
    assert!(kept == generated, "cowl.h is stale; {how}");
}

/// Nobody changes the interface without a thought of the programs that were compiled with it.
#[test]
fn the_version_is_raised_when_the_header_changes_for_those_who_use_it() {
    let header = fs::read_to_string(interface().join("include/cowl.h")).unwrap();
    let version = header.lines().find_map(|line| line.strip_prefix("#define COWL_ABI_VERSION ")).unwrap();
    let found = (version.parse().unwrap(), fingerprint(&header));
    let how = "the declarations in cowl.h have changed. If a program that was compiled with the older header would go wrong with this library \
               (a function, a structure or a number that it knows is another now), raise ABI_VERSION in core/c/src/lib.rs. If there is only \
               something new, leave it. Then write both numbers into DECLARED";
    assert!(found == DECLARED, "({}, {:#010x}): {how}", found.0, found.1);
}

#[test]
fn comments_and_whitespace_are_no_part_of_what_is_declared() {
    let spaced = "/* a */\nint /** b\n * c */ x; // d\n\tint y;\n";
    assert_eq!(fingerprint(spaced), cowl::crc32c(0, b"intx;inty;"));
    assert_ne!(fingerprint(spaced), fingerprint("int x; int z;"));
}

#[test]
fn every_function_and_every_status_occurs_in_a_program() {
    let header = declarations(&fs::read_to_string(interface().join("include/cowl.h")).unwrap());
    let files = fs::read_dir(programs()).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let sources: String = files.collect();
    let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let called = |name: &&str| name.starts_with("cowl_") && header.contains(&format!("{name}("));
    let words = header.split(|character| !is_name(character));
    let names: Vec<&str> = words.filter(|name| name.starts_with("COWL_STATUS_") || called(name)).collect();
    assert!(names.len() > 70, "{} names", names.len());
    for name in names.into_iter().filter(|name| *name != "COWL_STATUS_UNKNOWN") {
        let mut words = sources.split(|character| !is_name(character));
        assert!(words.any(|word| word == name), "{name} occurs in no program of tests/c");
    }
}

/// The pool that a C program makes is as the core would make it, and what the program does wrong is refused. Both run under the
/// sanitizers, which end the program if it touches what it must not.
#[test]
fn a_program_in_c_does_everything_over_a_file_and_is_told_what_it_does_wrong() {
    if !have(&["gcc"]) {
        return;
    }
    let library = library(&["build", "--release"], "release");
    let folder = tempfile::tempdir().unwrap();
    let (program, image) = (folder.path().join("host"), folder.path().join("disk.img"));
    fs::write(&image, vec![0; SECTORS * 512]).unwrap();
    let sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    run(compile("gcc", &["-std=c11", "-pedantic", "-D_GNU_SOURCE"])
        .args(sanitize)
        .args(c_files(&HOST))
        .arg(library)
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(&program));
    let said = run(Command::new(program).arg(&image).arg(SECTORS.to_string()));
    assert_eq!(said, "scenario: ok\n");
    verify(&image);
    println!("| C, host | scenario, misuse, bad devices and damage, under ASan and UBSan | 24576 bytes for the pool |");
}

#[test]
fn the_header_is_good_in_every_c_and_in_cpp() {
    if !have(&["gcc", "g++"]) {
        return;
    }
    let header = interface().join("include/cowl.h");
    for (compiler, standard, language) in
        [("gcc", "-std=c99", "c"), ("gcc", "-std=c11", "c"), ("gcc", "-std=c17", "c"), ("g++", "-std=c++17", "c++")]
    {
        run(compile(compiler, &[standard, "-pedantic", "-fsyntax-only", "-x", language]).arg(&header));
    }
}

/// The same scenario without an operating system, in 16 KiB of memory for the pool, on a disk that was no pool before. The checksums are the
/// program's, and no panic is left: the program has no `cowl_panic`.
#[test]
fn a_cortex_m4_does_the_same_on_a_disk_of_the_host() {
    let target = "thumbv7em-none-eabihf";
    if !have(&["arm-none-eabi-gcc", "qemu-system-arm"]) || !have_target(target) {
        return;
    }
    let arguments: Vec<&str> = SMALL.into_iter().chain(["--target", target]).collect();
    let library = library(&arguments, &format!("{target}/small"));
    let panics = fs::read(&library).unwrap().windows(10).any(|bytes| bytes == b"cowl_panic");
    assert!(!panics, "something in the library can panic");
    let folder = tempfile::tempdir().unwrap();
    let (program, image) = (folder.path().join("firmware.elf"), folder.path().join("disk.img"));
    let map = folder.path().join("firmware.map");
    fs::write(&image, vec![0; SECTORS * 512]).unwrap();
    let machine = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16", "-Os"];
    run(compile("arm-none-eabi-gcc", &["-std=c11", "--specs=rdimon.specs", "-nostartfiles"])
        .args(machine)
        .arg("-Wl,--gc-sections,--no-warn-execstack,--no-warn-rwx-segments")
        .arg(format!("-Wl,-Map={}", map.display()))
        .arg("-T")
        .arg(programs().join("mps2.ld"))
        .args(c_files(&["firmware.c", "scenario.c"]))
        .arg(library)
        .arg("-o")
        .arg(&program));
    let mut emulator = Command::new("timeout");
    emulator.args(["-s", "KILL", "60", "qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none"]);
    emulator.args(["-serial", "none", "-semihosting-config", "enable=on,target=native,arg=firmware", "-kernel"]);
    let said = run(emulator.arg(&program).current_dir(folder.path()).stdin(std::process::Stdio::null()));
    assert_eq!(said, "scenario: ok\n");
    verify(&image);
    let code = linked(&fs::read_to_string(map).unwrap());
    assert!(code > 10_000, "{code} bytes of code cannot be all");
    println!("| C, Cortex-M4F | scenario in 16384 bytes for the pool, own checksum, no panic | {code} bytes of cowl |");
}

/// A pool that the core made is a pool for the C interface too: the format has no colour.
#[test]
fn a_program_in_c_refuses_to_format_a_pool_of_the_core() {
    if !have(&["gcc"]) {
        return;
    }
    let mut bytes = vec![0; SECTORS * 512];
    let mut workspace = vec![0; 1 << 20];
    Pool::format(RamDisk::new(&mut bytes), &mut workspace, &FormatOptions::new(1024, [5; 16])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (program, image) = (folder.path().join("host"), folder.path().join("disk.img"));
    fs::write(&image, &bytes).unwrap();
    let library = library(&["build", "--release"], "release");
    run(compile("gcc", &["-std=c11", "-D_GNU_SOURCE"])
        .args(c_files(&HOST))
        .arg(library)
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(&program));
    let output = Command::new(program).arg(&image).arg(SECTORS.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("COWL_STATUS_NOT_A_POOL"), "{said}");
    assert!(fs::read(&image).unwrap() == bytes, "the pool was touched");
}
