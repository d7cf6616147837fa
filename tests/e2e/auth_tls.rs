//! TLS and client certificates against the real server, and what it refuses to listen with.

use std::path::Path;

use scrip::pb;
use scrip::pb::billing_service_client::BillingServiceClient;
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::certificates::{Authority, Pair};
use crate::support::client::{charge, credit, refused};
use crate::support::server::{Launch, ScripProcess};
use crate::support::{eventually, tokens};

const ROLES: &str =
    "spiffe://example.org/checkout=biller, spiffe://example.org/shop=cashier+biller, CN=ops=admin";

struct World {
    folder: TempDir,
    url: String,
    ca: Authority,
    clients: Authority,
}

impl World {
    fn on_sqlite() -> World {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("scrip.db").display());
        World::on(folder, url)
    }

    async fn on_postgres() -> Option<World> {
        let url = crate::support::postgres::shared()?.fresh_database().await;
        Some(World::on(tempfile::tempdir().unwrap(), url))
    }

    fn on(folder: TempDir, url: String) -> World {
        let (ca, clients) = (Authority::new("servers"), Authority::new("clients"));
        ca.server(2050).write(folder.path(), "server");
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        std::fs::write(folder.path().join("clients.pem"), clients.pem()).unwrap();
        World { folder, url, ca, clients }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn launch(&self) -> Launch {
        Launch::new(&self.url)
            .env("SCRIP_TLS_CERT", self.path("server.pem"))
            .env("SCRIP_TLS_KEY", self.path("server.key"))
    }

    fn with_clients(&self) -> Launch {
        self.launch().env("SCRIP_CLIENT_CA", self.path("clients.pem")).env("SCRIP_CLIENT_ROLES", ROLES)
    }

    fn endpoint(&self, server: &ScripProcess, client: Option<&Pair>) -> Endpoint {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.ca.pem()))
            .domain_name("localhost");
        if let Some(pair) = client {
            tls = tls.identity(Identity::from_pem(&pair.cert, &pair.key));
        }
        let url = format!("https://{}", server.addr());
        Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap()
    }

    async fn billing(
        &self,
        server: &ScripProcess,
        client: Option<&Pair>,
    ) -> Result<BillingServiceClient<Channel>, tonic::transport::Error> {
        self.endpoint(server, client).connect().await.map(BillingServiceClient::new)
    }

    /// Whether a client with this certificate gets as far as an answer of any kind.
    async fn is_answered(&self, server: &ScripProcess, client: &Pair) -> bool {
        let Ok(mut billing) = self.billing(server, Some(client)).await else { return false };
        match billing.get_balance(get(7)).await {
            Ok(_) => true,
            // Of the connection, not of the server's own making: those carry details.
            Err(status) => !status.details().is_empty(),
        }
    }
}

fn get(user_id: i64) -> pb::GetBalanceRequest {
    pb::GetBalanceRequest { user_id, as_of_time: None }
}

async fn certificates_have_their_roles(world: World) {
    let server = world.with_clients().start().await;
    let shop = world.clients.client(&["spiffe://example.org/shop"], "");
    let mut billing = world.billing(&server, Some(&shop)).await.unwrap();
    billing.credit(credit(7, 100, pb::Purse::Points, "open")).await.unwrap();

    let checkout = world.clients.client(&["spiffe://example.org/checkout"], "ops");
    let mut billing = world.billing(&server, Some(&checkout)).await.unwrap();
    billing.charge(charge(7, "job", 10)).await.unwrap();
    let denied = billing.credit(credit(7, 1, pb::Purse::Points, "more")).await;
    let metadata = refused(denied, Code::PermissionDenied, "PERMISSION_DENIED");
    assert_eq!(metadata["role"], "biller", "a SPIFFE ID is not overruled by a common name");

    let ops = world.clients.client(&[], "ops");
    let mut billing = world.billing(&server, Some(&ops)).await.unwrap();
    billing.list_users(pb::ListUsersRequest::default()).await.unwrap();

    // Exactly: neither a beginning nor another case.
    for (ids, name) in [
        (&["spiffe://example.org/checkout/eu"][..], ""),
        (&["spiffe://example.org/check"], ""),
        (&[], "Ops"),
        (&[], "opsx"),
    ] {
        let other = world.clients.client(ids, name);
        let mut billing = world.billing(&server, Some(&other)).await.unwrap();
        let metadata =
            refused(billing.get_balance(get(7)).await, Code::PermissionDenied, "PERMISSION_DENIED");
        assert_eq!(metadata["role"], "", "{ids:?} {name}");
    }
    let several =
        world.clients.client(&["spiffe://example.org/checkout", "spiffe://example.org/shop"], "ops");
    let mut billing = world.billing(&server, Some(&several)).await.unwrap();
    refused(billing.get_balance(get(7)).await, Code::Unauthenticated, "UNAUTHENTICATED");
    drop(server);
    let (code, output) = crate::support::client::verify(&world.url).await;
    assert_eq!(code, Some(0), "{output}");
}

