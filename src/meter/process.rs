//! The process as its machine sees it, read from /proc when somebody reads; where there is none, nothing is told.

use std::fs;

use opentelemetry::metrics::Meter;
use tokio::time::Instant;

use super::label;

/// Linux counts the time of a process in hundredths of a second, whatever its own clock does (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Linux counts memory in pages; of 4 KiB on the machines scrip is built for.
const PAGE_BYTES: u64 = 4_096;

pub(super) fn watch(meter: &Meter) {
    meter
        .u64_observable_gauge("scrip.build.info")
        .with_description("1, labelled with the release that runs")
        .with_callback(|observer| {
            let version = label("version", env!("CARGO_PKG_VERSION"));
            observer.observe(
                1,
                &[version, label("profile", if cfg!(debug_assertions) { "debug" } else { "release" })],
            );
        })
        .build();
    let began = Instant::now();
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("Time since the process began")
        .with_callback(move |observer| observer.observe(began.elapsed().as_secs_f64(), &[]))
        .build();
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Processor time the process has used, by mode")
        .with_callback(|observer| {
            if let Some((user, system)) = cpu_seconds() {
                observer.observe(user, &[label("cpu.mode", "user")]);
                observer.observe(system, &[label("cpu.mode", "system")]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("Memory of the machine that the process takes")
        .with_callback(|observer| {
            if let Some(bytes) = resident_bytes() {
                observer.observe(bytes, &[]);
            }
        })
        .build();
    meter
        .u64_observable_gauge("process.unix.file_descriptor.count")
        .with_description("Files and sockets the process has open")
        .with_callback(|observer| {
            if let Ok(open) = fs::read_dir("/proc/self/fd") {
                observer.observe(u64::try_from(open.count()).unwrap_or(u64::MAX), &[]);
            }
        })
        .build();
}

fn cpu_seconds() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    times(&stat)
}

/// The name of the program stands in brackets and may hold anything; what is counted comes after it.
fn times(stat: &str) -> Option<(f64, f64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some((next()? / TICKS_PER_SECOND, next()? / TICKS_PER_SECOND))
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    statm.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_brackets_and_blanks() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20";
        assert_eq!(times(stat), Some((2.5, 0.5)));
        assert_eq!(times("7"), None);
    }
}
