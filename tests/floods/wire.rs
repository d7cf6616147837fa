//! HTTP/2 as bytes, written by hand: no client library would send what a flood does.

/// What a connection begins with: the preface, and SETTINGS that change nothing.
pub(crate) const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Frame types and flags of RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame is small").to_be_bytes();
    let mut bytes = Vec::with_capacity(9 + payload.len());
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The head of a well-formed charge, as HPACK without the dynamic table.
fn charge_head() -> Vec<u8> {
    // `:method: POST` and `:scheme: http` by index; the names of `:path`, `:authority` and `content-type` too.
    let mut head = vec![0x83, 0x86];
    literal(&mut head, &[0x04], b"/scrip.v1.BillingService/Charge");
    literal(&mut head, &[0x01], b"localhost");
    literal(&mut head, &[0x0f, 0x10], b"application/grpc");
    literal(&mut head, &[0x00, 2, b't', b'e'], b"trailers");
    head
}

fn literal(head: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    head.extend_from_slice(name);
    head.push(u8::try_from(value.len()).expect("a short value"));
    head.extend_from_slice(value);
}

/// A charge whose message is still to come.
pub(crate) fn charge(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &charge_head())
}

/// A charge that goes on in CONTINUATION frames.
pub(crate) fn charge_to_be_continued(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0, stream, &charge_head())
}

/// A kibibyte of headers more, and still not the last.
pub(crate) fn continuation(stream: u32) -> Vec<u8> {
    let mut headers = Vec::new();
    for _ in 0..8 {
        literal(&mut headers, &[0x00, 5, b'x', b'-', b'p', b'a', b'd'], &[b'a'; 120]);
    }
    frame(CONTINUATION, 0, stream, &headers)
}

/// The client does not want the answer any more.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// Nothing, and it is not the last.
pub(crate) fn empty_data(stream: u32) -> Vec<u8> {
    frame(DATA, 0, stream, &[])
}

/// A TLS record that announces 512 bytes of a ClientHello and brings the first few.
pub(crate) const HALF_A_CLIENT_HELLO: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
