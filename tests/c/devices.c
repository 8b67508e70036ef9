#include "devices.h"
#include "disk.h"

#include <string.h>

static cowl_pool *pool;
static cowl_error error;
static unsigned char bytes[SECTOR];

static int format_and_mount(const cowl_device *device, unsigned char *memory, size_t size) {
    EXPECT(cowl_format(device, NULL, memory, size, &disk_options, &error) == COWL_STATUS_OK);
    EXPECT(cowl_mount(device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    return 0;
}

/* A volume in which every sector that was written holds this byte. */
static int make(const char *name, uint64_t sectors, uint64_t written, unsigned char byte, uint32_t *volume) {
    cowl_attributes attributes = named(name);
    EXPECT(cowl_create(pool, &attributes, sectors, 0, volume) == COWL_STATUS_OK);
    memset(bytes, byte, sizeof bytes);
    for (uint64_t sector = 0; sector < written; sector++) {
        EXPECT(cowl_write(pool, *volume, sector, bytes, SECTOR) == COWL_STATUS_OK);
    }
    EXPECT(cowl_flush(pool) == COWL_STATUS_OK);
    return 0;
}

static int holds(cowl_pool *in, uint32_t layer, uint64_t sector, unsigned char byte) {
    memset(bytes, ~byte, sizeof bytes);
    return cowl_read(in, layer, sector, bytes, SECTOR) == COWL_STATUS_OK && bytes[0] == byte &&
           memcmp(bytes, bytes + 1, SECTOR - 1) == 0;
}

static int no_findings(void) {
    unsigned char scratch[512];
    cowl_checked checked;
    EXPECT(cowl_check(pool, scratch, sizeof scratch, 1, NULL, NULL, NULL, &checked) == COWL_STATUS_OK);
    EXPECT(checked.findings == 0);
    return 0;
}

static int attachments(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    uint32_t volume, snapshot, staged;
    cowl_attributes as_config = named("config"), as_before = named("before");
    cowl_layer_info info;
    EXPECT(format_and_mount(&device, memory, size) == 0 && make("good", 8, 1, 1, &volume) == 0);
    EXPECT(cowl_stage_attachment(pool, &as_config, 11, &staged) == COWL_STATUS_OK);
    EXPECT(cowl_write_bytes(pool, staged, 0, "boot=normal", 11) == COWL_STATUS_OK);
    EXPECT(cowl_layer_of(pool, staged, &info) == COWL_STATUS_OK && (info.flags & COWL_LAYER_STAGED) != 0);
    EXPECT(cowl_attach(pool, 77, staged) == COWL_STATUS_NO_SUCH_LAYER);
    EXPECT(cowl_attach(pool, volume, staged) == COWL_STATUS_OK);
    EXPECT(cowl_attach(pool, volume, staged) == COWL_STATUS_WRONG_KIND);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.layer == staged);
    EXPECT(cowl_write_bytes(pool, staged, 0, "B", 1) == COWL_STATUS_READ_ONLY);
    EXPECT(cowl_snapshot(pool, volume, &as_before, &snapshot) == COWL_STATUS_OK);
    EXPECT(cowl_write(pool, snapshot, 0, bytes, SECTOR) == COWL_STATUS_READ_ONLY);
    EXPECT(cowl_resize(pool, snapshot, 16) == COWL_STATUS_WRONG_KIND);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.layer == snapshot);
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_next_attachment(pool, volume, 0, &info) == COWL_STATUS_OK && info.id == staged && info.flags == 0);
    EXPECT(info.length == 11 && info.owner == volume && info.kind == COWL_LAYER_KIND_ATTACHMENT);
    return cowl_unmount(pool);
}

/* What is given up reaches the device, nothing else does, and no more than it can do is asked of it. */
static int discards(unsigned char *memory, size_t size) {
    cowl_device device = disk_with_discard();
    uint32_t volume;
    uint64_t next = 0;
    cowl_status status;
    EXPECT(format_and_mount(&device, memory, size) == 0 && make("good", 64, 64, 7, &volume) == 0);
    EXPECT(cowl_discard(pool, volume, 8, 48) == COWL_STATUS_OK);
    while ((status = cowl_discard_free(pool, next, 4, &next)) == COWL_STATUS_MORE) {
    }
    cowl_space space;
    EXPECT(status == COWL_STATUS_OK && cowl_space_of(pool, &space) == COWL_STATUS_OK);
    EXPECT(disk.discards > 0 && disk.discarded >= 48 && disk.discarded <= space.free);
    EXPECT(holds(pool, volume, 7, 7) && holds(pool, volume, 8, 0) && holds(pool, volume, 56, 7) && no_findings() == 0);
    disk.discard_answer = 33;
    EXPECT(cowl_discard_free(pool, 0, 4, &next) == COWL_STATUS_DEVICE);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.device == 33);
    disk.discards = 0;
    disk.flags = 0;
    EXPECT(cowl_discard_free(pool, 0, 4, &next) == COWL_STATUS_OK && disk.discards == 0);
    return cowl_unmount(pool);
}

