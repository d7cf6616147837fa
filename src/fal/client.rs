//! The client: its configuration and its calls.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::error::{Error, Evidence, Scope};
use super::guard::Gate;
use super::key::ApiKey;
use super::pages::Pages;
use super::prices::{self, Prices};
use super::query::{EventsQuery, Pairs, UsageQuery};
use super::retry::Retry;
use super::rows::{self, Account};
use super::transport::{Setup, Timeouts, Transport};
use crate::clock::Clock;
use crate::meter::Meters;

/// Where fal is and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Default `https://api.fal.ai/v1`. Its host must be fal's own or one of `allowed_hosts`; or, with leave, the loopback.
    pub base_url: String,
    /// Hosts beside fal's own that may be spoken to, such as that of a proxy before it. Default none.
    pub allowed_hosts: Vec<String>,
    /// Lets the client connect to the loopback, by plain http as well: for tests and the demo. Default no.
    pub allow_loopback: bool,
    /// How long a request may take.
    pub timeouts: Timeouts,
    /// How often and how long a call is tried.
    pub retry: Retry,
    /// The longest body that is read. Default 32 MiB: 10,000 billing events are some 4 MB.
    pub most_bytes: usize,
    /// The most pages of one answer. Default 2,000.
    pub most_pages: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            base_url: "https://api.fal.ai/v1".to_owned(),
            allowed_hosts: Vec::new(),
            allow_loopback: false,
            timeouts: Timeouts::default(),
            retry: Retry::default(),
            most_bytes: 32 * 1024 * 1024,
            most_pages: 2_000,
        }
    }
}

/// Speaks to fal for any number of accounts: the key comes with each call. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    most_pages: u32,
}

impl Client {
    /// Connects to nothing yet. The clock is for the dates in Retry-After.
    ///
    /// # Errors
    /// When the base URL is not one that may be spoken to.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::measured(config, clock, Meters::off())
    }

    /// The same, telling how its requests go.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn measured(config: Config, clock: Arc<dyn Clock>, meters: Meters) -> Result<Self, Error> {
        let Config { base_url, allowed_hosts, allow_loopback, timeouts, retry, most_bytes, most_pages } =
            config;
        let gate = Gate::new(&base_url, allowed_hosts, allow_loopback)?;
        let setup = Setup { gate, timeouts, retry, most_bytes, clock, meters };
        Ok(Self { transport: Arc::new(Transport::new(setup)?), most_pages })
    }

    /// Usage by model: the control total. Needs an admin key. It is the whole **workspace's**: two keys of one see the
    /// same, unless filtered by key.
    ///
    /// # Errors
    /// When the question is wrong; nothing is sent before the first page is asked for.
    pub fn usage(&self, key: &ApiKey, query: UsageQuery) -> Result<Pages<UsageQuery>, Error> {
        Pages::new(self.clone(), key.clone(), query)
    }

    /// The charge of each request: the truth that costs are taken from. Needs an admin key. Events come late: one that
    /// is absent means "not yet" or "not billed", never zero.
    ///
    /// # Errors
    /// When the question is wrong; nothing is sent before the first page is asked for.
    pub fn billing_events(&self, key: &ApiKey, query: EventsQuery) -> Result<Pages<EventsQuery>, Error> {
        Pages::new(self.clone(), key.clone(), query)
    }

    /// The account's billing name and balance, with the body they were read from. Needs an admin key.
    ///
    /// # Errors
    /// Whatever [`Error`] says.
    pub async fn account(&self, key: &ApiKey) -> Result<(Account, Bytes), Error> {
        let pairs = vec![("expand", "credits".to_owned())];
        let raw = self.get(key, "account/billing", &pairs, Scope::Admin).await?;
        match rows::account(&raw) {
            Ok(account) => Ok((account, raw)),
            Err(what) => Err(Error::Garbage { what, evidence: Evidence(raw) }),
        }
    }

    /// Advertised prices of any number of models.
    ///
    /// # Errors
    /// Whatever [`Error`] says; a model that fal does not know is no error.
    pub async fn prices(&self, key: &ApiKey, endpoint_ids: &[String]) -> Result<Prices, Error> {
        prices::fetch(self, key, endpoint_ids).await
    }

    pub(super) fn most_pages(&self) -> u32 {
        self.most_pages
    }

    pub(super) async fn get(
        &self,
        key: &ApiKey,
        path: &'static str,
        query: &Pairs,
        scope: Scope,
    ) -> Result<Bytes, Error> {
        self.transport.get(key, path, query, scope).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("transport", &self.transport)
            .field("most_pages", &self.most_pages)
            .finish()
    }
}
