//! From sections and `--set` to a `Config`, with UCI's rules: `option`
//! replaces what was given before, `list` adds to it, an empty value is none.

use super::diagnostic::{Diagnostic, Errors, Origin, Warning, nearest};
use super::table::{DEFAULT_SERVER, OptionSpec, SECTIONS, SectionSpec, Shape, options};
use super::uci::{self, Section, shown};
use super::{Address, Config, Scheme, Surroundings};
use std::path::Path;

/// The most errors, and the most warnings, that are told; of the rest only the number.
const TOLD_MAX: usize = 64;

/// What the file, or the command line, gives for one option.
struct Given {
    section: &'static SectionSpec,
    option: &'static OptionSpec,
    values: Vec<(String, Origin)>,
}

/// Everything given for every option, in the order in which it was first given.
#[derive(Default)]
struct Gathered(Vec<Given>);

impl Gathered {
    fn of(&mut self, section: &'static SectionSpec, option: &'static OptionSpec) -> &mut Given {
        let same = |given: &Given| (given.section.name, given.option.name) == (section.name, option.name);
        let at = self.0.iter().position(same).unwrap_or_else(|| {
            self.0.push(Given { section, option, values: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

/// Reads `file` (its path, for messages, and its text) and then `sets` on top of the defaults.
/// What is wrong in either is told, all of it, and the warnings beside it.
pub(super) fn read(
    file: Option<(&Path, &str)>,
    sets: &[String],
    around: &Surroundings,
) -> (Result<Config, Errors>, Vec<Warning>) {
    let mut reader = Reader::new(around);
    let in_file = file.map(|(path, text)| reader.gather_file(path, text)).unwrap_or_default();
    let in_sets = reader.gather_sets(sets);
    reader.choose_instance(around, &[&in_file, &in_sets]);
    reader.assign(&in_file);
    reader.assign(&in_sets);
    reader.check_whole();
    let (errors, warnings) = (reader.errors.sorted(), reader.warnings.sorted());
    (if errors.is_empty() { Ok(reader.config) } else { Err(Errors(errors)) }, warnings)
}

/// What is told, up to [`TOLD_MAX`], and how much more there was.
#[derive(Default)]
struct Told {
    diagnostics: Vec<Diagnostic>,
    untold: usize,
}

impl Told {
    fn tell(&mut self, diagnostic: Diagnostic) {
        if self.diagnostics.len() < TOLD_MAX {
            self.diagnostics.push(diagnostic);
        } else {
            self.untold += 1;
        }
    }

    /// In the order of the file, whatever found them, and then the command line's.
    fn sorted(mut self) -> Vec<Diagnostic> {
        self.diagnostics.sort_by_key(|told| match told.origin {
            Origin::File(_, line) => line,
            Origin::Set | Origin::Default => u32::MAX,
        });
        if self.untold > 0 {
            let (origin, message) = (Origin::Default, format!("and {} more", self.untold));
            self.diagnostics.push(Diagnostic { origin, subject: String::new(), message });
        }
        self.diagnostics
    }
}

struct Reader {
    config: Config,
    defaults: Config,
    /// From where each value given last came, for what is wrong only together.
    origins: Vec<(String, Origin)>,
    /// From where the section `default_server` came, which says something by being there.
    default_server: Option<Origin>,
    warnings: Told,
    errors: Told,
}

impl Reader {
    fn new(around: &Surroundings) -> Self {
        let defaults = Config::defaults(around);
        Self {
            config: defaults.clone(),
            defaults,
            origins: Vec::new(),
            default_server: None,
            warnings: Told::default(),
            errors: Told::default(),
        }
    }

    fn warn(&mut self, origin: &Origin, subject: &str, message: String) {
        self.warnings.tell(Diagnostic { origin: origin.clone(), subject: subject.to_owned(), message });
    }

    fn fail(&mut self, origin: &Origin, subject: &str, message: String) {
        self.errors.tell(Diagnostic { origin: origin.clone(), subject: subject.to_owned(), message });
    }

    fn gather_file(&mut self, path: &Path, text: &str) -> Gathered {
        let (sections, errors) = uci::parse_all(text);
        let at = |line| Origin::File(path.to_owned(), line);
        for error in errors {
            self.fail(&at(error.line), "", error.message);
        }
        let mut gathered = Gathered::default();
        let mut first_lines: Vec<(&str, u32)> = Vec::new();
        for section in &sections {
            let Some(spec) = SECTIONS.iter().find(|spec| spec.name == section.kind) else {
                self.warn(&at(section.line), "", unknown_section(section));
                continue;
            };
            if spec.is_repeated {
                self.gather_repeated(spec, section, &at, &mut gathered);
                continue;
            }
            match first_lines.iter().find(|(name, _)| *name == spec.name) {
                None => first_lines.push((spec.name, section.line)),
                Some((_, line)) => {
                    let message = format!("begun in line {line} already; both are read as one section");
                    self.warn(&at(section.line), spec.name, message);
                }
            }
            if spec.name == DEFAULT_SERVER {
                self.default_server.get_or_insert(at(section.line));
            }
            self.gather_section(spec, section, &at, &mut gathered);
        }
        gathered
    }

    fn gather_section(
        &mut self,
        spec: &'static SectionSpec,
        section: &Section,
        at: &dyn Fn(u32) -> Origin,
        gathered: &mut Gathered,
    ) {
        for entry in &section.entries {
            let origin = at(entry.line);
            match spec.options.iter().find(|option| option.name == entry.name) {
                None => {
                    let subject = format!("{}.{}", spec.name, entry.name);
                    self.warn(&origin, &subject, unknown_option(spec, &entry.name));
                }
                Some(option) => {
                    let is_added = entry.is_list && option.shape != Shape::One;
                    let given = gathered.of(spec, option);
                    self.give(given, is_added, entry.value.clone(), origin);
                }
            }
        }
    }

    /// A section of which each one is an entry: within it, an option stands once.
    fn gather_repeated(
        &mut self,
        spec: &'static SectionSpec,
        section: &Section,
        at: &dyn Fn(u32) -> Origin,
        gathered: &mut Gathered,
    ) {
        let mut own = Gathered::default();
        let entries = section.entries.iter().cloned();
        let entries = entries.map(|entry| uci::Entry { is_list: false, ..entry }).collect();
        self.gather_section(spec, &Section { entries, ..section.clone() }, at, &mut own);
        for option in spec.options {
            match own.of(spec, option).values.pop().filter(|(value, _)| !value.is_empty()) {
                Some(value) => gathered.of(spec, option).values.push(value),
                None => {
                    let message = format!("has no {0}; add: option {0} 'VALUE'", option.name);
                    self.fail(&at(section.line), spec.name, message);
                }
            }
        }
    }

    fn gather_sets(&mut self, sets: &[String]) -> Gathered {
        let mut gathered = Gathered::default();
        for set in sets {
            match find_set(set) {
                Err(message) => self.fail(&Origin::Set, "", message),
                Ok((section, option, value)) => {
                    if section.name == DEFAULT_SERVER {
                        self.default_server.get_or_insert(Origin::Set);
                    }
                    let is_list = option.shape != Shape::One;
                    let given = gathered.of(section, option);
                    self.give(given, is_list, value.to_owned(), Origin::Set);
                }
            }
        }
        gathered
    }

    /// One more value for an option: added to the others, or in their place. In a
    /// file, as libuci has it, nothing takes no value's place.
    fn give(&mut self, given: &mut Given, is_added: bool, value: String, origin: Origin) {
        if let (false, Some((earlier, before))) = (is_added, given.values.last()) {
            let place = match before {
                Origin::File(_, line) => format!(" in line {line}"),
                Origin::Set | Origin::Default => String::new(),
            };
            if value.is_empty() && origin != Origin::Set {
                let message =
                    format!("given already{place} as {}, which counts: this one is empty", shown(earlier));
                return self.warn(&origin, &subject(given.section, given.option), message);
            }
            let message = format!("given already{place} as {}; the last one counts", shown(earlier));
            self.warn(&origin, &subject(given.section, given.option), message);
            given.values.clear();
        }
        given.values.push((value, origin));
    }

    /// All other defaults follow from which router of the machine it is.
    fn choose_instance(&mut self, around: &Surroundings, gathered: &[&Gathered]) {
        let given = gathered.iter().flat_map(|gathered| &gathered.0);
        let given = given.filter(|given| subject(given.section, given.option) == "node.instance");
        let mut read = self.defaults.clone();
        for (value, _) in given.filter_map(|given| given.values.last()) {
            // What is wrong in it is said where it is assigned.
            let option = options().find(|(section, option)| subject(section, option) == "node.instance");
            let _ = option.is_some_and(|(_, option)| (option.take)(&mut read, value));
        }
        self.defaults = Config::defaults_of(around, read.node.instance);
        self.config = self.defaults.clone();
    }

    fn assign(&mut self, gathered: &Gathered) {
        for given in &gathered.0 {
            let subject = subject(given.section, given.option);
            if let Some((_, origin)) = given.values.last() {
                self.origins.push((subject.clone(), origin.clone()));
            }
            match given.option.shape {
                Shape::One => self.assign_one(given, &subject),
                Shape::List { len_max, may_be_empty, nothing } => {
                    self.assign_list(given, &subject, len_max, nothing);
                    if !may_be_empty && given.values.iter().all(|(value, _)| value.is_empty()) {
                        let message = format!("needs at least one value: {}", (given.option.expected)());
                        self.fail(&last_origin(given), &subject, message);
                    }
                }
            }
        }
    }

    fn assign_one(&mut self, given: &Given, subject: &str) {
        let Some((value, origin)) = given.values.last() else { return };
        if (given.option.take)(&mut self.config, value) {
            return;
        }
        if value.is_empty() {
            (given.option.copy)(&self.defaults, &mut self.config);
        } else {
            self.fail(origin, subject, not_expected(value, given.option));
        }
    }

    /// What is given replaces what was there before, empty values add nothing.
    fn assign_list(&mut self, given: &Given, subject: &str, len_max: usize, nothing: Option<&str>) {
        (given.option.clear)(&mut self.config);
        let is_nothing = matches!(&given.values[..], [(only, _)] if Some(only.as_str()) == nothing);
        let filled = given.values.iter().filter(|(value, _)| !value.is_empty() && !is_nothing);
        let mut taken = std::collections::BTreeSet::new();
        for (value, origin) in filled {
            if !taken.insert(value.as_str()) {
                self.warn(origin, subject, format!("{} is in the list already", shown(value)));
            } else if taken.len() > len_max {
                self.fail(origin, subject, format!("{len_max} values are the most; remove some"));
                return;
            } else if !(given.option.take)(&mut self.config, value) {
                self.fail(origin, subject, not_expected(value, given.option));
            }
        }
    }

    fn origin_of(&self, subject: &str) -> Origin {
        let found = self.origins.iter().rev().find(|(known, _)| known == subject);
        found.map_or(Origin::Default, |(_, origin)| origin.clone())
    }

    /// An address beside one that is every address, its own included, needs no socket, and
    /// could have none.
    fn leave_out_covered(&mut self) {
        let lists = [
            ("clients.listen", &mut self.config.clients.listen),
            ("mesh.listen", &mut self.config.mesh.listen),
        ];
        let mut left_out = Vec::new();
        for (option, list) in lists {
            let all = list.clone();
            list.retain(|address| match all.iter().find(|other| covers(other, address)) {
                Some(other) => {
                    left_out
                        .push((option, format!("'{address}' is left out: {other} is every address, it too")));
                    false
                }
                None => true,
            });
        }
        for (option, message) in left_out {
            self.warn(&self.origin_of(option), option, message);
        }
    }

    /// What no option is wrong in by itself.
    fn check_whole(&mut self) {
        self.leave_out_covered();
        self.config.default_server.is_configured = self.default_server.is_some();
        let Config { node, clients, mesh, default_server, .. } = &self.config;
        let console = node.console.iter().map(|address| (address, "node.console"));
        let clients = clients.listen.iter().map(|address| (address, "clients.listen"));
        let mesh_enabled = mesh.enabled;
        let mesh = mesh.listen.iter().filter(|_| mesh.enabled).map(|address| (address, "mesh.listen"));
        let listened: Vec<_> = console.chain(clients).chain(mesh).filter(|(a, _)| a.port != 0).collect();
        let mut failures = Vec::new();
        for (at, (address, option)) in listened.iter().enumerate() {
            let is_taken = |(other, of): &&(&Address, &str)| {
                other == address || of != option && (covers(other, address) || covers(address, other))
            };
            if let Some((taken, other)) = listened[..at].iter().find(is_taken) {
                let given = [option, other].into_iter().find(|of| self.origin_of(of) != Origin::Default);
                let origin = given.map_or(Origin::Default, |of| self.origin_of(of));
                let by = if taken == address { String::new() } else { format!(" {taken} of") };
                let message = format!("'{address}' is taken by{by} {other} already; give one another port");
                failures.push((origin, *option, message));
            }
        }
        let server = self.default_server.clone();
        let is_in_mesh = default_server.url.as_ref().is_some_and(|url| url.scheme != Scheme::Ws);
        let doubt = match (node.name == default_server.name, default_server.url.is_some()) {
            (false, false) => Some("no url is given, so there is no main server and the mesh leads itself"),
            (false, true) if is_in_mesh && !mesh_enabled => Some(
                "its url is that of a fau3 node, which is reached through the mesh only, and mesh.enabled is 0: it is \
                 never there, and this router serves its clients alone. Set mesh.enabled to 1, or leave the url away",
            ),
            (true, true) => Some(
                "name is node.name, so this router is the main server itself and calls nobody: its url is not \
                 used. Leave it away here",
            ),
            _ => None,
        };
        for (origin, option, message) in failures {
            self.fail(&origin, option, message);
        }
        if let (Some(origin), Some(message)) = (server, doubt) {
            self.warn(&origin, DEFAULT_SERVER, message.to_owned());
        }
    }
}

/// Whether a socket on `any` takes what comes to `address`, too: `0.0.0.0` all of IPv4, `[::]`
/// everything.
fn covers(any: &Address, address: &Address) -> bool {
    let is_within = any.ip.is_ipv6() || address.ip.is_ipv4();
    any != address && any.port == address.port && any.port != 0 && any.ip.is_unspecified() && is_within
}

fn subject(section: &SectionSpec, option: &OptionSpec) -> String {
    format!("{}.{}", section.name, option.name)
}

fn last_origin(given: &Given) -> Origin {
    given.values.last().map_or(Origin::Default, |(_, origin)| origin.clone())
}

fn not_expected(value: &str, option: &OptionSpec) -> String {
    let nothing = match option.shape {
        Shape::List { nothing: Some(word), .. } => format!(", or {word} alone"),
        _ => String::new(),
    };
    let hint = if value.contains('\n') { " (is a quote missing in this line?)" } else { "" };
    format!("{} is not {}{nothing}{hint}", shown(value), (option.expected)())
}

fn unknown_section(section: &Section) -> String {
    let names = || SECTIONS.iter().map(|spec| spec.name);
    let by_name = section.name.as_deref().and_then(|name| names().find(|known| *known == name));
    let what = format!("unknown section {}, ignored", shown(&section.kind));
    match by_name.or_else(|| nearest(&section.kind, names())) {
        Some(name) => format!("{what}; did you mean '{name}'?"),
        None => format!("{what}; known are: {}", names().collect::<Vec<_>>().join(", ")),
    }
}

fn unknown_option(section: &SectionSpec, given: &str) -> String {
    let names = || section.options.iter().map(|option| option.name);
    if let Some(name) = nearest(given, names()) {
        return format!("unknown option, ignored; did you mean '{name}'?");
    }
    match options().find(|(_, option)| option.name == given) {
        Some((other, _)) => format!("unknown option, ignored; it belongs in section '{}'", other.name),
        None => format!("unknown option, ignored; known are: {}", names().collect::<Vec<_>>().join(", ")),
    }
}

/// `SECTION.OPTION=VALUE`. A mistyped name is an error here, not a warning:
/// whoever typed it is there to see it.
fn find_set(set: &str) -> Result<(&'static SectionSpec, &'static OptionSpec, &str), String> {
    let form = "write: --set SECTION.OPTION=VALUE, such as --set clients.max_clients=64";
    let (name, value) = set.split_once('=').ok_or_else(|| format!("{} has no '='; {form}", shown(set)))?;
    let parts = name.split_once('.').ok_or_else(|| format!("{} has no '.'; {form}", shown(name)))?;
    let found = options().find(|(section, option)| (section.name, option.name) == parts);
    let (section, option) = found.ok_or_else(|| {
        let known: Vec<_> = options().map(|(section, option)| subject(section, option)).collect();
        let guess = nearest(name, known.iter().map(String::as_str));
        let hint = guess.map_or_else(|| known.join(", "), |guess| format!("did you mean {guess}?"));
        let lead = if guess.is_some() { "" } else { "known are: " };
        format!("there is no option {}; {lead}{hint}", shown(name))
    })?;
    Ok((section, option, value))
}
