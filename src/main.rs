//! The program `fau3`: one router, and the commands for people.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
#[cfg(feature = "demo")]
use fau3::demo;
use fau3::{client, node};

#[derive(Parser)]
#[command(
    name = "fau3",
    version,
    about = "Keeps voice going when the main server or the uplink is gone",
    after_help = examples()
)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Node(node::NodeArgs),
    Talk(client::TalkArgs),
    Listen(client::ListenArgs),
    Status(client::StatusArgs),
    Topology(client::TopologyArgs),
    CheckConfig(node::CheckConfigArgs),
    Keys(node::KeysArgs),
    #[cfg(feature = "demo")]
    Demo(demo::DemoArgs),
}

fn examples() -> String {
    let demo = if cfg!(feature = "demo") {
        "  fau3 demo                              three routers, and one of them dies\n"
    } else {
        ""
    };
    format!(
        "Try it:\n{demo}  fau3 node                              one terminal: a router\n  \
         fau3 listen --room hall                another: hear a room\n  \
         fau3 talk --room hall message.speex    a third: speak to it\n\n\
         Exit status: 0 done, 1 failed, 2 wrong usage"
    )
}

fn main() -> ExitCode {
    // First: a router is sent signals from its first moment on.
    let is_node = std::env::args_os().nth(1).is_some_and(|command| command == "node");
    let signals = is_node.then(node::Signals::catch);
    // Wrong usage ends here with status 2.
    let program = Program::parse();
    let result = match program.command {
        Command::Node(args) => node::run(&args, signals),
        Command::Talk(args) => node::on_runtime(client::talk(args)).map_err(Into::into),
        Command::Listen(args) => node::on_runtime(client::listen(args)).map_err(Into::into),
        Command::Status(args) => node::on_runtime(client::status(args)).map_err(Into::into),
        Command::Topology(args) => node::on_runtime(client::topology(args)).map_err(Into::into),
        Command::CheckConfig(args) => node::check_config(&args),
        Command::Keys(args) => node::keys(&args),
        #[cfg(feature = "demo")]
        Command::Demo(args) => node::on_runtime(demo::run(&args)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            node::say_last(&format!("fau3: {error}"));
            ExitCode::from(error.status())
        }
    }
}
