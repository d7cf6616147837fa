//! Traces, logs and metrics as a collector gets them.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use scrip::pb::billing_service_client::BillingServiceClient;
use tonic::Request;
use tonic::metadata::MetadataValue;

use crate::collector::{Collector, Received, attribute, hex, said};
use crate::support::client::{charge, credit};
use crate::support::eventually;
use crate::world::{SECRET, USER, World};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-{PARENT}-01");
    request.metadata_mut().insert("traceparent", MetadataValue::try_from(parent).unwrap());
    request
}

fn call<'a>(received: &'a Received, method: &str) -> Option<&'a Span> {
    received.spans.iter().find(|span| span.name == method && hex(&span.trace_id) == TRACE)
}

fn below<'a>(received: &'a Received, span: &'a Span) -> impl Iterator<Item = &'a Span> {
    received.spans.iter().filter(|other| other.parent_span_id == span.span_id)
}

/// One charge under a caller's trace, over either protocol.
async fn one_trace(collector: Collector, protocol: &'static str, mut world: World, system: &str) {
    let mut billing = BillingServiceClient::new(world.scrip.server.channel().await);
    world.scrip.with_points(USER, 100).await;
    billing.charge(traced(charge(USER, "job", 30))).await.unwrap();
    let charge_span = "scrip.v1.BillingService/Charge";
    collector.until("the call's span", |received| call(received, charge_span).is_some()).await;
    {
        let received = collector.received();
        let span = call(&received, charge_span).unwrap();
        assert_eq!(hex(&span.parent_span_id), PARENT, "{protocol}");
        assert_eq!(span.kind(), SpanKind::Server);
        assert_eq!(attribute(&span.attributes, "rpc.system.name").as_deref(), Some("grpc"));
        assert_eq!(attribute(&span.attributes, "rpc.response.status_code").as_deref(), Some("OK"));
        assert_eq!(attribute(&span.attributes, "scrip.user_id"), Some(USER.to_string()));
    }
    // The batch is no child of one of its calls, but linked to each; its statements are below it.
    let batch_of = |received: &Received| {
        let span_id = call(received, charge_span)?.span_id.clone();
        let is_linked = |span: &&Span| span.links.iter().any(|link| link.span_id == span_id);
        received.spans.iter().find(|span| span.name == "batch" && is_linked(span)).cloned()
    };
    collector.until("the batch's span", |received| batch_of(received).is_some()).await;
    collector
        .until("the statements of the batch", |received| {
            let batch = batch_of(received).unwrap();
            below(received, &batch).any(|span| span.name == "COMMIT")
        })
        .await;
    {
        let received = collector.received();
        let batch = batch_of(&received).unwrap();
        assert!(batch.parent_span_id.is_empty());
        let statements: Vec<&Span> = below(&received, &batch).collect();
        assert!(statements.iter().any(|span| span.name == "SELECT"), "{statements:?}");
        for span in statements {
            assert_eq!(attribute(&span.attributes, "db.system.name").as_deref(), Some(system));
            let text = attribute(&span.attributes, "db.query.text").unwrap();
            assert!(!text.is_empty() && !text.contains("job"), "{text}");
        }
    }
    // The line of the log, here and there.
    eventually("the line is written", || {
        let logs = world.scrip.server.logs();
        std::future::ready(logs.lines().any(|line| line.contains(TRACE) && line.contains("scrip::access")))
    })
    .await;
    collector
        .until("the line is exported", |received| {
            received.logs.iter().any(|line| {
                hex(&line.trace_id) == TRACE
                    && line.body.as_ref().and_then(said).as_deref() == Some("call")
                    && attribute(&line.attributes, "code").as_deref() == Some("OK")
            })
        })
        .await;
    collector
        .until("the metrics", |received| {
            received.metrics.iter().any(|metric| metric.name == "rpc.server.call.duration")
        })
        .await;
    // Nothing of the exporters themselves comes back to them.
    let received = collector.received();
    let foreign = received.logs.iter().filter_map(|line| attribute(&line.attributes, "target"));
    assert!(foreign.clone().all(|target| target.starts_with("scrip")), "{:?}", foreign.collect::<Vec<_>>());
    assert!(received.spans.iter().all(|span| !span.name.contains("TraceService")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_grpc_a_callers_trace_is_gone_on_with() {
    let collector = Collector::grpc().await;
    let url = collector.url();
    let world = World::on_sqlite(|launch| {
        // Talkative, so that what the exporters say would be exported if anything were.
        launch.env("SCRIP_OTLP_ENDPOINT", url).env("SCRIP_OTLP_PROTOCOL", "grpc").env("SCRIP_LOG", "debug")
    })
    .await;
    one_trace(collector, "grpc", world, "sqlite").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_a_callers_trace_is_gone_on_with() {
    let collector = Collector::http().await;
    let url = collector.url();
    // By the standard's variable alone.
    let dress = |launch: crate::support::server::Launch| launch.env("OTEL_EXPORTER_OTLP_ENDPOINT", url);
    let Some(world) = World::on_postgres(dress).await else { return };
    one_trace(collector, "http", world, "postgresql").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_several_calls_is_linked_to_each() {
    let collector = Collector::grpc().await;
    let url = collector.url();
    let mut world =
        World::on_sqlite(|launch| launch.env("SCRIP_OTLP_ENDPOINT", url).env("SCRIP_OTLP_PROTOCOL", "grpc"))
            .await;
    world.scrip.with_points(USER, 1_000).await;
    let calls = (0..64).map(|job| {
        let mut billing = world.scrip.billing.clone();
        async move { billing.charge(charge(USER, &format!("job-{job}"), 1)).await.unwrap() }
    });
    futures::future::join_all(calls).await;
    let is_call = |span: &&Span| span.name == "scrip.v1.BillingService/Charge";
    collector
        .until("each call is linked from one batch", |received| {
            let calls: Vec<&Span> = received.spans.iter().filter(is_call).collect();
            let links: Vec<_> = received.spans.iter().flat_map(|span| &span.links).collect();
            let times = |call: &Span| links.iter().filter(|link| link.span_id == call.span_id).count();
            calls.len() == 64 && calls.iter().all(|call| times(call) == 1)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_its_caller_does_not_keep_is_not_exported_and_still_in_the_log() {
    let collector = Collector::grpc().await;
    let url = collector.url();
    let world =
        World::on_sqlite(|launch| launch.env("SCRIP_OTLP_ENDPOINT", url).env("SCRIP_OTLP_PROTOCOL", "grpc"))
            .await;
    let mut billing = BillingServiceClient::new(world.scrip.server.channel().await);
    let mut unkept = traced(credit(USER, 10, scrip::pb::Purse::Points, "unkept"));
    let parent = format!("00-{TRACE}-{PARENT}-00");
    unkept.metadata_mut().insert("traceparent", MetadataValue::try_from(parent).unwrap());
    billing.credit(unkept).await.unwrap();
    // A second one that is kept: once it has come, the first would have.
    billing.charge(traced(charge(USER, "job", 1))).await.unwrap();
    let kept = "scrip.v1.BillingService/Charge";
    collector.until("the kept one", |received| call(received, kept).is_some()).await;
    assert!(call(&collector.received(), "scrip.v1.BillingService/Credit").is_none());
    eventually("the line of the other", || {
        let logs = world.scrip.server.logs();
        let is_it = |line: &str| line.contains(TRACE) && line.contains("BillingService/Credit");
        std::future::ready(logs.lines().any(is_it))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_to_fal_name_the_trace_of_their_run() {
    let collector = Collector::grpc().await;
    let url = collector.url();
    let mut world =
        World::on_sqlite(|launch| launch.env("SCRIP_OTLP_ENDPOINT", url).env("SCRIP_OTLP_PROTOCOL", "grpc"))
            .await;
    world.traffic().await;
    world.reconcile().await;
    let is_run = |span: &&Span| span.name == "reconciliation";
    collector.until("the run's span", |received| received.spans.iter().any(|span| is_run(&span))).await;
    let received = collector.received();
    let run = received.spans.iter().find(is_run).unwrap();
    let seen = world.fal.seen();
    assert!(!seen.is_empty());
    for request in seen {
        let parent = request.traceparent.unwrap_or_else(|| panic!("{} names no trace", request.path));
        let [_, trace, span, flags] = parent.split('-').collect::<Vec<_>>()[..] else { panic!("{parent}") };
        assert_eq!((trace, flags), (hex(&run.trace_id).as_str(), "01"), "{}", request.path);
        let client = received.spans.iter().find(|other| hex(&other.span_id) == span).unwrap();
        assert_eq!(client.kind(), SpanKind::Client);
        assert_eq!(client.parent_span_id, run.span_id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_in_no_span_line_or_metric() {
    let collector = Collector::grpc().await;
    let url = collector.url();
    let mut world = World::on_sqlite(|launch| {
        launch.env("SCRIP_OTLP_ENDPOINT", url).env("SCRIP_OTLP_PROTOCOL", "grpc").env("SCRIP_LOG", "trace")
    })
    .await;
    world.traffic().await;
    world.reconcile().await;
    let metrics = world.scrape().await;
    // The end exports what is left: then all of it has come.
    world.scrip.server.sigterm().await;
    assert!(world.scrip.server.wait().await.success());
    let received = collector.received();
    assert!(received.spans.len() > 20 && received.logs.len() > 20 && !received.metrics.is_empty());
    let logs = world.scrip.server.logs();
    assert!(logs.contains("CreateAccount"));
    for (what, text) in [
        ("spans", format!("{:?}", received.spans)),
        ("exported lines", format!("{:?}", received.logs)),
        ("exported metrics", format!("{:?}", received.metrics)),
        ("metrics", metrics.text),
        ("log", logs),
    ] {
        assert!(!text.contains(SECRET), "{what}: {text}");
    }
}
