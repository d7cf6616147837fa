//! A CPU profile of the process, in pprof's format: `go tool pprof http://127.0.0.1:9464/debug/pprof/profile?seconds=10`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use pprof::protos::Message;
use tokio::sync::Mutex;

use super::plain;

/// Samples a second.
const FREQUENCY: i32 = 99;
/// How long is sampled if nobody says, and at most.
const USUAL_SECONDS: u64 = 10;
const MOST_SECONDS: u64 = 60;

/// The process has one timer for it.
static ONE: Mutex<()> = Mutex::const_new(());

pub(super) async fn answer(query: &str) -> Response<Full<Bytes>> {
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("seconds="));
    let seconds = match asked.map(str::parse) {
        None => USUAL_SECONDS,
        Some(Ok(seconds @ 1..=MOST_SECONDS)) => seconds,
        Some(_) => return plain(StatusCode::BAD_REQUEST, "seconds must be 1 to 60\n"),
    };
    let Ok(_one) = ONE.try_lock() else {
        return plain(StatusCode::CONFLICT, "a profile is being taken already\n");
    };
    match profile(Duration::from_secs(seconds)).await {
        Ok(bytes) => {
            let mut response = plain(StatusCode::OK, bytes);
            let content_type = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
            response
        }
        Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")),
    }
}

async fn profile(length: Duration) -> Result<Vec<u8>, String> {
    let guard = pprof::ProfilerGuard::new(FREQUENCY).map_err(|error| error.to_string())?;
    tokio::time::sleep(length).await;
    let report = guard.report().build().map_err(|error| error.to_string())?;
    let profile = report.pprof().map_err(|error| error.to_string())?;
    Ok(profile.encode_to_vec())
}
