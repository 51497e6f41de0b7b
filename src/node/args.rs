use std::path::PathBuf;

/// `fau3 node`
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = "Examples:\n  fau3 node\n  fau3 node --config /etc/config/fau3\n  \
                        fau3 node --set clients.listen=127.0.0.1:8911 --set clients.storage=disk")]
pub struct NodeArgs {
    /// The UCI file; without it and without --set: /etc/config/fau3 if there is
    /// one, else defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Overrides an option; for a list the first one replaces the default and
    /// the next ones add to it
    #[arg(long, value_name = "SECTION.OPTION=VALUE")]
    pub set: Vec<String>,
}

/// `fau3 check-config`
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = "Example:\n  fau3 check-config /etc/config/fau3")]
pub struct CheckConfigArgs {
    /// The UCI file
    pub file: PathBuf,
    /// Print what is in force, defaults included, as a UCI file
    #[arg(long)]
    pub print: bool,
}

/// `fau3 keys`
#[derive(clap::Args, Debug, Clone)]
#[command(after_help = "Examples:\n  fau3 keys\n  fau3 keys --new-mesh-key > mesh.key    \
                        then copy the file to every router")]
pub struct KeysArgs {
    /// The UCI file that says where the keys are
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Overrides an option, as for `fau3 node`
    #[arg(long, value_name = "SECTION.OPTION=VALUE")]
    pub set: Vec<String>,
    /// Print a fresh mesh key, ready to be saved as the key file
    #[arg(long)]
    pub new_mesh_key: bool,
}
