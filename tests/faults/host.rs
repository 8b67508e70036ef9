//! F18 and F21: what the host's devices add.

use std::{path::Path, process::Command};

use cowl::{BlockDevice, Error, FormatOptions, LayerFlags, MountOptions, Pool};
use cowl_host::FileDevice;
use cowl_tests::named;

/// Tells the test, run again as another process, which file to write to.
const CHILD: &str = "COWL_TEST_SHORT_WRITE";

/// In the other process, whose files may not grow beyond a limit: a write across it is first short, then refused.
fn write_across_the_limit(path: &Path) {
    let mut device = FileDevice::open(path).expect("open");
    let mut workspace = vec![0; 1 << 20];
    let options = MountOptions { checksum: cowl_host::crc32c, ..MountOptions::default() };
    let mut pool = Pool::mount(&mut device, &mut workspace, &options).expect("mount");
    let volume = pool.find("v").expect("find").expect("there").id;
    let large = vec![9; 1 << 20];
    let mut sector = 0;
    let error = loop {
        match pool.write(volume, sector, &large) {
            Ok(()) => sector += 2048,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Device(_)), "{error:?}");
    assert!(pool.info().poisoned);
    assert!(matches!(pool.flush(), Err(Error::Poisoned)));
    let mut back = [0; 512];
    pool.read(volume, 0, &mut back).expect("reads go on");
}

#[test]
fn f18_a_short_write_is_gone_on_with_and_ends_in_an_error_not_in_half_a_block() {
    if let Some(path) = std::env::var_os(CHILD) {
        return write_across_the_limit(Path::new(&path));
    }
    let dir = std::env::temp_dir().join(format!("cowl-short-write-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join("pool");
    let mut device = FileDevice::create(&path, 16 << 20).expect("create");
    let mut workspace = vec![0; 1 << 20];
    Pool::format(&mut device, &mut workspace, &FormatOptions::new(4096, [7; 16])).expect("format");
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).expect("mount");
    let volume = pool.create(&named("v"), 20_000, LayerFlags::empty()).expect("create");
    pool.write(volume, 0, &[5; 4096]).expect("write");
    pool.unmount().map(drop).expect("unmount");
    drop(device);
    // 9001 units of 512 bytes: in the middle of a block.
    let ended = Command::new("sh")
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f 9001; exec \"$0\" --exact host::f18_a_short_write_is_gone_on_with_and_ends_in_an_error_not_in_half_a_block")
        .arg(std::env::current_exe().expect("this test"))
        .env(CHILD, &path)
        .output()
        .expect("sh");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
    let mut device = FileDevice::open(&path).expect("open");
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).expect("mount again");
    let mut back = [0; 512];
    for sector in 0..20_000 {
        pool.read(volume, sector, &mut back).expect("read");
        let before = if sector < 8 { 5 } else { 0 };
        assert!(back == [9; 512] || back == [before; 512], "sector {sector} is {:x?}", &back[..4]);
    }
    std::fs::remove_dir_all(&dir).expect("remove");
}

#[test]
fn f21_a_pool_that_is_open_is_not_opened_a_second_time() {
    let dir = std::env::temp_dir().join(format!("cowl-twice-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a directory");
    let path = dir.join("pool");
    let mut device = FileDevice::create(&path, 4 << 20).expect("create");
    let mut workspace = vec![0; 1 << 20];
    Pool::format(&mut device, &mut workspace, &FormatOptions::new(4096, [7; 16])).expect("format");
    let pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).expect("mount");
    let second = FileDevice::open(&path).expect_err("it is open");
    assert!(second.is_busy(), "{second}");
    let reader = cowl_host::FileOptions::new().read_only(true).open(&path).expect_err("it is being written");
    assert!(reader.is_busy(), "{reader}");
    pool.abandon();
    drop(device);
    let again = FileDevice::open(&path).expect("it is free");
    assert_eq!(again.geometry().sectors, 8192);
    std::fs::remove_dir_all(&dir).expect("remove");
}
