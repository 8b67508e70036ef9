#include "disk.h"

#include <string.h>

struct disk disk;
cowl_format_options disk_options = {.block_size = SECTOR, .uuid = {9}};

void disk_geometry(void *context, cowl_geometry *geometry) {
    const struct disk *it = context;
    geometry->sectors = it->sectors;
    geometry->sector_size = it->sector_size;
    geometry->alignment = it->alignment;
    geometry->flags = it->flags;
}

/* The bytes of a range, or NULL past the end. */
static unsigned char *at(struct disk *it, uint64_t sector, uint64_t length) {
    uint64_t end = it->end * it->sector_size;
    return length <= end && sector <= (end - length) / it->sector_size ? it->bytes + sector * it->sector_size : NULL;
}

static int32_t disk_read(void *context, uint64_t sector, void *buffer, size_t length) {
    struct disk *it = context;
    const unsigned char *from = at(it, sector, length);
    if (it->enter) {
        it->entered = cowl_flush(it->enter);
    }
    if (from == NULL) {
        return -22;
    }
    memcpy(buffer, from, length);
    return 0;
}

static int32_t disk_write(void *context, uint64_t sector, const void *buffer, size_t length) {
    struct disk *it = context;
    unsigned char *to = at(it, sector, length);
    if (to == NULL) {
        return -22;
    }
    if (it->writes_left == 0) {
        return it->refusal;
    }
    it->writes_left -= it->writes_left > 0;
    memcpy(to, buffer, length);
    return 0;
}

static int32_t disk_flush(void *context) {
    (void)context;
    return 0;
}

static int32_t disk_discard(void *context, uint64_t sector, uint64_t count) {
    struct disk *it = context;
    unsigned char *to = at(it, sector, count * it->sector_size);
    if (to == NULL) {
        return -22;
    }
    it->discards++;
    it->discarded += count;
    if (it->discard_answer == 0) {
        memset(to, 0xee, count * it->sector_size);
    }
    return it->discard_answer;
}

cowl_device disk_blank(void) {
    memset(&disk, 0, sizeof disk);
    disk.sectors = disk.end = sizeof disk.bytes / SECTOR;
    disk.sector_size = SECTOR;
    disk.writes_left = -1;
    disk.refusal = -5;
    cowl_device device = {
        .abi_version = COWL_ABI_VERSION,
        .size = sizeof device,
        .context = &disk,
        .geometry = disk_geometry,
        .read = disk_read,
        .write = disk_write,
        .flush = disk_flush,
    };
    return device;
}

cowl_device disk_with_discard(void) {
    cowl_device device = disk_blank();
    device.discard = disk_discard;
    disk.flags = COWL_GEOMETRY_DISCARD;
    return device;
}
