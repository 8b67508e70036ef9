/* The C interface of cowl: one block device becomes a pool of volumes with snapshots, rollback, branches and merge.
 *
 * Rules that hold for all functions:
 * - A pointer that is not NULL leads to what its type says, for as long as the call lasts.
 * - The memory given to cowl_mount is left alone until the pool is unmounted or abandoned.
 * - One call at a time for each pool; callbacks do not call the pool that called them.
 * - A function returns COWL_STATUS_OK or another status of 0 and above if it worked, and a status below 0 if it did not; unless said
 *   otherwise nothing has changed then. The numbers that belong to an error come from cowl_last_error.
 * NULL, misaligned pointers, buffers inside the pool's own memory and dead pools are refused with a status.
 */

#ifndef COWL_H
#define COWL_H

/* Generated from core/c by cbindgen; `cargo test -p cowl-tests --test c_interface` compares it. */

#include <stddef.h>
#include <stdint.h>

/**
 * The version of this interface. It is raised whenever a structure or a function changes so that a program compiled with an older header would
 * go wrong with it; what is only new leaves it as it is.
 */
#define COWL_ABI_VERSION 1

/**
 * The device refuses writes.
 */
#define COWL_GEOMETRY_READ_ONLY 1

/**
 * The device's `discard` does something.
 */
#define COWL_GEOMETRY_DISCARD 2

/**
 * Volumes that one step can take snapshots of.
 */
#define COWL_SNAPSHOT_VOLUMES 16

/**
 * Refuse all changes.
 */
#define COWL_MOUNT_READ_ONLY 1

/**
 * Space for every block of the volume is reserved: it never runs out.
 */
#define COWL_LAYER_GUARANTEED 1

/**
 * Every data block carries a checksum; writes never overwrite in place.
 */
#define COWL_LAYER_INTEGRITY 2

/**
 * Deleted: invisible, waiting for merge.
 */
#define COWL_LAYER_DELETED 4

/**
 * A deleted branching point that may keep blocks which nobody reads.
 */
#define COWL_LAYER_ARMED 8

/**
 * An attachment that no layer owns yet.
 */
#define COWL_LAYER_STAGED 16

/**
 * Bytes of a name's field: 63 and a terminating zero.
 */
#define COWL_NAME_SIZE 64

/**
 * Bytes that a description can have.
 */
#define COWL_DESCRIPTION_SIZE 767

/**
 * What a call returns: 0 and above if it worked, below 0 if it did not. Unless said otherwise nothing has changed then.
 */
enum cowl_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Done.
     */
    COWL_STATUS_OK = 0,
    /**
     * There is nothing (more) of what was asked for; for transfers: use the plain call.
     */
    COWL_STATUS_NONE = 1,
    /**
     * There is more to do: call again.
     */
    COWL_STATUS_MORE = 2,
    /**
     * A callback of the device failed: its number is in `device`. After a failed write or flush the pool refuses all changes
     * until it is mounted again.
     */
    COWL_STATUS_DEVICE = -1,
    /**
     * An earlier write or flush failed: reads go on, changes need a new mount.
     */
    COWL_STATUS_POISONED = -2,
    /**
     * The device, the mount or the layer is read-only.
     */
    COWL_STATUS_READ_ONLY = -3,
    /**
     * There is nothing of a pool on the device.
     */
    COWL_STATUS_NOT_A_POOL = -4,
    /**
     * The device holds a pool, or the remains of one, and formatting was not forced.
     */
    COWL_STATUS_HOLDS_POOL = -5,
    /**
     * The pool was written by a later version: `major`, `minor`.
     */
    COWL_STATUS_UNSUPPORTED_VERSION = -6,
    /**
     * The pool uses features that this version does not know: `features`.
     */
    COWL_STATUS_UNSUPPORTED_FEATURES = -7,
    /**
     * Damage on the device: `object` at `block`.
     */
    COWL_STATUS_CORRUPT = -8,
    /**
     * The memory given is too small: `needed` bytes.
     */
    COWL_STATUS_MEMORY_TOO_SMALL = -9,
    /**
     * The device is too small: `needed` sectors, it has `actual`.
     */
    COWL_STATUS_DEVICE_TOO_SMALL = -10,
    /**
     * A parameter is outside what the format or the device allows: `reason`.
     */
    COWL_STATUS_BAD_PARAMETER = -11,
    /**
     * The base device is missing, or is not the one that the pool was formatted on.
     */
    COWL_STATUS_WRONG_BASE = -12,
    /**
     * Not enough free blocks: `needed` more.
     */
    COWL_STATUS_NO_SPACE = -13,
    /**
     * The range does not lie inside the layer, which has `actual` sectors, or is not a whole number of sectors.
     */
    COWL_STATUS_OUT_OF_RANGE = -14,
    /**
     * Transfers are under way that must be given back first: `actual`.
     */
    COWL_STATUS_BUSY = -15,
    /**
     * There is no such layer: `layer`.
     */
    COWL_STATUS_NO_SUCH_LAYER = -16,
    /**
     * The operation needs a layer of another kind: `layer`.
     */
    COWL_STATUS_WRONG_KIND = -17,
    /**
     * A live layer already has that name: `layer`.
     */
    COWL_STATUS_NAME_TAKEN = -18,
    /**
     * The name is empty, too long, or has control characters; the description is too long; or either is no UTF-8.
     */
    COWL_STATUS_BAD_NAME = -19,
    /**
     * A counter of the format is used up.
     */
    COWL_STATUS_EXHAUSTED = -20,
    /**
     * The budget of a step is too small: `needed`.
     */
    COWL_STATUS_BUDGET_TOO_SMALL = -21,
    /**
     * The pool was formatted on a device with sectors of `needed` bytes; this one has sectors of `actual`.
     */
    COWL_STATUS_WRONG_SECTOR_SIZE = -22,
    /**
     * Misuse: a pointer is NULL, not aligned, or leads into the pool's own memory. `reason` says which.
     */
    COWL_STATUS_BAD_POINTER = -64,
    /**
     * Misuse: this is no mounted pool, or no transfer or question of this pool.
     */
    COWL_STATUS_NOT_MOUNTED = -65,
    /**
     * Misuse: a callback called the pool that called it.
     */
    COWL_STATUS_ENTERED = -66,
    /**
     * Misuse: the program was compiled with another version of this header. It says `actual`, the library `needed`: the
     * version, or the size of the structure.
     */
    COWL_STATUS_WRONG_ABI = -67,
    /**
     * An error that this version of the interface has no number for.
     */
    COWL_STATUS_UNKNOWN = -128,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cowl_status cowl_status;
