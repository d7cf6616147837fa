//! Clients that share no code with the server: the real `grpcurl` and Python's grpcio. `scripts/test.sh`
//! installs both under `target/tools` where it can; a test whose peer is missing says so aloud.

use std::path::{Path, PathBuf};

/// `grpcurl` from `target/tools` or the PATH. `None` has been said aloud.
pub fn grpcurl() -> Option<PathBuf> {
    let found = installed("grpcurl").or_else(|| super::postgres::on_path("grpcurl"));
    if found.is_none() {
        super::say_not_run(
            "grpcurl is neither on the PATH nor in target/tools (scripts/test.sh installs it)",
        );
    }
    found
}

/// A Python that can `import grpc` and `grpc_reflection`. `None` has been said aloud.
pub fn python_with_grpc() -> Option<PathBuf> {
    let found = installed("venv/bin/python");
    if found.is_none() {
        super::say_not_run("no Python with grpcio in target/tools/venv (scripts/test.sh installs it)");
    }
    found
}

/// A Python with `grpcio-tools` as well, which compiles protos when a program starts. `None` has been said aloud.
pub fn python_with_grpc_tools() -> Option<PathBuf> {
    let python = python_with_grpc()?;
    let asked = std::process::Command::new(&python).args(["-c", "import grpc_tools"]).status();
    if asked.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    super::say_not_run("target/tools/venv has no grpcio-tools (scripts/test.sh installs it)");
    None
}

/// A file under `target/tools`, if it is there.
pub fn installed(tool: &str) -> Option<PathBuf> {
    // The target directory may be anywhere; the binaries under test are in its profile's folder.
    let target = Path::new(env!("CARGO_BIN_EXE_scrip")).parent()?.parent()?;
    let path = target.join("tools").join(tool);
    path.is_file().then_some(path)
}
