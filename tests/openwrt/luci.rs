//! The LuCI pages in headless Chromium, on a page of the project's own that has the
//! little of LuCI that they use (`openwrt/luci-app-fau3/tests/host.html`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use fau3::config::{SECTIONS, Shape};
use serde_json::{Value, json};

use crate::common::desktop::Desktop;
use crate::common::{Finished, Node, TempDir, finish, skipped};
use crate::openwrt::validation::{long_samples, program_accepts};

const APP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openwrt/luci-app-fau3");
/// Where pictures of the pages are left for people.
const PICTURES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/luci");

/// A view with what it is given, in a browser.
struct Page {
    given: Value,
    dir: TempDir,
}

impl Page {
    fn new(view: &str) -> Self {
        let source = Path::new(APP).join(format!("htdocs/luci-static/resources/view/fau3/{view}.js"));
        let given = json!({
            "source": fs::read_to_string(source).unwrap(),
            "answers": {"fau3.check_config": {"good": true, "messages": []}},
            "uci": [],
        });
        Self { given, dir: TempDir::new("luci") }
    }

    fn answering(mut self, method: &str, answer: Value) -> Self {
        self.given["answers"][format!("fau3.{method}")] = answer;
        self
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.given[name] = value;
        self
    }

    fn write(&self) -> PathBuf {
        let host = fs::read_to_string(Path::new(APP).join("tests/host.html")).unwrap();
        // In a script, "</" would end it.
        let given = self.given.to_string().replace("</", "<\\/");
        let path = self.dir.path().join("page.html");
        fs::write(&path, host.replacen("/*GIVEN*/{}", &given, 1)).unwrap();
        path
    }

    /// What `check`, run in the page, returns; `None` where there is no browser.
    fn run(&self, check: &str) -> Option<Value> {
        let mut page = Self { given: self.given.clone(), dir: TempDir::new("luci-run") };
        page.given["check"] = check.into();
        let shown = page.browser(&["--virtual-time-budget=10000", "--dump-dom"])?.stdout;
        let (_, rest) = shown.split_once("<pre id=\"result\">").unwrap_or_else(|| panic!("{shown}"));
        let text = rest.split("</pre>").next().unwrap();
        let text =
            text.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
        let told: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_eq!((&told["error"], &told["problems"]), (&Value::Null, &json!([])), "{told}");
        Some(told["result"].clone())
    }

    /// Leaves a picture of the page.
    fn picture(&self, name: &str, height: u32) {
        fs::create_dir_all(PICTURES).unwrap();
        let at = format!("--screenshot={PICTURES}/{name}.png");
        let size = format!("--window-size=1000,{height}");
        self.browser(&["--hide-scrollbars", &at, &size]).unwrap();
        assert!(fs::metadata(format!("{PICTURES}/{name}.png")).unwrap().len() > 10_000, "{name} is empty");
    }

    fn browser(&self, arguments: &[&str]) -> Option<Finished> {
        let page = self.write();
        let mut command = Command::new("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.arg(format!("--user-data-dir={}", self.dir.path().join("profile").display()));
        command.args(arguments).arg(format!("file://{}", page.display()));
        if Command::new("chromium").arg("--version").output().is_err() && skipped("chromium") {
            return None;
        }
        let ran = finish(command);
        assert!(ran.status.success(), "{ran}");
        Some(ran)
    }
}

/// `config` as `uci` gives it to LuCI.
fn sections(text: &str) -> Value {
    let mut sections = Vec::new();
    for (at, section) in fau3::config::uci::parse(text).unwrap().into_iter().enumerate() {
        let name = section.name.clone().unwrap_or_else(|| format!("cfg{at}"));
        let mut given = json!({".type": section.kind, ".name": name, ".anonymous": section.name.is_none()});
        for entry in section.entries {
            match (entry.is_list, given.get_mut(&entry.name)) {
                (true, Some(Value::Array(values))) => values.push(entry.value.into()),
                (true, _) => given[&entry.name] = json!([entry.value]),
                (false, _) => given[&entry.name] = entry.value.into(),
            }
        }
        sections.push(given);
    }
    sections.into()
}

fn package_s_file() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openwrt/fau3/files/etc/config/fau3")).unwrap()
}

fn full_file() -> String {
    let more = "\nconfig default_server 'default_server'\n\toption url 'ws://10.10.11.156:8901'\n\
                \nconfig extra_server\n\toption name 'router-a'\n\nconfig extra_server\n\toption name 'router-b'\n";
    package_s_file() + more
}

#[test]
fn the_settings_page_has_every_option_there_is_and_no_other() {
    let page = Page::new("settings").with("uci", sections(&full_file()));
    let check = "return [...document.querySelectorAll('[data-name]')].map((row) => \
                 row.dataset.section + '.' + row.dataset.name);";
    let Some(shown) = page.run(check) else { return };
    let shown: BTreeSet<String> = serde_json::from_value(shown).unwrap();
    let known = SECTIONS.iter().flat_map(|section| {
        section.options.iter().map(move |option| format!("{}.{}", section.name, option.name))
    });
    assert_eq!(shown, known.collect());
    page.picture("settings", 2_800);
}

