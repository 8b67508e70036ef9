#include "scenario.h"

#include <string.h>

/* The pool that all parts work on, and its volumes. */
static cowl_pool *pool;
static uint32_t root, data, before_root, before_data;

cowl_attributes named(const char *name) {
    cowl_attributes attributes = {.name = name, .description = NULL, .uuid = {0}, .time = 7};
    attributes.uuid[0] = (uint8_t)strlen(name);
    return attributes;
}

unsigned char left_in(uint64_t sector) {
    return sector < 40 ? (unsigned char)(sector * 7 + 3) : 0;
}

static int fill(uint32_t volume, uint64_t sector, unsigned char byte) {
    unsigned char bytes[SECTOR];
    memset(bytes, byte, sizeof bytes);
    return cowl_write(pool, volume, sector, bytes, sizeof bytes);
}

static int holds(uint32_t layer, uint64_t sector, unsigned char byte) {
    unsigned char bytes[SECTOR];
    if (cowl_read(pool, layer, sector, bytes, sizeof bytes) != COWL_STATUS_OK) {
        return 0;
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        if (bytes[i] != byte) {
            return 0;
        }
    }
    return 1;
}

static int format_and_mount(const cowl_device *device, void *memory, size_t size) {
    cowl_format_options options = {.block_size = SECTOR, .force = 0, .uuid = {1, 2, 3}};
    cowl_limits limits = {.pool_blocks = 4096};
    cowl_error error;
    EXPECT(cowl_abi_version() == COWL_ABI_VERSION);
    EXPECT(cowl_memory_size(SECTOR, &limits) > 0 && cowl_memory_size(SECTOR, &limits) <= size);
    EXPECT(cowl_mount(device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_NOT_A_POOL && pool == NULL);
    EXPECT(cowl_format(device, NULL, memory, size, &options, &error) == COWL_STATUS_OK);
    EXPECT(cowl_format(device, NULL, memory, size, &options, &error) == COWL_STATUS_HOLDS_POOL);
    EXPECT(cowl_mount(device, NULL, memory, size, 0, &pool, &error) == COWL_STATUS_OK && pool != NULL);
    cowl_pool_info info;
    EXPECT(cowl_pool_info_of(pool, &info) == COWL_STATUS_OK);
    EXPECT(info.block_size == SECTOR && info.uuid[2] == 3 && info.layers == 0 && !info.read_only);
    return 0;
}

static int volumes(void) {
    cowl_attributes as_root = named("root"), as_data = named("data");
    EXPECT(cowl_create(pool, &as_root, 64, 0, &root) == COWL_STATUS_OK);
    EXPECT(cowl_create(pool, &as_data, 32, COWL_LAYER_GUARANTEED | COWL_LAYER_INTEGRITY, &data) == COWL_STATUS_OK);
    for (uint64_t sector = 0; sector < 40; sector++) {
        EXPECT(fill(root, sector, left_in(sector)) == COWL_STATUS_OK);
    }
    EXPECT(fill(data, 0, 0xd0) == COWL_STATUS_OK);
    EXPECT(cowl_write_bytes(pool, data, 700, "across", 6) == COWL_STATUS_OK);
    EXPECT(cowl_flush(pool) == COWL_STATUS_OK);
    char bytes[8];
    size_t done;
    EXPECT(cowl_read_bytes(pool, data, 699, bytes, 8, &done) == COWL_STATUS_OK && done == 8);
    EXPECT(memcmp(bytes, "\0across", 8) == 0);
    EXPECT(cowl_read_bytes(pool, data, 32 * SECTOR - 3, bytes, 8, &done) == COWL_STATUS_OK && done == 3);
    EXPECT(cowl_write_bytes(pool, data, 32 * SECTOR - 3, "four", 4) == COWL_STATUS_BAD_PARAMETER);
    return 0;
}

/* Both volumes at one moment, with an attachment that belongs to the first snapshot. */
static int snapshots(void) {
    uint32_t staged;
    cowl_attributes as_config = named("config");
    EXPECT(cowl_stage_attachment(pool, &as_config, 11, &staged) == COWL_STATUS_OK);
    EXPECT(cowl_write_bytes(pool, staged, 0, "boot=normal", 11) == COWL_STATUS_OK);
    cowl_snapshot_of both[2] = {
        {.volume = root, .attachments = &staged, .attachment_count = 1, .attributes = named("before root")},
        {.volume = data, .attachments = NULL, .attachment_count = 0, .attributes = named("before data")},
    };
    EXPECT(cowl_snapshot_all(pool, both, 2, &before_root) == COWL_STATUS_OK);
    before_data = before_root + 1;
    cowl_layer_info info;
    EXPECT(cowl_find(pool, "before data", &info) == COWL_STATUS_OK && info.id == before_data);
    EXPECT(info.kind == COWL_LAYER_KIND_SNAPSHOT && info.created == 7 && info.uuid[0] == 11);
    EXPECT(cowl_next_attachment(pool, before_root, 0, &info) == COWL_STATUS_OK && info.length == 11);
    EXPECT(strcmp(info.name, "config") == 0 && info.owner == before_root);
    EXPECT(cowl_next_attachment(pool, before_root, info.id, &info) == COWL_STATUS_NONE);
    char bytes[16];
    size_t done;
    EXPECT(cowl_read_bytes(pool, staged, 0, bytes, sizeof bytes, &done) == COWL_STATUS_OK && done == 11);
    EXPECT(memcmp(bytes, "boot=normal", 11) == 0);
    return 0;
}

static int overwrite_and_go_back(void) {
    for (uint64_t sector = 4; sector < 10; sector++) {
        EXPECT(fill(root, sector, 0xff) == COWL_STATUS_OK);
    }
    cowl_extent extent;
    uint64_t differing = 0;
    for (uint64_t from = 0; cowl_diff(pool, before_root, root, from, &extent) == COWL_STATUS_OK;
         from = extent.sector + extent.count) {
        EXPECT(extent.sector >= 4 && extent.sector + extent.count <= 10 && extent.content == COWL_CONTENT_DATA);
        differing += extent.count;
    }
    EXPECT(differing == 6);
    uint32_t kept;
    cowl_attributes as_kept = named("kept");
    EXPECT(cowl_rollback(pool, root, before_root, 99, &as_kept, &kept) == COWL_STATUS_OK && kept != 0);
    EXPECT(holds(root, 4, left_in(4)) && holds(kept, 4, 0xff));
    cowl_layer_info info;
    EXPECT(cowl_layer_of(pool, root, &info) == COWL_STATUS_OK);
    EXPECT(info.reverted_from == before_root && info.reverted_at == 99 && info.parent == before_root);
    EXPECT(cowl_rename(pool, kept, "set aside") == COWL_STATUS_OK);
    EXPECT(cowl_describe(pool, kept, "what was written over it") == COWL_STATUS_OK);
    char text[32];
    size_t length;
    EXPECT(cowl_description(pool, kept, text, sizeof text, &length) == COWL_STATUS_OK && length == 24);
    EXPECT(memcmp(text, "what was written over it", 24) == 0);
    EXPECT(cowl_rollback(pool, data, before_data, 100, NULL, NULL) == COWL_STATUS_OK);
    return 0;
}

/* What a deletion would free is what it frees. */
static int clone_ask_delete_merge(void) {
    uint32_t copy, set[1];
    cowl_attributes as_copy = named("copy");
    EXPECT(cowl_clone(pool, before_root, &as_copy, 0, &copy) == COWL_STATUS_OK);
    EXPECT(cowl_resize(pool, copy, 96) == COWL_STATUS_OK);
    EXPECT(fill(copy, 90, 0xcc) == COWL_STATUS_OK && fill(copy, 0, 0xcc) == COWL_STATUS_OK);
    EXPECT(holds(copy, 90, 0xcc) && holds(copy, 1, left_in(1)) && holds(root, 0, left_in(0)));
    static uint64_t room[512];
    cowl_question *question;
    cowl_delta freed = {0, 0};
    set[0] = copy;
    EXPECT(cowl_what_if(pool, set, 1, room, sizeof room, &question) == COWL_STATUS_OK);
    cowl_status status;
    do {
        status = cowl_what_if_step(pool, question, 2, &freed);
    } while (status == COWL_STATUS_MORE);
    EXPECT(status == COWL_STATUS_OK && freed.data >= 2);
    EXPECT(cowl_delete(pool, copy) == COWL_STATUS_OK);
    EXPECT(cowl_layer_of(pool, copy, NULL) == COWL_STATUS_BAD_POINTER);
    cowl_layer_info info;
    EXPECT(cowl_layer_of(pool, copy, &info) == COWL_STATUS_NO_SUCH_LAYER);
    uint32_t layer, steps = 0;
    uint64_t left;
    while ((status = cowl_merge_step(pool, 200, &layer, &left)) == COWL_STATUS_MORE) {
        EXPECT(layer != 0 && ++steps < 1000);
    }
    EXPECT(status == COWL_STATUS_OK && steps > 0);
    return 0;
}

static int holes(void) {
    cowl_extent extent;
    EXPECT(fill(root, 50, 1) == COWL_STATUS_OK && fill(root, 51, 1) == COWL_STATUS_OK);
    EXPECT(cowl_discard(pool, root, 50, 1) == COWL_STATUS_OK);
    EXPECT(cowl_write_zeroes(pool, root, 51, 1) == COWL_STATUS_OK);
    EXPECT(holds(root, 50, 0) && holds(root, 51, 0) && cowl_checkpoint(pool) == COWL_STATUS_OK);
    EXPECT(cowl_extent_at(pool, root, 0, &extent) == COWL_STATUS_OK && extent.content == COWL_CONTENT_DATA);
    EXPECT(cowl_extent_at(pool, root, 50, &extent) == COWL_STATUS_OK && extent.content != COWL_CONTENT_DATA);
    return 0;
}

/* The program moves the data itself, between two calls of the pool. */
static int transfers(const cowl_device *device) {
    unsigned char bytes[SECTOR];
    cowl_read_plan reading;
    EXPECT(cowl_resolve(pool, root, 5, 1, &reading) == COWL_STATUS_OK && reading.extent.content == COWL_CONTENT_DATA);
    EXPECT(device->read(device->context, reading.extent.device_sector, bytes, sizeof bytes) == 0);
    EXPECT(bytes[0] == left_in(5) && bytes[SECTOR - 1] == left_in(5));
    uint32_t under_way;
    EXPECT(cowl_transfers(pool, &under_way) == COWL_STATUS_OK && under_way == 1);
    EXPECT(cowl_unmount(pool) == COWL_STATUS_BUSY);
    EXPECT(cowl_release(pool, &reading) == COWL_STATUS_OK);
    EXPECT(cowl_release(pool, &reading) == COWL_STATUS_NOT_MOUNTED);

    cowl_write_plan writing;
    EXPECT(cowl_prepare(pool, root, 45, 1, &writing) == COWL_STATUS_OK && writing.sectors == 1);
    memset(bytes, 0x45, sizeof bytes);
    EXPECT(device->write(device->context, writing.device_sector, bytes, sizeof bytes) == 0);
    uint32_t sum = cowl_crc32c(0, bytes, sizeof bytes);
    EXPECT(cowl_crc32c(0, "123456789", 9) == 0xE3069283u && writing.checksums == 1);
    EXPECT(cowl_commit(pool, &writing, &sum, 1) == COWL_STATUS_OK);
    EXPECT(cowl_commit(pool, &writing, &sum, 1) == COWL_STATUS_NOT_MOUNTED && holds(root, 45, 0x45));
    EXPECT(cowl_prepare(pool, root, 46, 1, &writing) == COWL_STATUS_OK);
    EXPECT(cowl_cancel(pool, &writing) == COWL_STATUS_OK && holds(root, 46, 0));

    cowl_flush_plan flushing;
    EXPECT(cowl_begin_flush(pool, &flushing) == COWL_STATUS_OK);
    EXPECT(cowl_end_flush(pool, &flushing, device->flush(device->context)) == COWL_STATUS_OK);
    EXPECT(cowl_discard(pool, root, 45, 1) == COWL_STATUS_OK);
    return 0;
}

/* A thin volume takes all there is; then nothing that was there before has changed. */
static int full(void) {
    uint32_t hog;
    cowl_attributes as_hog = named("hog");
    cowl_error error;
    cowl_status status = COWL_STATUS_OK;
    EXPECT(cowl_create(pool, &as_hog, 1 << 20, 0, &hog) == COWL_STATUS_OK);
    uint64_t sector = 0;
    while (status == COWL_STATUS_OK) {
        status = fill(hog, sector++, 0xaa);
    }
    EXPECT(status == COWL_STATUS_NO_SPACE && sector > 100);
    EXPECT(cowl_last_error(pool, &error) == COWL_STATUS_OK);
    EXPECT(error.status == COWL_STATUS_NO_SPACE && error.needed > 0);
    cowl_space space;
    EXPECT(cowl_space_of(pool, &space) == COWL_STATUS_OK && space.available < 64 && space.guaranteed > 0);
    EXPECT(cowl_delete(pool, hog) == COWL_STATUS_OK);
    while ((status = cowl_merge_step(pool, 400, NULL, NULL)) == COWL_STATUS_MORE) {
    }
    EXPECT(status == COWL_STATUS_OK && cowl_space_of(pool, &space) == COWL_STATUS_OK && space.available > sector / 2);
    uint64_t next, blocks;
    EXPECT(cowl_discard_free(pool, 0, 1000, &next) >= COWL_STATUS_OK);
    EXPECT(cowl_grow(pool, &blocks) == COWL_STATUS_OK && blocks == space.total);
    return 0;
}

static void tell(void *context, const cowl_finding *finding) {
    (void)context;
    printf("finding: kind %u, block %u, %.*s\n", (unsigned)finding->kind, (unsigned)finding->block,
           (int)finding->what_length, finding->what_length ? finding->what : "");
}

static void watch(void *context, uint64_t visited, uint64_t of) {
    uint64_t *most = context;
    *most = visited > *most ? visited : *most;
    (void)of;
}

static int check_and_list(void) {
    static unsigned char scratch[512];
    uint64_t visited = 0;
    cowl_checked checked;
    EXPECT(cowl_check(pool, scratch, sizeof scratch, 1, tell, watch, &visited, &checked) == COWL_STATUS_OK);
    EXPECT(checked.findings == 0 && checked.layers >= 5 && checked.scrubbed > 0);
    cowl_layer_info info = {.id = 0};
    int layers = 0, records = 0;
    while (cowl_next_layer(pool, info.id, &info) == COWL_STATUS_OK) {
        layers++;
    }
    for (info.id = 0; cowl_next_record(pool, info.id, &info) == COWL_STATUS_OK; records++) {
    }
    EXPECT(layers == 5 && records >= 6);
    cowl_stats stats;
    EXPECT(cowl_stats_of(pool, &stats) == COWL_STATUS_OK && stats.writes > 0 && stats.flushes > 0);
    return 0;
}

static int mount_again(const cowl_device *device, void *memory, size_t size) {
    cowl_error error;
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK);
    EXPECT(cowl_mount(device, NULL, memory, size, COWL_MOUNT_READ_ONLY, &pool, &error) == COWL_STATUS_OK);
    for (uint64_t sector = 0; sector < 64; sector++) {
        EXPECT(holds(root, sector, left_in(sector)));
    }
    EXPECT(holds(data, 0, 0xd0) && fill(root, 0, 1) == COWL_STATUS_READ_ONLY);
    EXPECT(cowl_unmount(pool) == COWL_STATUS_OK && cowl_unmount(pool) == COWL_STATUS_NOT_MOUNTED);
    return 0;
}

