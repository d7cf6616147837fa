//! Files that change while they are in use, and whom certificates name.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;

/// The same certificates that the tests of the whole service use.
#[path = "../../../tests/e2e/certificates.rs"]
mod certificates;

use self::certificates::{Authority, Pair};

/// A clock the test sets.
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::SeqCst))
    }
}

/// 2026-01-01, within every certificate that is not made to be over.
const NOW: i64 = 1_767_225_600_000_000;

struct World {
    folder: tempfile::TempDir,
    ca: Authority,
    clients: Authority,
    clock: Arc<Hand>,
}

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            ca: Authority::new("servers"),
            clients: Authority::new("clients"),
            clock: Arc::new(Hand(AtomicI64::new(NOW))),
        };
        world.ca.server(2050).write(world.folder.path(), "server");
        world.trust(world.clients.pem());
        world
    }

    fn files(&self) -> TlsFiles {
        let at = |name: &str| self.folder.path().join(name);
        TlsFiles { cert: at("server.pem"), key: at("server.key"), client_ca: Some(at("ca.pem")) }
    }

    fn trust(&self, pem: &str) {
        std::fs::write(self.folder.path().join("ca.pem"), pem).unwrap();
    }

    async fn watch(&self) -> Tls {
        Tls::watch(self.files(), Arc::clone(&self.clock) as Arc<dyn Clock>).await.unwrap()
    }

    async fn refusal(&self) -> String {
        let watched = Tls::watch(self.files(), Arc::clone(&self.clock) as Arc<dyn Clock>).await;
        watched.map(drop).unwrap_err().to_string()
    }

    /// Connects as a client would, and answers what the server knows of its certificate; `None` where one of the two
    /// ends it.
    async fn connect(&self, tls: &Tls, client: Option<&Pair>) -> Option<Option<Presented>> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pem::<rustls::pki_types::CertificateDer>(self.ca.pem())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            Some(pair) => {
                let key = pem::<rustls::pki_types::PrivateKeyDer>(&pair.key);
                builder.with_client_auth_cert(vec![pem(&pair.cert)], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let connecting = async {
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, near).await.ok()?;
            stream.write_all(b"x").await.ok()?;
            // In TLS 1.3 the client hears only now that its certificate was refused.
            stream.read_u8().await.ok()
        };
        let shutdown = Shutdown::new();
        let peer = Peer { address: "127.0.0.1:1".parse().unwrap() };
        let greeting = async {
            let (mut stream, presented) = tls.greet(far, peer, Duration::from_secs(60), &shutdown).await?;
            stream.write_all(b"x").await.ok()?;
            stream.flush().await.ok()?;
            Some(presented)
        };
        let (heard, greeted) = tokio::join!(connecting, greeting);
        heard?;
        greeted
    }
}

fn pem<T: rustls::pki_types::pem::PemObject>(text: &str) -> T {
    T::from_pem_slice(text.as_bytes()).unwrap()
}

/// Waits until the files have been read anew.
async fn next(tls: &Tls) {
    let mut loaded = tls.inner.loaded.clone();
    loaded.mark_unchanged();
    loaded.changed().await.unwrap();
}

#[tokio::test]
async fn a_client_is_whom_its_certificate_names() {
    let world = World::new();
    let tls = world.watch().await;
    for (ids, name, expected) in [
        (&["spiffe://example.org/checkout"][..], "", Ok("spiffe://example.org/checkout")),
        (&["spiffe://example.org/checkout"], "admin", Ok("spiffe://example.org/checkout")),
        (&["https://example.org"], "ops", Ok("CN=ops")),
        (&[], "ops", Ok("CN=ops")),
        (&["spiffe://a/b", "spiffe://c/d"], "ops", Err(Unfit::Nameless)),
        (&["spiffe://a/b", "https://example.org"], "ops", Err(Unfit::Nameless)),
        (&[], "", Err(Unfit::Nameless)),
    ] {
        let pair = world.clients.client(ids, name);
        let presented = world.connect(&tls, Some(&pair)).await.unwrap().unwrap();
        assert_eq!(presented.name(), expected, "{ids:?} {name}");
    }
    assert!(world.connect(&tls, None).await.unwrap().is_none(), "a client may come without one");
}

