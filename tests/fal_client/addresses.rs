//! Where the client connects, and where it does not.

use scrip::fal::Refusal;
use scrip::fal::fake::{Fault, Route};

use super::*;

fn refused(base_url: &str, allow_loopback: bool) -> Option<Error> {
    let config = Config { base_url: base_url.to_owned(), allow_loopback, ..Config::default() };
    Client::new(config, System::clock()).err()
}

#[test]
fn the_default_is_fals_own_address() {
    assert!(Client::new(Config::default(), System::clock()).is_ok());
}

#[test]
fn an_address_that_is_not_for_fal_is_refused_before_anything_is_sent() {
    for (base_url, why) in [
        ("http://api.fal.ai/v1", Refusal::Scheme),
        ("http://127.0.0.1:9/v1", Refusal::Scheme),
        ("https://127.0.0.1:9/v1", Refusal::Address),
        ("https://169.254.169.254/v1", Refusal::Address),
        ("https://[fd00::1]/v1", Refusal::Address),
        ("https://[::ffff:10.0.0.1]/v1", Refusal::Address),
        ("https://fal.example/v1", Refusal::Host),
        ("https://localhost/v1", Refusal::Host),
        ("https://user:s3cret@api.fal.ai/v1", Refusal::Parts),
        ("api.fal.ai", Refusal::NotAUrl),
    ] {
        assert_eq!(refused(base_url, false), Some(Error::Refused(why)), "{base_url}");
    }
    assert_eq!(refused("http://10.0.0.1/v1", true), Some(Error::Refused(Refusal::Scheme)));
    assert_eq!(refused("https://10.0.0.1/v1", true), Some(Error::Refused(Refusal::Address)));
}

#[tokio::test]
async fn a_name_that_resolves_to_the_loopback_is_refused_at_the_connection() {
    let fake = fake([]).await;
    let port = fake.base_url().rsplit_once(':').unwrap().1.to_owned();
    let config = Config {
        base_url: format!("https://localhost:{port}"),
        allowed_hosts: vec!["localhost".to_owned()],
        allow_loopback: false,
        ..config(&fake)
    };
    let found = client_with(config).account(&admin()).await;
    assert_eq!(found.unwrap_err(), Error::Refused(Refusal::Address));
    assert_eq!(fake.seen().len(), 0);
}

#[tokio::test]
async fn the_loopback_by_name_is_reached_with_leave() {
    let fake = fake([]).await;
    let base_url = fake.base_url().replace("127.0.0.1", "localhost");
    assert!(client_with(Config { base_url, ..config(&fake) }).account(&admin()).await.is_ok());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fake = fake([]).await;
    let elsewhere = super::fake([]).await;
    for to in [format!("{}/account/billing", elsewhere.base_url()), "/v1/models/pricing".to_owned()] {
        fake.world().plan(Route::Account, 1, Fault::Redirect(to));
        let found = client(&fake).account(&admin()).await;
        assert_eq!(found.unwrap_err(), Error::Unexpected { status: 302 });
    }
    assert_eq!((fake.seen().len(), elsewhere.seen().len()), (2, 0));
}

#[tokio::test]
async fn a_server_without_tls_gets_no_key_over_https() {
    let fake = fake([]).await;
    let retry = Retry { attempts: 1, ..Retry::default() };
    let config = Config { base_url: fake.base_url().replace("http:", "https:"), retry, ..config(&fake) };
    let found = client_with(config).account(&admin()).await;
    assert!(matches!(found, Err(Error::Network { .. })), "{found:?}");
    assert_eq!(fake.seen().len(), 0);
}
