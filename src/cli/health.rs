//! `scrip health`: asks a running server whether it serves, as an orchestrator would.

use std::process::ExitCode;

use clap::Args;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::failure::{FINDINGS, Failure};
use super::output::Out;
use super::remote::RemoteArgs;
use crate::config::HumanDuration;

/// Ask a running server whether it serves
///
/// Calls grpc.health.v1.Health, so it needs no grpcurl: fit for a container's HEALTHCHECK. A server does not serve while
/// its database is away or while it stops.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 serving · 1 not serving, or no answer · 2 wrong options.\n\n\
    Examples:\n  \
    scrip health\n  \
    scrip health --addr billing.internal:50051 --health-timeout 2s")]
pub(super) struct HealthArgs {
    #[command(flatten)]
    remote: RemoteArgs,

    /// How long the answer may take
    #[arg(long, env = "SCRIP_HEALTH_TIMEOUT", value_name = "DURATION", default_value = "5s")]
    health_timeout: HumanDuration,
}

pub(super) async fn run(args: HealthArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let address = args.remote.address();
    let asked = tokio::time::timeout(args.health_timeout.0, ask(&args.remote));
    let status = match asked.await {
        Ok(status) => status?,
        Err(_) => {
            let limit = args.health_timeout;
            return Err(Failure::Refused(format!("no answer from {address} within {limit}")));
        }
    };
    out.line(status.as_str_name())?;
    Ok(if status == ServingStatus::Serving { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
}

async fn ask(remote: &RemoteArgs) -> Result<ServingStatus, Failure> {
    let mut client = HealthClient::new(remote.connect().await?);
    let answer = client.check(HealthCheckRequest { service: String::new() }).await;
    let answer = answer.map_err(|refused| {
        let (address, code) = (remote.address(), refused.code());
        Failure::Refused(format!("{address} does not tell its health: {code}: {}", refused.message()))
    })?;
    Ok(answer.into_inner().status())
}
