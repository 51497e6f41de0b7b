//! The UCI file format, read and written as libuci (its `file.c`) does.
//!
//! Words are parts glued together: bare text, `'single'` (nothing is special
//! in it) and `"double"` (a backslash takes the next character as it is).
//! Quotes may run over line ends, which then belong to the value. A backslash
//! before a line end joins the lines. `#` begins a comment anywhere outside
//! quotes, also in the middle of a word. `;` parts commands of one line, with
//! libuci's oddities: right behind a word without quotes it makes the rest of the
//! line nothing, and no line begins or ends with it.

use core::fmt;

/// The largest file that is read, in bytes.
pub const FILE_LEN_MAX: usize = 256 * 1024;
/// The longest line of a file, in bytes without its end.
pub const LINE_LEN_MAX: usize = 16 * 1024;
/// The most sections of a file.
pub const SECTIONS_MAX: usize = 1024;
/// After so many errors of one file the rest of it is not looked at.
pub const ERRORS_MAX: usize = 64;

/// A `config` line and what stands under it, as it stands in the file: an
/// option given twice is here twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The section's type: the first word after `config`.
    pub kind: String,
    /// Its name; `None` for an anonymous section.
    pub name: Option<String>,
    /// Where it begins, counted from 1.
    pub line: u32,
    /// Its `option` and `list` lines in the file's order.
    pub entries: Vec<Entry>,
}

/// One `option` or `list` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The option's name.
    pub name: String,
    /// Its value without quotes; empty where none is given, which UCI takes for "not set".
    pub value: String,
    /// `list` adds to what is there, `option` replaces it.
    pub is_list: bool,
    /// Where it begins, counted from 1.
    pub line: u32,
}

/// Why a file is not UCI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where, counted from 1.
    pub line: u32,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for Error {}

/// Reads a whole file.
///
/// # Errors
/// The first place at which `text` is not UCI.
pub fn parse(text: &str) -> Result<Vec<Section>, Error> {
    let (sections, errors) = parse_all(text);
    errors.into_iter().next().map_or(Ok(sections), Err)
}

/// Reads a whole file and goes on at the next line after an error, so that
/// all of them are told at once: what could be read, and the errors in the
/// order of their lines, at most [`ERRORS_MAX`].
#[must_use]
pub fn parse_all(text: &str) -> (Vec<Section>, Vec<Error>) {
    if text.len() > FILE_LEN_MAX {
        let message = format!("the file has {} bytes; {FILE_LEN_MAX} are the most", text.len());
        return (Vec::new(), vec![Error { line: 1, message }]);
    }
    let mut errors = check_lines(text);
    let scanner = Scanner { text, at: 0, line: 1 };
    let mut reader = Reader { scanner, is_within_line: false, sections: Vec::new() };
    while errors.len() < ERRORS_MAX && !reader.scanner.is_at_end() {
        if let Err(error) = reader.command() {
            reader.scanner.go_to_line_after(error.line);
            reader.is_within_line = false;
            errors.push(error);
        }
    }
    errors.sort_by_key(|error| error.line);
    errors.truncate(ERRORS_MAX);
    (reader.sections, errors)
}

/// What no line may hold, whatever it means.
fn check_lines(text: &str) -> Vec<Error> {
    let mut errors = Vec::new();
    for (line, content) in (1..).zip(text.split('\n')) {
        let control = content.bytes().find(|byte| *byte < b' ' && !b"\t\r".contains(byte));
        if content.len() > LINE_LEN_MAX {
            let message = format!("the line has {} bytes; {LINE_LEN_MAX} are the most", content.len());
            errors.push(Error { line, message });
        } else if let Some(byte) = control {
            let message = format!("the line holds the control character 0x{byte:02x}; remove it");
            errors.push(Error { line, message });
        }
        if errors.len() == ERRORS_MAX {
            break;
        }
    }
    errors
}

/// Writes sections so that [`parse`], and libuci, read the same again.
#[must_use]
pub fn print(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        let bare = section.kind.bytes().all(|byte| byte.is_ascii_graphic() && !b"'\"\\#;".contains(&byte));
        let kind = if bare { section.kind.clone() } else { quote(&section.kind) };
        let name = section.name.as_ref().map(|name| format!(" {}", quote(name))).unwrap_or_default();
        text.push_str(&format!("{}config {kind}{name}\n", if text.is_empty() { "" } else { "\n" }));
        for entry in &section.entries {
            let keyword = if entry.is_list { "list" } else { "option" };
            text.push_str(&format!("\t{keyword} {} {}\n", entry.name, quote(&entry.value)));
        }
    }
    text
}