#else
typedef int32_t cowl_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a range of a layer holds.
 */
enum cowl_content
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Data, on the device.
     */
    COWL_CONTENT_DATA = 0,
    /**
     * Zeros, without a block.
     */
    COWL_CONTENT_ZERO = 1,
    /**
     * Nothing was ever written: the base device's content at that address, zeros past its end.
     */
    COWL_CONTENT_EMPTY = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cowl_content cowl_content;
#else
typedef uint32_t cowl_content;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a layer is.
 */
enum cowl_layer_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Writable.
     */
    COWL_LAYER_KIND_VOLUME = 0,
    /**
     * Read-only, never changes.
     */
    COWL_LAYER_KIND_SNAPSHOT = 1,
    /**
     * A named blob that belongs to a layer, or is staged for one.
     */
    COWL_LAYER_KIND_ATTACHMENT = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cowl_layer_kind cowl_layer_kind;
#else
typedef uint32_t cowl_layer_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * An object on the device, named in reports of damage.
 */
enum cowl_object
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * None, or one that this version of the interface has no number for.
     */
    COWL_OBJECT_NONE = 0,
    /**
     * A superblock slot.
     */
    COWL_OBJECT_SUPERBLOCK = 1,
    /**
     * The journal.
     */
    COWL_OBJECT_JOURNAL = 2,
    /**
     * A node of a layer's map.
     */
    COWL_OBJECT_MAP_NODE = 3,
    /**
     * A block of a volume's or snapshot's data.
     */
    COWL_OBJECT_DATA = 4,
    /**
     * A node of the space map.
     */
    COWL_OBJECT_SPACE_MAP = 5,
    /**
     * A page or node of the catalog.
     */
    COWL_OBJECT_CATALOG = 6,
    /**
     * A layer's record.
     */
    COWL_OBJECT_LAYER = 7,
    /**
     * The base device.
     */
    COWL_OBJECT_BASE = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cowl_object cowl_object;
#else
typedef uint32_t cowl_object;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What is wrong in a pool.
 */
enum cowl_finding_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * One that this version of the interface has no number for.
     */
    COWL_FINDING_KIND_UNKNOWN = 0,
    /**
     * `object` at `block` does not match its checksum, its parent or its bounds; `layer` leads to it.
     */
    COWL_FINDING_KIND_DAMAGED = 1,
    /**
     * `block` is used, but the space map calls it free.
     */
    COWL_FINDING_KIND_NOT_MARKED = 2,
    /**
     * The space map calls `block` used, but nothing uses it.
     */
    COWL_FINDING_KIND_LEAKED = 3,
    /**
     * Two things use `block`.
     */
    COWL_FINDING_KIND_USED_TWICE = 4,
    /**
     * A count in a record or in the superblock is wrong: `what` of `layer`, `stored` instead of `expected`.
     */
    COWL_FINDING_KIND_COUNT = 5,
    /**
     * A field of a layer's record does not agree with the rest: `what` of `layer`, `stored` instead of `expected`.
     */
    COWL_FINDING_KIND_FIELD = 6,
    /**
     * An entry of the space map counts wrongly below it: `level`, from `block` on, `stored` instead of `expected`.
     */
    COWL_FINDING_KIND_FREE_COUNT = 7,
    /**
     * The superblock's slot `level` cannot be read; the pool lives on the others.
     */
    COWL_FINDING_KIND_SUPERBLOCK_COPY = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum cowl_finding_kind cowl_finding_kind;
#else
typedef uint32_t cowl_finding_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * A mounted pool, somewhere in the memory that was given to `cowl_mount`.
 */
typedef struct cowl_pool cowl_pool;

/**
 * What deleting layers would free: the answer being worked out, in memory of the caller's.
 */
typedef struct cowl_question cowl_question;

