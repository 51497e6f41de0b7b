//! The key that all routers of a mesh share, in the file format of libp2p's
//! private networks (libp2p specification, "Pre-shared Key Based Private
//! Networks"), so that other tools read it too.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Error, file};

/// The file's first two lines; the third one is the key in base 16.
const HEAD: [&str; 2] = ["/key/swarm/psk/1.0.0/", "/base16/"];

/// A mesh's key. Its `Debug` shows the fingerprint only.
#[derive(Clone, PartialEq, Eq)]
pub struct MeshKey([u8; 32]);

impl MeshKey {
    /// The key that is used where there is no file. It protects nothing.
    #[must_use]
    pub fn well_known() -> Self {
        Self(Sha256::digest(b"fau3 well-known mesh key 1").into())
    }

    /// The key itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 16 hexadecimal digits by which people see that two routers have the same
    /// key; they do not tell the key.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = Sha256::new().chain_update(b"fau3 mesh key fingerprint").chain_update(self.0).finalize();
        hex(&hash[..8])
    }

    /// A key file's text.
    #[must_use]
    pub fn to_file_text(&self) -> String {
        format!("{}\n{}\n{}\n", HEAD[0], HEAD[1], hex(&self.0))
    }

    /// One key or two, one behind the other: while a key is being changed,
    /// routers speak with the first and understand both. A key is three lines as
    /// in its file, or the last of them alone, as people paste it; white space
    /// around lines is let pass.
    ///
    /// # Errors
    /// Says what is wrong, without telling what stands there.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, &'static str> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
        let mut keys = vec![Self::next(&mut lines)?];
        if lines.peek().is_some() {
            keys.push(Self::next(&mut lines)?);
        }
        lines.next().map_or(Ok(keys), |_| Err("there are more than two keys"))
    }

    /// The key in one line, 64 hexadecimal digits: as secret as the file.
    #[must_use]
    pub fn to_line(&self) -> String {
        hex(&self.0)
    }

    fn next<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<Self, &'static str> {
        let first = lines.next().unwrap_or_default();
        if let Some(key) = Self::from_digits(first) {
            return Ok(key);
        }
        if first != HEAD[0] {
            return Err("its first line is neither /key/swarm/psk/1.0.0/ nor 64 hexadecimal digits");
        }
        if lines.next() != Some(HEAD[1]) {
            return Err("its second line is not /base16/");
        }
        Self::from_digits(lines.next().unwrap_or_default())
            .ok_or("its third line is not 64 hexadecimal digits")
    }

    fn from_digits(line: &str) -> Option<Self> {
        let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let values: Vec<u8> = line.bytes().map(|digit| value(&digit)).collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            values.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
        (values.len() == 64).then_some(())?;
        Some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeshKey(fingerprint {})", self.fingerprint())
    }
}

/// Reads the mesh's key, and behind it the other one while it is being changed;
/// none where there is no file.
///
/// # Errors
/// The file cannot be read or holds no such key.
pub fn read_mesh_keys(path: &Path) -> Result<Vec<MeshKey>, Error> {
    let Some(content) = file::read(path)? else { return Ok(Vec::new()) };
    if file::is_lost(&content) {
        return Err(Error::MeshKeyLost { path: path.into() });
    }
    let text = std::str::from_utf8(&content).map_err(|_| "it is not text");
    let keys = text.and_then(MeshKey::parse_all);
    let keys = keys.map_err(|why| Error::MeshKey { path: path.into(), why })?;
    file::warn_unless_secret(path);
    Ok(keys)
}

