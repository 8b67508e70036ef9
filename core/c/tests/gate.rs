//! The gate between C and Rust, driven from Rust so that an interpreter can watch every access: `cargo +nightly miri test -p cowl-c`.

use std::{ffi::c_void, mem::MaybeUninit, ptr, slice};

use cowl_c::*;

const SECTORS: usize = 512;

/// A disk in memory that calls the pool from within, if it is told to.
struct Disk {
    bytes: Vec<u8>,
    enter: *mut Handle,
    entered: Status,
}

unsafe extern "C" fn geometry(_: *mut c_void, geometry: *mut Geometry) {
    unsafe { (*geometry).sectors = SECTORS as u64 };
    unsafe { (*geometry).sector_size = 512 };
}

unsafe extern "C" fn read(context: *mut c_void, sector: u64, buffer: *mut c_void, length: usize) -> i32 {
    let disk = unsafe { &mut *context.cast::<Disk>() };
    if !disk.enter.is_null() {
        disk.entered = unsafe { cowl_flush(disk.enter) };
    }
    let Some(from) = disk.bytes.get(usize::try_from(sector).unwrap() * 512..).and_then(|rest| rest.get(..length))
    else {
        return 1;
    };
    unsafe { slice::from_raw_parts_mut(buffer.cast(), length) }.copy_from_slice(from);
    0
}

unsafe extern "C" fn write(context: *mut c_void, sector: u64, buffer: *const c_void, length: usize) -> i32 {
    let disk = unsafe { &mut *context.cast::<Disk>() };
    let from = usize::try_from(sector).unwrap() * 512;
    let Some(to) = disk.bytes.get_mut(from..).and_then(|rest| rest.get_mut(..length)) else { return 1 };
    to.copy_from_slice(unsafe { slice::from_raw_parts(buffer.cast(), length) });
    0
}

unsafe extern "C" fn flush(_: *mut c_void) -> i32 {
    0
}

/// The checksum of a program that brings its own.
#[cfg(feature = "checksum")]
#[unsafe(no_mangle)]
unsafe extern "C" fn cowl_checksum(so_far: u32, bytes: *const c_void, length: usize) -> u32 {
    unsafe { cowl_crc32c(so_far, bytes, length) }
}

unsafe extern "C" fn found(context: *mut c_void, _: *const Finding) {
    unsafe { *context.cast::<u32>() += 1 };
}

fn device(disk: *mut Disk) -> Device {
    Device {
        abi_version: ABI_VERSION,
        size: u32::try_from(size_of::<Device>()).unwrap(),
        context: disk.cast(),
        geometry: Some(geometry),
        read: Some(read),
        write: Some(write),
        flush: Some(flush),
        discard: None,
    }
}

fn named(name: &'static std::ffi::CStr) -> LayerAttributes {
    LayerAttributes { name: name.as_ptr(), description: ptr::null(), uuid: [0; 16], time: 0 }
}

/// A pool in memory that begins at an odd address and was never written before, on a disk of its own.
fn with_pool(work: impl FnOnce(*mut Handle, *mut Disk)) {
    let mut disk = Disk { bytes: vec![0; SECTORS * 512], enter: ptr::null_mut(), entered: Status::Ok };
    let disk: *mut Disk = &raw mut disk;
    let device = device(disk);
    let mut memory: Vec<MaybeUninit<u8>> = Vec::with_capacity(16 << 10);
    let (place, size) = (unsafe { memory.as_mut_ptr().add(1) }.cast::<c_void>(), (16 << 10) - 1);
    let options = PoolOptions { block_size: 512, pending: 0, journal_units: 0, force: 0, uuid: [1; 16] };
    let mut pool = ptr::null_mut();
    let mut error = MaybeUninit::uninit();
    unsafe {
        let made = cowl_format(&raw const device, ptr::null(), place, size, &raw const options, error.as_mut_ptr());
        assert_eq!(made, Status::Ok);
        let (device, error) = (&raw const device, error.as_mut_ptr());
        assert_eq!(cowl_mount(device, ptr::null(), place, size, 0, &raw mut pool, error), Status::Ok);
    }
    work(pool, disk);
    assert_eq!(unsafe { cowl_flush(pool) }, Status::NotMounted);
}

