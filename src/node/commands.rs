//! `fau3 check-config` and `fau3 keys`.

use super::{CheckConfigArgs, KeysArgs};
use crate::client::print;
use crate::config::{Config, uci};
use crate::failure::Failure;
use crate::identity::{self, KeyFile};

/// Says what is wrong in a file, all of it, or that nothing is.
///
/// # Errors
/// What is wrong.
pub fn check_config(args: &CheckConfigArgs) -> Result<(), Failure> {
    let (config, warnings) = Config::load_all(Some(&args.file), &[]);
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    let config = config.map_err(|errors| {
        errors.0.iter().for_each(|error| eprintln!("error: {error}"));
        Failure::new(format!("{}: a router would not start with it", args.file.display()))
    })?;
    let text = if args.print {
        uci::print(&config.sections())
    } else {
        format!("{}: good, {} warnings\n", args.file.display(), warnings.len())
    };
    Ok(print(&text)?)
}

/// Shows who this router is, or makes a mesh key.
///
/// # Errors
/// Why it cannot be shown.
pub fn keys(args: &KeysArgs) -> Result<(), Failure> {
    if args.new_mesh_key {
        return Ok(print(&identity::generate_mesh_key().map_err(Failure::new)?.to_string())?);
    }
    let (config, _) = Config::load(args.config.as_deref(), &args.set).map_err(Failure::usage)?;
    if args.show_mesh_key {
        return show_mesh_key(&config);
    }
    let key = KeyFile::load_or_create(&config.node.identity).map_err(Failure::new)?;
    let mesh_keys = identity::read_mesh_keys(&config.mesh.key).map_err(Failure::new)?;
    let mut text = format!(
        "identity    {}\npeer id     {}\nrouter id   {}\n",
        config.node.identity.display(),
        key.peer_id(),
        key.router_id()
    );
    text += &if mesh_keys.is_empty() {
        format!(
            "mesh key    none: the well-known key would be used. Make one with\n            \
             (umask 077; fau3 keys --new-mesh-key > {})\n",
            config.mesh.key.display()
        )
    } else {
        format!("mesh key    {}\n", config.mesh.key.display())
    };
    for (mesh_key, what) in mesh_keys.iter().zip(["fingerprint", "also taken "]) {
        text += &format!("{what} {}\n", mesh_key.fingerprint());
    }
    Ok(print(&text)?)
}

/// One line, and nothing else, so that it can be pasted or piped.
fn show_mesh_key(config: &Config) -> Result<(), Failure> {
    let path = &config.mesh.key;
    let keys = identity::read_mesh_keys(path).map_err(Failure::new)?;
    // While the key is being changed: the one that is spoken with.
    let key = keys.first().ok_or_else(|| {
        Failure::new(format!(
            "{0}: there is no such file, so the well-known key would be used. Make one with: \
             (umask 077; fau3 keys --new-mesh-key > {0})",
            path.display()
        ))
    })?;
    Ok(print(&format!("{}\n", key.to_line()))?)
}