/// A fresh key, as the text of its file.
///
/// # Errors
/// The system gives no random numbers.
pub fn generate_mesh_key() -> Result<String, Error> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|_| Error::Random)?;
    Ok(MeshKey(key).to_file_text())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::Folder;
    use super::*;

    #[test]
    fn a_fresh_key_is_read_back_and_differs_from_the_next() {
        let folder = Folder::new();
        let path = folder.path().join("mesh.key");
        assert!(read_mesh_keys(&path).unwrap().is_empty());
        let text = generate_mesh_key().unwrap();
        std::fs::write(&path, &text).unwrap();
        let key = read_mesh_keys(&path).unwrap().remove(0);
        assert_eq!(key.to_file_text(), text);
        assert_ne!(generate_mesh_key().unwrap(), text);
    }

    #[test]
    fn the_format_is_that_of_libp2ps_swarm_key() {
        let digits: String = (0..32).map(|byte| format!("{byte:02X}")).collect();
        let text = format!("/key/swarm/psk/1.0.0/\r\n/base16/\r\n{digits}");
        let key = MeshKey::parse_all(&text).unwrap().remove(0);
        assert_eq!(key.bytes()[..4], [0, 1, 2, 3]);
        assert_eq!(key.bytes()[31], 31);
    }

    #[test]
    fn one_pasted_line_is_a_key_too() {
        let key = MeshKey(std::array::from_fn(|at| at as u8 * 7));
        let line = key.to_line();
        assert_eq!(line.len(), 64);
        for pasted in [line.clone(), format!("  {}\r\n\n", line.to_uppercase())] {
            assert_eq!(MeshKey::parse_all(&pasted).unwrap(), std::slice::from_ref(&key));
        }
        // Also beside one that stands as in its file.
        let other = MeshKey([2; 32]);
        let both = format!("{line}\n{}", other.to_file_text());
        assert_eq!(MeshKey::parse_all(&both).unwrap(), [key, other]);
    }

    #[test]
    fn a_second_key_may_follow_while_the_key_is_being_changed() {
        let folder = Folder::new();
        let path = folder.path().join("mesh.key");
        let keys = [MeshKey([1; 32]), MeshKey([2; 32])];
        std::fs::write(&path, keys.each_ref().map(MeshKey::to_file_text).concat()).unwrap();
        assert_eq!(read_mesh_keys(&path).unwrap(), keys);
    }

    #[test]
    fn what_is_wrong_with_a_key_file_is_said_without_telling_the_key() {
        let folder = Folder::new();
        let path = folder.path().join("mesh.key");
        let head = "/key/swarm/psk/1.0.0/\n/base16/\n";
        let digits = "ab".repeat(32);
        for (bad, why) in [
            (digits[1..].to_owned(), "first line"),
            (format!("{digits}ab"), "first line"),
            (format!("{}x", &digits[1..]), "first line"),
            (format!("/key/swarm/psk/1.0.0/\n/bin/\n{digits}"), "second line"),
            (format!("{head}{}", &digits[1..]), "third line"),
            (format!("{head}{}", "äb".repeat(21) + "c"), "third line"),
            (format!("{head}{digits}\n{}", &digits[1..]), "first line"),
            (format!("{head}{digits}\n").repeat(3), "more than two"),
        ] {
            std::fs::write(&path, &bad).unwrap();
            let text = read_mesh_keys(&path).unwrap_err().to_string();
            assert!(
                text.contains(why) && text.contains("mesh.key") && text.contains("--new-mesh-key"),
                "{text}"
            );
            assert!(!text.contains("abab"), "{text}");
        }
    }

    #[test]
    fn an_empty_key_file_is_a_lost_key_and_not_the_well_known_one() {
        let folder = Folder::new();
        let path = folder.path().join("mesh.key");
        for lost in ["", " \n\n", "\0\0\0\0"] {
            std::fs::write(&path, lost).unwrap();
            let text = read_mesh_keys(&path).unwrap_err().to_string();
            assert!(text.contains("is lost") && text.contains("mesh.key"), "{text}");
        }
    }

    #[test]
    fn the_fingerprint_tells_keys_apart_and_debug_shows_no_more() {
        let [a, b] = [MeshKey([1; 32]), MeshKey([2; 32])];
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_eq!(a.fingerprint().len(), 16);
        assert_eq!(format!("{a:?}"), format!("MeshKey(fingerprint {})", a.fingerprint()));
    }
}
