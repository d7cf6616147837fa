//! The figures that prove a finding, as data.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Day, Micros, Text};

/// One figure of a piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// A number; its key tells the unit.
    Number(i128),
    /// A word, an id or a date.
    Text(Text),
    /// Several ids.
    List(Vec<Text>),
}

/// What a rule judged, by name, sorted by name: it serialises to the same JSON every time.
///
/// The end of a name is its unit: `_nano_usd`, `_points`, `_bp` (1/10,000), `_micros` (a length of time), `_time`
/// (microseconds since 1970, UTC), `_nano` (10⁻⁹ units); `day` is a date; everything else is a count, a word or ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Evidence(Vec<(Cow<'static, str>, Figure)>);

impl Evidence {
    /// Evidence of these figures; of two with one name the first is kept.
    pub fn new<const N: usize>(figures: [(&'static str, Figure); N]) -> Self {
        figures.into_iter().map(|(name, figure)| (Cow::Borrowed(name), figure)).collect()
    }

    /// The figure of that name.
    pub fn get(&self, name: &str) -> Option<&Figure> {
        let at = self.0.binary_search_by(|(have, _)| (**have).cmp(name)).ok()?;
        self.0.get(at).map(|(_, figure)| figure)
    }

    /// The figure of that name, if it is a number.
    pub fn number(&self, name: &str) -> Option<i128> {
        match self.get(name)? {
            Figure::Number(number) => Some(*number),
            Figure::Text(_) | Figure::List(_) => None,
        }
    }

    /// The figure of that name, if it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Figure::Text(text) => Some(text),
            Figure::Number(_) | Figure::List(_) => None,
        }
    }

    /// Every figure, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Figure)> {
        self.0.iter().map(|(name, figure)| (&**name, figure))
    }

    /// As JSON: one object, its names in order, numbers as integers.
    pub fn to_json(&self) -> String {
        // Strings and integers have no value that JSON refuses.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads what [`Evidence::to_json`] wrote; `None` for anything else.
    pub fn from_json(json: &str) -> Option<Self> {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
        let figures =
            object.into_iter().map(|(name, value)| Some((Cow::Owned(name), Figure::from_json(value)?)));
        figures.collect()
    }
}

impl FromIterator<(Cow<'static, str>, Figure)> for Evidence {
    fn from_iter<I: IntoIterator<Item = (Cow<'static, str>, Figure)>>(figures: I) -> Self {
        let mut figures: Vec<_> = figures.into_iter().collect();
        figures.sort_by(|(one, _), (other, _)| one.cmp(other));
        figures.dedup_by(|(next, _), (kept, _)| next == kept);
        Self(figures)
    }
}

impl Serialize for Evidence {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, figure) in &self.0 {
            map.serialize_entry(name, figure)?;
        }
        map.end()
    }
}

impl Figure {
    fn from_json(value: serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Number(number) => Some(Figure::Number(number.to_string().parse().ok()?)),
            serde_json::Value::String(text) => Some(Figure::Text(text.into())),
            serde_json::Value::Array(items) => {
                let items = items.into_iter().map(|item| item.as_str().map(Text::from));
                items.collect::<Option<_>>().map(Figure::List)
            }
            _ => None,
        }
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Figure::Number(number) => serializer.serialize_i128(*number),
            Figure::Text(text) => serializer.serialize_str(text),
            Figure::List(items) => {
                let mut sequence = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    sequence.serialize_element(&**item)?;
                }
                sequence.end()
            }
        }
    }
}

impl From<i128> for Figure {
    fn from(number: i128) -> Self {
        Figure::Number(number)
    }
}

impl From<i64> for Figure {
    fn from(number: i64) -> Self {
        Figure::Number(number.into())
    }
}

impl From<u64> for Figure {
    fn from(number: u64) -> Self {
        Figure::Number(number.into())
    }
}

impl From<u32> for Figure {
    fn from(number: u32) -> Self {
        Figure::Number(number.into())
    }
}

impl From<Micros> for Figure {
    fn from(time: Micros) -> Self {
        Figure::Number(time.0.into())
    }
}

impl From<Day> for Figure {
    fn from(day: Day) -> Self {
        Figure::Text(day.to_string().into())
    }
}

impl From<&str> for Figure {
    fn from(text: &str) -> Self {
        Figure::Text(text.into())
    }
}

impl From<&Text> for Figure {
    fn from(text: &Text) -> Self {
        Figure::Text(Text::clone(text))
    }
}

impl From<Vec<Text>> for Figure {
    fn from(items: Vec<Text>) -> Self {
        Figure::List(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_the_same_json_in_whatever_order_it_was_named() {
        let one = Evidence::new([
            ("b_points", 2_i64.into()),
            ("a", "x\"y".into()),
            ("c", vec!["t1".into()].into()),
        ]);
        let other = Evidence::new([
            ("c", vec!["t1".into()].into()),
            ("b_points", 2_i64.into()),
            ("a", "x\"y".into()),
        ]);
        assert_eq!(one, other);
        assert_eq!(one.to_json(), r#"{"a":"x\"y","b_points":2,"c":["t1"]}"#);
    }

    #[test]
    fn json_is_read_back_as_it_was_written_however_large_the_numbers() {
        let most = i128::from(i64::MAX).saturating_mul(1_000);
        let evidence =
            Evidence::new([("most", most.into()), ("least", i64::MIN.into()), ("day", Day(0).into())]);
        assert_eq!(
            evidence.to_json(),
            r#"{"day":"1970-01-01","least":-9223372036854775808,"most":9223372036854775807000}"#
        );
        assert_eq!(evidence.number("most"), Some(most));
        // Beyond 64 bits the small builds of serde_json read a float; what was written is still what is stored.
        let usual =
            Evidence::new([("least", i64::MIN.into()), ("day", Day(0).into()), ("ids", vec![].into())]);
        assert_eq!(Evidence::from_json(&usual.to_json()), Some(usual));
        assert_eq!(Evidence::from_json("[1]"), None);
        assert_eq!(Evidence::from_json(r#"{"a":null}"#), None);
    }
}