/**
 * A pool that is only read, somewhere in the memory that was given to `cowl_reader_mount`.
 */
typedef struct cowl_reader cowl_reader;

/**
 * A range of a layer of one kind.
 */
typedef struct cowl_extent {
    /**
     * First sector.
     */
    uint64_t sector;
    /**
     * Number of sectors, at least one.
     */
    uint64_t count;
    /**
     * For data: its first sector on the device; else 0.
     */
    uint64_t device_sector;
    /**
     * What is there.
     */
    cowl_content content;
} cowl_extent;

/**
 * What the caller says of a new layer.
 */
typedef struct cowl_attributes {
    /**
     * Its name, 1 to 63 bytes of UTF-8, terminated.
     */
    const char *name;
    /**
     * Up to 767 bytes of UTF-8, terminated; may be NULL.
     */
    const char *description;
    /**
     * A unique identifier; cowl stores it and makes none itself.
     */
    uint8_t uuid[16];
    /**
     * The time, in whatever unit the caller keeps.
     */
    uint64_t time;
} cowl_attributes;

/**
 * One volume of a snapshot of several.
 */
typedef struct cowl_snapshot_of {
    /**
     * The volume.
     */
    uint32_t volume;
    /**
     * How many attachments there are.
     */
    uint32_t attachment_count;
    /**
     * Staged attachments that are to belong to the snapshot; may be NULL if there are none.
     */
    const uint32_t *attachments;
    /**
     * What the new snapshot is to be called.
     */
    struct cowl_attributes attributes;
} cowl_snapshot_of;

/**
 * Blocks that a layer owns, or that would come free.
 */
typedef struct cowl_delta {
    /**
     * Data blocks.
     */
    uint64_t data;
    /**
     * Nodes of the map.
     */
    uint64_t nodes;
} cowl_delta;

/**
 * A layer as the catalog describes it. No layer has the number 0: it stands for none.
 */
typedef struct cowl_layer_info {
    /**
     * Its number.
     */
    uint32_t id;
    /**
     * What it is.
     */
    cowl_layer_kind kind;
    /**
     * `COWL_LAYER_...`
     */
    uint32_t flags;
    /**
     * The layer below, in the tree; 0 if there is none.
     */
    uint32_t parent;
    /**
     * The tree that it belongs to: the volume that was created first.
     */
    uint32_t family;
    /**
     * Layers whose parent it is.
     */
    uint32_t children;
    /**
     * For an attachment: the layer that it belongs to; else 0.
     */
    uint32_t owner;
    /**
     * To which snapshot it was last rolled back; 0 if never.
     */
    uint32_t reverted_from;
    /**
     * When, as the caller said; 0 if never.
     */
    uint64_t reverted_at;
    /**
     * When it was made, as the caller said.
     */
    uint64_t created;
    /**
     * Size in sectors.
     */
    uint64_t sectors;
    /**
     * An attachment's length in bytes.
     */
    uint64_t length;
    /**
     * What it owns.
     */
    struct cowl_delta delta;
    /**
     * Bytes of its description.
     */
    uint32_t description_length;
    /**
     * Given by the caller when it was made.
     */
    uint8_t uuid[16];
    /**
     * Its name, terminated; empty for anonymous deleted layers.
     */
    char name[COWL_NAME_SIZE];
} cowl_layer_info;

/**
 * What the size of the memory depends on. 0 stands for what suits the block size.
 */
typedef struct cowl_limits {
    /**
     * Blocks of the pool.
     */
    uint64_t pool_blocks;
    /**
     * Blocks of the largest volume; 0: as many as the pool has.
     */
    uint64_t volume_blocks;
    /**
     * The highest layer number that will be given out; 0: 10,000.
     */
    uint32_t layers;
    /**
     * Records of the pending table, as the pool was formatted; 0: what `cowl_format` chooses.
     */
    uint32_t pending;
    /**
     * The alignment that the device wants of its buffers; 0: none.
     */
    uint32_t alignment;
} cowl_limits;

/**
 * Size and shape of a device.
 */
typedef struct cowl_geometry {
    /**
     * Number of sectors.
     */
    uint64_t sectors;
    /**
     * Bytes in a sector: a power of two from 512 to 65,536.
     */
    uint32_t sector_size;
    /**
     * Bytes that the device rewrites as a whole (4096 on a 512e disk); 0 means one sector.
     */
    uint32_t physical_size;
    /**
     * Alignment in memory that the device wants of its buffers, in bytes; 0 means that it does not care.
     */
    uint32_t alignment;
    /**
     * `COWL_GEOMETRY_READ_ONLY`, `COWL_GEOMETRY_DISCARD`.
     */
    uint32_t flags;
} cowl_geometry;

/**
 * A block device, as callbacks. They return 0, or a number of the caller's own that comes back in `cowl_error.device`.
 *
 * The contract is that of `cowl::BlockDevice`: buffers are whole sectors, and when `flush` returns 0 every write that returned before it
 * was called survives power loss. A callback must not call the pool that called it.
 */