#[test]
fn data_goes_through_the_gate_and_comes_back() {
    with_pool(|pool, _| unsafe {
        let (mut volume, mut snapshot, attributes, later) = (0, 0, named(c"v"), named(c"s"));
        assert_eq!(cowl_create(pool, &raw const attributes, 8, 0, &raw mut volume), Status::Ok);
        assert_eq!(cowl_write(pool, volume, 1, [7u8; 1024].as_ptr().cast(), 1024), Status::Ok);
        assert_eq!(cowl_snapshot(pool, volume, &raw const later, &raw mut snapshot), Status::Ok);
        assert_eq!(cowl_write_bytes(pool, volume, 700, b"bytes".as_ptr().cast(), 5), Status::Ok);
        let (mut bytes, mut done) = ([0u8; 520], 0);
        let all = cowl_read_bytes(pool, volume, 698, bytes.as_mut_ptr().cast(), 520, &raw mut done);
        assert_eq!((all, done, &bytes[..8]), (Status::Ok, 520, &b"\x07\x07bytes\x07"[..]));
        assert_eq!(cowl_rollback(pool, volume, snapshot, 0, ptr::null(), ptr::null_mut()), Status::Ok);
        assert_eq!(cowl_read(pool, volume, 1, bytes.as_mut_ptr().cast(), 512), Status::Ok);
        assert_eq!(bytes[..512], [7; 512]);
        let mut info = MaybeUninit::uninit();
        assert_eq!(cowl_find(pool, c"s".as_ptr(), info.as_mut_ptr()), Status::Ok);
        assert_eq!(info.assume_init().id, snapshot);
        assert_eq!(cowl_unmount(pool), Status::Ok);
    });
}

#[test]
fn plans_and_questions_lie_in_the_callers_memory() {
    with_pool(|pool, disk| unsafe {
        let (mut volume, attributes) = (0, named(c"v"));
        assert_eq!(cowl_create(pool, &raw const attributes, 8, 0, &raw mut volume), Status::Ok);
        let mut plan = MaybeUninit::uninit();
        assert_eq!(cowl_prepare(pool, volume, 0, 1, plan.as_mut_ptr()), Status::Ok);
        let sector = (*plan.as_ptr()).device_sector;
        assert_eq!(write(disk.cast(), sector, [9u8; 512].as_ptr().cast(), 512), 0);
        let sum = cowl_crc32c(0, [9u8; 512].as_ptr().cast(), 512);
        assert_eq!(cowl_unmount(pool), Status::Busy);
        assert_eq!(cowl_commit(pool, plan.as_mut_ptr(), &raw const sum, 1), Status::Ok);
        assert_eq!(cowl_commit(pool, plan.as_mut_ptr(), &raw const sum, 1), Status::NotMounted);
        let mut reading = MaybeUninit::uninit();
        assert_eq!(cowl_resolve(pool, volume, 0, 1, reading.as_mut_ptr()), Status::Ok);
        assert_eq!((*reading.as_ptr()).extent.device_sector, sector);
        assert_eq!(cowl_release(pool, reading.as_mut_ptr()), Status::Ok);
        let mut flushing = MaybeUninit::uninit();
        assert_eq!(cowl_begin_flush(pool, flushing.as_mut_ptr()), Status::Ok);
        assert_eq!(cowl_end_flush(pool, flushing.as_mut_ptr(), 0), Status::Ok);

        let mut room = [MaybeUninit::<u8>::uninit(); 4096];
        let place = room.as_mut_ptr().add(1).cast();
        let (mut question, mut freed) = (ptr::null_mut(), Delta::default());
        assert_eq!(cowl_what_if(pool, &raw const volume, 1, place, 4095, &raw mut question), Status::Ok);
        while cowl_what_if_step(pool, question, 1, &raw mut freed) == Status::More {}
        assert_eq!(freed.data, 1);
        let (mut findings, mut scratch, mut checked) = (0u32, [0u8; 64], MaybeUninit::uninit());
        let (scratch, count) = (scratch.as_mut_ptr().cast(), (&raw mut findings).cast());
        assert_eq!(cowl_check(pool, scratch, 64, 1, Some(found), None, count, checked.as_mut_ptr()), Status::Ok);
        assert_eq!((findings, checked.assume_init().findings), (0, 0));
        assert_eq!(cowl_abandon(pool), Status::Ok);
    });
}

