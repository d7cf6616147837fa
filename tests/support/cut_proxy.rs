//! A proxy in front of PostgreSQL that loses the connection at COMMIT, on either side of it.
//!
//! It follows the wire protocol (version 3) as far as that takes: the messages of both directions are cut into
//! frames and passed on; a COMMIT is known by its text in a simple query, or by the statement and portal that
//! an Execute names. The server ends each group of a client's messages with one ReadyForQuery, so the answer to
//! a COMMIT is complete when as many came as groups were sent. TLS is declined; cancel requests pass through.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
/// An empty message that closes a group of the extended protocol.
const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

/// What happens to the chosen COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It never reaches the server; both sides see the connection lost, and the server rolls back.
    BeforeCommit,
    /// The server commits and answers; the client sees the connection lost instead of the answer.
    AfterCommit,
    /// It never reaches the server, and nobody is told: the client waits, the server's session stays open with
    /// its locks. Ends when the client gives up or the proxy is dropped.
    SilentBefore,
    /// The server commits and answers; the client is told nothing and waits.
    SilentAfter,
}

/// A running proxy; dropping it closes its connections.
pub struct CutProxy {
    addr: SocketAddr,
    plan: Arc<Plan>,
    accepting: JoinHandle<()>,
}

impl CutProxy {
    /// Listens on a free loopback port for connections to `upstream`. Until armed it only passes on.
    pub async fn start(upstream: SocketAddr) -> CutProxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free loopback port");
        let addr = listener.local_addr().expect("a bound address");
        let plan = Arc::new(Plan::default());
        let accepting = tokio::spawn(accept(listener, upstream, Arc::clone(&plan)));
        CutProxy { addr, plan, accepting }
    }

    /// Where clients connect; `postgres::through` puts it into a URL.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts one COMMIT of those to come on any connection: the very next for 1, the one after it for 2, ….
    /// Arming again replaces what was armed.
    pub fn arm(&self, cut: Cut, n_commits_from_now: u64) {
        assert!(n_commits_from_now >= 1, "1 is the next commit");
        *self.plan.armed() = Some((cut, n_commits_from_now));
    }

    /// How many COMMITs were cut.
    pub fn cuts(&self) -> u64 {
        *self.plan.cuts.borrow()
    }

    /// How many COMMITs came by, cut or not.
    pub fn commits(&self) -> u64 {
        self.plan.commits.load(Ordering::SeqCst)
    }

    /// Waits until so many were cut. A cut after COMMIT counts once the server has answered.
    pub async fn wait_for_cuts(&self, cuts: u64) {
        let mut seen = self.plan.cuts.subscribe();
        let reached = seen.wait_for(|&so_far| so_far >= cuts);
        let reached = tokio::time::timeout(super::STUCK_AFTER, reached).await;
        reached.expect("the cut never happened").expect("the proxy runs");
    }
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        // The connections' tasks belong to the accepting one and end with it.
        self.accepting.abort();
    }
}

/// What all connections share: which COMMIT to cut.
struct Plan {
    armed: Mutex<Option<(Cut, u64)>>,
    commits: AtomicU64,
    cuts: watch::Sender<u64>,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { armed: Mutex::default(), commits: AtomicU64::new(0), cuts: watch::Sender::new(0) }
    }
}

impl Plan {
    fn armed(&self) -> MutexGuard<'_, Option<(Cut, u64)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told of each COMMIT; answers whether this one is to be cut.
    fn next_commit(&self) -> Option<Cut> {
        let mut armed = self.armed();
        self.commits.fetch_add(1, Ordering::SeqCst);
        match armed.take() {
            Some((cut, 1)) => Some(cut),
            Some((cut, left)) => {
                *armed = Some((cut, left - 1));
                None
            }
            None => None,
        }
    }

    fn count_cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, plan: Arc<Plan>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        let plan = Arc::clone(&plan);
        connections.spawn(async move {
            // A server that is away looks to the client like one that hangs up, which is what it is.
            if let Ok(server) = TcpStream::connect(upstream).await {
                serve(client, server, &plan).await.ok();
            }
        });
    }
}

/// One connection: both directions side by side until one ends; then both sockets close.
async fn serve(mut client: TcpStream, mut server: TcpStream, plan: &Plan) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if !pass_startup(&mut client, &mut server).await? {
        return tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let progress = Mutex::new(Progress::default());
    let requests = pass_requests(from_client, to_server, plan, &progress);
    let answers = pass_answers(from_server, to_client, plan, &progress);
    tokio::select! {
        biased;
        ended = answers => ended,
        ended = requests => ended,
    }
}

