//! The binary: a runtime around [`scrip::cli`].

use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long threads that still block may keep the process after its command has ended.
const LEAVING: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = match scrip::cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the system gives no threads to run on: {error}");
            return ExitCode::from(2);
        }
    };
    let code = runtime.block_on(scrip::cli::run(cli));
    runtime.shutdown_timeout(LEAVING);
    code
}
