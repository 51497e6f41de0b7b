use std::path::PathBuf;

/// Run a router in the foreground
///
/// Works without any argument: serves clients on port 8901, keeps its state in
/// a folder of the user's, logs to standard error. SIGHUP reads the
/// configuration again and applies what can be applied without dropping
/// clients; SIGTERM and Ctrl-C say goodbye to clients and end it with status 0.
#[derive(clap::Args, Debug, Clone)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  fau3 node\n  fau3 node --config /etc/config/fau3\n  \
                        fau3 node --set clients.listen=127.0.0.1:8911 --set clients.storage=disk"
)]
pub struct NodeArgs {
    /// The UCI file; without it and without --set: /etc/config/fau3 if there is
    /// one, else defaults
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Overrides an option; for a list the first one replaces the default and
    /// the next ones add to it
    #[arg(long, value_name = "SECTION.OPTION=VALUE")]
    pub set: Vec<String>,
    /// Log to the system's log (/dev/log) with its levels, instead of to standard
    /// error
    #[arg(long)]
    pub syslog: bool,
}

/// Check a configuration file, and say what would be right
///
/// Tells every error with file, line, section and option, and warns of names
/// that are not known. Nothing is changed, and no router needs to run. Exit
/// status: 0 if a router would start with it, 1 if not.
#[derive(clap::Args, Debug, Clone)]
#[command(
    after_help = "Examples:\n  fau3 check-config /etc/config/fau3\n  fau3 check-config --print /etc/config/fau3"
)]
pub struct CheckConfigArgs {
    /// The UCI file
    pub file: PathBuf,
    /// Print what is in force, defaults included, as a UCI file
    #[arg(long)]
    pub print: bool,
}

/// Show this router's identity and its mesh key's fingerprint, or make a key
///
/// The identity is made where there is none yet. Routers with the same
/// fingerprint belong to one mesh. Secrets are shown by --new-mesh-key and
/// --show-mesh-key alone. To let another router in, copy the key's file to it, or
/// paste the line of --show-mesh-key into one there.
#[derive(clap::Args, Debug, Clone)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:\n  fau3 keys\n  (umask 077; fau3 keys --new-mesh-key > mesh.key)    \
                        then copy the file to every router\n  \
                        fau3 keys --show-mesh-key"
)]
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
    /// Print the mesh key in one line, which is a key file, too
    #[arg(long, conflicts_with = "new_mesh_key")]
    pub show_mesh_key: bool,
}
