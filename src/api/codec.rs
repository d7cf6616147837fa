//! Reads and writes messages as `tonic_prost` does, but for what is not valid protobuf.
//!
//! tonic answers INTERNAL to a message it cannot decode. What a caller gets wrong is INVALID_ARGUMENT here, a string
//! that is not UTF-8 no less than one that is too long, and carries the same details. `build.rs` names this codec.

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use super::status;

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
        // Nothing but protobuf itself can fail in there.
        self.0.decode(buffer).map_err(|error| status::malformed(error.message()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}