#[test]
fn the_settings_page_takes_what_the_program_takes_and_nothing_else() {
    // Given values for each option, and what the program says of them,
    let mut questions = BTreeMap::new();
    for section in SECTIONS {
        for option in section.options {
            let keyword = if option.shape == Shape::One || section.is_repeated { "option" } else { "list" };
            let asked: Vec<_> = long_samples()
                .into_iter()
                .map(|sample| (program_accepts(section.name, option.name, keyword, &sample), sample))
                .collect();
            questions.insert(format!("{}.{}", section.name, option.name), asked);
        }
    }
    let page = Page::new("settings").with("uci", sections(&full_file())).with("questions", json!(questions));
    // when the page's own rule is asked, or its choice looked at,
    let check = r"
        const differ = [];
        for (const [ name, samples ] of Object.entries(GIVEN.questions)) {
            const option = FormMap.shown.find(...name.split('.'));
            for (const [ program, value ] of samples) {
                let page = option.validate ? option.validate('x', value) === true : true;
                if (option.choices.length)
                    page = page && option.choices.some(([ key ]) => key === value);
                if (option.enabled)
                    // A box is only ever 0 or 1, which the program takes.
                    page = program;
                if (page !== program)
                    differ.push([ name, value, page ? 'the page takes it' : 'the page refuses it' ]);
            }
        }
        return differ;";
    // then they say the same.
    let Some(differ) = page.run(check) else { return };
    assert_eq!(differ, json!([]));
}

#[test]
fn what_is_typed_is_saved_only_if_all_of_it_is_right_and_the_program_takes_it() {
    let page = Page::new("settings").with("uci", sections(&full_file()));
    let check = r"
        const input = (section, name) => document.querySelector(`[data-section=${section}][data-name=${name}] input`);
        const told = {};
        input('clients', 'max_clients').value = '128';
        input('node', 'console').value = 'here';
        input('mesh', 'beacon_ms').value = '010';
        told.refused = FormMap.shown.save();
        told.before = uci.get('fau3', 'clients', 'max_clients');
        input('node', 'console').value = 'off';
        input('mesh', 'beacon_ms').value = '';
        told.accepted = FormMap.shown.save();
        told.after = uci.saved;
        return told;";
    let Some(told) = page.run(check) else { return };
    let refused = told["refused"].to_string();
    assert!(
        refused.contains("node.console: An IP address") && refused.contains("mesh.beacon_ms: A whole number")
    );
    assert_eq!((&told["before"], &told["accepted"]), (&json!("256"), &json!([])));
    // What LuCI would write is a file with these values.
    let mut text = String::new();
    for section in told["after"].as_array().unwrap() {
        let name = if section[".anonymous"] == true { "" } else { section[".name"].as_str().unwrap() };
        text.push_str(&format!("config {} '{name}'\n", section[".type"].as_str().unwrap()));
        for (option, value) in section.as_object().unwrap().iter().filter(|(name, _)| !name.starts_with('.'))
        {
            match value {
                Value::Array(values) => {
                    values.iter().for_each(|value| {
                        text.push_str(&format!("\tlist {option} {}\n", value.to_string().replace('"', "'")))
                    });
                }
                value => {
                    text.push_str(&format!("\toption {option} {}\n", value.to_string().replace('"', "'")))
                }
            }
        }
    }
    let around =
        fau3::config::Surroundings { host_name: "h".into(), places: fau3::config::Places::of_system() };
    let (config, warnings) = fau3::config::Config::read(Some((Path::new("f"), &text)), &[], &around).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}\n{text}");
    assert_eq!((config.clients.max_clients, config.node.console, config.mesh.beacon_ms), (128, None, 250));
    assert_eq!(config.extra_servers, ["router-a", "router-b"]);
}

#[test]
fn a_file_without_some_sections_can_be_filled_in_and_its_errors_are_shown() {
    let messages = json!(["/etc/config/fau3:2: node.log: '<img src=x>' is not one of error"]);
    let page = Page::new("settings")
        .with("uci", json!([]))
        .answering("check_config", json!({"good": false, "messages": messages}));
    let check = "return { rows: document.querySelectorAll('[data-section=mesh]').length, \
                 said: document.getElementById('fau3-check').innerText, \
                 images: document.querySelectorAll('#fau3-check img').length };";
    let Some(shown) = page.run(check) else { return };
    assert!(shown["rows"].as_u64().unwrap() >= 5, "{shown}");
    assert!(shown["said"].as_str().unwrap().contains("fau3:2: node.log: '<img src=x>'"), "{shown}");
    assert_eq!(shown["images"], 0);
}

