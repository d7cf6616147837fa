//! Where scrip connects to: https, hosts that are allowed, addresses that are public.
//!
//! A configured address, a redirect or a name server must not be able to send an account's key to another place, nor
//! make scrip talk to the network it stands in. Phases: the base URL is judged once ([`Gate::new`]); each URL made
//! from it is judged again ([`Gate::url`]); and what a name resolves to is judged at each connection
//! ([`PublicNames`]), so that a name cannot pass first and point elsewhere later.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// fal's own host: always allowed.
const FAL: &str = "api.fal.ai";

/// Why an address is not connected to. The address is not repeated: it may hold a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an absolute URL with a host.
    #[error("fal's base URL is not a URL such as https://api.fal.ai/v1")]
    NotAUrl,
    /// Neither https, nor http to the loopback with leave to.
    #[error("fal's base URL must be https (http is for the loopback alone, with SCRIP_FAL_ALLOW_LOOPBACK)")]
    Scheme,
    /// With a user, a query or a fragment.
    #[error("fal's base URL must have no user, no query and no fragment")]
    Parts,
    /// Another host than the allowed ones.
    #[error("fal's host is neither api.fal.ai nor one of --fal-allowed-hosts")]
    Host,
    /// A loopback, private, link-local or otherwise not public address, written or resolved.
    #[error("fal's host is not at a public address")]
    Address,
}

/// Judges URLs.
#[derive(Clone)]
pub(super) struct Gate {
    base: Url,
    allowed_hosts: Vec<String>,
    allow_loopback: bool,
}

impl Gate {
    pub(super) fn new(base: &str, allowed_hosts: Vec<String>, allow_loopback: bool) -> Result<Self, Refusal> {
        let base = Url::parse(base).map_err(|_| Refusal::NotAUrl)?;
        let plain = base.username().is_empty() && base.password().is_none();
        if !plain || base.query().is_some() || base.fragment().is_some() {
            return Err(Refusal::Parts);
        }
        let gate = Self { base, allowed_hosts, allow_loopback };
        gate.judge(&gate.base)?;
        Ok(gate)
    }

    /// The base's host, for messages of ours that only the configuring person reads.
    pub(super) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Whether the loopback may be connected to.
    pub(super) fn allows_loopback(&self) -> bool {
        self.allow_loopback
    }

    /// Whether connections are encrypted.
    pub(super) fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// The URL of a call.
    pub(super) fn url(&self, path: &str, query: &[(&'static str, String)]) -> Result<Url, Refusal> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Refusal::NotAUrl)?
            .pop_if_empty()
            .extend(path.split('/').filter(|segment| !segment.is_empty()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.judge(&url)?;
        Ok(url)
    }

    fn judge(&self, url: &Url) -> Result<(), Refusal> {
        let host = url.host_str().ok_or(Refusal::NotAUrl)?;
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let loopback = is_localhost(host) || literal.is_some_and(|ip| ip.is_loopback());
        match url.scheme() {
            "https" => {}
            "http" if loopback && self.allow_loopback => {}
            _ => return Err(Refusal::Scheme),
        }
        if literal.is_some_and(|ip| !may_connect(ip, self.allow_loopback)) {
            return Err(Refusal::Address);
        }
        let is_listed = self.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        if host == FAL || is_listed || loopback && self.allow_loopback { Ok(()) } else { Err(Refusal::Host) }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("host", &self.host())
            .field("allow_loopback", &self.allow_loopback)
            .finish()
    }
}

fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost")
}

fn may_connect(ip: IpAddr, allow_loopback: bool) -> bool {
    is_public(ip) || allow_loopback && ip.is_loopback()
}

/// Reachable over the public internet, as the IANA registries of special-purpose addresses have it.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let special = ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_multicast();
    let [a, b, c, _] = ip.octets();
    !special
        && !ip.is_documentation()
        && a != 0
        // 240/4 is reserved and ends in the broadcast address.
        && a < 240
        // Carrier-grade NAT, protocol assignments, benchmarks.
        && !(a == 100 && (64..128).contains(&b))
        && !(a == 192 && b == 0 && c == 0)
        && !(a == 198 && (b == 18 || b == 19))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b, c, d, e, f) {
        // A version 4 address in disguise is judged as what it is: mapped, NAT64, 6to4.
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => embedded(g, h),
        (0x2002, high, low, ..) => embedded(high, low),
        // Teredo, Orchid and documentation within 2001::/16.
        (0x2001, 0 | 0x0db8, ..) => false,
        (0x2001, 0x10..=0x2f, ..) => false,
        // Everything else that is routed is in 2000::/3, but for documentation again.
        (0x3fff, 0..=0x0fff, ..) => false,
        _ => a & 0xe000 == 0x2000,
    }
}

/// Looks names up; tests have their own.
pub(super) trait Lookup: Send + Sync + 'static {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// The machine's own resolver.
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        // Port 0: the client puts in the scheme's or the URL's.
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    }
}

/// Resolves names to those of their addresses that may be connected to.
pub(super) struct PublicNames {
    pub(super) lookup: Arc<dyn Lookup>,
    pub(super) allow_loopback: bool,
}

/// A name all of whose addresses are refused; found again in the HTTP client's error.
#[derive(Debug, thiserror::Error)]
#[error("no address that may be connected to")]
pub(super) struct AddressRefused;

