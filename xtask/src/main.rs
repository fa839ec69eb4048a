//! The project's own chores.

mod ebpf;

use clap::Parser;

#[derive(Parser)]
enum Chore {
    Ebpf(ebpf::Args),
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Ebpf(args) => ebpf::run(&args),
    }
}