async fn bad_certificates_prove_nothing(world: World) {
    let server = world.with_clients().start().await;
    let good = world.clients.client(&[], "ops");
    assert!(world.is_answered(&server, &good).await);
    assert!(!world.is_answered(&server, &world.clients.client_until(&[], "ops", 2021)).await, "expired");
    assert!(
        !world.is_answered(&server, &Authority::new("clients").client(&[], "ops")).await,
        "wrong authority"
    );
    assert!(!world.is_answered(&server, &world.ca.server(2050)).await, "no client's");

    let mut without = world.billing(&server, None).await.unwrap();
    refused(without.get_balance(get(7)).await, Code::Unauthenticated, "UNAUTHENTICATED");
    // A token does as well.
    let token = tokens::create(&world.url, "checkout --role biller").await;
    let channel = world.endpoint(&server, None).connect().await.unwrap();
    let mut bearing = tokens::Bearing::new(channel, &token);
    refused(bearing.billing.get_balance(get(7)).await, Code::NotFound, "USER_NOT_FOUND");
    // A token that is none is not made up for by a certificate.
    let channel = world.endpoint(&server, Some(&good)).connect().await.unwrap();
    let mut bearing = tokens::Bearing::new(channel, "scrip_nobodys");
    refused(bearing.billing.get_balance(get(7)).await, Code::Unauthenticated, "UNAUTHENTICATED");

    // Revoked while it runs: on the connection that there is, and on a new one.
    let mut live = world.billing(&server, Some(&good)).await.unwrap();
    refused(live.get_balance(get(7)).await, Code::NotFound, "USER_NOT_FOUND");
    let revoking = format!("{}{}", world.clients.pem(), world.clients.revoking("ops"));
    std::fs::write(world.path("clients.pem"), revoking).unwrap();
    eventually("the certificate is refused on its open connection", || {
        let mut live = live.clone();
        async move { live.get_balance(get(7)).await.unwrap_err().code() == Code::Unauthenticated }
    })
    .await;
    assert!(!world.is_answered(&server, &good).await);
}

/// What it prints follows its first line, by which it is known to listen.
async fn says(server: &ScripProcess, words: &str) {
    eventually(words, || async { server.logs().contains(words) }).await;
}

macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(super::World::on_sqlite()).await; })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(world) = super::World::on_postgres().await else { return };
                super::$name(world).await;
            })+
        }
    };
}

on_both!(certificates_have_their_roles, bad_certificates_prove_nothing);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_served_without_a_restart_and_a_broken_one_never() {
    let world = World::on_sqlite();
    let server = world.launch().start().await;
    assert!(world.billing(&server, None).await.is_ok());

    // Of another authority: whoever trusts that one alone sees when it is served.
    let next = Authority::new("next");
    std::fs::write(world.path("server.pem"), "broken").unwrap();
    eventually("the broken one is refused in the log", || async {
        server.logs().contains("changed certificates cannot be used")
    })
    .await;
    assert!(world.billing(&server, None).await.is_ok(), "the old one serves on");
    next.server(2050).write(world.folder.path(), "server");
    let trusting_next =
        ClientTlsConfig::new().ca_certificate(Certificate::from_pem(next.pem())).domain_name("localhost");
    let url = format!("https://{}", server.addr());
    let endpoint = Endpoint::from_shared(url).unwrap().tls_config(trusting_next).unwrap();
    eventually("the new certificate is served", || async { endpoint.connect().await.is_ok() }).await;
    assert!(world.billing(&server, None).await.is_err());
    assert_eq!(server.logs().matches("changed certificates cannot be used").count(), 1, "{}", server.logs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_tls_answers_nobody_without_it() {
    let world = World::on_sqlite();
    let server = world.launch().start().await;
    let plain = Endpoint::from_shared(format!("http://{}", server.addr())).unwrap().connect().await;
    if let Ok(channel) = plain {
        let answer = BillingServiceClient::new(channel).get_balance(get(7)).await;
        assert!(answer.unwrap_err().details().is_empty(), "no answer of the service");
    }
    let addr = server.addr().to_string();
    let health = |more: String| {
        let line = format!("health --addr {addr} {more}");
        async move { tokens::scrip("sqlite://unused.db", &line).await }
    };
    assert!(!health(String::new()).await.status.success());
    let ca = world.path("ca.pem");
    let told = health(format!("--ca {ca}")).await;
    assert!(told.status.success(), "{told:?}");
    let told = health(format!("--ca {ca} --server-name localhost")).await;
    assert!(told.status.success(), "{told:?}");
    assert!(!health(format!("--ca {ca} --server-name elsewhere")).await.status.success());
    assert!(!health(format!("--ca {}", world.path("clients.pem"))).await.status.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_this_machine_it_takes_tls_and_a_name_or_a_word() {
    let world = World::on_sqlite();
    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = Launch::new(&world.url).listen(everywhere).try_start().await.unwrap_err();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    for word in ["0.0.0.0:0", "tls-cert", "--insecure"] {
        assert!(refused.logs.contains(word), "{word}: {refused:?}");
    }
    assert!(!Path::new(&world.path("scrip.db")).exists(), "nothing was touched");
    let without_tls =
        Launch::new(&world.url).listen(everywhere).env("SCRIP_AUTH", "required").try_start().await;
    assert!(without_tls.is_err());

    let server = world.launch().listen(everywhere).start().await;
    says(&server, "authentication: on, and nobody is known yet").await;
    let endpoint = format!("https://127.0.0.1:{}", server.addr().port());
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(world.ca.pem()));
    let channel = Endpoint::from_shared(endpoint).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    let answer = BillingServiceClient::new(channel.clone()).get_balance(get(7)).await;
    crate::support::client::refused(answer, Code::Unauthenticated, "UNAUTHENTICATED");
    let token = tokens::create(&world.url, "checkout --role biller").await;
    let answer = tokens::Bearing::new(channel, &token).billing.get_balance(get(7)).await;
    crate::support::client::refused(answer, Code::NotFound, "USER_NOT_FOUND");
    drop(server);

    let said = Launch::new(&world.url).listen(everywhere).arg("--insecure").start().await;
    says(&said, "can be read and changed on the way").await;
    says(&said, "authentication: on").await;
}
