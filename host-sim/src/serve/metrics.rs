//! What a server counts, as text for Prometheus.
//!
//! Counting costs a few atomic additions. What the pool itself knows is asked when the text is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use cowl::{PoolInfo, Space, Stats};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

/// Upper ends of the ranges in which latencies are counted, in seconds.
const LATENCIES: [f64; 14] =
    [0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10.0];

/// What is counted one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Reading data.
    Read,
    /// Writing data.
    Write,
    /// Discarding data.
    Discard,
    /// Writing zeros.
    WriteZeroes,
    /// Flushing.
    Flush,
    /// Creating a volume, from a snapshot too.
    Create,
    /// A snapshot, of however many volumes.
    Snapshot,
    /// A rollback.
    Rollback,
    /// Deleting a layer.
    Delete,
    /// Changing a volume's size.
    Resize,
    /// A step of merge.
    MergeStep,
    /// Telling the device about free space.
    Trim,
}

impl Operation {
    const ALL: [Self; 12] = [
        Self::Read,
        Self::Write,
        Self::Discard,
        Self::WriteZeroes,
        Self::Flush,
        Self::Create,
        Self::Snapshot,
        Self::Rollback,
        Self::Delete,
        Self::Resize,
        Self::MergeStep,
        Self::Trim,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Discard => "discard",
            Self::WriteZeroes => "write_zeroes",
            Self::Flush => "flush",
            Self::Create => "create",
            Self::Snapshot => "snapshot",
            Self::Rollback => "rollback",
            Self::Delete => "delete",
            Self::Resize => "resize",
            Self::MergeStep => "merge_step",
            Self::Trim => "trim",
        }
    }

    /// Somebody waits for it.
    fn is_foreground(self) -> bool {
        !matches!(self, Self::MergeStep | Self::Trim)
    }
}

/// What the pool and its server say when the text is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Present {
    /// The pool's properties.
    pub info: PoolInfo,
    /// Its space.
    pub space: Space,
    /// What it has done since it was mounted.
    pub stats: Stats,
    /// Clients that are connected.
    pub clients: usize,
    /// Blocks that merge still has to look at.
    pub debt: u64,
    /// Merge was told to pause.
    pub paused: bool,
}

/// The counts of a server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    operations: Vec<Counted>,
    pool: PoolMetrics,
    began: Instant,
    /// When somebody last waited for something, in microseconds since the beginning.
    last: AtomicU64,
}

#[derive(Debug)]
struct Counted {
    bytes: IntCounter,
    failures: IntCounter,
    seconds: Histogram,
}

impl Metrics {
    /// Nothing was counted yet.
    ///
    /// # Errors
    /// Two metrics have one name, which a test rules out.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let label = &["operation"];
        let bytes = IntCounterVec::new(Opts::new("cowl_operation_bytes_total", "Bytes of operations on data."), label)?;
        let failures =
            IntCounterVec::new(Opts::new("cowl_operation_failures_total", "Operations that failed."), label)?;
        let options = HistogramOpts::new("cowl_operation_seconds", "Operations and how long they took.");
        let seconds = HistogramVec::new(options.buckets(LATENCIES.to_vec()), label)?;
        registry.register(Box::new(bytes.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        let of = |operation: Operation| Counted {
            bytes: bytes.with_label_values(&[operation.name()]),
            failures: failures.with_label_values(&[operation.name()]),
            seconds: seconds.with_label_values(&[operation.name()]),
        };
        let operations = Operation::ALL.map(of).into();
        let pool = PoolMetrics::new(&registry)?;
        Ok(Self { registry, operations, pool, began: Instant::now(), last: AtomicU64::new(0) })
    }

    /// Counts an operation that succeeded; `bytes` is 0 for what moves none.
    pub fn count(&self, operation: Operation, bytes: u64, elapsed: Duration) {
        if let Some(counted) = self.operations.get(operation as usize) {
            counted.seconds.observe(elapsed.as_secs_f64());
            counted.bytes.inc_by(bytes);
        }
        self.touch(operation);
    }

    /// Counts an operation that failed.
    pub fn failed(&self, operation: Operation) {
        if let Some(counted) = self.operations.get(operation as usize) {
            counted.failures.inc();
        }
        self.touch(operation);
    }

    /// How long nobody has waited for anything.
    pub fn quiet_for(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_micros(self.last.load(Ordering::Relaxed)))
    }