impl Resolve for PublicNames {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (lookup, allow_loopback) = (self.lookup.clone(), self.allow_loopback);
        Box::pin(async move {
            let local = is_localhost(&host);
            let mut addresses = lookup.lookup(host).await?;
            // "localhost" that is elsewhere would get plain http.
            addresses.retain(|address| {
                may_connect(address.ip(), allow_loopback) && (!local || address.ip().is_loopback())
            });
            if addresses.is_empty() {
                return Err(AddressRefused.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(base: &str, allow_loopback: bool) -> Option<Refusal> {
        let hosts = ["fal.example", "93.184.215.14", "1.1.1.1", "172.32.0.1", "100.128.0.1"];
        let hosts = hosts.into_iter().chain(["[2606:4700::1111]", "[64:ff9b::101:101]"]);
        Gate::new(base, hosts.map(str::to_owned).collect(), allow_loopback).err()
    }

    #[test]
    fn https_to_a_public_host_is_let_through() {
        for base in ["https://api.fal.ai/v1", "https://fal.example:8443/proxy/v1/", "https://93.184.215.14"] {
            assert_eq!(refusal(base, false), None, "{base}");
        }
    }

    #[test]
    fn plain_http_is_for_the_loopback_alone_and_only_with_leave() {
        for base in
            ["http://127.0.0.1:9/v1", "http://[::1]:9/v1", "http://localhost:9/v1", "http://127.9.9.9"]
        {
            assert_eq!(refusal(base, true), None, "{base}");
            assert_eq!(refusal(base, false), Some(Refusal::Scheme), "{base}");
        }
        for base in ["http://api.fal.ai/v1", "http://10.0.0.1", "ftp://api.fal.ai", "file:///etc/passwd"] {
            assert!(refusal(base, true).is_some(), "{base}");
        }
    }

    #[test]
    fn an_address_that_is_not_public_is_refused_however_it_is_written() {
        for host in [
            "127.0.0.1",
            "0x7f.1",
            "2130706433",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "203.0.113.9",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[ff02::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b:1::1]",
            "[2002:a00:1::]",
            "[2001::1]",
            "[2001:db8::1]",
            "[3fff::1]",
            "[::7f00:1]",
        ] {
            assert_eq!(refusal(&format!("https://{host}/v1"), false), Some(Refusal::Address), "{host}");
        }
        for host in ["1.1.1.1", "[2606:4700::1111]", "[64:ff9b::101:101]", "172.32.0.1", "100.128.0.1"] {
            assert_eq!(refusal(&format!("https://{host}/v1"), false), None, "{host}");
        }
        // Leave for the loopback is no leave for the network it stands in.
        assert_eq!(refusal("https://10.0.0.1", true), Some(Refusal::Address));
    }

    #[test]
    fn a_base_url_has_nothing_but_a_place() {
        for base in ["https://u:p@api.fal.ai/v1", "https://api.fal.ai/v1?x=1", "https://api.fal.ai/v1#x"] {
            assert_eq!(refusal(base, false), Some(Refusal::Parts), "{base}");
        }
        for base in ["", "api.fal.ai/v1", "https://", "mailto:x@y"] {
            assert!(refusal(base, false).is_some(), "{base}");
        }
    }

    #[test]
    fn a_call_stays_under_the_base_url_and_its_query_is_escaped() {
        for base in ["https://fal.example/v1", "https://fal.example/v1/"] {
            let gate = Gate::new(base, vec!["fal.example".to_owned()], false).unwrap();
            let url = gate.url("/models/usage", &[("cursor", "a&b=c/../#".to_owned())]).unwrap();
            assert_eq!(url.as_str(), "https://fal.example/v1/models/usage?cursor=a%26b%3Dc%2F..%2F%23");
            assert_eq!(gate.url("/x", &[]).unwrap().as_str(), "https://fal.example/v1/x");
        }
    }

    #[test]
    fn only_the_configured_host_and_fals_own_are_allowed() {
        let allowed = || vec!["FAL.example".to_owned()];
        let gate = Gate::new("https://fal.example/v1", allowed(), false).unwrap();
        let judge = |url: &str| gate.judge(&Url::parse(url).unwrap());
        assert_eq!(judge("https://fal.example/x"), Ok(()));
        assert_eq!(judge("https://api.fal.ai/x"), Ok(()));
        for url in ["https://evil.example/", "https://api.fal.ai.evil.example/", "https://xapi.fal.ai/"] {
            assert_eq!(judge(url), Err(Refusal::Host), "{url}");
        }
        for base in ["https://evil.example/v1", "https://93.184.215.15", "https://localhost/v1"] {
            assert_eq!(Gate::new(base, allowed(), false).err(), Some(Refusal::Host), "{base}");
        }
    }

    struct Says(Vec<&'static str>);

    impl Lookup for Says {
        fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let addresses = self.0.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
            Box::pin(async move { Ok(addresses) })
        }
    }

    async fn resolved(
        host: &str,
        allow_loopback: bool,
        addresses: &[&'static str],
    ) -> Result<Vec<String>, bool> {
        let names = PublicNames { lookup: Arc::new(Says(addresses.to_vec())), allow_loopback };
        match names.resolve(host.parse().unwrap()).await {
            Ok(addresses) => Ok(addresses.map(|address| address.ip().to_string()).collect()),
            Err(why) => Err(why.is::<AddressRefused>()),
        }
    }

    #[tokio::test]
    async fn a_name_is_as_good_as_the_addresses_behind_it() {
        let kept = resolved("fal.example", false, &["10.0.0.1", "1.1.1.1", "fe80::1"]).await;
        assert_eq!(kept, Ok(vec!["1.1.1.1".to_owned()]));
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:192.168.0.1"] {
            assert_eq!(resolved("fal.example", false, &[address]).await, Err(true), "{address}");
        }
        assert_eq!(resolved("localhost", true, &["127.0.0.1"]).await, Ok(vec!["127.0.0.1".to_owned()]));
        assert_eq!(resolved("localhost", true, &["1.1.1.1"]).await, Err(true));
    }
}
