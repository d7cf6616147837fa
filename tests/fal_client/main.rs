//! The client of fal's platform API, over real HTTP against the bundled fake fal.

mod addresses;
mod calls;
mod faults;
mod paging;
mod prices;
mod secrets;

use std::sync::Arc;
use std::time::Duration;

use scrip::clock::{Clock, System};
use scrip::fal::fake::{Event, FakeFal, Workspace};
use scrip::fal::{ApiKey, Client, Config, Error, EventsQuery, Page, Pages, Retry, Timeouts, Window};
use scrip::fal::{BillingEvent, Listing};
use scrip::ledger::Micros;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// 2026-07-01T00:00:00Z, a Wednesday.
const START: i64 = 1_782_864_000 * SECOND;

/// The admin key of the fake's first workspace. Its secret part is what no message may hold.
const KEY: &str = "key-1:s3cret-part";

fn key(text: &str) -> ApiKey {
    ApiKey::new(text.to_owned()).expect("a key")
}

fn admin() -> ApiKey {
    key(KEY)
}

/// To the fake, with waits that tests can bear.
fn config(fake: &FakeFal) -> Config {
    Config {
        base_url: fake.base_url(),
        allow_loopback: true,
        timeouts: Timeouts {
            connect: Duration::from_secs(20),
            read: Duration::from_secs(20),
            total: Duration::from_secs(30),
        },
        retry: Retry { base: Duration::from_millis(1), ..Retry::default() },
        ..Config::default()
    }
}

fn client_with(config: Config) -> Client {
    Client::new(config, System::clock()).expect("a client")
}

fn client(fake: &FakeFal) -> Client {
    client_with(config(fake))
}

/// A fake with one workspace: an admin key, a plain one, and these events.
async fn fake(events: impl IntoIterator<Item = Event>) -> FakeFal {
    let fake = FakeFal::start().await.expect("a free port");
    let workspace = Workspace::new("studio", "24.5").key(KEY).plain_key("key-2:s3cret-part");
    fake.world().add(events.into_iter().fold(workspace, Workspace::event));
    fake
}

fn days(start: i64, end: i64) -> Window {
    Window::new(Micros(START + start * DAY), Micros(START + end * DAY)).expect("a period")
}

/// An event of the `n`th second of the first day.
fn event(n: i64) -> Event {
    Event::new(&format!("req-{n:04}"), "fal-ai/flux/dev", START + n * SECOND)
}

/// All pages to the end.
async fn all<Q: Listing>(mut pages: Pages<Q>) -> Result<Vec<Page<Q::Rows>>, Error> {
    let mut found = Vec::new();
    while let Some(page) = pages.next_page().await? {
        found.push(page);
    }
    Ok(found)
}

/// All events of the first 30 days.
async fn events(client: &Client) -> Result<Vec<BillingEvent>, Error> {
    let pages = all(client.billing_events(&admin(), EventsQuery::all(days(0, 30)))?).await?;
    Ok(pages.into_iter().flat_map(|page| page.rows).collect())
}

/// Stands at one moment.
struct Stopped(Micros);

impl Clock for Stopped {
    fn now(&self) -> Micros {
        self.0
    }
}

fn stopped_at(micros: i64) -> Arc<dyn Clock> {
    Arc::new(Stopped(Micros(micros)))
}