typedef struct cowl_device {
    /**
     * `COWL_ABI_VERSION`.
     */
    uint32_t abi_version;
    /**
     * `sizeof(cowl_device)`.
     */
    uint32_t size;
    /**
     * Handed to every callback.
     */
    void *context;
    /**
     * Fills in size and shape; every field is 0 before. Asked again whenever it matters.
     */
    void (*geometry)(void *context, struct cowl_geometry *geometry);
    /**
     * Fills the buffer with the sectors from `sector` on.
     */
    int32_t (*read)(void *context, uint64_t sector, void *buffer, size_t length);
    /**
     * Stores the buffer in the sectors from `sector` on. May be NULL on a read-only device.
     */
    int32_t (*write)(void *context, uint64_t sector, const void *buffer, size_t length);
    /**
     * Makes every completed write durable. May be NULL on a read-only device.
     */
    int32_t (*flush)(void *context);
    /**
     * Tells the device that nothing needs these sectors any more. May be NULL.
     */
    int32_t (*discard)(void *context, uint64_t sector, uint64_t count);
} cowl_device;

/**
 * How a pool is made.
 */
typedef struct cowl_format_options {
    /**
     * Bytes in a block: a power of two from 512 to 65,536, at least the device's physical unit.
     */
    uint32_t block_size;
    /**
     * Records that the pending table can hold, at least 2; 0: what suits the block size.
     */
    uint32_t pending;
    /**
     * Units of the journal, at least 3; 0: what suits the block size.
     */
    uint32_t journal_units;
    /**
     * 1: format although the device holds a pool.
     */
    uint32_t force;
    /**
     * The pool's identifier; never the same for two pools.
     */
    uint8_t uuid[16];
} cowl_format_options;

/**
 * An error with its numbers. Fields that do not belong to the status are 0.
 */
typedef struct cowl_error {
    /**
     * What went wrong.
     */
    cowl_status status;
    /**
     * What the device's callback returned.
     */
    int32_t device;
    /**
     * The layer that it is about.
     */
    uint32_t layer;
    /**
     * What is damaged.
     */
    cowl_object object;
    /**
     * Unknown features, as bits.
     */
    uint32_t features;
    /**
     * Major version of the pool's format.
     */
    uint16_t major;
    /**
     * Minor version of the pool's format.
     */
    uint16_t minor;
    /**
     * What is needed, in the unit that the status says.
     */
    uint64_t needed;
    /**
     * What there is, in the unit that the status says.
     */
    uint64_t actual;
    /**
     * The damaged block.
     */
    uint64_t block;
    /**
     * A sentence for people, not terminated; NULL if there is none. Valid for ever.
     */
    const char *reason;
    /**
     * Bytes of the sentence.
     */
    size_t reason_length;
} cowl_error;

/**
 * A layer that has been opened.
 */
typedef struct cowl_image {
    /**
     * Its size in sectors.
     */
    uint64_t sectors;
    /**
     * The length of an attachment in bytes; 0 for other layers.
     */
    uint64_t length;
    /**
     * The layer's number.
     */
    uint32_t id;
} cowl_image;

/**
 * A range that is being read outside the pool. Give it back with `cowl_release`.
 */
typedef struct cowl_read_plan {
    /**
     * What is to be read, and where it is: data on the device, or zeros.
     */
    struct cowl_extent extent;
    /**
     * The pool's own.
     */
    uint64_t private_[8];
} cowl_read_plan;

/**
 * A range that is being written outside the pool. Give it back with `cowl_commit` or `cowl_cancel`.
 */
typedef struct cowl_write_plan {
    /**
     * First sector on the device.
     */
    uint64_t device_sector;
    /**
     * Number of sectors.
     */
    uint64_t sectors;
    /**
     * Checksums that `cowl_commit` wants: one for each whole block, in order; 0 if it needs none.
     */
    uint64_t checksums;
    /**
     * The pool's own.
     */
    uint64_t private_[12];
} cowl_write_plan;

/**
 * A flush of which the device's part is still to be done. Give it back with `cowl_end_flush`.
 */
typedef struct cowl_flush_plan {
    /**
     * The pool's own.
     */
    uint64_t private_[6];
} cowl_flush_plan;

/**
 * The pool's space, in blocks.
 */
typedef struct cowl_space {
    /**
     * Blocks of the device.
     */
    uint64_t total;
    /**
     * Blocks that nothing uses.
     */
    uint64_t free;
    /**
     * Free blocks that are promised to guaranteed volumes.
     */
    uint64_t guaranteed;
    /**
     * Free blocks that are set aside for checkpoints.
     */
    uint64_t reserve;
    /**
     * Blocks of deleted layers without children, which merge gives back.
     */
    uint64_t reclaimable;
    /**
     * Blocks that a thin volume can still take, its map's nodes included.
     */
    uint64_t available;
} cowl_space;

/**
 * Counts of what the pool has done since it was mounted.
 */
typedef struct cowl_stats {
    /**
     * Read calls on the device.
     */
    uint64_t reads;
    /**
     * Write calls on the device.
     */
    uint64_t writes;
    /**
     * Flush calls on the device.
     */
    uint64_t flushes;
    /**
     * Data blocks copied because only a part of them was written.
     */
    uint64_t copies;
    /**
     * Checkpoints.
     */
    uint64_t checkpoints;
    /**
     * Journal groups.
     */
    uint64_t groups;
} cowl_stats;

/**
 * What a pool says of itself.
 */
