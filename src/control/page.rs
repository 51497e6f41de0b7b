//! The console's page: one file with nothing from elsewhere, drawn here and
//! nowhere else. Without JavaScript it loads itself anew; with it, it does so
//! without flicker.

use std::fmt::{self, Display, Write};

use super::status::Status;
use crate::router::LATENCY_BOUNDS_MS;

/// Rows of a table; the rest is counted, and in `/status`.
const ROWS_MAX: usize = 200;
/// How often the page loads itself without JavaScript, in seconds.
const RELOAD_S: u32 = 5;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// One bucket for each of [`LATENCY_BOUNDS_MS`] and one beyond.
type Latency = [u64; LATENCY_BOUNDS_MS.len() + 1];

/// The whole page. `nonce` is what style and script are allowed by.
pub(super) fn render(status: &Status<'_>, latency: &Latency, nonce: &str) -> String {
    let mut page = String::with_capacity(16 * 1_024);
    write(&mut page, status, latency, nonce).expect("writing to a String cannot fail");
    page
}

/// What a browser may do with the page (W3C, Content Security Policy Level 3):
/// even if some name slipped through the escaping, nothing of it would run.
pub(super) fn content_security_policy(nonce: &str) -> String {
    format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn write(page: &mut String, status: &Status<'_>, latency: &Latency, nonce: &str) -> fmt::Result {
    let name = Escaped(status.name);
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{name} - fau3</title>\n\
         <noscript><meta http-equiv=\"refresh\" content=\"{RELOAD_S}\"></noscript>\n\
         <style nonce=\"{nonce}\">\n{STYLE}</style>\n</head>\n<body>\n\
         <div id=\"lost\" role=\"alert\">The router does not answer. Trying again.</div>\n<main>\n"
    )?;
    header(page, status)?;
    numbers(page, status)?;
    latencies(page, latency)?;
    routers(page, status)?;
    rooms(page, status)?;
    clients(page, status)?;
    write!(
        page,
        "<footer class=\"faint\"><a href=\"/status\">/status</a> (JSON) and \
         <a href=\"/metrics\">/metrics</a> (Prometheus)</footer>\n</main>\n\
         <script nonce=\"{nonce}\">\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn header(page: &mut String, status: &Status<'_>) -> fmt::Result {
    let (name, mode, version) = (Escaped(status.name), status.mode.as_str(), status.version);
    let (up, peer_id) = (Span(status.uptime_s), Escaped(status.peer_id));
    writeln!(
        page,
        "<header><h1><bdi>{name}</bdi></h1> <span class=\"mode\">{mode}</span> \
         <span class=\"faint\">led by <bdi>{}</bdi>, fau3 {version}, up {up}</span>\n\
         <span class=\"faint\">{peer_id}</span></header>",
        Escaped(status.coordinator.as_deref().unwrap_or("nobody"))
    )?;
    for warning in &status.warnings {
        writeln!(page, "<p class=\"warning\" role=\"status\">{}</p>", Escaped(warning))?;
    }
    Ok(())
}

fn numbers(page: &mut String, status: &Status<'_>) -> fmt::Result {
    let (records, deliveries) = (&status.records, &status.deliveries);
    let storage = if status.store.is_some() { "on disk" } else { "in memory" };
    let dropped: u64 = status.drops.values().sum();
    let in_reach = status.routers.len();
    page.push_str("<dl>\n");
    number(page, "Clients", status.clients.len(), format_args!("{} away", status.detached))?;
    number(page, "Routers", in_reach, format_args!("{} neighbours", status.neighbours.len()))?;
    number(page, "Rooms", status.rooms.len(), "with clients or records")?;
    let kib = records.bytes / 1_024;
    number(
        page,
        "Records",
        records.count,
        format_args!("{kib} KiB {storage}, {} from others", records.replicated),
    )?;
    number(page, "Delivered", deliveries.confirmed, format_args!("{} sent again", deliveries.resends))?;
    number(
        page,
        "Live frames",
        status.streams.sent,
        format_args!("of {} received", status.streams.received),
    )?;
    number(page, "Dropped", dropped, format_args!("{} records by age or size", records.expired))?;
    page.push_str("</dl>\n");
    Ok(())
}

fn number(page: &mut String, title: &str, value: impl Display, note: impl Display) -> fmt::Result {
    writeln!(page, "<div><dt>{title}</dt><dd>{value}<small>{note}</small></dd></div>")
}

/// How long deliveries took, as bars; the tallest one fills the height.
fn latencies(page: &mut String, latency: &Latency) -> fmt::Result {
    const WIDTH: usize = 46;
    const HEIGHT: u64 = 80;
    let most = latency.iter().copied().max().unwrap_or_default();
    if most == 0 {
        return Ok(());
    }
    let total: u64 = latency.iter().sum();
    write!(
        page,
        "<h2>From sending to confirmation, in ms</h2>\n\
         <svg viewBox=\"0 0 {} 112\" role=\"img\" aria-label=\"Deliveries by latency\">",
        WIDTH * latency.len()
    )?;
    for (index, count) in latency.iter().enumerate() {
        // A bar for one of a million deliveries is still to be seen.
        let height = if *count == 0 { 0 } else { (count * HEIGHT / most).max(2) };
        let (left, middle, top) = (index * WIDTH + 3, index * WIDTH + WIDTH / 2, 94 - height);
        let percent = *count as f64 * 100.0 / total as f64;
        write!(page, "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{height}\">", WIDTH - 6)?;
        write!(page, "<title>{count} ({percent:.1} %)</title></rect><text x=\"{middle}\" y=\"108\">")?;
        match LATENCY_BOUNDS_MS.get(index) {
            Some(bound) => write!(page, "{bound}</text>")?,
            None => page.push_str("more</text>"),
        }
    }
    page.push_str("</svg>\n");
    Ok(())
}

fn routers(page: &mut String, status: &Status<'_>) -> fmt::Result {
    if status.mesh.is_none() {
        return Ok(());
    }
    page.push_str(
        "<h2>Routers</h2>\n<div class=\"wide\"><table><tr><th>Router<th class=\"text\">Mode<th>Priority<th>Clients\
         <th class=\"text\">Hears</tr>\n",
    );
    for router in status.routers.iter().take(ROWS_MAX) {
        let priority = router.priority.map_or("-".to_owned(), |priority| priority.to_string());
        writeln!(
            page,
            "<tr><td title=\"{}\"><bdi>{}</bdi><td>{}<td class=\"number\">{priority}<td class=\"number\">{}\
             <td><bdi>{}</bdi></tr>",
            router.id,
            Escaped(router.name),
            router.mode.as_str(),
            router.clients,
            Escaped(&router.neighbours.join(", "))
        )?;
    }
    end_of_table(page, status.routers.len())
}

fn rooms(page: &mut String, status: &Status<'_>) -> fmt::Result {
    if status.rooms.is_empty() {
        page.push_str(
            "<h2>Rooms</h2>\n<p class=\"faint\">None yet: a room is there once a client names it.</p>\n",
        );
        return Ok(());
    }
    page.push_str("<h2>Rooms</h2>\n<div class=\"wide\"><table><tr><th>Room<th>Clients<th>Records</tr>\n");
    for room in status.rooms.iter().take(ROWS_MAX) {
        writeln!(
            page,
            "<tr><td><bdi>{}</bdi><td class=\"number\">{}<td class=\"number\">{}</tr>",
            Escaped(room.room),
            room.clients,
            room.records
        )?;
    }
    end_of_table(page, status.rooms.len())
}

fn clients(page: &mut String, status: &Status<'_>) -> fmt::Result {
    if status.clients.is_empty() {
        page.push_str("<h2>Clients</h2>\n<p class=\"faint\">Nobody is connected.</p>\n");
        return Ok(());
    }
    page.push_str(
        "<h2>Clients</h2>\n<div class=\"wide\"><table><tr><th>Client<th class=\"text\">Room<th class=\"text\">Router\
         <th>Connected for</tr>\n",
    );
    for client in status.clients.iter().take(ROWS_MAX) {
        writeln!(
            page,
            "<tr><td><bdi>{}</bdi><td><bdi>{}</bdi><td><bdi>{}</bdi><td class=\"number\">{}</tr>",
            Escaped(client.client_id),
            Escaped(client.room.unwrap_or("-")),
            Escaped(&client.router),
            Span(client.alive_s)
        )?;
    }
    end_of_table(page, status.clients.len())
}

fn end_of_table(page: &mut String, rows: usize) -> fmt::Result {
    page.push_str("</table></div>\n");
    if rows > ROWS_MAX {
        writeln!(page, "<p class=\"faint\">and {} more: see /status</p>", rows - ROWS_MAX)?;
    }
    Ok(())
}

/// Text as HTML shows it, between tags and within quoted attributes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|char| match char {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            _ => f.write_char(char),
        })
    }
}

