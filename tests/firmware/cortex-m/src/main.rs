//! The scenario on a Cortex-M: its disk is the file `disk.img` beside QEMU's working directory.
//!
//! The result is the exit code (0, or 1 for a fault) and one line on standard error.
#![no_std]
#![no_main]

mod disk;
mod stack;

use core::ptr::addr_of_mut;

use cortex_m_rt::entry;
use cowl_scenario::{Action, BUFFER, Done, Fault, Outcome, WORKSPACE, Witness};
use semihosting::{eprintln, io::Error, process};

#[cfg(feature = "defmt")]
use defmt_semihosting as _;

static mut MEMORY: [u8; WORKSPACE] = [0; WORKSPACE];
static mut DATA: [u8; BUFFER] = [0; BUFFER];

/// Measures how much stack the scenario takes, and its calls, each from where it is made.
struct Depths {
    painted: stack::Painted,
    deepest: usize,
    call: Option<stack::Painted>,
    deepest_call: usize,
}

impl Depths {
    /// Room for the scenario, and below that for a call.
    const SCENARIO: usize = 6 << 10;
    const CALL: usize = 3 << 10;

    fn look(&mut self) {
        self.deepest = self.deepest.max(self.painted.used());
    }
}

impl Witness for Depths {
    fn begins(&mut self, _: &Action) {
        // What was reached before is painted over.
        self.look();
        self.call = Some(stack::paint(Self::CALL));
    }

    fn ended(&mut self, _: &Action, _: Outcome) {
        let used = self.call.take().map_or(0, |painted| painted.used());
        self.deepest_call = self.deepest_call.max(used);
        self.look();
    }
}

#[entry]
fn main() -> ! {
    let mut depths = Depths { painted: stack::paint(Depths::SCENARIO), deepest: 0, call: None, deepest_call: 0 };
    let result = life(&mut depths);
    depths.look();
    let (stack, call) = (depths.deepest, depths.deepest_call);
    match result {
        Ok(done) => {
            report::report(done);
            eprintln!(
                "{done:?}; stack: {stack} bytes; call: {call} bytes; pool: {} bytes",
                size_of::<cowl::Pool<&mut disk::FileDisk>>()
            );
            process::exit(0)
        }
        Err(fault) => {
            eprintln!("{fault:?}");
            process::exit(1)
        }
    }
}

#[inline(never)]
fn life(depths: &mut Depths) -> Result<Done, Fault<Error>> {
    // SAFETY: this function is called once, nobody else knows the statics.
    let (memory, data) = unsafe { (&mut *addr_of_mut!(MEMORY), &mut *addr_of_mut!(DATA)) };
    let mut disk = disk::FileDisk::open().map_err(Fault::of_device)?;
    cowl_scenario::run(&mut disk, memory, data, depths)
}

#[cfg(feature = "defmt")]
mod report {
    //! The result by `defmt`, and one of every kind of error and statistic, to be decoded on the host.

    use cowl::{
        Checked, Counters, Delta, Error, Extent, ExtentKind, Finding, Geometry, LayerFlags, LayerId, LayerInfo,
        LayerKind, Merge, Name, Object, OutOfRange, PoolInfo, Space, Stats,
    };
    use cowl_scenario::Done;

    /// Every error, every statistic, and all else that a pool tells, can be sent.
    #[allow(dead_code, reason = "it compiles or not")]
    fn all_can_be_sent() {
        fn sent<T: defmt::Format>() {}
        (sent::<Error<OutOfRange>>(), sent::<OutOfRange>(), sent::<Object>(), sent::<Finding>());
        (sent::<Stats>(), sent::<Counters>(), sent::<Checked>(), sent::<Space>(), sent::<Delta>());
        (sent::<PoolInfo>(), sent::<LayerInfo>(), sent::<LayerKind>(), sent::<LayerFlags>(), sent::<LayerId>());
        (sent::<Name>(), sent::<Extent>(), sent::<ExtentKind>(), sent::<Merge>(), sent::<Geometry>());
    }

    pub fn report(done: Done) {
        let refused = OutOfRange { sector: 3, length: 512 };
        defmt::info!("{}", Error::Device(refused));
        defmt::info!("{}", Error::<OutOfRange>::DeviceTooSmall { needed: 640, actual: 7 });
        defmt::info!("{}", Finding::Damaged { what: Object::Journal, block: 4, layer: None });
        defmt::info!("{} {} {}", Stats::default(), Counters::default(), Checked::default());
        defmt::info!("{} {}", Space::default(), Delta { data: 1, nodes: 2 });
        defmt::info!("the scenario ends: {}", done);
    }
}

#[cfg(not(feature = "defmt"))]
mod report {
    //! Nobody listens.

    pub fn report(_: cowl_scenario::Done) {}
}
