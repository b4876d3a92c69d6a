//! The binary: hands over to the library.

fn main() -> std::process::ExitCode {
    portcullis::run(std::env::args_os().collect())
}
