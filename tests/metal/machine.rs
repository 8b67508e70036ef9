//! The machines: what they are, how their firmware is built, and how they are started.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

/// How a machine is given its disk, and how it says what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Cortex-M: the disk is a file of the host, by semihosting. The firmware records its writes itself.
    Semihosting,
    /// A bare machine with a virtio disk.
    Virtio,
    /// A machine with UEFI, which has a driver for this device.
    Uefi(&'static str),
}

/// A machine in an emulator.
#[derive(Debug)]
pub struct Machine {
    /// What it is called here.
    pub name: &'static str,
    /// The emulator's program, and its name for the machine.
    emulator: (&'static str, &'static str),
    /// The compiler's target.
    pub target: &'static str,
    /// The package of its firmware.
    package: &'static str,
    kind: Kind,
}

const fn machine(
    name: &'static str,
    emulator: (&'static str, &'static str),
    target: &'static str,
    package: &'static str,
    kind: Kind,
) -> Machine {
    Machine { name, emulator, target, package, kind }
}

const ARM: &str = "qemu-system-arm";
const X86: &str = "qemu-system-x86_64";

/// All of them.
pub const MACHINES: &[Machine] = &[
    machine("Cortex-M0, 16 KiB", (ARM, "microbit"), "thumbv6m-none-eabi", "cowl-cortex-m", Kind::Semihosting),
    machine("Cortex-M3", (ARM, "lm3s6965evb"), "thumbv7m-none-eabi", "cowl-cortex-m", Kind::Semihosting),
    machine("Cortex-M4F", (ARM, "mps2-an386"), "thumbv7em-none-eabihf", "cowl-cortex-m", Kind::Semihosting),
    machine("RISC-V 32", ("qemu-system-riscv32", "virt"), "riscv32imac-unknown-none-elf", "cowl-virtio", Kind::Virtio),
    machine("RISC-V 64", ("qemu-system-riscv64", "virt"), "riscv64imac-unknown-none-elf", "cowl-virtio", Kind::Virtio),
    machine("x86_64", (X86, "microvm,accel=tcg,rtc=off"), "x86_64-unknown-none", "cowl-virtio", Kind::Virtio),
    machine(
        "UEFI, virtio-blk",
        (X86, "q35,accel=tcg"),
        "x86_64-unknown-uefi",
        "cowl-uefi",
        Kind::Uefi("virtio-blk-pci,drive=d0"),
    ),
    machine(
        "UEFI, NVMe",
        (X86, "q35,accel=tcg"),
        "x86_64-unknown-uefi",
        "cowl-uefi",
        Kind::Uefi("nvme,drive=d0,serial=cowl"),
    ),
];

/// UEFI for QEMU, and its variables.
const OVMF: [&str; 2] = ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"];
/// QEMU's exit code for x86 firmware that has written 16 to the exit device.
const X86_DONE: i32 = 33;

/// What has been built: each once, one after the other, for cargo would lock the directory anyway.
static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The workspace of the firmware.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("firmware")
}

/// Where it is built.
fn target_directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("below the target directory").join("firmware")
}

/// With it the compiler notes how much stack each function takes.
pub const FRAMES: &str = "build.rustflags=[\"-Zemit-stack-sizes\"]";

/// Builds a package for a target and returns where its programs are.
pub fn build(package: &str, target: &str, arguments: &[&str]) -> PathBuf {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    // Other features, another directory: the programs have the same names.
    let directory = target_directory().join(if arguments.contains(&"--features") {
        "features"
    } else if arguments.contains(&FRAMES) {
        "frames"
    } else {
        "plain"
    });
    let programs = directory.join(target).join("release");
    let key = format!("{package} {target} {arguments:?}");
    if built.contains(&key) {
        return programs;
    }
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet", "--package", package, "--target", target, "--target-dir"])
        .arg(&directory)
        .args(arguments)
        .current_dir(workspace())
        .env_remove("RUSTFLAGS")
        .env("DEFMT_LOG", "debug")
        // Of all that is not stable yet, this one thing is asked for, and nothing that is built so is run.
        .envs(arguments.contains(&FRAMES).then_some(("RUSTC_BOOTSTRAP", "1")))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{package} for {target}: {}", String::from_utf8_lossy(&output.stderr));
    built.push(key);
    programs
}

/// The compiler has the standard library of this target.
pub fn has_target(target: &str) -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
}

/// The compiler can build for this target; else it is told, and an error if everything is required.
pub fn can_build_for(target: &str) -> bool {
    let there = has_target(target);
    assert!(there || env::var_os("COWL_REQUIRE_ALL").is_none(), "the compiler's target {target} is missing");
    if !there {
        println!("left out, the compiler's target {target} is missing");
    }
    there
}

/// The program is there; else it is told, and an error if everything is required.
pub fn has_program(name: &str) -> bool {
    let there = Command::new(name).arg("--version").output().is_ok();
    assert!(there || env::var_os("COWL_REQUIRE_ALL").is_none(), "{name} is missing");
    if !there {
        println!("left out, {name} is missing");
    }
    there
}

/// Runs a program on a Cortex-M4F, an instruction in a nanosecond; what it writes to standard output and to standard error.
pub fn cortex_m4(program: &Path, directory: &Path) -> (Vec<u8>, String) {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "120", ARM, "-M", "mps2-an386", "-icount", "shift=0,sleep=off"]);
    command.args(["-nographic", "-monitor", "none", "-serial", "none"]);
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(program);
    let output = command.current_dir(directory).stdin(Stdio::null()).output().expect("timeout runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {said}", program.display());
    (output.stdout, said)
}

