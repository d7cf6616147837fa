//! What a call gets: deadlines, sizes, panics.

use tonic::Code;
use tonic_types::StatusExt;

use super::*;

#[tokio::test]
async fn a_call_is_answered_and_its_handler_knows_the_peer() {
    let (server, _) = Running::script(patient()).await;
    let mut client = server.client().await;
    let peer = client.check(asking("peer")).await.unwrap().into_inner();
    assert_eq!(peer, answer(true));
    drop(client);
    assert_eq!(server.stop().await.connections_cut, 0);
}

#[tokio::test]
async fn a_clients_deadline_that_passes_is_deadline_exceeded_in_the_head() {
    let (server, _) = Running::script(patient()).await;
    let got = bare_call(server.address, CHECK, "hang", Some("20m")).await;
    assert!(got.trailers.is_none() && got.body.is_empty(), "{got:?}");
    let status = got.status();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("20ms"), "{status}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("DEADLINE_EXCEEDED", "scrip.v1"));
}

#[tokio::test]
async fn a_deadline_already_over_is_answered_without_the_handler() {
    let (server, script) = Running::script(patient()).await;
    let got = bare_call(server.address, CHECK, "gate", Some("0n")).await;
    assert_eq!(got.status().code(), Code::DeadlineExceeded);
    assert_eq!(script.arrived.available_permits(), 0);
}

#[tokio::test]
async fn a_client_without_a_deadline_gets_the_servers() {
    let options = ServerOptions { max_request_timeout: Duration::from_millis(20), ..patient() };
    let (server, _) = Running::script(options).await;
    let mut client = server.client().await;
    let status = client.check(asking("hang")).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert!(status.message().contains("server's limit"), "{status}");
}

#[tokio::test]
async fn a_client_cannot_ask_for_more_than_the_servers_maximum() {
    let options = ServerOptions { max_request_timeout: Duration::from_millis(20), ..patient() };
    let (server, _) = Running::script(options).await;
    let got = bare_call(server.address, CHECK, "hang", Some("99999999H")).await;
    assert_eq!(got.status().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_handler_sees_the_earlier_of_both_deadlines() {
    let (server, _) = Running::script(patient()).await;
    // The script answers SERVING when more than 1,000 s are left; the server's maximum here is an hour.
    let servers = bare_call(server.address, CHECK, "deadline", None).await;
    let clients = bare_call(server.address, CHECK, "deadline", Some("900S")).await;
    let serving = |got: &Answer| HealthCheckResponse::decode(&got.body[5..]).unwrap();
    assert_eq!(serving(&servers), answer(true));
    assert_eq!(serving(&clients), answer(false));
}

#[tokio::test]
async fn a_malformed_timeout_is_the_clients_error_and_names_the_header() {
    let (server, script) = Running::script(patient()).await;
    for timeout in ["soon", "1", "S", "-1S", "123456789m", ""] {
        let got = bare_call(server.address, CHECK, "gate", Some(timeout)).await;
        let status = got.status();
        assert_eq!(status.code(), Code::InvalidArgument, "{timeout:?}");
        assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_FIELD");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "grpc-timeout");
    }
    assert_eq!(script.arrived.available_permits(), 0);
}

#[tokio::test]
async fn a_stream_ends_at_the_clients_deadline_whether_quiet_or_endless() {
    let (server, _) = Running::script(patient()).await;
    for service in ["forever", "endless"] {
        let got = bare_call(server.address, WATCH, service, Some("50m")).await;
        assert_eq!(got.status().code(), Code::DeadlineExceeded, "{service}");
    }
}

#[tokio::test]
async fn an_oversized_message_is_resource_exhausted_and_the_connection_stays_usable() {
    let (server, _) = Running::script(patient()).await;
    let mut client = server.client().await;
    let status = client.check(asking(&"x".repeat(2 * SMALL_LIMIT_BYTES))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!(info.reason, "MESSAGE_TOO_LARGE");
    assert_eq!(info.metadata["limit_bytes"], SMALL_LIMIT_BYTES.to_string());
    client.check(asking("")).await.unwrap();
}

#[tokio::test]
async fn a_message_far_above_every_window_is_refused_the_same_way() {
    let (server, _) = Running::script(patient()).await;
    let mut client = server.client().await;
    let status = client.check(asking(&"x".repeat(MAX_MESSAGE_BYTES + 1))).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    client.check(asking("")).await.unwrap();
}

#[tokio::test]
async fn a_handlers_out_of_range_stays_out_of_range() {
    let (server, _) = Running::script(patient()).await;
    let status = server.client().await.check(asking("out of range")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, "the handler's own"));
}

#[tokio::test]
async fn a_panic_is_internal_without_its_text_and_the_connection_stays_usable() {
    let (server, _) = Running::script(patient()).await;
    let mut client = server.client().await;
    let status = client.check(asking("panic")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(!status.message().contains("script"), "{status}");
    assert_eq!(status.get_details_error_info().unwrap().reason, "INTERNAL");
    client.check(asking("")).await.unwrap();
}

#[tokio::test]
async fn a_panic_in_a_stream_ends_it_with_internal() {
    let (server, _) = Running::script(patient()).await;
    let mut client = server.client().await;
    let mut stream = client.watch(asking("panic")).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap(), Some(answer(true)));
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Internal);
    client.check(asking("")).await.unwrap();
}

#[tokio::test]
async fn a_thousand_calls_in_flight_on_one_connection_are_all_answered() {
    let (server, script) = Running::script(patient()).await;
    let client = server.client().await;
    let calls: Vec<_> = (0..1_024)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.check(asking("gate")).await })
        })
        .collect();
    for _ in 0..1_024 {
        script.at_the_gate().await;
    }
    script.gate.add_permits(1_024);
    for call in calls {
        call.await.unwrap().unwrap();
    }
}
