#include "devices.h"
#include "disk.h"

#include <string.h>

/* Where docs/FORMAT.md has the fields of a superblock. */
enum { MAJOR = 8, MINOR = 10, SUM = 12, GENERATION = 32, READ_ONLY_COMPATIBLE = 44, INCOMPATIBLE = 48, NEXT_LAYER = 76,
       CATALOG = 96, FREE = 120, SUPERBLOCK = 512, SLOTS = 4 };

static cowl_pool *pool;
static cowl_error error;
static uint32_t volume;

static unsigned char *slot(int number) {
    return disk.bytes + number * SECTOR;
}

static uint64_t number_at(const unsigned char *from, int length) {
    uint64_t value = 0;
    while (length-- > 0) {
        value = value << 8 | from[length];
    }
    return value;
}

/* The slot that was written last. */
static int newest(void) {
    int best = 0;
    for (int i = 1; i < SLOTS; i++) {
        best = number_at(slot(i) + GENERATION, 8) > number_at(slot(best) + GENERATION, 8) ? i : best;
    }
    return best;
}

/* Sets a field of every superblock, as if it had been written so. */
static void forge(int offset, uint64_t value, int length) {
    for (int i = 0; i < SLOTS; i++) {
        for (int byte = 0; byte < length; byte++) {
            slot(i)[offset + byte] = (unsigned char)(value >> 8 * byte);
        }
        memset(slot(i) + SUM, 0, 4);
        uint32_t sum = cowl_crc32c(0, slot(i), SUPERBLOCK);
        for (int byte = 0; byte < 4; byte++) {
            slot(i)[SUM + byte] = (unsigned char)(sum >> 8 * byte);
        }
    }
}

/* A pool with one volume that has checksums, no longer mounted. */
static int left_behind(const cowl_device *device, unsigned char *memory, size_t size) {
    unsigned char bytes[SECTOR] = {7};
    cowl_attributes good = named("good");
    EXPECT(cowl_format(device, NULL, memory, size, &disk_options, &error) == COWL_STATUS_OK);
    EXPECT(cowl_mount(device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_create(pool, &good, 64, COWL_LAYER_INTEGRITY, &volume) == COWL_STATUS_OK);
    for (uint64_t sector = 0; sector < 40; sector++) {
        EXPECT(cowl_write(pool, volume, sector, bytes, SECTOR) == COWL_STATUS_OK);
    }
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    return 0;
}

/* A pool of another version of the format, and one with features from the future. */
static int versions(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    cowl_pool_info info;
    EXPECT(left_behind(&device, memory, size) == 0);
    forge(MINOR, 9, 2);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_pool_info_of(pool, &info) == COWL_STATUS_OK && info.major == 1 && info.minor == 9);
    EXPECT(cowl_abandon(pool) == COWL_STATUS_OK);
    forge(MAJOR, 2, 2);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_UNSUPPORTED_VERSION);
    EXPECT(pool == NULL && error.status == COWL_STATUS_UNSUPPORTED_VERSION && error.major == 2 && error.minor == 9);
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, &error) == COWL_STATUS_HOLDS_POOL);

    device = disk_blank();
    EXPECT(left_behind(&device, memory, size) == 0);
    forge(READ_ONLY_COMPATIBLE, 2, 4);
    cowl_status status = cowl_mount(&device, NULL, memory, size, 0, &pool, &error);
    EXPECT(status == COWL_STATUS_UNSUPPORTED_FEATURES && error.features == 2);
    EXPECT(cowl_mount(&device, NULL, memory, size, COWL_MOUNT_READ_ONLY, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    forge(INCOMPATIBLE, 0x80000010u, 4);
    status = cowl_mount(&device, NULL, memory, size, COWL_MOUNT_READ_ONLY, &pool, &error);
    EXPECT(status == COWL_STATUS_UNSUPPORTED_FEATURES && error.features == 0x80000010u && error.major == 0);
    return 0;
}

/* A pool that was moved to a device with larger sectors. */
static int larger_sectors(void) {
    static uint64_t memory[8192];
    cowl_device device = disk_blank();
    cowl_format_options options = {.block_size = 4096, .pending = 16, .journal_units = 16, .uuid = {9}};
    EXPECT(cowl_format(&device, NULL, memory, sizeof memory, &options, &error) == COWL_STATUS_OK);
    disk.sector_size = 4096;
    disk.sectors = disk.end = sizeof disk.bytes / 4096;
    cowl_status status = cowl_mount(&device, NULL, memory, sizeof memory, 0, &pool, &error);
    EXPECT(status == COWL_STATUS_WRONG_SECTOR_SIZE && error.needed == 512 && error.actual == 4096);
    return 0;
}

/* Superblocks that cannot be read, and what they lead to. */
static int corrupt(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    cowl_layer_info info;
    EXPECT(left_behind(&device, memory, size) == 0);
    uint64_t catalog = number_at(slot(newest()) + CATALOG, 6);
    EXPECT(catalog > SLOTS && catalog < disk.sectors);
    disk.bytes[catalog * SECTOR + 40] ^= 1;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_layer_of(pool, volume, &info) == COWL_STATUS_CORRUPT);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.status == COWL_STATUS_CORRUPT);
    EXPECT(error.object == COWL_OBJECT_CATALOG && error.block == catalog && cowl_abandon(pool) == COWL_STATUS_OK);
    disk.bytes[catalog * SECTOR + 40] ^= 1;
    for (int i = 0; i < SLOTS; i++) {
        slot(i)[SUM] ^= 1;
    }
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_CORRUPT && pool == NULL);
    EXPECT(error.object == COWL_OBJECT_SUPERBLOCK);
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, &error) == COWL_STATUS_HOLDS_POOL);
    cowl_format_options force = disk_options;
    force.force = 1;
    EXPECT(cowl_format(&device, NULL, memory, size, &force, &error) == COWL_STATUS_OK);
    return 0;
}