/// Passes the first message on, which alone has no type byte. False for one that opens no session (a cancel
/// request): the caller passes the rest blindly.
async fn pass_startup(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<bool> {
    loop {
        let length = client.read_u32().await?;
        let code = client.read_u32().await?;
        if code == SSL_REQUEST || code == GSS_REQUEST {
            // What is encrypted could not be followed; "no" makes the client ask in plain.
            client.write_all(b"N").await?;
            continue;
        }
        let mut rest = vec![0; usize::try_from(length.saturating_sub(8)).expect("u32 fits")];
        client.read_exact(&mut rest).await?;
        server.write_all(&[&length.to_be_bytes()[..], &code.to_be_bytes()[..], &rest].concat()).await?;
        return Ok(code >> 16 == 3);
    }
}

/// How far a session is, in groups of messages that the server answers with one ReadyForQuery each.
#[derive(Default)]
struct Progress {
    sent: u64,
    answered: u64,
    /// The group whose answer is withheld, and how that ends.
    withhold: Option<(u64, Cut)>,
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass_requests(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    progress: &Mutex<Progress>,
) -> io::Result<()> {
    // The startup itself is answered with a ReadyForQuery.
    lock(progress).sent += 1;
    let mut frames = Frames::new(from);
    let mut commits = Commits::default();
    while let Some(frame) = frames.next().await? {
        let cut = if commits.is_commit(&frame) { plan.next_commit() } else { None };
        match cut {
            None => {
                if matches!(frame[0], b'Q' | b'S' | b'F') {
                    lock(progress).sent += 1;
                }
                to.write_all(&frame).await?;
            }
            Some(Cut::BeforeCommit) => {
                plan.count_cut();
                return Ok(());
            }
            Some(Cut::SilentBefore) => {
                plan.count_cut();
                return frames.until_closed().await;
            }
            Some(cut @ (Cut::AfterCommit | Cut::SilentAfter)) => {
                {
                    let mut progress = lock(progress);
                    progress.sent += 1;
                    progress.withhold = Some((progress.sent, cut));
                }
                to.write_all(&frame).await?;
                if frame[0] == b'E' {
                    // The client's own Sync may be a read away; the server answers only after one.
                    to.write_all(&SYNC).await?;
                }
                // The other direction ends the connection, or the client does.
                return frames.until_closed().await;
            }
        }
    }
    Ok(())
}

async fn pass_answers(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    plan: &Plan,
    progress: &Mutex<Progress>,
) -> io::Result<()> {
    let mut frames = Frames::new(from);
    while let Some(frame) = frames.next().await? {
        let withheld = {
            let mut progress = lock(progress);
            let group = progress.answered + 1;
            if frame[0] == b'Z' {
                progress.answered = group;
            }
            progress.withhold.filter(|&(withheld, _)| withheld == group).map(|(_, cut)| cut)
        };
        match withheld {
            None => to.write_all(&frame).await?,
            Some(_) if frame[0] != b'Z' => {}
            Some(cut) => {
                plan.count_cut();
                if cut == Cut::SilentAfter {
                    std::future::pending::<()>().await;
                }
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Which of a session's statements and portals are COMMITs.
#[derive(Default)]
struct Commits {
    statements: HashSet<Vec<u8>>,
    portals: HashSet<Vec<u8>>,
}

impl Commits {
    /// Takes note of a client's message; true when it makes the server commit.
    fn is_commit(&mut self, frame: &[u8]) -> bool {
        let mut body = &frame[5..];
        match frame[0] {
            b'Q' => return commits(c_string(&mut body)),
            b'P' => {
                let name = c_string(&mut body).to_vec();
                let commit = commits(c_string(&mut body));
                note(&mut self.statements, name, commit);
            }
            b'B' => {
                let portal = c_string(&mut body).to_vec();
                let commit = self.statements.contains(c_string(&mut body));
                note(&mut self.portals, portal, commit);
            }
            b'E' => return self.portals.contains(c_string(&mut body)),
            b'C' => match body.split_first() {
                Some((b'S', mut name)) => drop(self.statements.remove(c_string(&mut name))),
                Some((_, mut name)) => drop(self.portals.remove(c_string(&mut name))),
                None => {}
            },
            _ => {}
        }
        false
    }
}

fn note(names: &mut HashSet<Vec<u8>>, name: Vec<u8>, commit: bool) {
    if commit {
        names.insert(name);
    } else {
        names.remove(&name);
    }
}

/// Takes the zero-terminated string at the front.
fn c_string<'a>(body: &mut &'a [u8]) -> &'a [u8] {
    let end = body.iter().position(|&byte| byte == 0).unwrap_or(body.len());
    let (string, rest) = body.split_at(end);
    *body = rest.get(1..).unwrap_or_default();
    string
}

/// Whether one of the statements in `sql` is a COMMIT. Splitting at semicolons is enough for what the
/// service and its tests send: none has "; commit" inside a string.
fn commits(sql: &[u8]) -> bool {
    let sql = String::from_utf8_lossy(sql);
    sql.split(';').any(|statement| {
        let mut words = statement.split_whitespace().map(str::to_ascii_uppercase);
        matches!(words.next().as_deref(), Some("COMMIT" | "END"))
            // COMMIT PREPARED ends another transaction than the session's.
            && words.next().as_deref() != Some("PREPARED")
    })
}

/// A direction of the connection cut into messages: type byte, length, body.
struct Frames {
    from: OwnedReadHalf,
    buffer: bytes::BytesMut,
}

impl Frames {
    fn new(from: OwnedReadHalf) -> Frames {
        Frames { from, buffer: bytes::BytesMut::with_capacity(64 * 1024) }
    }

    /// The next whole message, or nothing when the peer has closed.
    async fn next(&mut self) -> io::Result<Option<bytes::BytesMut>> {
        loop {
            if let Some(header) = self.buffer.first_chunk::<5>() {
                let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]);
                let whole = 1 + usize::try_from(length).expect("u32 fits");
                if self.buffer.len() >= whole {
                    return Ok(Some(self.buffer.split_to(whole)));
                }
                self.buffer.reserve(whole - self.buffer.len());
            }
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Swallows what comes until the peer closes.
    async fn until_closed(mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Ok(());
            }
        }
    }
}
