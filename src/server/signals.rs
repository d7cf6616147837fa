//! From the operator's signals to the order to stop.
//!
//! Phases: the first SIGTERM or SIGINT begins a drain; the second, of either kind, cuts what is left. Further ones
//! change nothing: the process is ending as fast as it can.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::Shutdown;

/// Listens for SIGTERM and SIGINT from now on and gives `shutdown` the orders they stand for.
///
/// The handlers are installed before this returns, so a signal sent afterwards is never lost. The task ends after
/// the second signal; abort it when the process stops for another reason.
pub fn watch_signals(shutdown: Shutdown) -> io::Result<JoinHandle<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "draining: answering what was accepted; a second signal ends at once");
        shutdown.begin_drain();
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "second signal: closing every connection now");
        shutdown.cut();
    }))
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        biased;
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::{Child, Command};

    use super::*;

    const CHILD: &str = "SCRIP_TEST_SIGNALS_CHILD";
    const NAME: &str = "server::signals::tests::the_first_signal_drains_and_the_second_cuts";

    async fn send(signal: &str, child: &Child) {
        let command = format!("kill -{signal} {}", child.id().unwrap());
        assert!(Command::new("sh").args(["-c", &command]).status().await.unwrap().success());
    }

    /// The receiving end: says on stdout which phase it has reached.
    async fn obey() {
        let shutdown = Shutdown::new();
        let watcher = watch_signals(shutdown.clone()).unwrap();
        println!("\nwatching");
        shutdown.draining().await;
        println!("\ndraining");
        shutdown.cutting().await;
        watcher.await.unwrap();
        println!("\ncut");
    }

    /// Runs this very test again in a process of its own: signal handlers are for good, and a test run that has them
    /// could not be interrupted any more.
    #[tokio::test]
    async fn the_first_signal_drains_and_the_second_cuts() {
        if std::env::var_os(CHILD).is_some() {
            return obey().await;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut phases = Vec::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            match line.as_str() {
                "watching" => send("TERM", &child).await,
                "draining" => send("INT", &child).await,
                "cut" => {}
                _ => continue,
            }
            phases.push(line);
        }
        assert_eq!(phases, ["watching", "draining", "cut"]);
        assert!(child.wait().await.unwrap().success());
    }
}
