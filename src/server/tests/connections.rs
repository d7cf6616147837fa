//! What a connection gets: a bounded time to begin, a slot, an age.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Reads until the server closes; whether it says goodbye or resets is its own business.
async fn closed_by_the_server(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = bounded(stream.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_frees_its_slot() {
    let options =
        ServerOptions { first_byte_timeout: Duration::from_millis(20), max_connections: 1, ..patient() };
    let (server, _) = Running::script(options).await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    closed_by_the_server(&mut silent).await;
    // The honest client has those 20 ms too: on a slow machine it may take more than one attempt.
    while BareClient::connect(server.address).await.try_call(CHECK, "", None).await.is_err() {}
}

#[tokio::test]
async fn a_connection_that_begins_and_then_hangs_is_closed() {
    let options = ServerOptions { first_byte_timeout: Duration::from_millis(20), ..patient() };
    let (server, _) = Running::script(options).await;
    let mut hanging = TcpStream::connect(server.address).await.unwrap();
    hanging.write_all(b"PRI * HTTP/2.0\r\n\r\nSM").await.unwrap();
    closed_by_the_server(&mut hanging).await;
}

#[tokio::test]
async fn an_http1_caller_reads_what_to_speak_instead() {
    let (server, _) = Running::script(patient()).await;
    let mut http1 = TcpStream::connect(server.address).await.unwrap();
    http1.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut got = String::new();
    http1.read_to_string(&mut got).await.unwrap();
    assert!(got.starts_with("HTTP/1.1 505 ") && got.contains("gRPC"), "{got}");
}

#[tokio::test]
async fn over_the_cap_a_connection_waits_until_one_closes() {
    let (server, _) = Running::script(ServerOptions { max_connections: 1, ..patient() }).await;
    let mut first = server.client().await;
    first.check(asking("")).await.unwrap();
    // The kernel completes the handshake, so the second believes itself connected.
    let mut second = server.client().await;
    let waiting = tokio::spawn(async move { second.check(asking("")).await });
    for _ in 0..50 {
        first.check(asking("")).await.unwrap();
    }
    assert!(!waiting.is_finished());
    drop(first);
    bounded(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn at_the_cap_the_connection_that_has_been_silent_longest_makes_room() {
    // No timeout of theirs ends them within the test.
    let (server, _) = Running::script(ServerOptions { max_connections: 2, ..patient() }).await;
    let mut spoken = server.client().await;
    spoken.check(asking("")).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    bounded(BareClient::connect(server.address).await.try_call(CHECK, "", None)).await.unwrap();
    closed_by_the_server(&mut silent[0]).await;
    // Whoever has spoken stays.
    spoken.check(asking("")).await.unwrap();
}

#[tokio::test]
async fn an_old_connection_is_asked_to_leave_and_its_call_is_answered() {
    let options = ServerOptions { max_connection_age: Some(Duration::from_millis(50)), ..patient() };
    let (server, script) = Running::script(options).await;
    // On a slow machine a connection may be old before its first call arrives; then the next one will do.
    let (mut client, gate) = loop {
        let client = BareClient::connect(server.address).await;
        let mut same_connection = client.clone();
        let mut gate = tokio::spawn(async move { same_connection.try_call(CHECK, "gate", None).await });
        tokio::select! {
            () = script.at_the_gate() => break (client, gate),
            _ = &mut gate => {}
        }
    };
    // New calls are answered until the connection is told to leave, and then refused by the client itself.
    while let Ok(got) = client.try_call(CHECK, "", None).await {
        assert_eq!(got.status().code(), tonic::Code::Ok);
    }
    script.open();
    let got = gate.await.unwrap().unwrap();
    assert_eq!(got.status().code(), tonic::Code::Ok);
}

#[tokio::test]
async fn rapid_resets_cost_the_connection_and_nobody_else() {
    let options = ServerOptions { max_pending_accept_reset_streams: 1, ..patient() };
    let (server, _) = Running::script(options).await;
    let mut rude = TcpStream::connect(server.address).await.unwrap();
    rude.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    rude.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    // HPACK: `:method: POST`, `:scheme: http`, `:path: /` by index, `:authority: a` literally.
    let headers = [0x83, 0x86, 0x84, 0x41, 0x01, b'a'];
    let mut flood = Vec::new();
    for stream in (1_u32..4_000).step_by(2) {
        flood.extend_from_slice(&[0, 0, 6, 1, 4]);
        flood.extend_from_slice(&stream.to_be_bytes());
        flood.extend_from_slice(&headers);
        flood.extend_from_slice(&[0, 0, 4, 3, 0]);
        flood.extend_from_slice(&stream.to_be_bytes());
        flood.extend_from_slice(&8_u32.to_be_bytes());
    }
    let _ = rude.write_all(&flood).await;
    closed_by_the_server(&mut rude).await;
    server.client().await.check(asking("")).await.unwrap();
}
