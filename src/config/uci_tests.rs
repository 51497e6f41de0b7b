//! The file format, rule by rule, as libuci has it.

use super::*;
use crate::random::Random;

/// `KIND/NAME` of each section, then its entries as `o NAME=VALUE` or `l NAME=VALUE`.
fn told(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for section in parse(text).unwrap() {
        lines.push(format!("{}/{}", section.kind, section.name.as_deref().unwrap_or("-")));
        for Entry { name, value, is_list, .. } in section.entries {
            lines.push(format!("{} {name}={value}", if is_list { 'l' } else { 'o' }));
        }
    }
    lines
}

/// The value of the only option of `config a` / `option v ...`.
fn value(text: &str) -> String {
    let sections = parse(&format!("config a\n\toption v {text}\n")).unwrap();
    sections[0].entries[0].value.clone()
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn sections_options_and_lists_are_read_in_order() {
    let text = "package fau3\n\nconfig node 'n'\n\toption a '1'\n\tlist b '2'\n\tlist b '3'\nconfig x\n";
    assert_eq!(told(text), ["node/n", "o a=1", "l b=2", "l b=3", "x/-"]);
}

#[test]
fn keywords_may_be_one_letter() {
    assert_eq!(told("p fau3\nc node n\no a 1\nl b 2"), ["node/n", "o a=1", "l b=2"]);
}

#[test]
fn every_section_and_entry_knows_its_line() {
    let sections = parse("\n# one\nconfig a\n\n\toption b 'two\nlines'\n\toption c 3\nconfig d\n").unwrap();
    let lines = |section: &Section| section.entries.iter().map(|entry| entry.line).collect::<Vec<_>>();
    assert_eq!((sections[0].line, lines(&sections[0])), (3, vec![5, 7]));
    assert_eq!(sections[1].line, 8);
}

#[test]
fn an_anonymous_section_has_no_name() {
    assert_eq!(told("config a\nconfig a ''\nconfig a\n"), ["a/-", "a/-", "a/-"]);
}

#[test]
fn nothing_is_special_in_single_quotes() {
    assert_eq!(value(r#"'a "b" \n # ; c'"#), r#"a "b" \n # ; c"#);
}

#[test]
fn a_backslash_in_double_quotes_takes_the_next_character_as_it_is() {
    assert_eq!(value(r#""a \"b\" \\ \n 'c' # ;""#), r#"a "b" \ n 'c' # ;"#);
}

#[test]
fn a_backslash_outside_quotes_takes_the_next_character_as_it_is() {
    assert_eq!(value(r"a\ b\'\#\;\\c"), r"a b'#;\c");
}

#[test]
fn parts_in_different_quotes_are_one_word() {
    assert_eq!(value(r#"a'b c'"d e"f"#), "ab cd ef");
    assert_eq!(value(r"'it'\''s'"), "it's");
}

#[test]
fn a_comment_begins_anywhere_outside_quotes() {
    assert_eq!(value("a # b"), "a");
    assert_eq!(value("a#b 'c"), "a");
    assert_eq!(told("# config x\n  # y\nconfig a # z\n"), ["a/-"]);
}

#[test]
fn a_comment_does_not_go_on_in_the_next_line() {
    assert_eq!(told("# one \\\nconfig a\n"), ["a/-"]);
}

#[test]
fn a_backslash_at_a_line_end_joins_the_lines_within_the_word() {
    assert_eq!(value("a\\\nb"), "ab");
    assert_eq!(value("\"a \\\nb\""), "a b");
    assert_eq!(value("'a\\\nb'"), "a\\\nb");
    assert_eq!(value("a\\"), "a");
}

#[test]
fn a_joined_line_that_begins_with_white_space_begins_a_new_word() {
    assert!(error("config a\n\toption v \\\n b\n").contains("one word too many"));
}

#[test]
fn a_line_end_in_quotes_belongs_to_the_value() {
    assert_eq!(value("'a\n\tb'"), "a\n\tb");
    assert_eq!(value("\"a\nb\""), "a\nb");
}

#[test]
fn crlf_ends_a_line_as_lf_does() {
    assert_eq!(told("config a\r\n\toption b 'c'\r\n\r\n\toption d e\\\r\nf\r\n"), ["a/-", "o b=c", "o d=ef"]);
}

#[test]
fn a_semicolon_ends_a_command() {
    assert_eq!(told("config a n ; option b 'c'; list d e\n"), ["a/n", "o b=c", "l d=e"]);
}

#[test]
fn behind_a_bare_word_a_semicolon_ends_the_line_as_in_libuci() {
    assert_eq!(told("config a; option b 'c'\noption d e; list f g\nlist h i\n"), ["a/-", "o d=e", "l h=i"]);
}

#[test]
fn no_line_begins_or_ends_with_a_semicolon() {
    assert_eq!(error("; config a\n"), "line 1: ';' is not one of config, option, list, package");
    assert_eq!(error("config a 'n';\n"), "line 1: a command has to follow the ';'; remove it");
}

#[test]
fn an_option_without_a_value_is_empty() {
    assert_eq!(told("config a\noption b\noption c ''\n"), ["a/-", "o b=", "o c="]);
}

#[test]
fn the_last_line_needs_no_end() {
    assert_eq!(told("config a\noption b c"), ["a/-", "o b=c"]);
}

#[test]
fn names_hold_letters_digits_and_underscore_only() {
    assert!(error("config a 'b-c'").contains("section name 'b-c' may hold only letters, digits and _"));
    assert!(error("config a\noption b.c 1").starts_with("line 2: the option name 'b.c'"));
    assert!(error("config a\noption ü 1").contains("option name 'ü'"));
    assert_eq!(told("config a-b.c 'D_1'"), ["a-b.c/D_1"]);
    assert!(error("config 'a b'").contains("type 'a b'"));
}

#[test]
fn an_unknown_command_is_named() {
    assert_eq!(error("config a\nopton b c"), "line 2: 'opton' is not one of config, option, list, package");
}

#[test]
fn what_is_missing_or_too_much_is_said_with_the_right_form() {
    assert!(error("config").ends_with("the name is missing; write: config TYPE ['NAME']"));
    assert!(error("config a\nlist").ends_with("write: list NAME 'VALUE'"));
    assert!(error("package").ends_with("write: package NAME"));
    assert!(error("config a\noption b two words").contains("'words' is one word too many (is a quote"));
}

#[test]
fn an_option_needs_a_section() {
    assert!(error("option a b").contains("before the first section"));
}

#[test]
fn one_name_has_one_type() {
    assert!(error("config a 'n'\nconfig b 'n'").contains("'n' is a section of type a in line 1"));
    assert_eq!(told("config a 'n'\nconfig a 'n'"), ["a/n", "a/n"]);
}

#[test]
fn an_open_quote_is_told_at_the_line_that_forgot_it() {
    let text = "config a\n\toption b 'one\n\toption c 'two'\n\toption d 'three'\n";
    assert_eq!(error(text), "line 2: the quote ' is opened here and not closed");
    // The rest of the file is still read, and nothing else is blamed.
    let (sections, errors) = parse_all(text);
    assert_eq!(errors.len(), 1);
    assert_eq!(sections[0].entries.iter().map(|entry| &*entry.name).collect::<Vec<_>>(), ["c", "d"]);
}

#[test]
fn all_errors_are_told_and_the_rest_is_read() {
    let (sections, errors) = parse_all("opton\nconfig a\noption b.c 1\noption d 2\nconfig\n");
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [1, 3, 5]);
    assert_eq!(sections[0].entries.len(), 1);
}

#[test]
fn a_control_character_is_refused() {
    assert!(
        error("config a\noption b 'c\0d'").starts_with("line 2: the line holds the control character 0x00")
    );
}

#[test]
fn the_size_of_files_lines_and_error_lists_is_bounded() {
    let longest = format!("#{}\n", "x".repeat(LINE_LEN_MAX - 1));
    assert_eq!(parse(&longest), Ok(Vec::new()));
    assert_eq!(error(&format!("\n#{longest}")), "line 2: the line has 16385 bytes; 16384 are the most");
    let largest = "\n".repeat(FILE_LEN_MAX);
    assert_eq!(parse(&largest), Ok(Vec::new()));
    assert_eq!(error(&format!("{largest}\n")), "line 1: the file has 262145 bytes; 262144 are the most");
    let most = "config a\n".repeat(SECTIONS_MAX);
    assert_eq!(parse(&most).unwrap().len(), SECTIONS_MAX);
    assert_eq!(error(&format!("{most}config a\n")), "line 1025: one section too many; 1024 are the most");
    for bad in ["x\n", "\u{1}\n"] {
        assert_eq!(parse_all(&bad.repeat(1_000)).1.len(), ERRORS_MAX, "{bad:?}");
    }
}

#[test]
fn printing_quotes_what_needs_it() {
    let text = "config a 'n'\n\toption b 'it'\\''s'\n\tlist c ''\n\nconfig d-e\n\nconfig 'f;'\n";
    assert_eq!(print(&parse(text).unwrap()), text);
}

/// Whatever comes in is read within the bounds, and what was read is printed
/// and read back.
fn survives(text: &str) -> bool {
    let (sections, errors) = parse_all(text);
    assert!(errors.len() <= ERRORS_MAX && sections.len() <= SECTIONS_MAX);
    let lines = text.split('\n').count();
    assert!(errors.iter().all(|error| (1..=lines).contains(&(error.line as usize))), "{text:?}: {errors:?}");
    let without_lines = |mut sections: Vec<Section>| {
        for section in &mut sections {
            section.line = 0;
            section.entries.iter_mut().for_each(|entry| entry.line = 0);
        }
        sections
    };
    // Control characters are told of, and read for what else is wrong with the file.
    if check_lines(text).is_empty() {
        let again = parse(&print(&sections)).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(without_lines(again), without_lines(sections), "{text:?}");
    }
    errors.is_empty()
}

#[test]
fn no_bytes_and_no_mutated_file_make_the_parser_panic_and_what_is_read_is_printed_and_read_back() {
    const RIGHT: &str = "package fau3\n\nconfig node 'n'\n\toption a '1 \"2\" \\'\n\tlist b \"c \\\" 'd'\"\n\
        \tlist b e\\ f'g'\"h\" # comment\nconfig x ''; option y 'two\nlines' # 'z\n\tlist z it\\'s\r\n";
    let mut random = Random(1);
    let telling =
        ["config ", "option ", "list ", "package ", "a", "b", "'", "\"", "\\", "\n", "\r\n", "#", ";", " "];
    let mut taken = [0, 0];
    assert!(survives(RIGHT));
    for _ in 0..10_000 {
        let length = random.index(60);
        survives(&String::from_utf8_lossy(&random.bytes(length)));
        let pieces: String = (0..length).map(|_| random.pick(&telling)).collect();
        taken[0] += u32::from(survives(&pieces));
        let mutated = random.mutated(RIGHT.as_bytes());
        taken[1] += u32::from(survives(&String::from_utf8_lossy(&mutated)));
    }
    // Both ways out were taken, each many times.
    assert!(taken[0] > 100 && (1_000..9_000).contains(&taken[1]), "{taken:?}");
}

#[test]
fn the_worst_files_of_the_largest_size_take_no_more_time_than_others() {
    use std::time::{Duration, Instant};

    // Far more than a file takes, far less than anything quadratic does.
    const TIME_MAX: Duration = Duration::from_secs(2);
    let repeated = [
        "\n",
        "#",
        "'",
        "\"",
        "\\",
        "'\n",
        "\"\\\n",
        "config a 'n'\n",
        "config a\n",
        "option b c\n",
        "x\n",
        "config a;",
        "config a\noption b '\n",
        "\u{1}\n",
        "ü",
        "'ü\n'",
    ];
    for piece in repeated {
        let text = piece.repeat(FILE_LEN_MAX / piece.len());
        for text in [format!("config a\n{text}"), text] {
            let text = &text[..text.floor_char_boundary(FILE_LEN_MAX)];
            let since = Instant::now();
            let (sections, errors) = parse_all(text);
            let span = since.elapsed();
            assert!(span < TIME_MAX, "{span:?}: {piece:?}");
            assert!(sections.len() <= SECTIONS_MAX && errors.len() <= ERRORS_MAX);
        }
    }
}
