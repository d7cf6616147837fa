//! What is served besides the services: health and reflection, and the answer for what is not.

use tonic::Code;
use tonic_reflection::pb::v1;
use tonic_reflection::pb::v1alpha;

use super::*;

const SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

async fn with_reflection() -> Running {
    let (health, service) = Health::new(&[]).await;
    let routes = add_reflection(Routes::new(service), &[]).unwrap();
    Running::start(patient(), routes, health).await
}

async fn channel(server: &Running) -> Channel {
    Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap()
}

#[tokio::test]
async fn reflection_v1_lists_everything_served() {
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let server = with_reflection().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel(&server).await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = v1::ServerReflectionRequest { host: String::new(), message_request };
    let mut answers = client.server_reflection_info(stream::iter([request])).await.unwrap().into_inner();
    let got = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = got else { panic!("{got:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(names, SERVICES);
}

#[tokio::test]
async fn reflection_v1alpha_lists_the_same() {
    use v1alpha::server_reflection_request::MessageRequest;
    use v1alpha::server_reflection_response::MessageResponse;
    let server = with_reflection().await;
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel(&server).await);
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request };
    let mut answers = client.server_reflection_info(stream::iter([request])).await.unwrap().into_inner();
    let got = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = got else { panic!("{got:?}") };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(names, SERVICES);
}

#[tokio::test]
async fn health_follows_the_store_and_knows_only_what_is_served() {
    let server = with_reflection().await;
    let mut client = server.client().await;
    assert_eq!(client.check(asking("")).await.unwrap().into_inner(), answer(true));
    server.health.set_serving(false).await;
    assert_eq!(client.check(asking("")).await.unwrap().into_inner(), answer(false));
    server.health.set_serving(true).await;
    assert_eq!(client.check(asking("")).await.unwrap().into_inner(), answer(true));
    assert_eq!(client.check(asking("nobody")).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented() {
    let server = with_reflection().await;
    let status = bare_call(server.address, "/scrip.v1.Nothing/AtAll", "", None).await.status();
    assert_eq!(status.code(), Code::Unimplemented);
}
