/* A disk in memory that does what it is told to: fails, lies, grows, calls the pool from within. */
#ifndef DISK_H
#define DISK_H

#include "scenario.h"

struct disk {
    unsigned char bytes[1 << 20];
    uint64_t sectors; /* as it says */
    uint64_t end;     /* the first sector at which it fails */
    uint32_t sector_size, alignment, flags;
    int writes_left; /* -1: any number */
    int32_t refusal; /* what it answers to a write too many */
    int32_t discard_answer;
    uint64_t discards, discarded;
    cowl_pool *enter;
    cowl_status entered;
};

extern struct disk disk;
extern cowl_format_options disk_options;

void disk_geometry(void *context, cowl_geometry *geometry);

/* The disk, all zeros and well-behaved, with every callback but `discard`. */
cowl_device disk_blank(void);

/* The disk with a callback `discard`, which overwrites what it is given. */
cowl_device disk_with_discard(void);

#endif
