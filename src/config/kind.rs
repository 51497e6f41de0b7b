//! Kinds of values: what an option may hold, how it is read and written, and
//! the words by which an error says what would be right.

use super::{Address, Discovery, LogLevel, Peer, ServerUrl, Storage};
use crate::wire::{CLIENT_ID_CHARS_MAX, ClientId};
use core::marker::PhantomData;
use core::str::FromStr;
use std::path::PathBuf;

/// Turns an option's text into its value and back: `read(show(v)) == v`.
pub(super) trait Kind {
    /// What the program works with.
    type Value: PartialEq + Clone;

    /// `None` where `text` is not what [`Self::expected`] says.
    fn read(&self, text: &str) -> Option<Self::Value>;

    /// As [`Self::read`] takes it.
    fn show(&self, value: &Self::Value) -> String;

    /// What would be right, to stand after "is not".
    fn expected(&self) -> String;
}

/// A whole number with bounds, both included. A zero in front is refused, since
/// shells and C take what follows for octal.
pub struct Number {
    /// The least that is accepted.
    pub min: u32,
    /// The most that is accepted.
    pub max: u32,
}

impl Kind for Number {
    type Value = u32;

    fn read(&self, text: &str) -> Option<u32> {
        let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = digits_only && (text == "0" || !text.starts_with('0'));
        let number = text.parse().ok().filter(|_| is_plain)?;
        (self.min..=self.max).contains(&number).then_some(number)
    }

    fn show(&self, value: &u32) -> String {
        value.to_string()
    }

    fn expected(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}

/// One word of a few, each with its meaning. The first of a meaning is the one written.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: PartialEq + Copy> Choice<T> {
    /// The word that is written for `value`.
    pub(super) fn word(&self, value: T) -> &'static str {
        self.0.iter().find(|(_, meaning)| *meaning == value).map_or("", |(word, _)| word)
    }
}

impl<T: PartialEq + Copy> Kind for Choice<T> {
    type Value = T;

    fn read(&self, text: &str) -> Option<T> {
        self.0.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
    }

    fn show(&self, value: &T) -> String {
        self.word(*value).to_owned()
    }

    fn expected(&self) -> String {
        let words: Vec<_> = self.0.iter().map(|(word, _)| *word).collect();
        if words.len() <= 2 { words.join(" or ") } else { format!("one of {}", words.join(", ")) }
    }
}

/// Booleans: the words that UCI's own scripts take (`config_get_bool`).
pub(super) const FLAG: Choice<bool> = Choice(&[
    ("1", true),
    ("0", false),
    ("on", true),
    ("off", false),
    ("true", true),
    ("false", false),
    ("yes", true),
    ("no", false),
    ("enabled", true),
    ("disabled", false),
]);

/// Where records are kept. Without the feature `disk` there is only one place.
#[cfg(feature = "disk")]
pub(super) const STORAGE: Choice<Storage> = Choice(&[("ram", Storage::Ram), ("disk", Storage::Disk)]);
#[cfg(not(feature = "disk"))]
pub(super) const STORAGE: Choice<Storage> = Choice(&[("ram", Storage::Ram)]);

/// Ways to find other routers.
pub(super) const DISCOVERY: Choice<Discovery> =
    Choice(&[("mdns", Discovery::Mdns), ("batman", Discovery::Batman)]);

/// From the quietest to the loudest.
pub(super) const LOG: Choice<LogLevel> = Choice(&[
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
]);

/// Text of which every character passes a test.
pub(super) struct Text {
    pub(super) len_max: usize,
    pub(super) test: fn(&str) -> bool,
    pub(super) meaning: &'static str,
}

impl Text {
    fn is_right(&self, text: &str) -> bool {
        (1..=self.len_max).contains(&text.len()) && (self.test)(text)
    }
}

impl Kind for Text {
    type Value = String;

    fn read(&self, text: &str) -> Option<String> {
        self.is_right(text).then(|| text.to_owned())
    }

    fn show(&self, value: &String) -> String {
        value.clone()
    }

    fn expected(&self) -> String {
        format!("{} (1 to {} bytes)", self.meaning, self.len_max)
    }
}

/// A router's name: it travels in JSON, in file names and in mDNS.
pub(super) const ROUTER_NAME: Text = Text {
    len_max: 64,
    test: |text| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
    meaning: "a name of letters, digits, '.', '_' and '-'",
};