#[test]
fn the_status_page_shows_what_a_running_router_says() {
    // Given a router with a client in a room whose name is as bad as can be,
    let node = Node::with(&["node.name=router-a"]).start();
    let mut client = Desktop::connect(node.address(), "AA:01");
    client.subscribe("<img src=x onerror=document.title='hit'>");
    let mut status = node.status();
    status["warnings"] = json!(["no mesh key: <b>anyone</b> may join"]);
    let identity = json!({"id": status["id"], "peer_id": status["peer_id"]});
    let page = Page::new("status").answering("status", status.clone()).answering("identity", identity);
    let check = r"
        const text = (id) => document.getElementById(id)?.innerText;
        const told = { title: document.title, injected: document.querySelectorAll('main img, main b').length };
        for (const id of [ 'lead', 'leader', 'routers', 'clients', 'rooms', 'waiting', 'warnings' ])
            told[id] = text('fau3-' + id);
        return told;";
    let Some(shown) = page.run(check) else { return };
    let has = |part: &str, wanted: &str| {
        assert!(shown[part].as_str().unwrap().contains(wanted), "{wanted:?} is not in {part}: {shown}");
    };
    has("lead", "router-a");
    has("lead", status["peer_id"].as_str().unwrap());
    has("clients", "AA:01");
    has("rooms", "<img src=x onerror=document.title='hit'>");
    has("waiting", "Messages held");
    has("warnings", "no mesh key: <b>anyone</b> may join");
    assert_eq!((&shown["injected"], shown["title"].as_str().unwrap().contains("hit")), (&json!(0), false));
    page.picture("status", 1_200);
}

#[test]
fn the_status_page_of_three_routers_tells_who_leads_and_follows_when_that_changes() {
    let status = |leader: &str| {
        let router = |name: &str, neighbours: &[&str], clients: u32| {
            let mode = if name == leader { "server" } else { "follower" };
            json!({"name": name, "mode": mode, "priority": 1, "neighbours": neighbours, "clients": clients})
        };
        let mut status = Node::start().status();
        status["name"] = "router-a".into();
        status["mode"] = if leader == "router-a" { "server" } else { "follower" }.into();
        status["coordinator"] = leader.into();
        status["deputy"] = leader.into();
        status["routers"] = json!([
            router("router-a", &["router-b"], 1),
            router("router-b", &["router-a", "router-c"], 2),
            router("router-c", &["router-b"], 0)
        ]);
        status["clients"] =
            json!([{"client_id": "AA:01", "room": null, "router": "router-b", "alive_s": 4000}]);
        status["detached"] = 3.into();
        status
    };
    let page = Page::new("status").answering("status", status("router-b")).with("next", status("router-c"));
    let check = r"
        const told = [ document.getElementById('fau3-leader').innerText ];
        told.push(document.getElementById('fau3-routers').innerText);
        told.push(document.getElementById('fau3-clients').innerText);
        GIVEN.answers['fau3.status'] = GIVEN.next;
        await polled[0]();
        told.push(document.getElementById('fau3-leader').innerText);
        GIVEN.answers['fau3.status'] = { error: [ 'fau3: cannot ask the node' ] };
        GIVEN.answers['fau3.check_config'] = { good: false, messages: [ '/etc/config/fau3:3: wrong' ] };
        await polled[0]();
        told.push(document.getElementById('fau3-down').innerText, document.getElementById('fau3-config').innerText);
        return told;";
    let Some(told) = page.run(check) else { return };
    let told: Vec<String> = serde_json::from_value(told).unwrap();
    assert_eq!((&*told[0], &*told[3]), ("router-b", "router-c"));
    assert!(told[1].contains("router-a, router-c") && told[2].contains("66 min"), "{told:?}");
    assert!(told[4].contains("cannot ask the node") && told[5].contains("fau3:3: wrong"), "{told:?}");
    page.picture("status-mesh", 1_200);
}

#[test]
fn the_menu_and_the_rights_name_what_is_there() {
    let read = |path: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(Path::new(APP).join(path)).unwrap()).unwrap()
    };
    let menu = read("root/usr/share/luci/menu.d/luci-app-fau3.json");
    for entry in menu.as_object().unwrap().values().filter(|entry| entry["action"]["type"] == "view") {
        let view =
            format!("htdocs/luci-static/resources/view/{}.js", entry["action"]["path"].as_str().unwrap());
        assert!(Path::new(APP).join(&view).exists(), "{view}");
    }
    // Each method that a page calls may be called, and may only be read.
    let rights = &read("root/usr/share/rpcd/acl.d/luci-app-fau3.json")["luci-app-fau3"];
    let mut called = BTreeSet::new();
    for view in ["settings", "status"] {
        let source = fs::read_to_string(
            Path::new(APP).join(format!("htdocs/luci-static/resources/view/fau3/{view}.js")),
        )
        .unwrap();
        called.extend(
            source.split("method: '").skip(1).map(|rest| rest.split('\'').next().unwrap().to_owned()),
        );
    }
    let allowed: BTreeSet<String> = serde_json::from_value(rights["read"]["ubus"]["fau3"].clone()).unwrap();
    assert_eq!(allowed, called);
    assert_eq!((&rights["write"], &rights["read"]["uci"]), (&json!({"uci": ["fau3"]}), &json!(["fau3"])));
}
