#include "misuse.h"
#include "disk.h"

#include <string.h>

static int bad_devices(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    cowl_error error;
    cowl_pool *pool;
    EXPECT(cowl_format(NULL, NULL, memory, size, &disk_options, &error) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_format(&device, NULL, NULL, size, &disk_options, &error) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_format(&device, NULL, memory, size, NULL, NULL) == COWL_STATUS_BAD_POINTER);
    device.abi_version = COWL_ABI_VERSION + 1;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_WRONG_ABI);
    EXPECT(error.actual == COWL_ABI_VERSION + 1 && error.needed == COWL_ABI_VERSION);
    device = disk_blank();
    device.size = 4;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_WRONG_ABI);
    EXPECT(error.actual == 4 && error.needed == sizeof device);
    device = disk_blank();
    device.read = NULL;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_BAD_POINTER);
    EXPECT(error.reason != NULL && error.reason_length > 0);
    device = disk_blank();
    device.write = NULL;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_BAD_POINTER);
    device = disk_blank();
    disk.sector_size = 0;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_BAD_PARAMETER);
    disk.sector_size = 1000;
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, &error) == COWL_STATUS_BAD_PARAMETER);
    device = disk_blank();
    disk.sectors = 50;
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, &error) == COWL_STATUS_DEVICE_TOO_SMALL);
    EXPECT(error.actual == 50 && error.needed > 50);
    device = disk_blank();
    disk.flags = COWL_GEOMETRY_READ_ONLY;
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, &error) == COWL_STATUS_READ_ONLY);
    device = disk_blank();
    disk.alignment = 3;
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, &error) == COWL_STATUS_BAD_PARAMETER);
    return 0;
}

