//! Server reflection, v1 and v1alpha, so that `grpcurl list` and its like need no `.proto` files.
//!
//! Both versions describe everything served: what the caller hands in, health, and reflection itself.

use thiserror::Error;
use tonic::service::Routes;
use tonic_reflection::server::{Builder, Error as BuildError};

/// The descriptor sets handed in could not be served.
#[derive(Debug, Error)]
#[error("cannot serve reflection: {0}")]
pub struct ReflectionError(#[from] BuildError);

/// Adds both reflection services, describing the given encoded `FileDescriptorSet`s besides health and reflection.
pub fn add_reflection(routes: Routes, descriptor_sets: &[&[u8]]) -> Result<Routes, ReflectionError> {
    let v1 = describe(descriptor_sets).build_v1()?;
    let v1alpha = describe(descriptor_sets).build_v1alpha()?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}

fn describe<'b>(descriptor_sets: &[&'b [u8]]) -> Builder<'b> {
    // The builder would add only the version it builds; old and new clients should see the same list.
    let own: [&'static [u8]; 3] = [
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ];
    let builder = Builder::configure().include_reflection_service(false);
    own.into_iter()
        .chain(descriptor_sets.iter().copied())
        .fold(builder, Builder::register_encoded_file_descriptor_set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_descriptor_set_are_refused() {
        let error = add_reflection(Routes::default(), &[b"\xff\xff\xff"]).unwrap_err();
        assert!(error.to_string().starts_with("cannot serve reflection"), "{error}");
    }
}
