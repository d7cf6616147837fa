//! The first 24 bytes of a connection, read under our own eyes before hyper sees any.
//!
//! Phases: bytes are compared with the HTTP/2 preface as they arrive; the first that differs ends the connection
//! (a caller that plainly speaks HTTP/1 is told so in its own language); after the last, the bytes are put back in
//! front of the stream and hyper starts.
//!
//! Why not leave it to hyper: until the preface is complete a hyper connection knows no timeout and ignores a
//! graceful shutdown, so one silent socket would hold a slot for ever and block every drain
//! (hyperium/hyper#4170).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// What every HTTP/2 client with prior knowledge says first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// For people with `curl`, and for load balancers checked over HTTP/1 by mistake.
const HTTP1_ANSWER: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\n\
content-length: 48\r\nconnection: close\r\n\r\nscrip speaks gRPC, which needs HTTP/2 (try h2c)\n";

/// How a connection ended before it was one.
#[derive(Debug)]
pub(super) enum NoPreface {
    /// The peer closed, or the socket failed.
    Closed,
    /// The peer speaks something else.
    NotHttp2,
}

impl From<io::Error> for NoPreface {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// Waits for the whole preface. The caller bounds the time.
pub(super) async fn read<Io>(mut io: Io) -> Result<Prefaced<Io>, NoPreface>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut got = [0_u8; PREFACE.len()];
    let mut filled = 0;
    while filled < got.len() {
        let count = io.read(&mut got[filled..]).await?;
        if count == 0 {
            return Err(NoPreface::Closed);
        }
        filled += count;
        if got[..filled] != PREFACE[..filled] {
            // Its buffer is not kept for each connection that says nothing.
            Box::pin(answer_http1(&mut io, got[0])).await?;
            return Err(NoPreface::NotHttp2);
        }
    }
    Ok(Prefaced { io, replay: PREFACE })
}

/// An HTTP/1 request line begins with an upper-case method; anything else gets no answer.
async fn answer_http1<Io>(io: &mut Io, first_byte: u8) -> io::Result<()>
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    if !first_byte.is_ascii_uppercase() {
        return Ok(());
    }
    // Closing with unread bytes resets the connection and can take our answer with it, so read what has come.
    let mut rest = [0_u8; 4_096];
    let _ = io.read(&mut rest).await?;
    io.write_all(HTTP1_ANSWER).await?;
    io.shutdown().await
}

/// A stream whose preface is read again before anything else.
#[derive(Debug)]
pub(super) struct Prefaced<Io> {
    io: Io,
    replay: &'static [u8],
}

impl<Io: AsyncRead + Unpin> AsyncRead for Prefaced<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.replay.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let (now, later) = self.replay.split_at(self.replay.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.replay = later;
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Prefaced<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_preface_in_pieces_is_put_back_in_front_of_what_follows() {
        let (mut client, server) = tokio::io::duplex(64);
        let reader = tokio::spawn(read(server));
        for byte in PREFACE {
            client.write_all(&[*byte]).await.unwrap();
        }
        let mut prefaced = reader.await.unwrap().unwrap();
        client.write_all(b"after").await.unwrap();
        drop(client);
        let mut all = Vec::new();
        prefaced.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [&PREFACE[..], b"after"].concat());
    }

    #[tokio::test]
    async fn an_http1_caller_is_told_to_speak_http2() {
        let (mut client, server) = tokio::io::duplex(1_024);
        client.write_all(b"POST / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        assert!(matches!(read(server).await, Err(NoPreface::NotHttp2)));
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 505 "), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head} / {body}");
    }

    #[tokio::test]
    async fn other_protocols_get_no_answer() {
        let (mut client, server) = tokio::io::duplex(1_024);
        client.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
        assert!(matches!(read(server).await, Err(NoPreface::NotHttp2)));
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty());
    }

    #[tokio::test]
    async fn a_peer_that_leaves_early_is_closed() {
        let (client, server) = tokio::io::duplex(64);
        drop(client);
        assert!(matches!(read(server).await, Err(NoPreface::Closed)));
    }
}
