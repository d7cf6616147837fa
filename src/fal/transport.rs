//! One request to fal and its body, within every limit.
//!
//! Phases: send (the address is judged, the key goes into a sensitive header) → status → body, counted as it comes →
//! the body, or a typed error. [`Transport::get`] repeats that as [`super::retry`] says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use super::error::{Error, Kind, Scope, Stage};
use super::guard::{AddressRefused, Gate, PublicNames, Refusal, SystemLookup};
use super::key::ApiKey;
use super::query::Pairs;
use super::retry::{Failed, Retrier, Retry, retry_after};
use crate::clock::Clock;
use crate::meter::{Meters, SPANS};
use crate::telemetry;

/// How much of an error's body is read: enough for its type.
const ERROR_BYTES: usize = 64 * 1024;
/// Set aside on the word of a length header alone.
const FIRST_ALLOCATION: usize = 1024 * 1024;
/// What fal's errors about locked accounts begin with.
const LOCKED: &str = "User is locked. Reason:";

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To be connected, TLS included. Default 10 s.
    pub connect: Duration,
    /// Between two reads. Default 30 s.
    pub read: Duration,
    /// From the start to the last byte of the body, one attempt. Default 120 s.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(30),
            total: Duration::from_secs(120),
        }
    }
}

/// The way to fal.
pub(super) struct Transport {
    http: reqwest::Client,
    gate: Gate,
    retrier: Retrier,
    clock: Arc<dyn Clock>,
    most_bytes: usize,
    meters: Meters,
}

/// What a [`Transport`] is made with.
pub(super) struct Setup {
    pub(super) gate: Gate,
    pub(super) timeouts: Timeouts,
    pub(super) retry: Retry,
    pub(super) most_bytes: usize,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) meters: Meters,
}