/* What a boot loader would do. */
static int read_small(const cowl_device *device, void *memory, size_t size) {
    size_t needed = cowl_reader_memory_size(SECTOR, 0, 4);
    cowl_reader *reader;
    cowl_error error;
    cowl_image image;
    unsigned char bytes[SECTOR];
    EXPECT(needed > 0 && needed < 3000 && needed <= size);
    EXPECT(cowl_reader_mount(device, memory, needed, &reader, &error) == COWL_STATUS_OK && reader != NULL);
    EXPECT(cowl_reader_read(reader, 0, bytes, sizeof bytes) == COWL_STATUS_NO_SUCH_LAYER);
    EXPECT(cowl_reader_open_attachment(reader, "config", NULL) == COWL_STATUS_NONE);
    EXPECT(cowl_reader_open(reader, "root", &image) == COWL_STATUS_OK && image.id == root && image.sectors == 64);
    EXPECT(cowl_reader_open(reader, "config", &image) == COWL_STATUS_NONE && image.id == root);
    for (uint64_t sector = 0; sector < 64; sector++) {
        EXPECT(cowl_reader_read(reader, sector, bytes, sizeof bytes) == COWL_STATUS_OK);
        for (size_t i = 0; i < sizeof bytes; i++) {
            EXPECT(bytes[i] == left_in(sector));
        }
    }
    EXPECT(cowl_reader_read(reader, 64, bytes, sizeof bytes) == COWL_STATUS_OUT_OF_RANGE);
    EXPECT(cowl_reader_last_error(reader, &error) == COWL_STATUS_OK && error.status == COWL_STATUS_OUT_OF_RANGE);
    EXPECT(cowl_reader_open(reader, "before root", NULL) == COWL_STATUS_OK);
    EXPECT(cowl_reader_open_attachment(reader, "config", &image) == COWL_STATUS_OK && image.length == 11);
    EXPECT(cowl_reader_read(reader, 0, bytes, sizeof bytes) == COWL_STATUS_OK && bytes[11] == 0);
    return 0;
}

int scenario(const cowl_device *device, void *memory, size_t size) {
    return format_and_mount(device, memory, size) || volumes() || snapshots() || overwrite_and_go_back() ||
           clone_ask_delete_merge() || holes() || transfers(device) || full() || check_and_list() ||
           mount_again(device, memory, size) || read_small(device, memory, size);
}