typedef struct cowl_pool_info {
    /**
     * The pool's identifier.
     */
    uint8_t uuid[16];
    /**
     * Format version.
     */
    uint16_t major;
    /**
     * Format version.
     */
    uint16_t minor;
    /**
     * Bytes in a block.
     */
    uint32_t block_size;
    /**
     * Bytes in a sector.
     */
    uint32_t sector_size;
    /**
     * Bytes in a journal unit.
     */
    uint32_t unit_size;
    /**
     * Units of the journal.
     */
    uint32_t journal_units;
    /**
     * Records of the pending table.
     */
    uint32_t pending;
    /**
     * Records that are pending now.
     */
    uint32_t pending_used;
    /**
     * The epoch in which entries are being written.
     */
    uint32_t epoch;
    /**
     * Checkpoints in the pool's life.
     */
    uint64_t generation;
    /**
     * The next layer's number.
     */
    uint32_t next_layer;
    /**
     * Layer records, deleted ones and attachments among them.
     */
    uint32_t layers;
    /**
     * Deleted layers that wait for merge.
     */
    uint32_t deleted;
    /**
     * Staged attachments.
     */
    uint32_t staged;
    /**
     * Sectors of the base device; 0 if there is none.
     */
    uint64_t base_sectors;
    /**
     * Bytes of metadata that the memory can hold.
     */
    uint64_t cache_size;
    /**
     * The first address that is still to do in the layer being merged.
     */
    uint64_t merging_from;
    /**
     * The layer that is being merged; 0 if none is.
     */
    uint32_t merging;
    /**
     * Levels of the highest map, of the catalog, of the space map.
     */
    uint8_t heights[3];
    /**
     * 1 if changes are refused.
     */
    uint8_t read_only;
    /**
     * 1 if an earlier write failed.
     */
    uint8_t poisoned;
} cowl_pool_info;

/**
 * Something that is not as it must be. Fields that do not belong to the kind are 0.
 */
typedef struct cowl_finding {
    /**
     * What is wrong.
     */
    cowl_finding_kind kind;
    /**
     * What is damaged.
     */
    cowl_object object;
    /**
     * The layer; 0 if it is about none.
     */
    uint32_t layer;
    /**
     * A level of the space map, or a slot of the superblock.
     */
    uint32_t level;
    /**
     * The block.
     */
    uint64_t block;
    /**
     * What is on the device.
     */
    uint64_t stored;
    /**
     * What there should be.
     */
    uint64_t expected;
    /**
     * The name of the count or field, not terminated; NULL if there is none. Valid for ever.
     */
    const char *what;
    /**
     * Bytes of that name.
     */
    size_t what_length;
} cowl_finding;

/**
 * The sum of a check.
 */
typedef struct cowl_checked {
    /**
     * Findings reported.
     */
    uint64_t findings;
    /**
     * Blocks in use, the fixed ones not counted.
     */
    uint64_t blocks;
    /**
     * Layer records.
     */
    uint64_t layers;
    /**
     * Data blocks whose checksums were verified.
     */
    uint64_t scrubbed;
    /**
     * Walks that were needed.
     */
    uint64_t passes;
} cowl_checked;

/**
 * What a volume needs to be a device; filled in by `cowl_volume_device`.
 */
typedef struct cowl_volume_context {
    /**
     * The pool that the volume is in.
     */
    struct cowl_pool *pool;
    /**
     * The volume or snapshot.
     */
    uint32_t layer;
} cowl_volume_context;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Not part of the library: the program defines it if the library was built with the feature `checksum`. CRC-32C over more bytes, with the
 * same result as `cowl_crc32c`; it must not call the pool.
 */
extern uint32_t cowl_checksum(uint32_t so_far,
                              const void *bytes,
                              size_t length);

/**
 * Reads whole sectors of any layer.
 */
cowl_status cowl_read(struct cowl_pool *pool, uint32_t layer, uint64_t sector, void *buffer, size_t length);

/**
 * Writes whole sectors of a volume; durable after the next `cowl_flush`.
 *
 * Power loss: each sector holds its old content or the new, until it is flushed.
 */
cowl_status cowl_write(struct cowl_pool *pool, uint32_t volume, uint64_t sector, const void *buffer, size_t length);

/**
 * Reads bytes of a layer from any position on; an attachment ends with its last byte. `done` gets how many there were: less than
 * `length` only at the end.
 */
cowl_status cowl_read_bytes(struct cowl_pool *pool,
                            uint32_t layer,
                            uint64_t position,
                            void *buffer,
                            size_t length,
                            size_t *done);

/**
 * Writes bytes of a volume or of a staged attachment at any position, which must lie inside it as a whole. Sectors that are written in part
 * are read first.
 */
cowl_status cowl_write_bytes(struct cowl_pool *pool,
                             uint32_t volume,
                             uint64_t position,
                             const void *buffer,
                             size_t length);

/**
 * Gives up the whole blocks inside the range: they read as zeros.
 */
cowl_status cowl_discard(struct cowl_pool *pool, uint32_t volume, uint64_t sector, uint64_t count);

/**
 * Makes every sector of the range read as zeros; whole blocks give up their space.
 */