/* Every size and every place of the memory: refused with the number that is enough, or good. */
static int bad_memory(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    cowl_error error;
    cowl_pool *pool;
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, NULL) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, NULL, &error) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_mount(&device, NULL, memory, size, 2, &pool, &error) == COWL_STATUS_BAD_PARAMETER);
    for (size_t skip = 0; skip < 9; skip++) {
        size_t given = 0;
        int refused = 0;
        while (cowl_mount(&device, NULL, memory + skip, given, 0, &pool, &error) != COWL_STATUS_OK) {
            EXPECT(error.status == COWL_STATUS_MEMORY_TOO_SMALL && pool == NULL);
            EXPECT(error.needed > given && error.needed < size && ++refused < 5);
            given = (size_t)error.needed;
        }
        EXPECT(refused > 0 && (unsigned char *)pool >= memory + skip && cowl_abandon(pool) == COWL_STATUS_OK);
    }
    cowl_limits limits = {.pool_blocks = disk.sectors, .layers = 100};
    size_t enough = cowl_memory_size(SECTOR, &limits);
    EXPECT(cowl_mount(&device, NULL, memory + 1, enough, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    EXPECT(cowl_memory_size(0, &limits) == 0 && cowl_memory_size(1000, &limits) == 0);
    EXPECT(cowl_memory_size(SECTOR, NULL) == 0);
    return 0;
}

static int bad_calls(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    cowl_pool *pool;
    cowl_error error;
    cowl_attributes good = named("good"), bad = named("\xff\xfe"), none = named("");
    uint32_t volume;
    unsigned char bytes[2 * SECTOR] = {0};
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, NULL) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, NULL) == COWL_STATUS_OK);
    EXPECT(cowl_flush(NULL) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_flush((cowl_pool *)(void *)((unsigned char *)pool + 1)) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_create(pool, NULL, 8, 0, &volume) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_create(pool, &good, 8, 0, NULL) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_find(pool, "good", NULL) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_create(pool, &good, 8, COWL_LAYER_DELETED, &volume) == COWL_STATUS_BAD_PARAMETER);
    EXPECT(cowl_create(pool, &bad, 8, 0, &volume) == COWL_STATUS_BAD_NAME);
    EXPECT(cowl_create(pool, &none, 8, 0, &volume) == COWL_STATUS_BAD_NAME);
    static char endless[4096];
    memset(endless, 'n', sizeof endless);
    EXPECT(cowl_rename(pool, 1, endless) == COWL_STATUS_BAD_NAME);
    EXPECT(cowl_create(pool, &good, 8, 0, &volume) == COWL_STATUS_OK);
    EXPECT(cowl_create(pool, &good, 8, 0, &volume) == COWL_STATUS_NAME_TAKEN);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.layer == volume);
    EXPECT(cowl_write(pool, volume, 0, NULL, SECTOR) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_write(pool, volume, 0, pool, SECTOR) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_read(pool, volume, 0, memory + size - 1, SECTOR) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_read(pool, volume, 0, bytes, SIZE_MAX) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_write(pool, volume, 0, NULL, 0) == COWL_STATUS_OK);
    EXPECT(cowl_write(pool, volume, 0, bytes, SECTOR - 1) == COWL_STATUS_OUT_OF_RANGE);
    EXPECT(cowl_write(pool, volume, 7, bytes, 2 * SECTOR) == COWL_STATUS_OUT_OF_RANGE);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.actual == 8);
    EXPECT(cowl_write(pool, volume, UINT64_MAX, bytes, SECTOR) == COWL_STATUS_OUT_OF_RANGE);
    EXPECT(cowl_read(pool, 77, 0, bytes, SECTOR) == COWL_STATUS_NO_SUCH_LAYER);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.layer == 77 && error.actual == 0);
    EXPECT(cowl_snapshot_all(pool, NULL, 1, &volume) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_snapshot_all(pool, NULL, 0, &volume) == COWL_STATUS_BAD_PARAMETER);
    cowl_snapshot_of many[COWL_SNAPSHOT_VOLUMES + 1];
    for (size_t i = 0; i <= COWL_SNAPSHOT_VOLUMES; i++) {
        many[i] = (cowl_snapshot_of){.volume = volume, .attributes = named("many")};
    }
    EXPECT(cowl_snapshot_all(pool, many, COWL_SNAPSHOT_VOLUMES + 1, &volume) == COWL_STATUS_BAD_PARAMETER);
    EXPECT(cowl_merge_step(pool, 0, NULL, NULL) == COWL_STATUS_OK);
    cowl_write_plan plan = {.sectors = 1};
    EXPECT(cowl_commit(pool, &plan, NULL, 0) == COWL_STATUS_NOT_MOUNTED);
    EXPECT(cowl_commit(pool, NULL, NULL, 0) == COWL_STATUS_BAD_POINTER);
    uint64_t small[1];
    cowl_question *question;
    EXPECT(cowl_what_if(pool, &volume, 1, small, sizeof small, &question) == COWL_STATUS_MEMORY_TOO_SMALL);
    cowl_checked checked;
    EXPECT(cowl_check(pool, small, sizeof small, 0, NULL, NULL, NULL, &checked) == COWL_STATUS_MEMORY_TOO_SMALL);
    EXPECT(strcmp(cowl_status_text(COWL_STATUS_NO_SPACE), "no space") == 0 && cowl_status_text(12345) != NULL);
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    EXPECT(cowl_write(pool, volume, 0, bytes, SECTOR) == COWL_STATUS_NOT_MOUNTED);
    EXPECT(cowl_abandon(pool) == COWL_STATUS_NOT_MOUNTED);
    return 0;
}

static int callbacks_that_call_back(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    cowl_pool *pool;
    uint32_t volume;
    unsigned char bytes[SECTOR] = {0};
    cowl_attributes good = named("good");
    EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, NULL) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, NULL) == COWL_STATUS_OK);
    EXPECT(cowl_create(pool, &good, 8, 0, &volume) == COWL_STATUS_OK);
    EXPECT(cowl_write(pool, volume, 0, bytes, SECTOR) == COWL_STATUS_OK);
    disk.enter = pool;
    EXPECT(cowl_read(pool, volume, 0, bytes, SECTOR) == COWL_STATUS_OK && disk.entered == COWL_STATUS_ENTERED);
    disk.enter = NULL;
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    return 0;
}