impl Transport {
    pub(super) fn new(setup: Setup) -> Result<Self, Error> {
        let Setup { gate, timeouts, retry, most_bytes, clock, meters } = setup;
        let no_tls = Error::InvalidQuery("no TLS can be set up on this machine");
        let names = PublicNames { lookup: Arc::new(SystemLookup), allow_loopback: gate.allows_loopback() };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(gate.is_https()).ok_or(no_tls.clone())?)
            .dns_resolver(Arc::new(names))
            .redirect(reqwest::redirect::Policy::none())
            // A proxy of the environment would connect where no address is judged.
            .no_proxy()
            .referer(false)
            // What is retried is decided in one place, and here is not it.
            .retry(reqwest::retry::never())
            .https_only(gate.is_https())
            .connect_timeout(timeouts.connect)
            .read_timeout(timeouts.read)
            .timeout(timeouts.total)
            .pool_idle_timeout(Duration::from_secs(60))
            .user_agent(concat!("scrip/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| no_tls)?;
        Ok(Self { http, gate, retrier: Retrier::new(retry), clock, most_bytes, meters })
    }

    /// A body, tried for as often as the policy allows.
    pub(super) async fn get(
        &self,
        key: &ApiKey,
        path: &'static str,
        query: &Pairs,
        scope: Scope,
    ) -> Result<Bytes, Error> {
        let url = self.gate.url(path, query)?;
        self.retrier.run(|| self.told(key, path, url.clone(), scope)).await
    }

    /// An attempt, its span and its measurement.
    async fn told(&self, key: &ApiKey, path: &'static str, url: Url, scope: Scope) -> Result<Bytes, Failed> {
        let span = tracing::info_span!(
            target: SPANS,
            "GET",
            otel.name = format_args!("GET {path}"),
            otel.kind = "client",
            otel.status_code = Empty,
            http.request.method = "GET",
            url.template = path,
            server.address = url.host_str(),
            error.type = Empty,
        );
        let began = Instant::now();
        let ended = self.attempt(key, url, scope).instrument(span.clone()).await;
        let status = match &ended {
            Ok(_) => Ok(200),
            Err(failed) => failed.error.http_status().ok_or(failed.error.word()),
        };
        self.meters.upstream().asked(path, status, began.elapsed());
        if let Err(failed) = &ended {
            span.record("error.type", failed.error.word());
            span.record("otel.status_code", "ERROR");
        }
        ended
    }

    async fn attempt(&self, key: &ApiKey, url: Url, scope: Scope) -> Result<Bytes, Failed> {
        let authorization = key.header().ok_or(Error::Unauthorized { scope })?;
        let mut headers = HeaderMap::new();
        // Whose doing it is, in W3C's words, where it is traced.
        telemetry::enter_headers(&mut headers);
        let response = self
            .http
            .get(url)
            .headers(headers)
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .send()
            .await
            .map_err(|error| failure(&error, Stage::Connecting))?;
        if response.status() == StatusCode::OK {
            return Ok(self.body(response).await?);
        }
        Err(self.refusal(response, scope).await)
    }

    /// The body, given up as soon as it is too long.
    async fn body(&self, mut response: Response) -> Result<Bytes, Error> {
        let too_large = Error::TooLarge { limit: self.most_bytes };
        let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > self.most_bytes {
            return Err(too_large);
        }
        let mut body = BytesMut::with_capacity(announced.min(FIRST_ALLOCATION));
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error, Stage::Reading))? {
            if body.len() + chunk.len() > self.most_bytes {
                return Err(too_large);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// What an answer other than 200 means.
    async fn refusal(&self, response: Response, scope: Scope) -> Failed {
        let status = response.status().as_u16();
        let asked = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|header| header.to_str().ok())
            .and_then(|header| retry_after(header, self.clock.now()));
        let said = Said::in_body(response).await;
        let error = match status {
            400 | 405..=428 => Error::BadRequest { status, kind: said.kind },
            401 => Error::Unauthorized { scope },
            403 => Error::Forbidden { scope, locked: said.locked },
            404 => Error::NotFound { said_by_fal: said.kind == Kind::NotFound },
            429 => Error::RateLimited { retry_after: asked },
            500..=599 => Error::Upstream { status },
            _ => Error::Unexpected { status },
        };
        Failed { error, retry_after: asked }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("gate", &self.gate).field("most_bytes", &self.most_bytes).finish()
    }
}

/// TLS 1.2 and 1.3 over ring, trusting what the machine trusts. Without a certificate on the machine no https server
/// is trusted; plain http to the loopback needs none, so none is read for it.
fn tls(trust: bool) -> Option<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    if trust {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The HTTP client's error in our words; its own text has the URL.
fn failure(error: &reqwest::Error, stage: Stage) -> Error {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if inner.is::<AddressRefused>() {
            return Error::Refused(Refusal::Address);
        }
        source = inner.source();
    }
    if error.is_timeout() {
        return Error::Timeout;
    }
    // Sending fails in the middle as well: the server hung up before its headers.
    let connected = stage == Stage::Reading || !error.is_connect();
    Error::Network { stage: if connected { Stage::Reading } else { Stage::Connecting } }
}

/// What an error's body says, as far as scrip acts on it.
struct Said {
    kind: Kind,
    locked: bool,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Option<ErrorObject>,
    detail: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct ErrorObject {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
}

impl Said {
    /// As much as can be learnt: a body that breaks off or is no JSON takes nothing from what the status says.
    async fn in_body(mut response: Response) -> Self {
        let mut body = BytesMut::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > ERROR_BYTES {
                break;
            }
        }
        let Ok(ErrorBody { error, detail }) = serde_json::from_slice(&body) else {
            return Self { kind: Kind::Unknown, locked: false };
        };
        let (kind, message) = match error {
            Some(ErrorObject { kind, message }) => (kind.unwrap_or_default(), message.unwrap_or_default()),
            None => (String::new(), String::new()),
        };
        let detail = detail.as_ref().and_then(|detail| detail.as_str()).unwrap_or_default();
        Self { kind: Kind::of(&kind), locked: detail.starts_with(LOCKED) || message.starts_with(LOCKED) }
    }
}