/* No number is left for a layer, and a step of merge that is allowed less than it needs. */
static int used_up(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    cowl_attributes later = named("later");
    uint32_t other;
    EXPECT(left_behind(&device, memory, size) == 0);
    forge(NEXT_LAYER, UINT32_MAX, 4);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_create(pool, &later, 8, 0, &other) == COWL_STATUS_EXHAUSTED);
    EXPECT(cowl_delete(pool, volume) == COWL_STATUS_OK);
    EXPECT(cowl_merge_step(pool, 1, NULL, NULL) == COWL_STATUS_BUDGET_TOO_SMALL);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.needed > 1 && error.needed < 1000);
    EXPECT(cowl_merge_step(pool, (uint32_t)error.needed - 1, NULL, NULL) == COWL_STATUS_BUDGET_TOO_SMALL);
    EXPECT(cowl_merge_step(pool, (uint32_t)error.needed, NULL, NULL) >= COWL_STATUS_OK);
    return cowl_abandon(pool);
}

struct heard {
    unsigned count;
    cowl_finding last;
};

static void hear(void *context, const cowl_finding *finding) {
    struct heard *heard = context;
    heard->count++;
    heard->last = *finding;
}

/* What a check finds; a pool that is mounted for it only. */
static int check(const cowl_device *device, unsigned char *memory, size_t size, uint32_t scrub, struct heard *heard) {
    unsigned char scratch[512];
    cowl_checked checked;
    memset(heard, 0, sizeof *heard);
    EXPECT(cowl_mount(device, NULL, memory, size, COWL_MOUNT_READ_ONLY, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_check(pool, scratch, sizeof scratch, scrub, hear, NULL, heard, &checked) == COWL_STATUS_OK);
    EXPECT(checked.findings == heard->count && checked.scrubbed == (scrub ? 40 : 0));
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    return 0;
}

static int findings(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    struct heard heard;
    cowl_extent extent;
    EXPECT(left_behind(&device, memory, size) == 0);
    EXPECT(cowl_mount(&device, NULL, memory, size, COWL_MOUNT_READ_ONLY, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_extent_at(pool, volume, 9, &extent) == COWL_STATUS_OK && extent.content == COWL_CONTENT_DATA);
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);

    disk.bytes[extent.device_sector * SECTOR] ^= 4;
    EXPECT(check(&device, memory, size, 0, &heard) == 0 && heard.count == 0);
    EXPECT(check(&device, memory, size, 1, &heard) == 0 && heard.count == 1);
    EXPECT(heard.last.kind == COWL_FINDING_KIND_DAMAGED && heard.last.object == COWL_OBJECT_DATA);
    EXPECT(heard.last.block == extent.device_sector && heard.last.layer == volume && heard.last.what == NULL);
    disk.bytes[extent.device_sector * SECTOR] ^= 4;

    int broken = newest();
    slot(broken)[SUM] ^= 4;
    EXPECT(check(&device, memory, size, 0, &heard) == 0 && heard.count == 1);
    EXPECT(heard.last.kind == COWL_FINDING_KIND_SUPERBLOCK_COPY && heard.last.level == (uint32_t)broken);
    slot(broken)[SUM] ^= 4;

    uint64_t free = number_at(slot(newest()) + FREE, 8);
    forge(FREE, free - 3, 8);
    EXPECT(check(&device, memory, size, 0, &heard) == 0 && heard.count == 1);
    EXPECT(heard.last.kind == COWL_FINDING_KIND_COUNT && heard.last.layer == 0);
    EXPECT(heard.last.stored == free - 3 && heard.last.expected == free && heard.last.what_length > 0);
    return 0;
}

int damage(unsigned char *memory, size_t size) {
    return versions(memory, size) || larger_sectors() || corrupt(memory, size) || used_up(memory, size) ||
           findings(memory, size);
}