/* A device that becomes larger is taken in; one that is smaller then is refused, with both numbers. */
static int growing_and_shrinking(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    uint32_t volume;
    uint64_t blocks = 0;
    cowl_space before, after;
    disk.sectors = disk.end = 1024;
    EXPECT(format_and_mount(&device, memory, size) == 0 && make("good", 1500, 8, 7, &volume) == 0);
    EXPECT(cowl_space_of(pool, &before) == COWL_STATUS_OK && before.total == 1024);
    EXPECT(cowl_grow(pool, &blocks) == COWL_STATUS_OK && blocks == 1024);
    disk.sectors = disk.end = 2048;
    EXPECT(cowl_grow(pool, &blocks) == COWL_STATUS_OK && blocks == 2048);
    EXPECT(cowl_space_of(pool, &after) == COWL_STATUS_OK && after.total == 2048);
    EXPECT(after.free > before.free + 1000);
    for (uint64_t sector = 0; sector < 1400; sector++) {
        EXPECT(cowl_write(pool, volume, sector, bytes, SECTOR) == COWL_STATUS_OK);
    }
    EXPECT(no_findings() == 0 && cowl_unmount(pool) == COWL_STATUS_OK);
    disk.sectors = 2000;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_DEVICE_TOO_SMALL && pool == NULL);
    EXPECT(error.status == COWL_STATUS_DEVICE_TOO_SMALL && error.needed == 2048 && error.actual == 2000);
    disk.sectors = 2048;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(holds(pool, volume, 1399, 7));
    return cowl_unmount(pool);
}

/* A card whose switch is moved while a pool is mounted on it. */
static int turning_read_only(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    uint32_t volume;
    cowl_attributes later = named("later");
    cowl_pool_info info;
    EXPECT(format_and_mount(&device, memory, size) == 0 && make("good", 8, 8, 7, &volume) == 0);
    disk.writes_left = 0;
    disk.refusal = -30;
    EXPECT(cowl_snapshot(pool, volume, &later, &volume) == COWL_STATUS_DEVICE);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK && error.device == -30);
    EXPECT(cowl_create(pool, &later, 8, 0, &volume) == COWL_STATUS_POISONED && holds(pool, volume, 7, 7));
    EXPECT(cowl_pool_info_of(pool, &info) == COWL_STATUS_OK && info.poisoned && cowl_abandon(pool) == COWL_STATUS_OK);
    disk.flags = COWL_GEOMETRY_READ_ONLY;
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_pool_info_of(pool, &info) == COWL_STATUS_OK && info.read_only && !info.poisoned);
    EXPECT(cowl_write(pool, volume, 0, bytes, SECTOR) == COWL_STATUS_READ_ONLY && holds(pool, volume, 7, 7));
    EXPECT(cowl_create(pool, &later, 8, 0, &volume) == COWL_STATUS_READ_ONLY);
    return cowl_unmount(pool);
}