cowl_status cowl_write_zeroes(struct cowl_pool *pool, uint32_t volume, uint64_t sector, uint64_t count);

/**
 * Makes every write so far durable.
 */
cowl_status cowl_flush(struct cowl_pool *pool);

/**
 * Brings what is pending into the trees and empties the journal.
 */
cowl_status cowl_checkpoint(struct cowl_pool *pool);

/**
 * What a layer holds from a sector on.
 */
cowl_status cowl_extent_at(struct cowl_pool *pool, uint32_t layer, uint64_t sector, struct cowl_extent *extent);

/**
 * Makes a volume of `sectors` sectors that reads as zeros (or as the base device). `flags`: `COWL_LAYER_GUARANTEED`,
 * `COWL_LAYER_INTEGRITY`.
 */
cowl_status cowl_create(struct cowl_pool *pool,
                        const struct cowl_attributes *attributes,
                        uint64_t sectors,
                        uint32_t flags,
                        uint32_t *volume);

/**
 * Takes a snapshot of a volume.
 */
cowl_status cowl_snapshot(struct cowl_pool *pool,
                          uint32_t volume,
                          const struct cowl_attributes *attributes,
                          uint32_t *snapshot);

/**
 * Takes snapshots of up to `COWL_SNAPSHOT_VOLUMES` volumes at one moment, with attachments, in one commit. Their numbers follow one
 * another; the first is given back.
 */
cowl_status cowl_snapshot_all(struct cowl_pool *pool,
                              const struct cowl_snapshot_of *items,
                              size_t count,
                              uint32_t *first);

/**
 * Makes the volume what it was when the snapshot was taken. With `keep` its old state becomes a snapshot of that name, whose number goes
 * to `kept`; with NULL it is given up to merge, and `kept` gets 0. `kept` may be NULL.
 */
cowl_status cowl_rollback(struct cowl_pool *pool,
                          uint32_t volume,
                          uint32_t snapshot,
                          uint64_t time,
                          const struct cowl_attributes *keep,
                          uint32_t *kept);

/**
 * Makes a new volume that starts as the snapshot is. `guaranteed`: 1 to reserve all its space.
 */
cowl_status cowl_clone(struct cowl_pool *pool,
                       uint32_t snapshot,
                       const struct cowl_attributes *attributes,
                       uint32_t guaranteed,
                       uint32_t *volume);

/**
 * Deletes a layer and its attachments: they are gone at once, their space comes back by `cowl_merge_step`.
 */
cowl_status cowl_delete(struct cowl_pool *pool, uint32_t layer);

/**
 * Gives a layer another name.
 */
cowl_status cowl_rename(struct cowl_pool *pool, uint32_t layer, const char *name);

/**
 * Gives a layer another description, of up to 767 bytes.
 */
cowl_status cowl_describe(struct cowl_pool *pool, uint32_t layer, const char *text);

/**
 * Changes the size of a volume.
 */
cowl_status cowl_resize(struct cowl_pool *pool, uint32_t volume, uint64_t sectors);

/**
 * Makes room for a blob of `length` bytes that is to be attached to a layer. It is written like a volume, and is gone at the next
 * mount if no layer has taken it.
 */
cowl_status cowl_stage_attachment(struct cowl_pool *pool,
                                  const struct cowl_attributes *attributes,
                                  uint64_t length,
                                  uint32_t *staged);

/**
 * Gives a staged attachment to a layer; it never changes again and goes with the layer.
 */
cowl_status cowl_attach(struct cowl_pool *pool, uint32_t layer, uint32_t staged);

/**
 * A live layer.
 */
cowl_status cowl_layer_of(struct cowl_pool *pool, uint32_t layer, struct cowl_layer_info *info);

/**
 * The volume or snapshot with this name; `COWL_STATUS_NONE` if there is none.
 */
cowl_status cowl_find(struct cowl_pool *pool, const char *name, struct cowl_layer_info *info);

/**
 * The first live volume or snapshot behind the number `after` (0 to begin); `COWL_STATUS_NONE` at the end.
 */
cowl_status cowl_next_layer(struct cowl_pool *pool, uint32_t after, struct cowl_layer_info *info);

/**
 * The first record behind the number `after` (0 to begin): any kind, deleted layers too; `COWL_STATUS_NONE` at the end.
 */
cowl_status cowl_next_record(struct cowl_pool *pool, uint32_t after, struct cowl_layer_info *info);

/**
 * The first attachment of a layer (`after` 0), or the one behind `after`; `COWL_STATUS_NONE` at the end.
 */
cowl_status cowl_next_attachment(struct cowl_pool *pool, uint32_t owner, uint32_t after, struct cowl_layer_info *info);

/**
 * Copies as much of a layer's description as fits, not terminated; `length` gets how much that is.
 */
cowl_status cowl_description(struct cowl_pool *pool, uint32_t layer, char *buffer, size_t size, size_t *length);

/**
 * The version of the library's interface: what `COWL_ABI_VERSION` was when it was built.
 */
uint32_t cowl_abi_version(void);

/**
 * Bytes of memory that `cowl_mount` needs for a pool within these limits; more makes the pool faster. 0 if a limit is
 * outside what the format allows.
 */
size_t cowl_memory_size(uint32_t block_size, const struct cowl_limits *limits);

