/* The scenario on a Cortex-M4, without an operating system: the disk is a file of the host, by semihosting. */
#include "scenario.h"

#include <stdlib.h>

extern unsigned long stack_top, bss_start, bss_end;
extern void initialise_monitor_handles(void);

#define SECTORS 2048u

static unsigned char memory[16 << 10];

static void disk_geometry(void *context, cowl_geometry *geometry) {
    (void)context;
    geometry->sectors = SECTORS;
    geometry->sector_size = SECTOR;
    geometry->alignment = 4;
}

static int32_t disk_read(void *context, uint64_t sector, void *buffer, size_t length) {
    FILE *file = context;
    return fseek(file, (long)(sector * SECTOR), SEEK_SET) == 0 && fread(buffer, 1, length, file) == length ? 0 : -5;
}

static int32_t disk_write(void *context, uint64_t sector, const void *buffer, size_t length) {
    FILE *file = context;
    return fseek(file, (long)(sector * SECTOR), SEEK_SET) == 0 && fwrite(buffer, 1, length, file) == length ? 0 : -5;
}

static int32_t disk_flush(void *context) {
    return fflush(context) == 0 ? 0 : -5;
}

/* The library's checksums. A machine with a CRC instruction would use it here. There is no `cowl_panic` beside it: the library, built as it is
 * here, has no panic that would call it, or this program could not be linked. */
static unsigned long checksums;

uint32_t cowl_checksum(uint32_t so_far, const void *bytes, size_t length) {
    const unsigned char *next = bytes;
    uint32_t sum = ~so_far;
    for (checksums++; length > 0; length--) {
        sum ^= *next++;
        for (int bit = 0; bit < 8; bit++) {
            sum = sum >> 1 ^ ((sum & 1) != 0 ? 0x82F63B78u : 0);
        }
    }
    return ~sum;
}

/* What the C library calls at the end; there is nothing to be done. */
void _fini(void) {
}

static int run(void) {
    FILE *file = fopen("disk.img", "r+b");
    if (file == NULL || setvbuf(file, NULL, _IONBF, 0) != 0) {
        puts("disk.img cannot be opened");
        return 2;
    }
    cowl_device device = {
        .abi_version = COWL_ABI_VERSION,
        .size = sizeof device,
        .context = file,
        .geometry = disk_geometry,
        .read = disk_read,
        .write = disk_write,
        .flush = disk_flush,
    };
    int result = scenario(&device, memory, sizeof memory);
    if (result == 0 && checksums == 0) {
        puts("the checksums are not the program's");
        result = 3;
    }
    if (result == 0) {
        puts("scenario: ok");
    }
    fclose(file);
    return result;
}

void reset(void) {
    for (unsigned long *word = &bss_start; word < &bss_end; word++) {
        *word = 0;
    }
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the floating-point unit */
    __asm volatile("dsb\n isb");
    initialise_monitor_handles();
    exit(run());
}

static void fault(void) {
    puts("fault");
    exit(102);
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};
