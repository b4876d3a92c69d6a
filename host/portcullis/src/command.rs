//! The commands: one file each, thin over the crates below.
use crate::{
    cli::{Arguments, Command},
    exit::{Exit, Failure, Result},
};
use std::future::Future;

mod announced;
pub mod approve;
mod asked;
mod build;
mod call;
mod config;
mod confirm;
mod connections;
mod connectors;
mod deliver;
mod deliveries;
mod denials;
mod dev;
mod doctor;
mod explain;
mod flows;
mod init;
mod inspect;
mod live;
mod logs;
mod manual;
mod named;
mod new;
mod period;
mod positions;
mod read;
mod report;
pub use inspect::{named_line, rule_line};
pub use report::near_property;
mod review;
pub mod revoke;
mod runs;
mod serve;
mod status;
mod store;
mod test;
mod update;
mod withheld;
mod write;

/// Runs the command that was typed.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    match &arguments.command {
        Command::Demo(options) => crate::demo::run(options, arguments.json),
        Command::Init(options) => init::run(arguments, options),
        Command::Config(options) => config::run(arguments, options),
        Command::Schema(options) => config::schema(arguments, options),
        Command::New(options) => new::run(arguments, options),
        Command::Build(options) if options.watch => block_on(dev::build(arguments, options)),
        Command::Build(options) => build::run(arguments, options),
        Command::Test(options) => block_on(test::run(arguments, options)),
        Command::Dev(options) => block_on(dev::run(arguments, options)),
        Command::Connectors => connectors::run(arguments),
        Command::Connections(command) => block_on(connections::run(arguments, command)),
        Command::Inspect(options) => inspect::run(arguments, options),
        Command::Approve(options) => approve::run(arguments, options),
        Command::Review(options) => review::run(arguments, options),
        Command::Update(options) => update::run(arguments, options),
        Command::Revoke(options) => revoke::run(arguments, options),
        Command::Explain(options) => block_on(explain::run(arguments, options)),
        Command::Doctor(options) => block_on(doctor::run(arguments, options)),
        Command::Check(options) => block_on(call::check(arguments, options)),
        Command::Discover(options) => block_on(call::discover(arguments, options)),
        Command::Call(options) => block_on(call::run(arguments, options)),
        Command::Flows(options) => block_on(flows::command(arguments, options)),
        Command::Run(options) => block_on(flows::run(arguments, options)),
        Command::Read(options) => block_on(read::run(arguments, options)),
        Command::Serve => block_on(serve::run(arguments)),
        Command::Reload => block_on(asked::reload(arguments)),
        Command::Positions(options) => block_on(positions::run(arguments, options)),
        Command::Store(command) => block_on(store::run(arguments, command)),
        Command::Status => block_on(status::run(arguments)),
        Command::Deliveries(options) => block_on(deliveries::run(arguments, options)),
        Command::Deliver(options) => block_on(deliver::run(arguments, options)),
        Command::Write(options) => block_on(write::run(arguments, options)),
        Command::Runs(options) => block_on(runs::run(arguments, options)),
        Command::Logs(options) => block_on(logs::run(arguments, options)),
        Command::Completions(options) => manual::completions(options),
        Command::Man(options) => manual::pages(arguments, options),
        Command::Denials(options) => block_on(denials::run(arguments, options)),
    }
}

/// One async runtime a process, made where the first command needs it.
pub fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::fault("cannot start the async runtime").because(&error))?;
    let result = runtime.block_on(future);
    // A blocked thread (a slow disk, a closed terminal) must not keep a finished command alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}