/// In single quotes only the quote itself must leave them: `'\''`.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Section and option names: letters, digits and `_` (the shell's variables).
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What `isspace` of C takes for white.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

struct Reader<'a> {
    scanner: Scanner<'a>,
    /// The last command ended with `;`: the next one stands on the same line.
    is_within_line: bool,
    sections: Vec<Section>,
}

impl<'a> Reader<'a> {
    /// One command, or nothing but white space and a comment.
    fn command(&mut self) -> Result<(), Error> {
        let Some(keyword) = self.keyword()? else { return Ok(()) };
        let line = self.scanner.line;
        let known: (&str, usize) = match keyword {
            "package" | "p" => ("package NAME", 1),
            "config" | "c" => ("config TYPE ['NAME']", 2),
            "option" | "o" => ("option NAME 'VALUE'", 2),
            "list" | "l" => ("list NAME 'VALUE'", 2),
            other => {
                let message = format!("{} is not one of config, option, list, package", shown(other));
                return Err(Error { line, message });
            }
        };
        let (form, words_max) = known;
        let mut words = Vec::new();
        for _ in 0..words_max {
            words.push(self.scanner.argument()?.0);
        }
        let (more, ends_with_semicolon) = self.scanner.argument()?;
        self.is_within_line = ends_with_semicolon;
        let fail = |reason: &str| Error { line, message: format!("{reason}; write: {form}") };
        if !more.is_empty() {
            return Err(fail(&format!("{} is one word too many (is a quote missing?)", shown(&more))));
        }
        let mut words = words.into_iter();
        let Some(first) = words.next().filter(|word| !word.is_empty()) else {
            return Err(fail("the name is missing"));
        };
        match form.as_bytes()[0] {
            b'p' => check_name("package", &first.replace('-', "_"), line), // the file itself is it
            b'c' => self.open_section(first, words.next(), line),
            letter => self.add_entry(first, words.next(), letter == b'l', line),
        }
    }

    /// The next command's first word, over empty lines and comments.
    fn keyword(&mut self) -> Result<Option<&'a str>, Error> {
        let line = self.scanner.line;
        match self.is_within_line {
            true => self.scanner.skip_while(|byte| b" \t".contains(&byte)),
            false => self.scanner.skip_while(is_space),
        }
        let is_within_line = core::mem::take(&mut self.is_within_line);
        match self.scanner.byte() {
            None => Ok(None),
            Some(b'#') => {
                self.scanner.skip_comment();
                Ok(None)
            }
            Some(byte) if is_within_line && is_space(byte) => {
                let message = "a command has to follow the ';'; remove it".to_owned();
                Err(Error { line, message })
            }
            Some(_) => Ok(Some(self.scanner.bare_word())),
        }
    }

    fn open_section(&mut self, kind: String, name: Option<String>, line: u32) -> Result<(), Error> {
        if !kind.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("the type {} may hold only printable ASCII without spaces", shown(&kind));
            return Err(Error { line, message });
        }
        if self.sections.len() == SECTIONS_MAX {
            let message = format!("one section too many; {SECTIONS_MAX} are the most");
            return Err(Error { line, message });
        }
        let name = name.filter(|name| !name.is_empty());
        if let Some(name) = &name {
            check_name("section", name, line)?;
            let same = |section: &&Section| section.name.as_ref() == Some(name) && section.kind != kind;
            if let Some(earlier) = self.sections.iter().find(same) {
                let (other, at) = (&earlier.kind, earlier.line);
                let message = format!("'{name}' is a section of type {other} in line {at}; one type a name");
                return Err(Error { line, message });
            }
        }
        self.sections.push(Section { kind, name, line, entries: Vec::new() });
        Ok(())
    }

    fn add_entry(&mut self, name: String, value: Option<String>, list: bool, line: u32) -> Result<(), Error> {
        check_name("option", &name, line)?;
        let Some(section) = self.sections.last_mut() else {
            let message = format!("'{name}' stands before the first section; begin with: config TYPE 'NAME'");
            return Err(Error { line, message });
        };
        section.entries.push(Entry { name, value: value.unwrap_or_default(), is_list: list, line });
        Ok(())
    }
}

fn check_name(what: &str, name: &str, line: u32) -> Result<(), Error> {
    if is_name(name) {
        return Ok(());
    }
    let message = format!("the {what} name {} may hold only letters, digits and _", shown(name));
    Err(Error { line, message })
}

