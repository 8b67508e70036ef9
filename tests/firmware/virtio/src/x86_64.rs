//! QEMU's `microvm`: where things are, and the way from its 32-bit start to 64 bits.

use core::{
    arch::{asm, global_asm},
    fmt,
    ops::Range,
};

/// Where virtio devices may be.
pub const SLOTS: Range<usize> = 0xfeb0_0000..0xfeb0_3000;
/// How far apart.
pub const SLOT_SIZE: usize = 0x200;

const SERIAL: u16 = 0x3f8;
const POWER: u16 = 0xf4;

// The note names the entry (type 18, "Xen"). Then: pages of 2 MiB over the first 4 GiB, one to one; physical address extension,
// long mode, paging; a far jump, written as bytes, into a segment of 64 bits.
global_asm!(
    ".section .note.pvh, \"a\"",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long start32",
    ".section .text.start, \"ax\"",
    ".code32",
    ".global start32",
    "start32:",
    "cli",
    "mov edi, offset bss_start",
    "mov ecx, offset bss_end",
    "sub ecx, edi",
    "xor eax, eax",
    "rep stosb",
    "mov eax, offset level3",
    "or eax, 3",
    "mov [level4], eax",
    "mov edi, offset level3",
    "mov eax, offset level2",
    "or eax, 3",
    "mov ecx, 4",
    "upper:",
    "mov [edi], eax",
    "add edi, 8",
    "add eax, 4096",
    "loop upper",
    "mov edi, offset level2",
    "mov eax, 0x83",
    "mov ecx, 2048",
    "lower:",
    "mov [edi], eax",
    "add edi, 8",
    "add eax, 0x200000",
    "loop lower",
    "mov eax, offset level4",
    "mov cr3, eax",
    "mov eax, cr4",
    "or eax, 0x620",
    "mov cr4, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x100",
    "wrmsr",
    "mov eax, cr0",
    "and eax, 0xfffffffb",
    "or eax, 0x80000003",
    "mov cr0, eax",
    "lgdt [table_pointer]",
    ".byte 0xea",
    ".long start64",
    ".word 8",
    ".code64",
    "start64:",
    "mov ax, 16",
    "mov ss, ax",
    "mov ds, ax",
    "mov es, ax",
    "lea rsp, [stack_top]",
    "call begin",
    ".section .rodata",
    ".balign 8",
    "table:",
    ".quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff",
    "table_pointer:",
    ".word 23",
    ".long table",
    ".section .bss.pages, \"aw\", @nobits",
    ".balign 4096",
    "level4: .skip 4096",
    "level3: .skip 4096",
    "level2: .skip 16384",
);

fn out_byte(port: u16, byte: u8) {
    // SAFETY: these ports do nothing to memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte, options(nomem, nostack)) };
}

/// The serial console.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| out_byte(SERIAL, byte));
        Ok(())
    }
}

/// Ends the machine with a code. QEMU's own is twice that and one more; 16 is added, for a 1 could be QEMU's own failure.
pub fn exit(code: u8) -> ! {
    out_byte(POWER, 16 + code);
    loop {
        core::hint::spin_loop();
    }
}