/* A device that fails at its n-th write: the number comes through, and nothing but reading goes on. */
static int failing_devices(unsigned char *memory, size_t size) {
    for (int writes = 0; writes < 12; writes++) {
        cowl_device device = disk_blank();
        cowl_pool *pool;
        cowl_error error;
        uint32_t volume, snapshot;
        unsigned char bytes[SECTOR] = {1};
        cowl_attributes good = named("good"), later = named("later");
        EXPECT(cowl_format(&device, NULL, memory, size, &disk_options, NULL) == COWL_STATUS_OK);
        EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, NULL) == COWL_STATUS_OK);
        EXPECT(cowl_create(pool, &good, 8, 0, &volume) == COWL_STATUS_OK);
        EXPECT(cowl_write(pool, volume, 0, bytes, SECTOR) == COWL_STATUS_OK && cowl_flush(pool) == COWL_STATUS_OK);
        disk.writes_left = writes;
        cowl_status status = COWL_STATUS_OK;
        for (uint64_t sector = 1; status == COWL_STATUS_OK; sector = sector % 7 + 1) {
            status = cowl_write(pool, volume, sector, bytes, SECTOR);
            status = status == COWL_STATUS_OK ? cowl_snapshot(pool, volume, &later, &snapshot) : status;
            status = status == COWL_STATUS_OK ? cowl_delete(pool, snapshot) : status;
        }
        EXPECT(status == COWL_STATUS_DEVICE && cowl_last_error(pool, &error) == COWL_STATUS_OK && error.device == -5);
        EXPECT(cowl_flush(pool) == COWL_STATUS_POISONED && cowl_unmount(pool) == COWL_STATUS_POISONED);
        EXPECT(cowl_read(pool, volume, 0, bytes, SECTOR) == COWL_STATUS_OK && bytes[0] == 1);
        EXPECT(cowl_abandon(pool) == COWL_STATUS_OK);
        disk.writes_left = -1;
        EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, NULL) == COWL_STATUS_OK);
        EXPECT(cowl_read(pool, volume, 0, bytes, SECTOR) == COWL_STATUS_OK && bytes[0] == 1);
        EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    }
    return 0;
}

/* A base shows through; a pool without its base, or with another, is refused. */
static int bases(unsigned char *memory, size_t size) {
    static struct disk image;
    memset(&image, 0, sizeof image);
    image.sectors = image.end = 16;
    image.sector_size = SECTOR;
    image.flags = COWL_GEOMETRY_READ_ONLY;
    memset(image.bytes, 0xba, 16 * SECTOR);
    cowl_device device = disk_blank(), base = disk_blank();
    base.context = &image;
    base.write = NULL;
    base.flush = NULL;
    cowl_pool *pool;
    uint32_t volume;
    unsigned char bytes[SECTOR];
    cowl_attributes good = named("good");
    EXPECT(cowl_format(&device, &base, memory, size, &disk_options, NULL) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, NULL) == COWL_STATUS_WRONG_BASE);
    EXPECT(cowl_mount(&device, &base, memory, size, 0, &pool, NULL) == COWL_STATUS_OK);
    EXPECT(cowl_create(pool, &good, 32, 0, &volume) == COWL_STATUS_OK);
    EXPECT(cowl_read(pool, volume, 15, bytes, SECTOR) == COWL_STATUS_OK && bytes[0] == 0xba && bytes[511] == 0xba);
    EXPECT(cowl_read(pool, volume, 16, bytes, SECTOR) == COWL_STATUS_OK && bytes[0] == 0);
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    image.bytes[0] = 0;
    EXPECT(cowl_mount(&device, &base, memory, size, 0, &pool, NULL) == COWL_STATUS_WRONG_BASE);
    return 0;
}

int misuse(const cowl_device *device, unsigned char *memory, size_t size) {
    EXPECT(device->abi_version == COWL_ABI_VERSION);
    return bad_devices(memory, size) || bad_memory(memory, size) || bad_calls(memory, size) ||
           callbacks_that_call_back(memory, size) || failing_devices(memory, size) || bases(memory, size);
}
