//! How it stops: nothing accepted is lost, nothing idle holds it up.

use tonic::Code;
use tonic_types::StatusExt;

use super::*;

#[tokio::test]
async fn a_call_in_flight_is_answered_during_the_drain() {
    let (server, script) = Running::script(patient()).await;
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.check(asking("gate")).await });
    script.at_the_gate().await;
    server.shutdown.begin_drain();
    // The listener closes as part of the drain: once it has, the drain is under way with the call unanswered.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!call.is_finished());
    script.open();
    bounded(call).await.unwrap().unwrap();
    let report = server.over().await;
    assert_eq!((report.connections_open, report.connections_cut), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_every_call_that_reached_its_handler_is_answered() {
    let (server, script) = Running::script(patient()).await;
    let mut callers = Vec::new();
    for _ in 0..8 {
        let client = BareClient::connect(server.address).await;
        for _ in 0..4 {
            let mut client = client.clone();
            callers.push(tokio::spawn(async move {
                let mut answered = 0;
                while let Ok(got) = client.try_call(CHECK, "", None).await {
                    assert_eq!(got.status().code(), Code::Ok);
                    answered += 1;
                }
                answered
            }));
        }
    }
    while script.handled.load(Ordering::SeqCst) < 500 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.shutdown.begin_drain();
    let mut answered = 0;
    for caller in callers {
        answered += caller.await.unwrap();
    }
    assert_eq!(answered, script.handled.load(Ordering::SeqCst));
    assert_eq!(server.over().await.connections_cut, 0);
}

#[tokio::test]
async fn idle_connections_do_not_hold_the_drain_up() {
    let (server, _) = Running::script(patient()).await;
    let mut idle = server.client().await;
    idle.check(asking("")).await.unwrap();
    assert_eq!(server.stop().await.connections_cut, 0);
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_the_drain_up() {
    // Of the two timeouts that could end this connection both are an hour, so only the drain's own rule can.
    let (server, _) = Running::script(patient()).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut client = server.client().await;
    client.check(asking("")).await.unwrap();
    assert_eq!(server.stop().await.connections_cut, 0);
}

#[tokio::test]
async fn a_half_begun_connection_does_not_hold_the_drain_up() {
    use tokio::io::AsyncWriteExt;
    let (server, _) = Running::script(patient()).await;
    let mut half = TcpStream::connect(server.address).await.unwrap();
    half.write_all(b"PRI").await.unwrap();
    let mut client = server.client().await;
    client.check(asking("")).await.unwrap();
    assert_eq!(server.stop().await.connections_cut, 0);
}

#[tokio::test]
async fn a_call_that_never_ends_is_cut_at_the_drains_end_and_counted() {
    let (server, script) =
        Running::script(ServerOptions { drain_timeout: Duration::from_millis(50), ..patient() }).await;
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.check(asking("gate")).await });
    script.at_the_gate().await;
    let report = server.stop().await;
    assert_eq!((report.connections_open, report.connections_cut), (1, 1));
    bounded(call).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_peer_that_never_answers_goaway_is_cut_at_the_drains_end() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (server, _) =
        Running::script(ServerOptions { drain_timeout: Duration::from_millis(50), ..patient() }).await;
    let mut mute = TcpStream::connect(server.address).await.unwrap();
    mute.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    // The server's SETTINGS have come, so the connection is past its preface.
    mute.read_exact(&mut [0; 9]).await.unwrap();
    assert_eq!(server.stop().await.connections_cut, 1);
}

#[tokio::test]
async fn a_cut_does_not_wait_for_the_drains_end() {
    let (server, script) = Running::script(patient()).await;
    let mut client = server.client().await;
    let call = tokio::spawn(async move { client.check(asking("gate")).await });
    script.at_the_gate().await;
    server.shutdown.cut();
    assert_eq!(server.over().await.connections_cut, 1);
    bounded(call).await.unwrap().unwrap_err();
}

#[tokio::test]
async fn an_open_stream_is_told_to_try_elsewhere() {
    let (server, _) = Running::script(patient()).await;
    let mut client = server.client().await;
    let mut stream = client.watch(asking("forever")).await.unwrap().into_inner();
    assert_eq!(bounded(stream.message()).await.unwrap(), Some(answer(true)));
    server.shutdown.begin_drain();
    let status = bounded(stream.message()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_details_error_info().unwrap().reason, "SHUTTING_DOWN");
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    assert_eq!(server.over().await.connections_cut, 0);
}

#[tokio::test]
async fn watchers_of_health_hear_not_serving_before_the_drain_ends_their_stream() {
    let (health, service) = Health::new(&["scrip.v1.BillingService"]).await;
    let server = Running::start(patient(), Routes::new(service), health).await;
    let mut client = server.client().await;
    for name in ["", "scrip.v1.BillingService"] {
        let got = client.check(asking(name)).await.unwrap().into_inner();
        assert_eq!(got, answer(true), "{name:?}");
    }
    let mut watching = client.watch(asking("scrip.v1.BillingService")).await.unwrap().into_inner();
    assert_eq!(bounded(watching.message()).await.unwrap(), Some(answer(true)));
    server.shutdown.begin_drain();
    assert_eq!(bounded(watching.message()).await.unwrap(), Some(answer(false)));
    assert_eq!(bounded(watching.message()).await.unwrap_err().code(), Code::Unavailable);
    assert!(!server.health.is_serving().await);
    assert_eq!(server.over().await.connections_cut, 0);
}

#[tokio::test]
async fn options_that_cannot_serve_are_refused_at_once() {
    let (health, _) = Health::new(&[]).await;
    let server =
        Running::start(ServerOptions { max_connections: 0, ..patient() }, Routes::default(), health).await;
    assert_eq!(server.serving.await.unwrap().unwrap_err().name, "max_connections");
}