/* A card that says it is larger than it is: nothing that was flushed is lost when it shows. */
static int lying(unsigned char *memory, size_t size) {
    cowl_device device = disk_blank();
    uint32_t volume;
    cowl_status status = COWL_STATUS_OK;
    uint64_t sector = 8;
    EXPECT(format_and_mount(&device, memory, size) == 0 && make("good", 2048, 8, 7, &volume) == 0);
    disk.end = 1200;
    while (status == COWL_STATUS_OK) {
        EXPECT(sector < 2048);
        status = cowl_write(pool, volume, sector++, bytes, SECTOR);
    }
    EXPECT(status == COWL_STATUS_DEVICE && cowl_last_error(pool, &error) == COWL_STATUS_OK && error.device == -22);
    EXPECT(cowl_write(pool, volume, 0, bytes, SECTOR) == COWL_STATUS_POISONED && cowl_abandon(pool) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    for (sector = 0; sector < 8; sector++) {
        EXPECT(holds(pool, volume, sector, 7));
    }
    return cowl_unmount(pool);
}

/* A pool on a volume of a pool: it lives, goes back with the volume below it, and is told what the pool below answers. */
static int stacked(unsigned char *memory, size_t size) {
    static uint64_t room[2048];
    cowl_device device = disk_with_discard(), on_volume, on_snapshot;
    cowl_volume_context volume_context, snapshot_context;
    cowl_geometry geometry = {0};
    cowl_attributes as_inner = named("inner"), as_before = named("before");
    cowl_format_options options = {.block_size = 1024, .uuid = {10}};
    cowl_pool *upper;
    cowl_pool_info info;
    uint32_t volume, snapshot, inner;
    EXPECT(format_and_mount(&device, memory, size) == 0 && make("disk", 1024, 0, 0, &volume) == 0);
    EXPECT(cowl_volume_device(NULL, volume, &volume_context, &on_volume) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_volume_device(pool, volume, NULL, &on_volume) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_volume_device(pool, volume, &volume_context, NULL) == COWL_STATUS_BAD_POINTER);
    EXPECT(cowl_volume_device(pool, 77, &volume_context, &on_volume) == COWL_STATUS_NO_SUCH_LAYER);
    EXPECT(cowl_volume_device(pool, volume, &volume_context, &on_volume) == COWL_STATUS_OK);
    on_volume.geometry(on_volume.context, &geometry);
    EXPECT(geometry.sectors == 1024 && geometry.sector_size == SECTOR && geometry.flags == COWL_GEOMETRY_DISCARD);
    EXPECT(cowl_mount(&on_volume, NULL, room, sizeof room, 0, &upper, &error) == COWL_STATUS_NOT_A_POOL);
    EXPECT(cowl_format(&on_volume, NULL, room, sizeof room, &options, &error) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&on_volume, NULL, room, sizeof room, 0, &upper, &error) == COWL_STATUS_OK);
    EXPECT(cowl_create(upper, &as_inner, 700, 0, &inner) == COWL_STATUS_OK);
    memset(bytes, 0x11, sizeof bytes);
    EXPECT(cowl_write(upper, inner, 5, bytes, SECTOR) == COWL_STATUS_OK && cowl_flush(upper) == COWL_STATUS_OK);
    EXPECT(cowl_snapshot(pool, volume, &as_before, &snapshot) == COWL_STATUS_OK);
    memset(bytes, 0x22, sizeof bytes);
    EXPECT(cowl_write(upper, inner, 5, bytes, SECTOR) == COWL_STATUS_OK && cowl_unmount(upper) == COWL_STATUS_OK);
    EXPECT(no_findings() == 0 && cowl_unmount(pool) == COWL_STATUS_OK);

    EXPECT(cowl_mount(&device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK);
    EXPECT(cowl_volume_device(pool, snapshot, &snapshot_context, &on_snapshot) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&on_snapshot, NULL, room, sizeof room, 0, &upper, &error) == COWL_STATUS_OK);
    EXPECT(cowl_pool_info_of(upper, &info) == COWL_STATUS_OK && info.read_only && holds(upper, inner, 5, 0x11));
    EXPECT(cowl_write(upper, inner, 5, bytes, SECTOR) == COWL_STATUS_READ_ONLY && cowl_unmount(upper) == COWL_STATUS_OK);
    EXPECT(on_snapshot.write(on_snapshot.context, 0, bytes, SECTOR) == COWL_STATUS_READ_ONLY);
    EXPECT(cowl_volume_device(pool, volume, &volume_context, &on_volume) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&on_volume, NULL, room, sizeof room, 0, &upper, &error) == COWL_STATUS_OK);
    EXPECT(holds(upper, inner, 5, 0x22));

    /* The pool below is full: the pool above is told so. */
    uint32_t hog;
    uint64_t next = 0;
    cowl_status status = COWL_STATUS_OK;
    EXPECT(make("hog", 4096, 0, 0, &hog) == 0);
    for (uint64_t sector = 0; status == COWL_STATUS_OK; sector++) {
        status = cowl_write(pool, hog, sector, bytes, SECTOR);
    }
    EXPECT(status == COWL_STATUS_NO_SPACE);
    status = COWL_STATUS_OK;
    for (uint64_t sector = 0; status == COWL_STATUS_OK; sector++) {
        status = cowl_write(upper, inner, sector, bytes, SECTOR);
    }
    EXPECT(status == COWL_STATUS_DEVICE && cowl_last_error(upper, &error) == COWL_STATUS_OK);
    EXPECT(error.device == COWL_STATUS_NO_SPACE && cowl_abandon(upper) == COWL_STATUS_OK);
    EXPECT(cowl_delete(pool, hog) == COWL_STATUS_OK);
    while ((status = cowl_merge_step(pool, 400, NULL, NULL)) == COWL_STATUS_MORE) {
    }
    EXPECT(status == COWL_STATUS_OK);
    EXPECT(cowl_mount(&on_volume, NULL, room, sizeof room, 0, &upper, &error) == COWL_STATUS_OK);
    EXPECT(holds(upper, inner, 5, 0x22) || holds(upper, inner, 5, bytes[0]));
    while ((status = cowl_discard_free(upper, next, 100, &next)) == COWL_STATUS_MORE) {
    }
    EXPECT(status == COWL_STATUS_OK && no_findings() == 0);

    /* The pool below is gone first. */
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    EXPECT(cowl_flush(upper) == COWL_STATUS_DEVICE && cowl_last_error(upper, &error) == COWL_STATUS_OK);
    EXPECT(error.device == COWL_STATUS_NOT_MOUNTED && cowl_abandon(upper) == COWL_STATUS_OK);
    EXPECT(cowl_mount(&on_volume, NULL, room, sizeof room, 0, &upper, &error) == COWL_STATUS_BAD_PARAMETER);
    return 0;
}

int devices(unsigned char *memory, size_t size) {
    return attachments(memory, size) || discards(memory, size) || growing_and_shrinking(memory, size) ||
           turning_read_only(memory, size) || lying(memory, size) || stacked(memory, size);
}
