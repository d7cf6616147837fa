//! `scrip health`: asks a running server whether it serves, as an orchestrator would.

use std::process::ExitCode;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::failure::{FINDINGS, Failure};
use super::output::Out;
use super::remote::RemoteArgs;
use crate::config::HumanDuration;

/// Bytes of an answer over HTTP that are read: its status line is among the first.
const ANSWER_BYTES: u64 = 16 << 10;

/// Ask a running server whether it serves
///
/// Calls grpc.health.v1.Health, so it needs no grpcurl: fit for a container's HEALTHCHECK. A server does not serve while
/// its database is away or while it stops. With --url it asks the admin port instead, which needs neither TLS nor a token.
#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 serving · 1 not serving, or no answer · 2 wrong options.\n\n\
    Examples:\n  \
    scrip health\n  \
    scrip health --addr billing.internal:50051 --health-timeout 2s\n  \
    scrip health --url http://127.0.0.1:9464/readyz")]
pub(super) struct HealthArgs {
    #[command(flatten)]
    remote: RemoteArgs,

    /// Ask this address of the admin port instead, such as http://127.0.0.1:9464/readyz
    #[arg(long, env = "SCRIP_URL", value_name = "URL")]
    url: Option<String>,

    /// How long the answer may take
    #[arg(long, env = "SCRIP_HEALTH_TIMEOUT", value_name = "DURATION", default_value = "5s")]
    health_timeout: HumanDuration,
}

pub(super) async fn run(args: HealthArgs, out: &mut Out) -> Result<ExitCode, Failure> {
    let address = args.url.clone().unwrap_or_else(|| args.remote.address());
    let asked = tokio::time::timeout(args.health_timeout.0, async {
        match &args.url {
            Some(url) => ask_http(url).await,
            None => ask(&args.remote)
                .await
                .map(|status| (status.as_str_name().to_owned(), status == ServingStatus::Serving)),
        }
    });
    let (said, is_serving) = match asked.await {
        Ok(answer) => answer?,
        Err(_) => {
            let limit = args.health_timeout;
            return Err(Failure::Refused(format!("no answer from {address} within {limit}")));
        }
    };
    out.line(said)?;
    Ok(if is_serving { ExitCode::SUCCESS } else { ExitCode::from(FINDINGS) })
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

/// The last line of the answer, and whether its status was 200.
async fn ask_http(url: &str) -> Result<(String, bool), Failure> {
    let (host, path) = parts(url).ok_or_else(|| {
        Failure::could_not_run(format!(
            "url: {url:?} is no http://HOST:PORT/PATH, such as http://127.0.0.1:9464/readyz"
        ))
    })?;
    let unreachable =
        |error: std::io::Error| Failure::Refused(format!("no server answers at {url}: {error}"));
    let mut stream = TcpStream::connect(host).await.map_err(unreachable)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(unreachable)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await.map_err(unreachable)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1).filter(|_| answer.starts_with("HTTP/1."));
    let status = status.ok_or_else(|| Failure::Refused(format!("{url} does not speak HTTP")))?;
    let said = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    Ok((if said.is_empty() { status.to_owned() } else { said.to_owned() }, status == "200"))
}

/// Host and path of a plain HTTP URL.
fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let start = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(start);
    let port = host.rsplit_once(':')?.1;
    let is_sound = !port.is_empty() && !url.chars().any(|c| c.is_whitespace() || c.is_control());
    is_sound.then_some((host, if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_what_is_none_refused() {
        assert_eq!(parts("http://127.0.0.1:9464/readyz"), Some(("127.0.0.1:9464", "/readyz")));
        assert_eq!(parts("http://[::1]:9464"), Some(("[::1]:9464", "/")));
        for wrong in ["https://h:1/", "h:1/readyz", "http://h/readyz", "http://h:1/a b", "http://h:1/\r\nx"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }
}