/**
 * Makes an empty pool on the device. With a base device its volumes show that wherever nothing was written; without, pass NULL.
 * The memory is needed during the call only, as much as for `cowl_mount`. `error` may be NULL.
 *
 * Power loss: the device holds no pool, or the whole empty one.
 */
cowl_status cowl_format(const struct cowl_device *device,
                        const struct cowl_device *base,
                        void *memory,
                        size_t size,
                        const struct cowl_format_options *options,
                        struct cowl_error *error);

/**
 * Opens the pool on the device, with the base device that it was made on, or NULL. The pool lies in the memory, and `*pool` leads to
 * it until `cowl_unmount` or `cowl_abandon`; NULL if this fails. `flags`: `COWL_MOUNT_READ_ONLY`. `error` may be NULL.
 *
 * Power loss: nothing is written, all is as before.
 */
cowl_status cowl_mount(const struct cowl_device *device,
                       const struct cowl_device *base,
                       void *memory,
                       size_t size,
                       uint32_t flags,
                       struct cowl_pool **pool,
                       struct cowl_error *error);

/**
 * Ends the mount: whatever is pending goes into the trees. The pool is then gone and the memory the caller's again, also after an error
 * of the device (as after a power loss). With `COWL_STATUS_POISONED` or `COWL_STATUS_BUSY` it stays mounted: give the transfers back,
 * or give it up with `cowl_abandon`.
 */
cowl_status cowl_unmount(struct cowl_pool *pool);

/**
 * Gives the pool up as it is: what was not flushed may be lost. The memory is the caller's again.
 */
cowl_status cowl_abandon(struct cowl_pool *pool);

/**
 * The numbers that belong to the last call on this pool that failed. Misuse of the pool's own pointer leaves none.
 */
cowl_status cowl_last_error(const struct cowl_pool *pool, struct cowl_error *error);

/**
 * Bytes of memory that `cowl_reader_mount` needs; 0 if the format allows no such pool. `pending` is what the pool was formatted with, 0: what
 * `cowl_format` chooses; `alignment` what the device wants of its buffers, 0: nothing.
 */
size_t cowl_reader_memory_size(uint32_t block_size,
                               uint32_t pending,
                               uint32_t alignment);

/**
 * Opens the pool on the device, to read and no more, with a tenth of the code that a pool takes. The reader lies in the memory, and `*reader` leads
 * to it for as long as the memory is left alone; there is nothing to end. NULL if this fails. A pool on a base device is refused. `error` may be NULL.
 *
 * Power loss: nothing is written, all is as before.
 */
cowl_status cowl_reader_mount(const struct cowl_device *device,
                              void *memory,
                              size_t size,
                              struct cowl_reader **reader,
                              struct cowl_error *error);

/**
 * Opens the volume or snapshot of this name: `cowl_reader_read` reads it from now on. `COWL_STATUS_NONE` if there is none; what was open stays so.
 */
cowl_status cowl_reader_open(struct cowl_reader *reader,
                             const char *name,
                             struct cowl_image *image);

/**
 * Opens the attachment of this name of the layer that is open, and reads that from now on. `COWL_STATUS_NONE` if there is none, or no layer is open;
 * what was open stays so.
 */
cowl_status cowl_reader_open_attachment(struct cowl_reader *reader,
                                        const char *name,
                                        struct cowl_image *image);

/**
 * Reads whole sectors of the layer that is open; `COWL_STATUS_NO_SUCH_LAYER` if none is.
 */
cowl_status cowl_reader_read(struct cowl_reader *reader, uint64_t sector, void *buffer, size_t length);

/**
 * The numbers that belong to the last call on this reader that failed.
 */
cowl_status cowl_reader_last_error(const struct cowl_reader *reader, struct cowl_error *error);

/**
 * A sentence about a status, for people; never NULL, and valid for ever.
 */
const char *cowl_status_text(int32_t status);

/**
 * Where the sectors of a layer are, from `sector` on and at most `count`: to be read by the program, outside the pool. True until it is
 * released. `COWL_STATUS_NONE`: use `cowl_read`, because the data has a checksum to be verified, or shows the base device.
 */
cowl_status cowl_resolve(struct cowl_pool *pool,
                         uint32_t layer,
                         uint64_t sector,
                         uint64_t count,
                         struct cowl_read_plan *plan);

/**
 * The data has been read, or will not be.
 */
cowl_status cowl_release(struct cowl_pool *pool, struct cowl_read_plan *plan);

/**
 * Plans a write of at most `count` sectors from `sector` on, one contiguous range of the device: to be written by the program, outside
 * the pool, and then committed. `COWL_STATUS_NONE`: use `cowl_write`, because a new block is written in part only, or there is not
 * plenty of room.
 */
cowl_status cowl_prepare(struct cowl_pool *pool,
                         uint32_t volume,
                         uint64_t sector,
                         uint64_t count,
                         struct cowl_write_plan *plan);

/**
 * The data has been written: from now on it is what the volume holds, and durable after the next flush. `sums`: what `cowl_crc32c(0, ...)`
 * gives for each block, `count` of them, as many as `plan.checksums`.
 */
cowl_status cowl_commit(struct cowl_pool *pool,
                        struct cowl_write_plan *plan,
                        const uint32_t *sums,
                        size_t count);

