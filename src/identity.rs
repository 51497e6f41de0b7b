//! Who this router is: its key, its life's number, and the mesh's key. Small
//! files on flash that are written as rarely as can be, each all or nothing.
//! Knows no network.

mod file;
mod mesh_key;
mod state;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use fau3_election::RouterId;
use libp2p_identity::{Keypair, PeerId, PublicKey};
use sha2::{Digest, Sha256};
use tracing::warn;

#[cfg(test)]
pub(crate) use file::tests::Folder;
pub use file::written;
pub use mesh_key::{MeshKey, generate_mesh_key, read_mesh_keys};
pub use state::{NodeState, random, start_incarnation, state_at_start, state_path};

/// The router's own key pair, from its file.
#[derive(Debug, Clone)]
pub struct KeyFile {
    keypair: Keypair,
    /// Kept, since every status asks for them.
    router_id: RouterId,
    peer_id: PeerId,
}

impl KeyFile {
    /// Reads the key, or makes it where there is none: Ed25519 in libp2p's
    /// protobuf encoding (libp2p specification, "Peer Ids and Keys"), readable
    /// by its owner only. A file that is there is never written over.
    ///
    /// # Errors
    /// The file cannot be read, holds no such key, or cannot be made.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        let bytes = match file::read(path)? {
            Some(bytes) if !file::is_lost(&bytes) => bytes,
            Some(_) => {
                warn!(
                    "{0}: the file is empty, as after a power cut: this router gets a new identity. If you have a copy of \
                     the old one, stop the router, put it back, and start it again",
                    path.display()
                );
                let made = Self::generate(path)?;
                file::replace(path, &made).map_err(Error::write(path))?;
                made
            }
            None => {
                let made = Self::generate(path)?;
                // Another process may have been quicker: then its key counts.
                file::create(path, &made).map_err(Error::write(path))?;
                file::read(path)?.unwrap_or(made)
            }
        };
        let broken = |why| Error::Key { path: path.into(), why };
        let keypair = Keypair::from_protobuf_encoding(&bytes).map_err(|error| broken(error.to_string()))?;
        let public = keypair.public().try_into_ed25519().map_err(|error| broken(error.to_string()))?;
        file::warn_unless_secret(path);
        let peer_id = keypair.public().to_peer_id();
        Ok(Self { keypair, router_id: router_id(&public.to_bytes()), peer_id })
    }

    fn generate(path: &Path) -> Result<Vec<u8>, Error> {
        let made = Keypair::generate_ed25519().to_protobuf_encoding();
        made.map_err(|error| Error::Key { path: path.into(), why: error.to_string() })
    }

    /// What the mesh knows the router by.
    #[must_use]
    pub fn router_id(&self) -> RouterId {
        self.router_id
    }

    /// libp2p's name for it, as people see it: `12D3KooW...`.
    #[must_use]
    pub fn peer_id(&self) -> String {
        self.peer_id.to_string()
    }

    /// For proving who this is.
    #[must_use]
    pub fn keypair(&self) -> &Keypair {
        &self.keypair
    }
}

/// The id of the router with this public key.
#[must_use]
pub fn router_id(public_key: &[u8; 32]) -> RouterId {
    let hash = Sha256::digest(public_key);
    let mut id = [0; 16];
    id.copy_from_slice(&hash[..16]);
    RouterId(id)
}

/// The id of the router that libp2p names so; `None` for a name that does not
/// hold an Ed25519 key, as those of routers do (libp2p specification, "Peer Ids
/// and Keys").
#[must_use]
pub fn router_of(peer_id: &PeerId) -> Option<RouterId> {
    let public = PublicKey::try_decode_protobuf(peer_id.as_ref().digest()).ok()?;
    Some(router_id(&public.try_into_ed25519().ok()?.to_bytes()))
}

/// What is wrong with one of these files.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It cannot be written.
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It holds no identity key.
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It holds no mesh key.
    MeshKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// There is a file of the mesh's key, and nothing in it.
    MeshKeyLost {
        /// Which one.
        path: PathBuf,
    },
    /// It holds no state.
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The system gives no random numbers.
    Random,
}

impl Error {
    fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Read { path: path.into(), error }
    }

    fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Write { path: path.into(), error }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => {
                let advice = match error.kind() {
                    io::ErrorKind::PermissionDenied => "mend its permissions",
                    _ => "is that the right file?",
                };
                write!(f, "{}: cannot be read: {error}; {advice}", path.display())
            }
            Self::Write { path, error } => write!(
                f,
                "{}: cannot be written: {error}; make its folder writable, or name another file",
                path.display()
            ),
            Self::Key { path, why } => write!(
                f,
                "{}: is no identity key ({why}); put back a copy, or delete it: then a new key is made, and \
                 the router counts as a new one",
                path.display()
            ),
            Self::MeshKey { path, why } => write!(
                f,
                "{}: is no mesh key ({why}); copy the file from another router, or make a new key for all \
                 of them with: fau3 keys --new-mesh-key",
                path.display()
            ),
            Self::MeshKeyLost { path } => write!(
                f,
                "{0}: the mesh key is lost: the file is empty, as after a power cut. Copy it from another router and \
                 restart this one; or remove the file if the mesh uses the well-known key. Until then this router \
                 serves its clients alone",
                path.display()
            ),
            Self::State { path, why } => write!(f, "{}: is no state of a node ({why})", path.display()),
            Self::Random => f.write_str("the system gives no random numbers; is /dev/urandom there?"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::file::tests::Folder;
    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_only_and_stays() {
        let folder = Folder::new();
        let path = folder.path().join("new/folder/identity.key");
        let made = KeyFile::load_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = KeyFile::load_or_create(&path).unwrap();
        assert_eq!((again.router_id(), again.peer_id()), (made.router_id(), made.peer_id()));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing left over");
    }

    #[test]
    fn the_router_id_is_the_start_of_the_public_keys_sha_256() {
        // SHA-256 of 32 zero bytes, by any other program.
        assert_eq!(router_id(&[0; 32]).to_string(), "66687aadf862bd776c8fc18b8e9f8e20");
    }

    #[test]
    fn a_peer_id_tells_which_router_it_is() {
        let folder = Folder::new();
        let key = KeyFile::load_or_create(&folder.path().join("identity.key")).unwrap();
        let peer_id: PeerId = key.peer_id().parse().unwrap();
        assert_eq!(router_of(&peer_id), Some(key.router_id()));
        assert_eq!(router_of(&PeerId::random()), None, "the hash of another kind of key");
    }

    #[test]
    fn a_broken_key_is_named_and_never_written_over() {
        let folder = Folder::new();
        let path = folder.path().join("identity.key");
        for broken in [&b"not a key"[..], &[8, 1, 18, 64, 0]] {
            std::fs::write(&path, broken).unwrap();
            let text = KeyFile::load_or_create(&path).unwrap_err().to_string();
            assert!(text.contains("identity.key") && text.contains("delete it"), "{text}");
            assert_eq!(std::fs::read(&path).unwrap(), broken);
        }
    }

    #[test]
    fn an_empty_identity_is_none_and_is_made_anew() {
        let folder = Folder::new();
        let path = folder.path().join("identity.key");
        for lost in [&b""[..], b" \n", &[0; 68]] {
            std::fs::write(&path, lost).unwrap();
            let made = KeyFile::load_or_create(&path).unwrap();
            assert_eq!(KeyFile::load_or_create(&path).unwrap().router_id(), made.router_id());
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = Folder::new();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let text = KeyFile::load_or_create(&file.join("identity.key")).unwrap_err().to_string();
        assert!(text.contains("file/identity.key"), "{text}");
    }
}
