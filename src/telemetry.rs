//! Logs to standard error, and metrics for `/metrics`.

use std::{io::IsTerminal, sync::OnceLock};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// What is logged, and how.
#[derive(clap::Args, Clone)]
pub struct LogArgs {
    /// How log lines are written to standard error.
    #[arg(long, global = true, env = "FOLDLINE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
    /// Which log lines are written, such as `info` or `foldline_log=debug,info`.
    #[arg(long, global = true, env = "FOLDLINE_LOG_FILTER", default_value = LOG_FILTER, value_parser = log_filter)]
    log_filter: String,
}

/// sqlx repeats every notice of the server; none of them tells an operator anything.
const LOG_FILTER: &str = "info,sqlx::postgres::notice=warn";

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("not a log filter: {error}"))
}

impl LogArgs {
    /// The same, and no line is written.
    pub fn silent(self) -> Self {
        Self {
            log_filter: "off".to_owned(),
            ..self
        }
    }

    /// The same again, for a process of ours.
    pub fn to_arguments(&self) -> [String; 4] {
        let format = match self.log {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        ["--log", format, "--log-filter", &self.log_filter].map(str::to_owned)
    }
}

/// For a person, or for a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Bounds of every histogram that counts seconds.
const SECONDS_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Bounds of the histogram of appends that shared a batch.
const BATCH_BUCKETS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0];

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Call once, first of all.
pub fn start(args: &LogArgs) {
    // Read and found good by clap.
    let filter = EnvFilter::new(&args.log_filter);
    let registry = tracing_subscriber::registry().with(filter);
    match args.log {
        LogFormat::Text => registry
            .with(
                fmt::layer()
                    .with_ansi(std::io::stderr().is_terminal())
                    .with_writer(std::io::stderr),
            )
            .init(),
        LogFormat::Json => registry
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .init(),
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Suffix("_appends".to_owned()), &BATCH_BUCKETS)
        })
        .expect("the buckets are not empty")
        .install_recorder()
        .expect("no other recorder is installed before this one");
    METRICS.set(recorder).expect("start is called once");
}

/// Everything measured, in Prometheus' text format.
pub fn metrics() -> String {
    let Some(handle) = METRICS.get() else {
        return String::new();
    };
    handle.run_upkeep();
    handle.render()
}
