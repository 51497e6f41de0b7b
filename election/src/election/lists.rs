//! The ExtraServers list: taken from the file, from the main server, or
//! from a neighbour that holds a newer one.

use super::Election;
use crate::api::Warning;
use crate::config::mutated;
use crate::epoch::{NUMBER_MAX, NUMBERS};
use crate::id::RouterId;
use crate::list::{ServerEntry, ServerList, cut_name};
use crate::record::Packet;
use crate::time::Time;

impl Election {
    /// The UCI file's list. What the main server gave outranks it.
    pub(super) fn list_configured(&mut self, entries: &[ServerEntry]) {
        let list = ServerList::new(0, entries.into());
        if self.list.version().number == 0 && list != self.list {
            self.set_list(list);
        }
    }

    /// A name of its own, where it shared the first one. Told as any other change of its record.
    pub(super) fn renamed(&mut self, name: &str) {
        self.config.name = name.into();
        cut_name(&mut self.config.name);
        self.own_changed = true;
    }

    /// The main server's list: the deputy numbers a change of it.
    pub(super) fn list_fetched(&mut self, entries: &[ServerEntry]) {
        let list =
            ServerList::new(self.list.version().number.saturating_add(1).min(NUMBER_MAX), entries.into());
        if self.view.deputy == Some(self.me) && list.entries() != self.list.entries() {
            self.set_list(list);
        }
    }

    /// A neighbour's list; the greater version wins.
    pub(super) fn adopt_list(&mut self, list: ServerList) {
        if !self.believes_list(list.version().number) {
            return;
        }
        self.note_conflict(list.version());
        if list.version() > self.list.version() {
            self.set_list(list);
        }
    }

    /// Whether a list may have this number; if not, a later one may. Each is asked for
    /// again while a neighbour holds it.
    fn believes_list(&mut self, number: u64) -> bool {
        if mutated!(self.config, AllBelieved) {
            return true;
        }
        let known = self.list.version().number.max(self.list_floor);
        let believed = NUMBERS.of(known, number);
        if believed < number {
            self.list_floor = believed;
        }
        believed == number
    }

    fn set_list(&mut self, list: ServerList) {
        self.list = list;
        self.persist();
        self.own_changed = true;
    }

    /// Asks a neighbour that holds a newer list for it, at most once each
    /// flood gap. Those farther away get it from neighbour to neighbour.
    pub(super) fn ask_for_list(&mut self, now: Time) {
        let own = self.list.version();
        let Some(me) = self.map.slot(self.me) else { return };
        let neighbours = self.map.two_way_of(me);
        let records = neighbours.iter().map(|slot| &self.map.records()[slot]);
        let Some(newest) = records.max_by_key(|record| record.list) else { return };
        let (version, holder) = (newest.list, newest.origin);
        self.list_behind = version > own;
        if !self.list_behind {
            return;
        }
        self.note_conflict(version);
        if self.list_asked == Time::ZERO || now.since(self.list_asked) >= self.config.flood_gap {
            self.list_asked = now;
            self.send(holder, Packet::ListRequest { sender: self.me }.encode());
        }
    }

    pub(super) fn answer_list_request(&mut self, sender: RouterId) {
        let list = self.list.clone();
        self.send(sender, Packet::List { sender: self.me, list }.encode());
    }

    /// One number, two lists: people should know. No list at all is no claim.
    fn note_conflict(&mut self, other: crate::list::ListVersion) {
        let own = self.list.version();
        if other.number == own.number && other.hash != own.hash && other.hash != 0 && own.hash != 0 {
            let (used, other) = (own.hash.max(other.hash), own.hash.min(other.hash));
            self.warn(Warning::ListConflict { number: own.number, used, other });
        }
    }
}