#[tokio::test]
async fn a_certificate_of_another_authority_or_one_that_is_over_does_not_connect() {
    let world = World::new();
    let tls = world.watch().await;
    let other = Authority::new("clients").client(&[], "ops");
    assert!(world.connect(&tls, Some(&other)).await.is_none());
    let over = world.clients.client_until(&[], "ops", 2021);
    assert!(world.connect(&tls, Some(&over)).await.is_none());
    let of_a_server = world.ca.server(2050);
    assert!(world.connect(&tls, Some(&of_a_server)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_outlives_neither_its_certificate_nor_its_authority() {
    let world = World::new();
    let tls = world.watch().await;
    let pair = world.clients.client(&[], "ops");
    let presented = world.connect(&tls, Some(&pair)).await.unwrap().unwrap();
    assert_eq!(presented.name(), Ok("CN=ops"));

    world.trust(&format!("{}{}", Authority::new("more").pem(), world.clients.pem()));
    next(&tls).await;
    assert_eq!(presented.name(), Ok("CN=ops"), "its authority is still there");

    world.trust(&format!("{}{}", world.clients.pem(), world.clients.revoking("ops")));
    next(&tls).await;
    assert_eq!(presented.name(), Err(Unfit::NotTrusted), "revoked");
    assert!(world.connect(&tls, Some(&pair)).await.is_none());
    let other = world.clients.client(&[], "dev");
    assert!(world.connect(&tls, Some(&other)).await.is_some(), "another one's is not");

    world.trust(Authority::new("clients").pem());
    next(&tls).await;
    assert_eq!(presented.name(), Err(Unfit::NotTrusted));
    world.trust(world.clients.pem());
    next(&tls).await;
    assert_eq!(presented.name(), Ok("CN=ops"));

    // 2050-01-01
    world.clock.0.store(2_524_608_000_000_000, Ordering::SeqCst);
    assert_eq!(presented.name(), Err(Unfit::Expired));
}

#[tokio::test(start_paused = true)]
async fn files_that_change_are_read_anew_and_broken_ones_leave_the_old_in_use() {
    let world = World::new();
    let tls = world.watch().await;
    let mut expiry = tls.expiry();
    let first = *expiry.borrow_and_update();
    assert_eq!(first.server, Micros(2_524_608_000_000_000));
    assert!(first.client_ca.is_some_and(|end| end > first.server));

    // A new certificate whose key has not come yet, garbage, nothing at all: the old one serves on.
    let next_pair = world.ca.server(2049);
    for broken in [next_pair.cert.as_str(), "garbage", ""] {
        std::fs::write(world.files().cert, broken).unwrap();
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert!(!expiry.has_changed().unwrap(), "{broken}");
        assert!(world.connect(&tls, None).await.is_some(), "{broken}");
    }
    std::fs::remove_file(world.files().cert).unwrap();
    tokio::time::sleep(LOOK_EVERY * 3).await;
    assert!(world.connect(&tls, None).await.is_some());

    // One that is over, and one whose time has yet to come: clients would not take them.
    for year in [2025, 2040] {
        let unfit = if year == 2025 { world.ca.server(2025) } else { world.ca.server_from(year) };
        unfit.write(world.folder.path(), "server");
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert!(!expiry.has_changed().unwrap(), "{year}");
    }
    let until_2041 = 2_240_611_200_000_000;
    world.clock.0.store(until_2041, Ordering::SeqCst);
    expiry.changed().await.unwrap();
    assert_eq!(expiry.borrow().server, Micros(2_524_608_000_000_000), "its time has come");

    next_pair.write(world.folder.path(), "server");
    expiry.changed().await.unwrap();
    assert_eq!(expiry.borrow().server, Micros(2_493_072_000_000_000));
    assert!(world.connect(&tls, None).await.is_some());
}

#[tokio::test]
async fn what_cannot_be_used_is_named_and_never_repeated() {
    let world = World::new();
    let files = world.files();
    let good = std::fs::read_to_string(&files.key).unwrap();
    std::fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\ncAnArY\n-----END PRIVATE KEY-----\n").unwrap();
    let refused = world.refusal().await;
    assert!(refused.starts_with("tls-key ") && refused.contains("server.key"), "{refused}");
    assert!(!refused.contains("cAnArY"), "{refused}");
    std::fs::write(&files.key, &world.ca.server(2050).key).unwrap();
    assert!(world.refusal().await.contains("is not the key of the certificate"));
    std::fs::remove_file(&files.key).unwrap();
    assert!(world.refusal().await.contains("cannot be read"));
    std::fs::write(&files.key, good).unwrap();

    world.trust("nothing");
    let refused = world.refusal().await;
    assert!(refused.starts_with("client-ca ") && refused.contains("no certificate in it"), "{refused}");
    world.trust(&format!("{}-----BEGIN X509 CRL-----\nYQ==\n-----END X509 CRL-----\n", world.clients.pem()));
    assert!(world.refusal().await.contains("revocation list"));
    world.trust(world.clients.pem());
    std::fs::write(&files.cert, vec![b'x'; (1 << 20) + 1]).unwrap();
    assert!(world.refusal().await.contains("larger than 1 MiB"));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_shakes_hands_is_let_go() {
    let world = World::new();
    let tls = world.watch().await;
    let (_near, far) = tokio::io::duplex(64);
    let peer = Peer { address: "127.0.0.1:1".parse().unwrap() };
    let shutdown = Shutdown::new();
    assert!(tls.greet(far, peer, Duration::from_secs(10), &shutdown).await.is_none());
    let (_near, far) = tokio::io::duplex(64);
    shutdown.begin_drain();
    assert!(tls.greet(far, peer, Duration::MAX, &shutdown).await.is_none(), "a drain does not wait for it");
}