/// Seconds as people say them: the two largest units.
struct Span(u64);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, hours, minutes) = (self.0 / 86_400, self.0 / 3_600 % 24, self.0 / 60 % 60);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{} s", self.0),
            (0, 0, _) => write!(f, "{minutes} min {} s", self.0 % 60),
            (0, ..) => write!(f, "{hours} h {minutes} min"),
            _ => write!(f, "{days} d {hours} h"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::{NASTY_ROOM, report};
    use super::*;
    use crate::control::Report;

    fn page(report: &Report) -> String {
        render(&Status::new(report, vec!["a < b".into()]), &report.router.stats.latency, "N0NCE")
    }

    #[test]
    fn the_page_shows_who_what_and_how_much() {
        let page = page(&report());
        for shown in [
            "router-a",
            ">server<",
            "AA:BB",
            "100<small>5 sent again",
            "1 min 1 s",
            "18 KiB on disk, 0 from others",
        ] {
            assert!(page.contains(shown), "{shown}:\n{page}");
        }
        assert!(page.contains("a &lt; b"), "warnings are shown");
        assert!(page.contains("disk full"), "and what the storage suffers from");
    }

    #[test]
    fn names_chosen_by_strangers_are_text_and_nothing_else() {
        let page = page(&report());
        assert!(page.contains("<bdi>&lt;script&gt;&quot;&#39;&amp;\\\u{202e}</bdi>"), "{page}");
        assert!(!page.contains(NASTY_ROOM));
        assert_eq!(page.matches("<script").count(), 1, "its own");
    }

    #[test]
    fn nothing_is_fetched_from_elsewhere_and_only_its_own_script_runs() {
        let page = page(&report());
        for outside in ["http://", "https://", "src=", "@import", "url(", "<link", "style=", "onclick="] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.contains("<style nonce=\"N0NCE\">") && page.contains("<script nonce=\"N0NCE\">"));
        let policy = content_security_policy("N0NCE");
        assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'nonce-N0NCE'"));
        assert!(!policy.contains("unsafe"));
        assert!(page.contains("<noscript><meta http-equiv=\"refresh\""), "it lives without JavaScript");
    }

    #[test]
    fn a_crowd_is_counted_rather_than_drawn() {
        let mut crowded = report();
        crowded.router.clients =
            std::iter::repeat_n(crowded.router.clients[0].clone(), ROWS_MAX + 7).collect();
        let page = page(&crowded);
        assert_eq!(page.matches("AA:BB").count(), ROWS_MAX);
        assert!(page.contains("and 7 more: see /status"));
    }

    #[test]
    fn an_empty_router_says_so() {
        let mut empty = report();
        empty.router.clients.clear();
        empty.router.rooms.clear();
        empty.router.stats.latency = Latency::default();
        let page = page(&empty);
        assert!(page.contains("Nobody is connected.") && page.contains("None yet"));
        assert!(!page.contains("<svg"), "no bars of nothing");
    }

    #[test]
    fn bars_fill_the_height_and_none_vanishes() {
        let page = page(&report());
        assert!(page.contains("y=\"14\" width=\"40\" height=\"80\"><title>90 (90.0 %)</title>"), "{page}");
        assert!(page.contains("height=\"2\"><title>1 (1.0 %)</title>"), "one of a hundred");
        assert!(page.contains("height=\"0\"><title>0 (0.0 %)</title>"), "nothing is nothing");
    }

    #[test]
    fn spans_are_said_in_two_units() {
        let said = |seconds| Span(seconds).to_string();
        assert_eq!(
            [said(59), said(61), said(3_661), said(90_061)],
            ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
    }
}