/**
 * The data has not been written, or only in part.
 */
cowl_status cowl_cancel(struct cowl_pool *pool, struct cowl_write_plan *plan);

/**
 * The first half of a flush: what the pool itself has to write. The program then flushes the device and ends it.
 * `COWL_STATUS_NONE`: all is done already.
 */
cowl_status cowl_begin_flush(struct cowl_pool *pool, struct cowl_flush_plan *plan);

/**
 * The second half: what the device answered, 0 if it flushed.
 */
cowl_status cowl_end_flush(struct cowl_pool *pool, struct cowl_flush_plan *plan, int32_t answer);

/**
 * How many transfers are under way.
 */
cowl_status cowl_transfers(struct cowl_pool *pool, uint32_t *count);

/**
 * CRC-32C, as the pool counts it. `so_far`: the checksum of the bytes before, 0 to start. 0 if the buffer cannot be read.
 */
uint32_t cowl_crc32c(uint32_t so_far,
                     const void *buffer,
                     size_t length);

/**
 * Does a bounded piece of merge: at most `budget` device operations beside the checkpoint of what is pending, one commit.
 * `COWL_STATUS_MORE` while there is more to do, `COWL_STATUS_OK` when no deleted layer is left to work on. `layer` gets the layer that was
 * worked on and `left` the blocks that it still holds; both may be NULL.
 */
cowl_status cowl_merge_step(struct cowl_pool *pool,
                            uint32_t budget,
                            uint32_t *layer,
                            uint64_t *left);

/**
 * The first range at or behind `from` in which layer `b` may differ from layer `a`, as it is in `b`; `COWL_STATUS_NONE` if there is none.
 */
cowl_status cowl_diff(struct cowl_pool *pool,
                      uint32_t a,
                      uint32_t b,
                      uint64_t from,
                      struct cowl_extent *extent);

/**
 * The pool's space at this moment.
 */
cowl_status cowl_space_of(struct cowl_pool *pool, struct cowl_space *space);

/**
 * Counts of what was done since the mount.
 */
cowl_status cowl_stats_of(struct cowl_pool *pool, struct cowl_stats *stats);

/**
 * What the pool says of itself.
 */
cowl_status cowl_pool_info_of(struct cowl_pool *pool, struct cowl_pool_info *info);

/**
 * Takes in a device that has grown; `blocks` gets the new number of blocks and may be NULL. `COWL_STATUS_DEVICE_TOO_SMALL` if the device turns out to
 * have less than it says.
 */
cowl_status cowl_grow(struct cowl_pool *pool,
                      uint64_t *blocks);

/**
 * Tells the device which blocks are free, from a block on, for about `budget` device operations. `COWL_STATUS_MORE`: `next` gets the block to
 * go on from.
 */
cowl_status cowl_discard_free(struct cowl_pool *pool,
                              uint64_t from,
                              uint32_t budget,
                              uint64_t *next);

/**
 * Walks everything and reports what is wrong. `scratch` holds a bit for each block, at least 64 bytes: the more of them fit, the
 * fewer walks. `scrub` 1: every data block is read too. `report` is told every finding, and `progress` now and then how many blocks have
 * been visited, of how many; both get `context`, may be NULL and must not call the pool. `checked` gets the sum.
 *
 * Damage that is found is reported, not returned: the pool is sound if `checked.findings` is 0.
 */
cowl_status cowl_check(struct cowl_pool *pool,
                       void *scratch,
                       size_t size,
                       uint32_t scrub,
                       void (*report)(void *context, const struct cowl_finding *finding),
                       void (*progress)(void *context, uint64_t visited, uint64_t of),
                       void *context,
                       struct cowl_checked *checked);

/**
 * Begins to work out what deleting all layers of a set, and merging, would free. The question lies in the memory given, and `*question` leads to it;
 * there is nothing to be ended. The memory and the set must stay as they are until the answer is there.
 */
cowl_status cowl_what_if(struct cowl_pool *pool,
                         const uint32_t *set,
                         size_t count,
                         void *memory,
                         size_t size,
                         struct cowl_question **question);

/**
 * Works on the answer for about `budget` device reads: `COWL_STATUS_MORE` while there is more to do, then `COWL_STATUS_OK` and the answer in
 * `freed`. It is the answer for the pool as it is then: after a change in between the work begins anew.
 */
cowl_status cowl_what_if_step(struct cowl_pool *pool,
                              struct cowl_question *question,
                              uint32_t budget,
                              struct cowl_delta *freed);

/**
 * Makes a device of a volume, or a read-only one of a snapshot: another pool, a FAT or a littlefs can lie on it. Its `context` leads to
 * `*context`, which stays where it is, as the pool stays mounted, for as long as the device is in use. Unmount what lies on it first.
 *
 * The device's callbacks answer with the `cowl_status` of `pool`, so that is what a pool on it has in `cowl_error.device`. Once the pool is
 * unmounted or the layer deleted they fail, and the device has no sectors.
 */
cowl_status cowl_volume_device(struct cowl_pool *pool,
                               uint32_t layer,
                               struct cowl_volume_context *context,
                               struct cowl_device *device);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* COWL_H */