/// The most of a value that a message repeats, in characters.
const SHOWN_MAX: usize = 64;

/// A value as a message shows it: in quotes, on one line, cut when long.
pub(super) fn shown(value: &str) -> String {
    let mut text: String = value.chars().take(SHOWN_MAX).flat_map(shown_char).collect();
    if value.chars().nth(SHOWN_MAX).is_some() {
        text.push_str("...");
    }
    format!("'{text}'")
}

/// Quotes stay as they are; what a terminal would act on does not.
fn shown_char(char: char) -> impl Iterator<Item = char> {
    let (plain, escaped) =
        if char.is_control() { (None, Some(char.escape_default())) } else { (Some(char), None) };
    plain.into_iter().chain(escaped.into_iter().flatten())
}

/// A place in the text. Moves forward only, but for an error's next line.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl<'a> Scanner<'a> {
    fn is_at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes one byte, and counts the lines.
    fn step(&mut self) {
        if self.byte() == Some(b'\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.byte().is_some_and(&wanted) {
            self.step();
        }
    }

    fn skip_comment(&mut self) {
        self.skip_while(|byte| byte != b'\n');
    }

    /// Up to a space or the line's end, whatever it holds.
    fn bare_word(&mut self) -> &'a str {
        let from = self.at;
        self.skip_while(|byte| !b" \t\n".contains(&byte));
        self.text[from..self.at].trim_end()
    }

    /// A command's next word, empty if there is none, and whether a `;` stands in
    /// its place.
    fn argument(&mut self) -> Result<(String, bool), Error> {
        self.skip_while(|byte| is_space(byte) && byte != b'\n');
        match self.byte() {
            None | Some(b'\n') => Ok((String::new(), false)),
            Some(b';') => {
                self.step();
                Ok((String::new(), true))
            }
            Some(_) => Ok((self.word()?, false)),
        }
    }

    /// One word: parts glued together up to white space, `;` or a comment. As in
    /// libuci, which ends the word in the place of the `;` where that is right
    /// behind it, the rest of the line is then nothing.
    fn word(&mut self) -> Result<String, Error> {
        let from = self.at;
        let mut word = String::new();
        // A forgotten quote swallows lines up to the next one's quote, and so
        // on to the end: what is at fault is the first that crossed a line.
        let mut first_crossing = None;
        while let Some(byte) = self.byte() {
            match byte {
                b'\'' | b'"' => self.quoted(byte, &mut word, &mut first_crossing)?,
                b'#' => self.skip_comment(),
                b';' if word.len() == self.at - from => self.skip_comment(),
                b';' => break,
                b'\\' => self.escaped(&mut word),
                byte if is_space(byte) => break,
                _ => self.push_char(&mut word),
            }
        }
        Ok(word)
    }

    fn quoted(&mut self, quote: u8, word: &mut String, crossing: &mut Option<u32>) -> Result<(), Error> {
        let opened = self.line;
        self.step();
        while let Some(byte) = self.byte() {
            match byte {
                byte if byte == quote => {
                    self.step();
                    if self.line > opened {
                        crossing.get_or_insert(opened);
                    }
                    return Ok(());
                }
                b'\\' if quote == b'"' => self.escaped(word),
                _ => self.push_char(word),
            }
        }
        let line = crossing.unwrap_or(opened);
        let message = format!("the quote {} is opened here and not closed", char::from(quote));
        Err(Error { line, message })
    }

    /// A backslash: joins lines at a line end, else takes the next character as it is.
    fn escaped(&mut self, word: &mut String) {
        self.step();
        let rest = &self.text[self.at..];
        match rest.as_bytes() {
            [] => {}
            [b'\n', ..] => self.step(),
            [b'\r', b'\n', ..] => {
                self.step();
                self.step();
            }
            _ => self.push_char(word),
        }
    }

    fn push_char(&mut self, word: &mut String) {
        if let Some(char) = self.text[self.at..].chars().next() {
            word.push(char);
            self.line += u32::from(char == '\n');
            self.at += char.len_utf8();
        }
    }

    /// To the begin of the line after `line`, which may lie behind.
    fn go_to_line_after(&mut self, line: u32) {
        let lines_before = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
        let end = self.text.match_indices('\n').nth(lines_before);
        self.at = end.map_or(self.text.len(), |(at, _)| at + 1);
        self.line = line + 1;
    }
}

#[cfg(test)]
#[path = "uci_tests.rs"]
mod tests;
