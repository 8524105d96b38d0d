//! The `emstream` program: parse, run, exit code.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Vulkan drivers complain on stderr, once per call, where a server's session has no such folder.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: nothing else runs yet; there is one thread.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
    cli::main()
}
