//! What people and scripts read: aligned tables, JSON lines, colour where it helps and nowhere else.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::ledger::Micros;
use crate::report::table::Lines;
pub(super) use crate::report::table::{Paint, Side, Table, plain};

/// Whether the operator's environment allows colour; see no-color.org.
pub(crate) fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Where a command writes its result.
pub(super) struct Out {
    writer: Box<dyn Write + Send>,
    paint: Paint,
}

impl Out {
    /// The process's stdout. Every line is flushed: who follows a command sees each as it is found.
    pub(super) fn stdout() -> Self {
        let on_terminal = io::stdout().is_terminal();
        Self { writer: Box::new(io::stdout()), paint: Paint(on_terminal && colour_wanted()) }
    }

    pub(super) const fn paint(&self) -> Paint {
        self.paint
    }

    /// Writes one line.
    pub(super) fn line(&mut self, line: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.writer, "{}", line.as_ref())?;
        self.writer.flush()
    }

    /// Writes one JSON object on a line.
    pub(super) fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        self.line(serde_json::to_string(value)?)
    }
}

impl Lines for Out {
    fn paint(&self) -> Paint {
        self.paint
    }

    fn write_line(&mut self, line: &str) -> io::Result<()> {
        self.line(line)
    }
}

impl Paint {
    /// For stderr.
    pub(super) fn stderr() -> Self {
        Self(io::stderr().is_terminal() && colour_wanted())
    }
}

/// A moment as RFC 3339, UTC.
pub(super) fn moment(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at.0).map_or_else(|_| format!("{} µs", at.0), |time| time.to_string())
}

/// A moment for a column: to the second.
pub(super) fn moment_short(at: Micros) -> String {
    moment(Micros(at.0.div_euclid(1_000_000).saturating_mul(1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc() {
        assert_eq!(moment(Micros(0)), "1970-01-01T00:00:00Z");
        assert_eq!(moment(Micros(1_500_000)), "1970-01-01T00:00:01.5Z");
        assert_eq!(moment_short(Micros(1_500_000)), "1970-01-01T00:00:01Z");
    }
}
