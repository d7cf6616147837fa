//! What was measured, as numbers: one figure a line of the table.

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// There is none: it is there to be known.
    Reported,
}

/// What was measured, a number a round.
#[derive(Clone, Debug)]
pub enum Value {
    /// Ours and theirs, in the same unit; the figure is their ratio, round by round.
    Ratio { ours: Vec<f64>, theirs: Vec<f64> },
    /// A quantity of its own.
    Absolute(Vec<f64>),
}

#[derive(Clone, Debug)]
pub struct Figure {
    /// Of the list of targets; empty for what is only reported.
    pub number: &'static str,
    pub name: String,
    pub value: Value,
    pub unit: &'static str,
    pub target: Target,
    /// What one has to know to read it.
    pub note: String,
}

impl Figure {
    pub fn ratio(
        number: &'static str,
        name: &str,
        (ours, theirs): (&[f64], &[f64]),
        unit: &'static str,
        target: Target,
    ) -> Self {
        let value = Value::Ratio { ours: ours.to_vec(), theirs: theirs.to_vec() };
        Self { number, name: name.to_owned(), value, unit, target, note: String::new() }
    }

    pub fn absolute(
        number: &'static str,
        name: &str,
        samples: Vec<f64>,
        unit: &'static str,
        target: Target,
    ) -> Self {
        let value = Value::Absolute(samples);
        Self { number, name: name.to_owned(), value, unit, target, note: String::new() }
    }

    pub fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// The figure of each round.
    pub fn samples(&self) -> Vec<f64> {
        match &self.value {
            Value::Ratio { ours, theirs } => ours
                .iter()
                .zip(theirs)
                .filter(|(_, theirs)| **theirs > 0.0)
                .map(|(ours, theirs)| ours / theirs)
                .collect(),
            Value::Absolute(samples) => samples.clone(),
        }
    }

    pub fn spread(&self) -> Spread {
        Spread::of(&self.samples())
    }

    /// Whether the median meets the target; `None` where there is none, or nothing was measured.
    pub fn is_met(&self) -> Option<bool> {
        let spread = self.spread();
        if spread.median.is_nan() {
            return None;
        }
        match self.target {
            Target::AtLeast(target) => Some(spread.median >= target),
            Target::AtMost(target) => Some(spread.median <= target),
            Target::Reported => None,
        }
    }
}

/// The middle of some numbers, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    /// Not a number, where there are no numbers.
    pub fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (sorted.first(), sorted.last()) else {
            return Self { min: f64::NAN, median: f64::NAN, max: f64::NAN };
        };
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Self { min, median, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let figure = Figure::ratio(
            "1",
            "x",
            (&[10.0, 30.0, 20.0], &[2.0, 3.0, 5.0]),
            "a second",
            Target::AtLeast(5.0),
        );
        assert_eq!(figure.spread(), Spread { min: 4.0, median: 5.0, max: 10.0 });
        assert_eq!(figure.is_met(), Some(true));
    }

    #[test]
    fn what_was_not_measured_meets_nothing_and_misses_nothing() {
        let figure = Figure::ratio("1", "x", (&[1.0], &[0.0]), "a second", Target::AtMost(5.0));
        assert_eq!(figure.is_met(), None);
        assert_eq!(Spread::of(&[4.0, 1.0]).median, 2.5);
    }
}
