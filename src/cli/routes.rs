//! What the server serves: the services of the API, health, and reflection of both.

use tonic::service::Routes;

use crate::api;
use crate::engine::Handle;
use crate::pb;
use crate::reconcile;
use crate::server::{Health, MAX_MESSAGE_BYTES, add_reflection};

/// The routes, and the handle by which health is told.
pub(super) async fn routes(
    handle: &Handle,
    reconcile: reconcile::Handle,
) -> Result<(Routes, Health), String> {
    let options = api::Options { max_message_bytes: MAX_MESSAGE_BYTES };
    let (health, health_service) = Health::new(&api::SERVICES).await;
    let routes = api::routes(handle.clone(), Some(reconcile), options).add_service(health_service);
    // The details of errors too: grpcurl can then show why a call was refused.
    let routes = add_reflection(routes, &[tonic_types::pb::FILE_DESCRIPTOR_SET, pb::DESCRIPTOR_SET])
        .map_err(|error| error.to_string())?;
    Ok((routes, health))
}