#[test]
fn nobody_gets_in_twice_and_nothing_of_the_pools_own_is_a_buffer() {
    with_pool(|pool, disk| unsafe {
        let (mut volume, attributes, mut bytes) = (0, named(c"v"), [0u8; 512]);
        assert_eq!(cowl_create(pool, &raw const attributes, 8, 0, &raw mut volume), Status::Ok);
        assert_eq!(cowl_write(pool, volume, 0, bytes.as_ptr().cast(), 512), Status::Ok);
        (*disk).enter = pool;
        assert_eq!(cowl_read(pool, volume, 0, bytes.as_mut_ptr().cast(), 512), Status::Ok);
        assert_eq!((*disk).entered, Status::Entered);
        (*disk).enter = ptr::null_mut();
        assert_eq!(cowl_read(pool, volume, 0, pool.cast(), 512), Status::BadPointer);
        assert_eq!(cowl_write(pool, volume, 0, pool.cast(), 512), Status::BadPointer);
        assert_eq!(cowl_flush(pool.wrapping_byte_add(1)), Status::BadPointer);
        assert_eq!(cowl_flush(ptr::null_mut()), Status::BadPointer);
        let mut error = MaybeUninit::uninit();
        assert_eq!(cowl_last_error(pool, error.as_mut_ptr()), Status::Ok);
        assert_eq!(error.assume_init().status, Status::BadPointer);
        assert_eq!(cowl_unmount(pool), Status::Ok);
    });
}

#[test]
fn a_pool_lies_on_a_volume_of_another() {
    with_pool(|pool, _| unsafe {
        let (mut volume, mut inner, attributes, mut bytes) = (0, 0, named(c"v"), [3u8; 512]);
        assert_eq!(cowl_create(pool, &raw const attributes, 300, 0, &raw mut volume), Status::Ok);
        let (mut context, mut device) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        let (place, device) = (context.as_mut_ptr(), device.as_mut_ptr());
        assert_eq!(cowl_volume_device(pool, volume, place, pool.cast()), Status::BadPointer);
        assert_eq!(cowl_volume_device(pool, volume, pool.cast(), device), Status::BadPointer);
        assert_eq!(cowl_volume_device(pool, volume, place, device), Status::Ok);
        let options = PoolOptions { block_size: 512, pending: 16, journal_units: 8, force: 0, uuid: [2; 16] };
        let mut memory: Vec<MaybeUninit<u64>> = Vec::with_capacity(2 << 10);
        let (room, size, none) = (memory.as_mut_ptr().cast::<c_void>(), 16 << 10, ptr::null());
        let (mut above, error) = (ptr::null_mut(), ptr::null_mut());
        assert_eq!(cowl_format(device, none, room, size, &raw const options, error), Status::Ok);
        assert_eq!(cowl_mount(device, none, room, size, 0, &raw mut above, error), Status::Ok);
        assert_eq!(cowl_create(above, &raw const attributes, 8, 0, &raw mut inner), Status::Ok);
        assert_eq!(cowl_write(above, inner, 1, bytes.as_ptr().cast(), 512), Status::Ok);
        assert_eq!(cowl_read(pool, volume, 0, bytes.as_mut_ptr().cast(), 512), Status::Ok);
        assert_eq!(&bytes[..8], b"COWLPOOL");
        assert_eq!(cowl_unmount(above), Status::Ok);
        assert_eq!(cowl_mount(device, none, room, size, 0, &raw mut above, error), Status::Ok);
        assert_eq!(cowl_read(above, inner, 1, bytes.as_mut_ptr().cast(), 512), Status::Ok);
        assert_eq!(bytes, [3; 512]);
        assert_eq!(cowl_unmount(pool), Status::Ok);
        assert_eq!(cowl_flush(above), Status::Device);
        let mut failure = MaybeUninit::uninit();
        assert_eq!(cowl_last_error(above, failure.as_mut_ptr()), Status::Ok);
        assert_eq!(failure.assume_init().device, Status::NotMounted as i32);
        assert_eq!(cowl_abandon(above), Status::Ok);
    });
}

