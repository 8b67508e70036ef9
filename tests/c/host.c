/* The scenario over a file, and everything that a program and its devices can do wrong. The first argument names the file, the second its sectors. */
#include "devices.h"
#include "misuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct file {
    int descriptor;
    uint64_t sectors;
};

static void file_geometry(void *context, cowl_geometry *geometry) {
    const struct file *file = context;
    geometry->sectors = file->sectors;
    geometry->sector_size = SECTOR;
}

static int32_t file_read(void *context, uint64_t sector, void *buffer, size_t length) {
    const struct file *file = context;
    ssize_t done = pread(file->descriptor, buffer, length, (off_t)(sector * SECTOR));
    return done == (ssize_t)length ? 0 : errno + 1000;
}

static int32_t file_write(void *context, uint64_t sector, const void *buffer, size_t length) {
    const struct file *file = context;
    ssize_t done = pwrite(file->descriptor, buffer, length, (off_t)(sector * SECTOR));
    return done == (ssize_t)length ? 0 : errno + 1000;
}

static int32_t file_flush(void *context) {
    const struct file *file = context;
    return fdatasync(file->descriptor) == 0 ? 0 : errno + 1000;
}

int main(int count, char **arguments) {
    if (count != 3) {
        return 2;
    }
    struct file file = {open(arguments[1], O_RDWR), strtoull(arguments[2], NULL, 10)};
    if (file.descriptor < 0) {
        perror(arguments[1]);
        return 2;
    }
    cowl_device device = {
        .abi_version = COWL_ABI_VERSION,
        .size = sizeof device,
        .context = &file,
        .geometry = file_geometry,
        .read = file_read,
        .write = file_write,
        .flush = file_flush,
    };
    size_t size = 24 << 10;
    unsigned char *memory = malloc(size);
    int result = misuse(&device, memory, size) || devices(memory, size) || damage(memory, size) ||
                 scenario(&device, memory, size);
    free(memory);
    close(file.descriptor);
    if (result == 0) {
        puts("scenario: ok");
    }
    return result;
}
