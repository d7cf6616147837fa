//! Reads and writes messages as `tonic_prost` does, but for what is not valid protobuf.
//!
//! tonic answers INTERNAL to a message it cannot decode. What a caller gets wrong is INVALID_ARGUMENT here, a string
//! that is not UTF-8 no less than one that is too long, and carries the same details. `build.rs` names this codec.
//!
//! Nor is a message decoded that would take far more memory than its bytes: two bytes make an empty item of a batch,
//! which takes hundreds once decoded, so 16 MiB of them would take gigabytes before anybody could count them.

use bytes::Buf;
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::status;

/// Fields of a message, each item of a list counted: ten times what the largest batch has by default.
const MAX_FIELDS: usize = 100_000;
/// The least that a field takes: its key and one byte.
const FIELD_BYTES: usize = 2;

/// The codec of every service and client of `scrip.v1`.
#[derive(Clone, Debug)]
pub(crate) struct MessageCodec<T, U>(ProstCodec<T, U>);

impl<T, U> Default for MessageCodec<T, U> {
    fn default() -> Self {
        Self(ProstCodec::new())
    }
}

impl<T, U> Codec for MessageCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = MessageDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        self.0.encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        MessageDecoder(self.0.decoder())
    }
}

/// Decodes a message, or says which field is malformed.
#[derive(Clone, Debug)]
pub(crate) struct MessageDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for MessageDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if has_too_many_fields(buffer.chunk()) {
            return Err(status::too_many_fields(MAX_FIELDS));
        }
        // Nothing but protobuf itself can fail in there.
        self.0.decode(buffer).map_err(|error| status::malformed(error.message()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Counts the fields of a message without decoding them. What is malformed is left for the decoder to name.
fn has_too_many_fields(mut message: &[u8]) -> bool {
    if message.len() <= MAX_FIELDS * FIELD_BYTES {
        return false;
    }
    let mut fields = 0_usize;
    while let Ok((tag, wire_type)) = decode_key(&mut message) {
        fields += 1;
        if fields > MAX_FIELDS {
            return true;
        }
        if skip_field(wire_type, tag, &mut message, DecodeContext::default()).is_err() {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    #[test]
    fn a_batch_that_would_swell_is_refused_before_it_is_decoded() {
        let batch = |items: usize, title: &str| {
            let item = pb::ChargeRequest { title: title.to_owned(), ..Default::default() };
            pb::BatchChargeRequest { requests: vec![item; items], ..Default::default() }.encode_to_vec()
        };
        assert!(has_too_many_fields(&batch(MAX_FIELDS + 1, "")));
        assert!(!has_too_many_fields(&batch(MAX_FIELDS, "")));
        assert!(!has_too_many_fields(&batch(10_000, &"x".repeat(100))));
        assert!(!has_too_many_fields(&[0x0a; 300_001]), "malformed, but of few fields");
    }
}
