//! The layers every call passes, from the outside in.
//!
//! 1. [`access_log`]: a line, a measurement and a span a call, once its last byte is handed over or it was given up.
//! 2. [`deadline`]: the client's `grpc-timeout` and the server's maximum; also ends open streams on a drain.
//! 3. the guard ([`super::auth`]): who calls, and whether that caller may.
//! 4. [`oversize`]: tonic's refusal of a message that is too large, in the code clients expect.
//! 5. [`intake`]: what messages that have not arrived whole keep in memory, over all calls.
//! 6. [`catch_panic`]: a panic in a handler becomes INTERNAL. Innermost, so that the others see an answer.
//!
//! The layers wrap future and body in place, without boxing: they are on the path of every charge.

pub(super) mod access_log;
pub(super) mod catch_panic;
pub(super) mod deadline;
pub(super) mod intake;
pub(super) mod oversize;

#[cfg(test)]
mod log_tests;

use prost::Message;
use prost_types::{FileDescriptorSet, ServiceDescriptorProto};
use tonic::service::Routes;
use tower::ServiceBuilder;

use self::access_log::{AccessLog, AccessLogLayer};
use self::catch_panic::{CatchPanic, CatchPanicLayer};
use self::deadline::{DeadlineLayer, Deadlines};
use self::intake::{Intake, IntakeLayer};
use self::oversize::{Oversize, OversizeLayer};
use super::auth::Guard;
use super::auth::layer::{GuardLayer, Guarded};
use super::{ServerOptions, Shutdown};
use crate::meter::Meters;
use crate::pb;

/// The routes with every layer around them.
pub(super) type Stack = AccessLog<Deadlines<Guarded<Oversize<Intake<CatchPanic<Routes>>>>>>;

/// Wraps the routes. `shutdown` tells open streams to end.
pub(super) fn stack(
    routes: Routes,
    options: &ServerOptions,
    guard: Guard,
    shutdown: &Shutdown,
    meters: &Meters,
) -> Stack {
    ServiceBuilder::new()
        .layer(AccessLogLayer::new(meters.calls(methods())))
        .layer(DeadlineLayer::new(options.max_request_timeout, options.max_stream_duration, shutdown.clone()))
        .layer(GuardLayer::new(guard))
        .layer(OversizeLayer)
        .layer(IntakeLayer::new(options.max_receiving_bytes))
        .layer(CatchPanicLayer)
        .service(routes.prepare())
}

/// All methods there are, as `package.Service/Method`: the contract's, health and reflection.
fn methods() -> Vec<String> {
    let sets = [pb::DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
    let files =
        sets.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok()).flat_map(|set| set.file);
    let named = files.flat_map(|file| {
        let package = file.package.clone().unwrap_or_default();
        let each = |service: ServiceDescriptorProto| {
            let service_name = format!("{package}.{}", service.name.unwrap_or_default());
            let names = service.method.into_iter().filter_map(|method| method.name);
            names.map(|name| format!("{service_name}/{name}")).collect::<Vec<_>>()
        };
        file.service.into_iter().flat_map(each).collect::<Vec<_>>()
    });
    let reflection = ["v1", "v1alpha"]
        .map(|version| format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"));
    named.chain(reflection).collect()
}
