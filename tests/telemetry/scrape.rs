//! What Prometheus reads from the admin port, as a test asks about it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::server::ScripProcess;

/// Where a server's admin port is: it says so once it listens.
pub(crate) async fn admin_of(server: &ScripProcess) -> SocketAddr {
    let mut found = None;
    crate::support::eventually("the server says where its admin port is", || {
        let logs = server.logs();
        let line = logs.lines().find_map(|line| line.strip_prefix("admin: http://"));
        found = line.and_then(|line| line.strip_suffix("/metrics")).and_then(|addr| addr.parse().ok());
        std::future::ready(found.is_some())
    })
    .await;
    found.expect("an address")
}

/// Status and body of one request.
pub(crate) async fn http(admin: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).await.expect("the admin port");
    let length = body.len();
    let request = format!("{head}\r\nhost: {admin}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or_else(|| panic!("no HTTP: {answer}")), body.to_owned())
}

pub(crate) async fn get(admin: SocketAddr, path: &str) -> (u16, String) {
    http(admin, &format!("GET {path} HTTP/1.1"), "").await
}

/// One scrape.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    pub(crate) text: String,
    /// The type of each family.
    pub(crate) types: BTreeMap<String, String>,
    /// Name, labels and value of each series.
    pub(crate) series: Vec<(String, BTreeMap<String, String>, f64)>,
}

pub(crate) async fn scrape(admin: SocketAddr) -> Scrape {
    let (status, text) = get(admin, "/metrics").await;
    assert_eq!(status, 200, "{text}");
    // The body comes in one piece: its length is known.
    Scrape::read(text)
}

impl Scrape {
    pub(crate) fn read(text: String) -> Self {
        let mut scrape = Scrape::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                scrape.types.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') && !line.is_empty() {
                let (series, value) = line.rsplit_once(' ').expect("a series and a value");
                let (name, labels) = match series.split_once('{') {
                    Some((name, labels)) => (name, labels.strip_suffix('}').expect("closed")),
                    None => (series, ""),
                };
                scrape.series.push((name.to_owned(), labels_of(labels), value.parse().expect("a number")));
            }
        }
        scrape.text = text;
        scrape
    }

    /// The sum of the series of a name that have these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |of: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| of.get(*key).is_some_and(|found| found == value))
        };
        self.series.iter().filter(|(of, found, _)| of == name && has(found)).map(|(.., value)| value).sum()
    }

    /// Whether there is such a series.
    pub(crate) fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.series.iter().any(|(of, found, _)| {
            of == name && labels.iter().all(|(key, value)| found.get(*key).is_some_and(|it| it == value))
        })
    }
}

/// No label of scrip's holds a quote or a comma within its value but names of people, which tests keep plain.
fn labels_of(labels: &str) -> BTreeMap<String, String> {
    let pairs = labels.split("\",").map(|pair| pair.trim_end_matches('"')).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once("=\"").expect("a label"))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