impl Machine {
    /// What is missing to run it.
    pub fn lacks(&self) -> Option<String> {
        if Command::new(self.emulator.0).arg("--version").output().is_err() {
            return Some(self.emulator.0.to_owned());
        }
        let firmware = OVMF.into_iter().find(|file| self.is_slow() && !Path::new(file).exists());
        if let Some(file) = firmware {
            return Some(file.to_owned());
        }
        (!has_target(self.target)).then(|| format!("the compiler's target {}", self.target))
    }

    /// Something is missing, which is told, and an error if everything is required.
    pub fn is_missing(&self) -> bool {
        let lacks = self.lacks();
        if let Some(what) = &lacks {
            assert!(env::var_os("COWL_REQUIRE_ALL").is_none(), "{}: {what} is missing", self.name);
            println!("{}: left out, {what} is missing", self.name);
        }
        lacks.is_some()
    }

    /// Its firmware tells how much stack it has used.
    pub fn measures_stack(&self) -> bool {
        self.kind == Kind::Semihosting
    }

    /// It takes seconds to start.
    pub fn is_slow(&self) -> bool {
        matches!(self.kind, Kind::Uefi(_))
    }

    /// Its firmware writes log lines.
    pub fn has_log(&self) -> bool {
        matches!(self.kind, Kind::Uefi(_))
    }

    /// Its firmware.
    pub fn program(&self) -> PathBuf {
        self.program_of("life")
    }

    /// Another program of its firmware.
    pub fn program_of(&self, name: &str) -> PathBuf {
        let file = if self.is_slow() { format!("{name}.efi") } else { name.to_owned() };
        build(self.package, self.target, &["--bin", name]).join(file)
    }

    /// Runs the firmware with `disk.img` of this directory as its disk; what it says. With `record` its writes are recorded in
    /// `writes.log`.
    ///
    /// # Panics
    /// The machine ends with another code than that of success.
    pub fn run(&self, directory: &Path, record: bool) -> String {
        self.run_program(&self.program(), directory, record)
    }

    /// The same with another program than the scenario's.
    ///
    /// # Panics
    /// The machine ends with another code than that of success.
    pub fn run_program(&self, program: &Path, directory: &Path, record: bool) -> String {
        let log = directory.join("writes.log");
        drop(fs::remove_file(&log));
        if record {
            // QEMU's recorder does not make its file larger.
            let length = if self.kind == Kind::Semihosting { 0 } else { 32 << 20 };
            fs::File::create(&log).and_then(|file| file.set_len(length)).expect("a record");
        }
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "300", self.emulator.0, "-M", self.emulator.1]).current_dir(directory);
        match self.kind {
            Kind::Semihosting => semihosting(&mut command, program),
            Kind::Virtio => virtio(&mut command, program, record, self.emulator.0 == X86),
            Kind::Uefi(device) => uefi(&mut command, program, directory, device, record),
        }
        let output = command.stdin(Stdio::null()).output().expect("timeout runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let said =
            said.lines().filter(|line| !line.starts_with("Timer with period zero")).collect::<Vec<_>>().join("\n");
        let done = if self.emulator.0 == X86 { X86_DONE } else { 0 };
        assert_eq!(output.status.code(), Some(done), "{}: {said}", self.name);
        said
    }
}

fn semihosting(command: &mut Command, program: &Path) {
    command.args(["-nographic", "-monitor", "none", "-serial", "none"]);
    command.args(["-semihosting-config", "enable=on,target=native", "-kernel"]).arg(program);
}

fn virtio(command: &mut Command, program: &Path, record: bool, x86: bool) {
    if x86 {
        command.args(["-m", "64M", "-nodefaults", "-no-user-config", "-serial", "stdio", "-no-reboot"]);
        command.args(["-display", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    } else {
        command.args(["-m", "128M", "-nographic", "-bios", "none"]);
    }
    command.arg("-kernel").arg(program);
    disk(command, record);
    command.args(["-global", "virtio-mmio.force-legacy=false", "-device", "virtio-blk-device,drive=d0"]);
}

fn uefi(command: &mut Command, program: &Path, directory: &Path, device: &str, record: bool) {
    let boot = directory.join("boot/EFI/BOOT");
    fs::create_dir_all(&boot).expect("a directory to boot from");
    fs::copy(program, boot.join("BOOTX64.EFI")).expect("the application");
    fs::copy(OVMF[1], directory.join("variables.fd")).expect("the firmware's variables");
    command.args(["-m", "256M", "-display", "none", "-vga", "none", "-serial", "stdio", "-monitor", "none"]);
    command.args(["-no-reboot", "-net", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
    command.args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={}", OVMF[0])]);
    command.args(["-drive", "if=pflash,format=raw,file=variables.fd"]);
    command.args(["-drive", "file=fat:rw:boot,format=raw,if=none,id=boot"]);
    command.args(["-device", "virtio-blk-pci,drive=boot,bootindex=0"]);
    disk(command, record);
    command.args(["-device", device]);
}

/// The disk `d0`; with a record of its writes below it if there is to be one. What the machine flushes need not reach the host's own disk.
fn disk(command: &mut Command, record: bool) {
    if !record {
        command.args(["-blockdev", "driver=file,node-name=d0,filename=disk.img,cache.no-flush=on"]);
        return;
    }
    command.args(["-blockdev", "driver=file,node-name=f0,filename=disk.img,cache.no-flush=on"]);
    command.args(["-blockdev", "driver=file,node-name=l0,filename=writes.log,cache.no-flush=on"]);
    command.args(["-blockdev", "driver=blklogwrites,node-name=d0,file=f0,log=l0,log-sector-size=512"]);
}
