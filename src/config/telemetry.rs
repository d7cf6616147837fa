//! What the service tells of itself, and to whom. All of it is off unless asked for.

use std::net::SocketAddr;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::HumanDuration;
use crate::server::parse_listen;

/// Where metrics, traces and logs go.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Telemetry options")]
pub struct TelemetryArgs {
    /// Address of the admin port: /metrics for Prometheus, /healthz, /readyz and /log; port 0 takes any free one
    /// [default: none]
    ///
    /// It has no authentication: let Prometheus and the orchestrator reach it, nobody else. What changes something there
    /// (PUT /log) is answered to this machine alone.
    #[arg(long, env = "SCRIP_ADMIN_LISTEN", value_name = "IP:PORT", value_parser = parse_listen)]
    pub admin_listen: Option<SocketAddr>,

    /// Collector to send telemetry to over OTLP, such as http://127.0.0.1:4318 [default: none]
    ///
    /// The standard variables OTEL_EXPORTER_OTLP_ENDPOINT, …_PROTOCOL, …_HEADERS, …_TIMEOUT, …_COMPRESSION and
    /// …_CERTIFICATE are honoured as well, and so are OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER,
    /// OTEL_BSP_… and OTEL_SDK_DISABLED. Give secrets as OTEL_EXPORTER_OTLP_HEADERS, never in the URL.
    #[arg(long, env = "SCRIP_OTLP_ENDPOINT", value_name = "URL", hide_env_values = true)]
    pub otlp_endpoint: Option<String>,

    /// How to speak to the collector [default: OTEL_EXPORTER_OTLP_PROTOCOL, else http]
    #[arg(long, env = "SCRIP_OTLP_PROTOCOL", value_name = "PROTOCOL")]
    pub otlp_protocol: Option<OtlpProtocol>,

    /// What to send to the collector: any of traces, metrics and logs, parted by commas
    #[arg(long, env = "SCRIP_OTLP_SIGNALS", value_name = "SIGNAL,…", default_value = "traces,metrics,logs")]
    pub otlp_signals: Signals,

    /// Share of the traces that begin here and are kept, 0 to 1; one that a caller began is kept if the caller keeps it
    /// [default: OTEL_TRACES_SAMPLER, else all]
    #[arg(long, env = "SCRIP_TRACE_RATIO", value_name = "SHARE", value_parser = ratio)]
    pub trace_ratio: Option<f64>,

    /// How often the figures are read that only the database knows: holds, accounts, runs, size
    #[arg(long, env = "SCRIP_SAMPLE_EVERY", value_name = "DURATION", default_value = "15s")]
    pub sample_every: HumanDuration,
}

/// How OTLP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OtlpProtocol {
    /// OTLP over gRPC, usually at port 4317.
    Grpc,
    /// Protobuf over HTTP, usually at port 4318.
    Http,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of OpenTelemetry")]
pub struct Signals {
    pub traces: bool,
    pub metrics: bool,
    pub logs: bool,
}

impl FromStr for Signals {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut signals = Signals { traces: false, metrics: false, logs: false };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "traces" => signals.traces = true,
                "metrics" => signals.metrics = true,
                "logs" => signals.logs = true,
                _ => return Err("expected some of traces, metrics and logs, parted by commas"),
            }
        }
        Ok(signals)
    }
}

fn ratio(text: &str) -> Result<f64, &'static str> {
    let share: f64 = text.parse().map_err(|_| "expected a number from 0 to 1, such as 0.1")?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be 0 to 1") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_in_any_order_and_unknown_ones_refused() {
        let read = "logs, traces".parse::<Signals>().unwrap();
        assert_eq!(read, Signals { traces: true, metrics: false, logs: true });
        assert!("traces,profiles".parse::<Signals>().is_err());
    }

    #[test]
    fn a_share_is_between_nothing_and_all() {
        assert_eq!(ratio("0.25"), Ok(0.25));
        for wrong in ["-0.1", "1.1", "NaN", "half"] {
            assert!(ratio(wrong).is_err(), "{wrong}");
        }
    }
}