/// A network device (at most 15 bytes), or a logical network of OpenWrt's, which
/// is given to `ubus`.
pub(super) const INTERFACE: Text = Text {
    len_max: 32,
    test: |text| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        text.bytes().all(is_plain) && !text.starts_with('-')
    },
    meaning: "the name of an interface or a logical network",
};

/// Where a page is from, as browsers say it (RFC 6454, section 7), or all of them.
pub(super) const ORIGIN: Text = Text {
    len_max: 255,
    test: |text| {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"/'\"?#@".contains(&byte);
        let is_web = |(scheme, host): (&str, &str)| {
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            let is_scheme = !scheme.is_empty() && scheme.bytes().all(is_letter);
            is_scheme && host.bytes().all(is_plain) && (!host.is_empty() || scheme == "file")
        };
        ["*", "null"].contains(&text) || text.split_once("://").is_some_and(is_web)
    },
    meaning: "where a page is from, without a path, such as https://intercom.example, or * for every page",
};

/// A client's id, by the rule that clients meet when they connect.
pub(super) struct Client;

impl Kind for Client {
    type Value = ClientId;

    fn read(&self, text: &str) -> Option<ClientId> {
        ClientId::new(text).ok()
    }

    fn show(&self, value: &ClientId) -> String {
        value.to_string()
    }

    fn expected(&self) -> String {
        format!(
            "a client id: 1 to {CLIENT_ID_CHARS_MAX} printable ASCII characters without spaces around them"
        )
    }
}

/// A path of the file system, at most so many bytes long.
pub(super) struct FilePath(pub(super) usize);

impl FilePath {
    fn text(&self) -> Text {
        Text { len_max: self.0, test: |text| !text.chars().any(char::is_control), meaning: "a path" }
    }
}

impl Kind for FilePath {
    type Value = PathBuf;

    fn read(&self, text: &str) -> Option<PathBuf> {
        self.text().read(text).map(PathBuf::from)
    }

    fn show(&self, value: &PathBuf) -> String {
        value.to_string_lossy().into_owned()
    }

    fn expected(&self) -> String {
        self.text().expected()
    }
}

/// What its own `FromStr` and `Display` read and write.
pub(super) struct Parsed<T> {
    test: fn(&T) -> bool,
    meaning: &'static str,
    value: PhantomData<T>,
}

impl<T: FromStr + ToString + PartialEq + Clone> Kind for Parsed<T> {
    type Value = T;

    fn read(&self, text: &str) -> Option<T> {
        text.parse().ok().filter(self.test)
    }

    fn show(&self, value: &T) -> String {
        value.to_string()
    }

    fn expected(&self) -> String {
        self.meaning.to_owned()
    }
}

/// Where to listen; port 0 lets the system choose.
pub(super) const LISTEN: Parsed<Address> = Parsed {
    test: |_| true,
    meaning: "an IP address with its port, such as [::]:8901 or 192.168.1.1:8901",
    value: PhantomData,
};

/// Whom to call.
pub(super) const PEER: Parsed<Peer> = Parsed {
    test: |peer| peer.port() != 0,
    meaning: "an IP address or a host's name with its port, such as 192.168.1.2:8902, \
              [fe80::1%br-lan]:8902 or router-b.lan:8902",
    value: PhantomData,
};

/// The main server.
pub(super) const URL: Parsed<ServerUrl> = Parsed {
    test: |_| true,
    meaning: "a URL with its port: ws://10.10.11.156:8901 (a server that speaks FAU3VOM-D only, without TLS), \
              fau3://main.example.org:8902 (a fau3 node) or fau3+ws://main.example.org:8902 (a fau3 node, \
              where only WebSocket gets through)",
    value: PhantomData,
};

/// A value, or nothing: written as one of two words, of which the first is
/// printed. An empty `option` does not outlive `uci commit`, `off` does.
pub(super) struct Maybe<K> {
    pub(super) kind: K,
    pub(super) nothing: [&'static str; 2],
}

impl<K: Kind> Kind for Maybe<K> {
    type Value = Option<K::Value>;

    fn read(&self, text: &str) -> Option<Self::Value> {
        if self.nothing.contains(&text) { Some(None) } else { self.kind.read(text).map(Some) }
    }

    fn show(&self, value: &Self::Value) -> String {
        value.as_ref().map_or(self.nothing[0].to_owned(), |value| self.kind.show(value))
    }

    fn expected(&self) -> String {
        match self.nothing[0] {
            "" => self.kind.expected(),
            word => format!("{}, or {word}", self.kind.expected()),
        }
    }
}