#[test]
fn a_small_reader_reads_what_a_pool_has_left_and_has_a_gate_of_its_own() {
    with_pool(|pool, disk| unsafe {
        let (mut volume, mut snapshot, attributes, before) = (0, 0, named(c"v"), named(c"before"));
        assert_eq!(cowl_create(pool, &raw const attributes, 8, 0, &raw mut volume), Status::Ok);
        assert_eq!(cowl_write(pool, volume, 1, [7u8; 512].as_ptr().cast(), 512), Status::Ok);
        assert_eq!(cowl_snapshot(pool, volume, &raw const before, &raw mut snapshot), Status::Ok);
        assert_eq!(cowl_write(pool, volume, 1, [8u8; 512].as_ptr().cast(), 512), Status::Ok);
        assert_eq!(cowl_flush(pool), Status::Ok);
        assert_eq!(cowl_abandon(pool), Status::Ok);

        let (device, size) = (device(disk), cowl_reader_memory_size(512, 0, 0));
        let mut memory: Vec<MaybeUninit<u8>> = Vec::with_capacity(size);
        let place = memory.as_mut_ptr().cast::<c_void>();
        let (mut reader, mut error) = (ptr::null_mut(), MaybeUninit::uninit());
        let mut mount = |size| {
            let status = cowl_reader_mount(&raw const device, place, size, &raw mut reader, error.as_mut_ptr());
            (status, reader, error.assume_init().needed)
        };
        let (status, none, needed) = mount(600);
        assert!(status == Status::MemoryTooSmall && none.is_null() && needed > 600, "{status:?} {needed}");
        let (status, reader, _) = mount(size);
        assert_eq!(status, Status::Ok);
        let mut image = MaybeUninit::uninit();
        let mut bytes = [0u8; 512];
        for (name, id, expected) in [(c"v", volume, 8), (c"before", snapshot, 7)] {
            assert_eq!(cowl_reader_open(reader, name.as_ptr(), image.as_mut_ptr()), Status::Ok);
            assert_eq!((image.assume_init().id, image.assume_init().sectors), (id, 8));
            assert_eq!(cowl_reader_read(reader, 1, bytes.as_mut_ptr().cast(), 512), Status::Ok);
            assert_eq!(bytes, [expected; 512]);
        }
        assert_eq!(cowl_reader_open(reader, c"nobody".as_ptr(), image.as_mut_ptr()), Status::None);
        assert_eq!(cowl_reader_open_attachment(reader, c"v".as_ptr(), ptr::null_mut()), Status::None);
        // Neither a pool, nor anything else, nor its own memory.
        assert_eq!(cowl_flush(reader.cast()), Status::NotMounted);
        assert_eq!(cowl_reader_read(reader, 1, reader.cast(), 512), Status::BadPointer);
        assert_eq!(cowl_reader_read(ptr::null_mut(), 1, bytes.as_mut_ptr().cast(), 512), Status::BadPointer);
        let mut failure = MaybeUninit::uninit();
        assert_eq!(cowl_reader_last_error(reader, failure.as_mut_ptr()), Status::Ok);
        assert_eq!(failure.assume_init().status, Status::BadPointer);
        (*disk).enter = reader.cast();
        assert_eq!(cowl_reader_read(reader, 0, bytes.as_mut_ptr().cast(), 512), Status::Ok);
        assert_eq!((*disk).entered, Status::NotMounted, "what is in is no pool");
        (*disk).enter = ptr::null_mut();
    });
}

#[test]
fn the_memory_of_a_small_reader_is_told_for_what_there_can_be() {
    for (block_size, pending, alignment) in [(0, 0, 0), (600, 0, 0), (512, (1 << 20) + 1, 0), (512, 0, 1024)] {
        assert_eq!(cowl_reader_memory_size(block_size, pending, alignment), 0);
    }
    let least = cowl_reader_memory_size(512, 2, 0);
    assert!(least > 1024 && cowl_reader_memory_size(512, 3, 0) == least + 32, "{least}");
    assert_eq!(cowl_reader_memory_size(4096, 2, 64), least + 2 * (4096 - 512) + 63);
}
