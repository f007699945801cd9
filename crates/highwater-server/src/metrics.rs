//! What the server counts, and how Prometheus reads it.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The content type of [`Metrics::render`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AnswerLabel {
    answer: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabel {
    error: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FoundByLabel {
    found_by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepairLabels {
    reason: &'static str,
    rung: &'static str,
    outcome: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Every figure, alive.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    latency: Family<RouteLabel, Histogram, fn() -> Histogram>,
    received: Counter,
    sent: Family<RouteLabel, Counter>,
    in_flight: Gauge,
    connections: Gauge,
    accepted: Counter,
    answers: Family<AnswerLabel, Counter>,
    syncs_in_memory: Counter,
    syncs_from_store: Counter,
    writes: Counter,
    store_errors: Family<ErrorLabel, Counter>,
    writable: Gauge,
    tick: Gauge,
    jobs: Gauge,
    oldest_job: Seconds,
    purged: Counter,
    audited: Counter,
    mismatches: Family<FoundByLabel, Counter>,
    repairs: Family<RepairLabels, Counter>,
}

/// How much work is queued, as a gauge shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BacklogReading {
    pub(crate) jobs: u64,
    pub(crate) oldest_age_ms: u64,
}

fn latency_buckets() -> Histogram {
    // 50 µs to 13 s.
    Histogram::new(exponential_buckets(0.000_05, 4.0, 10))
}

impl Metrics {
    /// Registers every figure, at zero.
    #[must_use]
    pub fn new() -> Self {
        let latency = Family::new_with_constructor(latency_buckets as fn() -> Histogram);
        let mut metrics = Self {
            registry: Registry::with_prefix("highwater"),
            requests: Family::default(),
            latency,
            received: Counter::default(),
            sent: Family::default(),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            answers: Family::default(),
            syncs_in_memory: Counter::default(),
            syncs_from_store: Counter::default(),
            writes: Counter::default(),
            store_errors: Family::default(),
            writable: Gauge::default(),
            tick: Gauge::default(),
            jobs: Gauge::default(),
            oldest_job: Seconds::default(),
            purged: Counter::default(),
            audited: Counter::default(),
            mismatches: Family::default(),
            repairs: Family::default(),
        };
        metrics.writable.set(1);
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running server's version", version);
        registry.register(
            "http_requests",
            "Requests answered, by route and status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its response's head, by route",
            Unit::Seconds,
            self.latency.clone(),
        );
        registry.register_with_unit(
            "http_received",
            "Bytes of request bodies as they came, before decompression",
            Unit::Bytes,
            self.received.clone(),
        );
        registry.register_with_unit(
            "http_sent",
            "Bytes of response bodies as they go, after compression, by route",
            Unit::Bytes,
            self.sent.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests that are being answered",
            self.in_flight.clone(),
        );
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "connections_accepted",
            "Connections accepted",
            self.accepted.clone(),
        );
        registry.register(
            "sync_answers",
            "Lists answered in syncs, by kind of answer",
            self.answers.clone(),
        );
        registry.register(
            "syncs_in_memory",
            "Syncs answered from heads in memory alone",
            self.syncs_in_memory.clone(),
        );
        registry.register(
            "syncs_from_store",
            "Syncs answered from a snapshot of the store",
            self.syncs_from_store.clone(),
        );
        registry.register("writes", "Committed writes", self.writes.clone());
        registry.register(
            "store_errors",
            "Failures of the store, by kind",
            self.store_errors.clone(),
        );
        registry.register(
            "store_writable",
            "0 if the last write met a full or read-only database",
            self.writable.clone(),
        );
        registry.register(
            "store_tick",
            "The store's count of its commits, at the last write",
            self.tick.clone(),
        );
        registry.register("jobs", "Queued jobs", self.jobs.clone());
        registry.register_with_unit(
            "oldest_job_age",
            "How long the oldest queued job has been waiting",
            Unit::Seconds,
            self.oldest_job.clone(),
        );
        registry.register(
            "tombstones_purged",
            "Tombstones dropped for their age or number",
            self.purged.clone(),
        );
        registry.register(
            "heads_audited",
            "Heads that were held against their rows",
            self.audited.clone(),
        );
        registry.register(
            "head_mismatches",
            "Heads that disagreed with their rows, by who found it",
            self.mismatches.clone(),
        );
        registry.register(
            "device_repairs",
            "Repairs that devices posted receipts of, by reason, last rung and outcome",
            self.repairs.clone(),
        );
    }

    pub(crate) fn request_began(&self) {
        self.in_flight.inc();
    }

    pub(crate) fn request_ended(&self) {
        self.in_flight.dec();
    }

    pub(crate) fn answered_request(
        &self,
        route: &'static str,
        status: u16,
        took: Duration,
        sent: Option<u64>,
    ) {
        self.requests
            .get_or_create(&RequestLabels { route, status })
            .inc();
        let route = RouteLabel { route };
        self.latency
            .get_or_create(&route)
            .observe(took.as_secs_f64());
        if let Some(bytes) = sent {
            self.sent.get_or_create(&route).inc_by(bytes);
        }
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received.inc_by(bytes as u64);
    }

    pub(crate) fn connection_opened(&self) {
        self.accepted.inc();
        self.connections.inc();
    }

    pub(crate) fn connection_closed(&self) {
        self.connections.dec();
    }

    /// Open connections and requests that are being answered.
    pub(crate) fn load(&self) -> (i64, i64) {
        (self.connections.get(), self.in_flight.get())
    }

    pub(crate) fn answered(&self, answer: &'static str, lists: usize) {
        if lists > 0 {
            self.answers
                .get_or_create(&AnswerLabel { answer })
                .inc_by(lists as u64);
        }
    }

    pub(crate) fn synced(&self, in_memory: bool) {
        if in_memory {
            self.syncs_in_memory.inc();
        } else {
            self.syncs_from_store.inc();
        }
    }

    pub(crate) fn committed(&self, tick: u64) {
        self.writes.inc();
        self.writable.set(1);
        self.tick.set(i64::try_from(tick).unwrap_or(i64::MAX));
    }

    pub(crate) fn store_failed(&self, error: &'static str, read_only: bool) {
        self.store_errors.get_or_create(&ErrorLabel { error }).inc();
        if read_only {
            self.writable.set(0);
        }
    }

    /// Whether the last write met a database that takes writes, and its tick.
    pub(crate) fn store(&self) -> (bool, i64) {
        (self.writable.get() == 1, self.tick.get())
    }

    pub(crate) fn purged(&self, tombstones: u64) {
        self.purged.inc_by(tombstones);
    }

    pub(crate) fn audited(&self) {
        self.audited.inc();
    }

    pub(crate) fn mismatched(&self, found_by: &'static str) {
        self.mismatches
            .get_or_create(&FoundByLabel { found_by })
            .inc();
    }

    pub(crate) fn repaired(&self, reason: &'static str, rung: &'static str, mended: bool) {
        let outcome = if mended { "mended" } else { "quarantined" };
        let labels = RepairLabels {
            reason,
            rung,
            outcome,
        };
        self.repairs.get_or_create(&labels).inc();
    }

    pub(crate) fn backlog(&self, backlog: BacklogReading) {
        self.jobs
            .set(i64::try_from(backlog.jobs).unwrap_or(i64::MAX));
        let age = Duration::from_millis(backlog.oldest_age_ms);
        self.oldest_job.set(age.as_secs_f64());
    }

    /// All figures in the text form that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a string fails only if a metric's own encoding does.
        if text::encode(&mut out, &self.registry).is_err() {
            tracing::error!("the metrics could not be written");
        }
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Metrics")
    }
}