    /// Everything, in the text format of Prometheus.
    ///
    /// # Errors
    /// The text cannot be made, which would be a mistake in a name.
    pub fn text(&self, present: &Present) -> Result<String, prometheus::Error> {
        self.pool.set(present);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn touch(&self, operation: Operation) {
        if operation.is_foreground() {
            let now = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.last.store(now, Ordering::Relaxed);
        }
    }
}

/// What is asked of the pool: numbers that go up and down, and the core's own counts.
#[derive(Debug)]
struct PoolMetrics {
    gauges: [IntGauge; 10],
    counters: [IntCounter; 6],
}

impl PoolMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        Ok(Self {
            gauges: [
                gauge("cowl_pool_bytes", "Size of the pool.")?,
                gauge("cowl_free_bytes", "Space that nothing uses.")?,
                gauge("cowl_available_bytes", "Space that thin volumes can still take.")?,
                gauge("cowl_guaranteed_bytes", "Free space that is promised to guaranteed volumes.")?,
                gauge("cowl_reserve_bytes", "Free space that is set aside for checkpoints.")?,
                gauge("cowl_reclaimable_bytes", "Space of deleted layers that merge gives back in any case.")?,
                gauge("cowl_merge_debt_bytes", "Space of deleted layers that merge still has to look at.")?,
                gauge("cowl_merge_paused", "1 if merge was told to pause.")?,
                gauge("cowl_clients", "Clients that are connected.")?,
                gauge("cowl_layers", "Layer records: live, deleted, and attachments.")?,
            ],
            counters: [
                counter("cowl_device_reads_total", "Read calls on the device.")?,
                counter("cowl_device_writes_total", "Write calls on the device.")?,
                counter("cowl_device_flushes_total", "Flush calls on the device.")?,
                counter("cowl_block_copies_total", "Data blocks copied because a part of them was written.")?,
                counter("cowl_checkpoints_total", "Checkpoints.")?,
                counter("cowl_journal_groups_total", "Groups of changes written to the journal.")?,
            ],
        })
    }

    fn set(&self, present: &Present) {
        let (space, stats) = (&present.space, &present.stats);
        let bytes = |blocks: u64| blocks.saturating_mul(u64::from(present.info.block_size));
        let values = [
            bytes(space.total),
            bytes(space.free),
            bytes(space.available()),
            bytes(space.guaranteed),
            bytes(space.reserve),
            bytes(space.reclaimable),
            bytes(present.debt),
            u64::from(present.paused),
            present.clients as u64,
            u64::from(present.info.layers),
        ];
        for (gauge, value) in self.gauges.iter().zip(values) {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        let counts = [stats.reads, stats.writes, stats.flushes, stats.copies, stats.checkpoints, stats.groups];
        for (counter, count) in self.counters.iter().zip(counts) {
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use cowl::{Attributes, FormatOptions, LayerFlags, MountOptions, Pool, RamDisk};

    use super::{Metrics, Operation, Present};

    #[test]
    fn what_was_counted_is_in_the_text() {
        let mut memory = vec![0; 1 << 20];
        let mut workspace = vec![0; 64 << 10];
        let mut disk = RamDisk::new(&mut memory);
        Pool::format(&mut disk, &mut workspace, &FormatOptions::new(512, [7; 16])).unwrap();
        let mut pool = Pool::mount(&mut disk, &mut workspace, &MountOptions::default()).unwrap();
        pool.create(&Attributes { name: "vm", ..Attributes::default() }, 64, LayerFlags::empty()).unwrap();
        let present = |pool: &Pool<'_, _>| Present {
            info: pool.info(),
            space: pool.space(),
            stats: pool.stats(),
            clients: 3,
            debt: 5,
            paused: true,
        };
        let metrics = Metrics::new().unwrap();
        for operation in Operation::ALL {
            metrics.count(operation, 512, Duration::from_micros(70));
        }
        metrics.count(Operation::Read, 512, Duration::from_millis(3));
        metrics.failed(Operation::Write);
        metrics.text(&present(&pool)).unwrap();
        let text = metrics.text(&present(&pool)).unwrap();
        for line in [
            "cowl_operation_bytes_total{operation=\"read\"} 1024".to_owned(),
            "cowl_operation_failures_total{operation=\"write\"} 1".to_owned(),
            "cowl_operation_seconds_bucket{operation=\"read\",le=\"0.0001\"} 1".to_owned(),
            "cowl_operation_seconds_count{operation=\"read\"} 2".to_owned(),
            "cowl_operation_seconds_count{operation=\"trim\"} 1".to_owned(),
            "# TYPE cowl_operation_seconds histogram".to_owned(),
            "cowl_clients 3".to_owned(),
            "cowl_merge_debt_bytes 2560".to_owned(),
            "cowl_merge_paused 1".to_owned(),
            format!("cowl_free_bytes {}", pool.space().free * 512),
            format!("cowl_device_writes_total {}", pool.stats().writes),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn only_what_somebody_waits_for_breaks_the_quiet() {
        let metrics = Metrics::new().unwrap();
        thread::sleep(Duration::from_millis(20));
        metrics.count(Operation::MergeStep, 0, Duration::ZERO);
        assert!(metrics.quiet_for() >= Duration::from_millis(20));
        metrics.count(Operation::Flush, 0, Duration::ZERO);
        assert!(metrics.quiet_for() < Duration::from_millis(20));
    }
}
