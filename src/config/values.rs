//! Values of options that are more than a number or a word: durations as people write them, and the database's URL
//! with its secret.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// A length of time as people write it: `30s`, `5m`, `24h`, `1h30m`, `30d`. Never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    /// Whole microseconds, held at the end of the range.
    pub fn micros(self) -> i64 {
        i64::try_from(self.0.as_micros()).unwrap_or(i64::MAX)
    }

    /// From the ledger's microseconds; below zero is zero.
    pub fn from_micros(micros: i64) -> Self {
        Self(Duration::from_micros(u64::try_from(micros).unwrap_or_default()))
    }
}

impl FromStr for HumanDuration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected a duration with its unit, such as 500ms, 30s, 5m, 24h, 1h30m or 30d";
        let span: Span = text.parse().map_err(|_| EXPECTED)?;
        // Months and years have no fixed length: they are refused here.
        let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| EXPECTED)?;
        Duration::try_from(length).map(Self).map_err(|_| "must not be negative")
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(length) => write!(f, "{length:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

/// Which database a URL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `sqlite:`
    Sqlite,
    /// `postgres:` or `postgresql:`
    Postgres,
}

/// Where the database is. It may hold a password, so neither `Display` nor `Debug` shows it whole; and it is read
/// without an error, so that no parser's message can repeat it.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL, password included: for the driver alone.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is a secret in it: something that is not shown.
    pub fn has_password(&self) -> bool {
        if self.scheme() == Ok(Scheme::Sqlite) {
            return false;
        }
        let Some((before, query)) = self.0.split_once('?') else { return self.to_string() != self.0 };
        // A question mark may be a part of the password as well: then the user's name is not known to end before it.
        let of_user = match before.rsplit_once('@') {
            Some((user_info, _)) => {
                user_info.split_once("://").map_or(user_info, |(_, rest)| rest).contains(':')
            }
            None => query.contains('@') && self.to_string() != self.0,
        };
        let is_one = |pair: &str| {
            pair.split_once('=').is_some_and(|(name, _)| name.to_ascii_lowercase().contains("pass"))
        };
        of_user || query.split('&').any(is_one)
    }

    /// Which database it names.
    ///
    /// # Errors
    /// What is expected, in words that do not repeat the URL.
    pub fn scheme(&self) -> Result<Scheme, String> {
        const EXPECTED: &str = "expected sqlite://PATH, such as sqlite://scrip.db, or \
                                postgres://USER@HOST:PORT/NAME";
        // A scheme is letters and a few signs; anything else before the colon may be part of a secret.
        let is_scheme = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_alphabetic())
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        match self.0.split_once(':') {
            Some(("sqlite", _)) => Ok(Scheme::Sqlite),
            Some(("postgres" | "postgresql", _)) => Ok(Scheme::Postgres),
            Some((other, rest)) if is_scheme(other) && rest.starts_with("//") => {
                Err(format!("database-url: scrip does not speak to {other:?} databases: {EXPECTED}"))
            }
            _ => Err(format!("database-url: {EXPECTED}")),
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for DatabaseUrl {
    /// With `***` in place of every password. Rather too much is hidden than too little: a password with an
    /// unescaped `@` or `/` in it is still one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (head, rest) = match self.0.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, self.0.as_str()),
        };
        if let Some(scheme) = head {
            write!(f, "{scheme}://")?;
        }
        let rest = match rest.rsplit_once('@') {
            Some((user_info, place)) => {
                match user_info.split_once(':') {
                    Some((user, _)) => write!(f, "{user}:***@")?,
                    None => write!(f, "{user_info}@")?,
                }
                place
            }
            None => rest,
        };
        let Some((place, query)) = rest.split_once('?') else { return f.write_str(rest) };
        write!(f, "{place}?")?;
        for (index, pair) in query.split('&').enumerate() {
            let separator = if index == 0 { "" } else { "&" };
            match pair.split_once('=') {
                Some((name, _)) if name.to_ascii_lowercase().contains("pass") => {
                    write!(f, "{separator}{name}=***")?;
                }
                _ => write!(f, "{separator}{pair}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duration(text: &str) -> Result<Duration, &'static str> {
        text.parse().map(|HumanDuration(duration)| duration)
    }

    fn url(text: &str) -> DatabaseUrl {
        text.parse().unwrap()
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in
            [("30s", 30), ("5m", 300), ("24h", 86_400), ("1h30m", 5_400), ("30d", 2_592_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2 minutes"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_an_example() {
        for text in ["", "30", "fast", "1month", "2y", "s", "5 m 3", "99999999999999h"] {
            assert!(duration(text).unwrap_err().contains("24h"), "{text:?}");
        }
        assert_eq!(duration("-5s"), Err("must not be negative"));
    }

    #[test]
    fn durations_are_shown_as_they_are_read() {
        for text in ["30s", "5m", "24h", "1h 30m", "500ms"] {
            let shown = text.parse::<HumanDuration>().unwrap().to_string();
            assert_eq!(shown.parse::<HumanDuration>(), text.parse(), "{text} {shown}");
        }
        assert_eq!(HumanDuration(Duration::from_secs(30)).to_string(), "30s");
    }

    #[test]
    fn no_password_is_shown() {
        for (given, shown) in [
            ("sqlite://scrip.db", "sqlite://scrip.db"),
            ("sqlite:scrip.db", "sqlite:scrip.db"),
            ("postgres://u@db:5432/scrip", "postgres://u@db:5432/scrip"),
            ("postgres://u:s3cret@db/scrip", "postgres://u:***@db/scrip"),
            ("postgres://u:s3@cre/t@db/scrip", "postgres://u:***@db/scrip"),
            ("postgres://u:s3?cre@db/scrip", "postgres://u:***@db/scrip"),
            ("postgres://db/scrip?user=u&password=s3cret", "postgres://db/scrip?user=u&password=***"),
            ("postgres://db/scrip?PassWord=s3cret&x=1", "postgres://db/scrip?PassWord=***&x=1"),
            ("u:s3cret@db/scrip", "u:***@db/scrip"),
            ("postgres://u:s3@db/scrip?sslmode=disable", "postgres://u:***@db/scrip?sslmode=disable"),
        ] {
            assert_eq!(url(given).to_string(), shown);
            assert_eq!(url(given).has_password(), shown.contains("***"), "{shown}");
            assert_eq!(format!("{:?}", url(given)), shown);
            assert!(!url(given).scheme().err().unwrap_or_default().contains("s3"));
        }
    }

    #[test]
    fn what_only_looks_like_a_password_is_none() {
        for innocent in [
            "sqlite:///srv/a:b@c.db",
            "postgres://u@h/d?application_name=a:b@c",
            "postgres://h:5432/d?user=u",
        ] {
            assert!(!url(innocent).has_password(), "{innocent}");
        }
    }

    #[test]
    fn schemes_are_told_apart() {
        assert_eq!(url("sqlite://x").scheme(), Ok(Scheme::Sqlite));
        assert_eq!(url("postgres://x").scheme(), Ok(Scheme::Postgres));
        assert_eq!(url("postgresql://x").scheme(), Ok(Scheme::Postgres));
        assert!(url("mysql://x").scheme().unwrap_err().contains("\"mysql\""));
        assert!(url("scrip.db").scheme().unwrap_err().contains("sqlite://scrip.db"));
    }
}
